"""CIFAR-10 and CIFAR-100 as files: each checked before it is used, downloaded whole or not at all.

The authors' files (Krizhevsky, 2009) lie in a folder as torchvision unpacks it. The mini set of
CIFAR-10 is one small file, which `save_mini` cuts out of them.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import socket
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .images import CLASSES, DataError, ImageData
from .results import whole_file

MINI_FILE = "cifar10-mini.npz"
MINI_SHAPES = {
    "train_images": (5000, 3, 32, 32),
    "train_labels": (5000,),
    "test_images": (1000, 3, 32, 32),
    "test_labels": (1000,),
}
# SHA-256 of the bytes of the four arrays, in this order: the mini set is these images, no others.
MINI_SHA256 = "e6fb7fdaffd12982b31c2571a13736b7d59e7eb648d3ffd01e85302d5203c2a0"
MINI_PER_BATCH = 1000
MINI_TRAIN, MINI_TEST = 5000, 1000
SPACE = 360_000_000  # bytes of an archive (170 million) and of what is in it


@dataclass(frozen=True)
class Published:
    """A data set as its authors published it: a folder of pickles, and its archive.

    Args:
        md5: of the files that are read, {name: checksum}, as in torchvision's source.
        torchvision: the class there that downloads it.
    """

    title: str
    folder: str
    archive: str
    md5: dict[str, str]
    torchvision: str


CIFAR10 = Published(
    "CIFAR-10",
    "cifar-10-batches-py",
    "cifar-10-python.tar.gz",
    {  # the last one is the test batch
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    "CIFAR10",
)
CIFAR100 = Published(
    "CIFAR-100",
    "cifar-100-python",
    "cifar-100-python.tar.gz",
    {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",  # the names of the classes
    },
    "CIFAR100",
)
PUBLISHED = {"cifar10": CIFAR10, "cifar100": CIFAR100}


# -- the authors' files ---------------------------------------------------------------------------


def read_published(name: str, root: Path, mini: bool) -> ImageData:
    """The whole of "cifar10" or "cifar100" out of the authors' folder in `root`, or its mini set.

    Raises:
        DataError: a file is missing, cut short or damaged.
    """
    return _read_cifar10(root, mini) if name == "cifar10" else _read_cifar100(root, mini)


def _read_cifar10(root: Path, mini: bool) -> ImageData:
    """Mini: the first images of each batch, so that each batch has its share."""
    images, labels, first = [], [], MINI_PER_BATCH if mini else None
    for batch in _unpickle(CIFAR10, root).values():
        images.append(_pictures(batch)[:first])
        labels.append(np.array(batch["labels"])[:first])
    arrays = [np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1]]
    return make("CIFAR-10 mini" if mini else "CIFAR-10", arrays)


def _read_cifar100(root: Path, mini: bool) -> ImageData:
    """Mini: the first 5,000 training and the first 1,000 test images. Labels are the fine ones."""
    files = _unpickle(CIFAR100, root)
    arrays: list[Any] = []
    for split, first in (("train", MINI_TRAIN), ("test", MINI_TEST)):
        n = first if mini else None
        arrays += [_pictures(files[split])[:n], np.array(files[split]["fine_labels"])[:n]]
    classes = tuple(files["meta"]["fine_label_names"])
    return make("CIFAR-100 mini" if mini else "CIFAR-100", arrays, classes)


def _pictures(batch: dict[str, Any]) -> Any:
    return batch["data"].reshape(-1, 3, 32, 32)


def _unpickle(data_set: Published, root: Path) -> dict[str, dict[str, Any]]:
    """The content of its files. All are checked first: a foreign pickle can run code."""
    folder, contents = root / data_set.folder, {}
    for name, md5 in data_set.md5.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(_replace(folder, f"{name} ({error.strerror})")) from None
        if hashlib.md5(contents[name], usedforsecurity=False).hexdigest() != md5:
            raise DataError(_replace(folder, f"{name} (wrong checksum, cut short or damaged)"))
    return {name: pickle.loads(data, encoding="latin1") for name, data in contents.items()}


def _replace(folder: Path, what: str) -> str:
    return (
        f"'{folder}' cannot be used because of its file {what}. Delete the folder and copy or "
        "unpack it again, or run this again to download it"
    )


def make(name: str, arrays: list[Any], classes: tuple[str, ...] = CLASSES) -> ImageData:
    """Of training images and labels, test images and labels, as numpy arrays."""
    tensors = [torch.from_numpy(np.array(a)) for a in arrays]  # a copy: writable, contiguous
    return ImageData(name, tensors[0], tensors[1].long(), tensors[2], tensors[3].long(), classes)


# -- the mini file --------------------------------------------------------------------------------


def read_mini(path: Path) -> ImageData:
    """The mini set of CIFAR-10 out of its file.

    Raises:
        DataError: it is cut short, damaged, or another file.
    """
    arrays = []
    try:
        with np.load(path, allow_pickle=False) as file:
            for name, shape in MINI_SHAPES.items():
                array = file[name]
                if array.dtype != np.uint8 or array.shape != shape:
                    raise ValueError(f"{name} is {array.dtype}{array.shape}, not uint8{shape}")
                arrays.append(array)
        for labels in arrays[1::2]:
            if labels.max() >= len(CLASSES):
                raise ValueError(f"a label is {labels.max()}, not 0 to {len(CLASSES) - 1}")
        if _fingerprint(arrays) != MINI_SHA256:
            raise ValueError("these are other images or labels than the mini set's (checksum)")
    except Exception as error:  # a damaged zip file can fail in any way
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())
    else:
        return make("CIFAR-10 mini", arrays)
    raise DataError(
        f"'{path}' is not the mini set: {reason}. Delete it and copy it again, or make it "
        f"from the full set: python -m sema_lite data --make-mini {MINI_FILE}"
    )


def save_mini(data: ImageData, path: str | os.PathLike[str]) -> None:
    """Write `cifar10-mini.npz` from `load_cifar10(subset="mini")`: the whole file, or none.

    Raises:
        DataError: these are other images, or the file cannot be written. What was there stays.
    """
    arrays = {name: getattr(data, name).numpy().astype(np.uint8) for name in MINI_SHAPES}
    if _fingerprint(list(arrays.values())) != MINI_SHA256:
        raise DataError(f"{data.name} is not the mini set of CIFAR-10: nothing was written")
    content = io.BytesIO()  # a zip file that fails on a full disk complains more than once
    np.savez_compressed(content, **arrays)
    try:
        with whole_file(path) as file:
            file.write(content.getbuffer())
    except OSError as error:
        raise DataError(f"'{path}' cannot be written ({_reason(error)}): it is as it was") from None


def _fingerprint(arrays: list[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


# -- downloading ----------------------------------------------------------------------------------


def fetch(name: str, root: Path) -> str:
    """Download "cifar10" or "cifar100" into `root`. Returns "", or why that failed."""
    data_set = PUBLISHED[name]
    try:
        import torchvision.datasets
    except (ImportError, RuntimeError):  # the second: a torchvision that does not fit this torch
        return "downloading needs torchvision (pip install 'sema-lite[course]')"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # a firewall that swallows packets must not hang us for ever
    try:
        root.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(root).free) < SPACE:
            return f"'{root}' has {free / 1e6:.0f} of the {SPACE / 1e6:.0f} MB free that it takes"
        # All in a folder of its own, moved when it is complete: a killed download leaves nothing
        # under the name that the next run looks for.
        with tempfile.TemporaryDirectory(prefix=f".{name}-partial-", dir=root) as partial:
            # With a progress bar; compares checksums.
            getattr(torchvision.datasets, data_set.torchvision)(partial, download=True)
            os.replace(Path(partial) / data_set.folder, root / data_set.folder)
    except (OSError, EOFError, RuntimeError, ValueError, tarfile.TarError, zlib.error) as error:
        return f"downloading into '{root}' failed ({_reason(error)})"
    finally:
        socket.setdefaulttimeout(timeout)
    return ""


def _reason(error: Exception) -> str:
    """Why it failed, in words, without the temporary names that nobody knows."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
