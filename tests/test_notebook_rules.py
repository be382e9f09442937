"""Each rule of tools/check_notebooks.py: a good notebook passes, one that breaks it is reported."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import badges
import check_notebooks
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

NAME = "01_good.ipynb"
REPO = "someone/sema-lite"
ALT = "The average is smoother than the signal, because its jitter is averaged away."
SET_UP = f"""import sys

if "google.colab" in sys.modules:  # elsewhere the library is installed already
    %pip install -q "git+https://github.com/{REPO}"
from sema_lite import checks

checks.set_up(seed=0)"""
OPENING = f"""# 01 Good

{badges.badge(REPO, f"notebooks/{NAME}")}

**Time to read**: 30 minutes. **Time to run**: 20 seconds. **You need first**: nothing."""
SHOWN = """## What you will have shown

That it works, and a control that could have shown that it does not.

**Objectives**

* Compute one thing.
* Compare two things,
  on two lines.
* Predict a third.
* Explain it.

**New words**: [decay](../GLOSSARY.md#decay),
[half-life](../GLOSSARY.md#half-life)."""
STUB = '''def half(number: float) -> float:
    """Half of it."""
    raise NotImplementedError


_ = checks.half(half)'''
HINT = "<details><summary>Hint</summary>\n\nDivide.\n\n</details>"
END = """## What we showed, and its limits

Little.

## References

* Someone, *Some title*, 2018,
  with a second line.
* Another one, 2024.

## Next

[02 Next](02_next.ipynb), and [above](#A-figure)."""


def picture(**metadata: Any) -> Any:
    """An output that is a picture; the smallest PNG would do, and so does this."""
    pictured = {"image/png": "aWM=", "text/plain": "a picture"}
    return new_output("display_data", pictured, metadata=metadata)


def exercise(number: int) -> list[Any]:
    title = f"### Exercise {number}: `half`\n\nDifficulty: easy. Time: 5 minutes.\n\nHalve it."
    return [new_markdown_cell(title), new_code_cell(STUB), new_markdown_cell(HINT)]


def good() -> Any:
    """A notebook that follows all rules, as short as they allow; cells are found by `at`."""
    cells = [
        new_markdown_cell(OPENING),
        new_markdown_cell(SHOWN),
        new_code_cell(SET_UP, metadata={"tags": ["set-up"]}),
        new_markdown_cell("## A figure"),
        new_code_cell("draw()", outputs=[picture(**{"image/png": {"alt": ALT}})]),
        new_markdown_cell(f"**What you see.** {ALT.replace(' because', chr(10) + 'because')} So."),
        new_markdown_cell("## Try it"),
        new_code_cell("explorer = widgets.DecayExplorer()\nexplorer", outputs=[picture(alt="A")]),
        new_markdown_cell("By hand:"),
        new_code_cell("explorer.decay = 0.5\nassert explorer.message == ''"),
        new_markdown_cell("### Checkpoint"),
        new_code_cell("assert True"),
        new_markdown_cell("### Checkpoint: a second one"),
        new_code_cell("checks.same('one', 1, 1)", outputs=[new_output("stream", text="Equal.")]),
        *exercise(1),
        *exercise(2),
        *[new_markdown_cell(f"Words, `[not a link](nowhere.md)`, {i}.") for i in range(20)],
        new_markdown_cell(END),
    ]
    notebook = new_notebook(cells=cells)
    count(notebook)
    return notebook


def count(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        cell.execution_count = number


def at(notebook: Any, part: str) -> Any:
    """The first cell whose source has `part`."""
    return next(cell for cell in notebook.cells if part in cell.source)


def replace(old: str, new: str) -> Callable[[Any], None]:
    """A change that replaces a part of the first cell that has it."""

    def change(notebook: Any) -> None:
        cell = at(notebook, old)
        cell.source = cell.source.replace(old, new, 1)

    return change


def add(part: str, **fields: Any) -> Callable[[Any], None]:
    """A change that adds an output, made of `fields`, to the first cell that has `part`."""
    return lambda notebook: at(notebook, part).outputs.append(new_output(**fields))


def tag(part: str, *tags: str, **metadata: Any) -> Callable[[Any], None]:
    """A change of the tags and other metadata of the first cell that has `part`."""
    return lambda notebook: at(notebook, part).metadata.update({"tags": [*tags], **metadata})


def say(text: str) -> Callable[[Any], None]:
    """A change of what is printed."""
    return add("assert True", output_type="stream", text=text)


def drop(part: str) -> Callable[[Any], None]:
    """A change that leaves one cell out; the others are counted anew."""

    def change(notebook: Any) -> None:
        notebook.cells.remove(at(notebook, part))
        notebook.cells.insert(-1, new_markdown_cell("Words."))
        count(notebook)

    return change


def put(number: int, *cells: Any) -> Callable[[Any], None]:
    """A change that puts cells in before cell `number`, counted from 0, for as many words."""

    def change(notebook: Any) -> None:
        notebook.cells[number:number] = cells
        count(notebook)

    return change


def set_alt(**metadata: Any) -> Callable[[Any], None]:
    return lambda notebook: at(notebook, "draw()").update(outputs=[picture(**metadata)])


HTML = {"text/plain": "table", "text/html": "<table>"}
VIEW = {"text/plain": "a widget", check_notebooks.WIDGET_VIEW: {"model_id": "1"}}
SLASH = "/"  # paths are put together here, because no file of the project names one
BROKEN = [
    ("executed", lambda notebook: at(notebook, "draw()").update(execution_count=7)),
    ("executed", lambda notebook: at(notebook, "draw()").update(execution_count=None)),
    ("executed", add("assert True", output_type="stream", name="stderr", text="Warning")),
    ("executed", add("assert True", output_type="error", ename="ValueError")),
    ("executed", add("assert True", output_type="display_data", data=VIEW)),
    ("executed", lambda notebook: notebook.metadata.update(widgets={})),
    (
        "ignored",
        lambda notebook: [
            tag(part, "nbval-ignore-output")(notebook) for part in ("draw()", "assert True")
        ],
    ),
    ("ignored", tag("assert True", "nbval-skip")),
    ("ignored", tag("assert True", "raises-exception")),
    ("reproducible", say("<object at 0x7f3a12bc>")),
    ("reproducible", say(f"read from {SLASH}home/someone/data")),
    ("reproducible", say("on 2024-02-29")),
    ("reproducible", say("took 0:01:30")),
    (
        "reproducible",
        add("assert True", output_type="execute_result", data={"text/plain": "False"}),
    ),
    ("png_only", add("assert True", output_type="display_data", data=HTML)),
    (
        "png_only",
        add(
            "explorer =", output_type="display_data", data={"image/jpeg": ""}, metadata={"alt": "A"}
        ),
    ),
    ("badge_opens_it", replace(f"{NAME})", "02_other.ipynb)")),
    ("badge_opens_it", replace(REPO, "sema-lite/sema-lite")),
    ("badge_opens_it", replace("Words", badges.badge(REPO, "notebooks/02_next.ipynb"))),
    ("beginning", replace("# 01 Good", "# 02 Good")),
    ("beginning", replace("**Time to run**: 20 seconds.", "")),
    ("beginning", replace("**You need first**: nothing.", "**You need first**:")),
    ("beginning", replace("## What you will have shown", "## What you will see")),
    ("beginning", replace("* Explain it.\n", "")),
    ("beginning", replace("* Explain it.\n", "* Explain it.\n" + "* Do more.\n" * 3)),
    ("beginning", replace("**New words**: [decay](../GLOSSARY.md#decay),\n", "")),
    ("beginning", replace("[half-life](../GLOSSARY.md#half-life)", "half-life")),
    ("beginning", replace(SHOWN[SHOWN.index("[decay]") :], "none.")),
    ("set_up", tag("google.colab")),
    ("set_up", tag("assert True", "set-up")),
    ("set_up", replace("%pip install -q", "!pip install")),
    ("set_up", replace("github.com/someone", "github.com/someone-else")),
    ("set_up", replace("checks.set_up(seed=0)", "checks.set_up(seed=0)\n" + "import math\n" * 6)),
    ("set_up", replace("checks.set_up(seed=0)", "checks.set_up(seed=0)\nload_cifar10()")),
    ("set_up", replace("checks.set_up(seed=0)", "")),
    ("try_it", replace("## Try it", "## Not here")),
    ("try_it", replace("DecayExplorer()", "DecayExplorer(\n\n\n\n\n)")),
    ("try_it", replace("explorer.decay = 0.5", "pass")),
    ("try_it", replace("assert explorer.message == ''", "print(explorer.message)")),
    ("try_it", replace("Words", "## Try it\n\nWords")),
    ("checkpoints", replace("### Checkpoint: a second one", "### Another thing")),
    ("checkpoints", replace("### Checkpoint", "## Checkpoint")),
    ("checkpoints", replace("assert True", "print(True)")),
    ("exercises", replace("### Exercise 2: `half`", "### Task 2")),
    ("exercises", replace("### Exercise 2", "### Exercise 3")),
    ("exercises", replace("Difficulty: easy. ", "")),
    ("exercises", replace("number: float", "number")),
    ("exercises", replace(" -> float", "")),
    ("exercises", replace('    """Half of it."""\n', "")),
    ("exercises", replace("raise NotImplementedError", "return number / 2")),
    ("exercises", replace("_ = checks.half(half)", "")),
    ("exercises", drop("<details>")),
    ("exercises", replace("<summary>Hint</summary>\n\nDivide.", "<summary>Hint</summary>")),
    ("ending", replace("## Next", "## And then")),
    ("ending", replace("## References", "### References")),
    ("ending", replace(", 2024", ", in press")),
    (
        "ending",
        replace("* Someone, *Some title*, 2018,\n  with a second line.\n* Another", "Another"),
    ),
    ("ending", replace("[02 Next](02_next.ipynb)", "Nothing")),
    ("pictures", set_alt()),
    ("pictures", set_alt(alt="  ")),
    ("pictures", set_alt(alt="Another text.")),
    ("pictures", replace("**What you see.** ", "")),
    ("pictures", put(5, new_markdown_cell("In between."))),
    ("pictures", lambda notebook: at(notebook, "explorer =").update(outputs=[picture()])),
    ("pictures", lambda notebook: at(notebook, "explorer =").update(outputs=[])),
    ("pictures", replace("Words", "![](../picture.png)")),
    ("pictures", replace("Words", '<img src="../picture.png">')),
    ("headings", replace("## A figure", "# A figure")),
    ("headings", replace("Words", "##### Deep")),
    ("links", replace("Words", "[nowhere](03_none.ipynb)")),
    ("links", replace("Words", "![a picture](../none.png)")),
    ("links", replace("Words", "[word](../GLOSSARY.md#no-such-word)")),
    ("links", replace("Words", "[next](02_next.ipynb#No-such-heading)")),
    ("links", replace("#A-figure", "#a-figure")),
    ("layout", lambda notebook: [notebook.cells.pop(-2) for _ in range(2)]),
    ("layout", put(21, *[new_markdown_cell("More.") for _ in range(21)])),
    ("layout", put(13, new_code_cell("one = 1"), new_code_cell("two = 2"))),
    ("layout", replace("assert True", "assert True\n" + "print(1)\n" * 20)),
    ("layout", replace("assert True", "assert True  # " + "x" * 80)),
    ("layout", put(20, new_code_cell(""))),
    ("hidden", tag("assert True", jupyter={"source_hidden": True})),
    ("hidden", tag("assert True", jupyter={"outputs_hidden": True})),
    ("hidden", tag("assert True", collapsed=True)),
    ("hidden", tag("assert True", "hide-input")),
    ("hidden", replace("assert True", "%%capture\nassert True")),
    ("style", replace("assert True", "assert True\nclear_output()")),
    ("style", replace("assert True", "assert True;")),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout, in which the links of the good notebook lead somewhere."""
    (tmp_path / "notebooks").mkdir()
    address = f'[project.urls]\nRepository = "https://github.com/{REPO}"\n'
    (tmp_path / "pyproject.toml").write_text(address, encoding="utf-8")
    (tmp_path / "GLOSSARY.md").write_text("# Words\n\n## decay\n\n## half-life\n", encoding="utf-8")
    (tmp_path / "picture.png").touch()
    following = new_notebook(cells=[new_markdown_cell("## Go on")])
    nbformat.write(following, tmp_path / "notebooks" / "02_next.ipynb")
    return tmp_path


def found(checkout: Path, notebook: Any, name: str = NAME) -> list[str]:
    path = checkout / "notebooks" / name
    nbformat.write(notebook, path)
    return check_notebooks.check(path, checkout)


def rules(findings: list[str]) -> set[str]:
    return {re.fullmatch(r"[\w.]+: cell \d+: (\w+): .+", line)[1] for line in findings}


def test_a_good_notebook_passes(checkout: Path) -> None:
    assert len(good().cells) == 41
    assert found(checkout, good()) == []


@pytest.mark.parametrize(
    ("rule", "change"), BROKEN, ids=[f"{i}-{r}" for i, (r, _) in enumerate(BROKEN)]
)
def test_a_notebook_that_breaks_one_rule_is_reported_for_it(
    checkout: Path, rule: str, change: Callable[[Any], None]
) -> None:
    notebook = good()
    change(notebook)
    assert rules(found(checkout, notebook)) == {rule}


def test_every_rule_is_broken_above_and_says_what_it_asks_for() -> None:
    assert {rule for rule, _ in BROKEN} == {rule.__name__ for rule in check_notebooks.RULES}
    assert all(rule.__doc__ for rule in check_notebooks.RULES)


def test_cells_that_are_not_compared_may_print_what_changes(checkout: Path) -> None:
    notebook = good()
    say("<object at 0x7f3a12bc> 0:01:30")(notebook)
    tag("assert True", "nbval-ignore-output")(notebook)
    put(21, *[cell for i in range(2) for cell in (new_markdown_cell("x"), new_code_cell("1 + 1"))])(
        notebook
    )
    assert found(checkout, notebook) == []


def test_the_start_may_be_short_and_without_exercises(checkout: Path) -> None:
    def changed(number: str) -> Any:
        notebook = good()
        for cell in notebook.cells:
            cell.source = cell.source.replace("01_good", f"{number}_good")
        replace("# 01", f"# {number}")(notebook)
        kept = [c for c in notebook.cells if not re.match(r"Words|### Ex|def half|<det", c.source)]
        notebook.cells = kept
        count(notebook)
        return notebook

    assert found(checkout, changed("00"), "00_good.ipynb") == []
    assert rules(found(checkout, changed("01"))) == {"exercises", "layout"}


def test_the_last_notebook_needs_no_link_to_a_next_one(checkout: Path) -> None:
    (checkout / "notebooks/02_next.ipynb").unlink()
    notebook = good()
    replace("[02 Next](02_next.ipynb)", "More is planned")(notebook)
    assert found(checkout, notebook) == []


def test_a_file_that_is_no_notebook_is_one_finding(checkout: Path) -> None:
    path = checkout / "notebooks" / NAME
    path.write_text('{"cells": [', encoding="utf-8")
    assert rules(check_notebooks.check(path, checkout)) == {"readable"}


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 1)])
def test_the_program_prints_findings_and_exits_with_1(
    checkout: Path,
    broken: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    notebook = good()
    if broken:
        replace("assert True", "assert True;")(notebook)
    path = checkout / "notebooks" / NAME
    nbformat.write(notebook, path)
    for module in (check_notebooks, badges):
        monkeypatch.setattr(module, "ROOT", checkout)
    monkeypatch.setattr(check_notebooks.check, "__defaults__", (checkout,))
    monkeypatch.setattr("sys.argv", ["check_notebooks.py", str(path)])
    assert check_notebooks.main() == code
    expected = f"{NAME}: cell 12: style: has a line that ends in ';'" if broken else "1 notebooks"
    assert capsys.readouterr().out.startswith(expected)


# --- make badges ---


@pytest.fixture
def fork(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with everything that names the repository, and the tool working in it."""
    home = f"https://github.com/{REPO}"
    colab = badges.badge(REPO, "notebooks/01_good.ipynb")
    readme = f"git clone {home} && cd sema-lite\n{colab}\npip install git+{home}.\n"
    (checkout / "README.md").write_text(readme + "[peer](https://github.com/other/peer)\n")
    (checkout / "CITATION.cff").write_text(f"repository-code: {home}\nurl: https://example.org\n")
    notebook = good()
    notebook.cells[3].source += "\n\nUmlauts: ä, and a peer: https://github.com/other/peer"
    nbformat.write(notebook, checkout / "notebooks" / NAME)
    copied = new_notebook(cells=[new_markdown_cell(OPENING)])  # has the badge of another
    (checkout / "notebooks/assignments").mkdir()
    nbformat.write(copied, checkout / "notebooks/assignments/ps1.ipynb")
    monkeypatch.setattr(badges, "ROOT", checkout)
    return checkout


def make_badges(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["badges.py", *arguments])
    return badges.main()


def contents(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes().decode() for path in files}


def test_a_fork_names_itself_everywhere_and_nothing_else_changes(
    fork: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(fork)
    assert make_badges(monkeypatch, "my-lab/averages.v2") == 0
    after = contents(fork)
    assert badges.repository(fork) == "my-lab/averages.v2"
    for name in before:
        expected = before[name].replace(REPO, "my-lab/averages.v2")
        expected = expected.replace("&& cd sema-lite", "&& cd averages.v2")
        if "ps1" in name:
            expected = expected.replace("notebooks/01_good", "notebooks/assignments/ps1")
        assert after[name] == expected
    assert "someone" not in "".join(after.values()).lower().replace("* someone,", "")
    assert check_notebooks.check(fork / "notebooks" / NAME, fork) == []


def test_every_colab_link_of_a_fork_opens_that_very_notebook(
    fork: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_badges(monkeypatch, "my-lab/averages")
    opened = {}
    for path in badges.notebooks(fork):
        links = re.findall(rf"{badges.COLAB}/github/[^)\s\"\\]+", path.read_text())
        opened[path.relative_to(fork).as_posix()] = links
    home = "https://colab.research.google.com/github/my-lab/averages/blob/main/"
    named = ("notebooks/01_good.ipynb", "notebooks/assignments/ps1.ipynb")
    assert opened == {
        **{name: [home + name] for name in named},
        "notebooks/02_next.ipynb": [],
    }


def test_running_it_twice_changes_nothing(
    fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_badges(monkeypatch, "my-lab/averages")
    once = contents(fork)
    capsys.readouterr()
    for arguments in ([], ["my-lab/averages"]):
        assert make_badges(monkeypatch, *arguments) == 0
        assert capsys.readouterr().out == (
            "badges: everything names my-lab/averages; changed: nothing\n"
        )
    assert contents(fork) == once


def test_there_and_back_gives_the_same_bytes(fork: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_badges(monkeypatch)
    before = contents(fork)
    make_badges(monkeypatch, "my-lab/averages")
    make_badges(monkeypatch, REPO)
    assert contents(fork) == before


def test_without_a_name_everything_follows_pyproject(
    fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fork / "pyproject.toml"
    path.write_text(path.read_text().replace(REPO, "new/home"))
    assert make_badges(monkeypatch) == 0
    out = capsys.readouterr().out
    assert "everything names new/home" in out
    assert "README.md, CITATION.cff, notebooks/01_good.ipynb" in out
    assert check_notebooks.check(fork / "notebooks" / NAME, fork) == []


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "a/b/c",
        "https://github.com/a/b",
        "a b/c",
        "-a/b",
        "a--b/c",
        "a/..",
        "a/b.git",
        "ä/b",
    ],
)
def test_a_bad_name_changes_nothing_and_gives_one_line(
    fork: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(fork)
    arguments = ["--", name] if name.startswith("-") else [name]
    assert make_badges(monkeypatch, *arguments) == 2
    assert contents(fork) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"badges: REPO must be owner/name as on GitHub, got {name!r}"


def test_windows_line_ends_stay(fork: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fork / "pyproject.toml"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    before = path.read_bytes()
    assert make_badges(monkeypatch, "a/b") == 0
    assert path.read_bytes() == before.replace(REPO.encode(), b"a/b")


def test_pyproject_without_the_line_is_one_error(
    fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (fork / "pyproject.toml").write_text("[project]\n")
    assert make_badges(monkeypatch, "a/b") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
