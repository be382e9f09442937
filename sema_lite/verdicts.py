"""Verdicts on claims, by one rule that is stated before anybody looks at a number.

An effect above zero is as claimed; `margin` is the smallest that matters. The interval is effect
± t * error, with Student's t for the number of seeds.

    holds here          the interval is above zero, and the effect at least the margin
    does not hold here  the interval is below zero, and the effect at most minus the margin
    no difference seen  the whole interval lies within the margin, on both sides of zero
    undecided           none of these: the seeds are too few for this question

A claim of *no* effect holds where no difference is seen. One with a rival, the control, must hold
against the rival as well; it "holds, but a control does it too" where the rival has the effect, or
there is no difference between the two.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .paired import paired_difference

HOLDS, FAILS, SAME = "holds here", "does not hold here", "no difference seen"
RIVAL, OPEN, UNTESTED = "holds, but a control does it too", "undecided", "not tested"
VERDICTS = (HOLDS, RIVAL, SAME, FAILS, OPEN, UNTESTED)
Seeds = Sequence[float]  # a number for each seed


class Effect(NamedTuple):
    """A mean over n paired seeds and its standard error; None for one seed, 0 for exact numbers."""

    mean: float
    error: float | None
    n: int

    def __str__(self) -> str:
        mean = f"{self.mean + 0.0:+{'.0f' if abs(self.mean) >= 100 else '.3g'}}"  # no -0
        return mean if self.error == 0 else f"{mean} ± {self.error or math.nan:.2g}"


def critical(n: int, rows: int = 1) -> float:
    """Student's t: standard errors from the middle of an interval to its ends, for n seeds.

    Among many `rows` of a table the level is divided by their number (Bonferroni).
    """
    # It comes with scikit-learn.
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    return float(stdtrit(n - 1, 1 - 0.05 / rows / 2))


def interval(effect: Effect, rows: int = 1) -> tuple[float, float]:
    """Where the true effect is, with 95 % confidence; without end for a single seed."""
    mean, error, n = effect
    if error is None:
        return -math.inf, math.inf
    reach = critical(n, rows) * error if error else 0.0
    return mean - reach, mean + reach


def verdict(effect: Effect, margin: float, rows: int = 1) -> str:
    """The rule of the module's docstring."""
    low, high = interval(effect, rows)
    if low > 0 and effect.mean >= margin:
        return HOLDS
    if high < 0 and effect.mean <= -margin:
        return FAILS
    if -margin < low and high < margin:
        return SAME
    return OPEN


@dataclass(frozen=True)
class Claim:
    """A row: a claim, what was measured, and the rival that could take the credit.

    effect: method - baseline, in `unit`, above zero if as claimed; None where nothing was measured,
    and then `experiment` says why. control: the rival in words. rival: rival - baseline. rest:
    method - rival. nothing: the claim is that there is no effect. source: "abstract", or "course".
    """

    claim: str
    experiment: str
    unit: str = ""
    effect: Effect | None = None
    margin: float = 1.0
    control: str = ""
    rival: Effect | None = None
    rest: Effect | None = None
    nothing: bool = False
    source: str = "abstract"

    def __post_init__(self) -> None:
        if not 0 < self.margin < math.inf:
            raise ValueError(f"margin must be finite and > 0, got {self.margin!r}")

    def verdict(self, rows: int = 1) -> str:
        """One of `VERDICTS`; rows: see `critical`."""
        if self.effect is None:
            return UNTESTED
        found = verdict(self.effect, self.margin, rows)
        if self.nothing:
            return {SAME: HOLDS, HOLDS: FAILS, FAILS: FAILS, OPEN: OPEN}[found]
        if found != HOLDS or self.rival is None or self.rest is None:
            return found
        ahead = verdict(self.rest, self.margin, rows)
        too = ahead in (SAME, FAILS) or verdict(self.rival, self.margin, rows) == HOLDS
        return HOLDS if ahead == HOLDS else RIVAL if too else OPEN

    def report(self, digits: bool = True) -> str:
        """The row in two lines: claim and verdict; experiment, effect, and effect over the control.

        Without `digits` a "?" stands for each number: for those that differ between machines.
        """
        parts = [self.experiment]
        if self.effect:
            seeds = "exact" if self.effect.error == 0 else f"{self.effect.n} seeds"
            parts.append(f"{self.effect if digits else '?'} {self.unit}, {seeds}")
        if self.rest:
            parts.append(f"over {self.control or 'its control'}: {self.rest if digits else '?'}")
        return f"{self.claim}: {self.verdict().upper()}\n    {' | '.join(parts)}"


def measured(
    claim: str,
    experiment: str,
    method: Seeds,
    baseline: Seeds,
    rival: Seeds | None = None,
    *,
    scale: float = 1.0,
    **more: Any,
) -> Claim:
    """The row of a comparison in pairs: each of the three has a score for each seed.

    `scale` leads to the unit; it is below zero where less is better. `more` is of `Claim`. A list
    without a score says that nothing is stored: the row is not tested, and says so.

    Raises:
        ValueError: the unit is "points", and these are shares that `scale` leaves as they are.
    """
    if not (method and baseline and (rival is None or rival)):
        return Claim(claim, f"{experiment} (not stored)", **more)
    shares = all(not abs(x) > 1 for x in (*method, *baseline, *(rival or ())))  # or NaN
    if shares and abs(scale) == 1 and "point" in more.get("unit", ""):
        raise ValueError(f"scale must be 100 or -100 to make points of shares, got {scale!r}")

    def gap(one: Seeds, other: Seeds) -> Effect:
        mean, error, n = paired_difference(one, other)
        return Effect(scale * mean, error and abs(scale) * error, n)

    if rival:
        more |= {"rival": gap(rival, baseline), "rest": gap(method, rival)}
    return Claim(claim, experiment, effect=gap(method, baseline), **more)


def chosen_elsewhere(scores: Sequence[Seeds]) -> list[float]:
    """The best setting's score at each seed, where the *other* seeds choose which is the best.

    Chosen and judged on the same seeds it would look better than it is. `scores` is
    [setting][seed], at least two seeds; more is better, and NaN is the worst. Of equal settings
    the first is taken.
    """

    def others(setting: Seeds, seed: int) -> float:
        rest = [*setting[:seed], *setting[seed + 1 :]]
        return statistics.fmean(v if math.isfinite(v) else -math.inf for v in rest)

    def best(seed: int) -> Seeds:
        return max(scores, key=lambda setting: others(setting, seed))

    return [best(seed)[seed] for seed in range(len(scores[0]))]
