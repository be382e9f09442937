"""From one submission to points, a status and a reason."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from . import running
from .assembling import Program, assemble, by_name
from .running import Outcome, Step, Verdict
from .sandbox import Limits
from .source import LOG, Assignment, Task, tool
from .submissions import Unreadable, read_notebook
from .suspicion import suspicions

# All statuses. The points of the last two are withheld: "" and never 0.
GRADED, PENDING, CHECK, NOT_GRADED = "graded", "pending", "check", "not graded"
FOUND = "functions found by name"
MANY = 8  # lines of their own that two students hardly write alike
UNTOLD = ("Not done yet", "NameError: ")  # what is said of an answer that was not found


@dataclass
class Mark:
    """On one submission.

    Attributes:
        status: "graded"; "pending" (some tasks are for a person to grade); "check" (a person must
            look at it first); "not graded".
        points: of each task; None where there are none (yet).
        messages: for the student, of each task.
        reason: for the teacher.
        how: "intact" or "by name".
        odd: what a person should look at, for the student.
        digest: of what the student has written; "" if that is little.
        comment: a person's, for the student.
    """

    status: str
    reason: str = ""
    points: dict[str, float | None] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    how: str = ""
    odd: list[str] = field(default_factory=list)
    digest: str = ""
    comment: str = ""

    @property
    def score(self) -> float | None:
        """The sum so far; None if the points are withheld."""
        if self.status not in (GRADED, PENDING):
            return None
        return round(sum(value for value in self.points.values() if value is not None), 6)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def mark(
    content: bytes,
    assignment: Assignment,
    limits: Limits,
    hide: tuple[Path, ...] = (),
    contained: bool = True,
    trusted: bool = False,
    stop: Event | None = None,
) -> Mark:
    """Grade the bytes of a notebook.

    Args:
        hide: folders that its code must not see.
        trusted: a person has looked at it: what looks odd in it does not matter.
    """
    end = time.monotonic() + limits.seconds

    def tested(steps: list[Step]) -> Outcome:
        left = replace(limits, seconds=max(1.0, end - time.monotonic()))
        own, preload = assignment.own, assignment.preload
        return running.run(steps, own, preload, left, hide, contained, stop)

    try:
        notebook = read_notebook(content)
        program = assemble(notebook, assignment)
    except Unreadable as problem:
        return Mark(NOT_GRADED, str(problem))
    outcome, written = tested(program.steps), program.written
    found: list[str] = []
    failed = {name for name, verdict in outcome.verdicts.items() if verdict.passed is False}
    if program.how == "intact" and written and failed and not outcome.stopped:
        other = _by_name(notebook, assignment)
        steps = [step for step in other.steps if step.kind != "test" or step.name in failed]
        if other.written:
            found, taken = _improve(outcome, tested(steps), assignment)
            written = {**other.written, **written} if taken else written
    made = Mark(GRADED, how=program.how, digest=_digest(written, assignment))
    for task in assignment.tasks:
        made.points[task.name] = points(task, outcome, assignment)
        got = made.points[task.name]
        made.messages[task.name] = _message(task, got, outcome, written, assignment.own)
    odd = [] if trusted else suspicions(written, assignment.teachers_code, assignment.own)
    _judge(made, outcome, assignment, odd, trusted)
    if made.how == "by name":
        made.reason = both(made.reason, f"cells were moved, copied or lost: {FOUND}")
    elif found:
        made.reason = both(made.reason, f"{FOUND} for {', '.join(found)}")
    made.reason = both(made.reason, outcome.stopped)
    return made


def points(task: Task, outcome: Outcome, assignment: Assignment) -> float | None:
    """Of a task, by nbgrader's own rule; None if no test has said anything."""
    nbformat = tool("nbformat.v4")
    verdict = outcome.verdicts.get(task.name, Verdict())
    if task.manual or verdict.passed is None:
        return None
    cell = nbformat.new_code_cell(metadata={"nbgrader": dict(assignment.metadata(task.name))})
    if not verdict.passed:
        cell.outputs = [nbformat.new_output("error", ename="", evalue="", traceback=[])]
    elif verdict.value is not None:
        shown = {"text/plain": repr(verdict.value)}
        cell.outputs = [nbformat.new_output("execute_result", data=shown, execution_count=1)]
    return float(tool("nbgrader.utils").determine_grade(cell, LOG)[0])


