"""Grade a folder: who is there, what is known already, points, feedback, one table."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from tqdm.auto import tqdm

from .feedback import page
from .manual import ByHand, merged, waits
from .marking import CHECK, GRADED, NOT_GRADED, PENDING, Mark, both, look_first, mark
from .rehearsal import Rehearsal
from .sandbox import LIBRARY, Limits, missing
from .source import Assignment, find_source
from .submissions import LARGEST, Submission, Unreadable, find_notebook, find_submissions
from .table import keep_changed, refuse_other, table, write

SOURCES = LIBRARY.parent / "notebooks" / "assignments" / "source"


@dataclass(frozen=True)
class Graded:
    """What `grade` has done.

    Attributes:
        marks: (student, mark), by name.
        known: how many of them had been graded before and are as they were.
        out: the table.
        feedback: the folder with one page per student.
        missing: what this system could not contain; "" if nothing.
        manual: where a person's points and trust belong; None if there is nothing for a person.
        kept: the copy of a table that a person had changed, if there was one.
    """

    marks: list[tuple[str, Mark]]
    known: int
    out: Path
    feedback: Path
    missing: str
    manual: Path | None = None
    kept: Path | None = None


def grade(
    submissions: str | os.PathLike[str],
    assignment: str,
    out: str | os.PathLike[str],
    limits: Limits | None = None,
    trust: Collection[str] = (),
    uncontained: bool = False,
    workers: int | None = None,
    progress: bool = True,
    sources: Path = SOURCES,
) -> Graded:
    """Grade a folder of notebooks, one file or folder per student.

    Writes `out`, a table, and beside it a folder with a page of feedback for each student. What
    has been graded before, with the same notebook, source, grader and limits, is not run again,
    but for submissions of which a test could not be run to its end.
    A person's points, trust and comments stand in another file beside it (see `manual.py`).

    Args:
        assignment: such as "A1", or the path of a source notebook in nbgrader's format.
        trust: students whose submissions a person has looked at (those with status "check"); it
            is noted in the file of a person.
        uncontained: run students' code even where the system cannot contain it.
        workers: how many at the same time; as many as there are processors.

    Raises:
        ValueError: there is no such folder or assignment; `out` is the table of another one; the
            file of a person has something that is not understood; this system cannot contain
            students' code, and `uncontained` is not set; or the assignment's own solution does
            not pass its tests here.
    """
    limits = limits or Limits()
    folder, out = Path(submissions), Path(out)
    source = Assignment(find_source(assignment, sources))
    lacking = missing()
    if lacking and (not uncontained or os.name != "posix"):
        raise ValueError(f"{lacking}. --uncontained runs it all the same")
    refuse_other(out, source)
    pages = out.with_name(f"{out.stem}-feedback")
    hand = ByHand(out.with_name(f"{out.stem}-manual.csv"), source)
    ours = [out, pages, hand.path, *out.parent.glob(f"{out.stem}-changed*.csv")]
    students = find_submissions(folder, tuple(path.resolve() for path in ours))
    names = Counter(student.student for student in students)
    hand.check_names(names, folder)
    if unknown := sorted(set(trust) - set(names)):
        raise ValueError(f"--trust names {unknown[0]!r}, who is not in '{folder}'")
    store = pages / ".graded"
    store.mkdir(parents=True, exist_ok=True)
    hide = (folder.resolve(), source.path.parent, out.parent.resolve(), LIBRARY.parent / "tests")
    base = _base(source, limits, bool(lacking))
    stop = Event()
    rehearsal = Rehearsal(source, limits, hide, not lacking, store / "compiled", stop)

    def one(student: Submission) -> tuple[Mark, bool]:
        if names[student.student] > 1:
            return Mark(NOT_GRADED, "there are two submissions of this name"), False
        try:
            with find_notebook(student.path, source.name).open("rb") as file:
                content = file.read(LARGEST + 1)
        except (Unreadable, OSError) as problem:
            return Mark(NOT_GRADED, str(problem)), False
        trusted = student.student in trust or hand.of(student.student).trust
        key = hashlib.sha256(base + bytes([trusted]) + content).hexdigest()
        path = store / f"{hashlib.sha256(student.student.encode()).hexdigest()[:24]}.json"
        if (known := _known(path, key)) is not None:
            return known, True
        rehearsal.needed()
        try:
            made = mark(content, source, limits, hide, not lacking, trusted, stop)
        except Exception as problem:  # one submission must not stop the others
            kind = type(problem).__name__
            return Mark(NOT_GRADED, f"the grader itself failed: {kind}: {problem!s:.200}"), False
        if made.status != NOT_GRADED or not made.points:  # what was not tested is tried again
            kept = json.dumps({"key": key, "mark": made.record()}, indent=1)
            write(path, f"{kept}\n".encode())
        return made, False

    done: dict[int, tuple[Mark, bool]] = {}
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        waiting = {pool.submit(one, student): i for i, student in enumerate(students)}
        with tqdm(total=len(students), desc=source.name, disable=not progress) as bar:
            for future in as_completed(waiting):
                done[waiting[future]] = future.result()
                bar.update()
    finally:  # also when it is interrupted
        stop.set()
        pool.shutdown(cancel_futures=True)

    marks = [(student, done[i][0]) for i, student in enumerate(students)]
    trusted = {one.student for one in students if hand.of(one.student).trust} | set(trust)
    marks = [
        (one, _noted(merged(made, hand.of(one.student), source), one))
        for one, made in _alike(marks, trusted, source)
    ]
    for student, made in {one.student: made for one, made in marks}.items():
        write(pages / f"{_file_name(student)}.html", page(student, made, source))
    hand.add([one.student for one, made in marks if waits(made, source)], sorted(trust))
    content, written = table(marks, source), store / "table"
    kept = None if _same(out, content) else keep_changed(out, written)
    write(out, content)
    write(written, hashlib.sha256(content).hexdigest().encode())
    known = sum(known for _, known in done.values())
    manual = hand.path if hand.path.exists() else None
    return Graded([(one.student, m) for one, m in marks], known, out, pages, lacking, manual, kept)


def _alike(
    marks: list[tuple[Submission, Mark]], trusted: Collection[str], assignment: Assignment
) -> list[tuple[Submission, Mark]]:
    """Those who have written the same, line by line, are for a person to look at."""
    writers: dict[str, list[str]] = defaultdict(list)
    for one, made in marks:
        if made.digest:
            writers[made.digest].append(one.student)
    found = []
    for one, made in marks:
        others = [name for name in writers[made.digest] if name != one.student]
        if others and made.status in (GRADED, PENDING, CHECK) and one.student not in trusted:
            why = f"same text as {', '.join(others[:5])}"
            if made.status == CHECK:
                made = replace(made, reason=both(made.reason, why))
            else:
                why = look_first(why, made, assignment)
                made = replace(made, status=CHECK, reason=both(why, made.reason))
        found.append((one, made))
    return found


def _noted(made: Mark, one: Submission) -> Mark:
    return replace(made, reason=both(made.reason, one.note))


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _file_name(student: str) -> str:
    """Of a student's page: their name, unless that is too long for a file's."""
    if len(student.encode()) <= 200:
        return student.replace("/", "_")
    return f"{student[:40]}-{hashlib.sha256(student.encode()).hexdigest()[:12]}"


def _base(source: Assignment, limits: Limits, lacking: bool) -> bytes:
    """A digest of all but the notebook that a grade depends on: source, library, limits, Python."""
    digest = hashlib.sha256(source.content)
    for path in sorted(LIBRARY.rglob("*.py")):
        digest.update(path.relative_to(LIBRARY).as_posix().encode() + path.read_bytes())
    digest.update(json.dumps([asdict(limits), lacking, sys.version]).encode())
    return digest.digest()


def _known(path: Path, key: str) -> Mark | None:
    """What was found out before; None if there is nothing, or something has changed since."""
    try:
        stored: dict[str, Any] = json.loads(path.read_bytes())
        return Mark(**stored["mark"]) if stored["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
