"""What the commands of `python -m sema_lite` do: each takes its arguments, gives an exit code."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from . import results as files
from .__main__ import error, parser
from .compare import compare as run_all
from .compare import point_data
from .data import ImageData, load_images, save_mini
from .evaluation import score
from .paired import is_number
from .points import PointData
from .reference import check_count
from .run import IMAGES, Run
from .scores import ManyScores, reach_table, table
from .theory import step_fraction
from .training import find_device

COMMAND, RESULTS = "command.json", "results.json"  # in the folder of a run
PACKAGES = ("torch", "numpy", "sema-lite")  # they decide the numbers
MOST_THREADS = 1024  # torch takes any number, and a million crash it
MOST_SEEDS = 10_000  # on points all are in memory at once
HOW_IT_RUNS = ("out", "quiet", "folder")  # arguments that decide nothing of the result


def train(args: argparse.Namespace, arguments: list[str]) -> int:
    """Train by one method; `compare` with a list of one."""
    if "," in args.method:
        raise ValueError(f"--method of train is a single one, got {args.method}: see compare")
    return compare(args, arguments)


def compare(args: argparse.Namespace, arguments: list[str]) -> int:
    """Train by several methods, print the table, and keep everything in --out."""
    # Everything that can be wrong is found out before the first step.
    methods = [method.strip() for method in args.method.split(",")]
    if len(set(methods)) < len(methods):
        raise ValueError(f"--method names a method twice: {args.method}")
    runs = [_run(args, method) for method in methods]
    for name, most in (("seeds", MOST_SEEDS), ("threads", MOST_THREADS)):
        if check_count(f"--{name}", value := getattr(args, name), 1) > most:
            raise ValueError(f"--{name} must be at most {most}, got {value}")
    torch.set_num_threads(args.threads)
    device = find_device(args.device)
    if args.compile and args.data not in IMAGES:
        raise ValueError(f"--compile is for images, not for {args.data}")
    if args.out == "":  # a variable of the shell that is not set
        raise ValueError("--out must name a folder, got ''")
    args.root = _absolute(args.root)
    data = _data(args)
    runs[0].steps_per_epoch(data)  # at least one
    out = Path(args.out) if args.out else None
    try:
        if out:
            _claim(out, args, arguments)
        return _train_all(runs, data, device, out, args, arguments)
    except KeyboardInterrupt:
        then = "nothing is kept" if out else "without --out nothing is kept"
        if out and (out / COMMAND).exists():
            then = f"python -m sema_lite resume {out} goes on"
        return error(f"interrupted: {then}", 130)


def _train_all(
    runs: list[Run],
    data: ImageData | PointData,
    device: torch.device,
    out: Path | None,
    args: argparse.Namespace,
    arguments: list[str],
) -> int:
    """Train, print the table, write the results; returns the exit code."""
    _warm_up(runs[0])
    print(_describe(data))
    print(_settings(runs, runs[0].steps_per_epoch(data), device), flush=True)
    seeds = range(args.seeds)
    problems: list[object] = []
    scores = run_all(
        runs,
        seeds,
        data if isinstance(data, ImageData) else None,
        folder=out and out / "runs",
        device=str(device),
        progress=not args.quiet,
        **_options(args),
        on_error=lambda problem: problems.append(error(problem, 1)),
    )
    if args.data not in IMAGES:  # on images `run_all` says so at once
        problems += [error(_diverged(each), 1) for each in scores if _diverged(each)]
    if out:
        content = {
            "command": " ".join(["python -m sema_lite", *arguments]),
            "versions": files.versions(*PACKAGES),
            "device": str(device),
            "threads": args.threads,
            "data": data.name,
            "seeds": list(seeds),
            "complete": not problems,
            "settings": [each.record(digits=6) for each in scores],
            "seconds": [each.seconds for each in scores],
        }
        files.write_json(out / RESULTS, content, indent=1)
    print(f"\n{table(scores)}")
    return 1 if problems else 0


def resume(args: argparse.Namespace, arguments: list[str]) -> int:  # noqa: ARG001
    """Start the command of a folder again."""
    folder = Path(args.folder)
    if not (folder / COMMAND).is_file():
        raise ValueError(f"'{folder}' is not the --out of a run: it has no {COMMAND}")
    stored, again = _stored_command(folder)
    again.out, again.quiet = str(folder), again.quiet or args.quiet
    return compare(again, stored)


def results(args: argparse.Namespace, arguments: list[str]) -> int:  # noqa: ARG001
    """Show the table of a file, of a folder, or of a long run that comes with the course."""
    if args.result is None:
        print(
            "\n".join(
                ["Stored long runs, for `results NAME`:", *files.stored_names(trainings=True)]
            )
        )
        return 0
    if args.reach is not None and not 0 <= args.reach <= 100:
        raise ValueError(f"--reach must be a percentage, 0 to 100, got {args.reach:g}")
    share = None if args.reach is None else args.reach / 100
    content = _find_result(args.result)
    times = content.get("seconds", [None] * len(content["settings"]))
    try:
        told = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
        scores = [
            ManyScores.from_record({**each, "seconds": seconds}, content["seeds"])
            for each, seconds in zip(content["settings"], times, strict=True)
        ]
    except (AttributeError, TypeError, ValueError) as problem:  # whole JSON, of another content
        raise ValueError(f"'{args.result}' is damaged: {problem}") from None
    for name in ("about", "data"):
        if name in content:
            print(f"{name.capitalize()}: {content[name]}")
    print(f"Command: {content['command']}\nVersions: {told}")
    if not content.get("complete", True):
        print("Not complete: some of its runs diverged.")
    print("", table(scores) if share is None else reach_table(scores, share), sep="\n")
    return 0


def data(args: argparse.Namespace, arguments: list[str]) -> int:  # noqa: ARG001
    """Say which data is found; write the mini set, if that is wanted."""
    if args.make_mini:
        args.data, args.subset = "cifar10", "mini"
    found = _data(args)
    print(_describe(found))
    if args.make_mini:
        assert isinstance(found, ImageData)
        save_mini(found, args.make_mini)
        print(f"Written: {args.make_mini}")
    return 0


# -- what they are made of -------------------------------------------------------------------------


def _run(args: argparse.Namespace, method: str) -> Run:
    points = args.data not in IMAGES
    return Run(
        method=method,
        data=args.data,
        subset="mini" if points else args.subset,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        schedule=args.schedule,
        weight_decay=args.weight_decay,
        decay=args.decay,
        switch_every=args.switch_every,
        model=args.model,
        optimizer=args.optimizer,
        batch_norm=args.batch_norm,
    )


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Those that images or points alone have. What is kept of points has a score per epoch too."""
    if args.data in IMAGES:
        return {"compiled": args.compile}
    return {"evaluate_every": 1 if args.out else None}


