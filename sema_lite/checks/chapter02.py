"""Checks of the exercises in notebook 02, noise on a quadratic."""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import theory
from .report import NotYet, exercise, is_near, number

__all__ = ["decay_for", "walkers_needed"]


@exercise
def walkers_needed(answer: Callable[[float], int]) -> None:
    """The smallest number of walkers that gives a variance a relative error of at most this."""
    got = number(answer(0.03))  # 2222.2 walkers
    if is_near(got, 1 / 0.03**2, 1e-3):
        raise NotYet("That is the rule for a mean. The error of a variance has a factor more.")
    if is_near(got, 2 / 0.03, 1e-2) or is_near(got, math.sqrt(2) / 0.03, 2e-2):
        raise NotYet(
            "An error three times smaller needs nine times the walkers: did you square the error?"
        )
    if got == 2224:
        raise NotYet(
            "One too many: n - 1 is for an unknown mean (chapter 01). Here it is known: 0."
        )
    if got == 2222:
        raise NotYet("Almost: with 2222 walkers the error is a little above 0.03. Round up.")
    for error in (0.03, 0.5, 0.7, 0.1, 0.01):
        n = number(answer(error))
        if not n.is_integer():
            raise NotYet(f"For {error:g} you get {n:g} walkers, which is not a whole number.")
        # An exact 2/error**2 may be off by its rounding, and then by one walker.
        if n < 1 or math.sqrt(2 / n) > error * (1 + 1e-9):
            raise NotYet(f"For {error:g} you get {n:g} walkers; their error is larger than that.")
        if n > 2 and math.sqrt(2 / (n - 1)) < error * (1 - 1e-9):
            raise NotYet(f"For {error:g} you get {n:g} walkers; fewer would do.")
    if number(answer(0.5)) > 8:
        raise NotYet(
            "Eight walkers are just enough for 0.5. Is a whole number rounded up too, "
            "or one that a square root made a little larger than 8?"
        )


@exercise
def decay_for(answer: Callable[[float, float, float], float]) -> None:
    """The decay at which the EMA's variance is a given share of SGD's."""
    share, lr, curvature = 0.25, 0.2, 0.5
    got = number(answer(share, lr, curvature))
    if not 0 < got < 1:
        raise NotYet(f"A decay lies between 0 and 1; yours is {got:g}. Is it the other solution?")
    if is_near(got, (1 - share) / (1 + share)):
        raise NotYet(
            "That is right for independent numbers, h = 1. Weights of a walk hang together."
        )
    if is_near(_ratio(1 - got, lr, curvature), share):
        raise NotYet("That is 1 - d: the weight of the new value, not of the old average.")
    if is_near(_ratio(got, lr, curvature), math.sqrt(share)):
        raise NotYet("The standard deviation has that share now. It is asked of the variance.")
    if is_near(_ratio(got, lr, curvature), 1 - share):
        raise NotYet("So much is taken away, but it is the share that should be left.")
    if is_near(_ratio(got, lr, 1.0), share):
        raise NotYet("Right for curvature 1 only: r is 1 - lr*curvature.")
    for case in ((0.25, 0.2, 0.5), (0.5, 0.1, 1.0), (0.05, 0.9, 1.0), (0.9, 0.02, 3.0)):
        seen = _ratio(number(answer(*case)), case[1], case[2])
        if not is_near(seen, case[0], 1e-4):
            raise NotYet(
                f"For share {case[0]:g}, lr {case[1]:g} and curvature {case[2]:g} your decay "
                f"leaves a share of {seen:.4f}."
            )


def _ratio(decay: float, lr: float, curvature: float) -> float:
    """V_EMA / V_SGD."""
    if not 0 <= decay <= 1:
        raise NotYet(f"A decay lies between 0 and 1; yours is {decay:g}.")
    v_sgd = theory.sgd_variance(lr, curvature, 1.0)
    return theory.ema_variance(lr, curvature, 1.0, decay) / v_sgd
