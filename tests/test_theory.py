"""The formulas of `sema_lite.theory`: printed numbers, exact fractions, simulation.

Exact means: every float argument is taken as the fraction it is, and the formulas are evaluated
in fractions (or in decimals of 700 digits where the period is too long for fractions). The walks
here begin at a fixed point, and the average follows after each step.
"""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sema_lite import reference, theory

Number = Fraction | Decimal


# -- the formulas as they are printed -----------------------------------------------------------


class Literal:
    """Each formula as printed, in any exact number type. Needs d != r and d != 1."""

    def __init__(self, lr: Number, a: Number, s: Number, d: Number, T: int) -> None:
        r = 1 - lr * a
        q = lr * lr * s * s
        dT, rT = d**T, r**T
        self.r, self.rho = r, (dT * d * (1 - r) - (1 - d) * rT * r) / (d - r)
        self.sgd = q / (1 - r * r)
        self.covariance = (1 - d) * self.sgd / (1 - d * r)
        self.ema = self.sgd * (1 - d) * (1 + d * r) / ((1 + d) * (1 - d * r))
        self.Q = (q * (1 - d) * (1 - d) / ((d - r) * (d - r))) * (
            d * d * (1 - dT * dT) / (1 - d * d)
            - 2 * d * r * (1 - dT * rT) / (1 - d * r)
            + r * r * (1 - rT * rT) / (1 - r * r)
        )
        self.sema = self.Q / (1 - self.rho * self.rho)
        b = (1 - d) * r * (dT - rT) / (d - r)
        self.difference = -(
            2 * dT * b * (self.covariance - self.ema) + b * b * (self.sgd - self.ema)
        ) / (1 - self.rho * self.rho)

    def live(self, k: int) -> Number:
        return self.sgd - self.r ** (2 * k) * (self.sgd - self.sema)


class Stepwise:
    """The same numbers from the definition, one step at a time: no formula, nothing to cancel.

    One unit of noise at a step makes w move by q**(1/2); j steps later it is r**(j-1) of that in
    w and (1-d) S_j of it in the average, S_j = d**(j-1) + d**(j-2) r + ... + r**(j-1).
    """

    def __init__(self, lr: Fraction, a: Fraction, s: Fraction, d: Fraction, T: int) -> None:
        r = 1 - lr * a
        q = lr * lr * s * s
        self.r, self.sgd = r, q / (1 - r * r)
        self.ema = self.sgd * (1 - d) * (1 + d * r) / ((1 + d) * (1 - d * r))
        live, average, S, r_power = Fraction(1), Fraction(1), Fraction(1), Fraction(1)
        self.Q, self.own = Fraction(0), [Fraction(0)]  # own: Cov after k steps from a fixed start
        self.rhos, self.lives = [Fraction(1)], [Fraction(1)]
        for _ in range(T):
            self.Q += q * ((1 - d) * S) ** 2
            self.own.append(self.own[-1] + q * r_power * (1 - d) * S)
            r_power *= r
            S = d * S + r_power
            live *= r
            average = d * average + (1 - d) * live
            self.rhos.append(average)
            self.lives.append(live)
        self.rho = self.rhos[-1]
        self.sema = self.Q / (1 - self.rho**2) if d != 1 else Fraction(0)
        self.difference = self.sema - self.ema

    def live(self, k: int) -> Fraction:
        return self.sgd - self.r ** (2 * k) * (self.sgd - self.sema)

    def live_covariance(self, k: int) -> Fraction:
        return self.own[k] + self.lives[k] * self.rhos[k] * self.sema


def exactly(*numbers: float) -> list[Fraction]:
    return [Fraction(x) for x in numbers]


def close(got: float, exact: Number, relative: float = 1e-12, scale: Number | float = 0) -> bool:
    """Relative, and absolute by 1e-14 of `scale` where a number passes through zero. Fractions
    below the range of floats may come out as zero."""
    error = abs(Fraction(got) - Fraction(exact))
    allowed = Fraction(relative) * abs(Fraction(exact)) + Fraction(1e-14) * Fraction(scale)
    return error <= allowed + Fraction(1e-300)


