"""Checks of the exercises of chapter 10, tuning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import theory
from .report import NotYet, close, exercise, is_near, number, pair

__all__ = ["carried_decay", "decay_for_way", "u_and_fraction"]

Function = Callable[..., Any]


@exercise
def u_and_fraction(answer: Function) -> None:
    """`answer(decay, period)` is u = T(1-d) and the exact step fraction."""
    for decay, period in ((0.9, 5), (0.98, 78), (0.999, 20)):
        u, fraction = map(number, pair(answer(decay, period), "u and the fraction"))
        right = theory.step_fraction(decay, period)
        if is_near(u, period * decay):
            raise NotYet("That is T times d. A long memory must make u small, not large.")
        if is_near(u, period / (1 - decay)):
            raise NotYet("That multiplies by the horizon. u says how many horizons fit into T.")
        if is_near(u, 1 / (period * (1 - decay))):
            raise NotYet("That u is upside down: it must grow with the period.")
        close(u, period * (1 - decay), "u is not the period divided by the horizon.")
        if is_near(fraction, 1 - right):
            raise NotYet("That is the share that the switch throws away; we ask for what is left.")
        if is_near(fraction, 100 * right):
            raise NotYet("The fraction lies between 0 and 1: this one is in per cent.")
        if is_near(fraction, 1 + math.expm1(-u) / u):
            raise NotYet("That is the limit of a long horizon: near, but not exact at this d.")
        if is_near(fraction, 1 - (1 - decay**period) / u):
            raise NotYet("One factor is missing: the gap is d + d**2 + ..., it begins with d.")
        close(fraction, right, "The fraction differs: ask way() of the first section.")


@exercise
def carried_decay(answer: Function) -> None:
    """`answer(decay, old_period, new_period)` is the decay that keeps u = T(1-d)."""
    for decay, old, new in ((0.999, 500, 78), (0.95, 78, 156), (0.9, 40, 10)):
        got = number(answer(decay, old, new))
        if got == decay:
            raise NotYet("A copied decay keeps the horizon in steps; what must stay is u.")
        if is_near(got, decay * old / new) or is_near(got, decay * new / old):
            raise NotYet("It is not d that scales with the period: which part of it is it?")
        if is_near(got, 1 - (1 - decay) * new / old):
            raise NotYet("Upside down: a shorter period needs a shorter horizon.")
        if is_near(got, (1 - decay) * old / new):
            raise NotYet("That is 1 - d', the weight of the newest step. The decay is the rest.")
        if is_near(got, decay ** (old / new)):
            raise NotYet("That keeps d**T: nearly the same for long horizons. Keep T(1-d).")
        close(got, theory.carry_decay(decay, old, new), "T(1-d) is not the same before and after.")


@exercise
def decay_for_way(answer: Function) -> None:
    """`answer(fraction, period)` is the decay whose step fraction is `fraction` at that period."""
    # Decays of many digits: a coarse list of candidates must not hold them by luck.
    for decay, period in ((0.94731, 78), (0.98617, 20), (0.61379, 4)):
        fraction = theory.step_fraction(decay, period)
        got = number(answer(fraction, period))
        if is_near(got, 1 - decay, 1e-3):
            raise NotYet("That is 1 - d, the weight of the newest step.")
        if is_near(got, 1 / (1 - decay), 1e-3):
            raise NotYet("That is the horizon. Which decay has it?")
        if is_near(got, period * (1 - decay), 1e-3):
            raise NotYet("That is u. Which decay has this u at the given period?")
        if not 0 <= got <= 1:
            raise NotYet(f"A decay lies between 0 and 1, and {got:.4g} does not.")
        if not is_near(got, decay, 1e-3) and is_near(got, _long_horizon(fraction, period), 1e-3):
            raise NotYet("That solves the limit of a long horizon. Solve the exact law.")
        if not is_near(got, decay, 1e-6):
            way = theory.step_fraction(got, period)
            if is_near(got, decay, 1e-3):
                raise NotYet("That is nearly it: search on, until six digits stand still.")
            told = f"At T = {period} your decay goes {way:.4f} of SGD's way, not {fraction:.4f}."
            turn = " The larger the decay, the shorter the way: which half do you keep?"
            raise NotYet(told + turn)


def _long_horizon(fraction: float, period: int) -> float:
    """The decay that solves 1 - (1 - e**-u)/u = fraction instead of the exact law."""
    low, high = 0.0, 1e6
    for _ in range(200):
        u = (low + high) / 2
        low, high = (u, high) if theory.step_fraction_limit(u) < fraction else (low, u)
    return 1 - low / period