def _warm_up(run: Run) -> None:
    """Load now what is loaded at first use: or the first of the runs would seem the slowest."""
    run.make_optimizer([torch.zeros(1, requires_grad=True)])
    score(torch.zeros(2, 2), torch.tensor([0, 1]))


def _data(args: argparse.Namespace) -> ImageData | PointData:
    if args.data in IMAGES:
        return load_images(args.data, args.root, args.subset)
    if args.root is not None or args.subset != "mini":
        name = "--subset" if args.root is None else "--root"
        raise ValueError(f"{name} is for images, not for {args.data}")
    return point_data(Run(data=args.data), seed=0)


def _diverged(scores: ManyScores) -> str:
    """Which seeds of a run have no scores, or ""."""
    lost = [seed for seed, value in zip(scores.seeds, scores.best["nll"][-1], strict=True)
            if not is_number(value)]  # fmt: skip
    if not lost:
        return ""
    return (
        f"{scores.run.method}: {len(lost)} of {len(scores.seeds)} seeds diverged, the first is "
        f"{lost[0]}. Try a smaller learning rate than {scores.run.lr:g}"
    )


def _describe(data: ImageData | PointData) -> str:
    if isinstance(data, ImageData):
        drawn = data.source.startswith("drawn")
        kind, test = "images", len(data.test_images)
        source = f", {'' if drawn else 'from '}{data.source}"
    else:
        kind, test, source = "examples", len(data.test_y), ""
    return f"Data: {data.name}: {data.train_size:,} training and {test:,} test {kind}{source}"


