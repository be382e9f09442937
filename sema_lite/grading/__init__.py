"""Grade assignments: `python -m sema_lite grade SUBMISSIONS --assignment A1 --out A1.csv`.

The tests have one home, the source notebook in nbgrader's format. nbgrader's own parts restore
tampered cells and turn test results into points; its gradebook and its Jupyter kernels are not
needed. Before any submission the assignment's own solution has to pass (`rehearsal.py`).

What a student's code cannot do, where `sandbox.missing()` is "" (Linux with `unshare`):

* use the network; write or delete anything but in a folder in memory that vanishes;
* see the source notebook, its hidden tests, other submissions, the table or the home folder;
* go on for longer, take more memory, print more or start more processes than `Limits` says;
* read a test before all of its cells have run: only then the grader hands the tests over, one by
  one, each to its own process;
* hide behind `sys.exit`, `os._exit` or a crash: a test has passed only if a number that the grader
  made up for it comes back, and that is said at the test's end;
* replace what tests rely on (`abs`, `math.isclose`, `torch.equal`, the checks): `pristine.py`
  gives the tests the tools that were there before the student's code, and finds changes.

What is not prevented: the functions that are tested run in one Python process with their test.
There, code that walks stack frames, calls C, or writes to the channel could read the running test
and its number, and so forge a pass; a class whose objects are equal to everything passes too. Such
code needs means that no task asks for. `suspicion.py` looks for them: points are then withheld,
with status "check", till a person has looked. Its list of means is good, not complete.
A function can still find out with what arguments it is called; its own prints and error messages
are therefore not in the feedback. Two submissions with the same lines are noticed; copies in which
a name was changed are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Graded", "Limits", "grade"]

if TYPE_CHECKING:
    from .classroom import Graded, grade
    from .sandbox import Limits


def __getattr__(name: str) -> Any:
    if name == "Limits":
        from .sandbox import Limits

        return Limits
    if name in ("Graded", "grade"):
        from . import classroom

        return getattr(classroom, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
