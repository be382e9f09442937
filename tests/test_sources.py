"""sources.py: files of CIFAR, checked, written and downloaded. Most files here are synthetic."""

import json
import os
import pickle
import subprocess
import sys
import urllib.error
import zipfile
from pathlib import Path

import data_files as files
import numpy as np
import pytest
import torch
from data_files import copy, fails, write_cifar10

from sema_lite import data, sources
from sema_lite.data import DataError, load_cifar10, load_images

cifar100, full, mini = files.cifar100, files.full, files.mini  # fixtures
internet, world = files.internet, files.world
HERE, PACKAGE = Path(__file__).parent, Path(sources.__file__).parent


# -- the real mini set ----------------------------------------------------------------------------


def test_real_mini_set(mini_root):
    found = load_cifar10(mini_root)
    assert found.name == "CIFAR-10 mini"
    assert found.source == str(mini_root)
    assert found.train_images.shape == (5000, 3, 32, 32)
    assert found.test_images.shape == (1000, 3, 32, 32)
    assert found.train_images.dtype == torch.uint8
    assert found.train_labels.dtype == torch.int64
    assert found.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert found.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert found.classes[6] == "frog"
    values = data.normalise(found.train_images)
    assert values.mean((0, 2, 3)).abs().max() < 0.05
    assert (values.std((0, 2, 3)) - 1).abs().max() < 0.05


def test_real_mini_set_cannot_be_the_full_one(mini_root, tmp_path):
    copy(mini_root / "cifar10-mini.npz", tmp_path / "cifar10-mini.npz")
    fails("no full CIFAR-10", tmp_path, root=tmp_path, subset="full")
    fails("no full CIFAR-10", root=tmp_path, subset=5001)
    cut = load_cifar10(tmp_path, 1200)
    assert (cut.name, len(cut.train_images)) == ("CIFAR-10 mini, first 1200", 1200)
    assert len(cut.test_images) == 1000


def test_real_mini_set_made_again(mini_root, tmp_path):
    found = load_cifar10(mini_root)
    sources.save_mini(found, tmp_path / "cifar10-mini.npz")
    again = load_cifar10(tmp_path)
    assert torch.equal(again.train_images, found.train_images)
    with pytest.raises(DataError, match="nothing was written"):
        sources.save_mini(found.first(10), tmp_path / "other.npz")
    assert os.listdir(tmp_path) == ["cifar10-mini.npz"]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_checksums_are_those_of_torchvision(name):
    ours = sources.PUBLISHED[name]
    cifar = getattr(pytest.importorskip("torchvision.datasets"), ours.torchvision)
    theirs = dict(cifar.train_list + cifar.test_list)
    if name == "cifar100":
        theirs["meta"] = cifar.meta["md5"]
        assert cifar.meta["key"] == "fine_label_names"
    assert theirs == ours.md5
    assert (cifar.base_folder, cifar.filename) == (ours.folder, ours.archive)


# -- the mini file, and how it can be damaged -----------------------------------------------------


def test_mini_file(mini):
    root, arrays = mini
    found = load_cifar10(root)
    for name, array in arrays.items():
        assert np.array_equal(getattr(found, name).numpy(), array)
    assert load_cifar10(root, 7).train_labels.tolist() == arrays["train_labels"][:7].tolist()
    fails("subset=21", "20 images", root=root, subset=21)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_mini_file_cut_short(mini, share):
    path = mini[0] / "cifar10-mini.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    fails(path, "copy it again", "--make-mini", root=mini[0])


def test_mini_file_with_one_wrong_byte(mini):
    """Wherever it is: either an error, or (in a date, say) the very same images."""
    root, arrays = mini
    path = root / "cifar10-mini.npz"
    good = path.read_bytes()
    places = [
        *range(0, 130),
        *range(130, len(good), len(good) // 60),
        *range(len(good) - 330, len(good)),
    ]
    errors = 0
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        try:
            found = load_cifar10(root)
        except DataError:
            errors += 1
        else:
            assert all(np.array_equal(getattr(found, k).numpy(), a) for k, a in arrays.items())
    assert errors > len(places) / 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("test_labels"), "test_labels"),
        (lambda a: a.update(train_images=a["train_images"][:-1]), "train_images is uint8(19, 3,"),
        (lambda a: a.update(test_labels=a["test_labels"].astype(np.int64)), "test_labels is int64"),
        (lambda a: a.update(train_labels=a["train_labels"] + 10), "a label is 1"),
        (lambda a: a.update(test_labels=a["test_labels"].astype(object)), "ValueError"),
        (lambda a: a.update(train_labels=np.roll(a["train_labels"], 1)), "checksum"),
        (lambda a: a.update(test_images=a["test_images"] ^ 1), "checksum"),
    ],
)
def test_mini_file_with_wrong_arrays(mini, change, says):
    root, arrays = mini
    arrays = dict(arrays)
    change(arrays)
    np.savez_compressed(root / "cifar10-mini.npz", **arrays)
    fails(root / "cifar10-mini.npz", says if says != "ValueError" else "bject array", root=root)


