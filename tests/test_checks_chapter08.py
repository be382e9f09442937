"""The checks of chapter 08: right answers pass, each typical mistake is named."""

from __future__ import annotations

import math
from typing import Any

import pytest
from judging import judge

from sema_lite import checks

# -- quotient_along --------------------------------------------------------------------------------


def quotient(power: float = 2.0, factor: float = 1.0, t: float = 1e-3) -> Any:
    """Right with power 2: v.Hv divided by that power of the length of v."""

    def answer(loss: Any, w: list[float], v: list[float]) -> float:
        length = math.sqrt(sum(x * x for x in v))
        up, down = ([a + sign * t * b for a, b in zip(w, v, strict=True)] for sign in (1, -1))
        second = (loss(up) - 2 * loss(w) + loss(down)) / t**2
        return factor * second / length**power

    return answer


def slope(unit: bool) -> Any:
    def answer(loss: Any, w: list[float], v: list[float]) -> float:
        length = math.sqrt(sum(x * x for x in v)) if unit else 1.0
        up, down = ([a + t * b for a, b in zip(w, v, strict=True)] for t in (1e-4, -1e-4))
        return (loss(up) - loss(down)) / 2e-4 / length

    return answer


def moves_in_place(loss: Any, w: list[float], v: list[float]) -> float:
    right = quotient()(loss, w, v)
    w[0] += 1.0
    return right


def one_sided(loss: Any, w: list[float], v: list[float]) -> float:
    return (loss([a + b for a, b in zip(w, v, strict=True)]) - loss(w)) * 7.7


@pytest.mark.parametrize("t", [1e-3, 1e-4, 0.1])
def test_right_quotient_passes(t: float, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = (True, "quotient_along: passed.\n")
    assert judge(checks.quotient_along, quotient(t=t), capsys) == wanted


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (quotient(power=0), "divide by v.v"),
        (quotient(power=1), "length squared"),
        (quotient(factor=0.5), "second derivative"),
        (lambda loss, w, v: quotient()(loss, [0.0] * len(w), v), "Start from w"),
        (slope(unit=False), "slope along v"),
        (slope(unit=True), "slope along v"),
        (moves_in_place, "leave them alone"),
        (one_sided, "loss(w + t v) - 2 loss(w)"),
        (lambda *_: [1.0], "one number"),
    ],
)
def test_wrong_quotients(answer: Any, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    passed, out = judge(checks.quotient_along, answer, capsys)
    assert not passed
    assert named in out


# -- flattest_factor -------------------------------------------------------------------------------


def searched(a: float, b: float) -> float:
    """Right to three digits."""
    factors = (k / 1000 for k in range(1, 20000))
    return min(factors, key=lambda c: (c * a) ** 2 + (b / c) ** 2) * 1.0004


@pytest.mark.parametrize("right", [lambda a, b: (b / a) ** 0.5, searched])
def test_right_factor_passes(right: Any, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = (True, "flattest_factor: passed.\n")
    assert judge(checks.flattest_factor, right, capsys) == wanted


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda a, b: (a / b) ** 0.5, "Upside down"),
        (lambda a, b: b / a, "swaps the two layers"),
        (lambda a, b: a / b, "swaps the two layers"),
        (lambda *_: 1.0, "changes nothing"),
        (lambda a, b: -((b / a) ** 0.5), "above 0"),
        (lambda a, b: 1.5 * (b / a) ** 0.5, "is possible"),
    ],
)
def test_wrong_factors(answer: Any, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    passed, out = judge(checks.flattest_factor, answer, capsys)
    assert not passed
    assert named in out
