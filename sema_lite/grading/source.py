"""An assignment's source notebook: the one home of its tasks, solutions, tests and points."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

LOG = logging.getLogger("sema_lite.grading")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False  # nbgrader's remarks on tampered cells
ONE_AT_A_TIME = Lock()  # threads that parse at once can fail (Python 3.11: SystemError)


@dataclass(frozen=True)
class Task:
    """A cell that gives points.

    Attributes:
        title: the heading above it, for the feedback, and which part of that task it is.
        manual: a person gives the points.
    """

    name: str
    points: float
    title: str
    manual: bool


class Assignment:
    """A source notebook in nbgrader's format.

    Raises:
        ValueError: it has no test, or is no notebook.
    """

    def __init__(self, path: Path) -> None:
        nbformat = tool("nbformat")
        self.path, self.name = path, path.stem
        try:
            self.notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        except Exception as error:  # of nbformat there are many kinds
            raise ValueError(f"'{path}' is not a notebook: {error}") from None
        if not self.tasks:
            raise ValueError(f"'{path}' is no assignment: no cell of it gives points")

    @cached_property
    def tasks(self) -> list[Task]:
        """All cells with points, in order."""
        found, title = [], ""
        for cell in self.notebook.cells:
            if heading := re.search(r"^#+ +(.+)$", cell.source, re.M):
                title = heading[1].strip() if cell.cell_type == "markdown" else title
            mark = cell.metadata.get("nbgrader", {})
            if mark.get("grade") or mark.get("task"):
                manual = bool(mark.get("solution") or mark.get("task"))
                part = cell.metadata.get("sema_lite", {}).get("part", "")
                found.append((mark["grade_id"], float(mark.get("points", 0)), title, manual, part))
        titles = Counter(title for _, _, title, _, _ in found)
        return [
            Task(name, points, _titled(title, part or (name if titles[title] > 1 else "")), manual)
            for name, points, title, manual, part in found
        ]

    def kind(self, cell: Any) -> str:
        """ "given", "solution", "test" or "manual" of a cell of the source."""
        mark = cell.metadata.get("nbgrader", {})
        if mark.get("grade"):
            return "manual" if mark.get("solution") else "test"
        if mark.get("task"):
            return "manual"
        return "solution" if mark.get("solution") else "given"

    @cached_property
    def released(self) -> Any:
        """The notebook that students get."""
        nbgrader = tool("nbgrader.preprocessors")
        made = copy.deepcopy(self.notebook)
        for step in (nbgrader.ClearSolutions, nbgrader.ClearHiddenTests):
            made, _ = step(log=LOG).preprocess(made, {})
        return made

    @cached_property
    def own(self) -> list[str]:
        """The names that the tasks ask for: functions, classes and numbers at the top level."""
        names: set[str] = set()
        for cell in self.notebook.cells:
            if cell.cell_type == "code" and self.kind(cell) in ("solution", "manual"):
                names |= set(defined(tree(cell.source)))
        return sorted(names)

    @cached_property
    def preload(self) -> list[str]:
        """The modules that it imports anywhere."""
        names: set[str] = set()
        for cell in self.notebook.cells:
            for node in ast.walk(tree(cell.source if cell.cell_type == "code" else "")):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
                    if node.module.startswith("sema_lite"):  # the module of the checks
                        names |= {f"{node.module}.{alias.name}" for alias in node.names}
        return sorted(names)

    @cached_property
    def teachers_code(self) -> list[str]:
        """The texts of all code cells that are no tests."""
        cells = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        return [cell.source for cell in cells if self.kind(cell) != "test"]

    def metadata(self, name: str) -> dict[str, Any]:
        """nbgrader's, of the cell of that name."""
        marks = [cell.metadata.get("nbgrader", {}) for cell in self.notebook.cells]
        return next(dict(mark) for mark in marks if mark.get("grade_id") == name)

    @cached_property
    def content(self) -> bytes:
        """What a grade depends on: the text and the metadata of the cells."""
        cells = [[c.cell_type, c.source, c.metadata.get("nbgrader")] for c in self.notebook.cells]
        return json.dumps(cells, sort_keys=True).encode()


def _titled(title: str, part: str) -> str:
    return f"{title} ({part})" if title and part else title or part


def tool(module: str) -> Any:
    """A module of the grading tools, which have no types and take a while to import.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError('grading needs nbgrader: pip install "sema-lite[grading]"') from None


def find_source(assignment: str, folder: Path) -> Path:
    """The source notebook of "A1", or of a path.

    Raises:
        ValueError: there is none, or there are several; the message says which there are.
    """
    if assignment.endswith(".ipynb"):
        path = Path(assignment)
        if path.is_file():
            return path.resolve()
        raise ValueError(f"--assignment '{assignment}': there is no such file")
    found = sorted(folder.glob("*.ipynb"))
    named = [path for path in found if re.match(rf"{re.escape(assignment)}([_ -]|$)", path.stem)]
    if len(named) == 1:
        return named[0]
    known = ", ".join(path.stem for path in found) or "none; give the path of a source notebook"
    raise ValueError(f"--assignment {assignment!r:.60} names no source notebook; there are {known}")


def plain(source: str) -> str:
    """A cell as Python: Unix line ends, and `pass` for the lines that only IPython understands."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if source.lstrip().startswith("%%"):
        return ""
    try:
        _parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return re.sub(r"^([ \t]*)[%!][^\n]*$", r"\1pass", source, flags=re.M)
    return source


def _parse(source: str) -> ast.Module:
    with ONE_AT_A_TIME:
        return ast.parse(source)


def tree(source: str) -> ast.Module:
    """Its syntax tree, empty if it is not Python."""
    try:
        return _parse(plain(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def defined(module: ast.Module) -> dict[str, ast.stmt]:
    """What it defines at the top level, {name: statement}; the last one if there are several."""
    names: dict[str, ast.stmt] = {}
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                        names[part.id] = node
    return names
