"""What a person adds: points, trust and comments, in A4-manual.csv beside the table A4.csv.

The grader makes this file and adds a line for each student who waits for a person. What is filled
in there is never changed, and goes into the table and the pages at each run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .marking import CHECK, GRADED, NOT_GRADED, PENDING, Mark, both
from .source import Assignment
from .table import Sheet, cell, number, open_tasks, read_sheet, write

YES, NO = ("yes", "y", "x", "1", "true"), ("", "no", "n", "0", "false")


@dataclass
class Given:
    """By a person, to one student."""

    points: dict[str, float] = field(default_factory=dict)
    trust: bool = False
    comment: str = ""


class ByHand:
    """The file, and what it says of each student.

    Columns: student, the tasks for a person, trust, comment; and those of other tasks, if a person
    has added them to give other points than the tests.

    Raises:
        ValueError: a column or a cell of it is not understood; the message names it.
    """

    def __init__(self, path: Path, assignment: Assignment) -> None:
        self.path, self.assignment = path, assignment
        self.tasks = {task.name: task for task in assignment.tasks}
        manual = [task.name for task in assignment.tasks if task.manual]
        sheet = read_sheet(path)
        if sheet is None or not sheet.columns:
            sheet = Sheet(["student", *manual, "trust", "comment"])
        self.sheet = sheet
        known = ["student", *self.tasks, "trust", "comment"]
        if odd := [name for name in sheet.columns if name and name not in known]:
            raise ValueError(f"'{path}': no column is named {odd[0]!r}; use {', '.join(known)}")
        if len(set(named := list(filter(None, sheet.columns)))) < len(named):
            raise ValueError(f"'{path}': two columns have the same name")
        if sheet.lost:
            who, text = sheet.lost[0]
            raise ValueError(
                f"'{path}', {who}: {text.strip()!r:.60} stands in no column that has a name "
                f"(a comment with a {sheet.separator!r} in it belongs in quotation marks)"
            )
        if "student" not in sheet.columns:
            raise ValueError(f"'{path}' has no column 'student'")
        self.given: dict[str, Given] = {}
        for row in sheet.rows:
            name = row.get("student", "").strip()
            if name in self.given:
                raise ValueError(f"'{path}' has two lines for {name!r}")
            self.given[name] = self._given(name, row)

    def _given(self, student: str, row: dict[str, str]) -> Given:
        made = Given(comment=row.get("comment", "").strip())
        trust = row.get("trust", "").strip().lower()
        if trust not in YES + NO:
            raise ValueError(f"'{self.path}', {student}: trust is 'yes' or empty, got {trust!r}")
        made.trust = trust in YES
        for name in self.tasks:
            if text := row.get(name, "").strip():
                made.points[name] = self._points(student, name, text)
        return made

    def _points(self, student: str, name: str, text: str) -> float:
        most = self.tasks[name].points
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            where = f"'{self.path}', {student}, {name}"
            raise ValueError(f"{where}: a number from 0 to {most:g} is needed, got {text!r:.40}")
        return value

    def of(self, student: str) -> Given:
        """What a person has given to a student."""
        return self.given.get(cell(student), Given())

    def check_names(self, students: Collection[str], where: Path) -> None:
        """Raise ValueError if something is given to somebody who is not there."""
        names = set(map(cell, students))
        for name, given in self.given.items():
            if name not in names and given != Given():
                raise ValueError(f"'{self.path}' names {name!r}, who is not in '{where}'")

    def add(self, waiting: Iterable[str], trusted: Collection[str]) -> None:
        """Add lines for those who wait, and note who is trusted; write only what is new."""
        rows = {row.get("student", "").strip(): row for row in self.sheet.rows}
        changed = False
        for student in [*waiting, *trusted]:
            if cell(student) not in rows:
                rows[cell(student)] = {"student": cell(student)}
                changed = True
        for student in trusted:
            if not rows[cell(student)].get("trust", "").strip():
                rows[cell(student)]["trust"] = "yes"
                changed = True
        if "trust" not in self.sheet.columns:
            self.sheet.columns.append("trust")
        if changed:
            self.sheet.rows = list(rows.values())
            write(self.path, self.sheet.content())


def merged(mark: Mark, given: Given, assignment: Assignment) -> Mark:
    """A mark with what a person has given."""
    made = replace(mark, points={**mark.points, **given.points}, comment=given.comment)
    made.messages = dict(mark.messages)
    changed = []
    for task in assignment.tasks:
        if task.name in given.points and not task.manual:
            made.messages[task.name] = "Points given by your teacher."
            was = number(mark.points.get(task.name)) or "none"
            changed.append(f"{task.name} (the tests: {was})")
    absent = [task.name for task in assignment.tasks if made.points.get(task.name) is None]
    if given.points and not absent and mark.status in (PENDING, NOT_GRADED):
        made.status = GRADED
    elif given.points and mark.status == NOT_GRADED:
        made.reason = both(f"points by hand, but none for {', '.join(absent)}", made.reason)
    if changed and made.status != NOT_GRADED:
        made.reason = both(f"points by hand: {', '.join(changed)}", made.reason)
    return made


def waits(mark: Mark, assignment: Assignment) -> bool:
    """Is there something for a person to do?"""
    return mark.status == CHECK or (mark.status == PENDING and bool(open_tasks(mark, assignment)))
