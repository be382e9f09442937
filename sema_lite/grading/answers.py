"""What a student is told of an error, inside the sandbox: never what a hidden test looks like."""

from __future__ import annotations

from types import TracebackType

LONGEST = 500
OWN = "<cell "  # how the file names of the student's own code begin; see `file_name`


def file_name(step: str) -> str:
    """What Python takes for the file of a step: "<cell 3>" is a student's, "<given cell 3>" not."""
    return f"<{step}>"


def describe(error: BaseException, cells: dict[str, str]) -> str:
    """One or two lines on an error.

    If it comes from the student's own code: its kind and their own line, and not its message,
    which might hold what a hidden test has called the function with. If it comes from the test:
    the test's message.

    Args:
        cells: the text of each of the student's cells, "cell 3": "...".
    """
    kind = _kind(error)
    place = _place(error.__traceback__)
    if place is not None:
        cell, line = place
        if kind == "NotImplementedError":
            return "Not done yet: NotImplementedError."
        lines = cells.get(cell, "").splitlines()
        text = f": `{lines[line - 1].strip()}`" if 0 < line <= len(lines) else ""
        return f"{kind} in your {cell}, line {line}{text}"[:LONGEST]
    if isinstance(error, SyntaxError):
        return f"SyntaxError in line {error.lineno}: {error.msg}"[:LONGEST]
    said = _said(error)
    if isinstance(error, AssertionError):
        return said or "A test of this task has failed."
    if kind in ("TooMuchOutput", "TimeoutError", "MemoryError", "SystemExit"):
        return {
            "TooMuchOutput": "It prints too much.",
            "MemoryError": "It takes too much memory.",
            "SystemExit": "It calls exit().",
        }.get(kind, said)
    return f"{kind}: {said}"[:LONGEST] if said else kind


def _kind(error: BaseException) -> str:
    return str(type(error).__name__)[:60]


def _said(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST]
    except BaseException:
        return ""


def _place(step: TracebackType | None) -> tuple[str, int] | None:
    """The innermost line of the student's own, below the test."""
    place = None
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name.startswith(OWN):
            place = name[1:-1], step.tb_lineno
        step = step.tb_next
    return place