def both(first: str, second: str) -> str:
    """Two reasons, of which each may be empty."""
    return f"{first}; {second}" if first and second else first or second


# -- once more, by name ----------------------------------------------------------------------------


def _by_name(notebook: Any, assignment: Assignment) -> Program:
    """An empty program if nothing of the assignment's is found."""
    try:
        return by_name(notebook, assignment)
    except Unreadable:
        return Program([], "by name", {})


def _improve(outcome: Outcome, other: Outcome, assignment: Assignment) -> tuple[list[str], bool]:
    """Put the better verdicts of a second try into the first one.

    What the code has changed in the first try is held against it all the same.

    Returns:
        The tests that have more points now, and whether any verdict was taken.
    """
    better, taken = [], False
    for task in assignment.tasks:
        first, second = outcome.verdicts.get(task.name), other.verdicts.get(task.name)
        if first is None or second is None or second.passed is None:
            continue
        was, now = (points(task, one, assignment) or 0.0 for one in (outcome, other))
        tells = first.message.startswith(UNTOLD) and not second.message.startswith(UNTOLD)
        if now > was or (now == was and not first.passed and tells):
            undone = tuple(sorted({*first.changed, *first.undone, *second.undone}))
            outcome.verdicts[task.name] = replace(second, undone=undone)
            better += [task.name] if now > was else []
            taken = True
    return better, taken


# -- what is said ----------------------------------------------------------------------------------


def _message(
    task: Task, got: float | None, outcome: Outcome, written: dict[str, str], own: list[str]
) -> str:
    if task.manual:
        return "Graded by a person."
    verdict = outcome.verdicts.get(task.name, Verdict())
    if verdict.passed is None:
        return "Not tested."
    if verdict.passed:
        return "Passed." if got == task.points else "Passed in part."
    if verdict.changed:
        return f"Your code changes what the test needs: {', '.join(verdict.changed)}."
    absent = re.match(r"NameError: name '(\w+)' is not defined", verdict.message)
    if absent and absent[1] in own:
        return _why_absent(absent[1], outcome.troubles, written)
    return verdict.message


def _why_absent(name: str, troubles: dict[str, str], written: dict[str, str]) -> str:
    """Why there is no function of this name: its cell has stopped, or it is nowhere."""
    head = re.compile(rf"^\s*(async\s+def|def|class)\s+{name}\b|^{name}\s*[:=]", re.M)
    for cell, trouble in troubles.items():
        if head.search(written.get(cell, "")) or (
            trouble.startswith("SyntaxError") and re.search(rf"\b{name}\b", written.get(cell, ""))
        ):
            return f"There is no {name}: your {cell} stopped with {trouble}"
    return f"There is no function or class of the name {name}: was it renamed, or deleted?"


def _digest(written: dict[str, str], assignment: Assignment) -> str:
    """Of all lines, if many of them are not the assignment's."""
    known = {line.strip() for cell in assignment.released.cells for line in cell.source.split("\n")}
    lines = [line.strip() for text in written.values() for line in text.split("\n")]
    lines = [line for line in lines if line]
    if sum(line not in known for line in lines) < MANY:
        return ""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _judge(
    made: Mark, outcome: Outcome, assignment: Assignment, odd: list[str], trusted: bool
) -> None:
    """Set the status and the reason."""
    automatic = [task for task in assignment.tasks if not task.manual]
    untested = [task.name for task in automatic if made.points[task.name] is None]
    changed = sorted({name for v in outcome.verdicts.values() for name in v.changed + v.undone})
    if changed and not trusted:
        odd = [*odd, f"changes {', '.join(changed)}"]
    if odd:
        more = f"; and {len(odd) - 4} more" if len(odd) > 4 else ""
        made.status, made.odd = CHECK, odd
        made.reason = look_first(f"{'; '.join(odd[:4])}{more}", made, assignment)
    elif untested:
        made.status = NOT_GRADED
        made.reason = f"not tested: {', '.join(untested)}"
    elif any(task.manual for task in assignment.tasks):
        made.status = PENDING


def look_first(why: str, made: Mark, assignment: Assignment) -> str:
    """The reason of the status "check"."""
    automatic = [task for task in assignment.tasks if not task.manual]
    whole = sum(task.points for task in automatic)
    got = sum(made.points.get(task.name) or 0.0 for task in automatic)
    return f"look at it before it gets points: {why}. Its tests say {got:g} of {whole:g}"
