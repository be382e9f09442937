"""The rule that judges claims: each verdict, its edges, the controls, and the honest choice."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from sema_lite.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    RIVAL,
    SAME,
    UNTESTED,
    VERDICTS,
    Claim,
    Effect,
    chosen_elsewhere,
    critical,
    interval,
    measured,
    verdict,
)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 1000])
@pytest.mark.parametrize("rows", [1, 30])
def test_critical_is_students_t(n: int, rows: int) -> None:
    assert critical(n, rows) == pytest.approx(stats.t.ppf(1 - 0.025 / rows, n - 1), rel=1e-9)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    draws = random.Random(0)
    hits = 0
    for _ in range(4000):
        values = [draws.gauss(1, 2) for _ in range(4)]
        error = statistics.stdev(values) / 2
        low, high = interval(Effect(statistics.fmean(values), error, 4))
        hits += low < 1 < high
    assert abs(hits / 4000 - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_exact_numbers_have_no_width_and_one_seed_has_no_end() -> None:
    assert interval(Effect(2.0, 0.0, 1)) == (2.0, 2.0)
    assert interval(Effect(2.0, None, 1)) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("effect", "margin", "wanted"),
    [
        (Effect(1.0, 0.2, 5), 0.5, HOLDS),  # t * error is 0.56
        (Effect(-1.0, 0.2, 5), 0.5, FAILS),
        (Effect(0.5, 0.0, 1), 0.5, HOLDS),  # the margin itself matters
        (Effect(-0.5, 0.0, 1), 0.5, FAILS),
        (Effect(0.49, 0.0, 1), 0.5, SAME),
        (Effect(0.0, 0.0, 20), 0.5, SAME),
        (Effect(0.1, 0.1, 5), 0.5, SAME),
        (Effect(0.3, 0.05, 20), 0.5, SAME),  # clear, and too small to matter
        (Effect(-0.4, 0.1, 20), 0.5, OPEN),
        (Effect(0.4, 0.1, 20), 0.5, OPEN),  # clear, perhaps large enough
        (Effect(1.0, 0.5, 5), 0.5, OPEN),
        (Effect(0.1, 0.3, 5), 0.5, OPEN),
        (Effect(9.0, None, 1), 0.5, OPEN),
        (Effect(9.0, 4.0, 5), 0.5, OPEN),  # Student's t: 2.25 errors do not do for 5 seeds
        (Effect(9.0, 4.0, 50), 0.5, HOLDS),
    ],
)
def test_each_verdict(effect: Effect, margin: float, wanted: str) -> None:
    assert verdict(effect, margin) == wanted


def test_many_rows_are_stricter() -> None:
    effect = Effect(1.0, 0.3, 10)
    assert verdict(effect, 0.5) == HOLDS
    assert verdict(effect, 0.5, rows=40) == OPEN


def row(**more: object) -> Claim:
    return replace(Claim("a", "b", "points", Effect(2.0, 0.1, 20), 0.5), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rival", "rest", "wanted"),
    [
        (Effect(0.0, 0.1, 20), Effect(2.0, 0.1, 20), HOLDS),  # the control does nothing
        (Effect(1.0, 0.1, 20), Effect(1.0, 0.1, 20), HOLDS),  # the method is ahead of it
        (Effect(2.0, 0.1, 20), Effect(0.0, 0.1, 20), RIVAL),
        (Effect(3.0, 0.1, 20), Effect(-1.0, 0.1, 20), RIVAL),
        (Effect(3.0, 2.0, 20), Effect(-1.0, 0.1, 20), RIVAL),
        (Effect(1.5, 0.1, 20), Effect(0.5, 0.5, 20), RIVAL),  # it has the effect for sure
        (Effect(0.45, 0.5, 20), Effect(0.1, 0.1, 20), RIVAL),  # no difference to the method
        (Effect(1.0, 0.9, 20), Effect(1.0, 0.9, 20), OPEN),  # nobody can tell
    ],
)
def test_a_control_can_take_the_credit(rival: Effect, rest: Effect, wanted: str) -> None:
    assert row(control="c", rival=rival, rest=rest).verdict() == wanted


def test_a_control_does_not_matter_where_the_claim_fails() -> None:
    claim = row(effect=Effect(0.0, 0.1, 20), rival=Effect(2, 0.1, 20), rest=Effect(-2, 0.1, 20))
    assert claim.verdict() == SAME


@pytest.mark.parametrize(
    ("mean", "error", "wanted"),
    [(0.1, 0.05, HOLDS), (1.0, 0.1, FAILS), (-1.0, 0.1, FAILS), (0.1, 0.5, OPEN)],
)
def test_a_claim_of_no_effect_is_turned_round(mean: float, error: float, wanted: str) -> None:
    assert row(effect=Effect(mean, error, 20), nothing=True).verdict() == wanted


def test_what_was_not_measured_is_not_tested() -> None:
    assert Claim("a", "no such experiment").verdict() == UNTESTED
    assert len(set(VERDICTS)) == 6


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_must_be_one(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be finite and > 0, got"):
        Claim("a", "b", margin=margin)


def test_measured_pairs_the_seeds_and_scales() -> None:
    found = measured(
        "c", "e", [3.0, 5.0, 7.0], [1.0, 4.0, 4.0], [3.0, 5.0, 7.5], scale=-10, unit="u", margin=2
    )
    assert found.effect == (pytest.approx(-20), pytest.approx(10 / math.sqrt(3)), 3)
    assert found.rival is not None
    assert found.rest is not None
    assert found.rival.mean == pytest.approx(-65 / 3)
    assert found.rest.mean == pytest.approx(5 / 3)
    assert (found.unit, found.margin) == ("u", 2)


def test_measured_leaves_out_seeds_that_diverged_and_counts_them() -> None:
    found = measured("c", "e", [1.0, math.nan, 3.0], [0.0, 0.0, 1.0])
    assert found.effect is not None
    assert (found.effect.mean, found.effect.n) == (1.5, 2)
    assert found.rival is None


@pytest.mark.parametrize("scale", [1.0, -1])
@pytest.mark.parametrize("unit", ["points", "points of ECE"])
def test_shares_are_no_points(scale: float, unit: str) -> None:
    shares = [0.9, math.nan, 1.0], [0.6, 0.0, 0.5]
    with pytest.raises(ValueError, match=f"scale must be 100 or -100 .* got {scale}"):
        measured("c", "e", *shares, scale=scale, unit=unit)
    assert measured("c", "e", *shares, scale=100 * scale, unit=unit).effect is not None
    for points in ([90.0, 1.0, 1.0], [0.9, 1.0, 1.1]):  # real points, even if most are small
        assert measured("c", "e", points, shares[1], scale=scale, unit=unit).effect is not None
        assert measured("c", "e", *shares, points, scale=scale, unit=unit).rival is not None
    assert measured("c", "e", *shares, unit="of NLL").effect is not None


@pytest.mark.parametrize("scores", [([], [1.0]), ([1.0], []), ([1.0], [1.0], [])])
def test_nothing_stored_is_said(scores: tuple[list[float], ...]) -> None:
    found = measured("c", "images", *scores, unit="points")
    assert found.verdict() == UNTESTED
    assert found.experiment == "images (not stored)"


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Effect(2.026, 0.4157, 20), "+2.03 ± 0.42"),
        (Effect(-1058.2, 0.0, 1), "-1058"),
        (Effect(-0.0, 0.3, 9), "+0 ± 0.3"),
        (Effect(1.0, None, 1), "+1 ± nan"),
    ],
)
def test_an_effect_as_text(effect: Effect, text: str) -> None:
    assert str(effect) == text


@pytest.mark.parametrize(
    ("claim", "digits", "text"),
    [
        (row(), True, "a: HOLDS HERE\n    b | +2 ± 0.1 points, 20 seeds"),
        (row(effect=Effect(2.0, 0.0, 1)), True, "a: HOLDS HERE\n    b | +2 points, exact"),
        (
            row(effect=Effect(2.0, None, 1)),
            True,
            "a: UNDECIDED\n    b | +2 ± nan points, 1 seeds",
        ),
        (
            row(control="c", rival=Effect(2.0, 0.1, 20), rest=Effect(0.1, 0.1, 20)),
            True,
            "a: HOLDS, BUT A CONTROL DOES IT TOO\n"
            "    b | +2 ± 0.1 points, 20 seeds | over c: +0.1 ± 0.1",
        ),
        (
            row(control="c", rival=Effect(2.0, 0.1, 20), rest=Effect(0.1, 0.1, 20)),
            False,
            "a: HOLDS, BUT A CONTROL DOES IT TOO\n    b | ? points, 20 seeds | over c: ?",
        ),
        (
            row(rival=Effect(0.0, 0.1, 20), rest=Effect(2.0, 0.1, 20)),
            True,
            "a: HOLDS HERE\n    b | +2 ± 0.1 points, 20 seeds | over its control: +2 ± 0.1",
        ),
        (row(control="c"), True, "a: HOLDS HERE\n    b | +2 ± 0.1 points, 20 seeds"),
        (Claim("a", "no such"), True, "a: NOT TESTED\n    no such"),
    ],
)
def test_a_row_as_text(claim: Claim, digits: bool, text: str) -> None:
    assert claim.report(digits) == text


def test_chosen_elsewhere_never_lets_a_seed_choose_for_itself() -> None:
    scores = [[0.0, 9.0, 1.0], [4.0, 3.0, 5.0], [2.0, 2.0, 2.0]]
    # Without seed 0: 5, 4, 2; without seed 1: 0.5, 4.5, 2; without seed 2: 4.5, 3.5, 2.
    assert chosen_elsewhere(scores) == [0.0, 3.0, 1.0]


def test_chosen_elsewhere_does_not_profit_from_luck() -> None:
    draws = random.Random(3)
    honest, best = [], []
    for _ in range(300):
        scores = [[draws.gauss(0, 1) for _ in range(5)] for _ in range(20)]
        honest.append(statistics.fmean(chosen_elsewhere(scores)))
        best.append(max(map(statistics.fmean, scores)))
    assert abs(statistics.fmean(honest)) < 4 * statistics.stdev(honest) / math.sqrt(300)
    assert statistics.fmean(best) > 0.5


def test_a_setting_that_diverged_elsewhere_is_not_chosen() -> None:
    assert chosen_elsewhere([[9.0, math.nan, 9.0], [1.0, 2.0, 3.0]])[0] == 1.0
