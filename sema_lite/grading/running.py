"""One submission in its sandbox, seen from outside: cells go in, then tests; limits are watched."""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from .sandbox import Limits, Room

LONGEST = 1_000_000  # bytes of an answer
WATCH = 0.3  # seconds between two looks at the memory


@dataclass(frozen=True)
class Step:
    """A cell to run, or the place of a test.

    Attributes:
        kind: "given" (the teacher's text), "code" (the student's) or "test".
        name: "cell 3", as the student counts, or "given cell 3"; of a test: its grade_id.
        source: the text; of a test it is handed over when all cells have run.
    """

    kind: str
    name: str
    source: str


@dataclass
class Verdict:
    """On one test.

    Attributes:
        passed: None if it was not run to its end.
        value: the number on its last line, if there is one: nbgrader's partial points.
        message: what the student is told.
        changed: tools of the tests, such as "math.isclose", that the code has changed in the test.
        undone: those that it had changed before, which was undone.
    """

    passed: bool | None = None
    value: float | None = None
    message: str = ""
    changed: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()


@dataclass
class Outcome:
    """Of a whole submission: a verdict per test, and why it stopped early, if it did."""

    verdicts: dict[str, Verdict]
    troubles: dict[str, str] = field(default_factory=dict)
    stopped: str = ""


class Stopped(Exception):
    """A limit, or the end of the sandbox; the message says which."""


def run(
    steps: list[Step],
    own: list[str],
    preload: list[str],
    limits: Limits,
    hide: tuple[Path, ...] = (),
    contained: bool = True,
    stop: Event | None = None,
) -> Outcome:
    """Run a submission's cells, then the tests.

    Args:
        own: the names that the tasks ask for; of all others the tests see the teacher's.
        preload: modules that the assignment uses.
        hide: folders that must not be seen from inside.
        stop: when it is set, this ends with KeyboardInterrupt.
    """
    tests = [step for step in steps if step.kind == "test"]
    outcome = Outcome({test.name: Verdict() for test in tests})
    work = {
        "steps": [
            {"kind": "test", "id": step.name, "name": step.name}
            if step.kind == "test"
            else {"kind": step.kind, "name": step.name, "source": step.source}
            for step in steps
        ],
        "own": own,
        "preload": preload,
        "output": limits.output,
        "cell_seconds": limits.part_seconds,
        "test_seconds": limits.part_seconds,
    }
    room = Room(limits, len(tests), hide)
    with room, Inside(room, limits, contained, stop) as inside:
        try:
            inside.say(work)
            while not (event := inside.hear()).get("ready"):
                inside.running = str(event.get("start", inside.running))[:60]
            outcome.troubles = {str(k): str(v) for k, v in event.get("troubles", {}).items()}
            outcome.stopped = str(event.get("ended") or "")
            for test in tests:
                inside.running = "a test"
                outcome.verdicts[test.name] = _test(inside, test)
        except Stopped as why:
            outcome.stopped = f"{why}, in {inside.running}" if inside.running else str(why)
    return outcome


def _test(inside: Inside, test: Step) -> Verdict:
    number = secrets.token_hex(16)  # said by whoever comes to the end of the test
    inside.say({"id": test.name, "source": test.source, "number": number})
    answer = inside.hear()
    if answer.get("dead") == "not reached":
        return Verdict()
    if "dead" in answer:
        return Verdict(False, message=str(answer["dead"]))
    passed = answer.get("number") == number
    value = answer.get("value") if isinstance(answer.get("value"), float) else None
    message = str(answer.get("message") or ("" if passed else "Your code ended the test."))
    printed = str(answer.get("printed") or "").strip()[:300]
    if printed.endswith(": not done yet."):  # of a visible check: the message says more
        printed = ""
    if not passed and printed and printed not in message:
        message = f"{message}\n{printed}"
    message = re.sub(r"\x1b\[[0-9;]*m|[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f]", "", message)
    changed, undone = _names(answer.get("changed")), _names(answer.get("undone"))
    return Verdict(passed and not changed, value, message[:1000], changed, undone)


def _names(found: object) -> tuple[str, ...]:
    return tuple(str(name)[:80] for name in found[:5]) if isinstance(found, list) else ()


class Inside:
    """The program in the sandbox; use it as a context, at whose end it is over."""

    def __init__(self, room: Room, limits: Limits, contained: bool, stop: Event | None) -> None:
        self.room, self.limits, self.contained, self.stop = room, limits, contained, stop
        self.rest, self.running = b"", ""

    def __enter__(self) -> Inside:
        program = [sys.executable, "-m", "sema_lite.grading.inside"]
        self.end = time.monotonic() + self.limits.seconds
        self.look = time.monotonic() + WATCH
        self.process = subprocess.Popen(
            self.room.command(program, self.contained),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.room.environment(self.contained),
            cwd="/" if self.contained else self.room.folder / "work",
            start_new_session=True,
            bufsize=0,
        )
        self._give_up_first()
        assert self.process.stdout is not None
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # all of its session, for where there is no sandbox
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.selector.close()
        for channel in (self.process.stdin, self.process.stdout):
            if channel is not None:
                channel.close()

    def say(self, message: dict[str, Any]) -> None:
        """Write one line.

        Raises:
            Stopped: nobody is there.
        """
        assert self.process.stdin is not None
        line = json.dumps(message).encode() + b"\n"
        try:
            while line:
                line = line[self.process.stdin.write(line) or 0 :]
        except BrokenPipeError:
            raise Stopped("it ended Python") from None

    def hear(self) -> dict[str, Any]:
        """The next line.

        Raises:
            Stopped: a limit is reached, or nobody is there any more.
        """
        assert self.process.stdout is not None
        while b"\n" not in self.rest:
            self._look()
            if not self.selector.select(WATCH):
                continue
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more or len(self.rest) > LONGEST:
                raise Stopped("it ended Python, or ran into a limit")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def _look(self) -> None:
        """Is there still time and memory left?"""
        now, limits = time.monotonic(), self.limits
        if self.stop is not None and self.stop.is_set():
            raise KeyboardInterrupt
        if now > self.end:
            raise Stopped(f"it ran longer than {round(limits.seconds, 1):g} seconds")
        if now > self.look:
            self.look = now + WATCH
            together = 2 * limits.memory
            if memory_of(self.process.pid, together) > together:
                raise Stopped(f"it took more than {together / 1e9:g} GB of memory")

    def _give_up_first(self) -> None:
        """If the machine runs out of memory, this is what the kernel ends first."""
        with suppress(OSError):
            Path(f"/proc/{self.process.pid}/oom_score_adj").write_text("1000")


def memory_of(process: int, limit: int) -> int:
    """Bytes of memory of a process and all below it, shared ones once (Linux; elsewhere 0).

    Counting shared memory right is slow, so it is done only if there may be more than `limit`.
    """
    family, waiting = [], [process]
    while waiting:
        family.append(waiting.pop())
        with suppress(OSError, ValueError):
            for task in Path(f"/proc/{family[-1]}/task").iterdir():
                waiting += map(int, task.joinpath("children").read_text().split())
    total = sum(_own_memory(member) for member in family)
    return total if total <= limit else sum(_shared_once(member) for member in family)


def _own_memory(process: int) -> int:
    with suppress(OSError, ValueError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _shared_once(process: int) -> int:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