def test_mini_file_of_another_kind(mini):
    path = mini[0] / "cifar10-mini.npz"
    path.write_text("<html>404 not found</html>")
    fails(path, root=mini[0])
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    fails(path, root=mini[0])
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train_images.npy", "nothing of the kind")
    fails(path, root=mini[0])


# -- the full set in torchvision's layout ---------------------------------------------------------


def test_batches(full):
    root, content = full
    found = load_cifar10(root, "full")
    assert found.name == "CIFAR-10"
    images = np.concatenate([content[f"data_batch_{i}"][0] for i in range(1, 6)])
    assert np.array_equal(found.train_images.numpy(), images)
    assert found.test_labels.tolist() == content["test_batch"][1]
    assert found.train_labels.dtype == torch.int64


def test_mini_set_cut_out_of_the_batches(full):
    root, content = full
    found = load_cifar10(root)
    assert found.name == "CIFAR-10 mini"
    images = np.concatenate([content[f"data_batch_{i}"][0][:5] for i in range(1, 6)])
    assert np.array_equal(found.train_images.numpy(), images)
    assert np.array_equal(found.test_images.numpy(), content["test_batch"][0][:5])
    labels = [label for i in range(1, 6) for label in content[f"data_batch_{i}"][1][:5]]
    assert found.train_labels.tolist() == labels
    assert load_cifar10(root, 7).train_labels.tolist() == labels[:7]


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "test_batch"])
def test_batches_copied_in_part(full, name):
    path = full[0] / "cifar-10-batches-py" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    fails(path.parent, name, "checksum", "copy or unpack it again", root=full[0])
    path.unlink()
    fails(path.parent, name, "No such file", root=full[0])
    path.write_bytes(content)
    load_cifar10(full[0])


class Malice:
    def __reduce__(self):
        return (os.mkdir, ("was-run",))


@pytest.mark.usefixtures("world")
def test_a_foreign_pickle_is_not_run(full):
    (full[0] / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Malice()))
    fails("data_batch_2", root=full[0])
    assert not Path("was-run").exists()


# -- CIFAR-100 ------------------------------------------------------------------------------------


def test_cifar100(cifar100):
    root, content = cifar100
    found = load_images("cifar100", root, "full")
    assert (found.name, found.source) == ("CIFAR-100", str(root))
    for split in ("train", "test"):
        images, fine = content[split]
        assert np.array_equal(getattr(found, f"{split}_images").numpy(), images)
        assert getattr(found, f"{split}_labels").tolist() == fine  # not the 20 coarse ones
    assert found.train_labels.dtype == torch.int64
    assert found.classes == tuple(content["meta"])


def test_mini_set_of_cifar100_is_the_first_images(cifar100):
    root, content = cifar100
    found = load_images("cifar100", root)
    assert found.name == "CIFAR-100 mini"
    assert (len(found.train_images), len(found.test_images)) == (20, 10)
    assert np.array_equal(found.train_images.numpy(), content["train"][0][:20])
    assert np.array_equal(found.test_images.numpy(), content["test"][0][:10])
    assert found.train_labels.tolist() == content["train"][1][:20]
    assert len(found.classes) == 100
    few = load_images("cifar100", root, 7)
    assert (few.name, len(few.test_images)) == ("CIFAR-100 mini, first 7", 7)
    assert few.train_labels.tolist() == content["train"][1][:7]


def test_sizes_of_the_mini_sets():
    assert (sources.MINI_TRAIN, sources.MINI_TEST) == (5000, 1000)
    assert sources.MINI_SHAPES["train_images"][0] == sources.MINI_TRAIN
    assert sources.MINI_SHAPES["test_images"][0] == sources.MINI_TEST


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_cifar100_copied_in_part(cifar100, name):
    path = cifar100[0] / "cifar-100-python" / name
    content, options = path.read_bytes(), {"name": "cifar100", "root": cifar100[0]}
    path.write_bytes(content[:-1])
    fails(path.parent, name, "wrong checksum", "copy or unpack it again", **options)
    path.write_bytes(content[:-1] + b"x")
    fails(path.parent, name, "wrong checksum", **options)
    path.unlink()
    fails(path.parent, name, "No such file", **options)
    path.write_bytes(content)
    load_images("cifar100", cifar100[0])


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("name", ["train", "meta"])
def test_a_foreign_pickle_of_cifar100_is_not_run(cifar100, name):
    (cifar100[0] / "cifar-100-python" / name).write_bytes(pickle.dumps(Malice()))
    fails(f"its file {name} (wrong", name="cifar100", root=cifar100[0])
    assert not Path("was-run").exists()


