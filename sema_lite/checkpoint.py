"""The folder of a run: a checkpoint after each epoch, and a line of metrics for each.

Both files are written under another name and then renamed, so that there is a whole one at any
moment. The checkpoint holds the lines as well: where the two differ, because the run was killed
between them, the checkpoint is right.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .averaging import ModuleAverage
from .results import whole_file

CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
NAMES = ("method", "seed", "decay", "batch_norm")  # of a run, in each line of its metrics
DAMAGED = (RuntimeError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)


@dataclass(frozen=True)
class State:
    """All that goes on from step to step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averages: list[ModuleAverage | None]
    random: torch.Generator  # of the batches

    def state_dict(self) -> dict[str, Any]:
        """Everything, torch's own random numbers included (of dropout, say)."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averages": [average and average.state_dict() for average in self.averages],
            "random": self.random.get_state(),
            "torch_random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for average, saved in zip(self.averages, state["averages"], strict=True):
            if average is not None:
                average.load_state_dict(saved)
        self.random.set_state(state["random"].cpu())
        torch.set_rng_state(state["torch_random"].cpu())


def save(folder: Path, settings: dict[str, Any], state: State, kept: dict[str, Any]) -> None:
    """Write both files.

    Args:
        settings: what tells this run from another one.
        kept: plain values to get back from `resume`; "lines" is a list of dicts for each epoch.

    Raises:
        OSError: no space, or not allowed to write. The files are those of the epoch before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / CHECKPOINT) as file:
        torch.save({"settings": settings, "state": state.state_dict(), "kept": kept}, file)
    _write_metrics(folder, settings, kept)


def resume(folder: Path, settings: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Load the checkpoint into `state`, if there is one, and put the metrics right.

    Returns:
        What `save` was given as `kept`, or None.

    Raises:
        ValueError: the checkpoint is damaged, or of another run; the message says what to do.
    """
    for partial in folder.glob("*.partial-*"):  # of a run that was killed while it wrote
        partial.unlink()
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        stored, kept = content["settings"], content["kept"]
    except (*DAMAGED, KeyError, TypeError) as error:
        reason = str(error).split("\n")[0][:100]
        raise ValueError(
            f"'{path}' is damaged ({type(error).__name__}: {reason}): delete it to begin again"
        ) from None
    if stored != settings:
        raise ValueError(
            f"'{path}' is of another run (it differs in {_differences(stored, settings)}): "
            "choose another folder, or delete this one"
        )
    state.load_state_dict(content["state"])
    _write_metrics(folder, settings, kept)
    return dict(kept)


def _write_metrics(folder: Path, settings: dict[str, Any], kept: dict[str, Any]) -> None:
    with whole_file(folder / METRICS) as file:
        for epoch in kept["lines"]:
            for run, scores in zip(settings["runs"], epoch, strict=True):
                line = {**{name: run[name] for name in NAMES}, **scores}
                file.write((json.dumps(line, allow_nan=False) + "\n").encode())


def _differences(stored: dict[str, Any], settings: dict[str, Any]) -> str:
    if stored.get("data") != settings["data"]:
        return f"data, {stored.get('data')!r} there and {settings['data']!r} here"
    for there, here in zip(stored["runs"], settings["runs"], strict=False):
        for name, value in here.items():
            if there.get(name) != value:
                return f"{name}, {there.get(name)!r} there and {value!r} here"
    return "the number of runs"
