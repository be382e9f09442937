"""Stored runs in rows and columns: decay x switch period, or decay x learning rate.

>>> grid = read_grid("circles, SEMA")
>>> grid.u(0.99, 0.1)  # a switch each epoch of 40 steps
0.4

It reads files: nothing is trained here, and no torch is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import paired, results, theory

WEIGHTS = ("averaged", "live")
NEVER = "never"  # the period of an EMA
# For each map: the stored result, the steps in an epoch, the methods, and what the columns are.
MAPS: dict[str, tuple[str, int, tuple[str, ...], str]] = {
    "images": ("cifar10-map", 78, ("sema", "ema"), "switch period T"),
    "circles, SEMA": ("circles", 40, ("sema",), "learning rate"),
    "circles, EMA": ("circles", 40, ("ema",), "learning rate"),
}
Column = float | str


def mean_error_count(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean of the values that are finite, its standard error, and how many there are.

    NaN for a mean of none, and for the error of fewer than two.
    """
    kept = [value for value in values if math.isfinite(value)]
    mean, error = paired.mean_and_error(kept) if kept else (math.nan, None)
    return mean, math.nan if error is None else error, len(kept)


@dataclass(frozen=True, eq=False)
class Grid:
    """Stored runs in rows and columns: a row for each decay."""

    name: str
    about: str
    column_name: str  # what the columns are
    decays: tuple[float, ...]
    columns: tuple[Column, ...]  # periods in steps and NEVER, or learning rates
    seeds: tuple[int, ...]
    epoch: int  # steps
    records: dict[tuple[float, Column], dict[str, Any]]

    def values(
        self, decay: float, column: Column, metric: str = "accuracy", weights: str = "averaged"
    ) -> list[float]:
        """What each seed scored on the test examples after the last epoch; NaN if it diverged.

        Args:
            metric: "accuracy" (a share, 0 to 1), "nll" or "ece".
            weights: "averaged", or "live": those before the last switch; of an EMA, plain SGD's.
        """
        last = self.records[decay, column][weights][metric][-1]
        return [math.nan if value is None else value for value in last]

    def period(self, column: Column) -> float:
        """Steps between switches; inf for an EMA."""
        if self.name == "images":
            return math.inf if isinstance(column, str) else column
        return self.epoch if self.name.endswith("SEMA") else math.inf

    def u(self, decay: float, column: Column) -> float:
        """u = T(1-d) of a cell; inf for an EMA."""
        period = self.period(column)
        return theory.period_in_horizons(decay, int(period)) if period < math.inf else math.inf

    def step_fraction(self, decay: float, column: Column) -> float:
        """The freeze law's share of SGD's way; 1 for an EMA, which leaves SGD alone."""
        period = self.period(column)
        return theory.step_fraction(decay, int(period)) if period < math.inf else 1.0

    @property
    def way_name(self) -> str:
        """What `way` is."""
        return "u = T(1-d)" if self.name == "images" else "rate x step fraction"

    def way(self, decay: float, column: Column) -> float:
        """What may decide: u where the rate is the same for all, else rate x step fraction."""
        if self.name == "images":
            shown = [self.u(d, c) for d, c in self.records if c != NEVER]
            return min(self.u(decay, column), 5 * max(shown))
        return float(column) * self.step_fraction(decay, column)


@lru_cache(maxsize=len(MAPS))
def read_grid(name: str) -> Grid:
    """One of `MAPS`, from its stored result. Rates are constant.

    Raises:
        ValueError: there is no such map. results.ResultsError: its file is missing or damaged.
    """
    if name not in MAPS:
        raise ValueError(f"there is no map {name!r:.60}; there are {', '.join(MAPS)}")
    file, epoch, methods, column_name = MAPS[name]
    content = results.stored(file)
    records: dict[tuple[float, Column], dict[str, Any]] = {}
    for record in content["settings"]:
        run = record["run"]
        if run["method"] in methods and run["schedule"] == "constant":
            column = _period(run, epoch) if name == "images" else run["lr"]
            records[run["decay"], column] = record
    return Grid(
        name=name,
        about=content["about"],
        column_name=column_name,
        decays=tuple(sorted({decay for decay, _ in records})),
        columns=tuple(sorted({c for _, c in records}, key=lambda c: (isinstance(c, str), c))),
        seeds=tuple(content["seeds"]),
        epoch=epoch,
        records=records,
    )


def _period(run: dict[str, Any], epoch: int) -> Column:
    if run["method"] == "ema":
        return NEVER
    return theory.period_in_steps(run["switch_every"], epoch)