# -- downloading ----------------------------------------------------------------------------------


def test_nothing_there_and_no_network(world, monkeypatch):
    ways = ("Three ways out", "root", "SEMA_LITE_DATA", "downloads", "no network here")
    fails("'data'", *ways)
    assert not list(Path("data").iterdir())  # nothing of the attempt is left
    (world / "mine").mkdir()
    monkeypatch.setenv("SEMA_LITE_DATA", "mine")
    fails("'mine' and 'data'", *ways)
    fails("switched off", download=False)


@pytest.mark.usefixtures("world")
def test_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    fails("Three ways out", "needs torchvision", "sema-lite[course]")


class Downloads:
    """Stands for torchvision's class: writes the batches, or breaks off half-way."""

    def __init__(self, error=None):
        self.error, self.calls = error, 0

    def __call__(self, root, download):
        assert download
        self.calls += 1
        write_cifar10(Path(root))
        if self.error:
            (Path(root) / "cifar-10-batches-py" / "data_batch_4").unlink()
            raise self.error


@pytest.mark.usefixtures("full")
def test_download_then_found(world, monkeypatch):
    fake = Downloads()
    monkeypatch.setattr("torchvision.datasets.CIFAR10", fake)
    (world / "mine").mkdir()
    monkeypatch.setenv("SEMA_LITE_DATA", "mine")
    assert load_cifar10(subset="full").source == "mine"
    assert os.listdir("mine") == ["cifar-10-batches-py"]
    assert load_cifar10().name == "CIFAR-10 mini"
    assert fake.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("reset"),
        RuntimeError("File not found or corrupted."),
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
    ],
)
@pytest.mark.usefixtures("world", "full")
def test_download_that_breaks_off_leaves_nothing(monkeypatch, error):
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Downloads(error))
    with pytest.raises((DataError, KeyboardInterrupt)):
        load_cifar10()
    assert os.listdir("data") == []
    good = Downloads()
    monkeypatch.setattr("torchvision.datasets.CIFAR10", good)
    assert load_cifar10().name == "CIFAR-10 mini"


@pytest.mark.usefixtures("world", "full")
def test_what_a_killed_download_leaves_is_not_data(monkeypatch):
    """SIGKILL cannot be caught: its remains lie under a name that nobody looks for."""
    names = []

    def killed(root, **_):
        names.append(Path(root).name)
        raise OSError("stop here")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", killed)
    fails("stop here")
    write_cifar10(Path("data") / names[0])
    (Path("data") / names[0] / "cifar-10-batches-py" / "test_batch").unlink()
    fails("stop here")


def test_no_network_for_real(tmp_path):
    """A copy of the package, so that no checkout is found, and a proxy that does not answer."""
    pytest.importorskip("torchvision")
    copy = tmp_path / "sema_lite"
    copy.mkdir()
    for file in PACKAGE.glob("*.py"):
        (copy / file.name).write_bytes(file.read_bytes())
    env = {k: v for k, v in os.environ.items() if k.lower() not in ("sema_lite_data", "no_proxy")}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "sema_lite", "data"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: 'data' held no CIFAR-10, and downloading into 'data' failed"
    )
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path / "data") == []


BOTH = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


@BOTH
@pytest.mark.usefixtures("world", "full", "cifar100")
def test_torchvision_downloads(name, internet, capfd):
    """By torchvision's own code, from a server on this machine."""
    root = internet(name)
    found = load_images(name, subset="full")
    folder = sources.PUBLISHED[name].folder
    assert found.source == "data"
    assert os.listdir("data") == [folder]  # no archive, no partial folder
    assert "100%" in capfd.readouterr().err  # a progress bar
    again = load_images(name, root, "full")
    assert torch.equal(found.train_images, again.train_images)
    assert found.classes == again.classes


