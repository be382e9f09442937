"""Make the assignments that students get: notebooks/assignments/source -> release.

    make assignments                    # write release/ again
    python tools/assignments.py --check # does release/ hold what the source gives? writes nothing

The source is the one home of an assignment: tasks, solutions, tests and points. The release comes
from it by nbgrader's own preprocessors, without its gradebook: the solutions, the hidden tests and
all outputs are gone, the tests are locked, and checksums tell which cells a student has touched.
The same source gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)

from sema_lite.results import whole_file

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = ROOT / "notebooks" / "assignments"
SOURCE, RELEASE = ASSIGNMENTS / "source", ASSIGNMENTS / "release"

# In nbgrader's own order. Its two steps that need a kernel or a database are not there.
STEPS = (
    LockCells,
    ClearSolutions,
    ClearOutput,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ComputeChecksums,
    CheckCellMetadata,
)
OF_THE_TEACHER = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS", "BEGIN MARK SCHEME")


def sources(folder: Path = SOURCE) -> list[Path]:
    """The source notebooks, A1 first."""
    return sorted(folder.glob("A*.ipynb"))


def release(notebook: Any) -> Any:
    """What students get of a source notebook, as a new notebook.

    Raises:
        ValueError: something of the teacher's would be left in it, or a cell's metadata is not
            nbgrader's; the message names the cell.
    """
    made = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in made.cells:  # nbgrader leaves the magic marks in cells that it does not know
        if "nbgrader" not in cell.metadata and any(mark in cell.source for mark in OF_THE_TEACHER):
            raise ValueError(f"cell {cell.id!r} has a solution or a test, but no nbgrader metadata")
    for step in STEPS:
        try:
            made, _ = step().preprocess(made, {})
        except Exception as error:  # nbgrader raises RuntimeErrors and validation errors
            raise ValueError(f"nbgrader's {step.__name__}: {error}") from error
    for cell in made.cells:
        if cell.cell_type == "markdown":  # the badge opens the release
            cell.source = cell.source.replace("/assignments/source/", "/assignments/release/")
        if any(mark in cell.source for mark in OF_THE_TEACHER):
            raise ValueError(f"cell {cell.id!r} still has a part of the teacher's")
    made.metadata = {
        name: made.metadata[name]
        for name in ("kernelspec", "language_info")
        if name in made.metadata
    }
    return made


def content(notebook: Any) -> bytes:
    """The bytes of its file, as nbformat writes it: sorted keys, one line of text per line."""
    text: str = nbformat.writes(notebook)
    return (text.rstrip("\n") + "\n").encode()


def read(path: Path) -> Any:
    """A notebook, with each cell's source as one string."""
    return nbformat.read(path, as_version=4)


def points(notebook: Any) -> dict[str, float]:
    """grade_id: points, of all cells that give points."""
    found = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return {cell["grade_id"]: cell["points"] for cell in found if cell.get("grade")}


def stated_points(notebook: Any) -> int:
    """The number after **Points** in the first cell."""
    stated = re.search(r"\*\*Points\*\*: (\d+)", notebook.cells[0].source)
    return int(stated[1]) if stated else 0


def main() -> int:
    """Write release/, or check it; 1 when it is not what the source gives."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    check = parser.parse_args().check
    stale = []
    wanted = {}
    for path in sources():
        notebook = read(path)
        try:
            wanted[path.name] = content(release(notebook))
        except ValueError as error:
            print(f"assignments: {path.name}: {error}", file=sys.stderr)
            return 2
        print(f"{path.stem}: {sum(points(notebook).values()):g} points")
    RELEASE.mkdir(exist_ok=True)
    for name, made in wanted.items():
        target = RELEASE / name
        if target.is_file() and target.read_bytes() == made:
            continue
        stale.append(name)
        if not check:
            with whole_file(target) as file:
                file.write(made)
    extra = sorted(path.name for path in RELEASE.glob("*.ipynb") if path.name not in wanted)
    if extra:
        print(f"assignments: release/ has notebooks without a source: {', '.join(extra)}")
    if check and (stale or extra):
        print(f"assignments: not what the source gives: {', '.join(stale + extra)}")
        return 1
    print(f"assignments: {'changed' if stale else 'nothing changed'} {', '.join(stale)}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
