"""How fast is training? Times the loop, the loss surface, and what SEMA adds to a step.

    make bench                      # or: python tools/bench_training.py --help

Three comparisons, each interleaved in one process, medians over many slices:

* training on images that lie in one tensor and are mirrored and cropped as a batch, against the
  same steps fed by a torchvision dataset, its transforms and a DataLoader, or by nothing;
* a 41 x 41 loss surface, many points at a time, against one point after the other;
* `SEMA.update()`, with a switch every 78 steps, as a share of a training step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from bench import store, time_calls
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import VisionDataset

from sema_lite import SEMA
from sema_lite.data import ImageData, batches, load_images, normalise
from sema_lite.flatness import filter_normalised_direction, loss_surface
from sema_lite.images import MEAN, STD
from sema_lite.models import mlp, small_resnet
from sema_lite.points import circles

BATCH, SWITCH_EVERY, IMAGES = 64, 78, 1280
Batch = tuple[Tensor, Tensor]


class Pictures(VisionDataset):
    """The training images as torchvision's CIFAR10 keeps them: an array, a PIL image when asked."""

    def __init__(self, data: ImageData) -> None:
        steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        super().__init__("", transform=transforms.Compose(steps))
        self.images = data.train_images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = data.train_labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(transforms.functional.to_pil_image(self.images[index])), self.labels[
            index
        ]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def trainer(
    model: nn.Module, device: str, epoch: Callable[[], Iterator[Batch]]
) -> Callable[[], None]:
    """A function that trains for one epoch."""
    model = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def train() -> None:
        for x, y in epoch():
            x = x.to(device, memory_format=torch.channels_last)
            step(model, optimizer, x, y.to(device))

    return train


def bench_loop(device: str, rounds: int) -> dict[str, object]:
    data = load_images("cifar10", subset="mini", fallback="shapes10").first(IMAGES)
    model, resident = small_resnet(), data.to(device)
    generator = torch.Generator().manual_seed(0)

    def from_tensor() -> Iterator[Batch]:
        return batches(resident.train_images, resident.train_labels, BATCH, generator)

    pictures = Pictures(data)
    loaders = {
        workers: DataLoader(
            pictures, BATCH, shuffle=True, drop_last=True, num_workers=workers,
            persistent_workers=workers > 0,
        )
        for workers in (0, 2)
    }  # fmt: skip
    calls = {"sema_lite": trainer(model, device, from_tensor)}
    for workers, loader in loaders.items():
        name = f"DataLoader, {workers} workers"
        calls[name] = trainer(model, device, lambda loader=loader: iter(loader))  # type: ignore[misc]
    # What is left if batches cost nothing: no way to feed the network can beat it.
    fixed = list(from_tensor())
    calls["the steps alone"] = trainer(model, device, lambda: iter(fixed))
    seconds = time_calls(calls, device, rounds, 0.0)
    # The same without the network: what it costs to get the batches.
    feeds = {"sema_lite": lambda: list(from_tensor())}
    feeds["DataLoader, 0 workers"] = lambda: list(loaders[0])
    feed_seconds = time_calls(feeds, device, rounds, 0.0)
    rates = {name: round(IMAGES / s) for name, s in seconds.items()}
    feed_rates = {name: round(IMAGES / s) for name, s in feed_seconds.items()}
    best = max(rate for name, rate in rates.items() if name.startswith("DataLoader"))
    row: dict[str, object] = {
        "data": data.name,
        "images per second": rates,
        "times the best DataLoader": round(rates["sema_lite"] / best, 2),
        "times the best DataLoader, at most": round(rates["the steps alone"] / best, 2),
        "batches alone, images per second": feed_rates,
    }
    print(f"\ntraining small_resnet on {device}, batch {BATCH}: {row}", flush=True)
    return row


def one_point_at_a_time(
    model: nn.Module, x: Tensor, y: Tensor, directions: list[dict[str, Tensor]], line: list[float]
) -> Tensor:
    """The plain way: set the weights, evaluate, next."""
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    losses = torch.empty(len(line), len(line))
    with torch.no_grad():
        for i, alpha in enumerate(line):
            for j, beta in enumerate(line):
                for name, p in model.named_parameters():
                    p.copy_(
                        weights[name] + alpha * directions[0][name] + beta * directions[1][name]
                    )
                losses[i, j] = F.cross_entropy(model(x), y)
        for name, p in model.named_parameters():
            p.copy_(weights[name])
    return losses


def bench_surface(device: str, rounds: int) -> list[dict[str, object]]:
    points, pictures = circles(), load_images("cifar10", subset="mini", fallback="shapes10")
    cases = {
        "MLP 2-32-32-2, 400 points": (mlp(2, 2), points.train_x, points.train_y),
        "small_resnet, 32 images": (
            small_resnet(),
            normalise(pictures.train_images[:32]),
            pictures.train_labels[:32],
        ),
    }
    line = torch.linspace(-1, 1, 41).tolist()
    rows: list[dict[str, object]] = []
    for name, (network, inputs, labels) in cases.items():
        model = network.to(device).eval()
        x, y = inputs.to(device), labels.to(device)
        random_numbers = torch.Generator().manual_seed(0)
        directions = [filter_normalised_direction(model, random_numbers) for _ in range(2)]
        calls: dict[str, Callable[[], object]] = {
            "one at a time": lambda m=model, x=x, y=y, d=directions: one_point_at_a_time(  # type: ignore[misc]
                m, x, y, d, line
            ),
            "sema_lite": lambda m=model, x=x, y=y, d=directions: loss_surface(  # type: ignore[misc]
                m, F.cross_entropy, x, y, *d, line, line
            ),
        }
        same = torch.allclose(calls["one at a time"]().cpu(), calls["sema_lite"]().cpu(), atol=1e-3)  # type: ignore[attr-defined]
        seconds = time_calls(calls, device, rounds, 0.0)
        row: dict[str, object] = {
            "what": f"41 x 41 surface, {name}",
            "equal": same,
            "milliseconds": {n: round(1e3 * s, 1) for n, s in seconds.items()},
            "times faster": round(seconds["one at a time"] / seconds["sema_lite"], 2),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def bench_overhead(device: str, rounds: int) -> list[dict[str, object]]:
    points = circles()
    cases = {
        "small_resnet, batch 64": (small_resnet(), torch.randn(BATCH, 3, 32, 32), BATCH),
        "MLP 2-32-32-2, batch 10": (mlp(2, 2), points.train_x[:10], 10),
    }
    rows: list[dict[str, object]] = []
    for name, (network, inputs, count) in cases.items():
        x, y = inputs.to(device), (torch.arange(count) % 2).to(device)
        calls: dict[str, Callable[[], object]] = {}
        for way in ("default", "flat"):
            model = copy.deepcopy(network).to(device)
            sema = SEMA(model, 0.95, switch_every=SWITCH_EVERY, flatten=way == "flat")
            optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
            calls[f"update, {way}"] = sema.update
            calls[f"step, {way}"] = lambda m=model, o=optimizer, x=x, y=y: step(m, o, x, y)  # type: ignore[misc]
        seconds = time_calls(calls, device, rounds, 0.05)
        row: dict[str, object] = {
            "what": name,
            "microseconds": {n: round(1e6 * s, 1) for n, s in seconds.items()},
            "overhead, %": {
                way: round(100 * seconds[f"update, {way}"] / seconds[f"step, {way}"], 2)
                for way in ("default", "flat")
            },
        }
        print(row, flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    parts = {"loop": bench_loop, "surface": bench_surface, "overhead": bench_overhead}
    store(__doc__, "bench-training", (), parts, rounds=9)
