"""Hostile submissions: none raises its grade, reads a hidden test, or leaves anything behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grading_material as material
import pytest

from sema_lite.grading import Graded, Limits, grade
from sema_lite.grading.running import Inside, Outcome, Step, run
from sema_lite.grading.sandbox import Room, missing, seen_folders

MISSING = missing() or ("" if sys.platform == "linux" else "no Linux")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

LIMITS = Limits(
    seconds=60, part_seconds=4, memory=400_000_000, output=20_000, files=4_000_000, processes=8
)
WRONG = "def double(x):\n    return 0"
FORGE = """\
import json, os, sys
def double(x):
    frame = sys._getframe()
    while not {"answer", "test"} <= set(frame.f_locals):
        frame = frame.f_back
    number = frame.f_locals["test"]["number"]
    os.write(frame.f_locals["answer"], json.dumps({"number": number}).encode() + b"\\n")
    os._exit(0)
"""
ALL_EQUAL = """\
class Yes:
    def __eq__(self, other): return True
    def __float__(self): return 7.0
def double(x):
    return Yes()
"""


def secrets(folder: Path) -> dict[str, str]:
    """Cells that try to reach the things of others; the answers are right."""
    here = {
        "source": folder / "source" / "T1_small.ipynb",
        "other": folder / "handed in" / "loop.ipynb",
        "table": folder / "grades.csv",
        "proc": Path("/proc/1/environ"),
        "passwd": Path("/etc/passwd"),
        "tests": Path(__file__),
    }
    return {f"reads {name}": f"import os\nassert not os.path.exists({str(path)!r})\nopen('ok', 'w')"
            for name, path in here.items()}  # fmt: skip


def hostile(folder: Path, port: int) -> dict[str, Any]:
    """The submissions, by name."""
    victim = folder / "victim"
    made = {
        # cells that do harm; the answers are right
        "network": material.with_cell(
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"
        ),
        "writes": material.with_cell(f"open({str(victim / 'new')!r}, 'w').write('x')"),
        "deletes": material.with_cell(f"import shutil\nshutil.rmtree({str(victim)!r})"),
        "deletes all": material.with_cell(
            "import shutil\nfor name in ('/grader', '/dev', '/etc', '/tmp'):\n"
            "    shutil.rmtree(name, ignore_errors=True)",
            at=1,
        ),
        "deletes Python": material.with_cell(f"import os\nos.remove({os.__file__!r})", at=1),
        "kills": material.with_cell("import os, signal\nos.kill(-1, signal.SIGKILL)"),
        "exit": material.with_cell("import sys\nsys.exit(0)", at=1),
        "os exit": material.with_cell("import os\nos._exit(0)"),
        "os exit first": material.with_cell("import os\nos._exit(0)", at=1),
        "loop": material.with_cell("while True:\n    pass", at=1),
        "stubborn loop": material.with_cell(
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass",
            at=1,
        ),
        "flood": material.with_cell("while True:\n    print('x' * 1000)", at=1),
        "flood below": material.with_cell(
            "import os\nfor _ in range(1000):\n    os.write(1, b'x' * 10000)", at=1
        ),
        "memory": material.with_cell("x = []\nwhile True:\n    x.append(bytearray(10**7))", at=1),
        "disk": material.with_cell(
            "for i in range(100):\n    open(f'f{i}', 'wb').write(b'x' * 10**6)", at=1
        ),
        "forks": material.with_cell("import os\nfor _ in range(1000):\n    os.fork()"),
        "daemon": material.with_cell(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)"
        ),
        # wrong answers that want to pass
        "test exits": material.answered(double="import sys\ndef double(x): sys.exit(0)"),
        "test os exits": material.answered(double="import os\ndef double(x): os._exit(0)"),
        "test loops": material.answered(double="def double(x):\n    while True: pass"),
        "test floods": material.answered(double="def double(x):\n    while True: print(x)"),
        "test memory": material.answered(double="def double(x): return bytearray(10**9)"),
        "builtins": material.with_cell(
            "import builtins\nbuiltins.abs = lambda x: 0\n"
            "import math\nmath.isclose = lambda *a: True",
            at=2,
            double=WRONG.replace("0", "4"),
        ),
        "shadows": material.with_cell(
            "abs = lambda x: 0\nAssertionError = None\n"
            "class math:\n    isclose = staticmethod(lambda *a: True)",
            at=2,
            double=WRONG.replace("0", "4"),
            counter=material.COUNTER.replace("+= 1", "+= 2"),
        ),
        "late patch": material.answered(
            double="def double(x):\n    m = math\n    m.isclose = lambda *a: True\n    return 4"
        ),
        "modules": material.with_cell(
            "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=max)",
            at=2,
            double=WRONG.replace("0", "4"),
        ),
        "all equal": material.answered(double=ALL_EQUAL),
        "writes channels": material.answered(
            double="import os\ndef double(x):\n    for i in range(3, 50):\n        try:\n"
            '            os.write(i, b\'{"number": "1", "passed": true}\\n\')\n'
            "        except OSError: pass\n    return 0"
        ),
    }
    made |= {name: material.with_cell(text) for name, text in secrets(folder).items()}
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def graded(folder: Path) -> Graded:
    """All of them, graded; `trust` so that the walls are tested and not the look at the names."""
    (folder / "victim").mkdir()
    (folder / "victim" / "precious").write_text("precious")
    material.sources(folder / "source")
    (folder / "handed in").mkdir()
    (folder / "grades.csv").write_text("student,assignment,status\na,T1_small,before\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        submissions = hostile(folder, server.getsockname()[1])
        for name, notebook in submissions.items():
            path = folder / "handed in" / f"{name}.ipynb"
            path.write_bytes(material.content(notebook))
        made = grade(
            folder / "handed in",
            "T1",
            folder / "grades.csv",
            limits=LIMITS,
            trust=list(submissions),
            progress=False,
            sources=folder / "source",
        )
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    return made


RIGHT_AFTER_ALL = ["network", "writes", "deletes", "deletes all", "deletes Python", "exit", "loop",
                   "flood", "flood below", "memory", "disk", "daemon", "os exit"]  # fmt: skip


@pytest.mark.parametrize("student", RIGHT_AFTER_ALL)
def test_harm_in_a_cell_costs_nothing_that_was_right(graded: Graded, student: str) -> None:
    mark = dict(graded.marks)[student]
    assert (mark.status, mark.score) == ("graded", 5), mark


@pytest.mark.parametrize("student", ["os exit first", "stubborn loop"])
def test_what_never_came_to_its_tests_is_not_graded(graded: Graded, student: str) -> None:
    mark = dict(graded.marks)[student]
    assert (mark.status, mark.score) == ("not graded", None), mark
    assert "cell 2" in mark.reason


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("test exits", "SystemExit in your cell 4"),
        ("test os exits", "ended Python"),
        ("test loops", "took too long"),
        ("test floods", "TooMuchOutput in your cell 4"),
        ("test memory", "MemoryError in your cell 4"),
        ("builtins", "wrong for other numbers"),
        ("late patch", "changes what the test needs: math.isclose"),
        ("modules", "wrong for other numbers"),
        ("writes channels", ""),
    ],
)
def test_a_wrong_answer_does_not_pass(graded: Graded, student: str, message: str) -> None:
    mark = dict(graded.marks)[student]
    assert mark.points["test-double"] == 0, mark
    assert message in mark.messages["test-double"]
    assert mark.points["test-counter"] == 2, "the other task is not touched"


def test_names_do_not_shadow_the_tools_of_a_test(graded: Graded) -> None:
    assert dict(graded.marks)["shadows"].score == 0


def test_bombs_are_bounded(graded: Graded) -> None:
    for name in ("forks", "kills"):
        mark = dict(graded.marks)[name]
        assert mark.score in (None, 5), mark
    assert left_over() == []


def left_over() -> list[str]:
    """Sandboxes that this process still has, or that nobody has: others may be grading, too."""
    command = ["ps", "-eo", "pid=,ppid=,args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listing.splitlines()]
    above = {int(line[0]): int(line[1]) for line in lines}
    texts = {int(line[0]): line[2] for line in lines if len(line) > 2}
    found = []
    for process, text in texts.items():
        chain = [process]
        while above.get(chain[-1], 0) > 1:
            chain.append(above[chain[-1]])
        if "grading.inside" in text and (
            os.getpid() in chain or "grading.inside" in texts.get(chain[-1], "")
        ):
            found.append(text)
    return found


def test_what_is_left_over_is_seen() -> None:
    mine = subprocess.Popen([sys.executable, "-c", "input()  # grading.inside"], stdin=-1)
    assert left_over()
    mine.communicate(b"\n")
    assert not left_over()


def test_nothing_outside_is_changed(graded: Graded, folder: Path) -> None:
    assert graded.marks
    assert os.listdir(folder / "victim") == ["precious"]
    assert (folder / "victim" / "precious").read_text() == "precious"
    assert os.path.exists(os.__file__)


def test_nothing_of_others_can_be_read(graded: Graded, folder: Path) -> None:
    marks = dict(graded.marks)
    for name in secrets(folder):
        assert marks[name].score == 5
    outcome = look(folder, *secrets(folder).values())
    assert not outcome.troubles


def look(folder: Path, *cells: str) -> Outcome:
    """Run cells in a sandbox."""
    steps = [Step("code", f"cell {i}", text) for i, text in enumerate(cells, 1)]
    hide = (folder / "source", folder / "handed in", folder)
    return run(steps, [], [], LIMITS, hide)


def test_the_walls_can_be_seen_from_inside(folder: Path) -> None:
    made = {"bin", "data", "dev", "etc", "grader", "lib", "lib32", "lib64", "old", "proc", "sbin"}
    # Python and its environment may lie anywhere; of that place only they are seen.
    seen = made | {"sys", "tmp"} | {Path(folder).parts[1] for folder in seen_folders()}
    cells = [
        f"import os\nassert set(os.listdir('/')) <= {seen}, os.listdir('/')",
        "assert os.listdir('/old') == [] and os.listdir('/proc') in ([], ['cpuinfo'])",
        "assert os.getppid() == 1",
        "assert not [k for k in os.environ if 'TOKEN' in k or 'SECRET' in k]",
        "import subprocess\nfor command in (['mount', '-t', 'tmpfs', 'x', '/tmp'], "
        "['umount', '/grader'], ['unshare', '-m', 'true'], ['chroot', '/', '/bin/true']):\n"
        "    assert subprocess.run(command, capture_output=True).returncode, command",
        "import os\ntry:\n    os.setuid(0)\nexcept PermissionError:\n    pass\n"
        "me = os.path.join(os.sep, 'tmp', 'me')\n"
        "assert 'root' != open(me, 'w') and os.access(me, os.W_OK)",
        "for place in ('/', '/usr', '/grader', '/dev', '/etc', '/old'):\n"
        "    try:\n        open(place + '/x', 'w')\n    except OSError:\n        continue\n"
        "    raise AssertionError(place)",
    ]
    assert look(folder, *cells).troubles == {}


def test_it_does_fail_when_something_can_be_read(folder: Path) -> None:
    assert "cell 1" in look(folder, "import os\nassert not os.path.exists('/usr')").troubles


@pytest.mark.parametrize("double", [FORGE, ALL_EQUAL])
def test_suspicious_points_are_withheld_till_a_person_has_looked(
    tmp_path: Path, double: str
) -> None:
    """What is not prevented, as the package's first page says: it is found, and shown."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_bytes(material.content(material.answered(double=double)))
    options: dict[str, Any] = {"limits": LIMITS, "progress": False}
    options["sources"] = material.sources(tmp_path / "source")
    first = grade(tmp_path / "in", "T1", tmp_path / "g.csv", **options)
    mark = first.marks[0][1]
    assert (mark.status, mark.score) == ("check", None)
    assert "cell 4, line" in mark.reason
    assert "a,,T1_small,,5,check," in first.out.read_text()
    page = (first.feedback / "a.html").read_text()
    assert "looks at" in page
    assert "cell 4, line" in page
    assert "5 of 5" not in page
    second = grade(tmp_path / "in", "T1", tmp_path / "g.csv", trust=["a"], **options)
    assert (second.marks[0][1].status, second.marks[0][1].score) == ("graded", 5)


