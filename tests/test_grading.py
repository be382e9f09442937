"""The grader: points, damaged submissions, the table, feedback, a second run."""

from __future__ import annotations

import csv
import gc
import importlib
import io
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grading_material as material
import pytest
from nbformat.v4 import new_code_cell

from sema_lite.__main__ import main
from sema_lite.grading import (
    Graded,
    Limits,
    classroom,
    grade,
    running,
    shortcuts,
    source,
    submissions,
)
from sema_lite.grading.assembling import assemble
from sema_lite.grading.sandbox import missing
from sema_lite.grading.source import Assignment, find_source, plain, tree
from sema_lite.grading.submissions import find_submissions
from sema_lite.grading.suspicion import suspicions

pytestmark = pytest.mark.skipif(os.name != "posix", reason="students' code needs fork")
LIMITS = Limits(seconds=60, part_seconds=20)
UNCONTAINED = bool(missing())


def run(folder: Path, files: dict[str, bytes], **options: Any) -> Graded:
    """Grade some files of the small assignment."""
    manual = options.pop("manual", False)
    submitted = folder / "handed in"
    for name, content in files.items():
        path = submitted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sources = folder / "source"
    if not sources.exists():
        material.sources(sources, manual)
    options = {"limits": LIMITS, "uncontained": UNCONTAINED, "progress": False, **options}
    return grade(submitted, "T1", folder / "grades.csv", sources=sources, **options)


def rows(graded: Graded) -> dict[str, dict[str, str]]:
    """The lines of the table."""
    lines = csv.DictReader(io.StringIO(graded.out.read_text(encoding="utf-8")))
    return {line["student"]: line for line in lines}


RIGHT = material.answered()
WRONG = material.answered(double="def double(x):\n    return 4")


def moved() -> Any:
    made = material.answered()
    made.cells.append(made.cells.pop(3))
    return made


def copied_stub_last() -> Any:
    """The solved cell was duplicated before it was solved; the copy comes later."""
    made = material.answered()
    made.cells.insert(5, material.release().cells[3])
    return made


def tampered() -> Any:
    made = material.answered(double="def double(x):\n    return 0")
    made.cells[4].source = "pass"
    made.cells[4].metadata.nbgrader["points"] = 100
    return made


def one_cell() -> Any:
    made = material.stripped(material.release())
    made.cells = [new_code_cell(f"%pip install x\n{material.DOUBLE}\n\n\n{material.COUNTER}")]
    return made


def another() -> Any:
    made = material.release()
    for number, cell in enumerate(made.cells):
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader["grade_id"] = f"other-{number}"
        cell.source = cell.source.replace("double", "treble").replace("Counter", "Timer")
    return made


def stranger() -> Any:
    made = material.stripped(another())
    made.cells = made.cells[:4]
    return made


def crlf() -> bytes:
    made = material.answered()
    for cell in made.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    return b"\xef\xbb\xbf" + material.content(made).replace(b"\n", b"\r\n")