def compare(lr: float, a: float, s: float, d: float, T: int) -> None:
    """Every long-run formula and one period, against the exact numbers."""
    args = exactly(lr, a, s, d)
    steps = Stepwise(*args, T)
    assert close(theory.sgd_variance(lr, a, s), steps.sgd)
    assert close(theory.ema_variance(lr, a, s, d), steps.ema)
    covariance = (1 - args[3]) * steps.sgd / (1 - args[3] * steps.r)
    assert close(theory.ema_covariance(lr, a, s, d), covariance)
    assert close(theory.period_noise(lr, a, s, d, T), steps.Q)
    assert close(theory.sema_variance(lr, a, s, d, T), steps.sema)
    assert close(theory.sema_minus_ema_variance(lr, a, s, d, T), steps.difference)
    crossing = int(steps.r < 0)  # only there rho and the covariance can pass through zero
    assert close(theory.period_contraction(lr, a, d, T), steps.rho, scale=crossing)
    for k in {0, 1, 2, T // 2, T - 1, T} & set(range(T + 1)):
        assert close(theory.sema_live_variance(lr, a, s, d, T, k), steps.live(k))
        got = theory.sema_live_covariance(lr, a, s, d, T, k)
        assert close(got, steps.live_covariance(k), scale=crossing * steps.sgd)
    if args[3] not in (steps.r, 1):
        literal = Literal(*args, T)
        for name in ("sgd", "ema", "Q", "rho", "sema", "difference"):
            assert getattr(literal, name) == getattr(steps, name), name  # equal as fractions


# -- printed numbers ----------------------------------------------------------------------------

# lr, decay, period: V_SGD, V_EMA, V_SEMA, live weight before the switch (curvature = noise = 1)
TABLE = [
    (0.1, 0.9, 1, 0.05263, 0.02639, 0.00503, 0.01407),
    (0.1, 0.9, 10, 0.05263, 0.02639, 0.01956, 0.04861),
    (0.1, 0.99, 100, 0.05263, 0.00459, 0.00450, 0.05263),
    (0.5, 0.9, 10, 0.33333, 0.04625, 0.04510, 0.33333),
    (1.0, 0.9, 10, 1.000, 0.05263, 0.05263, 1.000),
    (1.5, 0.9, 10, 3.000, 0.05989, 0.06082, 3.000),
    (0.02, 0.99, 100, 0.01010, 0.00336, 0.00280, 0.00997),
]


@pytest.mark.parametrize(("lr", "d", "T", "sgd", "ema", "sema", "live"), TABLE)
def test_the_table_to_its_last_digit(
    lr: float, d: float, T: int, sgd: float, ema: float, sema: float, live: float
) -> None:
    assert round(theory.sgd_variance(lr, 1, 1), 5) == sgd
    assert round(theory.ema_variance(lr, 1, 1, d), 5) == ema
    assert round(theory.sema_variance(lr, 1, 1, d, T), 5) == sema
    assert round(theory.sema_live_variance(lr, 1, 1, d, T, T), 5) == live


def test_gain_over_ema_grows_in_slow_directions() -> None:
    gains = [
        theory.sema_variance(h, 1, 1, 0.99, 100) / theory.ema_variance(h, 1, 1, 0.99)
        for h in (0.1, 0.01, 0.001)
    ]
    assert [round(gain, 3) for gain in gains] == [0.982, 0.708, 0.493]


def test_live_weights_climb_back_to_sgd_between_switches() -> None:
    lives = [theory.sema_live_variance(0.1, 1, 1, 0.99, 100, k) for k in range(1, 101)]
    assert lives == sorted(lives)
    assert round(sum(lives) / 100 / theory.sgd_variance(0.1, 1, 1), 3) == 0.961


@pytest.mark.parametrize(
    ("u", "fraction"),
    [(0.05, 0.025), (0.1, 0.048), (0.5, 0.213), (1, 0.368), (2, 0.568), (5, 0.801), (10, 0.900)],
)
def test_freeze_law_by_u(u: float, fraction: float) -> None:
    assert round(theory.step_fraction_limit(u), 3) == fraction
    million = 10**6  # steps of horizon: the limit is reached
    assert round(theory.step_fraction(1 - 1 / million, round(u * million)), 3) == fraction


def test_freeze_law_at_500_steps() -> None:
    assert round(theory.step_fraction(0.99, 500), 3) == 0.803
    assert round(theory.step_fraction(0.999, 500), 4) == 0.2135
    assert round(theory.step_fraction(0.9999, 500), 4) == 0.0246


# -- against exact fractions --------------------------------------------------------------------

H = [1e-12, 1e-5, 0.1, 0.5, 0.9, 1 - 1e-9, 1.0, 1 + 1e-9, 1.5, 1.9, 2 - 1e-12]
DECAYS = [0.0, 1e-12, 0.3, 0.9, 0.999, 1 - 1e-9, 1 - 2**-53, 1.0]


@pytest.mark.parametrize("h", H)
def test_every_formula_on_a_grid(h: float) -> None:
    size = abs(1 - h)
    near = [size, math.nextafter(size, 2), math.nextafter(size, -1), size * (1 - 1e-9)]
    for d, T in product([*DECAYS, *(d for d in near if 0 <= d <= 1)], (1, 2, 3, 10, 25)):
        compare(h, 1.0, 1.0, d, T)


def test_formulas_where_lr_times_curvature_is_not_a_float() -> None:
    for lr, a in [
        (0.1, 3.3),
        (1.7, 1 / 1.7),
        (0.3, 2 / 0.3 * (1 - 1e-15)),
        (1 / 3, 3.0),
        (0.1, 13),
    ]:
        twin = abs(float(1 - Fraction(lr) * Fraction(a)))  # |r|, rounded: d - r or d + r is tiny
        for d, T in product((0.0, 0.5, 0.99, twin), (1, 4, 9)):
            compare(lr, a, 2.5, d, T)


def positions() -> st.SearchStrategy[float]:
    """Numbers in [0, 1] that crowd at both ends."""
    tiny = st.floats(-16, 0).map(lambda e: 10**e)
    return st.one_of(st.floats(0, 1), tiny, tiny.map(lambda x: 1 - x), st.just(0.5))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(half_h=positions(), d=positions(), nudge=st.integers(-2, 2), T=st.integers(1, 40))
@example(half_h=0.05, d=0.9, nudge=0, T=37)
@example(half_h=0.5, d=0.0, nudge=0, T=1)
@example(half_h=1e-300, d=1 - 2**-53, nudge=0, T=2)
def test_every_formula_found_by_search(half_h: float, d: float, nudge: int, T: int) -> None:
    h = 2 * half_h
    if not 0 < h < 2:
        return
    compare(h, 1.0, 1.0, d, T)
    twin = abs(1 - h)  # a few floats away from d = r or d = -r
    for _ in range(abs(nudge)):
        twin = math.nextafter(twin, 2.0 if nudge > 0 else -2.0)
    if 0 <= twin <= 1:
        compare(h, 1.0, 1.0, twin, T)


@pytest.mark.parametrize("T", [1000, 10**6 + 1, 10**18])
@pytest.mark.parametrize("h", [1e-12, 1e-6, 0.3, 1.3, 2 - 1e-12])
def test_long_periods_against_decimals(h: float, T: int) -> None:
    decays = [0.3, 0.999, 1 - 1e-6, 1 - 1e-12, math.nextafter(abs(1 - h), 0.5)]
    with localcontext(Context(prec=700, Emin=MIN_EMIN)):
        for d in decays:
            exact = Literal(Decimal(h), Decimal(1), Decimal(1), Decimal(d), T)
            assert close(theory.period_noise(h, 1, 1, d, T), exact.Q)
            assert close(theory.sema_variance(h, 1, 1, d, T), exact.sema)
            scale = int(h > 1)
            if abs(exact.rho) > 1e-290:
                assert close(theory.period_contraction(h, 1, d, T), exact.rho, scale=scale)
                root = (abs(exact.rho).ln() / T).exp()
                assert close(theory.contraction("sema", h, 1, d, T), root)
            if abs(exact.difference) > 1e-290:
                got = theory.sema_minus_ema_variance(h, 1, 1, d, T)
                assert close(got, exact.difference)
            gap = 1 - Decimal(d)
            phi = 1 - Decimal(d) * (1 - Decimal(d) ** T) / (T * gap)
            assert close(theory.step_fraction(d, T), phi)


def test_noise_of_a_period_is_a_sum_of_squares() -> None:
    for h, d, T in product((0.001, 0.1, 1.0, 1.6), (0.5, 0.9, 0.999), (1, 2, 7, 64)):
        r, S, Q = 1 - h, 1.0, 0.0
        for j in range(1, T + 1):
            Q += (h * (1 - d) * S) ** 2  # curvature = noise = 1, so q = h*h
            S = d * S + r**j
        assert theory.period_noise(h, 1, 1, d, T) == pytest.approx(Q, rel=1e-12)


def test_the_difference_keeps_digits_that_subtraction_loses() -> None:
    for h, d, T in product((0.01, 0.3, 1.0, 1.4, 1.95), (0.5, 0.9, 0.99), (1, 10, 101)):
        sema, ema = theory.sema_variance(h, 1, 1, d, T), theory.ema_variance(h, 1, 1, d)
        difference = theory.sema_minus_ema_variance(h, 1, 1, d, T)
        # Subtracting two floats cannot be better than their own rounding.
        assert abs((sema - ema) - difference) <= 1e-14 * ema
    sema, ema = theory.sema_variance(0.3, 1, 1, 0.9, 500), theory.ema_variance(0.3, 1, 1, 0.9)
    tiny = theory.sema_minus_ema_variance(0.3, 1, 1, 0.9, 500)
    assert sema == pytest.approx(ema, rel=1e-15)
    assert -1e-40 < tiny < 0
    assert close(tiny, Literal(*exactly(0.3, 1, 1, 0.9), 500).difference)


def test_variances_scale_with_noise_and_curvature_without_overflow() -> None:
    base = theory.sema_variance(0.1, 1, 1, 0.9, 10)
    assert theory.sema_variance(0.1, 1, 3, 0.9, 10) == pytest.approx(9 * base, rel=1e-14)
    assert theory.sema_variance(0.01, 10, 1, 0.9, 10) == pytest.approx(base / 100, rel=1e-14)
    assert theory.sema_variance(0.1, 1, 0, 0.9, 10) == 0
    for lr, a, s in [(1e-200, 1e200, 1e300), (1e200, 1e-200, 1e-290), (1e-200, 1e-300, 1e-200)]:
        exact = Literal(*exactly(lr, a, s, 0.9), 3)
        assert exact.sema > 1e-320
        assert theory.sema_variance(lr, a, s, 0.9, 3) == pytest.approx(float(exact.sema), rel=1e-12)
    assert theory.sgd_variance(1, 1, 1e200) == math.inf  # the true value is beyond the floats
    assert theory.sema_variance(1, 1, 1e200, 1, 5) == 0  # and not NaN


# -- what follows from them ---------------------------------------------------------------------


def test_who_is_quieter() -> None:
    strict = 0
    for d, T in product((0.1, 0.5, 0.9, 0.99), (1, 2, 3, 10, 51)):
        for h in (1e-6, 0.01, 0.3, 0.99):
            ema = theory.ema_variance(h, 1, 1, d)
            assert ema < theory.sgd_variance(h, 1, 1)
            difference = theory.sema_minus_ema_variance(h, 1, 1, d, T)
            assert difference < 0
            if difference < -1e-14 * ema:  # else the two are equal to their last digits
                assert theory.sema_variance(h, 1, 1, d, T) < ema
                strict += 1
        assert theory.sema_minus_ema_variance(1, 1, 1, d, T) == 0
        equal = theory.ema_variance(1, 1, 1, d)
        assert theory.sema_variance(1, 1, 1, d, T) == pytest.approx(equal, rel=1e-14)
    assert strict > 60


def test_beyond_h_1_sema_is_noisier_exactly_up_to_1_plus_d() -> None:
    assert theory.sema_variance(1.5, 1, 1, 0.9, 10) > theory.ema_variance(1.5, 1, 1, 0.9)
    for d, T in product((0.25, 0.5, 0.75), (1, 2, 3, 10, 11)):
        for h in (1.01, 1 + d - 0.01, 1 + d + 0.01, 1.99):
            if h <= 1 or h >= 2:
                continue
            difference = theory.sema_minus_ema_variance(h, 1, 1, d, T)
            assert (difference > 0) == (h < 1 + d)
        assert theory.sema_minus_ema_variance(1 + d, 1, 1, d, T) == 0


def test_period_1_is_sgd_with_a_smaller_learning_rate() -> None:
    for h, d in product((1e-9, 0.1, 1.0, 1.9), (0.0, 0.5, 0.9, 0.999)):
        small = float((1 - Fraction(d)) * Fraction(h))
        assert theory.sema_variance(h, 1, 1, d, 1) == pytest.approx(
            theory.sgd_variance(small, 1, 1), rel=1e-12
        )
        assert theory.period_contraction(h, 1, d, 1) == pytest.approx(1 - small, abs=1e-15)
        assert theory.contraction("sema", h, 1, d, 1) == pytest.approx(abs(1 - small), abs=1e-15)


@pytest.mark.parametrize(
    "T", [10**18, 10**18 + 1, 10**400, 10**400 + 1], ids=["even", "odd", "huge even", "huge odd"]
)
def test_endless_period_is_ema(T: int) -> None:
    for h, d in product((1e-12, 0.1, 1.0, 1.5, 2 - 1e-12), (0.0, 0.5, 0.99, 1 - 1e-12, 1.0)):
        ema = theory.ema_variance(h, 1, 1, d) if d else theory.sgd_variance(h, 1, 1)
        assert theory.sema_variance(h, 1, 1, d, T) == pytest.approx(ema, rel=1e-12)
        assert theory.period_contraction(h, 1, d, T) == (1 if d == 1 else 0)
        slowest = theory.contraction("ema", h, 1, d)
        assert theory.contraction("sema", h, 1, d, T) == pytest.approx(slowest, rel=1e-12)
        assert abs(theory.sema_minus_ema_variance(h, 1, 1, d, T)) < 1e-300
        live = theory.sema_live_variance(h, 1, 1, d, T, T)
        assert live == pytest.approx(theory.sgd_variance(h, 1, 1), rel=1e-12)
        covariance = theory.sema_live_covariance(h, 1, 1, d, T, T)
        assert covariance == pytest.approx(theory.ema_covariance(h, 1, 1, d), rel=1e-12)
        assert theory.contraction("lookahead", h, 1, d, T) == pytest.approx(1 if d else abs(1 - h))
        assert theory.step_fraction(d, T) == pytest.approx(0 if d == 1 else 1, abs=1e-5)


def test_an_average_that_never_moves_and_one_that_is_the_weight() -> None:
    for h, T in product((1e-12, 0.1, 1.0, 1.7), (1, 2, 9)):
        sgd = theory.sgd_variance(h, 1, 1)
        assert theory.ema_variance(h, 1, 1, 1) == theory.sema_variance(h, 1, 1, 1, T) == 0
        assert theory.period_noise(h, 1, 1, 1, T) == theory.ema_covariance(h, 1, 1, 1) == 0
        assert theory.sema_live_covariance(h, 1, 1, 1, T, T) == 0
        assert theory.sema_minus_ema_variance(h, 1, 1, 1, T) == 0
        assert theory.period_contraction(h, 1, 1, T) == 1
        assert theory.contraction("sema", h, 1, 1, T) == theory.contraction("ema", h, 1, 1) == 1
        assert theory.sema_variance(h, 1, 1, 0, T) == pytest.approx(sgd, rel=1e-13)
        assert theory.ema_variance(h, 1, 1, 0) == theory.ema_covariance(h, 1, 1, 0) == sgd
        assert theory.sema_minus_ema_variance(h, 1, 1, 0, T) == 0
        assert theory.contraction("sema", h, 1, 0, T) == abs(1 - h)
        assert theory.contraction("lookahead", h, 1, 0, T) == abs(1 - h)
        assert theory.step_fraction(1, T) == 0
        assert theory.step_fraction(0, T) == 1


def test_covariance_within_a_period_step_by_step() -> None:
    """avg' = d avg + (1-d) w', and w' = r w + noise that avg has not seen: so
    Cov(w', avg') = d Cov(w', avg) + (1-d) Var w' = d r Cov + (1-d) Var w'."""
    for h, d, T in product((1e-9, 0.1, 0.9, 1.0, 1.6), (0.0, 0.5, 0.9, 0.99, 1.0), (1, 2, 30)):
        r = 1 - h
        covariance = theory.sema_live_covariance(h, 1, 1, d, T, 0)
        variance = theory.sema_live_variance(h, 1, 1, d, T, 0)
        assert covariance == pytest.approx(theory.sema_variance(h, 1, 1, d, T), rel=1e-14)
        assert variance == pytest.approx(covariance, rel=1e-14)
        for k in range(1, T + 1):
            variance = r * r * variance + h * h
            covariance = d * r * covariance + (1 - d) * variance
            floor = 1e-14 * theory.sgd_variance(h, 1, 1) * (h > 1)
            assert theory.sema_live_variance(h, 1, 1, d, T, k) == pytest.approx(variance, rel=1e-12)
            assert theory.sema_live_covariance(h, 1, 1, d, T, k) == pytest.approx(
                covariance, rel=1e-12, abs=floor
            )


# -- speed --------------------------------------------------------------------------------------


def test_sema_is_slower_than_both_of_its_parts() -> None:
    for h, d, T in product((1e-6, 0.1, 0.5, 0.9), (0.1, 0.5, 0.9, 0.999), (1, 2, 10, 1000)):
        parts = max(1 - h, d)
        sema = theory.contraction("sema", h, 1, d, T)
        assert sema < 1
        if T < 1000:
            assert sema > parts
        assert sema >= parts * (1 - 1e-14)
        assert theory.contraction("ema", h, 1, d) == pytest.approx(parts, abs=1e-16)


def test_contraction_by_hand() -> None:
    assert theory.contraction("sgd", 0.25, 1) == 0.75
    assert theory.contraction("sgd", 1.75, 1) == 0.75
    assert theory.contraction("ema", 0.5, 1, 0.9) == 0.9
    assert theory.contraction("ema", 1.75, 1, 0.5) == 0.75
    assert theory.contraction("swa", 0.5, 1) == 1.0
    # r = 1/2, d = 3/4, k = 2: the slow weight goes to 3/4 + 1/4 * 1/4 = 13/16 in two steps.
    assert theory.contraction("lookahead", 0.5, 1, 0.75, 2) == pytest.approx(math.sqrt(13 / 16))
    assert theory.contraction("lookahead", 1.5, 1, 0.2, 3) == pytest.approx(0.1 ** (1 / 3))
    # SEMA with the same numbers: avg is 7/8, then 3/4*7/8 + 1/4*1/4 = 23/32.
    assert theory.period_contraction(0.5, 1, 0.75, 2) == 23 / 32
    assert theory.contraction("sema", 0.5, 1, 0.75, 2) == pytest.approx(math.sqrt(23 / 32))
    # h = 3/2, d = 1/3, T = 1: rho = 1 - (1-d)h = 0 for the exact third, about 1e-16 for the float.
    assert theory.contraction("sema", 1.5, 1, 1 / 3, 1) < 1e-15


@pytest.mark.parametrize("h", [0.05, 0.4, 1.0, 1.3, 1.9])
def test_the_mean_follows_the_reference_classes(h: float) -> None:
    """Without noise one period multiplies the weight by rho (SEMA), d + (1-d) r**k (Lookahead)."""
    for d, T in product((0.0, 0.5, 0.9, 1.0), (1, 2, 5, 12)):
        for make, method in (
            (lambda w, d=d, T=T: reference.SEMA(w, d, switch_every=T), "sema"),
            (lambda w, d=d, T=T: reference.Lookahead(w, k=T, s=1 - d), "lookahead"),
        ):
            weights = [1.0]
            average = make(weights)
            for _ in range(T):
                weights[0] -= h * weights[0]
                average.update()
            if method == "sema":
                rho = theory.period_contraction(h, 1, d, T)
                assert weights[0] == pytest.approx(rho, rel=1e-12, abs=1e-15)
            step = theory.contraction(method, h, 1, d, T)
            assert step**T == pytest.approx(abs(weights[0]), rel=1e-11, abs=1e-15)


@pytest.mark.parametrize(("d", "T"), [(0.0, 3), (0.5, 1), (0.9, 10), (0.99, 50), (1.0, 4)])
def test_freeze_law_with_the_reference_class(d: float, T: int) -> None:
    weights = [0.0]
    sema = reference.SEMA(weights, d, switch_every=T)
    for _ in range(3 * T):  # SGD would go to 3*T
        weights[0] += 1.0
        sema.update()
    assert weights[0] / (3 * T) == pytest.approx(theory.step_fraction(d, T), rel=1e-13)


def test_freeze_law_is_the_slow_limit_of_rho() -> None:
    for d, T in product((0.5, 0.99), (1, 10, 60)):
        h = 1e-12
        slow = Stepwise(*exactly(h, 1, 1, d), T)
        assert float((1 - slow.rho) / (Fraction(h) * T)) == pytest.approx(
            theory.step_fraction(d, T), rel=1e-9
        )


# -- against simulation -------------------------------------------------------------------------


@pytest.mark.parametrize(("lr", "d", "T"), [row[:3] for row in TABLE])
def test_variances_of_simulated_walkers(lr: float, d: float, T: int) -> None:
    """N independent Gaussian walkers: the estimate of a variance V has the standard error
    V sqrt(2/(N-1)). They start at the minimum and forget it; what is left is below 1 % of the
    standard error."""
    walkers = 20_000
    rng = np.random.default_rng(20240214)
    live, follower = np.zeros(walkers), np.zeros(walkers)  # plain SGD and its EMA
    sema_live, sema = np.zeros(walkers), np.zeros(walkers)
    forgotten = math.log(1e-5) / math.log(theory.contraction("sema", lr, 1, d, T))
    periods = math.ceil(forgotten / T)
    before = np.zeros(walkers)
    for _ in range(periods):
        for _ in range(T):
            noise = rng.standard_normal(walkers)
            live += -lr * (live + noise)
            follower += (1 - d) * (live - follower)
            sema_live += -lr * (sema_live + noise)
            sema += (1 - d) * (sema_live - sema)
        before, sema_live = sema_live, sema.copy()
    four_errors = 4 * math.sqrt(2 / (walkers - 1))
    for sample, variance in [
        (live, theory.sgd_variance(lr, 1, 1)),
        (follower, theory.ema_variance(lr, 1, 1, d)),
        (sema, theory.sema_variance(lr, 1, 1, d, T)),
        (before, theory.sema_live_variance(lr, 1, 1, d, T, T)),
    ]:
        assert sample.var(ddof=1) == pytest.approx(variance, rel=four_errors)
    # A covariance has the standard error sqrt((Vx Vy + Cov**2)/(N-1)).
    for x, y, covariance in [
        (live, follower, theory.ema_covariance(lr, 1, 1, d)),
        (before, sema, theory.sema_live_covariance(lr, 1, 1, d, T, T)),
    ]:
        error = math.sqrt((x.var() * y.var() + covariance**2) / (walkers - 1))
        assert np.cov(x, y)[0, 1] == pytest.approx(covariance, abs=4 * error)


# -- the average alone --------------------------------------------------------------------------


def test_horizon_and_half_life() -> None:
    assert theory.horizon(0) == 1
    assert theory.horizon(0.75) == 4
    assert theory.horizon(0.99) == pytest.approx(100)
    assert theory.horizon(1) == theory.half_life(1) == math.inf
    assert theory.horizon(1 - 2**-53) == 2**53
    assert theory.half_life(0) == 0
    assert theory.half_life(0.5) == 1
    assert theory.half_life(0.99) == pytest.approx(68.9675639)
    assert 0.3 ** theory.half_life(0.3) == pytest.approx(0.5)
    assert theory.half_life(1 - 2**-53) == pytest.approx(math.log(2) * 2**53)


def test_step_fraction_limit_keeps_its_digits() -> None:
    assert theory.step_fraction_limit(0) == 0
    assert theory.step_fraction_limit(math.inf) == theory.step_fraction_limit(10**400) == 1
    with localcontext(Context(prec=700)):
        for u in (1e-300, 1e-12, 0.01, 0.7, 1 - 2**-53, 1.0, 3.5, 800.0):
            exact = 1 - (1 - (-Decimal(u)).exp()) / Decimal(u)
            assert close(theory.step_fraction_limit(u), exact, relative=1e-14)


def test_period_in_horizons_and_carrying_a_decay() -> None:
    assert theory.period_in_horizons(0.75, 10) == 2.5
    assert theory.period_in_horizons(1, 10**400) == 0
    assert theory.period_in_horizons(0.5, 10**400) == math.inf
    assert theory.carry_decay(0.99, 100, 1000) == pytest.approx(0.999, rel=1e-15)
    assert theory.carry_decay(0.999, 1000, 100) == pytest.approx(0.99, rel=1e-15)
    assert theory.carry_decay(0.5, 10, 5) == 0
    assert theory.carry_decay(0.99, 100, 1) == 0  # although 1 - 0.99 is a little above 0.01
    assert theory.carry_decay(1, 10, 3) == 1
    assert theory.carry_decay(0.3, 7, 7) == 0.3
    assert theory.carry_decay(0.3, 1, 10**400) == 1
    with pytest.raises(ValueError, match=r"^new_period must be >= 5 to carry decay 0\.5 .* got 4$"):
        theory.carry_decay(0.5, 10, 4)
    carried = theory.carry_decay(0.99, 500, 125)
    assert theory.period_in_horizons(carried, 125) == pytest.approx(5)


# -- what bad input gets ------------------------------------------------------------------------

GOOD = {
    "lr": 0.1,
    "curvature": 1.0,
    "noise": 1.0,
    "decay": 0.9,
    "switch_every": 10,
    "steps_since_switch": 3,
}
TAKES = {
    theory.horizon: ["decay"],
    theory.half_life: ["decay"],
    theory.period_in_horizons: ["decay", "switch_every"],
    theory.step_fraction: ["decay", "switch_every"],
    theory.sgd_variance: ["lr", "curvature", "noise"],
    theory.ema_covariance: ["lr", "curvature", "noise", "decay"],
    theory.ema_variance: ["lr", "curvature", "noise", "decay"],
    theory.period_contraction: ["lr", "curvature", "decay", "switch_every"],
    theory.period_noise: ["lr", "curvature", "noise", "decay", "switch_every"],
    theory.sema_variance: ["lr", "curvature", "noise", "decay", "switch_every"],
    theory.sema_minus_ema_variance: ["lr", "curvature", "noise", "decay", "switch_every"],
    theory.sema_live_variance: list(GOOD),
    theory.sema_live_covariance: list(GOOD),
}
BAD = [
    ("lr", 0, ValueError, r"^lr\*curvature must be in \(0, 2\), got 0\*"),
    ("lr", -0.1, ValueError, r"^lr must be a number that is finite and >= 0, got -0\.1$"),
    ("lr", math.nan, ValueError, r"^lr must be a number that is finite and >= 0, got nan$"),
    ("lr", math.inf, ValueError, r"^lr must be a number that is finite and >= 0, got inf$"),
    ("lr", 10**400, ValueError, r"^lr must be a number that is finite and >= 0, got 10"),
    ("lr", "0.1", TypeError, r"^lr must be a number that is finite and >= 0, got '0\.1'$"),
    ("lr", True, TypeError, r"^lr must be a number that is finite and >= 0, got True$"),
    ("lr", 2.0, ValueError, r"^lr\*curvature must be in \(0, 2\), got 2\.0\*1\.0$"),
    ("curvature", 0.0, ValueError, r"^lr\*curvature must be in \(0, 2\), got .*\*0\.0$"),
    (
        "curvature",
        None,
        TypeError,
        r"^curvature must be a number that is finite and >= 0, got None$",
    ),
    ("curvature", 1e308, ValueError, r"^lr\*curvature must be in \(0, 2\), got 0\.1\*1e\+308$"),
    ("noise", -1.0, ValueError, r"^noise must be a number that is finite and >= 0, got -1\.0$"),
    ("noise", math.nan, ValueError, r"^noise must be a number that is finite and >= 0, got nan$"),
    ("noise", math.inf, ValueError, r"^noise must be a number that is finite and >= 0, got inf$"),
    ("noise", [1.0], TypeError, r"^noise must be a number that is finite and >= 0, got \[1\.0\]$"),
    ("decay", -0.1, ValueError, r"^decay must be a number in \[0, 1\], got -0\.1$"),
    ("decay", 1.1, ValueError, r"^decay must be a number in \[0, 1\], got 1\.1$"),
    ("decay", math.nan, ValueError, r"^decay must be a number in \[0, 1\], got nan$"),
    ("decay", "0.9", TypeError, r"^decay must be a number in \[0, 1\], got '0\.9'$"),
    ("switch_every", 0, ValueError, r"^switch_every must be a whole number >= 1, got 0$"),
    ("switch_every", 2.5, ValueError, r"^switch_every must be a whole number >= 1, got 2\.5$"),
    ("switch_every", None, TypeError, r"^switch_every must be a whole number >= 1, got None$"),
    ("steps_since_switch", -1, ValueError, r"^steps_since_switch must be a whole number >= 0"),
    ("steps_since_switch", 0.5, ValueError, r"^steps_since_switch must be a whole number >= 0"),
    ("steps_since_switch", 11, ValueError, r"^steps_since_switch must be <= switch_every \(10\), "),
]


@pytest.mark.parametrize("function", TAKES, ids=lambda f: f.__name__)
def test_every_function_refuses_bad_arguments(function) -> None:  # type: ignore[no-untyped-def]
    names = TAKES[function]
    good = [GOOD[name] for name in names]
    assert function(*good) == function(**dict(zip(names, good, strict=True)))  # order and names
    tried = 0
    for name, value, error, match in BAD:
        if name in names:
            with pytest.raises(error, match=match):
                function(**{key: GOOD[key] for key in names} | {name: value})
            tried += 1
    assert tried >= 4


def test_other_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"^method must be one of sgd, ema, swa, sema, lookahead"):
        theory.contraction("SEMA", 0.1, 1, 0.9, 10)
    for method in ("ema", "sema", "lookahead"):
        with pytest.raises(TypeError, match=r"^decay must be a number in \[0, 1\], got None$"):
            theory.contraction(method, 0.1, 1)
    for method in ("sema", "lookahead"):
        with pytest.raises(TypeError, match=r"^switch_every must be a whole number .* got None$"):
            theory.contraction(method, 0.1, 1, 0.9)
    for method in theory.METHODS:
        with pytest.raises(ValueError, match=r"^lr\*curvature must be in \(0, 2\), got 2\*1$"):
            theory.contraction(method, 2, 1, 0.9, 10)
    for u, error in ((-1, ValueError), (math.nan, ValueError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"^u must be "):
            theory.step_fraction_limit(u)
    for old, new, match in ((0, 1, r"^old_period must"), (1, 0.5, r"^new_period must be a whole")):
        with pytest.raises(ValueError, match=match):
            theory.carry_decay(0.9, old, new)
    with pytest.raises(ValueError, match=r"^decay must be a number in \[0, 1\], got 2$"):
        theory.carry_decay(2, 1, 1)


def test_huge_and_numpy_arguments() -> None:
    with pytest.raises(ValueError, match=r"^steps_since_switch must be <= switch_every"):
        theory.sema_live_variance(0.1, 1, 1, 0.9, 10**400, 10**400 + 2)
    plain = theory.sema_variance(0.5, 1, 1, 0.75, 10)
    numpy = theory.sema_variance(
        np.float32(0.5), np.int64(1), np.float64(1), np.float32(0.75), np.int64(10)
    )
    assert numpy == plain
    assert type(numpy) is float


def test_importing_theory_loads_neither_torch_nor_numpy() -> None:
    program = (
        "import sys, sema_lite.theory as t; print(t.horizon(0.5), "
        "[m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "2.0 []"
