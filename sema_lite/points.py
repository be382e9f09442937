"""Small data sets whose examples are a few numbers: two circles, two moons, digits.

They come from scikit-learn, which ships with the digits in it: no file, no network. A seed decides
everything, so methods that are compared under one seed get the same points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .reference import check_count, check_finite, check_number

DIGITS_TRAIN, DIGITS_TEST = 1297, 500  # 1,797 in all
Array = Any  # a numpy array


@dataclass(frozen=True, eq=False)
class PointData:
    """Examples of F numbers each and their labels, on one device; `name` says what they are.

    Args:
        train_x: (N, F) float32; test_x: (M, F) float32.
        train_y: (N,) int64; test_y: (M,) int64: indices into `classes`.
        classes: the names of the classes.
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]

    @property
    def train_size(self) -> int:
        """Number of training points."""
        return len(self.train_x)

    def to(self, device: torch.device | str) -> PointData:
        """The same data on another device."""
        names = ("train_x", "train_y", "test_x", "test_y")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def circles(
    seed: int = 0, train: int = 400, test: int = 4000, noise: float = 0.15, factor: float = 0.6
) -> PointData:
    """Two circles about the origin, the outer one (label 0) of radius 1; half the points on each.

    Args:
        seed: a whole number >= 0. The test points do not depend on how many training points there
            are, nor the other way round.
        train: number of training points, at least 1. test: number of test points, at least 1.
        noise: standard deviation of the Gaussian noise on both coordinates, >= 0. At 0.15 the
            circles overlap: about 90 % of the labels can be told from the point.
        factor: radius of the inner circle, in (0, 1).

    Returns:
        Points (N, 2), shuffled.

    Raises:
        TypeError, ValueError: an argument that is not as above.
        ImportError: scikit-learn is not installed.
    """
    noise, factor = check_finite("noise", noise), check_number("factor", factor, 1.0, "in (0, 1)")
    if not 0.0 < factor < 1.0:
        raise ValueError(f"factor must be a number in (0, 1), got {factor!r}")

    def draw(n: int, random: int) -> tuple[Array, Array]:
        made: tuple[Array, Array] = _sklearn().make_circles(
            n, noise=noise, factor=factor, random_state=random
        )
        return made

    return _drawn("two circles", draw, seed, train, test, ("outer circle", "inner circle"))


def moons(seed: int = 0, train: int = 400, test: int = 4000, noise: float = 0.3) -> PointData:
    """Two half circles of radius 1 that reach into each other; half the points on each.

    Arguments, result and errors are those of `circles`. With noise 0.3 the moons overlap about as
    much as the circles do with theirs.
    """
    noise = check_finite("noise", noise)

    def draw(n: int, random: int) -> tuple[Array, Array]:
        made: tuple[Array, Array] = _sklearn().make_moons(n, noise=noise, random_state=random)
        return made

    return _drawn("two moons", draw, seed, train, test, ("upper moon", "lower moon"))


def digits(seed: int = 0, flipped: float = 0.0) -> PointData:
    """Real digits, written by hand: 8x8 pixels, 1,297 to train and 500 to test.

    From the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI
    Machine Learning Repository, 1998; scikit-learn brings it along.

    Args:
        seed: a whole number >= 0. It decides which digits are for training, and which labels are
            flipped. Under one seed more flipped labels are the same ones and others besides.
        flipped: the share, in [0, 1), of the training labels that is replaced by another class,
            each of the nine with the same chance: exactly round(flipped * 1297) labels. Test
            labels are left alone.

    Returns:
        Examples (N, 64), row by row, 0 (white) to 1 (black) in steps of 1/16.

    Raises:
        TypeError, ValueError: an argument that is not as above.
        ImportError: scikit-learn is not installed.
    """
    split, flips = _streams(seed)
    flipped = check_number("flipped", flipped, 1.0, "in [0, 1)")
    if flipped == 1.0:
        raise ValueError(f"flipped must be a number in [0, 1), got {flipped!r}")
    x, y = _sklearn().load_digits(return_X_y=True)
    order = np.random.RandomState(split).permutation(DIGITS_TRAIN + DIGITS_TEST)
    x, y = x[order] / 16, y[order]
    random = np.random.RandomState(flips)
    count = round(flipped * DIGITS_TRAIN)
    chosen = random.permutation(DIGITS_TRAIN)[:count]
    # 1 to 9 further on, round the clock of ten: never the right class.
    y[chosen] = (y[chosen] + random.randint(1, 10, DIGITS_TRAIN)[:count]) % 10
    name = "digits" if not count else f"digits, {100 * flipped:g} % of the training labels flipped"
    train, test = (x[:DIGITS_TRAIN], y[:DIGITS_TRAIN]), (x[DIGITS_TRAIN:], y[DIGITS_TRAIN:])
    return _make(name, train, test, tuple("0123456789"))


def _drawn(
    name: str, draw: Any, seed: int, train: int, test: int, classes: tuple[str, ...]
) -> PointData:
    first, second = _streams(seed)
    train, test = check_count("train", train, 1), check_count("test", test, 1)
    return _make(name, draw(train, first), draw(test, second), classes)


def _streams(seed: int) -> tuple[int, int]:
    """Seeds of two random streams that have nothing to do with each other."""
    words = np.random.SeedSequence(check_count("seed", seed, 0)).generate_state(2)
    return int(words[0]), int(words[1])


def _make(
    name: str, train: tuple[Array, Array], test: tuple[Array, Array], classes: tuple[str, ...]
) -> PointData:
    tensors = []
    for x, y in (train, test):
        tensors += [torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.int64)]
    return PointData(name, tensors[0], tensors[1], tensors[2], tensors[3], classes)


def _sklearn() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            "these data sets need scikit-learn: pip install 'sema-lite[course]'"
        ) from None
    return datasets