SUBMISSIONS = {
    "right.ipynb": material.content(RIGHT),
    "wrong.ipynb": material.content(WRONG),
    "untouched.ipynb": material.content(material.release()),
    "Jörg Ä. Müller-Lüdenscheidt/T1 final version.ipynb": material.content(RIGHT),
    "stripped.ipynb": material.content(material.stripped(RIGHT)),
    "stripped wrong.ipynb": material.content(material.stripped(WRONG)),
    "moved.ipynb": material.content(moved()),
    "copied.ipynb": material.content(copied_stub_last()),
    "tampered.ipynb": material.content(tampered()),
    "one cell.ipynb": material.content(one_cell()),
    "another.ipynb": material.content(another()),
    "stranger.ipynb": material.content(stranger()),
    "half.ipynb": material.content(RIGHT)[:900],
    "empty.ipynb": b"",
    "json.ipynb": b'{"a": 1}',
    "windows.ipynb": crlf(),
    "essay.pdf": b"%PDF",
    "two/one.ipynb": material.content(RIGHT),
    "two/another.ipynb": material.content(RIGHT),
    "broken cell.ipynb": material.content(material.with_cell("this is no Python", at=2)),
    "partly.ipynb": material.content(material.answered(counter="class Counter:\n    pass")),
    "=1+1.ipynb": material.content(RIGHT),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    return run(tmp_path_factory.mktemp("graded"), SUBMISSIONS)


@pytest.mark.parametrize(
    ("student", "score", "how"),
    [
        ("right", 5, "intact"),
        ("wrong", 2, "intact"),
        ("untouched", 0, "intact"),
        ("Jörg Ä. Müller-Lüdenscheidt", 5, "intact"),
        ("stripped", 5, "by name"),
        ("stripped wrong", 2, "by name"),
        ("moved", 5, "by name"),
        ("copied", 5, "by name"),
        ("tampered", 2, "intact"),
        ("one cell", 5, "by name"),
        ("windows", 5, "intact"),
        ("broken cell", 5, "intact"),
        ("partly", 3, "intact"),
    ],
)
def test_points(graded: Graded, student: str, score: float, how: str) -> None:
    mark = dict(graded.marks)[student]
    assert (mark.status, mark.score, mark.how) == ("graded", score, how), mark
    line = rows(graded)[student]
    assert (line["score"], line["max"], line["status"]) == (str(score), "5", "graded")
    assert ("by name" in line["reason"]) == (how == "by name")


@pytest.mark.parametrize(
    ("student", "reason"),
    [
        ("another", "another assignment"),
        ("stranger", "is it a notebook of this assignment?"),
        ("half", "cut short"),
        ("empty", "empty"),
        ("json", "not a notebook"),
        ("essay.pdf", "not a notebook"),
        ("two", "2 notebooks"),
    ],
)
def test_what_cannot_be_graded_has_a_reason_and_no_points(
    graded: Graded, student: str, reason: str
) -> None:
    line = rows(graded)[student]
    assert line["status"] == "not graded"
    assert reason in line["reason"]
    assert {line["score"], line["test-double"], line["test-counter"]} == {""}


def test_messages_name_the_mistake(graded: Graded) -> None:
    marks = dict(graded.marks)
    assert marks["wrong"].messages["test-double"] == "wrong for other numbers"
    assert marks["untouched"].messages["test-double"] == "Not done yet: NotImplementedError."
    assert marks["partly"].messages["test-counter"].startswith("AttributeError: ")


def test_feedback_tells_points_and_no_hidden_test(graded: Graded) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in graded.feedback.glob("*.html")}
    assert len(pages) == len(graded.marks)
    for page in pages.values():
        assert material.SECRET not in page
        assert "isclose" not in page
    assert "Task 1: twice" in pages["wrong"]
    assert "0 of 3" in pages["wrong"]
    assert "2 of 5 points" in pages["wrong"]
    assert "cut short" in pages["half"]
    assert "is it a notebook of this assignment?</p>" in pages["stranger"]


def test_names_are_no_formulas(graded: Graded) -> None:
    assert "'=1+1" in rows(graded)


def test_a_second_run_changes_nothing_and_runs_nothing(graded: Graded) -> None:
    def state() -> dict[Path, tuple[bytes, int]]:
        files = [graded.out, *(p for p in graded.feedback.rglob("*") if p.is_file())]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    again = run(graded.out.parent, {})
    assert state() == before
    assert again.known == len(graded.marks) - 2  # all but the two whose notebook is not known


def test_a_changed_file_is_graded_again_and_no_other(tmp_path: Path) -> None:
    files = {"a.ipynb": material.content(RIGHT), "b.ipynb": material.content(RIGHT)}
    run(tmp_path, files)
    again = run(tmp_path, {"b.ipynb": material.content(WRONG)})
    assert again.known == 1
    assert [mark.score for _, mark in again.marks] == [5, 2]
    changed = material.source()
    changed.cells[4].metadata.nbgrader["points"] = 7
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(changed))
    assert [mark.score for _, mark in run(tmp_path, {}).marks] == [9, 2]


def test_a_damaged_state_is_graded_again(tmp_path: Path) -> None:
    first = run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    for path in (first.feedback / ".graded").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    again = run(tmp_path, {})
    assert again.known == 0
    assert again.marks[0][1].score == 5


def test_what_a_person_grades_is_pending(tmp_path: Path) -> None:
    right = material.answered(manual=True)
    graded = run(tmp_path, {"a.ipynb": material.content(right)}, manual=True)
    line = rows(graded)["a"]
    assert (line["score"], line["max"], line["status"]) == ("5", "9", "pending")
    assert line["why"] == "pending"
    assert "4 points" in line["reason"]
    page = (graded.feedback / "a.html").read_text()
    assert "Another 4 points" in page
    assert "open, of 4" in page


def test_two_submissions_of_one_name(tmp_path: Path) -> None:
    files = {"a.ipynb": material.content(RIGHT), "a/T1.ipynb": material.content(RIGHT)}
    assert {mark.status for _, mark in run(tmp_path, files).marks} == {"not graded"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    (tmp_path / "handed in" / "b.ipynb").symlink_to(tmp_path / "handed in" / "a.ipynb")
    (tmp_path / "handed in" / "c").mkdir()
    (tmp_path / "handed in" / "c" / "T1.ipynb").symlink_to(tmp_path / "handed in" / "a.ipynb")
    lines = rows(run(tmp_path, {}))
    assert "link" in lines["b"]["reason"]
    assert "link" in lines["c"]["reason"]


def test_partial_points_of_nbgrader(tmp_path: Path) -> None:
    made = material.source()
    made.cells[4].source = "1.5 if double(2) == 4 else 0"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(made))
    graded = run(tmp_path, {"a.ipynb": material.content(RIGHT), "b.ipynb": material.content(WRONG)})
    assert [mark.points["test-double"] for _, mark in graded.marks] == [1.5, 1.5]
    assert graded.marks[0][1].score == 3.5
    assert graded.marks[0][1].messages["test-double"] == "Passed in part."


