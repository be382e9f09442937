"""A training that is killed again and again: `python tests/killed.py FOLDER` (see test_checkpoint).

A process of its own imports torch once and then forks each training, which is killed by SIGKILL.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from sema_lite import checkpoint
from sema_lite.data import ImageData
from sema_lite.run import Run
from sema_lite.training import train

KILLS, EPOCHS = 10, 24
RUN = Run(method="sema", epochs=EPOCHS, batch_size=16, decay=0.8, schedule="cosine")


def images(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    random_numbers = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % 10
    noise = torch.randint(0, 200, (n, 3, 32, 32), generator=random_numbers)
    return (noise + 5 * labels.view(n, 1, 1, 1)).byte(), labels


def net(classes: int) -> nn.Module:
    """With batch norm, and dropout, which draws from torch's own random numbers."""
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 15 * 15, classes))


def go(folder: Path) -> None:
    data = ImageData("ten colours", *images(160), *images(40))
    train(RUN, data, build=net, folder=folder, device="cpu", progress=False)


def half_a_checkpoint(content: object, file) -> None:  # noqa: ARG001
    file.write(b"half a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_metrics(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(folder: Path, seconds: float, broken: dict[str, object]) -> int:
    """Train in a child until it is killed; returns how many epochs are in its checkpoint."""
    child = os.fork()
    if child == 0:
        for name, function in broken.items():
            target = checkpoint.torch if name == "save" else checkpoint
            setattr(target, name, function)
        go(folder)
        os._exit(0)
    time.sleep(seconds)
    if not broken:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not broken, "it should have killed itself"
    path = folder / checkpoint.CHECKPOINT
    return len(torch.load(path)["kept"]["lines"]) if path.exists() else 0


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    go(folder / "first")  # imports all that is imported late
    began = time.perf_counter()
    go(folder / "whole")
    seconds = time.perf_counter() - began
    moments = random.Random(0)
    epochs = []
    for number in range(KILLS):
        broken = {2: {"save": half_a_checkpoint}, 5: {"_write_metrics": before_the_metrics}}
        wait = moments.uniform(0.02, 0.25) * seconds
        epochs.append(killed(folder / "cut", wait, broken.get(number, {})))
    go(folder / "cut")
    print(json.dumps(epochs))


if __name__ == "__main__":
    main()
