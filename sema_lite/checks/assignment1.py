"""Checks of assignment A1, averages by hand. The graded tests use other numbers.

from sema_lite.checks import assignment1 as check
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .report import NotYet, answered, close, exercise, number

__all__ = ["averager", "debiased", "decay_like_mean", "ema", "half_life", "shares", "swa"]

Mistakes = Sequence[tuple[Sequence[float], str]]


def numbers(got: Any, wanted: Sequence[float], mistakes: Mistakes, hint: str) -> None:
    """Raise `NotYet` unless `got` is the list `wanted`: with the hint of a known mistake, or
    with `hint`."""
    got = answered(got)
    if not isinstance(got, list):
        raise NotYet(f"Return a list; this was a {type(got).__name__}.")
    if near(got, wanted):
        return
    for wrong, known in mistakes:
        if near(got, wrong):
            raise NotYet(known)
    if len(got) != len(wanted):
        raise NotYet(f"The list has {len(got)} numbers; it should have {len(wanted)}. {hint}")
    raise NotYet(hint)


def near(got: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether two lists hold the same numbers, to nine digits."""
    return len(got) == len(wanted) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(got, wanted, strict=True)
    )


@exercise
def ema(answer: Callable[[list[float], float], Any]) -> None:
    """`answer(values, decay)`: the average after each value, started at the first one."""
    values = [4.0, 8.0, 0.0]
    got = answer(values, 0.75)
    if values != [4.0, 8.0, 0.0]:
        raise NotYet("Your function changes the list that it is given.")
    mistakes = [
        ([4.0, 7.0, 1.75], "Which share stays, and which one is new? A decay of 0.75 keeps much."),
        ([1.0, 2.75, 2.0625], "Where does the average start?"),
        ([5.0, 3.75], "The average after the first value belongs to the list as well."),
    ]
    numbers(got, [4.0, 5.0, 3.75], mistakes, "Do [4, 8, 0] with decay 0.75 on paper.")
    wanted = [3.0, 5 / 3, 11 / 9]
    known = "Round nothing: return the numbers as they come out."
    rounded = [([round(value, k) for value in wanted], known) for k in range(1, 9)]
    hint = "Do [3, 1, 1] with decay 1/3: it should give 3, 5/3 and 11/9."
    numbers(answer([3.0, 1.0, 1.0], 1 / 3), wanted, rounded, hint)


@exercise
def half_life(answer: Callable[[float], Any]) -> None:
    """`answer(decay)`: the steps after which a share has halved."""
    got = number(answer(0.5))
    if got == -1.0:
        raise NotYet("A number of steps is not negative: look at the signs of your logarithms.")
    if got == 2.0:
        raise NotYet("For decay 0.5 that is the horizon. When has a share of 1 become 0.5?")
    close(got, 1.0, "With decay 0.5 a share halves in each step.")
    close(number(answer(0.25)), 0.5, "With decay 0.25 a single step is two halvings.")


@exercise
def shares(answer: Callable[[float, int], Any]) -> None:
    """`answer(decay, steps)`: the shares of the start and of each value, oldest first."""
    mistakes = [
        ([0.25, 0.5], "The start has a share as well."),
        ([0.5, 0.25, 0.25], "Oldest first: the newest value comes last."),
        ([0.125, 0.25, 0.5], "The start was never multiplied by 1 - decay."),
    ]
    hint = "Write the average out for two steps; the shares sum to one."
    numbers(answer(0.5, 2), [0.25, 0.25, 0.5], mistakes, hint)
    got = answered(answer(0.75, 1))
    swapped = [([0.25, 0.75], "Which share does a single value get with decay 0.75?")]
    numbers(got, [0.75, 0.25], swapped, "Look at decay 0.75 and a single step.")


@exercise
def averager(answer: Callable[[list[float], float], Any]) -> None:
    """`answer(weights, decay)`: an object with `live`, `average` and `update()`."""
    weights = [4.0, 10.0]
    mine = answer(weights, 0.75)
    for name in ("live", "average"):
        if not hasattr(mine, name):
            raise NotYet(f"__init__ should make self.{name}.")
    weights[:] = [8.0, 10.0]
    if list(mine.average) == [8.0, 10.0]:
        raise NotYet("The average moved before update(): is it a list of its own?")
    if list(mine.live) == [4.0, 10.0]:
        raise NotYet("live does not see what the optimizer does: it should be that very list.")
    mine.update()
    if weights != [8.0, 10.0]:
        raise NotYet("update() changes the live weights.")
    mistakes = [([7.0, 10.0], "Which share of the old average stays, with decay 0.75?")]
    hint = "The averages 4 and 10, the weights 8 and 10, decay 0.75: what comes out?"
    numbers(list(mine.average), [5.0, 10.0], mistakes, hint)


@exercise
def swa(answer: Callable[..., Any]) -> None:
    """`answer(weights, start, every)`: an object with `average`, `snapshots` and `update()`."""
    weights = [100.0]
    mine = answer(weights)
    if not hasattr(mine, "average"):
        raise NotYet("__init__ should make self.average.")
    for k, wanted in ((1, 2.0), (2, 3.0), (3, 4.0)):
        weights[0] = 2.0 * k
        mine.update()
        mistakes = [
            ([51.0], "The first snapshot replaces the average: what counted here before it?"),
            ([4.5], "How much should the third of three snapshots count?"),
            ([2.0 * k], "Only the last snapshot is left."),
        ]
        hint = f"Snapshots 2, 4, 6: the mean of the first {k} is another number."
        numbers(list(mine.average), [wanted], mistakes, hint)
    if getattr(mine, "snapshots", None) != 3:
        raise NotYet("self.snapshots should count the snapshots: three by now.")
    late = answer(weights, 1, 2)
    for value in (1.0, 2.0, 3.0):
        weights[0] = value
        late.update()
        if value == 1.0 and list(late.average) != [1.0]:
            raise NotYet("With start 1 the average is a copy of the live weights after call 1.")
    if list(late.average) != [3.0]:
        raise NotYet("With start 1 and every 2 the first snapshot is taken at call 3.")


@exercise
def debiased(answer: Callable[[list[float], float], Any]) -> None:
    """`answer(values, decay)`: an EMA from 0, divided by the share of the values in it."""
    mistakes = [
        ([1.0, 3.0], "Nothing is divided yet."),
        ([2.0, 14 / 3], "Feed the average back as it was, not the repaired one."),
        ([4.0 / 3, 24.0 / 7], "Off by one: what is the share of the start after one update?"),
        ([2.0, 6.0], "The share of the values is not the same after each update."),
    ]
    hint = "After one update the repaired average is the value itself. Do 2, 5 with decay 0.5."
    numbers(answer([2.0, 5.0], 0.5), [2.0, 4.0], mistakes, hint)


@exercise
def decay_like_mean(answer: Callable[[int], Any]) -> None:
    """`answer(n)`: the decay of the EMA as calm as a mean of n values."""
    got = number(answer(3))
    if math.isclose(got, 2 / 3):
        raise NotYet("That EMA has the horizon 3. Set the two variances equal instead.")
    if math.isclose(got, 3 / 4):
        raise NotYet("Try n = 1: a mean of one value is that value.")
    close(got, 0.5, "For n = 3 the variance should be 1/3. Which d gives that?")
