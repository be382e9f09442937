"""Numbers of several seeds: their mean, its standard error, and differences in pairs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

METRICS = ("accuracy", "nll", "ece")  # what a classifier is scored by


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and its standard error: None for a single value, which cannot tell."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def paired_difference(
    one: Sequence[float], other: Sequence[float]
) -> tuple[float, float | None, int]:
    """Mean of one - other over the seeds, its standard error, and how many seeds were compared.

    Seeds where either is NaN (or None, as stored) are left out: say how many there were.

    Raises:
        ValueError: the two are of different lengths, or no seed is left.
    """
    if len(one) != len(other):
        raise ValueError(f"one has {len(one)} seeds and the other {len(other)}")
    gaps = [a - b for a, b in zip(one, other, strict=True) if is_number(a) and is_number(b)]
    if not gaps:
        raise ValueError("there is no seed at which both are finite")
    return *mean_and_error(gaps), len(gaps)


def is_number(value: float | None) -> bool:
    """Whether it is one: not None, as a seed that diverged is stored, nor NaN."""
    return value is not None and math.isfinite(value)
