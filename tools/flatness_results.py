"""How sharp the networks of chapter 08 are, for 20 seeds: data/results/flatness.json.

    python tools/results.py flatness

Two circles, SGD, EMA, SWA and SEMA at several learning rates. Each setting that is done is kept in
runs/flatness/ at once: a run that was stopped, at any moment, goes on from there.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from sema_lite import flatness
from sema_lite.compare import train_models
from sema_lite.ensemble import ManyMLPs
from sema_lite.points import PointData, circles
from sema_lite.results import ResultsError, read_json, versions, write_json
from sema_lite.run import Run

ABOUT = (
    "two circles, 400 training and 4,000 test points, MLP 2-32-32-2, 50 epochs of 40 steps; top "
    "eigenvalue and trace (50 probes) of the Hessian, SAM sharpness (rho 0.05) and loss on the "
    "training points, NLL and accuracy on the test points, after the last step"
)
RATES = (0.003, 0.01, 0.03, 0.1)
SEEDS = tuple(range(20))
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "curvlinops-for-pytorch", "sema-lite")
RUNS = tuple(
    Run(
        data="circles",
        method=method,
        decay=None if method == "swa" else 0.99,
        lr=lr,
        epochs=50,
        batch_size=10,
        weight_decay=0.0,
    )
    for lr, method in product(RATES, ("ema", "swa", "sema"))
)


def train(run: Run, data: list[PointData]) -> tuple[list[nn.Module], list[nn.Module], int]:
    """Live networks before the last switch, averaged ones, and the number of switches."""
    found: dict[str, list[nn.Module]] = {}

    def look(weights: str, models: ManyMLPs) -> None:
        found[weights] = [models.member(i) for i in range(len(data))]

    switches = train_models(run, SEEDS[: len(data)], data, [run.epochs], look)
    return found["live"], found["averaged"], switches


def measures(net: nn.Module, data: PointData) -> dict[str, float]:
    """What is stored of one network."""
    on = (net, F.cross_entropy, data.train_x, data.train_y)
    with torch.no_grad():
        train_loss = float(F.cross_entropy(net(data.train_x), data.train_y))
        logits = net(data.test_x)
    return {
        "top_eigenvalue": flatness.top_eigenvalues(*on)[0],
        "trace": flatness.hessian_trace(*on, samples=50).value,
        "sam_sharpness": flatness.sam_sharpness(*on, rho=0.05),
        "train_loss": train_loss,
        "nll": float(F.cross_entropy(logits, data.test_y)),
        "accuracy": float((logits.argmax(1) == data.test_y).double().mean()),
    }


def columns(networks: list[nn.Module], data: list[PointData]) -> dict[str, list[float]]:
    """{measure: a number with 4 digits for each seed}."""
    rows = [measures(net, d) for net, d in zip(networks, data, strict=True)]
    return {name: [float(f"{row[name]:.4g}") for row in rows] for name in rows[0]}


def record(run: Run, data: list[PointData]) -> dict[str, Any]:
    """One setting. SWA only watches: the live weights of its run are those of the EMA's."""
    live, averaged, switches = train(run, data)
    return {
        "run": asdict(run),
        "live": None if run.method == "swa" else columns(live, data),
        "averaged": columns(averaged, data),
        "switches": switches,
    }


def kept(path: Path, run: Run) -> dict[str, Any] | None:
    """A setting that is done, if the file is whole and of this very run."""
    try:
        found = read_json(path)
    except ResultsError:
        return None
    return found if found.get("run") == asdict(run) else None


def make(folder: Path, out: Path, runs: tuple[Run, ...] = RUNS, seeds: int = len(SEEDS)) -> Path:
    """Do what is missing, then write the result. Returns the file."""
    torch.set_num_threads(1)
    data = [circles(seed) for seed in SEEDS[:seeds]]
    settings = []
    for run in tqdm(runs, desc="flatness", unit="setting"):
        path = folder / f"{run.method}-{run.lr:g}-{seeds}.json"
        if (done := kept(path, run)) is None:
            done = record(run, data)
            write_json(path, done)
        settings.append(done)
    content = {
        "about": ABOUT,
        "command": "python tools/results.py flatness",
        "versions": versions(*PACKAGES),
        "threads": 1,
        "seeds": list(SEEDS[:seeds]),
        "settings": settings,
    }
    write_json(out / "flatness.json", content)
    return out / "flatness.json"
