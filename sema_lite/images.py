"""Images in memory, on any device: what they are, and how they are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Of the channels of CIFAR-10's training images; near enough for the other data sets.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PARTS = ("train_images", "train_labels", "test_images", "test_labels")


class DataError(ValueError):
    """Data that is missing, damaged or of another kind. The message says what to do."""


class MissingData(DataError):
    """Data that is not there. What is there and damaged is a plain DataError."""


@dataclass(frozen=True)
class ImageData:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64, on one device; `name` says what it is."""

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...] = CLASSES
    source: str = ""  # where it was found

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self.train_images)

    def to(self, device: torch.device | str) -> ImageData:
        """The same data on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in PARTS})

    def first(self, n: int) -> ImageData:
        """The first n training images and the first n test images (or as many as there are)."""
        if n > len(self.train_images):
            raise DataError(f"subset={n}, but {self.name} has {len(self.train_images)} images")
        return self.cut(n, n, f"first {n}")

    def cut(self, train: int, test: int, what: str) -> ImageData:
        """At most the first `train` and `test` images; `what` goes into the name."""
        sizes = dict(zip(PARTS, (train, train, test, test), strict=True))
        parts = {name: getattr(self, name)[:size] for name, size in sizes.items()}
        return replace(self, name=f"{self.name}, {what}", **parts)


def normalise(images: Tensor) -> Tensor:
    """uint8 images (N, 3, H, W) as float32 with about mean 0 and deviation 1, channels last."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    values = images.to(torch.float32, memory_format=torch.channels_last)
    return (values / 255 - mean) / std


def augment(images: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Each image mirrored or not, and cut at random out of itself with a black frame of `pad`.

    Args:
        images: (N, C, H, W), any dtype and device.
        generator: a CPU generator, so that every device draws the same.
    """
    n, channels, height, width = images.shape
    down, right = torch.randint(2 * pad + 1, (2, n, 1), generator=generator)
    flip = torch.rand(n, 1, generator=generator) < 0.5
    rows = torch.arange(height) + down
    columns = torch.arange(width) + right
    columns = torch.where(flip, columns.flip(1), columns)  # read from right to left: mirrored
    # One look-up makes the batch: pixel (i, c, y, x) is padded[i, c, rows[i, y], columns[i, x]].
    at = images.device
    i, c = torch.arange(n, device=at), torch.arange(channels, device=at)
    padded = F.pad(images, (pad, pad, pad, pad))
    return padded[
        i.view(n, 1, 1, 1), c.view(1, -1, 1, 1), rows.to(at)[:, None, :, None],
        columns.to(at)[:, None, None, :],
    ]  # fmt: skip


def batches(
    images: Tensor, labels: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, augmented, normalised batches, all of the same size.

    The few images that do not fill a batch are left out: other ones in each epoch.
    """
    order = torch.randperm(len(images), generator=generator)
    for chosen in torch.split(order, batch_size):
        if len(chosen) == batch_size:
            here = chosen.to(images.device)
            yield normalise(augment(images[here], generator)), labels[here]
