"""Checks of the exercises of chapter 07, two circles."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .report import NotYet, close, exercise, is_near, nearly, number, pair

__all__ = ["calibration_error", "nll_from_logits", "paired_error"]


@exercise
def nll_from_logits(answer: Callable[[list[float], int], float]) -> None:
    """`answer(logits, label)`: minus the logarithm of the softmax probability of the label."""
    logits, label = [2.0, -1.0, 0.5], 2
    given = list(logits)
    got = number(answer(given, label))
    if given != logits:
        raise NotYet("Your function changes the list that it was given; leave that as it was.")
    exact = _nll(logits, label)
    if is_near(got, math.exp(-exact)):
        raise NotYet("That is the probability itself. Its logarithm is missing, and the sign.")
    if is_near(got, -exact):
        raise NotYet("A probability is below 1, its logarithm below 0: the minus is missing.")
    if is_near(got, -logits[label]):
        raise NotYet("A logit alone says nothing: what counts is how it stands to the others.")
    if is_near(got, exact / math.log(2)) or is_near(got, exact / math.log(10)):
        raise NotYet("Another base: the natural logarithm is meant, and the unit is nats.")
    if is_near(got, 1 - math.exp(-exact)):
        raise NotYet("That is the probability of being wrong. NLL is a logarithm.")
    others = sum(math.exp(z) for i, z in enumerate(logits) if i != label)
    if is_near(got, math.log(others) - logits[label]):
        raise NotYet("The sum below the line has all classes, that of the label too.")
    if is_near(got, exact - max(logits)):
        raise NotYet("The largest logit, taken out of the sum, comes back outside the logarithm.")
    if any(is_near(got, _nll(logits, other)) for other in (0, 1)):
        raise NotYet("That is the NLL of another class: `label` is an index, counted from 0.")
    nearly(got, exact, f"For logits {logits} and label {label} it is another number.")
    nearly(answer([0.0] * 4, 1), math.log(4), "Four equal logits: each class has 1/4.")
    try:
        large = number(answer([1000.0, 998.0], 1))
    except (OverflowError, ValueError, ZeroDivisionError):
        large = math.nan
    too_large = "exp(1000) is too large for a float. The same shift of all logits is free."
    if not is_near(large, 2 + math.log1p(math.exp(-2))):
        raise NotYet(too_large)
    try:
        small = number(answer([0.0, -1000.0], 1))
    except OverflowError:  # each logit minus that of the label, which may be the smallest
        raise NotYet(f"{too_large} Is what you take off always the largest?") from None
    except (ValueError, ZeroDivisionError):
        small = math.nan
    if not is_near(small, 1000.0):
        raise NotYet("exp(-1000) is 0, and has no logarithm. Which part is known without exp?")


def _nll(logits: Sequence[float], label: int) -> float:
    top = max(logits)
    return top + math.log(sum(math.exp(z - top) for z in logits)) - logits[label]


@exercise
def calibration_error(answer: Callable[[list[float], list[bool], int], float]) -> None:
    """`answer(confidences, right, bins)`: the ECE; a bin holds its lower edge, the last one 1."""
    confidences = [0.625, 0.65, 0.71, 0.74, 0.88, 0.95]
    right = [True, True, False, True, True, False]
    got = number(answer(list(confidences), list(right), 4))
    gaps = _gaps(confidences, right, 4)
    exact = sum(count * abs(gap) for count, gap in gaps) / 6
    sizes = [abs(gap) for _, gap in gaps]
    if is_near(got, 100 * exact):
        raise NotYet("That is in per cent. ECE lies between 0 and 1.")
    if is_near(got, sum(count * gap for count, gap in gaps) / 6) or is_near(
        got, -sum(count * gap for count, gap in gaps) / 6
    ):
        raise NotYet("Too sure in one bin and not sure enough in another must not cancel.")
    if is_near(got, statistics.fmean(sizes)) or is_near(got, sum(sizes) / 4):
        raise NotYet("Every bin counts the same in yours. A bin counts by its number of answers.")
    if is_near(got, sum(count * abs(gap) for count, gap in gaps)):
        raise NotYet("You add up the answers of each bin; their share of all answers is meant.")
    if is_near(got, sum(count * gap**2 for count, gap in gaps) / 6):
        raise NotYet("Those are squared gaps. The size of the gap is meant.")
    if is_near(got, max(sizes)):
        raise NotYet("That is the largest gap, not their mean.")
    middles = _gaps(confidences, right, 4, middle=True)
    if is_near(got, sum(count * abs(gap) for count, gap in middles) / 6):
        raise NotYet("You compare with the middle of the bin, not with the mean confidence in it.")
    nearly(got, exact, "Wrong for six answers in four bins; two of them have answers.")
    try:
        one = number(answer([1.0, 1.0], [True, False], 5))
    except (IndexError, KeyError, ZeroDivisionError):
        raise NotYet("It stops at a confidence of exactly 1, which is in the last bin.") from None
    close(one, 0.5, "Two answers with confidence 1, one of them right: the gap is one half.")
    edge = number(answer([0.5, 0.75], [False, True], 2))
    close(edge, 0.125, "With two bins 0.5 and 0.75 share the upper one: a bin holds its low edge.")
    wanted = sum(count * abs(gap) for count, gap in _gaps(confidences, right, 10)) / 6
    nearly(answer(confidences, right, 10), wanted, "Right for four bins, wrong for ten.")


def _gaps(
    confidences: Sequence[float], right: Sequence[bool], bins: int, middle: bool = False
) -> list[tuple[int, float]]:
    """For each bin with answers: how many, and accuracy - confidence."""
    found = []
    for i in range(bins):
        inside = [j for j, c in enumerate(confidences) if min(int(c * bins), bins - 1) == i]
        if inside:
            confidence = statistics.fmean(confidences[j] for j in inside)
            accuracy = statistics.fmean(right[j] for j in inside)
            found.append((len(inside), accuracy - ((i + 0.5) / bins if middle else confidence)))
    return found


@exercise
def paired_error(answer: Callable[[list[float], list[float]], tuple[float, float]]) -> None:
    """`answer(one, other)`: mean of one - other over the seeds, and its standard error."""
    one, other = [0.90, 0.86, 0.92, 0.83, 0.89], [0.88, 0.87, 0.89, 0.82, 0.88]
    result = pair(answer(list(one), list(other)), "the mean difference and its standard error")
    mean, error = map(number, result)
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    right, spread = statistics.fmean(gaps), statistics.stdev(gaps)
    if is_near(mean, -right):
        raise NotYet("The sign is turned: one - other is asked for.")
    if is_near(mean, statistics.fmean(map(abs, gaps))):
        raise NotYet("A seed at which one is the smaller counts against it: keep each sign.")
    close(mean, right, "The first value is not the mean of one - other.")
    apart = math.hypot(statistics.stdev(one), statistics.stdev(other)) / math.sqrt(5)
    if is_near(error, apart) or is_near(error, apart * math.sqrt(0.8)):
        raise NotYet(
            "That is the error for seeds that have nothing to do with each other. Here each pair "
            "shares its luck: take the spread of the differences."
        )
    if is_near(error, spread):
        raise NotYet("That is the spread of single seeds. The mean of five is known better.")
    if is_near(error, statistics.pstdev(gaps) / math.sqrt(5)):
        raise NotYet("A little too small: the mean was estimated too, so divide by n - 1 first.")
    if is_near(error, spread / 5):
        raise NotYet("The error shrinks with the square root of the number of seeds.")
    if is_near(error, spread**2 / 5):
        raise NotYet("That is the variance of the mean. An error is its square root.")
    close(error, spread / math.sqrt(5), "The second value is not the standard error of the mean.")
    again: Any = answer([3.0, 1.0], [1.0, 1.0])
    close(again[1], 1.0, "Differences 2 and 0: their mean is 1, and its error is 1 as well.")
