"""Checks of the exercises in notebook 01, moving averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .report import NotYet, exercise, is_near, nearly, number

__all__ = ["debiased", "decay_for_half_life", "start_share"]


@exercise
def decay_for_half_life(answer: Callable[[float], float]) -> None:
    """The decay with which a share halves in the given number of steps."""
    got = number(answer(20.0))
    if is_near(got, 1 - 1 / 20):
        raise NotYet("That decay has a horizon of 20 steps. Its half-life is only about 13.5.")
    if is_near(got, math.log(0.5) / math.log(20.0)) or got < 0:
        raise NotYet("A decay lies between 0 and 1; is that the formula of the half-life itself?")
    if is_near(got, math.exp(-1 / 20)):
        raise NotYet("After 20 steps that leaves 1/e of a share, 37 %, and not one half.")
    if is_near(got, 1 - math.log(2) / 20):
        raise NotYet("0.69 horizons is right for long ones only. Which decay halves in 1 step?")
    if is_near(got, 1 - 0.5 ** (1 / 20)):
        raise NotYet("That is 1 - d: the share of the new value, not of the old average.")
    if got > 1:
        raise NotYet("A share must shrink from step to step: a decay above 1 makes it grow.")
    for half_life in (20.0, 1.0, 3.5, 1000.0):
        left = "After `half_life` steps, one half of a share must be left"
        nearly(answer(half_life), 0.5 ** (1 / half_life), f"{left}; look at {half_life:g} steps.")


@exercise
def debiased(answer: Callable[[list[float], float], float]) -> None:
    """The EMA of some values, started at zero, divided by the sum of the values' shares."""
    values, decay = [4.0, 6.0, 5.0, 7.0], 0.9
    given = list(values)
    got = number(answer(given, decay))
    if given != values:
        raise NotYet("Your function changes the list that it was given; leave that as it was.")
    biased = _ema(values, decay, 0.0)
    if is_near(got, biased):
        raise NotYet("That is the average from zero, still too small: the correction is missing.")
    if is_near(got, _ema(values[1:], decay, values[0])):
        raise NotYet("That average starts at the first value. Start it at zero, and correct.")
    if is_near(got, biased / (1 - decay)):
        raise NotYet("You divide by 1 - d, which is right after one update only. These were four.")
    if is_near(got, biased / (1 - decay ** (len(values) - 1))):
        raise NotYet("The power is one too small: count the updates, not the steps between them.")
    if is_near(got, biased / (1 - decay ** (len(values) + 1))):
        raise NotYet("The power is one too large: how many updates were there?")
    if is_near(got, sum(values) / len(values)):
        raise NotYet("That is the plain mean. The newest value must have the largest share.")
    if is_near(got, _ema(values, 1 - decay, 0.0) / (1 - (1 - decay) ** len(values))):
        raise NotYet("The decay is the share of the OLD average; you gave it to the new value.")
    nearly(answer([3.0], 0.99), 3.0, "The corrected average of one value is that value.")
    nearly(answer([5.0] * 50, 0.99), 5.0, "The corrected average of equal values is that value.")
    nearly(answer([1.0, 3.0], 0.5), 7 / 3, "For 1, 3 at decay 0.5 the shares are 1/3 and 2/3.")
    nearly(got, biased / (1 - decay ** len(values)), "Not the average of 4, 6, 5, 7 at decay 0.9.")


def _ema(values: Sequence[float], decay: float, start: float) -> float:
    average = start
    for value in values:
        average = decay * average + (1 - decay) * value
    return average


@exercise
def start_share(answer: Callable[[list[float]], float]) -> None:
    """The share that the start of an average still has after updates with the given decays."""
    decays = [0.2, 0.5, 0.9]
    got = number(answer(list(decays)))
    if is_near(got, 0.8 * 0.5 * 0.1):
        raise NotYet("You multiply 1 - d, the shares of new values. The start keeps d each time.")
    if is_near(got, 1 - 0.2 * 0.5 * 0.9):
        raise NotYet("That is the share of everything but the start.")
    if is_near(got, 0.9**3) or is_near(got, 0.2**3):
        raise NotYet("That uses one of the decays three times; here they differ.")
    mean = sum(decays) / 3
    if any(is_near(got, sum_of_shares) for sum_of_shares in (3 * mean, mean, mean**3)):
        raise NotYet("Shares of shares are not added: after two updates 0.5 is left of 0.2.")
    nearly(got, 0.09, "After decays 0.2, 0.5 and 0.9, take 0.9 of 0.5 of 0.2.")
    nearly(answer([0.99] * 100), 0.99**100, "With 100 equal decays d it must be d**100.")
    nearly(answer([0.0, 0.5]), 0.0, "A decay of 0 throws the start away for good.")
    before = "Before any update the average is the start: its share is 1"
    try:
        untouched = answer([])
    except (IndexError, TypeError):
        raise NotYet(f"{before}. Yours stops at an empty list.") from None
    nearly(untouched, 1.0, f"{before}.")
