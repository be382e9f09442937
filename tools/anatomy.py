"""The rules of `check_notebooks.py` on what a notebook is made of, in the order of its cells."""

from __future__ import annotations

import ast
import re

from badges import COLAB, badge, colab_link, repository
from notebook_page import Findings, Page, tags, widget

SET_UP_LINES, WIDGET_LINES = 12, 5
SET_UP = """import sys

if "google.colab" in sys.modules:  # elsewhere the library is installed already
    %pip install -q "git+https://github.com/{repo}"
"""
TIMES = re.compile(
    r"^\*\*Time to read\*\*: \d+ minutes?\. \*\*Time to run\*\*: \d+ (?:second|minute)s?\. "
    r"\*\*You need first\*\*: \S.*$",
    re.MULTILINE,
)
OBJECTIVES = re.compile(r"^\*\*Objectives\*\*\s*\n((?:[-*] .+\n(?: +.+\n)*)+)", re.MULTILINE)
WORDS = re.compile(r"^\*\*New words\*\*:(.*(?:\n.+)*)", re.MULTILINE)
WORD = re.compile(r"\[[^\]]+\]\(\.\./GLOSSARY\.md#[^()\s]+\)")
EFFORT = re.compile(r"\s*Difficulty: (?:easy|medium|hard)\. Time: \d+ minutes?\.")
HINT = re.compile(r"<details>\s*<summary>Hint</summary>.*\S.*</details>", re.DOTALL)
ASSERTS = re.compile(r"\bassert |\bchecks\.")
END = ["What we showed, and its limits", "References", "Next"]


def badge_opens_it(page: Page) -> Findings:
    """The first cell has the badge of this very notebook; no link to Colab opens another."""
    repo, path = repository(page.root), f"notebooks/{page.path.name}"
    if badge(repo, path) not in page.cell(1).source.splitlines():
        yield 1, f"needs, on a line of its own, {badge(repo, path)}"
    for n, cell in page.cells:
        for link in re.findall(rf"{re.escape(COLAB)}/(?!assets/)[^\s()\"]*", cell.source):
            if link != colab_link(repo, path):
                yield n, f"{link} opens another notebook: run make badges"


def beginning(page: Page) -> Findings:
    """Title and times; then what will be shown, 4 to 6 objectives, and the new words."""
    first, second = page.cell(1).source, page.cell(2).source
    number = page.path.name[:2]
    if not re.match(rf"# {number} \S", first):
        yield 1, f"must begin with '# {number} ' and the title"
    if not TIMES.search(first):
        yield (
            1,
            (
                "needs the line '**Time to read**: 30 minutes. **Time to run**: 20 seconds. "
                "**You need first**: ...'"
            ),
        )
    if not second.startswith("## What you will have shown\n"):
        yield 2, "must begin with '## What you will have shown'"
    objectives = OBJECTIVES.search(second + "\n")
    count = len(re.findall(r"^[-*] ", objectives[1], re.MULTILINE)) if objectives else 0
    if not 4 <= count <= 6:
        yield 2, f"needs 4 to 6 items after '**Objectives**', has {count}"
    words = WORDS.search(second)
    others, count = WORD.subn("", words[1] if words else "")
    if not count or re.search(r"\w", others.split(".")[0].replace(" and ", "")):
        yield 2, "needs '**New words**:' and then nothing but links to the glossary"