def cut(archive):
    return archive[: len(archive) // 2]


def flip(archive):
    """Wrong bytes in the middle."""
    half = len(archive) // 2
    return archive[:half] + bytes(b ^ 0x55 for b in archive[half : half + 200]) + archive[half:]


@BOTH
@pytest.mark.parametrize("change", [cut, flip, lambda _: b"<html>404</html>", lambda _: b""])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.usefixtures("world", "full", "cifar100")
def test_damaged_archive(name, change, known, internet):
    """torchvision finds a wrong checksum; were it the right one, unpacking it would fail."""
    internet(name, change, known)
    message = fails("Three ways out", "downloading into 'data' failed (", name=name)
    assert known or "File not found or corrupted" in message
    assert os.listdir("data") == []
    internet(name)
    assert load_images(name).train_size > 0


@BOTH
@pytest.mark.usefixtures("world", "full", "cifar100")
def test_archive_with_a_wrong_file(name, internet, monkeypatch):
    """The archive is as torchvision expects it, a file in it is not what we expect."""
    internet(name)
    data_set = sources.PUBLISHED[name]
    monkeypatch.setitem(data_set.md5, list(data_set.md5)[-1], "0" * 32)
    fails("wrong checksum", "data/", name=name)


@BOTH
@pytest.mark.usefixtures("world")
def test_no_space_for_a_download(name, internet, monkeypatch):
    """Said before 170 MB are on their way."""
    internet(name)
    monkeypatch.setattr(sources, "SPACE", 10**18)
    message = fails("MB free", "Three ways out", name=name)
    assert "'data' has " in message
    assert os.listdir("data") == []


# -- full and read-only disks ---------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_mini_file_on_a_full_device(mini, tmp_path):
    """As on a full disk: the kernel takes no byte of the new file."""
    path = tmp_path / "cifar10-mini.npz"
    path.write_text("old")
    (tmp_path / f"{path.name}.partial-{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(DataError) as caught:
        sources.save_mini(load_cifar10(mini[0]), path)
    assert str(caught.value) == (
        f"'{path}' cannot be written (No space left on device): it is as it was"
    )
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["cifar10-mini.npz", "mini"]


@pytest.mark.usefixtures("world")
def test_read_only_folder(mini, internet):
    found = load_cifar10(mini[0])
    internet("cifar10")
    folder = Path("data")
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere; a read-only disk is tested below")
    fails("downloading into 'data' failed (Permission denied)", "Three ways out")
    with pytest.raises(DataError, match=r"'data/mini.npz' cannot be written .Permission"):
        sources.save_mini(found, folder / "mini.npz")
    assert os.listdir(folder) == []


def test_mini_file_into_no_folder(mini, tmp_path):
    with pytest.raises(DataError, match=r"no/such/mini.npz' cannot be written .No such"):
        sources.save_mini(load_cifar10(mini[0]), tmp_path / "no" / "such" / "mini.npz")


# In a process of its own, which may mount a disk of 64 kB that nobody else sees.
ON_A_SMALL_DISK = """
import contextlib, io, json, os, subprocess, sys
from pathlib import Path
import pytest
import data_files as files
from sema_lite import sources
from sema_lite.data import DataError, load_images

def said(call, *args, **kwargs):
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        try:
            return "no error: " + call(*args, **kwargs).name
        except DataError as error:
            return str(error)

patch, disk, home = pytest.MonkeyPatch(), Path("disk"), Path.cwd()
files.write_mini(home / "mini", patch)
mini = load_images("cifar10", "mini")
os.environ["SEMA_LITE_DATA"] = "disk"
(disk / "cifar10-mini.npz").write_text("old")
out = {"save": said(sources.save_mini, mini, disk / "cifar10-mini.npz")}
with files.serve(home / "net", patch) as internet:
    internet("cifar10"), internet("cifar100")
    out["space"] = said(load_images, "cifar100")
    patch.setattr(sources, "SPACE", 0)
    for name in ("cifar10", "cifar100"):
        out[name] = said(load_images, name, subset="full")
    out["left"] = {p.name: p.read_text() for p in disk.iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)
    out["read-only save"] = said(sources.save_mini, mini, disk / "cifar10-mini.npz")
    out["read-only download"] = said(load_images, "cifar100")
    out["still left"] = {p.name: p.read_text() for p in disk.iterdir()}
print(json.dumps(out))
"""


def test_full_and_read_only_disk(tmp_path):
    pytest.importorskip("torchvision")
    (tmp_path / "disk").mkdir()
    mount = "mount -t tmpfs -o size=64k tmpfs disk"
    own = ["unshare", "-rm", "sh", "-c"]
    try:
        possible = subprocess.run([*own, mount], cwd=tmp_path, capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted: {error}")
    if possible.returncode:
        pytest.skip(f"a small disk cannot be mounted: {possible.stderr.decode().strip()}")
    paths = [str(HERE), str(PACKAGE.parent)]
    done = subprocess.run(
        [*own, f'{mount} && exec "$0" -c "$1"', sys.executable, ON_A_SMALL_DISK],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout.splitlines()[-1])
    assert all("\n" not in line for line in said.values() if isinstance(line, str))
    assert said["save"] == (
        "'disk/cifar10-mini.npz' cannot be written (No space left on device): it is as it was"
    )
    assert "and 'disk' has 0 of the 360 MB free that it takes. Three ways out" in said["space"]
    for name in ("cifar10", "cifar100"):
        assert "downloading into 'disk' failed (No space left on device)" in said[name]
    assert said["left"] == {"cifar10-mini.npz": "old"}
    assert "cannot be written (Read-only file system)" in said["read-only save"]
    assert "'disk' failed (Read-only file system). Three ways" in said["read-only download"]
    assert said["still left"] == said["left"]