def test_errors_say_what_would_be_accepted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a folder"):
        run(tmp_path, {})
    with pytest.raises(ValueError, match="there are T1_small"):
        find_source("A7", tmp_path / "source")
    (tmp_path / "handed in").mkdir()
    with pytest.raises(ValueError, match="is empty"):
        find_submissions(tmp_path / "handed in")
    with pytest.raises(ValueError, match="who is not in"):
        run(tmp_path, {"a.ipynb": material.content(RIGHT)}, trust=["b"])


def test_umlauts_of_macos_are_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "Jo\u0308rg.ipynb").touch()
    assert [one.student for one in find_submissions(tmp_path)] == ["J\u00f6rg"]


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    """As after unpacking an archive of an old Windows."""
    run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    name = os.fsencode(tmp_path / "handed in") + b"/J\xf6rg.ipynb"
    try:
        Path(os.fsdecode(name)).write_bytes(material.content(RIGHT))
    except OSError:
        pytest.skip("this file system has no such names")
    Path(os.fsdecode(name[:-6])).write_bytes(b"an essay")
    graded = run(tmp_path, {"c.ipynb": material.content(RIGHT)})
    lines = rows(graded)
    assert [lines[student]["score"] for student in ("a", "c")] == ["5", "5"]
    assert "two submissions of this name" in lines["J?rg"]["reason"]
    Path(os.fsdecode(name[:-6])).unlink()
    assert rows(run(tmp_path, {}))["J?rg"]["score"] == "5"


def test_a_space_behind_a_name_is_no_other_student(tmp_path: Path) -> None:
    odd = material.content(material.with_cell("import os"))
    for _ in range(3):
        graded = run(tmp_path, {"Anna .ipynb": odd})
        assert graded.manual is not None
        assert graded.manual.read_text() == "student,trust,comment\nAnna,,\n"


def test_a_message_that_is_no_text_stops_nobody(tmp_path: Path) -> None:
    made = material.source()
    made.cells[4].source = (
        "from sema_lite.checks.report import exercise\n"
        f"exercise(lambda answer: answer(2))(double)\n{made.cells[4].source}"
    )
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(made))
    double = 'def double(x):\n    raise ValueError("\\ud800")'
    files = {"a.ipynb": material.answered(double=double), "b.ipynb": RIGHT}
    graded = run(tmp_path, {name: material.content(book) for name, book in files.items()})
    assert "\ud800" in graded.marks[0][1].messages["test-double"]
    assert [mark.score for _, mark in graded.marks] == [2, 5]
    assert "ValueError: ?" in (graded.feedback / "a.html").read_text()


def test_what_is_missing_on_this_computer_costs_nobody_points(tmp_path: Path) -> None:
    made = material.source()
    made.cells[1].source = "import not_there\nimport math"
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "T1_small.ipynb"
    path.write_bytes(material.content(made))
    wanted = "does not pass test-double on this computer: given cell 2 stopped with ModuleNotFound"
    with pytest.raises(ValueError, match=wanted):
        run(tmp_path, {"a.ipynb": material.content(RIGHT), "b.ipynb": material.content(WRONG)})
    assert not (tmp_path / "grades.csv").exists()
    path.write_bytes(material.content(material.source()))
    graded = run(tmp_path, {})
    assert (graded.known, [mark.score for _, mark in graded.marks]) == (0, [5, 2])


def test_the_solution_runs_outside_once_so_that_python_compiles_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    real = running.run

    def logged(steps: Any, own: Any, preload: Any, limits: Any, hide: Any, *more: Any) -> Any:
        given.append(more[0])
        return real(steps, own, preload, limits, hide, *more)

    monkeypatch.setattr(running, "run", logged)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    files = [{"a.ipynb": RIGHT}, {}, {"b.ipynb": WRONG}]
    seen = []
    for more in files:
        run(tmp_path, {name: material.content(book) for name, book in more.items()})
        seen.append(list(given))
        given.clear()
    outside = [] if UNCONTAINED else [False]
    usual = not UNCONTAINED
    # the solution, and the submission; nothing new; the solution, and twice the wrong answer
    assert seen == [[*outside, usual, usual], [], [usual, usual, usual]]


def test_a_wrong_test_costs_nobody_points(tmp_path: Path) -> None:
    made = material.source()
    made.cells[4].source = "assert double(2) == 5, 'double(2) is not 5'"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(made))
    with pytest.raises(ValueError, match=r"own solution does not pass test-double .* is not 5"):
        run(tmp_path, {"a.ipynb": material.content(RIGHT)})