def _settings(runs: list[Run], steps: int, device: torch.device) -> str:
    run, methods = runs[0], {each.method for each in runs}
    text = (
        f"{run.model}, {run.epochs} x {steps} steps, batch {run.batch_size}, {run.optimizer}, "
        f"learning rate {run.lr:g} ({run.schedule}), {device}"
    )
    decay = run.used_decay(steps)
    if {"ema", "sema"} & methods:
        text += f"\nDecay {decay:.4g}"
    if "sema" in methods:
        period = run.period(steps)
        fraction = step_fraction(decay, period)
        text += (
            f"; SEMA switches every {period} steps: u = T(1-d) = {period * (1 - decay):.2g}, "
            f"it goes {fraction:.0%} of the optimizer's way between switches"
        )
        if fraction < 0.1:  # chapter 10: below u = 0.1
            text += " and is nearly frozen: choose a smaller decay or a longer period"
        elif fraction < 0.37:  # u < 1
            text += ": each switch throws most of it away"
        if period > run.epochs * steps:
            text += "; that is longer than the run: it never switches"
    return text


def _claim(out: Path, args: argparse.Namespace, arguments: list[str]) -> None:
    """Make the folder, or find the same command in it."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out '{out}' is a file, and should be a folder")
    if (out / COMMAND).exists():
        _, there = _stored_command(out)
        if unlike := [name for name in vars(args) if name not in HOW_IT_RUNS
                      and getattr(there, name, None) != getattr(args, name)]:  # fmt: skip
            raise ValueError(
                f"--out '{out}' holds another run, with {unlike[0]} = "
                f"{getattr(there, unlike[0], None)}: choose another folder, or go on with "
                f"python -m sema_lite resume {out}"
            )
        return
    if out.exists():
        for partial in out.glob(f"{COMMAND}.partial-*"):  # it was killed while it wrote this
            partial.unlink()
        if os.listdir(out):
            raise ValueError(f"--out '{out}' holds other files: choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    versions = files.versions(*PACKAGES)
    content = {"arguments": arguments, "root": args.root, "versions": versions}
    files.write_json(out / COMMAND, content)


def _stored_command(folder: Path) -> tuple[list[str], argparse.Namespace]:
    """What was typed for the run in this folder, after `python -m sema_lite`, and what it means."""
    content = files.read_json(folder / COMMAND)
    typed, root = content.get("arguments"), content.get("root")
    if not isinstance(typed, list) or typed[:1] not in (["train"], ["compare"]):
        raise ValueError(f"'{folder / COMMAND}' is damaged: it names no command")
    typed = [str(each) for each in typed]
    args = parser().parse_args(typed)
    # A relative --root is meant from where it was typed; if all was moved since, from here.
    args.root = root if root and Path(str(root)).is_dir() else _absolute(args.root)
    return typed, args


def _absolute(root: str | None) -> str | None:
    return root if root is None else str(Path(root).expanduser().absolute())


def _find_result(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.is_dir():
        if not (path / RESULTS).is_file() and (path / COMMAND).is_file():
            raise ValueError(f"'{path}' is not finished: python -m sema_lite resume {path} goes on")
        return files.read_results(path / RESULTS)
    if path.suffix == ".json" or path.exists():
        return files.read_results(path)
    return files.stored(name, trainings=True)
