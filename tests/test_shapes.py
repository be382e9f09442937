"""shapes.py: the drawn stand-in for CIFAR-10."""

from __future__ import annotations

import hashlib
import time

import pytest
import torch
from torch.nn import functional as F

from sema_lite import shapes
from sema_lite.data import CLASSES, ImageData, batches
from sema_lite.evaluation import evaluate
from sema_lite.models import small_resnet
from sema_lite.shapes import SHAPES, shapes10

PARTS = ("train_images", "train_labels", "test_images", "test_labels")
# Of shapes10(seed=3, train=30, test=20). It changes only if the drawing does; then stored results
# on shapes10 are results on something else.
SHA256 = "16fc15e6ae732be13b5557d4924e4845c82544677a02e6444b230429a80afbcb"


def sha256(data: ImageData) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(getattr(data, part).numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def data() -> ImageData:
    return shapes10(train=500, test=200)


def test_shapes_types_and_names(data):
    assert (data.train_images.shape, data.test_images.shape) == ((500, 3, 32, 32), (200, 3, 32, 32))
    assert (data.train_labels.shape, data.test_labels.shape) == ((500,), (200,))
    assert data.train_images.dtype == data.test_images.dtype == torch.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert data.name == "shapes10 (drawn)"
    assert data.source == "drawn from seed 0"
    assert data.classes == SHAPES
    assert len(set(SHAPES)) == 10
    assert not set(SHAPES) & set(CLASSES)
    assert data.first(50).name == "shapes10 (drawn), first 50"


def test_the_same_bytes_on_every_machine():
    small = shapes10(seed=3, train=30, test=20)
    assert sha256(small) == SHA256


def test_every_ten_images_have_all_classes_in_another_order(data):
    for labels in (data.train_labels, data.test_labels):
        tens = labels.view(-1, 10)
        assert torch.equal(tens.sort(1).values, torch.arange(10).expand(len(tens), 10))
        assert len(tens.unique(dim=0)) == len(tens)
    counts = torch.bincount(shapes10(train=37, test=1).train_labels, minlength=10)
    assert sorted(counts.tolist()) == [3] * 3 + [4] * 7


def test_the_first_images_do_not_depend_on_how_many_follow(data):
    few = shapes10(train=23, test=7)
    for part in PARTS:
        assert torch.equal(getattr(few, part), getattr(data, part)[: len(getattr(few, part))])


def test_no_image_is_there_twice(data):
    other = shapes10(seed=1, train=100, test=100)
    every = torch.cat([d for x in (data, other) for d in (x.train_images, x.test_images)])
    assert len(every.flatten(1).unique(dim=0)) == 900
    # Not even the same picture under other noise: the blurred images differ too.
    blurred = F.avg_pool2d(every.float(), 8).flatten(1)
    distances = torch.cdist(blurred, blurred).fill_diagonal_(1e9)
    assert distances.min() > 5


def test_what_is_drawn_is_the_shape():
    """Area and holes of each shape in the middle, not turned, with a radius of 10 pixels."""
    steps = (2 * torch.arange(32).numpy().astype("int32") + 1 - 32) * 8
    inside = {
        name: torch.from_numpy(
            shapes._depth(name, steps[None, :] + 0 * steps[:, None], steps[:, None], 160) >= 0
        )
        for name in SHAPES
    }
    area = {name: int(mask.sum()) for name, mask in inside.items()}
    assert area["disc"] == pytest.approx(314, rel=0.03)
    assert area["ring"] == pytest.approx(314 * (1 - 0.625**2), rel=0.04)
    assert area["square"] == pytest.approx(17.5**2, rel=0.08)
    assert area["triangle"] == pytest.approx(3 * 3**0.5 / 4 * 100, rel=0.06)
    assert area["checks"] == pytest.approx(157, rel=0.1)
    middle = {name: bool(mask[16, 16]) for name, mask in inside.items()}
    assert not middle["ring"]
    assert not middle["frame"]
    assert middle["cross"]
    changes = {name: int((mask[:, 16].int().diff() == 1).sum()) for name, mask in inside.items()}
    assert changes["horizontal bars"] == 3  # three bars from top to bottom
    assert changes["frame"] == changes["ring"] == 2
    assert int((inside["horizontal bars"][16].int().diff() == 1).sum()) == 1
    for name in ("disc", "ring", "square", "frame", "cross"):
        assert torch.equal(inside[name], inside[name].T)


def test_bars_lie_stand_and_lean(data):
    """Averaged along the bars an image keeps its changes, averaged across them it loses them."""
    images, labels = data.train_images.float().mean(1), data.train_labels

    def roughness(name: str) -> float:
        chosen = images[labels == SHAPES.index(name)]
        rows, columns = chosen.mean(2).diff(dim=1), chosen.mean(1).diff(dim=1)
        return float(rows.abs().mean() / columns.abs().mean())

    assert roughness("horizontal bars") > 2
    assert roughness("vertical bars") < 0.5
    assert 0.8 < roughness("diagonal stripes") < 1.25


def test_contrast_is_there_and_noise_differs(data):
    images = data.train_images.float()
    assert 100 < images.mean() < 156
    corners = images[:, :, :3, :3].std((2, 3)).mean(1)  # background under noise
    assert corners.min() < 6
    assert corners.max() > 15
    assert images.std((2, 3)).mean() > 20


@pytest.mark.usefixtures("one_thread")
def test_a_small_network_learns_but_not_at_once():
    data = shapes10(train=2500, test=400)
    torch.manual_seed(0)
    model, generator = small_resnet(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    accuracy = []
    for _ in range(2):
        for x, y in batches(data.train_images, data.train_labels, 25, generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        accuracy.append(evaluate(model, data.test_images, data.test_labels).accuracy)
    assert 0.16 < accuracy[0] < 0.7  # chance is 0.1, its standard error 0.015: four of them above
    assert 0.3 < accuracy[1] < 0.95


def test_it_is_quick():
    shapes10(train=10, test=10)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        shapes10()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        ({"seed": "a"}, TypeError, "seed must be a whole number >= 0, got 'a'"),
        ({"train": 0}, ValueError, "train must be a whole number >= 1, got 0"),
        ({"train": 2.5}, ValueError, "train must be a whole number >= 1, got 2.5"),
        ({"test": 0}, ValueError, "test must be a whole number >= 1, got 0"),
        ({"test": True}, TypeError, "test must be a whole number >= 1, got True"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error) as caught:
        shapes10(**arguments)
    assert str(caught.value) == message
