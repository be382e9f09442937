"""Checks of the exercises of chapter 08, flat or sharp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .report import NotYet, exercise, is_near, number

__all__ = ["flattest_factor", "quotient_along"]

Function = Callable[..., Any]


def _loss(w: list[float]) -> float:
    """A loss of three weights whose second derivatives are 6 + 6 w[0], 1 and -2, and no others."""
    return w[0] ** 3 + 3 * w[0] ** 2 + w[1] ** 2 / 2 - w[2] ** 2 + 2 * w[0] - w[1]


@exercise
def quotient_along(answer: Function) -> None:
    """`answer(loss, w, v)` is v.Hv / v.v at w, by three values of the loss."""
    curvatures, at_zero = (9.0, 1.0, -2.0), (6.0, 1.0, -2.0)
    w = [0.5, -1.0, 2.0]
    for v in ([1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.5]):
        kept, direction = list(w), list(v)
        got = number(answer(_loss, kept, direction))
        if kept != w or direction != v:
            raise NotYet("The lists that you are given belong to the caller: leave them alone.")
        length = sum(x * x for x in v)
        raw = sum(c * x * x for c, x in zip(curvatures, v, strict=True))
        right = raw / length
        slope = 5.75 * v[0] - 2 * v[1] - 4 * v[2]
        near = 1e-3 * (1 + abs(right))
        if abs(got - right) < near:
            continue
        if abs(got - raw) < near * length:
            raise NotYet("A longer v gives a larger number: divide by v.v.")
        if abs(got - raw / math.sqrt(length)) < near * math.sqrt(length):
            raise NotYet("Two lengths are in v.Hv, one for each v: divide by the length squared.")
        if abs(got - right / 2) < near:
            raise NotYet("Half of it: the parabola c/2 * t**2 has the second derivative c.")
        if abs(got - slope) < near or abs(got - slope / math.sqrt(length)) < near:
            raise NotYet("This is the slope along v. The curvature is how fast the slope changes.")
        elsewhere = sum(c * x * x for c, x in zip(at_zero, v, strict=True)) / length
        if abs(got - elsewhere) < near:
            raise NotYet("That is the curvature where all weights are 0. Start from w.")
        raise NotYet("Try loss(w + t v) - 2 loss(w) + loss(w - t v), and what to divide it by.")


@exercise
def flattest_factor(answer: Function) -> None:
    """`answer(a, b)` is the c for which the Hessian of (x*y - 1)**2/2 at (c*a, b/c) is smallest.

    On the valley a*b = 1 the Hessian's only eigenvalue besides 0 is x**2 + y**2.
    """
    for a, b in ((2.0, 0.5), (0.25, 4.0), (1.0, 1.0), (10.0, 0.1)):
        got, right = number(answer(a, b)), math.sqrt(b / a)
        if is_near(got, right, 1e-3):  # a search will do
            continue
        if is_near(got, 1 / right):
            raise NotYet("Upside down: that makes the larger of the two layers larger still.")
        if is_near(got, b / a) or is_near(got, a / b):
            raise NotYet("That swaps the two layers, which is just as sharp. Stop half-way.")
        if is_near(got, 1.0):
            raise NotYet("1 changes nothing: the layers are as unequal as they were.")
        if got <= 0:
            raise NotYet("A factor is above 0: a negative one turns the sign of a layer's output.")
        now, best = ((c * a) ** 2 + (b / c) ** 2 for c in (got, right))
        raise NotYet(
            f"At a = {a:g}, b = {b:g} your eigenvalue is {now:.4g}; {best:.4g} is possible."
        )