def test_a_test_is_handed_over_when_all_cells_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    say, hear = Inside.say, Inside.hear

    def logged_say(self: Inside, message: dict[str, Any]) -> None:
        log.append(json.dumps(message))
        say(self, message)

    def logged_hear(self: Inside) -> dict[str, Any]:
        log.append(json.dumps(hear(self)))
        return json.loads(log[-1])

    monkeypatch.setattr(Inside, "say", logged_say)
    monkeypatch.setattr(Inside, "hear", logged_hear)
    tests = [Step("test", name, f"assert x == {i}  # hidden {i}") for i, name in enumerate("ab")]
    cells = [Step("code", f"cell {i}", f"x = {i}") for i in range(2)]
    outcome = run([cells[0], tests[0], cells[1], tests[1]], [], [], LIMITS)
    assert all(verdict.passed for verdict in outcome.verdicts.values()), "each at its own place"
    ready = next(i for i, line in enumerate(log) if '"ready"' in line)
    assert not [line for line in log[:ready] if "hidden" in line]
    assert [i for i, line in enumerate(log) if "hidden 0" in line] == [ready + 1]
    assert [i for i, line in enumerate(log) if "hidden 1" in line] == [ready + 3]


def test_memory_of_all_processes_together() -> None:
    cell = (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        x = bytearray(os.urandom(1)) * 80_000_000\n        time.sleep(100)\n"
        "time.sleep(3)"
    )
    limits = Limits(seconds=30, part_seconds=20, memory=200_000_000)
    start = time.monotonic()
    assert "of memory, in cell 1" in run([Step("code", "cell 1", cell)], [], [], limits).stopped
    assert time.monotonic() - start < 20
    one = cell.replace("range(8)", "range(1)")
    assert not run([Step("code", "cell 1", one)], [], [], limits).stopped


