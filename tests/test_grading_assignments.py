"""The grader and the course's own assignments: full marks, intended points, messages."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest
from grading_material import content, stripped
from wrong_solutions import WRONG, read, submission

from sema_lite.grading import Graded, grade
from sema_lite.grading.sandbox import missing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="students' code needs fork")
NAMES = ["A1", "A2", "A3", "A4"]
EACH = {"A1": 99, "A2": 99, "A3": 4, "A4": 3}  # torch takes seconds to import, for each of them


@pytest.fixture(scope="module", params=NAMES)
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    """Right, untouched, without metadata, and wrong ones."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    files = {
        "right": submission(name),
        "stripped": stripped(signed(submission(name), "by somebody else")),
        "jumbled": signed(jumbled(name), "by a third one"),
        "untouched": read(name, "release"),
    }
    files |= {w.name: submission(name, w) for w in wrong(name)}
    (folder / "in").mkdir()
    for student, notebook in files.items():
        (folder / "in" / f"{student}.ipynb").write_bytes(content(notebook))
    out = folder / f"{name}.csv"
    return grade(folder / "in", name, out, uncontained=bool(missing()), progress=False)


def signed(notebook: Any, by: str) -> Any:
    """With another text: two that are the same would be copies."""
    cells = [cell for cell in notebook.cells if cell.metadata.get("sema_lite", {}).get("defines")]
    cell = cells[0]
    cell.source = f"# {by}\n{cell.source}"
    return notebook


def jumbled(name: str) -> Any:
    """Right, but the first answer stands in the last check cell, and the last in the first one."""
    notebook, stubs = submission(name), {c.id: c.source for c in read(name, "release").cells}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    solutions = [cell for cell in code if cell.metadata.get("sema_lite", {}).get("defines")]
    tests = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("grade")]
    for solution, test in ((solutions[0], tests[-1]), (solutions[-1], tests[0])):
        test.source = f"{test.source}\n\n\n{solution.source}"
        solution.source = stubs[solution.id]
    return notebook


def wrong(name: str) -> list:
    """Of an assignment: some of the typical wrong solutions."""
    found = [w for w in WRONG if w.assignment == name]
    return found[:: max(1, len(found) // EACH[name])]


def test_points(graded: Graded) -> None:
    marks, name = dict(graded.marks), graded.out.stem
    lines = {row["student"]: row for row in csv.DictReader(io.StringIO(graded.out.read_text()))}
    whole = float(lines["right"]["max"])
    by_hand = 10 if name == "A4" else 0
    for student in ("right", "stripped", "jumbled"):
        assert marks[student].score == whole - by_hand, marks[student]
    assert [marks[one].how for one in ("stripped", "jumbled")] == ["by name", "intact"]
    assert marks["untouched"].score == 0
    assert {mark.status for mark in marks.values()} == {"pending" if by_hand else "graded"}


def test_wrong_solutions_score_as_intended(graded: Graded) -> None:
    marks = dict(graded.marks)
    for one in wrong(graded.out.stem):
        mark = marks[one.name]
        failed = {name for name, points in mark.points.items() if points == 0}
        assert failed == set(one.fails), f"{one.name}: {mark.messages}"
        for test, word in one.fails.items():
            assert word in mark.messages[test], f"{one.name}: {mark.messages[test]}"
            assert "not done yet" not in mark.messages[test]
        page = (Path(graded.feedback) / f"{one.name}.html").read_text()
        assert "def hidden" not in page
        assert "HIDDEN TESTS" not in page