def set_up(page: Page) -> Findings:
    """Cell 3 installs on Colab, imports, calls checks.set_up, and does nothing else."""
    cell, start = page.cell(3, "code"), SET_UP.format(repo=repository(page.root))
    if [n for n, each in page.code if "set-up" in tags(each)] != [3]:
        yield 3, "must be the one code cell that is tagged set-up"
    if not cell.source.startswith(start):
        yield 3, f"must begin exactly with {start}"
        return
    if len(cell.source.splitlines()) > SET_UP_LINES:
        yield 3, f"has more than {SET_UP_LINES} lines"
    rest = parsed(cell.source.removeprefix(start))
    more = [
        ast.unparse(each) for each in rest if not isinstance(each, (ast.Import, ast.ImportFrom))
    ]
    if len(more) != 1 or not more[0].startswith("checks.set_up("):
        yield 3, f"may hold imports and then checks.set_up(...), not {more}"


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a code cell; none if it has magics or a syntax error."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def try_it(page: Page) -> Findings:
    """A widget stands in a short cell under '## Try it'; the next code drives it and asserts."""
    allowed = [n for section in page.called("Try it") for n, _ in section.code]
    for i, (n, cell) in enumerate(page.code):
        name = widget(cell)
        if not name:
            continue
        drive = "".join(each.source for _, each in page.code[i + 1 : i + 2])
        if n not in allowed:
            yield n, "shows a widget outside a section '## Try it'"
        if len(cell.source.splitlines()) > WIDGET_LINES:
            yield n, f"shows a widget in more than {WIDGET_LINES} lines"
        if not re.search(rf"\b{name}\.\w+(?: = |\()", drive) or not ASSERTS.search(drive):
            yield n, f"must be followed by a cell that drives {name}, prints and asserts"
    for section in page.called("Try it"):
        if section.level != 2 or not any(widget(cell) for _, cell in section.code):
            yield section.cell, "must be '## Try it', and show a widget"


def checkpoints(page: Page) -> Findings:
    """At least two '### Checkpoint', each with code that asserts the answer."""
    found = page.called("Checkpoint")
    if len(found) < 2:
        yield 0, f"needs at least 2 checkpoints, has {len(found)}"
    for section in found:
        if section.level != 3 or not ASSERTS.search(section.source):
            yield section.cell, "a checkpoint is '### Checkpoint' and code that asserts"


def exercises(page: Page) -> Findings:
    """At least two, numbered, each with its effort, a typed stub, its check, and a folded hint."""
    found = page.called("Exercise")
    if len(found) < 2 and page.must("exercises"):
        yield 0, f"needs at least 2 exercises, has {len(found)}"
    for number, section in enumerate(found, 1):
        if section.level != 3 or not re.match(rf"Exercise {number}: \S", section.title):
            yield section.cell, f"must be called '### Exercise {number}: ' and a title"
        if not EFFORT.match(section.text):
            yield section.cell, "needs 'Difficulty: easy|medium|hard. Time: 5 minutes.' on top"
        if not any(map(is_stub, parsed(section.source))):
            yield section.cell, "needs a stub: types, docstring, raise NotImplementedError"
        if "checks." not in section.source:
            yield section.cell, "needs a call of its check, checks.name(...)"
        if not HINT.search(section.text):
            yield section.cell, "needs <details><summary>Hint</summary> ... </details>"


def is_stub(node: ast.stmt) -> bool:
    """Whether it is a function with types and a docstring that raises NotImplementedError."""
    if not isinstance(node, ast.FunctionDef):
        return False
    typed = node.returns and all(each.annotation for each in node.args.args)
    last = ast.unparse(node.body[-1])
    return bool(typed and ast.get_docstring(node) and last == "raise NotImplementedError")


def ending(page: Page) -> Findings:
    """The last sections: what was shown and its limits, references with years, what is next."""
    last = [section for section in page.sections if section.level == 2][-3:]
    if [section.title for section in last] != END:
        yield 0, f"must end with the sections {END}, in this order"
        return
    _, references, following = last
    items = re.findall(r"^[-*] (.+(?:\n +.+)*)", references.text, re.MULTILINE)
    if not items:
        yield references.cell, "lists no references"
    for item in items:
        if not re.search(r"\b(?:19|20)\d\d\b", item):
            yield references.cell, f"a reference has no year: {item[:60]}"
    others = [path.name for path in page.path.parent.glob("*.ipynb")]
    if page.path.name != max(others) and ".ipynb)" not in following.text:
        yield following.cell, "'Next' needs a link to the next notebook"


RULES = [badge_opens_it, beginning, set_up, try_it, checkpoints, exercises, ending]
