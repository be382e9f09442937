"""Methods compared under many seeds: on images one seed after the other, on points all at once.

    scores = compare([Run(method="ema", lr=0.1), Run(method="sema", lr=0.1)], seeds=range(5))
    print(table(scores))

Under one seed all methods see the same data, begin with the same weights and get the same batches,
so they are compared in pairs. On points all seeds of a setting are one `ensemble.ManyMLPs`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .calibration import expected_calibration_error
from .data import ImageData, load_images
from .ensemble import ManyMLPs, index_batches, mean_losses
from .points import PointData, circles, digits, moons
from .reference import check_count
from .results import read_json, write_json
from .run import IMAGES, Run
from .scores import (
    METRICS,
    ManyScores,
    Scores,
    mean_and_error,
    paired_difference,
    table,
)
from .training import Diverged, Epoch, find_device, ignore, train_together

EXACT = 17  # digits that keep a float as it is: a result is rounded once, gone on with or not

__all__ = [
    "METRICS",
    "ManyScores",
    "compare",
    "mean_and_error",
    "paired_difference",
    "point_data",
    "table",
    "train_many",
    "train_models",
]


def compare(
    runs: Sequence[Run],
    seeds: Sequence[int],
    data: ImageData | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: bool = True,
    on_error: Callable[[Diverged], None] = ignore,
    **options: Any,
) -> list[ManyScores]:
    """Train all `runs` with all `seeds`.

    Args:
        runs: all on images or all on points; their own seeds do not count.
        data: the images; None loads what the first run names.
        folder: keeps what is done, and checkpoints of what is not: a comparison that was killed
            goes on from there when it is started again.
        on_error: told of each run that diverged. Its scores are NaN; the others go on.
        options: more arguments of `train_many` (points) or of `training.train_together` (images).

    Returns:
        The scores of each run, for `table`.

    Raises:
        ValueError: no or equal runs, no or equal seeds, images and points mixed. OSError: the
        folder cannot be written to; what is in it stays whole. DataError: see `load_images`.
    """
    if not runs or len({replace(run, seed=0) for run in runs}) < len(runs):
        raise ValueError("runs must be different ones, and at least one")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different numbers, and at least one, got {seeds!r}")
    if len(images := {run.data for run in runs}) > 1 and not images.isdisjoint(IMAGES):
        raise ValueError(f"runs must be on one set of images, or all on points, got {images}")
    place = None if folder is None else Path(folder)
    if runs[0].data in IMAGES:
        data = (data or load_images(runs[0].data, subset=runs[0].subset)).to(find_device(device))
        return _compare_on_images(
            runs, seeds, data, place, on_error, device=device, progress=progress, **options
        )
    found = []
    for run in tqdm(runs, unit="setting", disable=not progress):
        stored = place and place / f"{run.method}-{_digest([run], seeds)}.json"
        if stored and stored.exists():
            found.append(_stored(stored, seeds))
            continue
        found.append(train_many(run, seeds, device=device, **options))
        if stored:
            write_json(stored, {**found[-1].record(digits=EXACT), "seconds": found[-1].seconds})
    return found


def _stored(path: Path, seeds: Sequence[int]) -> ManyScores:
    """The scores of a setting that was done before the comparison was stopped."""
    try:
        return ManyScores.from_record(read_json(path), seeds)
    except ValueError as error:
        raise ValueError(f"{error}. To train this one again, delete '{path}'") from None


def _digest(runs: Sequence[Run], seeds: Sequence[int]) -> str:
    """A short name for settings, another one for other settings."""
    settings = json.dumps([[asdict(run) for run in runs], list(seeds)], sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()[:12]


def _compare_on_images(
    runs: Sequence[Run],
    seeds: Sequence[int],
    data: ImageData,
    folder: Path | None,
    on_error: Callable[[Diverged], None],
    **options: Any,
) -> list[ManyScores]:
    groups: dict[Run, list[Run]] = {}
    for run in runs:  # those that only watch the same training are one
        groups.setdefault(replace(run.trajectory(), seed=0), []).append(run)
    epochs: dict[tuple[Run, int], tuple[Epoch, ...]] = {}
    switches = dict.fromkeys(runs, 0)
    seconds: dict[Run, list[float]] = {run: [] for run in runs}
    jobs = [(group, seed) for seed in seeds for group in groups.values()]
    for number, (group, seed) in enumerate(jobs, 1):
        members = [replace(run, seed=seed) for run in group]
        name = "+".join(dict.fromkeys(run.method for run in group))
        place = folder and folder / f"{name}-seed{seed}-{_digest(members, [])}"
        label = f"{number}/{len(jobs)} {name}, seed {seed}"
        try:
            results = train_together(members, data, folder=place, label=label, **options)
        except Diverged as error:
            on_error(error)
            continue
        for run, result in zip(group, results, strict=True):
            epochs[run, seed] = result.epochs
            switches[run] = result.switches
            seconds[run].append(result.seconds)
    return [
        replace(
            _gather(run, seeds, epochs, switches[run]),
            seconds=statistics.fmean(seconds[run]) if seconds[run] else None,
        )
        for run in runs
    ]


def _gather(
    run: Run, seeds: Sequence[int], epochs: dict[tuple[Run, int], tuple[Epoch, ...]], switches: int
) -> ManyScores:
    """The scores of one run, its seeds side by side."""

    def rows(weights: str, metric: str) -> list[list[float]]:
        def one(seed: int, epoch: int) -> float:
            found = epochs.get((run, seed))
            return getattr(getattr(found[epoch], weights), metric) if found else math.nan

        return [[one(seed, epoch) for seed in seeds] for epoch in range(run.epochs)]

    return ManyScores(
        run=run,
        seeds=tuple(seeds),
        epochs=tuple(range(1, run.epochs + 1)),
        live={metric: rows("live", metric) for metric in METRICS},
        averaged=None if run.method == "sgd" else {m: rows("averaged", m) for m in METRICS},
        switches=switches,
    )


def point_data(run: Run, seed: int) -> PointData:
    """The points that `run` names, drawn or split by `seed`.

    Raises:
        ValueError: `run.data` is no point data.
    """
    makers: dict[str, Callable[[], PointData]] = {
        "circles": lambda: circles(seed),
        "moons": lambda: moons(seed),
        "digits": lambda: digits(seed, flipped=run.flipped),
    }
    if run.data not in makers:
        raise ValueError(f"data must be one of {tuple(makers)} here, got {run.data!r}")
    return makers[run.data]()


def train_many(
    run: Run,
    seeds: Sequence[int],
    *,
    hidden: Sequence[int] = (32, 32),
    evaluate_every: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> ManyScores:
    """Train one network for each seed as `run` says (its own `seed` does not count).

    A member whose weights stop being finite harms no other: its scores are NaN.

    Args:
        hidden: widths of the hidden layers.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated. None: only
            the last.
        device: "cpu" is the right one for small networks; "auto" takes a GPU if there is one.

    Raises:
        ValueError, TypeError: an argument outside its range; the message names it.
    """
    place = find_device(device)
    every = (
        run.epochs if evaluate_every is None else check_count("evaluate_every", evaluate_every, 1)
    )
    epochs = [e for e in range(1, run.epochs + 1) if e % every == 0 or e == run.epochs]
    data = [point_data(run, seed).to(place) for seed in seeds]
    tests = torch.stack([d.test_x for d in data]), torch.stack([d.test_y for d in data])
    found: dict[str, Scores] = {w: {name: [] for name in METRICS} for w in ("live", "averaged")}

    def look(weights: str, models: ManyMLPs) -> None:
        for name, values in _scores(models, *tests).items():
            found[weights][name].append(values)

    began = time.perf_counter()
    switches = train_models(run, seeds, data, epochs, look, hidden=hidden, progress=progress)
    return ManyScores(
        run=run,
        seeds=tuple(seeds),
        epochs=tuple(epochs),
        live=found["live"],
        averaged=None if run.method == "sgd" else found["averaged"],
        switches=switches,
        seconds=(time.perf_counter() - began) / len(seeds),
    )


@torch.random.fork_rng(devices=[])
def train_models(
    run: Run,
    seeds: Sequence[int],
    data: Sequence[PointData],
    epochs: Collection[int],
    look: Callable[[str, ManyMLPs], None],
    *,
    hidden: Sequence[int] = (32, 32),
    progress: bool = False,
) -> int:
    """The training of `train_many`, for whoever wants to look at the networks themselves.

    Args:
        data: of each seed, on the device to train on.
        epochs: those at whose end `look` is called, with "live" and the networks before a switch,
            then, if anything is averaged, with "averaged" and the networks on averaged weights.
            They go on changing: keep `models.member(i)`, which is a copy.

    Returns:
        The number of switches.
    """
    x, y = torch.stack([d.train_x for d in data]), torch.stack([d.train_y for d in data])
    models = ManyMLPs(seeds, x.shape[2], len(data[0].classes), hidden).to(x.device)
    optimizer = run.make_optimizer(models.parameters())
    per_epoch = run.steps_per_epoch(data[0])
    average = run.average(models, per_epoch)
    order = [torch.Generator().manual_seed(seed) for seed in seeds]
    member = torch.arange(len(seeds), device=x.device)[:, None]
    step, steps = 0, per_epoch * run.epochs
    for epoch in tqdm(range(1, run.epochs + 1), unit="epoch", disable=not progress):
        for batch in index_batches(x.shape[1], run.batch_size, order):
            chosen = batch.to(x.device)
            optimizer.param_groups[0]["lr"] = run.learning_rate(step, steps)
            optimizer.zero_grad()
            models.loss(x[member, chosen], y[member, chosen]).backward()  # type: ignore[no-untyped-call, unused-ignore]
            optimizer.step()
            step += 1
            if epoch in epochs and step % per_epoch == 0:
                look("live", models)  # before a switch makes the live weights the average
            if average is not None:
                average.update()
        if epoch in epochs and average is not None:
            with average.applied():
                look("averaged", models)
    return average.switches if average is not None else 0


def _scores(models: ManyMLPs, x: Tensor, y: Tensor) -> dict[str, list[float]]:
    with torch.no_grad():
        logits = models(x)
    losses = mean_losses(logits, y)
    whole = logits.isfinite().flatten(1).all(1)
    right = (logits.argmax(2) == y).double().mean(1)
    nan = torch.full_like(right, math.nan)
    errors = [
        expected_calibration_error(member, labels) if fine else math.nan
        for member, labels, fine in zip(logits, y, whole.tolist(), strict=True)
    ]
    return {
        "accuracy": torch.where(whole, right, nan).tolist(),
        "nll": torch.where(whole, losses.double(), nan).tolist(),
        "ece": errors,
    }
