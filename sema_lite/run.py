"""The settings of a run: data, network, optimizer, learning rate, and the method that averages."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .averaging import EMA, SEMA, SWA, Lookahead, ModuleAverage
from .models import MODELS
from .reference import check_count, check_fraction, check_number
from .theory import METHODS, WATCHING, period_in_steps

SCHEDULES = ("constant", "cosine", "cyclic")
IMAGES = ("cifar10", "cifar100", "shapes10", "folder")  # see `data.load_images`
POINTS = ("circles", "moons", "digits")  # see `compare.train_many`
DATA = IMAGES + POINTS
BATCH_NORM = ("average", "live", "estimate")
LOWEST = 0.01  # where a cyclic rate ends, as a share of where it begins
# Beyond float32 torch raises what nobody understands; optimizers multiply these by one another.
MOST = {"lr": 1e30, "weight_decay": 1e6}

# All of torch.optim, but for those that need more than gradients of dense weights of any shape.
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value)
    and issubclass(value, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")
}


@dataclass(frozen=True)
class Run:
    """All that decides the result of a run.

    Args:
        method: the averaging; "sgd" is none, whatever the optimizer.
        model: one of `models.MODELS`; None is "small_resnet" for images, "mlp" for points.
        optimizer: of torch.optim, by name; small letters will do. It gets `momentum` if it is SGD,
            and `weight_decay` if it knows one.
        lr: None is 0.05 for SGD, and 0.001 for the others.
        schedule: "constant"; "cosine", which falls to zero over the run; or "cyclic", which falls
            in a line to a hundredth and begins again, each `cycle` epochs (Izmailov et al. 2018).
        flipped: the share of wrong training labels, of digits.
        decay: of EMA and SEMA. None takes `default_decay()`, which keeps SEMA from freezing.
        switch_every: of SEMA: steps, "epoch", "2epochs", "3epochs", ...
        swa_start: the share of the run after which SWA begins to average, as in its paper; then it
            takes in the weights after each step, because runs here are short, or at the end of
            each cycle of a cyclic rate.
        k, s: of Lookahead, as in its paper.
        batch_norm: the statistics that go with averaged weights: "average" of the live ones, as
            the weights are averaged; "live"; or "estimate", from an epoch of training images by
            `torch.optim.swa_utils.update_bn`.

    Raises:
        ValueError, TypeError: an argument outside its range; the message names it.
    """

    method: str = "sema"
    seed: int = 0
    data: str = "cifar10"
    subset: str | int = "mini"
    epochs: int = 3
    batch_size: int = 64
    lr: float | None = None
    schedule: str = "constant"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: float | None = None
    switch_every: int | str = "epoch"
    swa_start: float = 0.75
    k: int = 5
    s: float = 0.5
    flipped: float = 0.0
    model: str | None = None
    optimizer: str = "sgd"
    cycle: int = 1
    batch_norm: str = "average"

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, str):
            object.__setattr__(self, "optimizer", self.optimizer.lower())
        if self.model is None:
            object.__setattr__(self, "model", "mlp" if self.data in POINTS else "small_resnet")
        choices = {
            "method": METHODS,
            "data": DATA,
            "schedule": SCHEDULES,
            "batch_norm": BATCH_NORM,
            "model": tuple(MODELS),
            "optimizer": tuple(OPTIMIZERS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.data in POINTS and self.model != "mlp":
            raise ValueError(f"model must be 'mlp' for {self.data}, got {self.model!r}")
        self.period(1)
        for name, least in (("seed", 0), ("epochs", 1), ("batch_size", 2), ("k", 1), ("cycle", 1)):
            check_count(name, getattr(self, name), least)  # batch norm needs two images
        for name in ("momentum", "swa_start", "s", "flipped"):
            check_fraction(name, getattr(self, name))
        if self.flipped and self.data != "digits":
            raise ValueError(f"flipped is for digits; for {self.data} it must be 0")
        if self.decay is not None:
            check_fraction("decay", self.decay)
        if self.lr is None:
            object.__setattr__(self, "lr", 0.05 if self.optimizer == "sgd" else 1e-3)
        if self.method == "swa" and self.schedule == "cyclic" and self.cycle > self.epochs:
            raise ValueError(
                f"cycle must be at most epochs = {self.epochs} for SWA, which averages the ends of "
                f"cycles: got {self.cycle!r}"
            )
        for name, most in MOST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number >= 0, got {value!r}")
            check_number(name, value, most, f"in [0, {most:g}]")

    # -- numbers of steps --------------------------------------------------------------------------

    def steps_per_epoch(self, data: Any) -> int:
        """Full batches in one epoch over `data`, which has a `train_size` and a `name`."""
        n = data.train_size
        if (steps := n // self.batch_size) < 1:
            raise ValueError(
                f"batch_size must be at most {n} for {data.name}: got {self.batch_size}"
            )
        return int(steps)

    def period(self, steps_per_epoch: int) -> int:
        """`switch_every` in steps."""
        return period_in_steps(self.switch_every, steps_per_epoch)

    def learning_rate(self, step: int, steps: int) -> float:
        """Of the step number `step` = 0, 1, ... out of `steps`."""
        assert self.lr is not None  # since __post_init__
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "cosine":
            return self.lr * (1 + math.cos(math.pi * step / steps)) / 2
        length = self.cycle * (steps // self.epochs)
        return self.lr * (1 - (1 - LOWEST) * (step % length) / max(1, length - 1))

    def used_decay(self, steps_per_epoch: int) -> float:
        """`decay`, or the default for that many steps."""
        return default_decay(steps_per_epoch) if self.decay is None else self.decay

    # -- what it trains with -----------------------------------------------------------------------

    def make_optimizer(self, weights: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer, for these parameters."""
        chosen = OPTIMIZERS[self.optimizer]
        settings: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            settings["momentum"] = self.momentum
        known = inspect.signature(chosen).parameters
        return chosen(weights, **{name: v for name, v in settings.items() if name in known})

    def average(self, model: nn.Module, steps_per_epoch: int) -> ModuleAverage | None:
        """The average of the run's method; None for plain training."""
        decay = self.used_decay(steps_per_epoch)
        buffers = "average" if self.batch_norm == "average" else "ignore"
        if self.method == "ema":
            return EMA(model, decay, buffers=buffers)
        if self.method == "swa":
            every = self.cycle * steps_per_epoch if self.schedule == "cyclic" else 1
            start = int(self.swa_start * self.epochs * steps_per_epoch) // every * every
            return SWA(model, start=start, update_every=every, buffers=buffers)
        if self.method == "sema":
            every = self.period(steps_per_epoch)
            return SEMA(model, decay, switch_every=every, buffers=buffers)
        if self.method == "lookahead":
            return Lookahead(model, self.k, self.s, buffers=buffers)
        return None

    def trajectory(self) -> Run:
        """The run without what does not move the live weights.

        EMA and SWA only watch: runs with one trajectory can be trained as one (`train_together`).
        """
        if self.method not in WATCHING:
            return self
        plain = Run()
        names = ("decay", "switch_every", "swa_start", "k", "s", "batch_norm")
        return replace(self, method="sgd", **{name: getattr(plain, name) for name in names})


def default_decay(steps_per_epoch: int) -> float:
    """1 - 4/T for T steps per epoch: the average looks back over a quarter of an epoch.

    With a switch each epoch, u = T(1-d) = 4, and SEMA moves 3/4 as far as SGD does on a slope
    (`theory.step_fraction`). The popular 0.99 has u = 0.8 at the 78 steps of the mini set: SEMA
    would move less than a third as far. At most 8 steps per epoch get 0.5.
    """
    return max(0.5, 1 - 4 / steps_per_epoch)