def test_an_error_in_a_given_cell_is_shown_where_the_student_calls_it(tmp_path: Path) -> None:
    made = material.source()
    made.cells[1].source = "import math\ndef given(x):\n    return x.y"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(made))
    book = material.answered(double="def double(x):\n    return given(x)")
    wanted = "AttributeError in your cell 4, line 2: `return given(x)`"
    for notebook in (book, material.stripped(book)):
        graded = run(tmp_path, {"a.ipynb": material.content(notebook)})
        assert graded.marks[0][1].messages["test-double"] == wanted


def test_a_cell_without_a_type_is_damage(tmp_path: Path) -> None:
    made = json.loads(material.content(RIGHT))
    del made["cells"][3]["cell_type"]
    line = rows(run(tmp_path, {"a.ipynb": json.dumps(made).encode()}))["a"]
    assert "the file is damaged, not a notebook" in line["reason"]


def test_no_more_is_read_of_a_file_than_a_notebook_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "LARGEST", 1_000_000)
    monkeypatch.setattr(classroom, "LARGEST", 1_000_000)
    got = []
    real = classroom.mark
    monkeypatch.setattr(
        classroom, "mark", lambda content, *more: got.append(len(content)) or real(content, *more)
    )
    line = rows(run(tmp_path, {"a.ipynb": b" {" * 1_000_000}))["a"]
    assert line["reason"] == "the file is larger than 1 MB"
    assert got == [1_000_001]


def test_the_cells_of_ipython() -> None:
    assert plain("x = 1\r\n  !ls\n%pip install y") == "x = 1\n  pass\npass"
    assert plain("x = (7\n% 2)") == "x = (7\n% 2)"
    assert plain("%%bash\nrm") == ""


ODD = {
    "import ctypes": "imports ctypes",
    "from os import fork": "imports os",
    "import sys\nsys._getframe()": "uses ._getframe",
    "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame": "uses .tb_frame",
    "exec('1')": "uses exec",
    "import math\nmath.isclose = abs": "changes math.isclose",
    "import math\nm = math\nm.isclose = abs": "changes m.isclose",
    "import math\ndef f(m): m.isclose = abs\nf(math)": "passes math on",
    "class A:\n    def __eq__(self, other): return True": "defines __eq__",
    "import random\nrandom._os.getpid()": "uses ._os",
    "import torch\ntorch.os.getpid()": "uses .os",
    "from torch import os": "imports os of torch",
    "import collections\ncollections._sys._getframe(0)": "uses ._getframe",
    "().__class__.__subclasses__()": "uses .__subclasses__",
    "type('A', (), {'__eq__': max})": "uses '__eq__'",
    "type('A', (), dict())": "makes a class by type()",
    "match (x for x in ()):\n    case object(gi_frame=f): pass": "uses .gi_frame",
    "from sema_lite.results import *": "imports * of sema_lite.results",
    "import sema_lite.grading.inside": "imports sema_lite.grading.inside",
    "import torch\nt = type(torch.ones(1))\nt.allclose = max": "changes t.allclose",
}


@pytest.mark.parametrize("text", ODD)
def test_odd_means_are_found(text: str) -> None:
    found = [one.split(": ", 1)[1] for one in suspicions({"cell 1": text}, [])]
    assert ODD[text] in found


def test_what_the_solution_uses_is_allowed() -> None:
    assert suspicions({"cell 1": "import gc"}, ["import gc"]) == []


def test_no_solution_is_odd(tmp_path: Path) -> None:
    source = Assignment(material.sources(tmp_path / "s") / "T1_small.ipynb")
    program = assemble(RIGHT, source)
    assert suspicions(program.written, source.teachers_code) == []
    assert set(program.written) == {"cell 4", "cell 7"}


# -- answers in other cells, and answers that are nowhere ------------------------------------------


def elsewhere(name: str) -> Any:
    """An intact notebook whose answers are right, but not where they are looked for."""
    if name == "uses a later one":
        return material.answered(
            double="def double(x):\n    return twice(x)",
            counter=f"{material.COUNTER}\n\n\ndef twice(x):\n    return 2 * x",
        )
    stub = material.release()
    if name == "helper in a lower cell":
        made = material.answered(double="def double(x):\n    return twice(x)")
        made.cells.append(new_code_cell("def twice(x):\n    return 2 * x"))
        return made
    made = material.answered(double=stub.cells[3].source)
    if name == "below the check":
        made.cells.insert(5, new_code_cell(material.DOUBLE))
    elif name == "first line of the check cell":
        made.cells[4].source = f"{material.DOUBLE}\n\n\n{made.cells[4].source}"
    elif name == "last line of the check cell":
        made.cells[4].source = f"{made.cells[4].source}\n\n\n{material.DOUBLE}"
    elif name == "two in one cell":
        made = material.answered(
            double=stub.cells[3].source, counter=f"{material.COUNTER}\n\n\n{material.DOUBLE}"
        )
    return made


