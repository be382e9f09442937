"""data.py and images.py: finding images by name, cutting and augmenting them."""

import os
import shutil
from pathlib import Path

import data_files as files
import numpy as np
import pytest
import torch
from conftest import write_image_folder
from data_files import WRITE, copy, fails

from sema_lite import data, results, shapes
from sema_lite import images as in_memory
from sema_lite.data import DATA_SETS, DataError, MissingData, load_cifar10, load_images

cifar100, full, mini, world = files.cifar100, files.full, files.mini, files.world  # fixtures


# -- where it is looked for -----------------------------------------------------------------------


def test_order_of_the_places(world, mini, full, monkeypatch):
    mini_root, _ = mini
    full_root, _ = full
    checkout = world.parent / "site"
    (checkout / "pyproject.toml").parent.mkdir()
    (checkout / "pyproject.toml").touch()
    copy(mini_root, checkout / "data")
    assert load_cifar10().source == str(checkout / "data")
    copy(full_root, Path("data"))
    assert load_cifar10().source == "data"
    monkeypatch.setenv("SEMA_LITE_DATA", str(mini_root))
    assert load_cifar10().source == str(mini_root)
    assert load_cifar10(full_root).source == str(full_root)
    with pytest.warns(UserWarning, match="SEMA_LITE_DATA=.* holds no full CIFAR-10"):
        assert load_cifar10(subset="full").source == "data"


def test_the_mini_file_is_preferred(mini, full):
    write_image_folder(mini[0], 1, 1)
    copy(full[0] / "cifar-10-batches-py", mini[0] / "cifar-10-batches-py")
    assert len(load_cifar10(mini[0]).train_images) == 20
    assert len(load_cifar10(mini[0], "full").train_images) == 60
    (mini[0] / "cifar10-mini.npz").unlink()
    assert len(load_cifar10(mini[0]).train_images) == 25
    shutil.rmtree(mini[0] / "cifar-10-batches-py")
    assert len(load_cifar10(mini[0], "full").train_images) == 10


@pytest.mark.usefixtures("world")
def test_damaged_data_is_not_passed_over(mini, full, monkeypatch):
    """A good copy further down must not hide that the first one is broken."""
    copy(full[0], Path("data"))
    (mini[0] / "cifar10-mini.npz").write_bytes(b"PK")
    monkeypatch.setenv("SEMA_LITE_DATA", str(mini[0]))
    fails(mini[0] / "cifar10-mini.npz")


def test_explicit_root_without_data(world, tmp_path, full, monkeypatch):
    copy(full[0], Path("data"))
    monkeypatch.setenv("SEMA_LITE_DATA", str(full[0]))
    fails(world / "no" / "such", "is not a folder", root=world / "no" / "such")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "holds no CIFAR-10", "cifar10-mini.npz", root=tmp_path / "empty")


@pytest.mark.usefixtures("world")
def test_variable_that_names_no_folder(full, monkeypatch):
    copy(full[0], Path("data"))
    monkeypatch.setenv("SEMA_LITE_DATA", "/no/such/folder")
    fails("SEMA_LITE_DATA", "/no/such/folder")


@pytest.mark.parametrize("subset", ["tiny", 0, -3, 2.5, 50_001, True, None])
def test_bad_subset(mini, subset):
    with pytest.raises((ValueError, TypeError), match="subset"):
        load_cifar10(mini[0], subset)


# -- by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_look_up_order_of_each(name, world, monkeypatch):
    """root, the variable, data/, the checkout, the internet: the first that has it."""
    checkout, mine, root = world.parent / "site", world / "mine", world / "root"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    mine.mkdir()
    monkeypatch.setenv("SEMA_LITE_DATA", str(mine))
    fails("Three ways out", "no network here", name=name)
    for place in (checkout / "data", Path("data")):
        WRITE[name](place, monkeypatch)
        with pytest.warns(UserWarning, match=f"'{mine}' holds no CIFAR"):
            assert load_images(name).source == str(place)
    WRITE[name](mine, monkeypatch)
    assert load_images(name).source == str(mine)
    WRITE[name](root, monkeypatch)
    assert load_images(name, root).source == str(root)
    assert load_images(name, root, "full", download=False).source == str(root)
    (world / "empty").mkdir()
    fails("root", "holds no", "-python/" if name == "cifar100" else "-py/", name=name, root="empty")


@pytest.mark.usefixtures("world")
def test_one_data_set_is_not_taken_for_another(full, cifar100, image_folder):
    assert load_images("cifar10", full[0]).name == load_cifar10(full[0]).name == "CIFAR-10 mini"
    fails("holds no CIFAR-100. Leave", "cifar-100-python/", name="cifar100", root=full[0])
    fails("holds no CIFAR-10. Leave", name="cifar10", root=cifar100[0])
    fails("holds no CIFAR-100. Leave", name="cifar100", root=image_folder, subset="full")
    message = fails("cifar-100-python.tar.gz", name="cifar100", download=False)
    assert "mini.npz" not in message
    assert "image folder" not in message


