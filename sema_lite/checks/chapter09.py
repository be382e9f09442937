"""Checks of the exercises of chapter 09, CIFAR-10."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from .report import NotYet, answered, exercise, is_near, nearly, number

__all__ = ["cutout", "epochs_to_stay", "pooled_variance"]

Function = Callable[..., Any]


def _cut(image: list[list[int]], y: int, x: int, size: int) -> list[list[int]]:
    rows, columns = range(y, y + size), range(x, x + size)
    return [
        [0 if i in rows and j in columns else value for j, value in enumerate(row)]
        for i, row in enumerate(image)
    ]


def _zeros(image: Any) -> set[tuple[int, int]]:
    return {(i, j) for i, row in enumerate(image) for j, value in enumerate(row) if not value}


@exercise
def cutout(answer: Function) -> None:
    """`answer(image, y, x, size)`: a copy of `image`, a list of rows, with zeros in the square of
    `size` whose upper left corner is row y, column x. What lies outside the image is left out."""
    for height, width, y, x, size in (
        (5, 6, 1, 2, 2),
        (5, 6, 3, 4, 4),
        (5, 6, -1, -2, 3),
        (4, 4, -3, 1, 3),
        (3, 3, 0, 0, 1),
    ):
        image = [[1 + i * width + j for j in range(width)] for i in range(height)]
        before, wanted = [list(row) for row in image], _cut(image, y, x, size)
        got = answered(answer(image, y, x, size))
        place = f"a square of {size} at row {y}, column {x} of {height} x {width} pixels"
        if image != before:
            raise NotYet("Your function changed the image that it was given: copy its rows first.")
        if [len(row) for row in got] != [width] * height:
            raise NotYet(f"An image keeps its size: for {place} yours has another one.")
        found, right = _zeros(got), _zeros(wanted)
        if found == _zeros(_cut(image, x, y, size)) != right:
            raise NotYet("Rows and columns are swapped: y counts rows, x counts columns.")
        if found == _zeros(_cut(image, y, x, size + 1)) != right:
            raise NotYet(f"One pixel too many on each side: {place}.")
        if y < 0 and any(i >= y + size for i, j in found - right):
            raise NotYet("A negative index counts from the end: pixels on the other side are gone.")
        if found != right and len(found) == len(right):
            told = f"For {place} yours has as many zeros as wanted, but at another place:"
            raise NotYet(f"{told} y, x is the square's upper left corner.")
        if found != right:
            raise NotYet(f"For {place}, {len(right)} pixels are zero; yours has {len(found)}.")
        if [list(row) for row in got] != wanted:
            raise NotYet("Pixels outside the square must stay as they are.")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@exercise
def pooled_variance(answer: Function) -> None:
    """`answer(means, variances)`: the variance over the examples of all batches, of equal size,
    from each batch's mean and its variance (divided by the size, not by the size minus 1)."""
    draw = random.Random(9)
    for batches, size in ((2, 4), (3, 1), (5, 10)):
        # Means that differ, so that each mistake gives a number of its own.
        groups = [[draw.gauss(2 * k, 1 + k) for _ in range(size)] for k in range(batches)]
        means = [_mean(group) for group in groups]
        variances = [
            _mean([(value - mean) ** 2 for value in group])
            for group, mean in zip(groups, means, strict=True)
        ]
        every = [value for group in groups for value in group]
        middle = _mean(every)
        wanted = _mean([(value - middle) ** 2 for value in every])
        got, inside = number(answer(list(means), list(variances))), _mean(variances)
        between = wanted - inside
        n = batches
        mistakes = [
            (inside, "The means differ from batch to batch, and that is variance as well."),
            (between, "That is the variance of the means; each batch varies inside, too."),
            (inside + between * n / (n - 1), "Divide by the number of batches, not by one less."),
            (inside + _mean([m**2 for m in means]), "Squared distances from the mean, not from 0."),
            (sum(variances) + between, "The batches' variances are averaged, not added up."),
            (math.sqrt(wanted), "That is the standard deviation: the square is asked."),
            (inside - between, "The two parts are added: a spread of the means cannot help."),
        ]
        for wrong, hint in mistakes:
            if is_near(got, wrong) and not is_near(wrong, wanted):
                raise NotYet(hint)
        nearly(got, wanted, f"For {batches} batches of {size} it is another number.")


def _from_then_on(curve: list[float], level: float) -> int | None:
    last_below = max((k for k, value in enumerate(curve, 1) if value < level), default=0)
    return None if last_below == len(curve) else last_below + 1


@exercise
def epochs_to_stay(answer: Function) -> None:
    """`answer(curve, level)`: the first epoch, counted from 1, from which on the accuracy never
    falls below `level` again; None if there is none."""
    curves = (
        ([0.2, 0.3, 0.5, 0.6, 0.7], 0.5),  # rises
        ([0.2, 0.5, 0.4, 0.6, 0.7], 0.5),  # falls back once
        ([0.2, 0.6, 0.7, 0.8, 0.4], 0.5),  # and never comes back
        ([0.1, 0.2, 0.3], 0.5),
        ([0.6, 0.7], 0.5),  # from the beginning
    )
    for curve, level in curves:
        got, wanted = answer(list(curve), level), _from_then_on(curve, level)
        if got is None and wanted is not None and curve is curves[0][0]:
            raise NotImplementedError  # a stub
        if got is ...:
            raise NotImplementedError
        first = next((k for k, value in enumerate(curve, 1) if value >= level), None)
        shown = f"For {curve} and the level {level}"
        if wanted is None and got is not None:
            if got == first:
                raise NotYet(f"{shown}: it crosses the level and falls back. There is no such one.")
            raise NotYet(f"{shown} there is no such epoch: return None, and not {got!r:.20}.")
        if got == wanted and not isinstance(got, bool):
            continue
        if got == first:
            raise NotYet(f"{shown}: a noisy curve crosses by luck, and then falls below again.")
        if wanted is not None and got == wanted - 1:
            raise NotYet(f"{shown}: epochs are counted from 1.")
        if level in curve and wanted == curve.index(level) + 1 and got == wanted + 1:
            raise NotYet(f"{shown}: to be at the level is enough, it need not be above.")
        raise NotYet(f"{shown} the answer is another one than {got!r:.20}.")
