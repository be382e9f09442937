"""The checks of chapter 10: right answers pass, each typical mistake is named, none tells all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from judging import judge

from sema_lite import theory
from sema_lite.checks import chapter10


def fraction(d: float, t: int) -> float:
    return 1 - d * (1 - d**t) / (t * (1 - d))


def solve(law: Any, wanted: float) -> float:
    """Where `law`, which falls from 0 to 1, is `wanted`."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if law(middle) > wanted else (low, middle)
    return low


def right_decay(wanted: float, t: int) -> float:
    return solve(lambda d: fraction(d, t) if 0 < d < 1 else 1 - d, wanted)


def limit_decay(wanted: float, t: int) -> float:
    return solve(lambda d: theory.step_fraction_limit(t * (1 - d)), wanted)


RIGHT = {
    "u_and_fraction": lambda d, t: (t * (1 - d), fraction(d, t)),
    "carried_decay": lambda d, old, new: 1 - (1 - d) * old / new,
    "decay_for_way": right_decay,
}


@pytest.mark.parametrize("name", chapter10.__all__)
def test_right_answers_pass(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check = getattr(chapter10, name)
    assert judge(check, RIGHT[name], capsys) == (True, f"{name}: passed.\n")


WRONG: list[tuple[str, Any, str]] = [
    ("u_and_fraction", lambda d, t: (t * d, fraction(d, t)), "T times d"),
    ("u_and_fraction", lambda d, t: (t / (1 - d), fraction(d, t)), "multiplies by the horizon"),
    ("u_and_fraction", lambda d, t: (1 / (t * (1 - d)), fraction(d, t)), "upside down"),
    ("u_and_fraction", lambda d, t: (t - d, fraction(d, t)), "divided by the horizon"),
    ("u_and_fraction", lambda d, t: (t * (1 - d), 1 - fraction(d, t)), "throws away"),
    ("u_and_fraction", lambda d, t: (t * (1 - d), 100 * fraction(d, t)), "per cent"),
    (
        "u_and_fraction",
        lambda d, t: (t * (1 - d), 1 - (1 - math.exp(-t * (1 - d))) / (t * (1 - d))),
        "limit",
    ),
    ("u_and_fraction", lambda d, t: (t * (1 - d), 1 - (1 - d**t) / (t * (1 - d))), "begins with"),
    ("u_and_fraction", lambda d, t: (t * (1 - d), 0.5), "way()"),
    ("u_and_fraction", lambda d, t: t * (1 - d), "two values"),
    ("carried_decay", lambda d, _old, _new: d, "copied"),
    ("carried_decay", lambda d, old, new: d * old / new, "not d that scales"),
    ("carried_decay", lambda d, old, new: d * new / old, "not d that scales"),
    ("carried_decay", lambda d, old, new: 1 - (1 - d) * new / old, "Upside down"),
    ("carried_decay", lambda d, old, new: (1 - d) * old / new, "the rest"),
    ("carried_decay", lambda d, old, new: d ** (old / new), "d**T"),
    ("carried_decay", lambda _d, old, new: old / (old + new), "before and after"),
    ("decay_for_way", lambda f, t: 1 - right_decay(f, t), "newest step"),
    ("decay_for_way", lambda f, t: 1 / (1 - right_decay(f, t)), "the horizon"),
    ("decay_for_way", lambda f, t: t * (1 - right_decay(f, t)), "That is u"),
    ("decay_for_way", lambda f, t: 100 * right_decay(f, t), "between 0 and 1"),
    ("decay_for_way", limit_decay, "limit of a long horizon"),
    ("decay_for_way", lambda f, t: right_decay(1 - f, t), "which half"),
    ("decay_for_way", lambda f, t: right_decay(f, t) + 1e-5, "nearly it"),
    ("decay_for_way", lambda f, t: round(right_decay(f, t), 3), "nearly it"),
    ("decay_for_way", lambda f, t: [f, t], "one number"),
]


@pytest.mark.parametrize(("name", "answer", "named"), WRONG)
def test_mistakes_are_named(
    name: str, answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(getattr(chapter10, name), answer, capsys)
    assert not passed
    assert named in said
    for solution in ("1 - (1 - d)", "T * (1 - d)", "bisect"):
        assert solution not in said
