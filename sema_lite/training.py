"""Training a network as a `Run` says, so that methods can be compared.

Runs are paired: under one seed all methods start from the same weights and see the same batches
in the same order, mirrored and cut the same. What differs is the averaging, and nothing else.

    result = train(Run(method="sema", epochs=3), folder="runs/mine")

A run with a folder keeps a checkpoint and a line of JSON per epoch there. Killed at any moment and
started again, it goes on after the last complete epoch and ends with the same weights and lines,
bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from . import checkpoint, models
from .averaging import ModuleAverage
from .data import ImageData, batches, load_images
from .evaluation import Scores, evaluate
from .run import IMAGES, Run
from .theory import WATCHING


@dataclass(frozen=True)
class Epoch:
    """What was measured at the end of an epoch. `averaged` is None where nothing is averaged."""

    epoch: int  # 1, 2, ...
    loss: float  # mean over the epoch's batches, of the live weights while they were trained
    live: Scores  # on the test images, after the last step and before a switch
    averaged: Scores | None

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Epoch:
        """The inverse of `to_dict`."""
        live, averaged = (line[name] and Scores(**line[name]) for name in ("live", "averaged"))
        return cls(line["epoch"], line["loss"], live, averaged)

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts and numbers, for JSON."""
        scores = {name: getattr(self, name) for name in ("live", "averaged")}
        return {**vars(self), **{name: s and s._asdict() for name, s in scores.items()}}


@dataclass(frozen=True)
class Result:
    """A complete run. `start` and `batches` are fingerprints: equal in paired runs."""

    run: Run
    data: str  # what it was trained on
    decay: float | None  # the one that was used, of EMA and SEMA
    steps: int
    switches: int
    seconds: float  # from the first step on, with the evaluations
    start: str  # of the initial weights
    batches: str  # of the first batch, and of the random numbers used in the whole run
    epochs: tuple[Epoch, ...]
    model: nn.Module = field(repr=False, compare=False)  # with the live weights
    average: ModuleAverage | None = field(repr=False, compare=False)

    def record(self) -> dict[str, Any]:
        """The result as plain dicts, lists, numbers and strings, for JSON."""
        fields = {k: v for k, v in vars(self).items() if k not in ("model", "average")}
        epochs = [epoch.to_dict() for epoch in self.epochs]
        return {**fields, "run": asdict(self.run), "epochs": epochs}


class Diverged(RuntimeError):
    """The loss of a run is not a finite number. The message has the step and the learning rate."""


def ignore(*_: Any) -> None:
    """Nobody wants to hear of it."""


def train(run: Run, data: ImageData | None = None, **options: Any) -> Result:
    """Train a new network as `run` says, and evaluate it after each epoch.

    The arguments, results and errors are those of `train_together`, for one run.
    """
    return train_together([run], data, **options)[0]


