"""Small stand-ins for the files of data sets, as pytest fixtures. Nothing touches the network.

A test module gets a fixture by giving it a name of its own: `mini = data_files.mini`.
"""

import functools
import hashlib
import importlib
import pickle
import shutil
import tarfile
import threading
import urllib.error
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sema_lite import data, sources
from sema_lite.data import DataError, load_images

MINI_SHAPES = {"train_images": (20, 3, 32, 32), "train_labels": (20,)}
MINI_SHAPES |= {"test_images": (8, 3, 32, 32), "test_labels": (8,)}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty current directory, no variable, no checkout, no network."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("SEMA_LITE_DATA", raising=False)
    monkeypatch.setattr(data, "__file__", str(tmp_path / "site" / "sema_lite" / "data.py"))

    def offline(*_args, **_kwargs):
        raise urllib.error.URLError("no network here")

    datasets = pytest.importorskip("torchvision.datasets")
    for data_set in sources.PUBLISHED.values():
        monkeypatch.setattr(datasets, data_set.torchvision, offline)
    return here


@pytest.fixture
def mini(tmp_path, monkeypatch):
    """A small stand-in for the mini set of CIFAR-10: the root it lies in, and its arrays."""
    root = tmp_path / "mini"
    return root, write_mini(root, monkeypatch)


def write_mini(root, monkeypatch):
    random = np.random.default_rng(1)
    arrays = {
        name: random.integers(0, 256 if "images" in name else 10, shape, np.uint8)
        for name, shape in MINI_SHAPES.items()
    }
    monkeypatch.setattr(sources, "MINI_SHAPES", MINI_SHAPES)
    content = b"".join(array.tobytes() for array in arrays.values())
    monkeypatch.setattr(sources, "MINI_SHA256", hashlib.sha256(content).hexdigest())
    root.mkdir()
    np.savez_compressed(root / "cifar10-mini.npz", **arrays)
    return arrays


@pytest.fixture
def full(tmp_path, monkeypatch):
    """CIFAR-10 in batches of 12 images, of which the mini set takes 5: root and content."""
    root = tmp_path / "full"
    monkeypatch.setattr(sources, "MINI_PER_BATCH", 5)
    return root, write_cifar10(root, monkeypatch)


def write_cifar10(root, monkeypatch=None):
    """The authors' files: {batch: (images, labels)}."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random, content = np.random.default_rng(2), {}
    for name in sources.CIFAR10.md5:
        images = random.integers(0, 256, (12, 3072), np.uint8)
        labels = random.integers(0, 10, 12).tolist()
        _write(sources.CIFAR10, folder / name, {"data": images, "labels": labels}, monkeypatch)
        content[name] = (images.reshape(-1, 3, 32, 32), labels)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(data.CLASSES)}))
    return content


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """CIFAR-100 with 40 and 15 images, of which the mini set takes 20 and 10: root and content."""
    root = tmp_path / "hundred"
    monkeypatch.setattr(sources, "MINI_TRAIN", 20)
    monkeypatch.setattr(sources, "MINI_TEST", 10)
    return root, write_cifar100(root, monkeypatch)


def write_cifar100(root, monkeypatch=None):
    """The authors' files: {"train" or "test": (images, fine labels), "meta": names}."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    random, content = np.random.default_rng(3), {}
    for name, n in (("train", 40), ("test", 15)):
        images = random.integers(0, 256, (n, 3072), np.uint8)
        fine, coarse = (random.integers(0, high, n).tolist() for high in (100, 20))
        batch = {"data": images, "fine_labels": fine, "coarse_labels": coarse}
        _write(sources.CIFAR100, folder / name, batch, monkeypatch)
        content[name] = (images.reshape(-1, 3, 32, 32), fine)
    content["meta"] = [f"thing {i}" for i in range(100)]
    names = {"fine_label_names": content["meta"], "coarse_label_names": ["a", "b"]}
    _write(sources.CIFAR100, folder / "meta", names, monkeypatch)
    return content


WRITE = {"cifar10": write_cifar10, "cifar100": write_cifar100}


def _write(data_set, path, content, monkeypatch):
    blob = pickle.dumps(content)
    path.write_bytes(blob)
    if monkeypatch:
        monkeypatch.setitem(data_set.md5, path.name, md5(blob))


def md5(blob):
    return hashlib.md5(blob, usedforsecurity=False).hexdigest()


@pytest.fixture
def internet(tmp_path, monkeypatch):
    """`internet(name)` lets torchvision download an archive of ours; see `serve`."""
    with serve(tmp_path / "net", monkeypatch) as put:
        yield put


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serve(folder, monkeypatch):
    """A server on this machine. All is torchvision's own code, only the address is not."""
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield functools.partial(_put, folder, address, monkeypatch)
        server.shutdown()


def _put(folder, address, monkeypatch, name, change=None, known=True):
    """Put an archive there: `change` is done to its bytes. Returns the folder of its files.

    `known` is whether torchvision knows the checksum of the changed archive, or the right one.
    """
    data_set, datasets = sources.PUBLISHED[name], pytest.importorskip("torchvision.datasets")
    root = folder / name
    if not root.exists():
        WRITE[name](root, monkeypatch)
    archive = folder / data_set.archive
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / data_set.folder, data_set.folder)
    right = archive.read_bytes()
    archive.write_bytes(change(right) if change else right)
    real = vars(importlib.import_module("torchvision.datasets.cifar"))[data_set.torchvision]
    names = real.meta["filename"], *(file for file, _ in real.train_list + real.test_list)
    sums = {file: md5((root / data_set.folder / file).read_bytes()) for file in names}
    settings = {
        "url": f"{address}/{archive.name}",
        "tgz_md5": md5(archive.read_bytes() if known else right),
        "train_list": [[file, sums[file]] for file, _ in real.train_list],
        "test_list": [[file, sums[file]] for file, _ in real.test_list],
        "meta": {**real.meta, "md5": sums[real.meta["filename"]]},
    }
    monkeypatch.setattr(datasets, data_set.torchvision, type("Local", (real,), settings))
    return root


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def fails(*parts, name="cifar10", **kwargs):
    """The one-line message of the DataError that `load_images(name, **kwargs)` raises."""
    with pytest.raises(DataError) as caught:
        load_images(name, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message
