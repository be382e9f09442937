"""The checks of notebook 04: right answers pass, typical wrong ones get the hint that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sema_lite import checks, theory

Starts = list[tuple[float, float]]


def epoch_mean(v_sgd: float, v_sema: float, r: float, T: int) -> float:
    return v_sgd - (v_sgd - v_sema) * r**2 * (1 - r ** (2 * T)) / (1 - r**2) / T


def loop_mean(v_sgd: float, v_sema: float, r: float, T: int) -> float:
    return sum(v_sgd - r ** (2 * k) * (v_sgd - v_sema) for k in range(1, T + 1)) / T


def count(starts: Starts) -> int:
    return sum(w == average for w, average in starts[1:])


def due(epoch: int, every: int) -> bool:
    return epoch > 0 and epoch % every == 0


def rejected(check: Callable[..., bool], answer: Any, word: str, capsys: Any) -> None:
    assert check(answer) is False
    said = capsys.readouterr().out
    assert word in said, said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.epoch_live_variance, epoch_mean),
        (checks.epoch_live_variance, loop_mean),
        (checks.count_switches, count),
        (checks.switch_due, due),
        (checks.switch_due, lambda epoch, every: epoch and not epoch % every),  # truth is enough
    ],
)
def test_right_answers_pass(check: Callable[..., bool], answer: Any, capsys: Any) -> None:
    assert check(answer) is True
    assert capsys.readouterr().out == f"{check.__name__}: passed.\n"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (
            lambda s, e, r, T: (T * loop_mean(s, e, r, T) + e - s + r ** (2 * T) * (s - e)) / T,
            "k = 1",
        ),
        (lambda s, e, r, T: (T * loop_mean(s, e, r, T) + e) / (T + 1), "not T + 1"),
        (lambda s, e, r, T: sum(s - r**k * (s - e) for k in range(1, T + 1)) / T, "r**2"),
        (lambda s, e, r, T: s - r ** (2 * T) * (s - e), "last step alone"),
        (lambda s, e, r, T: T * loop_mean(s, e, r, T), "the sum"),
        (lambda s, e, r, T: loop_mean(e, s, r, T), "Just after a switch"),
        (lambda s, *_: s, "another number"),
        (lambda s, e, r, T: [s - r ** (2 * k) * (s - e) for k in range(1, T + 1)], "was a list"),
        (lambda s, e, r, T: loop_mean(s, e, r, T) + 1e-6, "another number"),
    ],
)
def test_wrong_means_of_the_live_variance(
    answer: Callable[..., float], word: str, capsys: Any
) -> None:
    rejected(checks.epoch_live_variance, answer, word, capsys)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda starts: sum(w == a for w, a in starts), "The first pair"),
        (lambda starts: sum(w != a for w, a in starts), "those that differ"),
        (lambda starts: sum(abs(w - a) < 1e-6 for w, a in starts[1:]), "not for close ones"),
        (lambda starts: len({w for w, a in starts[1:] if w == a}), "every epoch"),
        (lambda _: 0, "gives 0"),
        (lambda starts: min(count(starts), 3), "gives 3"),
        (lambda starts: count(starts) > 0, "whole number"),
        (lambda starts: count(starts) / 2 + 0.25, "whole number"),
        (lambda starts: str(count(starts)), "whole number"),
        (lambda _: float("nan"), "whole number"),
        (lambda starts: [w for w, a in starts[1:] if w == a], "was a list"),
    ],
)
def test_wrong_counters(answer: Callable[[Starts], float], word: str, capsys: Any) -> None:
    rejected(checks.count_switches, answer, word, capsys)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda epoch, every: epoch and epoch % every, "the bug itself"),
        (lambda epoch, every: epoch % every == 0, "nothing has been averaged"),
        (lambda epoch, every: every > 1 and due(epoch, every), "every epoch but the first"),
        (lambda epoch, every: epoch > 0 and (epoch + 1) % every == 0, "too early"),
        (
            lambda epoch, every: epoch == every == 1 or (epoch > 1 and epoch % every == 1 % every),
            "late",
        ),
        (lambda epoch, every: epoch == every, "epoch 2"),
        (lambda epoch, every: epoch >= every, "is not due"),
        (lambda *_: False, "interval 1"),
        (lambda epoch, every: True if due(epoch, every) else None, "Return False, not None"),
    ],
)
def test_wrong_interval_tests(answer: Callable[[int, int], Any], word: str, capsys: Any) -> None:
    rejected(checks.switch_due, answer, word, capsys)


def test_a_stub_that_returns_nothing_is_not_done_yet(capsys: Any) -> None:
    assert checks.switch_due(lambda *_: None) is False
    assert capsys.readouterr().out == "switch_due: not done yet.\n"


def test_the_check_agrees_with_the_theory() -> None:
    """The mean that the check asks for is that of `theory.sema_live_variance`: .961 V_SGD."""
    v_sgd, v_sema = theory.sgd_variance(0.1, 1, 1), theory.sema_variance(0.1, 1, 1, 0.99, 100)
    each = [theory.sema_live_variance(0.1, 1, 1, 0.99, 100, k) for k in range(1, 101)]
    assert loop_mean(v_sgd, v_sema, 0.9, 100) == pytest.approx(sum(each) / 100, rel=1e-12)
    assert sum(each) / 100 / v_sgd == pytest.approx(0.961, abs=5e-4)
