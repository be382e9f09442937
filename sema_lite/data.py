"""Image data sets by name, as tensors in memory: found on disk, drawn or downloaded, and checked.

`load_images("cifar10")` and `load_images("cifar100")` look, in this order, into

1. `root`, if it is given: then there and nowhere else, and nothing is downloaded;
2. the folder that the variable SEMA_LITE_DATA names;
3. `data/` in the current directory, then in the checkout of this project, if it is one;
4. the internet: torchvision downloads 170 MB into the first of the places 2 and 3 that exists.

Such a folder may hold, and they are preferred in this order:

* `cifar10-mini.npz`: the first 1,000 images of each training batch and of the test batch;
* `cifar-10-batches-py/`, `cifar-100-python/`: the full set as torchvision and its authors store it;
* `train/<class>/` and `test/<class>/` with JPEG or PNG images of CIFAR-10.

`load_images("shapes10")` draws its images: no file, no network. `load_images("folder", root)` reads
any image folder. Data that is found but damaged is an error, whatever else there is: nothing is
half read.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

from . import image_folder
from .images import CLASSES, DataError, ImageData, MissingData, augment, batches, normalise
from .reference import check_count
from .sources import (
    MINI_FILE,
    MINI_TEST,
    MINI_TRAIN,
    PUBLISHED,
    fetch,
    read_mini,
    read_published,
    save_mini,
)

__all__ = [  # with what training takes from `images` and `sources`
    "CLASSES", "DATA_SETS", "DataError", "ImageData", "MissingData", "augment", "batches",
    "load_cifar10", "load_images", "normalise", "save_mini",
]  # fmt: skip

VARIABLE = "SEMA_LITE_DATA"
DATA_SETS = ("cifar10", "cifar100", "shapes10", "folder")
FULL_TRAIN, FULL_TEST = 50_000, 10_000


def load_images(
    name: str = "cifar10",
    root: str | os.PathLike[str] | None = None,
    subset: str | int = "mini",
    *,
    download: bool = True,
    fallback: str | None = None,
) -> ImageData:
    """A data set of images, from the first place that has it (see the top of this module).

    Args:
        name: one of `DATA_SETS`.
        root: a folder to look into, and no other. "folder" needs one, "shapes10" takes none.
        subset: "mini" (5,000 and 1,000 images; cut out of the full set where that is what there
            is), "full" (50,000 and 10,000; all of a "folder"), or a number n: the first n training
            and test images of the mini set, or of the full set if n > 5,000. In an image folder,
            which does not know the original order, the first n are the first of each class in turn.
        download: False never goes to the internet.
        fallback: "shapes10" draws that where CIFAR is not on disk, instead of downloading it. The
            name of the data says so. What is there and damaged still is an error.

    Raises:
        DataError: nothing found (then it is a `MissingData`), or what was found is damaged; the
            message names it.
    """
    _check(name, root, subset, fallback)
    if name == "shapes10":
        return _draw(subset)
    if name == "folder":
        folder = _folder(root)
        return replace(image_folder.read_folder(folder, subset), source=str(folder))
    try:
        return _find(name, root, subset, download and fallback is None)
    except MissingData:
        if fallback is None:
            raise
    drawn = _draw(subset)
    return replace(drawn, name=f"{drawn.name}, instead of {PUBLISHED[name].title}")


def load_cifar10(
    root: str | os.PathLike[str] | None = None,
    subset: str | int = "mini",
    *,
    download: bool = True,
) -> ImageData:
    """CIFAR-10: `load_images("cifar10", ...)`."""
    return load_images("cifar10", root, subset, download=download)


def _check(name: str, root: object, subset: str | int, fallback: str | None) -> None:
    if name not in DATA_SETS:
        raise DataError(f"the name of a data set must be one of {DATA_SETS}, got {name!r}")
    if isinstance(subset, str):
        if subset not in ("mini", "full"):
            raise DataError(f'subset must be "mini", "full" or a number, got {subset!r}')
    elif check_count("subset", subset, 1) > FULL_TRAIN and name != "folder":
        raise DataError(f"subset must be at most {FULL_TRAIN}, got {subset!r}")
    if fallback not in (None, "shapes10"):
        raise DataError(f'fallback must be None or "shapes10", got {fallback!r}')
    if fallback and name not in PUBLISHED:
        raise DataError(f"fallback is for {' and '.join(PUBLISHED)}; for {name} it must be None")
    if name == "folder" and root is None:
        raise DataError("folder needs a root (--root): the folder with train/<class>/ and test/")
    if name == "shapes10" and root is not None:
        raise DataError(f"shapes10 is drawn and takes no root (--root), got '{root}'")


def _draw(subset: str | int) -> ImageData:
    from .shapes import shapes10

    train = {"mini": MINI_TRAIN, "full": FULL_TRAIN}.get(str(subset)) or int(subset)
    test = min(train, MINI_TEST if _small(subset) else FULL_TEST)
    name = "shapes10 (drawn, not photographs)"  # wherever a result on it is shown
    if subset != "mini":
        name += ", full" if subset == "full" else f", first {subset}"
    return replace(shapes10(train=train, test=test), name=name)


# -- looking for CIFAR ----------------------------------------------------------------------------


def _find(
    name: str, root: str | os.PathLike[str] | None, subset: str | int, download: bool
) -> ImageData:
    if root is not None:
        folder = _folder(root)
        if (data := _read(name, folder, subset)) is None:
            raise MissingData(
                f"root '{folder}' holds {_missing(name, subset)}. Leave root out to search the "
                f"other places, or put one of these there: {_wanted(name, subset)}"
            )
        return data
    places = _places()
    for folder in places:
        if folder.is_dir() and (data := _read(name, folder, subset)) is not None:
            if folder != places[0] and os.environ.get(VARIABLE):
                warnings.warn(
                    f"{VARIABLE}='{places[0]}' holds {_missing(name, subset)}: using {folder}",
                    stacklevel=3,
                )
            return data
    target = next((folder for folder in places if folder.is_dir()), places[-1])
    failure = fetch(name, target) if download else "downloading is switched off"
    if failure:
        searched = " and ".join(f"'{place}'" for place in places)
        raise MissingData(
            f"{searched} held {_missing(name, subset)}, and {failure}. Three ways out: (1) get "
            f"{_wanted(name, subset)}, and name the folder that holds it as root (--root); (2) set "
            f"the variable {VARIABLE} to that folder; (3) run this again where there is a network: "
            "it downloads the full set once. Or take shapes10 (--data), which needs no file"
        )
    data = _read(name, target, subset)
    assert data is not None  # torchvision has checked it, and `fetch` put it there
    return data


def _folder(root: str | os.PathLike[str] | None) -> Path:
    assert root is not None
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"root '{folder}' is not a folder")
    return folder


def _places() -> list[Path]:
    places, checkout = [Path("data")], Path(__file__).parent.parent
    if (checkout / "pyproject.toml").is_file() and checkout.resolve() != Path.cwd():
        places.append(checkout / "data")
    if named := os.environ.get(VARIABLE):
        places.insert(0, Path(named).expanduser())
        if not places[0].is_dir():  # a slip of the pen, and no reason to download 170 MB
            raise DataError(f"the variable {VARIABLE} names '{named}', which is not a folder")
    return places


def _read(name: str, folder: Path, subset: str | int) -> ImageData | None:
    """What `folder` holds of `subset`, or None if it holds nothing of the kind."""
    if name == "cifar10" and _small(subset) and (folder / MINI_FILE).is_file():
        data = read_mini(folder / MINI_FILE)
    elif (folder / PUBLISHED[name].folder).is_dir():
        data = read_published(name, folder, _small(subset))
    elif name == "cifar10" and image_folder.has_cifar10(folder):
        if subset == "mini":
            raise MissingData(
                f"'{folder}' holds an image folder, which cannot give the mini set, because "
                'it does not know the original order: ask for subset "full" or for a number'
            )
        data = image_folder.read_cifar10(folder)
    else:
        return None
    data = replace(data, source=str(folder))
    return data if isinstance(subset, str) else data.first(subset)


def _missing(name: str, subset: str | int) -> str:
    title = PUBLISHED[name].title
    if name == "cifar10" and not _small(subset):
        return f"no full {title} (subset={subset!r})"
    return f"no {title}"


def _wanted(name: str, subset: str | int) -> str:
    data_set = PUBLISHED[name]
    wanted = f"{data_set.folder}/ ({data_set.archive}, unpacked)"
    if name != "cifar10":
        return wanted
    mini = f"{MINI_FILE} or " if _small(subset) else ""
    folders = "" if subset == "mini" else " or image folders train/<class>/ and test/<class>/"
    return f"{mini}{wanted}{folders}"


def _small(subset: str | int) -> bool:
    return subset == "mini" or (subset != "full" and int(subset) <= MINI_TRAIN)