def test_as_somebody_who_is_not_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way in: a user namespace. (As root it is played; else it is the usual one.)"""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    test_the_walls_can_be_seen_from_inside(folder)


def test_what_is_not_contained_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sema_lite.grading.sandbox._forbidden", lambda: "no sandbox here")
    (tmp_path / "in").mkdir()
    for name, text in {"a": "x = 1", "b": "while True:\n    pass", "c": "1 / 0"}.items():
        notebook = material.with_cell(text, at=1, double="def double(x): return x + 2")
        (tmp_path / "in" / f"{name}.ipynb").write_bytes(material.content(notebook))
    options: dict[str, Any] = {"limits": LIMITS, "progress": False}
    options["sources"] = material.sources(tmp_path / "source")
    with pytest.raises(ValueError, match="could read and change"):
        grade(tmp_path / "in", "T1", tmp_path / "g.csv", **options)
    done = grade(tmp_path / "in", "T1", tmp_path / "g.csv", uncontained=True, **options)
    assert "use the network" in done.missing
    assert [mark.score for _, mark in done.marks] == [2, 2, 2]


def test_outside_of_a_sandbox_the_teachers_own_processes_do_not_count() -> None:
    with Room(LIMITS, 3, ()) as room:
        assert "--nproc=11" in room.command(["true"])
        assert "nproc" not in " ".join(room.command(["true"], contained=False))


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, text in {"a": "x = 1", "b": "while True:\n    pass"}.items():
        path = tmp_path / "in" / f"{name}.ipynb"
        path.write_bytes(material.content(material.with_cell(text)))
    limits = Limits(seconds=60, part_seconds=50)
    options: dict[str, Any] = {"limits": limits, "progress": False, "workers": 2}
    options["sources"] = material.sources(tmp_path / "source")
    store = tmp_path / "g-feedback" / ".graded"

    over = threading.Event()  # or a grader that fails early is interrupted in another test

    def interrupt() -> None:
        while not list(store.glob("*.json")):
            if over.wait(0.1):
                return
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            grade(tmp_path / "in", "T1", tmp_path / "g.csv", **options)
    finally:
        over.set()
    assert time.monotonic() - start < 40
    assert not (tmp_path / "g.csv").exists()
    (tmp_path / "in" / "b.ipynb").write_bytes(material.content(material.answered()))
    graded = grade(tmp_path / "in", "T1", tmp_path / "g.csv", **options)
    assert graded.known == 1
    assert [mark.score for _, mark in graded.marks] == [5, 5]
