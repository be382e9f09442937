"""Make the stored results of long runs again, one after the other.

    make results                              # all of them
    python tools/results.py circles           # one; --list says which there are

What is done is kept in runs/NAME/, with a checkpoint after each epoch on images: a run that was
stopped, at any moment, goes on from there. When all of it is there, data/results/NAME.json is
written, whole or not at all. What needs a GPU is left out, aloud, where there is none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import flatness_results
import torch

from sema_lite.compare import compare
from sema_lite.data import load_images
from sema_lite.results import versions, write_json
from sema_lite.run import BATCH_NORM, IMAGES, Run

ROOT = Path(__file__).resolve().parent.parent
RATES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
DECAYS = (0.9, 0.97, 0.99, 0.995, 0.999)
# Of the decay x period map on images: an epoch of the mini set has 78 steps.
MAP_DECAYS = (0.8, 0.9, 0.95, 0.98, 0.995)
MAP_PERIODS = (5, 20, "epoch", "2epochs", "3epochs")


@dataclass(frozen=True)
class Experiment:
    """A list of settings, each trained with the same seeds."""

    about: str
    runs: tuple[Run, ...]
    seeds: int
    options: dict[str, Any] = field(default_factory=dict)  # of `compare`
    gpu: bool = False  # without one it would take days


def methods(decays: tuple[float, ...], **settings: Any) -> Iterator[Run]:
    """EMA and SEMA at each decay, SWA, Lookahead. SGD is the live weights of any EMA."""
    for method, decay in product(("ema", "sema"), decays):
        yield Run(method=method, decay=decay, **settings)
    for method in ("swa", "lookahead"):
        yield Run(method=method, **settings)


def circles() -> Experiment:
    common = {"data": "circles", "epochs": 50, "batch_size": 10, "weight_decay": 0.0}
    runs = [
        run
        for schedule, lr in product(("constant", "cosine"), RATES)
        for run in methods(DECAYS, lr=lr, schedule=schedule, **common)
    ]
    text = "two circles, 400 training and 4,000 test points, MLP 2-32-32-2, 50 epochs of 40 steps"
    return Experiment(text, tuple(runs), seeds=20)


def labels() -> Experiment:
    common: dict[str, Any] = {"data": "digits", "epochs": 50, "batch_size": 32}
    runs: list[Run] = []
    for flipped in (0.0, 0.2):
        base = {**common, "flipped": flipped}
        runs += methods((0.95, 0.99, 0.999), lr=0.1, weight_decay=0.0, **base)
        # The controls: a smaller rate, weight decay; early stopping is read off the curves.
        rates, decays = (0.002, 0.005, 0.01, 0.02, 0.05), (1e-3, 3e-3, 1e-2)
        runs += [Run(method="sgd", lr=lr, weight_decay=0.0, **base) for lr in rates]
        runs += [Run(method="sgd", lr=0.1, weight_decay=decay, **base) for decay in decays]
    # Averages get a smaller rate and weight decay too, where the labels are wrong.
    base = {**common, "flipped": 0.2, "method": "ema"}
    for lr, weight_decay, decay in product((0.01, 0.02, 0.05), (0.0, 3e-3), (0.99, 0.995)):
        runs.append(Run(lr=lr, weight_decay=weight_decay, decay=decay, **base))
    text = (
        "scikit-learn's digits, 1,297 training and 500 test images, none or 20 % of the training "
        "labels flipped, MLP 64-32-32-10, 50 epochs of 40 steps"
    )
    return Experiment(text, tuple(runs), seeds=10, options={"evaluate_every": 1})


def about(text: str) -> str:
    """What all runs on images have in common, and `text`."""
    return (
        "CIFAR-10 mini, 5,000 training and 1,000 test images, small residual network, batch 64, "
        f"78 steps per epoch, {text}"
    )


def cifar() -> Experiment:
    runs = [Run(method="sgd", epochs=10, schedule=s) for s in ("constant", "cosine")]
    for schedule in ("constant", "cosine"):
        common: dict[str, Any] = {"epochs": 10, "schedule": schedule}
        runs += [Run(method="ema", decay=d, **common) for d in MAP_DECAYS[1:]]
        runs += [Run(method="sema", decay=d, **common) for d in (0.95, 0.98)]
        runs += [Run(method=method, **common) for method in ("swa", "lookahead")]
    # The control: other rates, smaller and larger.
    for lr in (0.01, 0.2):
        runs += [Run(method="ema", decay=d, epochs=10, lr=lr) for d in MAP_DECAYS[1:]]
        runs += [Run(method="sema", decay=0.95, epochs=10, lr=lr)]
    return Experiment(about("10 epochs, learning rate 0.05 and others"), tuple(runs), seeds=5)


def cifar_map() -> Experiment:
    runs = [Run(method="ema", decay=d, epochs=6) for d in MAP_DECAYS]
    runs += [
        Run(method="sema", decay=d, switch_every=every, epochs=6)
        for d, every in product(MAP_DECAYS, MAP_PERIODS)
    ]
    return Experiment(about("6 epochs, decay x switch period"), tuple(runs), seeds=3)


def cifar_adamw() -> Experiment:
    common: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05, "epochs": 8}
    runs = [Run(method=method, **common) for method in ("sgd", "swa", "lookahead")]
    runs += [Run(method="ema", decay=d, **common) for d in MAP_DECAYS[1:]]
    runs += [Run(method="sema", decay=d, **common) for d in (0.95, 0.98)]
    # The control: a rate that falls to zero, alone and with averages.
    common["schedule"] = "cosine"
    runs += [Run(method="sgd", **common)]
    runs += [Run(method="ema", decay=d, **common) for d in MAP_DECAYS[1:]]
    runs += [Run(method="sema", decay=d, **common) for d in (0.95, 0.98)]
    return Experiment(about("8 epochs, AdamW, learning rate 0.001"), tuple(runs), seeds=5)


def batch_norm() -> Experiment:
    runs = [
        Run(method=method, decay=decay, batch_norm=policy, epochs=8)
        for method, decay in (("ema", 0.95), ("ema", 0.995), ("sema", 0.95))
        for policy in BATCH_NORM
    ]
    text = "8 epochs, where the statistics of batch norm come from"
    return Experiment(about(text), tuple(runs), seeds=5)


def cifar_large() -> Experiment:
    """Ten times the images, on a CPU. An epoch has 781 steps: SEMA 0.999 has u = 0.78 there."""
    runs: list[Run] = []
    for schedule in ("constant", "cosine"):
        common: dict[str, Any] = {"subset": "full", "epochs": 6, "schedule": schedule}
        runs += [Run(method="sgd", **common), Run(method="swa", **common)]
        runs += [Run(method="ema", decay=decay, **common) for decay in (0.99, 0.995, 0.999)]
        runs += [Run(method="sema", decay=0.99, **common)]
    common["schedule"] = "constant"
    runs += [Run(method="sema", decay=0.999, **common), Run(method="lookahead", **common)]
    text = (
        "CIFAR-10, 50,000 training and 10,000 test images, small residual network, batch 64, 781 "
        "steps per epoch, 6 epochs, learning rate 0.05"
    )
    return Experiment(text, tuple(runs), seeds=3)


def cifar_full() -> Experiment:
    """All 50,000 images. An epoch has 390 steps: EMA 0.99 looks back over a quarter of one."""
    runs: list[Run] = []
    for schedule in ("constant", "cosine"):
        common: dict[str, Any] = {
            "model": "resnet18",
            "subset": "full",
            "epochs": 24,
            "batch_size": 128,
            "lr": 0.1,
            "schedule": schedule,
        }
        runs += [Run(method=method, **common) for method in ("sgd", "swa", "lookahead")]
        runs += [Run(method="ema", decay=decay, **common) for decay in (0.99, 0.999)]
        runs += [Run(method="sema", decay=decay, **common) for decay in (0.99, 0.999)]
    text = (
        "CIFAR-10, 50,000 training and 10,000 test images, ResNet-18, batch 128, 390 steps per "
        "epoch, 24 epochs, bfloat16 autocast; for the time to an accuracy see `results --reach`"
    )
    return Experiment(text, tuple(runs), seeds=3, options={"compiled": True}, gpu=True)


EXPERIMENTS = {
    "circles": circles,
    "label-noise": labels,
    "cifar10": cifar,
    "cifar10-map": cifar_map,
    "cifar10-adamw": cifar_adamw,
    "batch-norm": batch_norm,
    "cifar10-50k": cifar_large,
    "cifar10-full": cifar_full,
}
PACKAGES = ("torch", "numpy", "scikit-learn", "torchmetrics", "sema-lite")


def key(run: Run) -> str:
    """What tells one setting from another."""
    return json.dumps(asdict(run), sort_keys=True)


def make(name: str, folder: Path, out: Path, threads: int) -> Path:
    """Do what is missing of an experiment, then write its result. Returns the file."""
    experiment = EXPERIMENTS[name]()
    torch.set_num_threads(threads)
    run = experiment.runs[0]
    data = load_images(run.data, subset=run.subset) if run.data in IMAGES else None
    seeds = range(experiment.seeds)
    scores = compare(experiment.runs, seeds, data, folder=folder / name, **experiment.options)
    content = {
        "about": experiment.about,
        "command": f"python tools/results.py {name}",
        "versions": versions(*PACKAGES),
        "threads": threads,
        "data": data.name if data else run.data,
        "seeds": list(seeds),
        "settings": [each.record() for each in scores],
    }
    if experiment.gpu:
        content |= {
            "device": torch.cuda.get_device_name(),
            "seconds": [each.seconds for each in scores],
        }
    write_json(out / f"{name}.json", content)
    return out / f"{name}.json"


def main() -> int:
    """Make the experiments that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs", help="folder of unfinished work"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results", help="for results")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    args = parser.parse_args()
    if args.list:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name}: {len(experiment().runs)} settings; {experiment().about}")
        print(f"flatness: {len(flatness_results.RUNS)} settings; {flatness_results.ABOUT}")
        return 0
    known = [*EXPERIMENTS, "flatness"]
    if unknown := [name for name in args.names if name not in known]:
        print(f"results: no experiment {', '.join(unknown)}; see --list", file=sys.stderr)
        return 2
    for name in args.names or known:
        if name == "flatness":
            path = flatness_results.make(args.runs / name, args.out)
        elif EXPERIMENTS[name]().gpu and not torch.cuda.is_available():
            print(f"{name}: LEFT OUT, it needs a GPU, and there is none here")
            continue
        else:
            path = make(name, args.runs, args.out, args.threads)
        print(f"written: {path.name}, {path.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
