"""Checks of the exercises of chapter 11, a free lunch?"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from ..verdicts import Claim, chosen_elsewhere
from .report import NotYet, answered, close, exercise, is_near, number, pair

__all__ = ["best_elsewhere", "lucky_table", "own_row"]

Function = Callable[..., Any]


@exercise
def lucky_table(answer: Function) -> None:
    """`answer(rows, level)`: chance of a false alarm in a table, and the level that shares it."""
    for rows, level in ((30, 0.05), (7, 0.01), (1, 0.05)):
        values = pair(answer(rows, level), "the chance and the level of a row")
        chance, each = map(number, values)
        if rows > 1 and (is_near(chance, rows * level) or chance == 1):  # cut off at 1
            raise NotYet(
                "That is how many false alarms there are on average: it can exceed 1. What is the "
                "chance that there is at least one?"
            )
        if rows > 1 and is_near(chance, rows * level * (1 - level) ** (rows - 1)):
            raise NotYet("That is the chance of exactly one false alarm. Two count as well.")
        if is_near(chance, (1 - level) ** rows):
            raise NotYet("That is the chance that no row gives a false alarm.")
        if rows > 1 and is_near(chance, level**rows):
            raise NotYet("That is the chance that all rows give a false alarm at once.")
        close(chance, 1 - (1 - level) ** rows, "The chance differs: begin with one row, then two.")
        if rows > 1 and is_near(each, level):
            raise NotYet("The level of a row is that of the whole table: it has to be shared.")
        if rows > 1 and is_near(each, level * rows):
            raise NotYet("That makes each row easier, and not stricter.")
        if rows > 1 and is_near(each, 1 - (1 - level) ** (1 / rows)):
            raise NotYet(
                "That is exact where the rows are independent (Sidak). Bonferroni's, which needs "
                "no such thing, is asked for: it is simpler, and a little stricter."
            )
        close(each, level / rows, "The level of a row is not the table's, shared evenly.")


@exercise
def best_elsewhere(answer: Function) -> None:
    """`answer(scores)`: at each seed the score of the setting that the other seeds choose."""
    draws = random.Random(7)
    noise = [[draws.gauss(0, 1) for _ in range(6)] for _ in range(8)]
    apart = [[0.0, 9.0, 1.0], [4.0, 3.0, 5.0], [2.0, 2.0, 2.0]]
    for scores in (noise, apart):
        value = answered(answer([list(row) for row in scores]))
        if not isinstance(value, (list, tuple)) or len(value) != len(scores[0]):
            raise NotYet(f"Return a list with a score for each of the {len(scores[0])} seeds.")
        got, seeds = [number(x) for x in value], range(len(scores[0]))
        luckiest = [max(row[seed] for row in scores) for seed in seeds]
        if _alike(got, luckiest):
            raise NotYet("That takes the luckiest setting at each seed: it has seen the answer.")
        if _alike(got, max(scores, key=sum)):
            raise NotYet(
                "One setting for all, the best of the table: each seed has helped to choose it. "
                "The seed that judges must have no voice."
            )
        worst = [-x for x in chosen_elsewhere([[-x for x in row] for row in scores])]
        if _alike(got, worst):
            raise NotYet("That takes the worst setting: more is better here.")
        means = [max((sum(row) - row[seed]) / (len(row) - 1) for row in scores) for seed in seeds]
        if _alike(got, means):
            raise NotYet("That is the mean by which one chooses; return the score at this seed.")
        if not _alike(got, chosen_elsewhere(scores)):
            raise NotYet("At some seed another setting has the best mean over the other seeds.")


def _alike(got: Sequence[float], other: Sequence[float]) -> bool:
    return all(is_near(a, b) for a, b in zip(got, other, strict=True))


@exercise
def own_row(make: Function) -> None:
    """`make()` is a whole row: a claim with experiment, control, seeds, error and margin."""
    row = answered(make())
    if not isinstance(row, Claim):
        raise NotYet(f"Return a verdicts.Claim, not a {type(row).__name__}: see measured().")
    if not row.claim.strip() or not row.experiment.strip():
        raise NotYet("Say in words what is claimed, and by which experiment it was tested.")
    if row.effect is None:
        raise NotYet("Nothing was measured. Is a list of scores empty, is the setting stored?")
    if row.effect.error is None or row.effect.n < 2:
        raise NotYet("A single seed has no error, and can show nothing.")
    if not math.isfinite(row.effect.mean):
        raise NotYet("The effect is not a finite number.")
    if row.effect.mean == 0 and row.effect.error == 0:
        raise NotYet(
            "Method and baseline are the same numbers: was one of them compared with itself?"
        )
    if not row.unit.strip():
        raise NotYet("In which unit is the effect? Without it the margin means nothing.")
    if row.rival is None or row.rest is None or not row.control.strip():
        raise NotYet("It has no control. What else could do the same, and what did it do here?")
    if row.rest.mean == 0 and row.rest.error == 0:
        raise NotYet("The control is the method itself: it will always do the same.")
    if row.rival.mean == 0 and row.rival.error == 0:
        raise NotYet("The control is the baseline itself: it can never do the same.")
