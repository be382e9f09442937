"""The program inside the sandbox: it runs one student's cells and then the tests.

    grader  --- what to run, without the tests --->  mother     (this file, started by running.py)
                                                     | fork
                                                     student    runs the cells, one by one
                                                     | fork, where a test cell stands
                                                     snapshot   waits; holds all names as they are

When the last cell is done, and not before, the grader hands over the tests one by one, each with a
number made up for it. A snapshot runs its test, and only if it comes to its end does it say that
number. So a student's cell never runs beside a test, a test never sees what another one has done,
and `sys.exit`, `os._exit`, a crash or a loop without end in one task costs that task only.

It needs the standard library alone. Students' prints go nowhere (see `streams.py`).
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import select
import signal
import sys
import time
import types
from os import _exit, close, fork, getpid, pipe, read, write
from typing import Any, NoReturn

from .answers import describe, file_name
from .pristine import Pristine
from .streams import Sink, deaf_streams

LONGEST = 2_000_000  # bytes of a line between the processes
GRACE = 5.0  # seconds that a cell may need on top of its limit before it is ended from outside
WAIT = 2.0  # how long a cell may take by the clock, over what it may compute


# -- lines of JSON ---------------------------------------------------------------------------------


def send(channel: int, message: dict[str, Any]) -> None:
    """Write one line."""
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[write(channel, line) :]


class Reader:
    """Lines from a pipe."""

    def __init__(self, channel: int) -> None:
        self.channel, self.rest = channel, b""

    def line(self, seconds: float | None = None) -> dict[str, Any] | None:
        """The next line; None if the other side is gone, or what it says is no line.

        Raises:
            TimeoutError: it has said nothing for so many seconds.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self.channel], [], [], left)[0]:
                raise TimeoutError
            more = read(self.channel, 65536)
            if not more or len(self.rest) > LONGEST:
                return None
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None


# -- the student -----------------------------------------------------------------------------------


class Student:
    """The process that runs the cells, and the snapshots of it that run the tests.

    Args:
        work: {"steps", "own", "output", "cell_seconds", "test_seconds"}, see `running.py`.
        say: where it tells the mother how far it is.
        tests: the two ends of each test's pipes, {name: (asked, answered)}.
    """

    def __init__(
        self, work: dict[str, Any], pristine: Pristine, say: int, tests: dict[str, tuple[int, int]]
    ) -> None:
        self.work, self.pristine, self.say, self.tests = work, pristine, say, tests
        self.texts = {step["name"]: step["source"] for step in work["steps"] if "source" in step}
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self.names = vars(main)
        self.names["display"] = lambda *_, **__: None
        self.given: dict[str, Any] = {}

    def run(self) -> None:
        """Run all cells in order; leave a snapshot behind where a test stands."""
        deaf_streams(Sink(self.work["output"]))
        me = getpid()
        for step in self.work["steps"]:
            if step["kind"] == "test":
                if fork() == 0:
                    self.serve(step["id"])
                send(self.say, {"test": step["id"]})
                continue
            send(self.say, {"start": step["name"]})
            trouble = run_cell(step, self.names, self.work["cell_seconds"])
            if getpid() != me:  # a cell has forked: there is one student
                _exit(0)
            if step["kind"] == "given":
                self.given.update(tools(step["source"], self.names))
            send(self.say, {"trouble": trouble})
        send(self.say, {"end": True})

    def serve(self, name: str) -> NoReturn:
        """In a snapshot: wait for the test of this place, run it, answer, and end."""
        try:
            ask, answer = self.tests[name]
            ends = {self.say, *(end for pair in self.tests.values() for end in pair)}
            for end in ends - {ask, answer}:
                close(end)
            test = Reader(ask).line()
            if test is not None:
                send(answer, self.judge(test))
        finally:
            _exit(0)

    def judge(self, test: dict[str, Any]) -> dict[str, Any]:
        """Run a test among the student's names, with Python's and the teacher's own tools."""
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends this process, whatever it is doing
        signal.setitimer(signal.ITIMER_PROF, self.work["test_seconds"])
        undone = self.pristine.restore()
        sink = Sink(self.work["output"], keep=1000)
        deaf_streams(sink)
        message, value, passed = None, None, False
        try:
            value = run_with_value(test["source"], self.place())
            passed = True
        except BaseException as error:
            message = describe(error, self.texts)
        changed = self.pristine.restore()
        reply = {"message": message, "value": value, "printed": sink.kept}
        number = test["number"] if passed else None
        return {**reply, "undone": undone, "changed": changed, "number": number}

    def place(self) -> dict[str, Any]:
        """The names that a test sees: the student's, but none that hides a tool of the test's."""
        own = self.work["own"]
        names = {
            name: value
            for name, value in self.names.items()
            if name in own or name not in self.pristine.builtins
        }
        names.update({name: value for name, value in self.given.items() if name not in own})
        names["__builtins__"] = self.pristine.builtins
        return names