@torch.random.fork_rng(devices=[])  # the caller's random numbers go on as if nothing had been
def train_together(
    runs: Sequence[Run],
    data: ImageData | None = None,
    *,
    build: Callable[[int], nn.Module] | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: bool = True,
    compiled: bool = False,
    label: str = "",
    on_step: Callable[[int, float], None] = ignore,
    on_epoch: Callable[[list[Epoch]], None] = ignore,
) -> list[Result]:
    """Train one network, and watch it with the averages of all `runs`.

    Args:
        runs: one run of any kind; or several that differ only in averages that watch (EMA, SWA),
            which is cheaper than one after the other and gives the same numbers.
        data: the images; None loads what the run names.
        build: makes the network for a number of classes; None is the run's `model`.
        folder: for `checkpoint.pt` and `metrics.jsonl`. A run that is in there already goes on.
        device: "auto" (a GPU if there is one), "cpu", "cuda", ...
        progress: show a progress bar, with `label` before it.
        compiled: compile the network first (`torch.compile`). That takes half a minute or more: it
            is for long runs on a GPU, and changes the last digits.
        on_step: called after each step with its number, 1, 2, ..., and the loss. It may wait, and
            it may raise, which ends the training.
        on_epoch: called after each epoch with what was measured, of each run.

    Returns:
        A result for each run. They share one `model`.

    Raises:
        Diverged: a loss that is not finite.
        DataError: see `load_images`.
        ValueError: runs that do not go together; a folder with another run; a damaged checkpoint.
        OSError: the folder cannot be written to. The last checkpoint is still whole.
    """
    run = _check_together(runs)
    place = find_device(device)
    data = (data or load_images(run.data, subset=run.subset)).to(place)
    per_epoch = run.steps_per_epoch(data)
    steps = per_epoch * run.epochs

    torch.manual_seed(run.seed)
    model = build(len(data.classes)) if build else models.build(str(run.model), len(data.classes))
    model = model.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # The batches have random numbers of their own: nothing a method does can change them.
    random = torch.Generator().manual_seed(run.seed)
    if compiled:
        model.compile()
    optimizer = run.make_optimizer(model.parameters())
    averages = [each.average(model, per_epoch) for each in runs]
    half = torch.autocast("cuda", torch.bfloat16) if place.type == "cuda" else nullcontext()

    state = checkpoint.State(model, optimizer, averages, random)
    kept: dict[str, Any] = {
        "start": _fingerprint(*model.parameters()),
        "batches": "",
        "seconds": 0.0,
        "lines": [],
    }
    if folder is not None:
        settings = {"runs": [asdict(each) for each in runs], "data": data.name}
        kept = checkpoint.resume(Path(folder), settings, state) or kept
    lines: list[list[Epoch]] = [[Epoch.from_dict(e) for e in epoch] for epoch in kept["lines"]]
    step = len(lines) * per_epoch
    first_batch, seconds = kept["batches"], kept["seconds"]
    began = time.perf_counter() - seconds

    name = label or f"{run.method}, seed {run.seed}"
    with tqdm(total=steps, initial=step, desc=name, unit="step", disable=not progress) as bar:
        for epoch in range(len(lines) + 1, run.epochs + 1):
            model.train()
            losses = 0.0
            for x, y in batches(data.train_images, data.train_labels, run.batch_size, random):
                first_batch = first_batch or _fingerprint(x, y)
                lr = optimizer.param_groups[0]["lr"] = run.learning_rate(step, steps)
                with half:
                    loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
                optimizer.step()
                step += 1
                losses += (value := _finite(loss.item(), run, step, lr))
                if step % per_epoch == 0:  # before a switch makes the live weights the average
                    live = evaluate(model, data.test_images, data.test_labels)
                    _finite(live.nll, run, step, lr)
                for average in averages:
                    if average is not None:
                        average.update()  # average.attach(optimizer) does it without this line
                bar.set_postfix_str(f"epoch {epoch}/{run.epochs}, loss {value:.3f}", refresh=False)
                bar.update()
                on_step(step, value)
            averaged = [
                None if average is None else _evaluate_average(each, average, data)
                for each, average in zip(runs, averages, strict=True)
            ]
            for scores in averaged:
                _finite(scores.nll if scores else 0.0, run, step, lr)
            seconds = time.perf_counter() - began
            lines.append([Epoch(epoch, losses / per_epoch, live, scores) for scores in averaged])
            if folder is not None:
                kept["lines"] = [[each.to_dict() for each in line] for line in lines]
                kept.update(batches=first_batch, seconds=seconds)
                checkpoint.save(Path(folder), settings, state, kept)
            bar.set_postfix_str(_postfix(lines[-1][-1], run))
            on_epoch(lines[-1])

    return [
        Result(
            run=each,
            data=data.name,
            decay=each.used_decay(per_epoch) if each.method in ("ema", "sema") else None,
            steps=step,
            switches=average.switches if average is not None else 0,
            seconds=seconds,
            start=kept["start"],
            batches=_fingerprint(random.get_state()) + first_batch,
            epochs=tuple(line[number] for line in lines),
            model=model,
            average=average,
        )
        for number, (each, average) in enumerate(zip(runs, averages, strict=True))
    ]


def _check_together(runs: Sequence[Run]) -> Run:
    if not runs:
        raise ValueError("runs must hold at least one run, got none")
    if runs[0].data not in IMAGES:
        raise ValueError(f"train() is for images; for {runs[0].data} see compare.train_many()")
    if len(runs) > 1:
        for run in runs:
            if run.method not in WATCHING or run.trajectory() != runs[0].trajectory():
                raise ValueError(
                    "runs trained together must differ only in averages that watch: "
                    f"{run} does not go with {runs[0]}"
                )
    return runs[0]


def _evaluate_average(run: Run, average: ModuleAverage, data: ImageData) -> Scores:
    with average.applied(), _batch_norm(run, average.model, data):
        return evaluate(average.model, data.test_images, data.test_labels)


@contextmanager
def _batch_norm(run: Run, model: nn.Module, data: ImageData) -> Iterator[None]:
    """Inside the `with` the statistics are estimated anew, if the run wants that."""
    if run.batch_norm != "estimate":
        yield
        return
    saved = {name: buffer.clone() for name, buffer in model.named_buffers()}
    random = torch.Generator().manual_seed(run.seed)  # other random numbers than the training's
    epoch = batches(data.train_images, data.train_labels, run.batch_size, random)
    try:
        torch.optim.swa_utils.update_bn(epoch, model)
        yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(saved[name])


def find_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the GPU, if there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.item()  # "meta" can make tensors, but not read them
        return probe.device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"device {name!r} cannot be used here") from None


def _finite(loss: float, run: Run, step: int, lr: float) -> float:
    if not math.isfinite(loss):
        raise Diverged(
            f"{run.method}, seed {run.seed}: the loss is {loss} at step {step}, learning rate "
            f"{lr:g}. Try a smaller one, for example {lr / 10:g}"
        )
    return loss


def _fingerprint(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _postfix(epoch: Epoch, run: Run) -> str:
    averaged = f", averaged {epoch.averaged.accuracy:.1%}" if epoch.averaged else ""
    return (
        f"epoch {epoch.epoch}/{run.epochs}, loss {epoch.loss:.3f}, "
        f"live {epoch.live.accuracy:.1%}{averaged}"
    )
