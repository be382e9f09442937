"""The checks of chapter 11: right answers pass, each typical mistake is named."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from judging import judge

from sema_lite import checks, verdicts
from sema_lite.verdicts import Claim, Effect


def test_right_table_passes(capsys: pytest.CaptureFixture[str]) -> None:
    right = (lambda rows, level: (1 - (1 - level) ** rows, level / rows), capsys)
    assert judge(checks.lucky_table, *right) == (True, "lucky_table: passed.\n")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda r, a: (r * a, a / r), "on average"),
        (lambda r, a: (min(1, r * a), a / r), "on average"),
        (lambda r, a: (r * a * (1 - a) ** (r - 1), a / r), "exactly one"),
        (lambda r, a: ((1 - a) ** r, a / r), "no row"),
        (lambda r, a: (a**r, a / r), "all rows"),
        (lambda r, a: (a, a / r), "begin with one row"),
        (lambda r, a: (1 - (1 - a) ** r, a), "shared"),
        (lambda r, a: (1 - (1 - a) ** r, a * r), "easier"),
        (lambda r, a: (1 - (1 - a) ** r, 1 - (1 - a) ** (1 / r)), "Sidak"),
        (lambda r, a: (1 - (1 - a) ** r, a / (r + 1)), "evenly"),
        (lambda r, a: 1 - (1 - a) ** r, "Return two values, the chance"),
    ],
)
def test_wrong_tables_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.lucky_table, answer, capsys)
    assert not passed
    assert named in said


def elsewhere(scores: list[list[float]]) -> list[float]:
    """Another way than the library's."""
    found = []
    for seed in range(len(scores[0])):
        totals = [sum(row) - row[seed] for row in scores]
        found.append(scores[totals.index(max(totals))][seed])
    return found


def test_right_choice_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(checks.best_elsewhere, elsewhere, capsys)[0]


def own_voice(scores: list[list[float]]) -> list[float]:
    """Mixes honest and dishonest: the first seed may vote for itself."""
    found = elsewhere(scores)
    found[0] = max(scores, key=sum)[0]
    return found


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda s: max(s, key=sum), "no voice"),
        (lambda s: [max(column) for column in zip(*s, strict=True)], "luckiest"),
        (lambda s: [-x for x in elsewhere([[-x for x in row] for row in s])], "worst"),
        (
            lambda s: [max((sum(r) - r[i]) / (len(r) - 1) for r in s) for i in range(len(s[0]))],
            "the mean by which",
        ),
        (own_voice, "another setting"),
        (lambda s: s[0], "another setting"),
        (lambda s: max(map(sum, s)), "Return a list"),
        (lambda s: max(s, key=sum)[:-1], "Return a list"),
    ],
)
def test_wrong_choices_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.best_elsewhere, answer, capsys)
    assert not passed
    assert named in said


WHOLE = verdicts.measured(
    "Lookahead survives",
    "circles",
    [3.0, 2.5, 3.5],
    [1.0, 1.2, 0.9],
    [2.0, 2.1, 2.2],
    unit="points",
    control="cosine",
)


def test_a_whole_row_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(checks.own_row, lambda: WHOLE, capsys) == (True, "own_row: passed.\n")


def test_shares_that_are_called_points_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    def shares() -> Claim:
        scores = [0.9, 0.8], [0.6, 0.7], [0.7, 0.75]
        return verdicts.measured("c", "circles", *scores, unit="points", control="cosine")

    passed, said = judge(checks.own_row, shares, capsys)
    assert not passed
    assert "scale must be 100 or -100" in said


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("holds here", "Claim"),
        (replace(WHOLE, claim=" "), "in words"),
        (replace(WHOLE, experiment=""), "in words"),
        (Claim("a", "b"), "Nothing was measured"),
        (replace(WHOLE, effect=Effect(1.0, None, 1)), "single seed"),
        (replace(WHOLE, effect=Effect(math.nan, 0.1, 5)), "not a finite"),
        (replace(WHOLE, effect=Effect(0.0, 0.0, 5)), "with itself"),
        (replace(WHOLE, unit=""), "unit"),
        (replace(WHOLE, rival=None, rest=None), "no control"),
        (replace(WHOLE, control=""), "no control"),
        (replace(WHOLE, rest=Effect(0.0, 0.0, 3)), "method itself"),
        (replace(WHOLE, rival=Effect(0.0, 0.0, 3)), "baseline itself"),
    ],
)
def test_half_rows_are_named(made: Any, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    passed, said = judge(checks.own_row, lambda: made, capsys)
    assert not passed
    assert named in said