def run_cell(step: dict[str, Any], names: dict[str, Any], seconds: float) -> str | None:
    """Run one cell; an error ends the cell, as in a notebook, and is told."""

    def too_long(*_: Any) -> NoReturn:
        raise TimeoutError("it took too long")

    clocks = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    for number, clock in clocks.items():
        signal.signal(number, too_long)
        signal.setitimer(clock, seconds if clock == signal.ITIMER_PROF else WAIT * seconds)
    try:
        exec(compile(step["source"], file_name(step["name"]), "exec"), names)
    except BaseException as error:  # SystemExit and KeyboardInterrupt as well
        return describe(error, {step["name"]: step["source"]})
    finally:
        for clock in clocks.values():
            signal.setitimer(clock, 0)
    return None


def tools(source: str, names: dict[str, Any]) -> dict[str, Any]:
    """The modules, functions and classes that a given cell has brought: tests rely on them."""
    bound = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
    return {name: names[name] for name in bound if name in names}


def run_with_value(source: str, place: dict[str, Any]) -> float | None:
    """Run a test; the number on its last line, which nbgrader takes as partial points."""
    tree = ast.parse(source, "<test>")
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "<test>", "exec"), place)
    if not isinstance(last, ast.Expr):
        return None
    value = eval(compile(ast.Expression(last.value), "<test>", "eval"), place)
    return float(value) if type(value) in (int, float) else None


# -- the mother ------------------------------------------------------------------------------------


def main() -> None:
    """Of the process that the grader starts: it runs nothing of the student's itself."""
    grader = Reader(0)
    work = grader.line()
    assert work is not None
    hide_memory()
    sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]
    for module in work["preload"]:
        try:
            importlib.import_module(module)
        except Exception:
            continue  # the cell that needs it will tell
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # before a fork: no threads that it would lose
    pristine = Pristine(work["preload"])
    tests, mine = {}, {}
    for step in work["steps"]:
        if step["kind"] == "test":
            asked, ask = pipe()
            answer, answered = pipe()
            tests[step["id"]] = (asked, answered)
            mine[step["id"]] = (ask, answer)
    told, say = pipe()
    student = fork()
    if student == 0:
        try:
            for channel in [told, *(channel for pair in mine.values() for channel in pair)]:
                close(channel)
            own_channels()
            Student(work, pristine, say, tests).run()
        finally:
            _exit(0)
    close(say)
    for pair in tests.values():
        for channel in pair:
            close(channel)
    there = listen(Reader(told), student, WAIT * work["cell_seconds"] + GRACE)
    mine = {name: channels for name, channels in mine.items() if name in there}
    hand_over(grader, mine)


def listen(student: Reader, process: int, seconds: float) -> set[str]:
    """Tell the grader of each cell, till the last one; end a student who is silent too long.

    Returns:
        The tests whose place was reached.
    """
    there: set[str] = set()
    running: str | None = None
    troubles: dict[str, str] = {}
    ended = None
    while True:
        try:
            event = student.line(seconds)
        except TimeoutError:
            ended = f"{running} ran longer than {seconds - GRACE:g} seconds and had to be ended"
            break
        if event is None:
            ended = f"{running or 'a cell'} ended Python, or ran into a limit on memory or time"
        if event is None or "end" in event:
            break
        if "test" in event:
            there.add(str(event["test"]))
        elif "start" in event:
            running = str(event["start"])
            send(1, {"start": running})
        elif event.get("trouble"):
            troubles[str(running)] = str(event["trouble"])[:600]
    try:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except OSError:
        pass
    send(1, {"ready": True, "ended": ended, "troubles": troubles})
    return there


def hand_over(grader: Reader, channels: dict[str, tuple[int, int]]) -> None:
    """Pass each test of the grader's on to its snapshot, and the answer back.

    A test that computes too long ends itself. One that waits, as on a busy computer, has all the
    time that the grader gives.
    """
    while True:
        test = grader.line()
        if test is None:
            return
        if test["id"] not in channels:
            send(1, {"id": test["id"], "dead": "not reached"})
            continue
        ask, answer = channels[test["id"]]
        reply: dict[str, Any] | None = None
        try:
            send(ask, test)
            reply = Reader(answer).line()
            dead = "Your code ended Python, took too long or too much memory, in a test."
        except BrokenPipeError:
            dead = "not reached"
        send(1, {"id": test["id"], **(reply if reply is not None else {"dead": dead})})


def own_channels() -> None:
    """The student's side has nothing of the grader's: 0, 1 and 2 lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for channel in (0, 1, 2):
        os.dup2(nowhere, channel)


def hide_memory() -> None:
    """No process of the student's may look into another one (Linux: not dumpable)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
