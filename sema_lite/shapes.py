"""shapes10: small pictures of ten simple shapes, drawn from a seed. Needs no file and no network.

It stands in for CIFAR-10 where that is not at hand: as many pixels and as many classes, but no
photographs. Results on it are results on shapes10, and its name says so wherever it is shown.

All is drawn in whole numbers, so that a seed gives the same bytes on every machine. Lengths are in
sixteenths of a pixel, angles in 256ths of a turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from .data import ImageData
from .reference import check_count

SHAPES = (
    "disc", "ring", "square", "frame", "triangle", "cross",
    "horizontal bars", "vertical bars", "checks", "diagonal stripes",
)  # fmt: skip
SIDE, PIXEL, TURN = 32, 16, 256
# How far a shape is turned: from, and over how much of a turn. A disc or a ring turned is the same.
TILT = 18  # 25 degrees in all: bars that lean by up to 12 degrees still are no diagonal stripes
TURNS = {
    "disc": (0, 1), "ring": (0, 1),
    "square": (0, TURN), "frame": (0, TURN), "triangle": (0, TURN), "cross": (0, TURN),
    "horizontal bars": (-TILT // 2, TILT), "vertical bars": (TURN // 4 - TILT // 2, TILT),
    "checks": (0, TURN), "diagonal stripes": (TURN // 8 - TILT // 2, TILT),
}  # fmt: skip
NUMBERS = 14  # random numbers of 16 bits that describe an image
Array = Any  # a numpy array of whole numbers


def shapes10(seed: int = 0, train: int = 5000, test: int = 1000) -> ImageData:
    """Drawn images of ten classes: the offline stand-in for CIFAR-10, never CIFAR-10 itself.

    Each image has one shape of random place, size, turn and colours on a background that changes
    from side to side, under noise. In each ten images that follow each other every class is there
    once, so the classes are balanced. Training and test images come from two random streams; the
    first n images do not depend on how many follow.

    Args:
        seed: a whole number >= 0. The same seed gives the same bytes on every machine.
        train: number of training images, at least 1.
        test: number of test images, at least 1.

    Returns:
        Images (N, 3, 32, 32) uint8 and labels (N,) int64, in the class order of `SHAPES`.

    Raises:
        TypeError, ValueError: a seed or a number of images that is not as above.
    """
    seed = check_count("seed", seed, 0)
    train, test = check_count("train", train, 1), check_count("test", test, 1)
    images, labels = (torch.from_numpy(array) for array in _draw(seed, 0, train))
    test_images, test_labels = (torch.from_numpy(array) for array in _draw(seed, 1, test))
    source = f"drawn from seed {seed}"
    return ImageData("shapes10 (drawn)", images, labels, test_images, test_labels, SHAPES, source)


def _draw(seed: int, split: int, n: int) -> tuple[Array, Array]:
    """n images and labels of a split: 0 training, 1 test."""
    whole = -(-n // len(SHAPES)) * len(SHAPES)  # up to full tens
    # The seed comes last: numpy takes [seed] and [seed, 0] for the same.
    random = np.random.default_rng([split, 0, seed]).integers(0, 1 << 16, (whole, NUMBERS))
    random = random.astype(np.int32)
    keys = random[:, 0].reshape(-1, len(SHAPES))
    labels = np.argsort(keys, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)
    images = np.random.default_rng([split, 1, seed]).integers(
        0, 256, (n, 3, SIDE, SIDE), dtype=np.uint8
    )
    shapes = tqdm(SHAPES, desc="drawing", unit="shape", disable=n < 20_000)  # takes seconds
    for label, name in enumerate(shapes):
        chosen = np.flatnonzero(labels == label)
        images[chosen] = _paint(name, random[chosen].T, images[chosen])
    return images, labels


def _between(random: Array, low: int, high: int) -> Array:
    """16 random bits as a whole number in [low, high)."""
    return low + ((random * (high - low)) >> 16)


def _paint(name: str, random: Array, noise: Array) -> Array:
    """Images (n, 3, 32, 32) uint8 of one shape from random (NUMBERS, n) and noise like them."""
    cover = _cover(name, random)[:, None]  # (n, 1, 32, 32), 0 to 16
    numbers = random[5:].T[:, :, None, None]
    middle = _between(numbers[:, 0:3], 72, 184)
    contrast = _between(numbers[:, 3:6], 12, 64)
    contrast = np.where(numbers[:, 3:4] & 1, contrast, -contrast)  # a light or a dark shape
    down, right = _between(numbers[:, 6:7], -32, 33), _between(numbers[:, 7:8], -32, 33)
    loud = _between(numbers[:, 8:9], 4, 32)  # in eighths
    line = np.arange(SIDE, dtype=np.int32) - SIDE // 2
    slope = (down * line[:, None] + right * line) >> 4
    # Two half bytes added up: noise from -15 to 15 with its peak at 0, deviation 6.5.
    grain = (noise & 15).astype(np.int32) + (noise >> 4) - 15
    values = middle + slope + ((contrast * (cover - 8)) >> 3) + ((grain * loud) >> 3)
    return np.clip(values, 0, 255).astype(np.uint8)


def _cover(name: str, random: Array) -> Array:
    """How many sixteenths of each pixel the shape covers: (n, 32, 32)."""
    _, size, x, y, turn = random[:5, :, None, None]
    size = _between(size, 7 * PIXEL, 12 * PIXEL)
    steps = (2 * np.arange(SIDE, dtype=np.int32) + 1 - SIDE) * PIXEL // 2
    across = steps - _between(x, -5 * PIXEL, 5 * PIXEL)
    down = steps[:, None] - _between(y, -5 * PIXEL, 5 * PIXEL)
    start, spread = TURNS[name]
    angle = start + _between(turn, 0, spread)
    if name == "diagonal stripes":  # falling or rising
        angle = angle + (random[1, :, None, None] & 1) * TURN // 4
    # Rounded to whole numbers, the last digits of a machine's cosine do not matter.
    table = np.rint(256 * np.exp(2j * np.pi * np.arange(TURN) / TURN)[angle % TURN])
    cos, sin = table.real.astype(np.int32), table.imag.astype(np.int32)
    u, v = (cos * across + sin * down) >> 8, (cos * down - sin * across) >> 8
    return np.clip(_depth(name, u, v, size) + PIXEL // 2, 0, PIXEL)


def _depth(name: str, u: Array, v: Array, size: Array) -> Array:
    """How deep the points (u, v) lie inside a shape of radius `size`; outside it is negative.

    Inside two shapes at once is the minimum of both depths, inside one of two the maximum, and
    outside a shape is minus its depth.
    """
    if name in ("disc", "ring"):
        disc = _disc(u, v, size)
        return disc if name == "disc" else np.minimum(disc, -_disc(u, v, size * 5 // 8))
    if name in ("square", "frame"):
        half, far = size * 7 // 8, np.maximum(abs(u), abs(v))
        return half - far if name == "square" else np.minimum(half - far, far - half * 5 // 8)
    if name == "triangle":  # three edges, 120 degrees apart: cos = -128/256, sin = 222/256
        return size // 2 - np.maximum(v, (222 * abs(u) - 128 * v) >> 8)
    if name == "cross":
        arm = size // 3
        return np.minimum(size - np.maximum(abs(u), abs(v)), arm - np.minimum(abs(u), abs(v)))
    stripes = _stripes(v, size)
    if name == "checks":
        other = _stripes(u, size)
        stripes = np.maximum(np.minimum(stripes, other), np.minimum(-stripes, -other))
    return np.minimum(_disc(u, v, size), stripes)  # a pattern is seen through a round window


def _disc(u: Array, v: Array, radius: Array) -> Array:
    # r - sqrt(u² + v²) without a root: right at the edge, which is all that matters
    return (radius * radius - u * u - v * v) // (2 * radius)


def _stripes(v: Array, size: Array) -> Array:
    """Depth inside stripes; gaps are as wide, and three stripes fit into the window."""
    period = size * 2 // 3
    return abs(v % period - period // 2) - period // 4