def test_names_and_options_that_are_wrong(tmp_path):
    assert DATA_SETS == ("cifar10", "cifar100", "shapes10", "folder")
    for name in ("mnist", "CIFAR10", "", None, 3, []):
        fails("must be one of ('cifar10',", repr(name), name=name)
    for name in ("cifar100", "shapes10"):
        for subset in ("tiny", 50_001):
            fails("subset must be", name=name, subset=subset)
        for subset in (0, -3, 2.5, True, None):
            with pytest.raises((ValueError, TypeError), match="subset"):
                load_images(name, subset=subset)
    fails('fallback must be None or "shapes10"', "'digits'", fallback="digits")
    fails("for folder it must be None", name="folder", root=tmp_path, fallback="shapes10")
    fails("shapes10 is drawn and takes no root", name="shapes10", root=tmp_path)


@pytest.mark.usefixtures("world")
def test_shapes10_by_name(monkeypatch):
    monkeypatch.setenv("SEMA_LITE_DATA", "/no/such/folder")  # it does not even look
    found = load_images("shapes10")
    assert found.name == "shapes10 (drawn, not photographs)"
    assert (len(found.train_images), len(found.test_images)) == (5000, 1000)
    assert found.classes == shapes.SHAPES
    drawn = shapes.shapes10(train=30, test=20)
    assert torch.equal(found.train_images[:30], drawn.train_images)
    assert torch.equal(found.test_labels[:20], drawn.test_labels)
    few = load_images("shapes10", subset=23)
    assert few.name == "shapes10 (drawn, not photographs), first 23"
    assert torch.equal(few.train_images, found.train_images[:23])
    assert len(few.test_images) == 23


@pytest.mark.parametrize(
    ("subset", "sizes"),
    [("mini", (5000, 1000)), (5000, (5000, 1000)), (5001, (5001, 5001)), (20_000, (20_000, 10_000)),
     ("full", (50_000, 10_000)), (50_000, (50_000, 10_000)), (700, (700, 700))],
)  # fmt: skip
def test_sizes_of_shapes10(subset, sizes, monkeypatch):
    """As many as CIFAR has; drawing that many takes seconds."""
    asked, one = [], shapes.shapes10(train=1, test=1)
    monkeypatch.setattr(shapes, "shapes10", lambda **sizes: asked.append(sizes) or one)
    name = load_images("shapes10", subset=subset).name
    assert asked == [dict(zip(("train", "test"), sizes, strict=True))]
    assert name.startswith("shapes10 (drawn, not photographs)")
    assert ("full" in name) == (subset == "full")


# -- a stand-in -----------------------------------------------------------------------------------


@pytest.fixture
def no_download(monkeypatch):
    def fetch(*_):
        pytest.fail("it went to the internet")

    monkeypatch.setattr(data, "fetch", fetch)


@pytest.mark.usefixtures("world", "no_download")
def test_stand_in_where_there_is_nothing(tmp_path):
    for name, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
        found = load_images(name, subset=40, fallback="shapes10")
        assert found.name == f"shapes10 (drawn, not photographs), first 40, instead of {title}"
        assert found.source == "drawn from seed 0"
        assert found.classes == shapes.SHAPES
    assert len(load_images("cifar10", fallback="shapes10").train_images) == 5000
    found = load_images("cifar10", tmp_path, 40, fallback="shapes10", download=True)
    assert found.name.startswith("shapes10")
    assert not Path("data").exists()


@pytest.mark.usefixtures("world", "no_download")
def test_no_stand_in_for_what_is_there(mini, cifar100, monkeypatch):
    monkeypatch.setenv("SEMA_LITE_DATA", str(mini[0]))
    assert load_images("cifar10", fallback="shapes10").name == "CIFAR-10 mini"
    assert load_images("cifar100", cifar100[0], fallback="shapes10").name == "CIFAR-100 mini"


@pytest.mark.usefixtures("world", "no_download")
def test_damaged_data_is_never_replaced(mini, full, cifar100, monkeypatch):
    options = {"fallback": "shapes10"}
    for root, path, name in (
        (mini[0], "cifar10-mini.npz", "cifar10"),
        (full[0], "cifar-10-batches-py/test_batch", "cifar10"),
        (cifar100[0], "cifar-100-python/meta", "cifar100"),
    ):
        (root / path).write_bytes((root / path).read_bytes()[:-1])
        monkeypatch.setenv("SEMA_LITE_DATA", str(root))
        fails(Path(path).name, name=name, **options)
        fails(Path(path).name, name=name, root=root, **options)
    monkeypatch.setenv("SEMA_LITE_DATA", "/no/such/folder")
    fails("/no/such/folder", **options)
    fails("is not a folder", root="/no/such/folder", **options)


