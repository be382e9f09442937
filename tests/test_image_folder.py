"""image_folder.py: image folders, of CIFAR-10 and of anything else."""

import data_files
import numpy as np
import pytest
from conftest import write_image_folder
from data_files import fails

import sema_lite.image_folder
from sema_lite.data import DataError, load_cifar10, load_images

world = data_files.world  # a fixture


def test_image_folder(tmp_path):
    written = write_image_folder(tmp_path)
    found = load_cifar10(tmp_path, "full")
    assert found.name == (
        "CIFAR-10 image folder (PNG), only 30 of 50000 training and 20 of 10000 test images"
    )
    assert found.train_labels.tolist() == 3 * list(range(10))  # the classes in turn
    for row, (image, label) in enumerate(zip(found.train_images, found.train_labels, strict=True)):
        pixels = written["train", int(label), row // 10]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)
    assert load_cifar10(tmp_path, 10).train_labels.tolist() == list(range(10))


def test_image_folder_of_jpegs_says_so(tmp_path):
    written = write_image_folder(tmp_path, train=1, test=1, suffix=".jpg")
    found = load_cifar10(tmp_path, "full")
    assert "JPEG copy" in found.name
    near = found.train_images[3].permute(1, 2, 0).numpy().astype(int)
    assert np.corrcoef(near.ravel(), written["train", 3, 0].ravel())[0, 1] > 0.5


def test_image_folder_does_not_know_the_mini_set(image_folder):
    fails(image_folder, "original order", '"full"', root=image_folder)


def test_damaged_image_folder(image_folder):
    Image = pytest.importorskip("PIL.Image")
    path = image_folder / "test" / "frog" / "0001.png"
    good = path.read_bytes()
    for bad in (b"", good[: len(good) // 2], b"not an image"):
        path.write_bytes(bad)
        fails(path, "copy it again", root=image_folder, subset="full")
    Image.new("RGB", (31, 32)).save(path)
    fails(path, "31x32 pixels", root=image_folder, subset="full")
    path.write_bytes(good)
    load_cifar10(image_folder, "full")
    for file in path.parent.iterdir():
        file.unlink()
    fails(path.parent, "has no images", root=image_folder, subset="full")
    path.parent.rmdir()
    fails(path.parent, "is missing", root=image_folder, subset="full")


# -- image folders of anything --------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    """Two classes, cats (4 and 2 images) and dogs (3 and 1), which are named one by one."""
    Image = pytest.importorskip("PIL.Image")
    random, root = np.random.default_rng(5), tmp_path / "pets"
    for split, cats, dogs in (("train", 4, 3), ("test", 2, 1)):
        for name, n in (("dog", dogs), ("cat", cats)):
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
                pixels[0, 0] = (7 if name == "cat" else 9), i, 0
                Image.fromarray(pixels).save(root / split / name / f"{name}{i}.png")
    return root


def folder_fails(*parts, root, subset="full"):
    return fails(*parts, name="folder", root=root, subset=subset)


def test_any_image_folder(pets):
    (pets / "train" / "notes.txt").write_text("not a class")
    (pets / "train" / ".cache").mkdir()
    (pets / "train" / "cat" / "notes.txt").write_text("not an image")
    (pets / "train" / "cat" / "._cat0.png").write_text("what a Mac leaves behind")
    found = load_images("folder", pets)
    assert (found.name, found.source) == ("image folder pets (PNG)", str(pets))
    assert found.classes == ("cat", "dog")
    assert found.train_labels.tolist() == [0, 1, 0, 1, 0, 1, 0]  # in turn, as long as there are
    assert found.test_labels.tolist() == [0, 1, 0]
    corners = found.train_images[:, :2, 0, 0].tolist()
    assert corners == [[7, 0], [9, 0], [7, 1], [9, 1], [7, 2], [9, 2], [7, 3]]
    assert found.train_images.dtype.itemsize == 1
    few = load_images("folder", pets, 3)
    assert (few.name, few.train_labels.tolist()) == (f"{found.name}, first 3", [0, 1, 0])
    folder_fails("subset=8", "has 7 images", root=pets, subset=8)


def test_mini_of_an_image_folder(pets, monkeypatch):
    monkeypatch.setattr(sema_lite.image_folder, "MINI_TRAIN", 5)
    monkeypatch.setattr(sema_lite.image_folder, "MINI_TEST", 2)
    found = load_images("folder", pets)
    assert (found.name, len(found.train_labels)) == ("image folder pets (PNG), mini", 5)
    assert len(found.test_images) == 2
    assert len(load_images("folder", pets, "full").train_images) == 7


def test_folder_of_jpegs_and_grey_images(pets):
    Image = pytest.importorskip("PIL.Image")
    Image.new("L", (32, 32), 77).save(pets / "test" / "dog" / "dog0.png")
    Image.new("RGB", (32, 32)).save(pets / "test" / "cat" / "cat9.JPG")
    found = load_images("folder", pets)
    assert found.name == "image folder pets (JPEG and PNG)"
    assert found.test_images[1].unique().tolist() == [77]


@pytest.mark.usefixtures("world")
def test_folder_needs_a_root(pets, monkeypatch):
    monkeypatch.setenv("SEMA_LITE_DATA", str(pets))
    folder_fails("folder needs a root (--root)", root=None)
    folder_fails("no/such' is not a folder", root="no/such")


def test_wrong_image_size(pets):
    Image = pytest.importorskip("PIL.Image")
    path = pets / "train" / "dog" / "dog1.png"
    for size in ((32, 33), (64, 64), (1, 1)):
        Image.new("RGB", size).save(path)
        folder_fails(f"'{path}' has {size[0]}x{size[1]} pixels, not 32x32", root=pets)


def test_more_than_eight_bits_are_not_cut_off(pets):
    """Pillow would make nearly all of such an image white."""
    Image = pytest.importorskip("PIL.Image")
    path = pets / "train" / "dog" / "dog1.png"
    Image.fromarray(np.full((32, 32), 30_000, np.uint16)).save(path)
    folder_fails(f"'{path}' has more than 8 bits per colour (I", "save it with 8 bits", root=pets)


@pytest.mark.filterwarnings("error")
def test_a_huge_image_is_not_decoded(pets, monkeypatch):
    """A zip bomb of a picture: Pillow refuses it by an exception of its own."""
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = pets / "train" / "cat" / "cat0.png"
    folder_fails(f"'{path}' cannot be read", "copy it again", root=pets)


def test_unreadable_image(pets):
    path = pets / "test" / "cat" / "cat1.png"
    good = path.read_bytes()
    for bad in (b"", good[: len(good) // 2], good[:40], b"not an image"):
        path.write_bytes(bad)
        folder_fails(f"'{path}' cannot be read (", "): copy it again", root=pets)


def test_wrong_bytes_never_escape_as_another_error(pets):
    """Wherever they are: an error that names the file, or another picture, never a traceback."""
    path = pets / "train" / "cat" / "cat2.png"
    good, messages = path.read_bytes(), []
    for place in range(0, len(good), 97):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        try:
            load_images("folder", pets)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert all(f"'{path}'" in message for message in messages)


def test_no_images(pets, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    folder_fails(f"'{empty / 'train'}' is missing", root=empty)
    (empty / "train").mkdir()
    folder_fails(f"'{empty / 'train'}' has no images", root=empty)
    for path in (pets / "test" / "dog").iterdir():
        path.rename(path.with_suffix(".gif"))
    folder_fails(f"'{pets / 'test' / 'dog'}' is missing or has no images", root=pets)


def test_classes_are_the_same_in_both(pets):
    (pets / "test" / "dog").rename(pets / "test" / "hound")
    folder_fails("class 'dog' is in", pets / "train", pets / "test" / "dog", root=pets)
    (pets / "train" / "dog").rename(pets / "train" / "hound")
    assert load_images("folder", pets).classes == ("cat", "hound")
    (pets / "train" / "hound").rename(pets / "hound")
    folder_fails("class 'hound' is in", pets / "train" / "hound", root=pets)
    (pets / "test" / "hound").rename(pets / "test-hound")
    folder_fails("has the class 'cat' alone", root=pets)
