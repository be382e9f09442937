"""The checks of notebook 02: right answers pass, typical wrong ones get the hint that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from sema_lite import checks, theory


def walkers(error: float) -> int:
    return math.ceil(2 / error**2)


def solved(share: float, lr: float, curvature: float) -> float:
    r = 1 - lr * curvature
    a, b, c = r * (1 - share), (1 - r) * (1 + share), share - 1
    return (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)


def other_solution(share: float, lr: float, curvature: float) -> float:
    return -1 / (1 - lr * curvature) / solved(share, lr, curvature)  # their product is c/a


def searched(share: float, lr: float, curvature: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        v_ema = theory.ema_variance(lr, curvature, 1.0, middle)
        if v_ema > share * theory.sgd_variance(lr, curvature, 1.0):
            low = middle
        else:
            high = middle
    return low


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.walkers_needed, walkers),
        (checks.walkers_needed, lambda error: float(walkers(error))),
        (checks.walkers_needed, lambda error: -int(-2 / error**2 // 1)),
        (checks.walkers_needed, lambda error: math.ceil(2 / error / error)),
        (checks.decay_for, solved),
        (checks.decay_for, searched),
    ],
)
def test_right_answers_pass(check: Callable[..., bool], answer: Any, capsys: Any) -> None:
    assert check(answer) is True
    assert capsys.readouterr().out == f"{check.__name__}: passed.\n"


@pytest.mark.parametrize(
    ("check", "answer", "word"),
    [
        (checks.walkers_needed, lambda e: math.ceil(1 / e**2), "rule for a mean"),
        (checks.walkers_needed, lambda e: math.ceil(2 / e), "square the error"),
        (checks.walkers_needed, lambda e: math.ceil(math.sqrt(2) / e), "square the error"),
        (checks.walkers_needed, lambda e: math.ceil(2 / e**2 + 1), "unknown mean"),
        (checks.walkers_needed, lambda e: int(2 / e**2), "Round up"),
        (checks.walkers_needed, lambda e: round(2 / e**2), "Round up"),
        (checks.walkers_needed, lambda e: 2 / e**2, "whole"),
        (checks.walkers_needed, lambda e: math.ceil(4 / e**2), "fewer"),
        (checks.walkers_needed, lambda _: 2223, "fewer"),
        (checks.walkers_needed, lambda e: int(2 / e**2) + 1, "Eight"),
        (checks.walkers_needed, lambda e: [e], "one number"),
        (checks.walkers_needed, lambda _: float("nan"), "not a whole number"),
        (checks.walkers_needed, lambda _: float("inf"), "not a whole number"),
        (checks.walkers_needed, lambda e: math.ceil((math.sqrt(2) / e) ** 2), "a square root"),
        (checks.walkers_needed, lambda e: walkers(max(e, 0.1)), "larger than that"),
        (checks.walkers_needed, lambda _: 0, "larger than that"),
        (checks.decay_for, other_solution, "other solution"),
        (checks.decay_for, lambda s, *_: (1 - s) / (1 + s), "independent"),
        (checks.decay_for, lambda s, lr, a: 1 - solved(s, lr, a), "old average"),
        (checks.decay_for, lambda s, lr, a: solved(s**0.5, lr, a), "standard deviation"),
        (checks.decay_for, lambda s, lr, a: solved(1 - s, lr, a), "left"),
        (checks.decay_for, lambda s, lr, _: solved(s, lr, 1.0), "curvature 1"),
        (checks.decay_for, lambda *_: 0.9, "share of 0."),
        (checks.decay_for, lambda *_: solved(0.25, 0.2, 0.5), "For share 0.5"),
        (checks.decay_for, lambda s, lr, a: theory.horizon(solved(s, lr, a)), "between 0 and 1"),
        (checks.decay_for, lambda *_: "0.9x", "one number"),
        (checks.decay_for, lambda *_: float("nan"), "between 0 and 1"),
    ],
)
def test_wrong_answers_get_the_hint_that_fits(
    check: Callable[..., bool], answer: Any, word: str, capsys: Any
) -> None:
    assert check(answer) is False
    said = capsys.readouterr().out
    assert word in said, said
    assert len(said.splitlines()) == 1


def test_a_decay_that_leaves_the_range_only_later(capsys: Any) -> None:
    def answer(share: float, lr: float, curvature: float) -> float:
        return solved(share, lr, curvature) if share == 0.25 else 1.5

    assert checks.decay_for(answer) is False
    assert "yours is 1.5" in capsys.readouterr().out
