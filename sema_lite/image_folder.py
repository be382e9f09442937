"""Image folders, train/<class>/ and test/<class>/ with JPEG or PNG images, as tensors in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .images import CLASSES, DataError, ImageData
from .sources import MINI_TEST, MINI_TRAIN, make

SPLITS = ("train", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")
SIDE = 32


def read_folder(root: Path, subset: str | int) -> ImageData:
    """Any image folder. The classes are the folders in train/, in the order of the alphabet.

    Args:
        root: the folder that holds train/ and test/.
        subset: "full" is all of it; "mini" at most 5,000 and 1,000 images; n the first n. The
            images are taken from each class in turn, in the order of their file names.

    Raises:
        DataError: there is no such folder; the classes of both are not the same; one has no
            images; an image cannot be read, has not 32x32 pixels, or has more than 8 bits per
            colour. The message names it.
    """
    found = {split: _class_folders(root / split) for split in SPLITS}
    for here, there in (SPLITS, SPLITS[::-1]):
        if lacks := sorted(found[here] - found[there]):
            raise DataError(
                f"class '{lacks[0]}' is in '{root / here}', but '{root / there / lacks[0]}' is "
                "missing: both need the same classes"
            )
    classes = tuple(sorted(found["train"]))
    if len(classes) < 2:
        raise DataError(f"'{root / 'train'}' has the class '{classes[0]}' alone: two at least")
    arrays, kind = _read(root, classes)
    data = make(f"image folder {root.resolve().name} ({kind})", arrays, classes)
    if subset == "mini":
        fits = len(data.train_images) <= MINI_TRAIN and len(data.test_images) <= MINI_TEST
        return data if fits else data.cut(MINI_TRAIN, MINI_TEST, "mini")
    return data if isinstance(subset, str) else data.first(subset)


def has_cifar10(root: Path) -> bool:
    """Is there a folder named as a class of CIFAR-10? Then it is one of CIFAR-10, or damaged."""
    return any((root / split / name).is_dir() for split in SPLITS for name in CLASSES)


def read_cifar10(root: Path) -> ImageData:
    """CIFAR-10 as an image folder; the name says so, because a JPEG copy is not the original."""
    arrays, kind = _read(root, CLASSES)
    kind = "JPEG copy" if "JPEG" in kind else kind
    data = make(f"CIFAR-10 image folder ({kind})", arrays)
    if (counts := (len(arrays[1]), len(arrays[3]))) == (50_000, 10_000):
        return data
    # It may be half copied.
    part = f"only {counts[0]} of 50000 training and {counts[1]} of 10000 test images"
    return replace(data, name=f"{data.name}, {part}")


def _class_folders(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise DataError(
            f"'{folder}' is missing: an image folder has train/<class>/ and test/<class>/"
        )
    names = {p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
    if not names:
        raise DataError(f"'{folder}' has no images: they belong into {folder.name}/<class>/")
    return names


def _read(root: Path, classes: Iterable[str]) -> tuple[list[Any], str]:
    """Images and labels of training and test; "PNG", "JPEG", or "JPEG and PNG"."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise DataError("image folders need Pillow: pip install 'sema-lite[course]'") from None
    from tqdm.auto import tqdm

    arrays: list[Any] = []
    kinds = set()
    for split in SPLITS:
        files = _files(root / split, classes)
        images = np.empty((len(files), 3, SIDE, SIDE), np.uint8)
        for i, (_, _, path) in enumerate(tqdm(files, desc=f"reading {split} images", leave=False)):
            images[i] = _pixels(path)
            kinds.add("PNG" if path.suffix.lower() == ".png" else "JPEG")
        arrays += [images, np.array([label for _, label, _ in files])]
    return arrays, " and ".join(sorted(kinds))


def _files(folder: Path, classes: Iterable[str]) -> list[tuple[int, int, Path]]:
    """(place in its class, label, path) of all images: the classes in turn, in every copy alike."""
    files = []
    for label, name in enumerate(classes):
        paths = sorted(
            p
            for p in (folder / name).glob("*")
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
        if not paths:
            raise DataError(f"'{folder / name}' is missing or has no images (JPEG or PNG)")
        files += [(place, label, path) for place, path in enumerate(paths)]
    return sorted(files)


def _pixels(path: Path) -> Any:
    """(3, 32, 32) uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode  # known before anything is decoded
            small = mode[0] not in "IF"  # of 16 bits or more Pillow makes white: it cuts at 255
            fits = small and size == (SIDE, SIDE)
            pixels = np.asarray(image.convert("RGB")) if fits else None
    except Exception as error:  # a damaged image can fail in any way
        reason = " ".join(str(error).split())
        raise DataError(f"'{path}' cannot be read ({reason}): copy it again") from None
    if not small:
        raise DataError(f"'{path}' has more than 8 bits per colour ({mode}): save it with 8 bits")
    if pixels is None:
        raise DataError(f"'{path}' has {size[0]}x{size[1]} pixels, not {SIDE}x{SIDE}: scale it")
    return pixels.transpose(2, 0, 1)
