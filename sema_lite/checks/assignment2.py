"""Checks of assignment A2, Switch EMA in pure Python. The graded tests use other numbers.

from sema_lite.checks import assignment2 as check
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .report import NotYet, answered, close, exercise, number

__all__ = [
    "carry_decay",
    "expected_switches",
    "repaired",
    "sema",
    "shown",
    "step_fraction",
    "switch_due",
    "switches_right",
    "way",
]

Loop = Callable[[int, int], tuple[float, list[int]]]


def shown(what: str, where: Any, answer: Callable[..., Any], *arguments: Any) -> None:
    """Print `answer(*arguments)`, or that it is not there yet: a demonstration stops nothing."""
    try:
        print(f"{what}, {where}: {answered(answer(*arguments)):.4f}")
    except NotImplementedError:
        print(f"{what}, {where}: not done yet.")
    except Exception as error:
        print(f"{what}, {where}: your answer stopped with {type(error).__name__}.")


@exercise
def switch_due(answer: Callable[..., Any]) -> None:
    """`answer(step, every, start)`: whether a switch is due after step 1, 2, ..."""

    def steps(every: int | None, start: int = 0) -> list[int]:
        return [k for k in range(1, 9) if answered(answer(k, every, start))]

    got = steps(4)
    if got == [1, 2, 3, 5, 6, 7]:
        raise NotYet("Those are all the other steps. What is the remainder when a switch is due?")
    if got in ([3, 7], [1, 5]):
        raise NotYet("With every 4 the first switch comes after step 4.")
    if got != [4, 8]:
        raise NotYet("With every 4 a switch is due after steps 4 and 8, and no other up to 8.")
    if steps(3, 2) != [5, 8]:
        raise NotYet("With every 3 and start 2 it is due after steps 5 and 8.")
    if steps(None):
        raise NotYet("every = None means never.")


@exercise
def sema(answer: Callable[..., Any]) -> None:
    """`answer(weights, decay, switch_every, start)`: an object with `average`, `switches` and
    `update()`."""
    weights = [4.0]
    mine = answer(weights, 0.75, 2)
    if not hasattr(mine, "average") or not hasattr(mine, "switches"):
        raise NotYet("__init__ should make self.average and self.switches.")
    weights[0] = 8.0
    if list(mine.average) != [4.0]:
        raise NotYet("The average moved before update(): is it a list of its own?")
    first = mine.update()
    if weights != [8.0]:
        raise NotYet("With switch_every 2 there is no switch after the first step.")
    if list(mine.average) == [7.0]:
        raise NotYet("Which share of the old average stays, with decay 0.75?")
    close(mine.average[0], 5.0, "Average 4, weight 8, decay 0.75: what is the next average?")
    weights[0] = 13.0
    second = mine.update()
    if list(mine.average) == [13.0]:
        raise NotYet("Which of the two is copied into the other?")
    if weights == [13.0]:
        raise NotYet("The list that the optimizer holds has not changed. Is it the same list?")
    if weights == [5.0]:
        raise NotYet("First the average takes in the step, then comes the switch.")
    close(weights[0], 7.0, "After the switch the live weight should be the average.")
    if (first, second) != (False, True):
        raise NotYet("update() returns whether it switched: here False, then True.")
    if mine.switches != 1:
        raise NotYet("switches should be 1 by now.")
    weights[0] = 0.0
    if list(mine.average) != [7.0]:
        raise NotYet("After a switch the average follows the optimizer: two lists became one.")


@exercise
def way(answer: Callable[..., Any]) -> None:
    """`answer(sema, decay, every, periods)`: the share of SGD's distance, measured."""
    from ..reference import SEMA

    got = number(answer(SEMA, 0.5, 2, 3))
    if math.isclose(got, 3.75):
        raise NotYet("That is the distance. SGD has covered six in these six steps.")
    if math.isclose(got, 1.875):
        raise NotYet("SGD's distance grows with the periods as well.")
    if math.isclose(got, 1.0):
        raise NotYet("The weight is where SGD would be: is update() called after each step?")
    close(got, 0.625, "Do decay 0.5, every 2 on paper: the weight goes 1, 2, and switches.")


@exercise
def step_fraction(answer: Callable[[float, int], Any]) -> None:
    """`answer(decay, every)`: the same share in closed form."""
    got = number(answer(0.5, 2))
    if math.isclose(got, 0.375):
        raise NotYet("That is the share which is lost.")
    if math.isclose(got, 1.25):
        raise NotYet("That is the distance of two steps. Divide by SGD's.")
    if math.isclose(got, 0.25):
        raise NotYet("The lag after the first step is d, not 1.")
    close(got, 0.625, "Decay 0.5 and two steps: task 3 gives 0.625.")
    close(number(answer(0.75, 1)), 0.25, "With a period of one step, all depends on 1 - d.")


@exercise
def carry_decay(answer: Callable[[float, int, int], Any]) -> None:
    """`answer(decay, old_period, new_period)`: the decay that keeps u."""
    got = number(answer(0.99, 200, 100))
    if math.isclose(got, 0.995):
        raise NotYet("Half as many steps per epoch: should the average look back longer?")
    if math.isclose(got, 0.02):
        raise NotYet("That is 1 - d' for the new decay d'.")
    if math.isclose(got, 1.98):
        raise NotYet("A decay is at most 1. Which number is carried over, d or 1 - d?")
    close(got, 0.98, "u is 2 with 200 steps. Which decay gives 2 with 100 steps?")
    close(number(answer(0.2, 100, 10)), 0.0, "When u cannot be kept, return 0.0.")


@exercise
def expected_switches(answer: Callable[..., Any]) -> None:
    """`answer(steps, every, start)`: the number of switches in a run."""
    said = answer(10, 4, 0)
    got = number(said)
    if got == 8:
        raise NotYet("Those are the steps without a switch.")
    if got == 2.5 or (got == 2 and isinstance(said, float)):
        raise NotYet("A number of switches is a whole number.")
    if got != 2:
        raise NotYet("With every 4 there are switches after steps 4 and 8: two in ten steps.")
    if number(answer(10, 4, 3)) != 1:
        raise NotYet("With start 3 the first one comes after step 7, and the next after step 11.")


@exercise
def repaired(answer: Callable[[int, int], Any]) -> None:
    """`answer(steps, every, decay, seed)`: the average and the log of the repaired loop."""
    _, log = answered(answer(10, 5))
    if log == [1, 2, 3, 4, 6, 7, 8, 9]:
        raise NotYet("It still switches where it should not. When is step % every false?")
    if log in ([4, 9], [1, 6]):
        raise NotYet("With every 5 the switches come after steps 5 and 10.")
    if log != [5, 10]:
        raise NotYet(f"With every 5 it switches after steps {log}.")
    if len(answer(12, 1)[1]) != 12:
        raise NotYet("With every 1 it should switch after each step.")
    if answer(10, 5)[0] == answer(10, 20)[0]:
        raise NotYet("The switches are noted but not made: nothing changes in the live weight.")


@exercise
def switches_right(answer: Callable[[Loop], Any]) -> None:
    """`answer(loop)`: whether a loop switches after the right steps."""

    def good(steps: int, every: int, *_: Any, **__: Any) -> Any:
        return 0.0, list(range(every, steps + 1, every))

    def bad(steps: int, every: int, *_: Any, **__: Any) -> Any:
        return 0.0, [k for k in range(1, steps + 1) if k % every]

    if answered(answer(good)) is not True:
        raise NotYet("A right loop should give True.")
    if answered(answer(bad)) is not False:
        raise NotYet("The loop of task 7 should give False.")
