"""A small assignment, and submissions of it, for the tests of the grader."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, ComputeChecksums

SECRET = "secret-of-the-hidden-test"
DOUBLE = "def double(x):\n    return 2 * x"
COUNTER = (
    "class Counter:\n    def __init__(self):\n        self.n = 0\n\n"
    "    def up(self):\n        self.n += 1"
)


def _mark(name: str, solution: bool = False, points: float | None = None) -> dict[str, Any]:
    mark = {"grade_id": name, "schema_version": 3, "task": False, "solution": solution}
    mark |= {"grade": points is not None, "locked": not solution}
    return {"nbgrader": mark if points is None else {**mark, "points": points}}


def _solution(name: str, text: str, stub: str) -> Any:
    head, body = text.split("\n", 1)
    inner = f"{stub}### BEGIN SOLUTION\n{body}\n{stub}### END SOLUTION"
    return new_code_cell(f"{head}\n{inner}", metadata=_mark(name, solution=True))


def source(manual: bool = False) -> Any:
    """An assignment with a function, a class, and perhaps a text for a person to grade."""
    hidden = f"### BEGIN HIDDEN TESTS\n# {SECRET}\n%s\n### END HIDDEN TESTS"
    cells = [
        new_markdown_cell("# T1 A small one"),
        new_code_cell("import math", metadata=_mark("set-up")),
        new_markdown_cell("## Task 1: twice"),
        _solution("double", DOUBLE, "    "),
        new_code_cell(
            "assert double(2) == 4, 'double(2) is not 4'\n"
            + hidden % "assert math.isclose(double(3.5), 7), 'wrong for other numbers'",
            metadata=_mark("test-double", points=3),
        ),
        new_markdown_cell("## Task 2: count"),
        _solution("counter", COUNTER, "    "),
        new_code_cell(
            "c = Counter()\nc.up()\n"
            + hidden % "c.up()\nassert abs(c.n - 2) < 0.5, 'it does not count'",
            metadata=_mark("test-counter", points=2),
        ),
    ]
    if manual:
        cells.append(new_markdown_cell("Why?", metadata=_mark("why", True, 4)))
    notebook = new_notebook(cells=cells)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"c{number}"
    return notebook


def release(manual: bool = False) -> Any:
    """What students get."""
    made = copy.deepcopy(source(manual))
    for step in (ClearSolutions, ClearHiddenTests, ComputeChecksums):
        made, _ = step().preprocess(made, {})
    return made


def answered(double: str = DOUBLE, counter: str = COUNTER, manual: bool = False) -> Any:
    """A submission with these two answers."""
    made = release(manual)
    for cell in made.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = {"double": double, "counter": counter}.get(name, cell.source)
    return made


def stripped(notebook: Any) -> Any:
    """Without metadata, as after copying."""
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        cell.metadata = nbformat.from_dict({})
    return made


def with_cell(text: str, at: int | None = None, **answers: str) -> Any:
    """A right submission with one more cell."""
    made = answered(**answers)
    made.cells.insert(len(made.cells) if at is None else at, new_code_cell(text))
    return made


def content(notebook: Any) -> bytes:
    """The bytes of its file."""
    return json.dumps(notebook, indent=1).encode()


def sources(folder: Path, manual: bool = False) -> Path:
    """A folder with the source notebook."""
    folder.mkdir()
    (folder / "T1_small.ipynb").write_bytes(content(source(manual)))
    return folder
