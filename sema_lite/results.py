"""Stored results: what was run and what came out, in small JSON files that are written whole."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

REQUIRED = ("command", "versions", "seeds", "settings")
SETTING = ("run", "epochs", "live", "averaged", "switches")
PACKAGE = Path(__file__).resolve().parent
# In a checkout, and in an installed package, which brings a copy along.
STORED = (PACKAGE.parent / "data" / "results", PACKAGE / "stored")


class ResultsError(ValueError):
    """A file that is missing, damaged or no result. The message says what to do."""


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a JSON file that holds one object.

    Raises:
        ResultsError: there is no such file, or it is cut short or damaged.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ResultsError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise ResultsError(
            f"'{path}' is cut short or damaged ({error}): make it again, or get it again"
        ) from None
    if not isinstance(content, dict):
        raise ResultsError(f"'{path}' holds a {type(content).__name__}, not a result")
    return content


def read_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file of `python -m sema_lite compare --out`, or a stored long run.

    Returns:
        {"command", "versions", "seeds", "settings", ...}; each of "settings" is a
        `scores.ManyScores.record()`.

    Raises:
        ResultsError: see `read_json`; or it is JSON of another kind, and the message says what it
            lacks.
    """
    return _check_training(read_json(path), str(path))


def _check_training(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The content, if it holds the scores of trainings."""
    lacks = [key for key in REQUIRED if key not in content]
    if not lacks and not (content["settings"] and isinstance(content["settings"], list)):
        raise ResultsError(f"'{name}' has no settings")
    first = content["settings"][0] if not lacks else {}
    lacks = lacks or [key for key in SETTING if not isinstance(first, dict) or key not in first]
    if lacks:
        raise ResultsError(f"'{name}' is no result of a training: it lacks {', '.join(lacks)}")
    return content


def stored_names(trainings: bool = False) -> list[str]:
    """The results that come with the course: all, or those of trainings."""
    names = sorted({path.stem for folder in STORED for path in folder.glob("*.json")})
    return [name for name in names if not trainings or _is_training(name)]


def _is_training(name: str) -> bool:
    try:
        stored(name, trainings=True)
    except ResultsError:
        return False
    return True


def stored(name: str, trainings: bool = False) -> dict[str, Any]:
    """The stored result of a long run, `data/results/NAME.json`, from whatever folder one asks.

    Args:
        name: such as "circles"; data/README.md lists them.
        trainings: it must hold the scores of trainings, as those of `read_results`.

    Raises:
        ResultsError: there is no result of that name, and the message says which there are; or its
            file is damaged, see `read_json`, or holds other measurements.
    """
    paths = {path.stem: path for folder in reversed(STORED) for path in folder.glob("*.json")}
    if name not in paths:
        known = ", ".join(stored_names(trainings)) or "none: install sema-lite again, or clone it"
        raise ResultsError(f"there is no stored result {name!r:.60}; there are {known}")
    content = read_json(paths[name])
    return _check_training(content, name) if trainings else content


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of these packages: part of where a result comes from."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write_json(path: str | os.PathLike[str], content: Any, indent: int | None = None) -> None:
    """Write a JSON file, whole or not at all; makes its folder.

    Raises:
        ValueError: a number that JSON does not have: NaN or infinity.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=indent, allow_nan=False)
    with whole_file(path) as file:
        file.write(f"{text}\n".encode())


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when it is complete: nobody ever reads a half."""
    partial = Path(f"{os.fspath(path)}.partial-{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
