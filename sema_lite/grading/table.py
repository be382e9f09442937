"""The table of all students, and how tables are read that a person may have saved."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from ..results import whole_file
from .marking import PENDING, Mark, both
from .source import Assignment, Task
from .submissions import Submission

COLUMNS = ("student", "id", "assignment", "score", "max", "status", "reason")


@dataclass
class Sheet:
    """A table as it lies on the disk.

    Attributes:
        separator: "," or what a spreadsheet program has made of it.
        lost: (first cell of its line, text) of what stands in no column that has a name.
    """

    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    separator: str = ","
    encoding: str = "utf-8"
    lost: list[tuple[str, str]] = field(default_factory=list)

    def content(self) -> bytes:
        """The bytes of its file."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([row.get(name, "") for name in self.columns] for row in self.rows)
        try:
            return text.getvalue().encode(self.encoding)
        except UnicodeEncodeError:  # a name that the older encoding does not have
            return text.getvalue().encode("utf-8-sig", errors="replace")


def read_sheet(path: Path) -> Sheet | None:
    """A table with commas, semicolons or tabs, in UTF-8 or as older spreadsheet programs write it;
    None if there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    sheet = Sheet(encoding="utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8")
    try:
        text = content.decode(sheet.encoding)
    except UnicodeDecodeError:
        sheet.encoding = "cp1252"
        text = content.decode(sheet.encoding, errors="replace")
    head = text.split("\n", 1)[0]
    sheet.separator = max(",;\t", key=head.count)
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=sheet.separator) if any(line)]
    if lines:
        sheet.columns = [name.strip() for name in lines[0]]
        sheet.rows = [dict(zip(sheet.columns, line, strict=False)) for line in lines[1:]]
        for line in lines[1:]:
            cells = zip_longest(sheet.columns, line, fillvalue="")
            sheet.lost += [(line[0], text) for name, text in cells if text.strip() and not name]
    return sheet


def refuse_other(path: Path, assignment: Assignment) -> None:
    """Raise ValueError if `path` is something else than a table of this assignment."""
    sheet = read_sheet(path)
    if sheet is None or not sheet.columns:
        return
    if not {"student", "assignment", "status"} <= set(sheet.columns):
        raise ValueError(f"--out '{path}' is there, and no table of grades: choose another name")
    other = {row.get("assignment", "") for row in sheet.rows} - {assignment.name}
    if other:
        raise ValueError(
            f"--out '{path}' is the table of {sorted(other)[0]}: choose another name for "
            f"{assignment.name}, such as {assignment.name.split('_')[0]}.csv"
        )


def table(marks: list[tuple[Submission, Mark]], assignment: Assignment) -> bytes:
    """The CSV: who, score, max, status, reason, then a column per task."""
    sheet = Sheet([*COLUMNS, *(task.name for task in assignment.tasks)])
    whole = number(sum(task.points for task in assignment.tasks))
    for submission, made in marks:
        row = dict(
            zip(
                COLUMNS,
                [
                    cell(submission.student),
                    submission.id,
                    assignment.name,
                    number(made.score),
                    whole,
                    made.status,
                    both(_open(made, assignment), made.reason),
                ],
                strict=True,
            )
        )
        for task in assignment.tasks:
            got = None if made.score is None else made.points.get(task.name)
            waits = task.manual and made.score is not None and got is None
            row[task.name] = PENDING if waits else number(got)
        sheet.rows.append(row)
    return sheet.content()


def open_tasks(made: Mark, assignment: Assignment) -> list[Task]:
    """The tasks that wait for a person."""
    return [task for task in assignment.tasks if task.manual and made.points.get(task.name) is None]


def _open(made: Mark, assignment: Assignment) -> str:
    waiting = open_tasks(made, assignment)
    if made.status != PENDING or not waiting:
        return ""
    total = sum(task.points for task in waiting)
    return f"{total:g} points are given by a person: {', '.join(task.name for task in waiting)}"


def keep_changed(path: Path, written: Path) -> Path | None:
    """If the table is not as it was written: copy it; where to, or None.

    Args:
        written: the file with the digest of what was written last; without it nobody knows.
    """
    try:
        now = path.read_bytes()
    except OSError:
        return None
    before = written.read_bytes().strip() if written.is_file() else b""
    if not now or before == hashlib.sha256(now).hexdigest().encode():
        return None
    places = [path.with_name(f"{path.stem}-changed{n}.csv") for n in ("", *range(2, 100))]
    free = next((place for place in places if not place.exists()), places[-1])
    write(free, now)
    return free


def number(value: float | None) -> str:
    """As it stands in a table."""
    return "" if value is None else f"{value:g}"


def cell(text: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write(path: Path, content: bytes) -> None:
    """Write a file whole, unless it holds just that."""
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    with whole_file(path) as file:
        file.write(content)
