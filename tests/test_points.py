"""points.py: two circles, two moons and digits."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("sklearn")

from sema_lite.points import PointData, circles, digits, moons

PARTS = ("train_x", "train_y", "test_x", "test_y")
MAKERS = [circles, moons, digits]
CIRCLES_Y = [1, 0, 1, 0]
CIRCLES_X = [-0.780741, 0.085071, -0.95, 0.08001, 0.437462, -0.257997, 0.966367, -0.034557]
DIGITS_Y = [3, 3, 1, 9, 7, 2, 7, 6, 0, 5, 7, 0, 7, 8, 7, 5, 0, 8, 6, 1]


def same(a: PointData, b: PointData, *parts: str) -> bool:
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in parts or PARTS)


@pytest.mark.parametrize(
    ("make", "shapes", "name", "classes"),
    [
        (circles, ((400, 2), (4000, 2)), "two circles", ("outer circle", "inner circle")),
        (moons, ((400, 2), (4000, 2)), "two moons", ("upper moon", "lower moon")),
        (digits, ((1297, 64), (500, 64)), "digits", tuple("0123456789")),
    ],
)
def test_shapes_types_and_names(make, shapes, name, classes):
    data = make()
    assert (data.train_x.shape, data.test_x.shape) == shapes
    assert (data.train_y.shape, data.test_y.shape) == tuple(s[:1] for s in shapes)
    assert data.train_x.dtype == data.test_x.dtype == torch.float32
    assert data.train_y.dtype == data.test_y.dtype == torch.int64
    assert (data.name, data.classes) == (name, classes)
    for y in (data.train_y, data.test_y):
        assert y.unique().tolist() == list(range(len(classes)))


@pytest.mark.parametrize("make", MAKERS)
def test_a_seed_decides_everything(make):
    state = torch.get_rng_state()
    data = make(5)
    assert same(data, make(seed=5))
    assert torch.equal(torch.get_rng_state(), state)  # and disturbs nobody
    other = make(6)
    for part in PARTS:
        assert not same(data, other, part)


def test_known_numbers():
    """They hold on every machine: scikit-learn and numpy keep these random streams."""
    data = circles(seed=0, train=4, test=4)
    assert data.train_y.tolist() == CIRCLES_Y
    assert data.train_x.flatten().tolist() == pytest.approx(CIRCLES_X, abs=1e-6)
    assert digits(seed=0, flipped=0.2).train_y[:20].tolist() == DIGITS_Y


@pytest.mark.parametrize("make", [circles, moons])
def test_training_and_test_points_do_not_depend_on_each_other(make):
    data = make(2, train=60, test=80)
    assert same(data, make(2, train=60, test=9), "train_x", "train_y")
    assert same(data, make(2, train=7, test=80), "test_x", "test_y")
    equal = make(2, train=50, test=50)
    assert not torch.equal(equal.train_x, equal.test_x)


@pytest.mark.parametrize("make", [circles, moons])
def test_two_classes_of_equal_size_in_no_order(make):
    data = make(0)
    assert torch.bincount(data.train_y).tolist() == [200, 200]
    assert torch.bincount(data.test_y).tolist() == [2000, 2000]
    assert abs(int(data.train_y[:200].sum()) - 100) < 40  # expected 100, deviation 5
    assert len(make(0, train=1, test=1).train_y) == 1


def test_radius_of_the_circles():
    data = circles(1, noise=0, factor=0.25)
    radius = data.train_x.norm(dim=1)
    assert torch.allclose(radius, torch.where(data.train_y == 0, 1.0, 0.25), atol=1e-6)
    noisy = circles(1, test=20_000, noise=0.15)
    # Mean squared radius: r² + 2 * noise². Standard errors 0.0030 and 0.0018.
    square = noisy.test_x.square().sum(1)
    assert float(square[noisy.test_y == 0].mean()) == pytest.approx(1 + 0.045, abs=0.013)
    assert float(square[noisy.test_y == 1].mean()) == pytest.approx(0.36 + 0.045, abs=0.008)


def test_place_of_the_moons():
    data = moons(1, noise=0)
    centre = torch.where(
        data.train_y[:, None] == 0, torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.5])
    )
    away = data.train_x - centre
    assert torch.allclose(away.norm(dim=1), torch.ones(400), atol=1e-6)
    assert bool((away[data.train_y == 0, 1] > -1e-6).all())
    assert bool((away[data.train_y == 1, 1] < 1e-6).all())
    noisy = moons(1, test=20_000, noise=0.3).test_x - moons(1, test=20_000, noise=0).test_x
    assert float(noisy.std()) == pytest.approx(0.3, abs=0.006)


def test_digits_are_all_there_once_and_scaled():
    from sklearn.datasets import load_digits

    data, (x, y) = digits(3), load_digits(return_X_y=True)
    assert float(data.train_x.min()) == 0.0
    assert float(data.train_x.max()) == 1.0
    both = torch.cat([data.train_x, data.test_x]) * 16
    rows = torch.cat([both, torch.cat([data.train_y, data.test_y])[:, None].float()], 1)
    original = sorted(
        [*pixels, label] for pixels, label in zip(x.tolist(), y.tolist(), strict=True)
    )
    assert sorted(rows.tolist()) == original


@pytest.mark.parametrize("flipped", [0.0, 0.0001, 0.1, 0.2, 0.5, 0.999])
def test_exactly_so_many_training_labels_are_flipped(flipped):
    clean, noisy = digits(4), digits(4, flipped)
    assert same(clean, noisy, "train_x", "test_x", "test_y")
    assert int((clean.train_y != noisy.train_y).sum()) == round(flipped * 1297)
    assert noisy.train_y.min() >= 0
    assert noisy.train_y.max() <= 9


def test_labels_flip_to_every_other_class_with_the_same_chance():
    clean, noisy = digits(0), digits(0, flipped=0.9)
    moved = (noisy.train_y - clean.train_y) % 10
    counts = torch.bincount(moved, minlength=10)
    assert int(counts[0]) == 1297 - 1167
    expected = 1167 / 9  # deviation of a count: 10.7
    assert (counts[1:] - expected).abs().max() < 4 * 10.8


def test_more_flips_are_the_same_ones_and_others():
    clean, some, more = digits(4), digits(4, 0.1), digits(4, 0.3)
    flipped = some.train_y != clean.train_y
    assert torch.equal(more.train_y[flipped], some.train_y[flipped])
    assert not torch.equal(digits(5, 0.1).train_y != digits(5).train_y, flipped)


def test_flipped_labels_show_in_the_name():
    assert digits(0, 0.2).name == "digits, 20 % of the training labels flipped"
    assert digits(0, 0.125).name == "digits, 12.5 % of the training labels flipped"


def fit(data: PointData, steps: int = 100) -> tuple[float, float]:
    """Accuracy on training and test examples of a logistic regression, by gradient descent."""
    classes = len(data.classes)
    weight = torch.zeros(data.train_x.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr=0.5, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(data.train_x @ weight + bias, data.train_y).backward()
        optimizer.step()
    with torch.no_grad():
        pairs = ((data.train_x, data.train_y), (data.test_x, data.test_y))
        right = [((x @ weight + bias).argmax(1) == y).float().mean() for x, y in pairs]
    return float(right[0]), float(right[1])


@pytest.mark.usefixtures("one_thread")
def test_digits_can_be_learnt_and_flips_hurt():
    train, test = fit(digits(0))
    assert train > 0.97
    assert 0.93 < test < 1.0
    train, test = fit(digits(0, flipped=0.2))
    assert train < 0.85  # a fifth of them is wrong
    assert 0.85 < test < 0.97


@pytest.mark.usefixtures("one_thread")
def test_circles_and_moons_need_more_than_a_line():
    assert fit(circles(0))[1] < 0.6
    assert 0.8 < fit(moons(0))[1] < 0.9
    data = circles(0)  # told apart by the radius, as far as they can be
    x, tested = (torch.cat([p, p.square()], 1) for p in (data.train_x, data.test_x))
    score = fit(PointData("", x, data.train_y, tested, data.test_y, data.classes))[1]
    assert 0.88 < score < 0.93


def test_to_another_device():
    data = circles(0, 10, 10)
    moved = data.to("meta")
    assert {getattr(moved, part).device.type for part in PARTS} == {"meta"}
    assert (moved.name, moved.classes) == (data.name, data.classes)
    assert same(data.to("cpu"), data)
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (circles, {"noise": -0.1}, ValueError, "noise must be a number that is finite and >= 0"),
        (moons, {"noise": float("nan")}, ValueError, "noise must be a number that is finite"),
        (moons, {"noise": float("inf")}, ValueError, "noise must be a number that is finite"),
        (circles, {"noise": "much"}, TypeError, "noise must be .*, got 'much'"),
        (circles, {"factor": 0}, ValueError, r"factor must be a number in \(0, 1\), got 0"),
        (circles, {"factor": 1.0}, ValueError, r"factor must be a number in \(0, 1\), got 1.0"),
        (circles, {"factor": 1.5}, ValueError, r"factor must be a number in \(0, 1\), got 1.5"),
        (circles, {"factor": None}, TypeError, r"factor must be a number in \(0, 1\), got None"),
        (circles, {"train": 0}, ValueError, "train must be a whole number >= 1, got 0"),
        (moons, {"train": 1.5}, ValueError, "train must be a whole number >= 1, got 1.5"),
        (moons, {"test": 0}, ValueError, "test must be a whole number >= 1, got 0"),
        (circles, {"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        (digits, {"seed": None}, TypeError, "seed must be a whole number >= 0, got None"),
        (digits, {"flipped": -0.1}, ValueError, r"flipped must be .* in \[0, 1\), got -0.1"),
        (digits, {"flipped": 1.0}, ValueError, r"flipped must be .* in \[0, 1\), got 1.0"),
        (digits, {"flipped": 20}, ValueError, r"flipped must be .* in \[0, 1\), got 20"),
        (digits, {"flipped": True}, TypeError, r"flipped must be .* in \[0, 1\), got True"),
    ],
)
def test_bad_arguments(make, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        make(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
def test_without_scikit_learn(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError) as caught:
        make()
    wanted = "these data sets need scikit-learn: pip install 'sema-lite[course]'"
    assert str(caught.value) == wanted


def test_the_import_is_light():
    code = "import sys, sema_lite.points; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
