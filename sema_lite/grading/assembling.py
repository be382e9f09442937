"""What is run of a submission, and in which order.

Where nbgrader's metadata is intact, it is nbgrader's own way: the cells in their order, the locked
ones and the tests as the source has them (`OverwriteCells`). Where cells were duplicated, moved,
deleted or have lost their metadata, as by Colab or by copying, the student's functions are found by
their names: the teacher's cells, then all of the student's, then the tests. The same is tried where
an intact notebook fails a test: the answer may stand in another cell, or use one further below.
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .running import Step
from .source import LOG, Assignment, defined, plain, tool, tree
from .submissions import Unreadable


@dataclass(frozen=True)
class Program:
    """What is run.

    Attributes:
        how: "intact" or "by name".
        written: the student's own text, {"cell 3": "..."}.
    """

    steps: list[Step]
    how: str
    written: dict[str, str]


def assemble(notebook: Any, assignment: Assignment) -> Program:
    """The program of a submission.

    Raises:
        Unreadable: it has nothing of this assignment.
    """
    restored = restore(notebook, assignment)
    if restored is not None:
        return _in_order(restored, assignment)
    return by_name(notebook, assignment)


def restore(notebook: Any, assignment: Assignment) -> Any | None:
    """As nbgrader restores it; None if they are not the assignment's cells in their order."""
    known = [i for i in map(_id, assignment.notebook.cells) if i]
    ids = [i for i in map(_id, notebook.cells) if i in known]
    if ids != known:
        return None
    try:
        made, _ = (
            tool("nbgrader.preprocessors")
            .DeduplicateIds(log=LOG)
            .preprocess(copy.deepcopy(notebook), {})
        )
        restorer = _restorer(assignment)
        for index, cell in enumerate(made.cells):
            made.cells[index], _ = restorer.preprocess_cell(cell, {}, index)
    except Exception:  # damaged in a way that nbgrader does not expect
        return None
    return made


def _id(cell: Any) -> str | None:
    found = cell.metadata.get("nbgrader", {}).get("grade_id")
    return str(found) if found is not None else None


def _restorer(assignment: Assignment) -> Any:
    """nbgrader's OverwriteCells, with the source notebook in the place of a gradebook."""
    utils, absent = tool("nbgrader.utils"), tool("nbgrader.api").MissingEntry
    cells = {_id(cell): cell for cell in assignment.notebook.cells if _id(cell)}

    def source_cell(name: str, *_: str) -> Any:
        if name not in cells:
            raise absent(name)
        cell = cells[name]
        return SimpleNamespace(
            cell_type=cell.cell_type,
            locked=utils.is_locked(cell),
            checksum=utils.compute_checksum(cell),
            source=cell.source,
        )

    def graded_cell(name: str, *_: str) -> Any:
        return SimpleNamespace(max_score=cells[name].metadata.nbgrader["points"])

    restorer = tool("nbgrader.preprocessors").OverwriteCells(log=LOG)
    restorer.gradebook = SimpleNamespace(find_source_cell=source_cell, find_graded_cell=graded_cell)
    restorer.notebook_id = restorer.assignment_id = assignment.name
    return restorer


# -- in order --------------------------------------------------------------------------------------


def _in_order(notebook: Any, assignment: Assignment) -> Program:
    source = {_id(cell): cell for cell in assignment.notebook.cells if _id(cell)}
    steps, written = [], {}
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        name, mine = f"cell {number}", source.get(_id(cell))
        kind = assignment.kind(mine) if mine is not None else "code"
        if kind == "test":
            steps.append(Step("test", str(_id(cell)), plain(cell.source)))
        elif kind == "given" and mine is not None and mine.metadata.nbgrader.get("locked"):
            steps.append(Step("given", f"given {name}", plain(cell.source)))
        else:
            steps.append(Step("code", name, plain(cell.source)))
            written[name] = plain(cell.source)
    return Program(steps, "intact", _without(written, assignment))


