"""The checks of notebook 03: a right answer passes, each typical mistake is named."""

import math

import pytest
import torch

from sema_lite import checks


def running_mean(mean, count, value):
    return mean + (value - mean) / (count + 1)


def snapshot_spacing(lr, curvature, correlation):
    steps, r = 1, 1 - lr * curvature
    while r**steps > correlation:
        steps += 1
    return steps


def exact_spacing(lr, curvature, correlation):
    return math.log(correlation) / math.log(1 - lr * curvature)


def lookahead_contraction(r, k, s):
    return (1 - s + s * r**k) ** (1 / k)


RIGHT = [
    (checks.running_mean, running_mean),
    (checks.running_mean, lambda mean, n, value: (mean * n + value) / (n + 1)),
    (checks.snapshot_spacing, snapshot_spacing),
    (checks.snapshot_spacing, lambda lr, a, c: math.ceil(exact_spacing(lr, a, c))),
    (checks.lookahead_contraction, lookahead_contraction),
    (checks.lookahead_contraction, lambda *x: torch.tensor(lookahead_contraction(*x))),
    (checks.running_mean, lambda *x: torch.tensor(running_mean(*x))),  # both in float32
]
WRONG = [
    (checks.running_mean, lambda mean, n, value: mean + (value - mean) / n, "divides by zero"),
    (checks.running_mean, lambda mean, _, value: (mean + value) / 2, "one half"),
    (
        checks.running_mean,
        lambda mean, n, value: mean + (value - mean) / (n + 2),
        "not count + 2",
    ),
    (
        checks.running_mean,
        lambda mean, n, value: value + (mean - value) / (n + 1),
        "swapped",
    ),
    (checks.running_mean, lambda mean, n, value: mean + value / (n + 1), "DISTANCE"),
    (checks.running_mean, lambda mean, n, value: (mean * n + value) / max(n, 1), "sum to 12"),
    (
        checks.running_mean,
        lambda mean, n, value: running_mean(mean, n, value) if n else mean,
        "With count = 0",
    ),
    (
        checks.running_mean,
        lambda mean, n, value: mean + (value - mean) / min(n + 1, 10),
        "1000th value",
    ),
    (checks.running_mean, lambda mean, n, value: [running_mean(mean, n, value)], "one number"),
    (checks.snapshot_spacing, exact_spacing, "Steps are whole"),
    (checks.snapshot_spacing, lambda *x: math.floor(exact_spacing(*x)), "still above 0.5"),
    (checks.snapshot_spacing, lambda *x: math.ceil(exact_spacing(*x)) + 1, "low enough already"),
    (checks.snapshot_spacing, lambda *x: -snapshot_spacing(*x), "Negative"),
    (checks.snapshot_spacing, lambda lr, a, c: math.ceil((1 - c) / (lr * a)), "shares multiply"),
    (
        checks.snapshot_spacing,
        lambda lr, _, c: snapshot_spacing(lr, 1.0, c),
        "lr 0.05, curvature 2",
    ),
    (
        checks.snapshot_spacing,
        lambda lr, a, c: min(snapshot_spacing(lr, a, c), 20),
        "you get 20 steps: that is too soon",
    ),
    (
        checks.snapshot_spacing,
        lambda lr, a, c: math.ceil(-math.log(c) / (lr * a)),
        "lr 0.1, curvature 1, correlation 0.05 you get 30 steps: fewer would do",
    ),
    (checks.snapshot_spacing, lambda *x: math.floor(exact_spacing(*x)) + 1, "lr 0.5, curvature 1"),
    (
        checks.lookahead_contraction,
        lambda r, k, s: lookahead_contraction(r, k, s) ** k,
        "whole period",
    ),
    (
        checks.lookahead_contraction,
        lambda r, k, s: lookahead_contraction(r, k, s) ** k / k,
        "by a root",
    ),
    (checks.lookahead_contraction, lambda r, k, s: lookahead_contraction(r, k, 1 - s), "swapped"),
    (checks.lookahead_contraction, lambda r, _, s: 1 - s + s * r, "right for k = 1 only"),
    (
        checks.lookahead_contraction,
        lambda r, k, s: (1 - s + s * r) ** (1 / k),
        "right for k = 1 only",
    ),
    (checks.lookahead_contraction, lambda r, k, s: (s * r**k) ** (1 / k), "part is missing"),
    (checks.lookahead_contraction, lambda *_: 0.9, "With s = 1 it must be r"),
    (checks.lookahead_contraction, lambda r, *_: r, "With k = 1"),
    (
        checks.lookahead_contraction,
        lambda r, k, s: (1 - s**2 + s**2 * r**k) ** (1 / k) if k > 1 else 1 - s * (1 - r),
        "Take one period",
    ),
    (
        checks.lookahead_contraction,
        lambda r, k, s: lookahead_contraction(r, min(k, 7), s),
        "Wrong for r = 0.5",
    ),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_a_right_answer_passes(check, answer, capsys):
    assert check(answer) is True
    assert capsys.readouterr().out == f"{check.__name__}: passed.\n"


@pytest.mark.parametrize(("check", "answer", "named"), WRONG)
def test_a_mistake_is_named(check, answer, named, capsys):
    assert check(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"{check.__name__}: not yet. ")
    assert named in printed
