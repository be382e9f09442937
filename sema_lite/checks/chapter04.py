"""Checks of the exercises in notebook 04, Switch EMA."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from .report import NotYet, answered, close, exercise, number

__all__ = ["count_switches", "epoch_live_variance", "switch_due"]


@exercise
def epoch_live_variance(answer: Callable[[float, float, float, int], Any]) -> None:
    """`answer(v_sgd, v_sema, r, T)`: mean variance of SEMA's live weight over the T steps of an
    epoch, k = 1 ... T steps after the switch."""

    def mean(v_sgd: float, v_sema: float, r: float, steps: range, power: int = 2) -> float:
        each = [v_sgd - r ** (power * k) * (v_sgd - v_sema) for k in steps]
        return sum(each) / len(each)

    for v_sgd, v_sema, r, T in [
        (1.0, 0.25, 0.5, 3),
        (0.0526, 0.0045, 0.9, 100),
        (2.0, 1.0, -0.5, 2),
    ]:
        got = number(answer(v_sgd, v_sema, r, T))
        steps = range(1, T + 1)
        mistakes = [
            (mean(v_sgd, v_sema, r, range(T)), "Begin with k = 1: the first step after a switch."),
            (mean(v_sgd, v_sema, r, range(T + 1)), "Average T values, k = 1 to T, not T + 1."),
            (mean(v_sgd, v_sema, r, steps, power=1), "A variance shrinks by r**2 per step, not r."),
            (mean(v_sgd, v_sema, r, range(T, T + 1)), "That is the last step alone, not the mean."),
            (
                mean(v_sgd, v_sema, r, steps) * T,
                "That is the sum over the epoch; its mean is asked.",
            ),
            (
                mean(v_sema, v_sgd, r, steps),
                "Just after a switch the variance is V_SEMA, not V_SGD.",
            ),
        ]
        wanted = mean(v_sgd, v_sema, r, steps)
        for wrong, hint in mistakes:
            if abs(got - wrong) < 1e-9 < abs(wrong - wanted):
                raise NotYet(hint)
        place = f"V_SGD {v_sgd}, V_SEMA {v_sema}, r {r}, T {T}"
        close(got, wanted, f"For {place} the mean over k = 1 ... T is another number.")


@exercise
def count_switches(answer: Callable[[list[tuple[float, float]]], Any]) -> None:
    """`answer(starts)`: how many epochs began with a switch. `starts` has a pair (live weight,
    average) for the start of each epoch, taken after the switch if there was one."""

    def count(starts: list[tuple[float, float]]) -> int:
        got = answer(list(starts))
        value = number(got)
        if isinstance(got, (bool, str)) or not value.is_integer():
            raise NotYet("Return a whole number: how many epochs began with a switch.")
        return int(value)

    plain = [(1.0, 1.0), (0.5, 0.7), (0.25, 0.375)]  # never switched
    if count(plain) == 1:
        raise NotYet("The first pair is equal before anything happened: that is no switch.")
    if count(plain) == 2:
        raise NotYet(
            "After a switch live weight and average are equal; you count those that differ."
        )
    if count([(1.0, 1.0), (0.7, 0.7), (0.3, 0.3 + 1e-12)]) == 2:
        raise NotYet("A switch copies: look for equal numbers, not for close ones.")
    if count([(1.0, 1.0), (0.7, 0.7), (0.7, 0.7), (0.4, 0.4)]) == 2:
        raise NotYet("Count every epoch that began with a switch, also when nothing moved.")
    rng = random.Random(4)
    for epochs in (1, 2, 7, 30):
        starts, expected = [(4.0, 4.0)], 0
        for _ in range(epochs - 1):
            live, average = rng.random(), rng.random()
            if rng.random() < 0.5:
                live, expected = average, expected + 1
            starts.append((live, average))
        if count(starts) != expected:
            raise NotYet(f"A list with {expected} switches gives {count(starts)}.")


@exercise
def switch_due(answer: Callable[[int, int], Any]) -> None:
    """`answer(epoch, every)`: whether a switch is due at the start of `epoch` (counted from 0):
    after every `every` epochs, and not before the first."""

    answered(answer(5, 5))  # a stub returns nothing here either, where a switch is due

    def due(epoch: int, every: int) -> bool:
        got = answer(epoch, every)
        if got is None:
            raise NotYet("Return False, not None, where no switch is due: an if without an else?")
        return bool(got)

    if [due(epoch, 5) for epoch in range(6)] == [False, True, True, True, True, False]:
        raise NotYet("A remainder of 0 counts as false: this is the bug itself.")
    for every in (1, 2, 5, 10):
        if due(0, every):
            raise NotYet("At the start of epoch 0 nothing has been averaged: no switch there.")
    if not due(1, 1):
        raise NotYet("With interval 1 a switch is due at the start of every epoch but the first.")
    if due(4, 5) and not due(5, 5):
        raise NotYet("One too early: 5 whole epochs (0 to 4) have passed at the start of epoch 5.")
    if not due(5, 5) and due(6, 5):
        raise NotYet("One too late: 5 whole epochs (0 to 4) have passed at the start of epoch 5.")
    for every in (1, 2, 3, 5, 10, 50):
        for epoch in range(121):
            wanted = epoch > 0 and epoch % every == 0
            if due(epoch, every) != wanted:
                verb = "is" if wanted else "is not"
                raise NotYet(
                    f"With interval {every} a switch {verb} due at the start of epoch {epoch}."
                )
