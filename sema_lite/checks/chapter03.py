"""Checks of the exercises in notebook 03, SWA and Lookahead."""

from __future__ import annotations

import math
from collections.abc import Callable

from .report import NotYet, answered, exercise, is_near, nearly, number

__all__ = ["lookahead_contraction", "running_mean", "snapshot_spacing"]


@exercise
def running_mean(answer: Callable[[float, int, float], float]) -> None:
    """The mean after one more value, from the mean and the count of those before."""
    try:
        first = answer(99.0, 0, 4.0)
    except ZeroDivisionError:
        raise NotYet("It divides by zero for count = 0: count the new value too.") from None
    got = number(answer(3.0, 4, 8.0))  # 3 + (8 - 3)/5 = 4
    if is_near(got, 5.5):
        raise NotYet("That gives the new value a share of one half, whatever the count.")
    if is_near(got, 3.0 + 5.0 / 6):
        raise NotYet("One too many: the new value is number count + 1, not count + 2.")
    if is_near(got, 8.0 + (3.0 - 8.0) / 5):
        raise NotYet("You swapped them: the value moves the mean, by a small share.")
    if is_near(got, 3.0 + 8.0 / 5):
        raise NotYet("The mean moves by a share of the DISTANCE to the value, not of the value.")
    nearly(got, 4.0, "Four values with mean 3 sum to 12. With a fifth one, 8, what is the mean?")
    nearly(first, 4.0, "With count = 0 the old mean is of nothing: the answer is the value itself.")
    nearly(answer(1.5, 999, 2.5), 1.501, "The 1000th value has a share of one thousandth.")


@exercise
def snapshot_spacing(answer: Callable[[float, float, float], int]) -> None:
    """The smallest whole number of steps after which the correlation is low enough."""
    raw = answered(answer(0.1, 1.0, 0.5))
    got = number(raw)
    if is_near(got, math.log(0.5) / math.log(0.9)):
        raise NotYet("Steps are whole: round that to the first number that is enough.")
    if is_near(got, 6):
        raise NotYet("After 6 steps the correlation is 0.9**6 = 0.53, still above 0.5.")
    if is_near(got, 8):
        raise NotYet("After 7 steps the correlation is 0.9**7 = 0.48, low enough already.")
    if got < 0:
        raise NotYet("Negative: both logarithms are of numbers below 1; look at the signs.")
    if is_near(got, 5):
        raise NotYet("5 steps would be (1 - 0.1*5) = 0.5; but shares multiply, step by step.")
    cases = [(0.1, 1.0, 0.5), (0.05, 2.0, 0.5), (0.1, 1.0, 0.05), (0.02, 1.0, 0.1), (0.5, 1, 0.5)]
    for lr, curvature, correlation in cases:
        r, steps = 1 - lr * curvature, 1
        while r**steps > correlation:
            steps += 1
        case = f"lr {lr:g}, curvature {curvature:g}, correlation {correlation:g}"
        got = number(answer(lr, curvature, correlation))
        if got != steps:
            what = "fewer would do" if got > steps else "that is too soon"
            raise NotYet(f"For {case} you get {got:g} steps: {what}.")


@exercise
def lookahead_contraction(answer: Callable[[float, int, float], float]) -> None:
    """The factor per step of Lookahead, from r, k and s."""
    r, k, s = 0.9, 5, 0.3
    got, wanted = number(answer(r, k, s)), (1 - s + s * r**k) ** (1 / k)
    if is_near(got, wanted**k):
        raise NotYet("That is the factor of a whole period. What is it per step?")
    if is_near(got, wanted**k / k):
        raise NotYet("A factor per period becomes one per step by a root, not by a division.")
    if is_near(got, (s + (1 - s) * r**k) ** (1 / k)):
        raise NotYet("s and 1 - s are swapped: the slow weights go the fraction s of the way.")
    if is_near(got, 1 - s + s * r) or is_near(got, (1 - s + s * r) ** (1 / k)):
        raise NotYet("That is right for k = 1 only: the fast weights take k steps in a period.")
    if is_near(got, (s * r**k) ** (1 / k)):
        raise NotYet("The slow weights keep 1 - s of their own distance; that part is missing.")
    nearly(answer(0.8, 7, 1.0), 0.8, "With s = 1 it must be r: Lookahead is then SGD itself.")
    nearly(answer(0.8, 1, 0.5), 0.9, "With k = 1 it must be 1 - s*(1 - r).")
    nearly(got, wanted, "Take one period: which share of the distance do the slow weights keep?")
    nearly(
        answer(0.5, 10, 0.2), (0.8 + 0.2 * 0.5**10) ** 0.1, "Wrong for r = 0.5, k = 10, s = 0.2."
    )
