"""The assignment's own solution, graded before any submission.

Where it does not pass, nobody's could: a package is missing, a test is wrong, the limits are too
narrow for this computer. Then nothing is graded, instead of giving everybody fewer points.
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event, Lock

from . import running
from .assembling import assemble
from .running import Outcome
from .sandbox import Limits
from .source import Assignment
from .table import write


class Rehearsal:
    """Once, and only if there is something to grade; `needed()` may be called by many threads.

    Args:
        hide, contained, stop: as for `running.run`.
        note: a file that remembers that Python has compiled what this assignment imports.
    """

    def __init__(
        self,
        assignment: Assignment,
        limits: Limits,
        hide: tuple[Path, ...],
        contained: bool,
        note: Path,
        stop: Event,
    ) -> None:
        self.assignment, self.limits, self.hide = assignment, limits, hide
        self.contained, self.note, self.stop = contained, note, stop
        self.lock, self.done = Lock(), False

    def needed(self) -> None:
        """Be sure that the assignment's own solution passes.

        Raises:
            ValueError: it does not; the message says which test, and why.
        """
        with self.lock:
            if not self.done:
                self._compile()
                _passed(self._run(self.contained))
                self.done = True

    def _compile(self) -> None:
        """In the sandbox Python cannot keep what it has compiled, and with torch everybody's tests
        would take twice as long. So the first time the solution, no student's, runs outside."""
        here = f"{sys.prefix} {sys.version}\n".encode()
        known = self.note.is_file() and self.note.read_bytes() == here
        if self.contained and not known and not sys.dont_write_bytecode:
            self._run(contained=False)
            write(self.note, here)

    def _run(self, contained: bool) -> Outcome:
        steps, own = assemble(self.assignment.notebook, self.assignment).steps, self.assignment.own
        preload = self.assignment.preload
        return running.run(steps, own, preload, self.limits, self.hide, contained, self.stop)


def _passed(outcome: Outcome) -> None:
    failed = [name for name, verdict in outcome.verdicts.items() if not verdict.passed]
    if failed:
        why = [f"{cell} stopped with {said}" for cell, said in outcome.troubles.items()]
        said = [outcome.stopped, *why, outcome.verdicts[failed[0]].message, "it was not tested"]
        raise ValueError(
            f"nothing is graded: the assignment's own solution does not pass {failed[0]} on this "
            f"computer: {next(filter(None, said))}"
        )
