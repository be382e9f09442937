"""What several test modules need. Nothing here touches the network."""

import os
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture
def mini_root():
    """A folder with the real CIFAR-10 mini set; without one the test is skipped."""
    for place in (os.environ.get("SEMA_LITE_DATA"), HERE.parent.parent / "shared" / "data"):
        if place and (Path(place) / "cifar10-mini.npz").is_file():
            return Path(place).resolve()
    pytest.skip("no cifar10-mini.npz: set SEMA_LITE_DATA to the folder that holds it")


@pytest.fixture
def one_thread():
    """The same number of threads, and so the same numbers, on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_image_folder(root, train=3, test=2, suffix=".png"):
    """An image folder in the layout that `load_cifar10` reads: {(split, class, i): pixels}."""
    np = pytest.importorskip("numpy")
    image = pytest.importorskip("PIL.Image", reason="image folders need Pillow")
    from sema_lite.data import CLASSES

    random, written = np.random.default_rng(0), {}
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
                pixels[:, :, 0] = 25 * label  # something that can be learnt
                image.fromarray(pixels).save(root / split / name / f"{i:04d}{suffix}")
                written[split, label, i] = pixels
    return written


@pytest.fixture
def image_folder(tmp_path):
    """A root with ten times three training and ten times two test images, as PNG."""
    root = tmp_path / "images"
    write_image_folder(root)
    return root
