"""Which students there are in a folder, and which notebook is whose."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .source import tool

LARGEST = 20_000_000  # bytes of a notebook
# What learning platforms make of a name: "Anna Schmidt_123456_assignsubmission_file_" (Moodle; in
# one folder a file's name follows), "schmidtanna_LATE_1234_56789_A1.ipynb" (Canvas).
PLATFORMS = (
    re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_.*"),
    re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d{3,})_\d{3,}_.+\.ipynb"),
)
ONLINE = re.compile(r"(?<=_assignsubmission)_onlinetext_$")  # Moodle's, beside the files
DOWNLOAD = re.compile(r"(.+?) ?\((\d+)\)\.ipynb")  # a browser's name of a second download


class Unreadable(ValueError):
    """A submission that cannot be graded; the message is the reason for the teacher."""


@dataclass(frozen=True)
class Submission:
    """One student's.

    Attributes:
        student: the name of the file, without .ipynb, or of the folder.
        path: of the file or folder.
        id: the number that a learning platform has put into the name.
        note: for the teacher.
    """

    student: str
    path: Path
    id: str = ""
    note: str = ""


def find_submissions(folder: Path, ignore: tuple[Path, ...] = ()) -> list[Submission]:
    """All students of a folder, by name: one file, or one folder, for each.

    Raises:
        ValueError: there is no such folder, or nothing is in it.
    """
    if not folder.is_dir():
        raise ValueError(f"'{folder}' is not a folder of submissions")
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith((".", "__")) and path.resolve() not in ignore
    ]
    names = {path.name for path in paths}
    found = [
        _submission(path, note)
        for path, note in _newest(paths)
        if not ONLINE.search(path.name) or ONLINE.sub("_file_", path.name) not in names
    ]
    if not found:
        raise ValueError(f"'{folder}' is empty: there should be a notebook or folder per student")
    ids = defaultdict(set)
    for one in found:
        ids[one.student].add(one.id)
    found = [
        replace(one, student=f"{one.student} {one.id}".strip())
        if len(ids[one.student]) > 1
        else one
        for one in found
    ]
    return sorted(found, key=lambda one: (one.student, str(one.path)))


def _newest(paths: list[Path]) -> list[tuple[Path, str]]:
    """Of "a.ipynb", "a (1).ipynb" and "a (2).ipynb" the last one, with a note."""
    numbers: dict[Path, dict[int, Path]] = {path: {0: path} for path in paths}
    for path in paths:
        again = DOWNLOAD.fullmatch(path.name)
        first = path.with_name(f"{again[1]}.ipynb") if again else path
        if again and first in numbers:
            numbers[first][int(again[2])] = path
            numbers.pop(path)
    found = []
    for same in numbers.values():
        last = same[max(same)]
        others = ", ".join(f"'{readable(path.name)}'" for path in same.values() if path != last)
        note = f"'{readable(last.name)}' is graded, and not {others}" if others else ""
        found.append((last, note))
    return found


def _submission(path: Path, note: str) -> Submission:
    for platform in PLATFORMS:
        if found := platform.fullmatch(path.name):
            return Submission(readable(found["name"]), path, found["id"], note)
    if note:
        again = DOWNLOAD.fullmatch(path.name)
        path_of_first = path.with_name(f"{again[1]}.ipynb") if again else path
        return Submission(student_name(path_of_first), path, "", note)
    return Submission(student_name(path), path)


def student_name(path: Path) -> str:
    """Of a file or folder."""
    return readable(path.stem if path.suffix == ".ipynb" else path.name)


def readable(name: str) -> str:
    """A name as a table can hold it: the same whichever way an umlaut is coded (macOS has another
    one), and "?" for what is no text, such as an umlaut from an old archive."""
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", unicodedata.normalize("NFC", name))
    return text.strip() or "?"


def find_notebook(path: Path, assignment: str) -> Path:
    """The notebook of a student: the file itself, or the one in the folder.

    Args:
        assignment: such as "A1_averages"; of several notebooks the one that begins like it.

    Raises:
        Unreadable: there is none, or more than one.
    """
    if path.is_symlink():
        raise Unreadable("it is a link to another place; hand in the notebook itself")
    if path.is_file():
        if path.suffix != ".ipynb":
            raise Unreadable(f"'{readable(path.name)}' is not a notebook (.ipynb)")
        return path
    books = [
        book
        for book in sorted(path.rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in book.parts and book.is_file()
    ]
    short = assignment.split("_")[0].lower()
    fitting = [book for book in books if book.name.lower().startswith(short)] or books
    if len(fitting) == 1:
        if _links(fitting[0], path):
            raise Unreadable("it is a link to another place; hand in the notebook itself")
        return fitting[0]
    if not fitting:
        raise Unreadable("there is no notebook in the folder")
    names = ", ".join(readable(book.name) for book in fitting)
    raise Unreadable(f"there are {len(fitting)} notebooks: {names}")


def _links(book: Path, folder: Path) -> bool:
    return book.resolve() != folder.resolve() / book.relative_to(folder)


def read_notebook(content: bytes) -> Any:
    """A notebook from its bytes, of whatever version and with whatever line ends.

    Raises:
        Unreadable: it is empty, cut in half, too large, or something else.
    """
    nbformat = tool("nbformat")
    if not content.strip():
        raise Unreadable("the file is empty")
    if len(content) > LARGEST:
        raise Unreadable(f"the file is larger than {LARGEST // 1_000_000} MB")
    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the file is damaged or cut short: {error}") from None
    cells = data.get("cells", data.get("worksheets")) if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("the file is JSON, but not a notebook")
    try:
        old = data.get("nbformat") != 4
        notebook = nbformat.reads(text, as_version=4) if old else nbformat.from_dict(data)
        for cell in notebook.cells:
            cell.cell_type = str(cell.cell_type)
            if isinstance(cell.source, list):
                cell.source = "".join(cell.source)
            cell.source = cell.source.replace("\r\n", "\n").replace("\r", "\n")
            cell.setdefault("metadata", nbformat.from_dict({}))
            mark = cell.metadata.get("nbgrader")
            if not isinstance(mark, dict) or not isinstance(mark.get("grade_id"), str):
                cell.metadata.pop("nbgrader", None)
    except Exception as error:  # nbformat raises many kinds
        kind = type(error).__name__
        raise Unreadable(f"the file is damaged, not a notebook ({kind}: {error!s:.100})") from None
    return notebook
