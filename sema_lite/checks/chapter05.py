"""Checks of the exercises of chapter 05, toy landscapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..landscapes import check_landscape, check_number, walk
from ..reference import EMA
from .report import NotYet, answered, exercise, nearly, pair

__all__ = ["own_landscape", "share_with_error", "survives", "two_layers_gradient"]

Function = Callable[..., Any]


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    """`pair`, for which an array or a tensor of two numbers is as good as a tuple."""
    return pair(value.tolist() if hasattr(value, "tolist") else value, what)


@exercise
def two_layers_gradient(gradient: Function) -> None:
    """`gradient(x, y)` is the gradient of (x*y - 1)**2 / 2."""
    # Not (0.5, 3) first: there x*y - 1 is a half, and two mistakes give the same numbers.
    for x, y in ((-1.5, 0.25), (0.5, 3.0), (2.0, 0.5)):
        got_x, got_y = _pair(gradient(x, y), "d loss/dx and d loss/dy")
        miss = x * y - 1
        if miss and math.isclose(got_x, miss * x) and math.isclose(got_y, miss * y):
            raise NotYet("The two slopes are swapped: dx asks how fast x*y grows with x.")
        if miss and math.isclose(got_x, -miss * y) and math.isclose(got_y, -miss * x):
            raise NotYet("The sign is wrong: the gradient points uphill, the walker turns it.")
        if miss and math.isclose(got_x, 2 * miss * y) and math.isclose(got_y, 2 * miss * x):
            raise NotYet("Twice too large: the loss has a half in front of its square.")
        if miss and math.isclose(got_x, miss) and math.isclose(got_y, miss):
            raise NotYet("The chain rule asks for one more factor: the slope of x*y itself.")
        if miss and math.isclose(got_x, y) and math.isclose(got_y, x):
            raise NotYet("That is the slope of x*y alone; the square around it has one as well.")
        nearly(got_x, miss * y, f"At ({x:g}, {y:g}) the slope along x differs: ask slopes().")
        nearly(got_y, miss * x, f"At ({x:g}, {y:g}) the slope along y differs: ask slopes().")


@exercise
def share_with_error(answer: Function) -> None:
    """`answer(hits, walkers)` is the share and its binomial standard error."""
    # Not (90, 100) first: there a number of hits looks like a share in per cent.
    for hits, walkers in ((500, 2000), (90, 100), (0, 50)):
        share, error = _pair(answer(hits, walkers), "the share and its standard error")
        right = hits / walkers
        variance = right * (1 - right)
        if math.isclose(share, 100 * right) and hits:
            raise NotYet("A share lies between 0 and 1: this one is in per cent.")
        nearly(share, right, "The share is the number of hits divided by the number of walkers.")
        if hits and math.isclose(error, variance**0.5):
            raise NotYet(
                "That is the deviation of one walker. Divide its variance by n, before the root."
            )
        if hits and math.isclose(error, variance / walkers):
            raise NotYet("That is the variance of the share. An error is its square root.")
        if hits and math.isclose(error, (hits * (1 - right)) ** 0.5):
            raise NotYet("That is the error of the number of hits, not of their share.")
        if math.isclose(error, (variance / max(1, walkers - 1)) ** 0.5) and hits:
            raise NotYet("Nearly: for a share one divides by the number of walkers itself.")
        nearly(
            error,
            (variance / walkers) ** 0.5,
            "Your error is not that of a share: follow the hint, from one walker's variance on.",
        )


def _factor(h: float, decay: float, period: int) -> float:
    live = mean = 1.0
    for _ in range(period):
        live -= h * live
        mean = decay * mean + (1 - decay) * live
    return mean


SURVIVALS = (  # (lr, curvature, decay, switch_every), and what to say when it is wrong
    ((0.05, 20.0, 0.9, 20), "Below 2/curvature every method survives."),
    ((0.12, 20.0, 0.9, 5), "The limit 2/curvature is that of SGD; a switch may move it."),
    ((0.12, 20.0, 0.9, 20), "Twenty steps are too many here: the average grows as well."),
    ((0.4, 10.0, 0.9, 1), "With T = 1 SEMA is SGD with a smaller learning rate: see chapter 04."),
    ((0.36, 10.0, 0.9, 3), "Here the factor is negative but small: compare its size with 1."),
    ((0.40, 10.0, 0.9, 3), "Here the factor is below -1: that grows too, and flips each time."),
    ((0.28, 10.0, 0.9, 2), "This one survives: it is the average that the switch keeps."),
    ((3.5, 1.0, 0.99, 2), "It is the average that is carried from switch to switch."),
)


@exercise
def survives(answer: Function) -> None:
    """`answer(lr, curvature, decay, switch_every)`: is SEMA stable on a parabola?"""
    answered(answer(*SURVIVALS[0][0]))  # a stub returns nothing here either, where SEMA survives
    for (lr, curvature, decay, period), hint in SURVIVALS:
        got = answer(lr, curvature, decay, period)
        got = got.item() if hasattr(got, "item") else got  # numpy's and torch's True
        if not isinstance(got, bool):
            raise NotYet(f"Return True or False, not {got!r:.60}.")
        if got != (abs(_factor(lr * curvature, decay, period)) < 1):
            where = f"lr {lr:g}, curvature {curvature:g}, decay {decay:g}, period {period}"
            raise NotYet(f"Wrong for {where}. {hint}")


@exercise
def own_landscape(make: Function) -> None:
    """`make()` is a landscape: it has all that a walk needs, and its gradient is its loss's."""
    import torch

    mine = answered(make())
    check_landscape(mine)
    try:
        check_number("noise", mine.noise, least=0)
    except (TypeError, ValueError) as error:
        raise NotYet(f"{error}.") from None
    left, right, low, high = mine.window
    if not (left < right and low < high):
        raise NotYet("window is x_min, x_max, y_min, y_max, each pair in rising order.")
    places = [
        (left + (right - left) * i / 4, low + (high - low) * j / 4)
        for i in range(1, 4)
        for j in range(1, 4)
    ]
    step = 1e-5 * max(right - left, high - low)
    for x, y in places:
        dx, dy = pair(mine.grad(x, y), "d loss/dx and d loss/dy")
        answered(mine.loss(x, y))
        slope_x = (mine.loss(x + step, y) - mine.loss(x - step, y)) / (2 * step)
        slope_y = (mine.loss(x, y + step) - mine.loss(x, y - step)) / (2 * step)
        size = max(1.0, abs(slope_x), abs(slope_y))
        if max(abs(dx - slope_x), abs(dy - slope_y)) > 1e-4 * size:
            at = f"At ({x:.2f}, {y:.2f})"
            raise NotYet(f"{at} grad is not the slope of loss: compare it with slopes().")
    if not mine.minima:
        raise NotYet("minima is empty: name at least one point.")
    try:
        minima = [(x, y) for x, y in mine.minima]
    except (TypeError, ValueError):
        raise NotYet("minima holds points, also when it is only one: ((x, y),).") from None
    for x, y in minima:
        around = ((x + a * step * 100, y + b * step * 100) for a in (-1, 0, 1) for b in (-1, 0, 1))
        if mine.loss(x, y) > min(mine.loss(u, v) for u, v in around) + 1e-12:
            raise NotYet(f"({x:g}, {y:g}) is in minima, but a neighbour of it is lower.")
    x_values, y_values = torch.tensor(places, dtype=torch.float64).T
    try:
        many = mine.loss(x_values, y_values) + sum(mine.grad(x_values, y_values))
    except Exception:
        raise NotYet("It takes floats, but no tensors: use + - * / ** only.") from None
    one = [mine.loss(x, y) + sum(mine.grad(x, y)) for x, y in places]
    if not torch.allclose(many, torch.tensor(one, dtype=torch.float64)):
        raise NotYet("Tensors and floats get different numbers: use + - * / ** only.")
    path = walk(mine, EMA, lr=1e-3, steps=20, noise=0.0)
    if not mine.loss(*path.live[-1]) < mine.loss(*path.live[0]):
        raise NotYet(
            "Twenty steps of lr 0.001 from start do not go down: is it the bottom, or very steep?"
        )