ELSEWHERE = {
    "uses a later one": "test-double",
    "helper in a lower cell": "test-double",
    "below the check": "test-double",
    "first line of the check cell": "test-double",
    "last line of the check cell": "test-double",
    "two in one cell": "test-double",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    files = {f"{name}.ipynb": material.content(elsewhere(name)) for name in ELSEWHERE}
    files["wrong below.ipynb"] = material.content(
        material.with_cell(
            "def double(x):\n    return 4", double=material.release().cells[3].source
        )
    )
    files["patches below.ipynb"] = material.content(
        material.with_cell(
            f"m = [math][0]\nm.isclose = max\n{material.DOUBLE}",
            double=material.release().cells[3].source,
        )
    )
    odd = material.answered(double=material.release().cells[3].source)
    odd.cells[4].source = f"import os\n{material.DOUBLE}"
    files["odd in a check.ipynb"] = material.content(odd)
    return run(tmp_path_factory.mktemp("found"), files)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_intact_and_without_metadata_get_the_same_points(found: Graded, name: str) -> None:
    mark = dict(found.marks)[name]
    assert (mark.status, mark.score, mark.how) == ("graded", 5, "intact"), mark
    assert rows(found)[name]["reason"] == f"functions found by name for {ELSEWHERE[name]}"
    page = (found.feedback / f"{name}.html").read_text()
    assert "in another cell" in page


def test_what_is_wrong_in_another_cell_is_said(found: Graded) -> None:
    mark = dict(found.marks)["wrong below"]
    assert (mark.score, mark.messages["test-double"]) == (2, "wrong for other numbers")
    assert "by name" not in mark.reason


def test_a_second_try_forgives_nothing(found: Graded) -> None:
    mark = dict(found.marks)["patches below"]
    assert (mark.status, mark.score) == ("check", None)
    assert "changes math.isclose" in mark.reason
    mark = dict(found.marks)["odd in a check"]
    assert (mark.status, mark.odd) == ("check", ["cell 5, line 1: imports os"])


def test_a_second_try_has_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    real = running.run

    def logged(steps: Any, own: Any, preload: Any, limits: Limits, *more: Any) -> Any:
        given.append((limits.seconds, [step.name for step in steps if step.kind == "test"]))
        return real(steps, own, preload, limits, *more)

    monkeypatch.setattr(running, "run", logged)
    loop = "def double(x):\n    while True: pass"
    files = {"a.ipynb": material.content(material.answered(double=loop))}
    graded = run(tmp_path, files, limits=Limits(seconds=30, part_seconds=2))
    assert graded.marks[0][1].points["test-double"] == 0
    assert "took too long" in graded.marks[0][1].messages["test-double"]
    (first, tests), (second, again) = given[-2:]  # before it: the assignment's own solution
    assert second <= first - 2
    assert (tests, again) == (["test-double", "test-counter"], ["test-double"])


def test_waiting_costs_no_points(tmp_path: Path) -> None:
    """A limit on a test is one of computing: the clock also runs where the computer is busy."""
    double = "import time\ndef double(x):\n    time.sleep({})\n    return 2 * x"
    files = {
        "a while.ipynb": material.answered(double=double.format(1.2)),
        "for ever.ipynb": material.answered(double=double.format(100)),
    }
    for _ in range(2):
        graded = run(
            tmp_path,
            {name: material.content(book) for name, book in files.items()},
            limits=Limits(seconds=12, part_seconds=1),
        )
        marks = dict(graded.marks)
        assert marks["a while"].score == 5
        assert (marks["for ever"].status, marks["for ever"].score) == ("not graded", None)
        assert marks["for ever"].reason == (
            "not tested: test-double, test-counter; it ran longer than 12 seconds, in a test"
        )
    assert graded.known == 1  # the other one is tried again


def test_what_the_assignments_own_cells_use_is_no_answer_of_the_library() -> None:
    given = ["from sema_lite.verdicts import critical", "def verdict(m, e, n):\n    critical(n)"]
    mine = "def verdict(m, e, n):\n    return abs(m) > critical(n) * e"
    assert suspicions({"cell 2": mine}, given, ["verdict"]) == []
    more = "from sema_lite.verdicts import critical, interval"
    assert suspicions({"cell 2": more}, given, ["verdict"]) == [
        "cell 2, line 1: takes the answer from the library: imports sema_lite.verdicts.interval"
    ]


@pytest.mark.parametrize(
    ("double", "message"),
    [
        ("def double(x)\n    return 2 * x", "your cell 4 stopped with SyntaxError in line 1: "),
        ("1 / 0\n" + material.DOUBLE, "your cell 4 stopped with ZeroDivisionError in your cell 4"),
        (material.DOUBLE.replace("double", "duble"), "of the name double: was it renamed"),
    ],
)
def test_why_a_function_is_not_there(tmp_path: Path, double: str, message: str) -> None:
    for name in ("intact", "stripped"):
        notebook = material.answered(double=double)
        files = {"a.ipynb": material.content(notebook)}
        if name == "stripped":
            files = {"a.ipynb": material.content(material.stripped(notebook))}
        graded = run(tmp_path, files)
        assert message in graded.marks[0][1].messages["test-double"], name
        assert graded.marks[0][1].score == 2


# -- what a person adds ----------------------------------------------------------------------------


def by_hand(graded: Graded, text: str) -> None:
    graded.out.with_name("grades-manual.csv").write_text(text, encoding="utf-8")


def test_points_of_a_person_enter_table_and_page_and_stay(tmp_path: Path) -> None:
    right = material.content(material.answered(manual=True))
    files = dict.fromkeys(("a.ipynb", "b.ipynb"), right)
    first = run(tmp_path, files, manual=True)
    assert first.manual is not None
    assert first.manual.read_text() == "student,why,trust,comment\na,,,\nb,,,\n"
    text = "student;why;trust;comment\na;2,5;;Well seen\nb;;;\n"  # as a German Excel saves it
    by_hand(first, text)
    for _ in range(2):
        again = run(tmp_path, {}, manual=True)
        assert again.known == 2
        lines = rows(again)
        assert (lines["a"]["score"], lines["a"]["why"], lines["a"]["status"]) == (
            "7.5",
            "2.5",
            "graded",
        )
        assert (lines["b"]["score"], lines["b"]["why"], lines["b"]["status"]) == (
            "5",
            "pending",
            "pending",
        )
        page = (again.feedback / "a.html").read_text()
        assert "7.5 of 9 points" in page
        assert "From your teacher: Well seen" in page
        assert first.manual.read_text() == text
    run(tmp_path, {"c.ipynb": right}, manual=True)
    assert first.manual.read_text() == text + "c;;;\n"


def test_a_person_may_change_the_points_of_a_test(tmp_path: Path) -> None:
    first = run(tmp_path, {"a.ipynb": material.content(WRONG), "b.ipynb": b"half"})
    assert first.manual is None
    by_hand(first, "student,test-double,test-counter\na,1.5,\nb,3,2\n")
    lines = rows(run(tmp_path, {}))
    assert (lines["a"]["score"], lines["a"]["test-double"]) == ("3.5", "1.5")
    assert "points by hand: test-double (the tests: 0)" in lines["a"]["reason"]
    assert (lines["b"]["score"], lines["b"]["status"]) == ("5", "graded")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("student,test-double\na,4\n", "from 0 to 3 is needed, got '4'"),
        ("student,test-double\na,many\n", "got 'many'"),
        ("student,test-duble\na,1\n", "no column is named 'test-duble'"),
        ("student,trust\na,perhaps\n", "got 'perhaps'"),
        ("student,test-double\nz,1\n", "'z', who is not in"),
        ("student,test-double\na,1\na,2\n", "two lines for 'a'"),
        ("name,trust\na,\n", "no column is named 'name'"),
        ("student,trust,comment\na,,Well done, Anna\n", "a: 'Anna' stands in no column"),
        ("student,trust,,\na,,,seen\n", "a: 'seen' stands in no column"),
        ("student,trust,trust\na,yes,\n", "two columns have the same name"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    first = run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    by_hand(first, text)
    before = first.out.read_bytes()
    with pytest.raises(ValueError, match=problem):
        run(tmp_path, {})
    assert first.out.read_bytes() == before


def test_points_by_hand_that_are_not_all_are_named(tmp_path: Path) -> None:
    first = run(tmp_path, {"b.ipynb": b"half"})
    by_hand(first, "student,test-double\nb,3\n")
    line = rows(run(tmp_path, {}))["b"]
    assert (line["score"], line["status"]) == ("", "not graded")
    assert line["reason"].startswith("points by hand, but none for test-counter; the file is")


def test_trust_is_remembered(tmp_path: Path) -> None:
    odd = material.content(material.with_cell("import os"))
    first = run(tmp_path, {"a.ipynb": odd, "b.ipynb": odd})
    assert first.manual is not None
    assert [mark.status for _, mark in first.marks] == ["check", "check"]
    assert first.manual.read_text() == "student,trust,comment\na,,\nb,,\n"
    run(tmp_path, {}, trust=["a"])
    again = run(tmp_path, {})
    assert [(mark.status, mark.score) for _, mark in again.marks] == [
        ("graded", 5),
        ("check", None),
    ]
    assert first.manual.read_text() == "student,trust,comment\na,yes,\nb,,\n"
    page = (again.feedback / "b.html").read_text()
    assert "cell 9, line 1: imports os" in page


def test_results_among_the_submissions_are_no_students(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.ipynb").write_bytes(material.content(material.with_cell("import os")))
    options = {"uncontained": UNCONTAINED, "progress": False, "limits": LIMITS}
    options["sources"] = material.sources(tmp_path / "source")
    for _ in range(3):
        graded = grade(folder, "T1", folder / "T1.csv", **options)
        assert [student for student, _ in graded.marks] == ["a"]
        graded.out.write_text(graded.out.read_text() + "\n")
    assert (folder / "T1-changed.csv").exists()


def test_the_command_says_where_a_person_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, {"a.ipynb": material.content(material.with_cell("import os"))})
    out = tmp_path / "grades.csv"
    out.write_text(out.read_text() + "\n")
    words = ["grade", str(tmp_path / "handed in"), "--out", str(out), "--quiet", "--assignment"]
    words += [str(tmp_path / "source" / "T1_small.ipynb"), *["--uncontained"] * UNCONTAINED]
    assert main(words) == 0
    said = capsys.readouterr()
    assert f"Points by hand, trust and comments: {tmp_path / 'grades-manual.csv'}" in said.out
    assert "grades-changed.csv" in said.err
    assert main([*words[:3], str(tmp_path / "handed in" / "a.ipynb"), *words[4:]]) == 2
    assert "no table of grades" in capsys.readouterr().err
    for option in ("--time", "--memory"):
        assert main([*words, option, "inf"]) == 2
        assert f"{option} must be above 0 and finite, got inf" in capsys.readouterr().err


def test_the_table_of_another_assignment_is_not_overwritten(tmp_path: Path) -> None:
    first = run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    before = first.out.read_bytes()
    (tmp_path / "source" / "T1_small.ipynb").rename(tmp_path / "source" / "T2_other.ipynb")
    with pytest.raises(ValueError, match=r"is the table of T1_small.*such as T2\.csv"):
        grade(tmp_path / "handed in", "T2", first.out, sources=tmp_path / "source")
    assert first.out.read_bytes() == before
    first.out.write_text("a list of mine\n")
    with pytest.raises(ValueError, match="no table of grades"):
        grade(tmp_path / "handed in", "T2", first.out, sources=tmp_path / "source")


def test_a_table_changed_by_hand_is_kept(tmp_path: Path) -> None:
    first = run(tmp_path, {"a.ipynb": material.content(RIGHT)})
    assert run(tmp_path, {}).kept is None
    changed = first.out.read_bytes().replace(b",5,5,", b",4,5,")
    first.out.write_bytes(changed)
    again = run(tmp_path, {})
    assert again.kept == tmp_path / "grades-changed.csv"
    assert again.kept.read_bytes() == changed
    assert rows(again)["a"]["score"] == "5"
    assert run(tmp_path, {}).kept is None
    again.out.write_bytes(changed)
    shutil.rmtree(again.feedback)  # and with it what was written last
    assert run(tmp_path, {}).kept == tmp_path / "grades-changed2.csv"


# -- who is who ------------------------------------------------------------------------------------


def test_names_of_learning_platforms(tmp_path: Path) -> None:
    right = material.content(RIGHT)
    files = {
        "Schmidt_Anna_123456_assignsubmission_file_/T1.ipynb": right,
        "Schmidt_Anna_123456_assignsubmission_onlinetext_/onlinetext.html": b"<p>Here it is.",
        "Ben Ott_77_assignsubmission_file_T1_small.ipynb": right,
        "coledora_LATE_4711_89123_T1_small-1.ipynb": right,
        "Eva_1_assignsubmission_file_/T1.ipynb": right,
        "Eva_2_assignsubmission_file_/T1.ipynb": right,
        "f_1.ipynb": right,
    }
    lines = rows(run(tmp_path, files))
    assert {name: line["id"] for name, line in lines.items()} == {
        "Schmidt_Anna": "123456",
        "Ben Ott": "77",
        "coledora": "4711",
        "Eva 1": "1",
        "Eva 2": "2",
        "f_1": "",
    }
    assert {line["score"] for line in lines.values()} == {"5"}


def test_a_second_download_is_no_second_student(tmp_path: Path) -> None:
    right, wrong = material.content(RIGHT), material.content(WRONG)
    files = {"a.ipynb": wrong, "a (1).ipynb": wrong, "a (2).ipynb": right}
    lines = rows(run(tmp_path, {**files, "group (1).ipynb": right, "group (2).ipynb": wrong}))
    assert list(lines) == ["a", "group (1)", "group (2)"]
    assert lines["a"]["score"] == "5"
    assert lines["a"]["reason"] == "'a (2).ipynb' is graded, and not 'a.ipynb', 'a (1).ipynb'"


def test_the_same_text_twice_is_for_a_person(tmp_path: Path) -> None:
    more = "\n".join(f"a{i} = {i}" for i in range(8))
    text = material.DOUBLE + "\n" + more
    copy = material.answered(double=text)
    files = {
        "a.ipynb": material.content(copy),
        "b.ipynb": material.content(material.stripped(copy)),
        "c.ipynb": material.content(material.answered(double=text.replace("a1", "a_1"))),
        "d.ipynb": material.content(RIGHT),
        "e.ipynb": material.content(RIGHT),  # short: two may well write the same
    }
    graded = run(tmp_path, files)
    lines = rows(graded)
    assert {name: line["status"] for name, line in lines.items()} == {
        "a": "check",
        "b": "check",
        "c": "graded",
        "d": "graded",
        "e": "graded",
    }
    assert "same text as b. Its tests say 5 of 5" in lines["a"]["reason"]
    assert "same text" not in (graded.feedback / "a.html").read_text()
    again = rows(run(tmp_path, {}, trust=["a"]))
    assert [again[name]["status"] for name in "ab"] == ["graded", "check"]


def test_rows_of_one_task_can_be_told_apart(tmp_path: Path) -> None:
    made = material.source()
    made.cells[5].source = "No heading here."
    made.cells[4].metadata["sema_lite"] = {"part": "numbers"}
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "T1_small.ipynb").write_bytes(material.content(made))
    titles = [task.title for task in Assignment(tmp_path / "source" / "T1_small.ipynb").tasks]
    assert titles == ["Task 1: twice (numbers)", "Task 1: twice (test-counter)"]


# -- the library has the answers -------------------------------------------------------------------

GIVEN = [
    "from sema_lite import reference\nfrom sema_lite.checks import assignment2 as check",
    "for d in (0.5,):\n    check.shown('way', d, way, reference.SEMA, d, 100, 3)",
]
TAKEN = {
    "class SEMA(reference.SEMA):\n    pass": "reference.SEMA",
    "SEMA = reference.SEMA": "reference.SEMA",
    "for SEMA in [reference.SEMA]:\n    pass": "reference.SEMA",
    "r = reference\nSEMA = r.SEMA": "reference",
    "def SEMA(*a, **k):\n    return reference.SEMA(*a, **k)": "reference.SEMA",
    "from sema_lite import reference as r\nSEMA = r.SEMA": "r.SEMA",
    "from sema_lite.theory import step_fraction": "imports sema_lite.theory.step_fraction",
    "import sema_lite.theory as t": "imports sema_lite.theory",
    "import sema_lite\ndef f():\n    return sema_lite.SEMA": "sema_lite.SEMA",
    "from sema_lite import EMA": "imports sema_lite.EMA",
    "from sema_lite.paired import paired_difference": "imports sema_lite.paired.paired_difference",
    "from sema_lite.grids import read_grid": "imports sema_lite.grids.read_grid",
    "from sema_lite.memory import Group": "imports sema_lite.memory.Group",
}


def test_the_modules_and_names_with_answers_are_there() -> None:
    modules = [importlib.import_module(f"sema_lite.{name}") for name in shortcuts.MODULES]
    for name in shortcuts.NAMES:
        assert any(hasattr(module, name) for module in modules), name


@pytest.mark.parametrize("text", TAKEN)
def test_answers_of_the_library_are_found(text: str) -> None:
    found = suspicions({"cell 1": text}, GIVEN, ["way", "SEMA"])
    assert f"takes the answer from the library: {TAKEN[text]}" in [
        f.split(": ", 1)[1] for f in found
    ]


@pytest.mark.parametrize(
    "text",
    [
        GIVEN[0],
        "print(reference.SEMA([1.0], 0.9, switch_every=1).average)",
        "share = way(reference.SEMA, 0.9, 10, 3)",
        "def shares():\n    return [way(reference.SEMA, d, 10, 3) for d in (0.5, 0.9)]",
        "from sema_lite import plots\nfrom sema_lite.run import Run",
        "class SEMA:\n    pass",
    ],
)
def test_experiments_with_the_library_are_allowed(text: str) -> None:
    assert suspicions({"cell 1": text}, GIVEN, ["way", "SEMA"]) == []


def test_in_another_assignment_the_name_is_the_students_own() -> None:
    assert suspicions({"cell 1": "reference = {}\nmine = reference.keys()"}, [], ["mine"]) == []


def test_threads_may_read_notebooks_at_once() -> None:
    """Python 3.11 can fail with "AST constructor recursion depth mismatch" where they do."""

    class Circle:
        """Garbage whose end runs Python: it lets other threads in while one is parsing."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            sum(range(50))

    def read(_: int) -> int:
        for _ in range(5):
            Circle()
        return len(tree(text).body)

    text = Path(source.__file__).read_text(encoding="utf-8")
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, range(200))) == {read(0)}
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