# -- by name ---------------------------------------------------------------------------------------


def by_name(notebook: Any, assignment: Assignment) -> Program:
    """The teacher's cells, all of the student's, then the tests.

    Raises:
        Unreadable: it has nothing of this assignment.
    """
    before, after, tests = _teachers(assignment)
    teachers = {cell.source.strip() for cell in assignment.notebook.cells}
    checks = set()
    for cell, released in zip(assignment.notebook.cells, assignment.released.cells, strict=True):
        if assignment.kind(cell) in ("given", "test"):
            teachers.add(released.source.strip())
        if assignment.kind(cell) == "test":
            checks.add(released.source.strip())
    written = {
        f"cell {number}": plain(_own_part(cell.source, checks))
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and cell.source.strip() and cell.source.strip() not in teachers
    }
    written = drop_stubs(written, assignment)
    names = {name for text in written.values() for name in defined(tree(text))}
    if not names & set(assignment.own):
        raise Unreadable(_stranger(notebook, assignment))
    code = [Step("code", name, text) for name, text in written.items()]
    return Program([*before, *code, *after, *tests], "by name", _without(written, assignment))


def _own_part(text: str, checks: set[str]) -> str:
    """A cell without a visible check, above or below which an answer stands."""
    for check in checks - {""}:
        lines = "\n" * check.count("\n")
        text = re.sub(rf"^{re.escape(check)}[ \t]*$", lines, text, flags=re.M)
    return text


def _teachers(assignment: Assignment) -> tuple[list[Step], list[Step], list[Step]]:
    """The given cells before the first task, those after it, and the tests."""
    before: list[Step] = []
    after: list[Step] = []
    tests: list[Step] = []
    tasks = False
    for number, cell in enumerate(assignment.notebook.cells, 1):
        kind = assignment.kind(cell)
        tasks = tasks or kind != "given"
        if cell.cell_type != "code":
            continue
        if kind == "test":
            tests.append(Step("test", str(_id(cell)), plain(cell.source)))
        elif kind == "given":
            step = Step("given", f"given cell {number}", plain(cell.source))
            (after if tasks else before).append(step)
    return before, after, tests


def drop_stubs(written: dict[str, str], assignment: Assignment) -> dict[str, str]:
    """Blank the untouched stubs whose function is written above: a copy must not hide it."""
    stubs: dict[str, str] = {}
    for cell in assignment.released.cells:
        if cell.cell_type == "code":
            stubs |= {name: ast.dump(node) for name, node in defined(tree(cell.source)).items()}
    found = [
        (cell, node.name, node)
        for cell, text in written.items()
        for node in tree(text).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in stubs
    ]
    done: set[str] = set()
    texts = {cell: text.split("\n") for cell, text in written.items()}
    for cell, name, node in found:
        if ast.dump(node) != stubs[name]:
            done.add(name)
        elif name in done:
            for line in range(node.lineno - 1, node.end_lineno or node.lineno):
                texts[cell][line] = ""
    return {cell: "\n".join(lines) for cell, lines in texts.items()}


def _stranger(notebook: Any, assignment: Assignment) -> str:
    """Why nothing of the assignment is in it."""
    ids = [i for i in map(_id, notebook.cells) if i]
    known = {i for i in map(_id, assignment.notebook.cells) if i}
    wanted = ", ".join(assignment.own[:4]) + (", ..." if len(assignment.own) > 4 else "")
    if ids and not known & set(ids):
        return f"it is a notebook of another assignment, with {', '.join(ids[:3])}"
    return f"none of the functions {wanted} is in it: is it a notebook of this assignment?"


def _without(written: dict[str, str], assignment: Assignment) -> dict[str, str]:
    """Without the cells that are as the student has got them."""
    released = {plain(cell.source).strip() for cell in assignment.released.cells}
    return {cell: text for cell, text in written.items() if text.strip() not in released}
