"""Check that notebooks were executed, are made as the course's notebooks are, and reproduce.

    python tools/check_notebooks.py              # all of notebooks/
    python tools/check_notebooks.py notebooks/03_swa.ipynb

Prints one line per finding, `file: cell N: rule: what is wrong`, and exits with 1 if there is any.
A rule is one function: its docstring says what it asks for, and it yields what it misses. The
rules on the parts of a notebook are in `anatomy.py`; CONTRIBUTING.md says why there are rules.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path

import anatomy
import notebook_page
from notebook_page import WIDGET_VIEW, Findings, Page, data, images, one_line, prose, tags, widget

ROOT = Path(__file__).resolve().parent.parent
CELLS = (40, 60)
LINES, COLUMNS = 20, 85
# The only exceptions: what a notebook, by the beginning of its name, need not have.
EXEMPT = {"00_": {"40 cells", "exercises"}}

LINK = re.compile(r"\[(?:[^\[\]]|!\[[^\]]*\]\([^()]*\))*\]\(([^()\s]+)\)|<a [^>]*href=\"([^\"]+)\"")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^()\s]+)\)|<img((?:[^>]*\balt=\"[^\"]+\")?)")
# What differs from run to run or from machine to machine, in printed text.
SMELLS = {
    "an address in memory": re.compile(r"\b0x[0-9a-fA-F]{5,}"),
    "a path of one machine": re.compile(
        r"(?<![\w.:/])/(?:home|root|Users|tmp|usr|var|opt|mnt|content)/\w|\b[A-Z]:\\\w"
    ),
    "a date or a time": re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}:\d\d:\d\d\b"),
}


# --- What was committed was executed, and prints the same again ---


def executed(page: Page) -> Findings:
    """Code cells are counted 1 to n, without errors, with nothing on stderr and no dead widget."""
    counts = [(n, cell.execution_count, i) for i, (n, cell) in enumerate(page.code, 1)]
    for n, count, expected in [each for each in counts if each[1] != each[2]][:1]:
        yield n, f"has the count {count}, not {expected}: run make notebooks"
    for n, cell in page.code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield n, f"stopped with {output.ename}"
            if output.get("name") == "stderr":
                yield n, f"wrote to stderr: {output.text[:60]}"
            if WIDGET_VIEW in data(output):
                yield n, "has a stored view of a widget, dead where nothing runs"
    if "widgets" in page.notebook.metadata:
        yield 0, "has stored states of widgets in its metadata"


def ignored(page: Page) -> Findings:
    """At most one code cell in ten is tagged nbval-ignore-output; none is skipped or may fail."""
    found = [n for n, cell in page.code if "nbval-ignore-output" in tags(cell)]
    if len(found) > len(page.code) / 10:
        yield found[-1], f"{len(found)} of {len(page.code)} code cells are not compared"
    for n, cell in page.code:
        if re.search(r"nbval-skip|raises-exception", " ".join(tags(cell))):
            yield n, "is tagged so that nbval skips it or lets it fail"


def reproducible(page: Page) -> Findings:
    """Printed text has no addresses, paths or times, and no value is left as a last line."""
    for n, cell in page.code:
        if "nbval-ignore-output" in tags(cell):
            continue
        for output in cell.outputs:
            text = f"{output.get('text', '')} {data(output).get('text/plain', '')}"
            for what, smell in SMELLS.items():
                if found := smell.search(text):
                    yield n, f"prints {what}: {found.group()}"
            if output.output_type == "execute_result" and not images(cell):
                yield n, "leaves a value as its last line: print it, with its meaning"


def png_only(page: Page) -> Findings:
    """Pictures are stored as PNG; no output is HTML, SVG, JavaScript or PDF."""
    for n, cell in page.code:
        for kind in sorted({kind for output in cell.outputs for kind in data(output)}):
            if kind not in ("image/png", "text/plain", WIDGET_VIEW):
                yield n, f"has an output of type {kind}"


# --- Pictures, headings and links ---


def pictures(page: Page) -> Findings:
    """Each picture has an alt text; the text below a figure says it after '**What you see.**'.

    A widget stores a picture as well, for readers where nothing runs.
    """
    for n, cell in page.code:
        if widget(cell) and not images(cell):
            yield n, "shows a widget and stores no picture of it"
        for output in images(cell):
            meta = output.get("metadata", {})
            alt = one_line(meta.get("image/png", {}).get("alt") or meta.get("alt") or "")
            if not alt:
                yield n, "has a picture without alt text: use plots.show"
            elif f"**What you see.** {alt}" not in one_line(page.cell(n + 1).source) and (
                not widget(cell)
            ):
                yield n, "needs a text cell below it with '**What you see.** ' and the alt text"
    for n, cell in page.cells:
        if any(not (one + html).strip() for one, _, html in IMAGE.findall(prose(cell))):
            yield n, "has an image without alt text"


def headings(page: Page) -> Findings:
    """One H1, in the first cell, and no level is skipped on the way down."""
    firsts = [section.cell for section in page.sections if section.level == 1]
    if firsts != [1]:
        yield 0, f"needs one H1, in its first cell; has them in {firsts}"
    for above, below in pairwise(page.sections):
        if below.level > above.level + 1:
            yield below.cell, f"'{below.title}' skips a level, {above.level} to {below.level}"


def links(page: Page) -> Findings:
    """Relative links lead to a file that is there, and to a heading in it."""
    for n, cell in page.cells:
        text = re.sub(r"`[^`\n]*`", "", prose(cell))
        targets = [target for found in LINK.findall(text) for target in found]
        targets += [target for _, target, _ in IMAGE.findall(text)]
        for target in filter(None, targets):
            name, _, anchor = target.partition("#")
            path = page.path.parent / name if name else page.path
            if re.match(r"[a-z]+:", name):
                continue
            if not path.exists():
                yield n, f"leads nowhere: {target}"
            elif anchor and anchor not in anchors(path):
                yield n, f"there is no such heading: {target}"


def anchors(path: Path) -> set[str]:
    """What may follow '#' in a link to a page: as on GitHub, or for notebooks as in Jupyter."""
    if path.suffix == ".ipynb":
        titles = [section.title for section in notebook_page.read(path, ROOT).sections]
        return {re.sub(r"[*`]", "", title).replace(" ", "-") for title in titles}
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


# --- Layout and style ---


def layout(page: Page) -> Findings:
    """40 to 60 cells, never more than two of code in a row; short cells and short lines."""
    low, high = CELLS
    if len(page.cells) > high or (len(page.cells) < low and page.must("40 cells")):
        yield 0, f"has {len(page.cells)} cells, not {low} to {high}"
    for kind, group in groupby(page.cells, key=lambda each: each[1].cell_type):
        run = [n for n, _ in group]
        if kind == "code" and len(run) > 2:
            yield run[2], f"is the third of {len(run)} code cells in a row"
    for n, cell in page.code:
        lines = cell.source.splitlines()
        if not 1 <= len(lines) <= LINES:
            yield n, f"has {len(lines)} lines of code, not 1 to {LINES}"
        if any(len(line) > COLUMNS for line in lines):
            yield n, f"has a line of {max(map(len, lines))} columns, more than {COLUMNS}"


def hidden(page: Page) -> Findings:
    """Readers see every cell and every output."""
    for n, cell in page.cells:
        meta, jupyter = cell.metadata, cell.metadata.get("jupyter", {})
        shut = jupyter.get("source_hidden") or jupyter.get("outputs_hidden")
        if shut or meta.get("collapsed") or any(re.match("hide|remove", t) for t in tags(cell)):
            yield n, "is hidden or collapsed"
        if "%%capture" in cell.source and cell.cell_type == "code":
            yield n, "hides its output with %%capture"


def style(page: Page) -> Findings:
    """No clear_output, and no line that ends in ';', which hides nothing from nbval."""
    for n, cell in page.code:
        if "clear_output" in cell.source:
            yield n, "uses clear_output"
        if re.search(r";[ \t]*$", cell.source, re.MULTILINE):
            yield n, "has a line that ends in ';'"


RULES: list[Callable[[Page], Findings]] = [
    *(executed, ignored, reproducible, png_only),
    *anatomy.RULES,
    *(pictures, headings, links, layout, hidden, style),
]


def check(path: Path, root: Path = ROOT) -> list[str]:
    """All findings of one notebook, one line each."""
    try:
        page = notebook_page.read(path, root)
    except Exception as error:  # json and nbformat raise many kinds
        return [f"{path.name}: cell 0: readable: {one_line(str(error))[:120]}"]
    page.exempt = set().union(*(EXEMPT[name] for name in EXEMPT if path.name.startswith(name)))
    return [
        f"{path.name}: cell {n}: {rule.__name__}: {one_line(what)}"
        for rule in RULES
        for n, what in rule(page)
    ]


def main() -> int:
    """Check the notebooks that are named; 1 if there is a finding, or nothing to check."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "paths", nargs="*", type=Path, help="notebooks (default: notebooks/*.ipynb)"
    )
    paths = parser.parse_args().paths or sorted((ROOT / "notebooks").glob("*.ipynb"))
    findings = [line for path in paths for line in check(path)]
    print("\n".join(findings) or f"{len(paths)} notebooks: nothing found")
    return 1 if findings or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