@pytest.mark.usefixtures("world")
def test_missing_is_told_from_damaged(mini, tmp_path):
    (tmp_path / "empty").mkdir()
    for kwargs in ({"download": False}, {"root": tmp_path / "empty"}, {}):
        with pytest.raises(MissingData):
            load_images("cifar10", **kwargs)
    (mini[0] / "cifar10-mini.npz").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        load_images("cifar10", mini[0])
    assert not isinstance(caught.value, MissingData)


@pytest.mark.usefixtures("world", "no_download")
def test_image_folder_cannot_give_the_mini_set_but_does_not_stop_a_notebook(image_folder):
    assert load_images("cifar10", image_folder, 10).name.startswith("CIFAR-10 image folder")
    found = load_images("cifar10", image_folder, fallback="shapes10")
    assert found.name == "shapes10 (drawn, not photographs), instead of CIFAR-10"


# -- batches --------------------------------------------------------------------------------------


def images_of(n, seed=0, size=32):
    return torch.randint(
        0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed)
    ).byte()


def test_normalise():
    images = images_of(2)
    values = data.normalise(images)
    assert values.dtype == torch.float32
    assert values.is_contiguous(memory_format=torch.channels_last)
    for channel in range(3):
        expected = (
            images[1, channel, 5, 7].item() / 255 - in_memory.MEAN[channel]
        ) / in_memory.STD[channel]
        assert values[1, channel, 5, 7].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("pad", "size"), [(4, 32), (1, 8), (0, 5)])
def test_augment_equals_one_image_at_a_time(pad, size):
    images = images_of(40, size=size)
    fast = data.augment(images, torch.Generator().manual_seed(3), pad)
    random = torch.Generator().manual_seed(3)
    down, right = torch.randint(2 * pad + 1, (2, 40, 1), generator=random)
    flip = torch.rand(40, 1, generator=random) < 0.5
    for i, image in enumerate(images.numpy()):
        framed = np.zeros((3, size + 2 * pad, size + 2 * pad), np.uint8)
        framed[:, pad : pad + size, pad : pad + size] = image
        y, x = int(down[i]), int(right[i])
        slow = framed[:, y : y + size, x : x + size]
        if flip[i]:
            slow = slow[:, :, ::-1]
        assert np.array_equal(fast[i].numpy(), slow)


def test_a_mirrored_shape_is_a_shape_of_its_class():
    """So that `augment` fits shapes10: no class leans to one side.

    The product of the slopes along x and y changes its sign in a mirror: its mean is zero.
    """
    found = shapes.shapes10(train=3000, test=10)
    x = found.train_images.float().mean(1)
    lean = ((x[:, 1:-1, 2:] - x[:, 1:-1, :-2]) * (x[:, 2:, 1:-1] - x[:, :-2, 1:-1])).mean((1, 2))
    for label, name in enumerate(shapes.SHAPES):
        of_class = lean[found.train_labels == label]
        error = of_class.std() / len(of_class) ** 0.5
        assert abs(of_class.mean()) < 4 * error, name
    stripes = lean[found.train_labels == shapes.SHAPES.index("diagonal stripes")]
    falling = stripes[stripes > 0]  # without the rising ones this test would fail
    assert falling.mean() > 20 * falling.std() / len(falling) ** 0.5


def test_augment_uses_all_places_and_mirrors_half():
    image = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    image[0, 0, 10, 12] = 255
    cut = data.augment(image.expand(3000, -1, -1, -1), torch.Generator().manual_seed(0))
    y, x = (
        cut.flatten(2).argmax(2).squeeze(1).div(32, rounding_mode="floor"),
        cut.flatten(2).argmax(2) % 32,
    )
    assert sorted(set(y.tolist())) == list(range(6, 15))
    assert sorted(set(x.squeeze(1).tolist())) == list(range(8, 24))  # 8..16, and mirrored 15..23
    plain = int((x < 15).sum()) / 3000  # 7 of 9 places of those not mirrored
    assert plain == pytest.approx(7 / 18, abs=0.04)


def test_batches_are_shuffled_and_of_one_size():
    labels = torch.arange(50)
    images = images_of(50)
    random = torch.Generator().manual_seed(0)
    epochs = [[y for _, y in data.batches(images, labels, 16, random)] for _ in range(2)]
    assert [len(y) for y in epochs[0]] == [16, 16, 16]
    seen = torch.cat(epochs[0]).tolist()
    assert len(set(seen)) == 48
    assert seen != sorted(seen)
    assert seen != torch.cat(epochs[1]).tolist()


def test_batches_carry_the_label_of_their_image():
    images = (
        torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 3, 32, 32).contiguous()
    )
    for x, y in data.batches(images, torch.arange(50), 8, torch.Generator().manual_seed(0)):
        assert torch.allclose(x[:, :, 16, 16], data.normalise(images[y])[:, :, 16, 16])


def test_data_moves_and_cuts_as_a_whole(mini):
    found = load_cifar10(mini[0])
    assert found.to("meta").test_labels.device.type == "meta"
    assert len(found.first(10).test_labels) == 8


def test_whole_file_or_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), results.whole_file(path) as file:
        file.write(b"half of the n")
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with results.whole_file(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]
