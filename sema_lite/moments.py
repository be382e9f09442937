"""How `sema_lite.theory` computes its formulas without losing digits. Read that one first."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

_LOG_ZERO = -1e4  # stands for log(0): its exp is 0.0, but 0 * _LOG_ZERO is 0, so that 0**0 is 1


class After(NamedTuple):
    """What n steps from a common start w = avg do; the noise in units of q."""

    shortfall: float  # (1 - rho)/h
    one_plus_rho: float
    covariance: float  # of w and avg, from the noise of these steps alone
    variance: float  # of avg, from the noise of these steps alone


class Walk:
    """One weight and its average, computed so that no digits are lost anywhere on the domain.

    h, 2-h, r, 1-d, d-r and d+r are each rounded once, from exact fractions. Powers go through
    logarithms: 1 - x**n comes from expm1, and no n is too large. n steps send w to R w and avg to
    A w + D avg, plus noise, with R = r**n, D = d**n, A = (1-d) r S_n, S_n = (d**n - r**n)/(d - r).

    For r < 0 the formulas are sums of positive terms and are used as they stand. For r >= 0 those
    of Q and 1 - rho subtract nearly equal numbers (small h, d near r, few steps). There `after`
    builds n steps from halves: `_join` puts m steps and then n more together and only adds
    positive terms, and the binary digits of n say what to join, in about 2 log2(n) turns.
    """

    def __init__(self, h: Fraction, decay: float, v_sgd: Fraction = Fraction(0)) -> None:
        d, r = Fraction(decay), 1 - h
        self.v_sgd = v_sgd
        self.h, self.rest, self.r = float(h), float(2 - h), float(r)
        self.d, self.gap = decay, float(1 - d)
        self.d_minus_r, self.d_plus_r = float(d - r), float(d + r)
        near = min(self.h, self.rest)  # 1 - |r|
        self.log_d = log(decay)
        self.log_r = math.log1p(-near) if near < 0.5 else log(abs(self.r))

    def variance(self, *ratios: float) -> float:
        """V_SGD times the ratios, rounded once: no overflow on the way to a result that is none."""
        return to_float(self.v_sgd * math.prod(Fraction(x) for x in ratios))

    def sign(self, n: int) -> int:
        return -1 if self.r < 0 and n % 2 else 1

    def live(self, n: int) -> float:
        """r**n."""
        return self.sign(n) * math.exp(n * self.log_r)

    def mixed_sum(self, n: int) -> float:
        """S_n = d**(n-1) + d**(n-2) r + ... + r**(n-1), for n >= 1."""
        if self.sign(n) < 0:
            return (math.exp(n * self.log_d) + math.exp(n * self.log_r)) / self.d_minus_r
        small, big = sorted((self.log_d, self.log_r))
        total = math.exp((n - 1) * big) * geometric(small - big, n)
        return total if self.r >= 0 else total * self.d_plus_r / self.d_minus_r

    def rho(self, n: int, log_unit: float = 0.0) -> float:
        """rho of n steps, in units of e**(n*log_unit)."""
        log_d, log_r = self.log_d - log_unit, self.log_r - log_unit
        D, R = math.exp(n * log_d), self.sign(n) * math.exp(n * log_r)
        if self.r < 0:  # a weighted mean of D and R
            return (self.d * self.h * D - self.gap * self.r * R) / self.d_minus_r
        small, big = sorted((log_d, log_r))
        return D + self.gap * math.exp(log_r + (n - 1) * big) * geometric(small - big, n)

    def sema(self, n: int) -> float:
        """V_SEMA/V_SGD for the period n."""
        if self.gap == 0:
            return 0.0
        after = self.after(n)
        return after.variance * self.rest / (after.shortfall * after.one_plus_rho)

    def after(self, n: int) -> After:
        """n steps from a common start."""
        if n == 0 or self.gap == 0:
            return After(0.0, 2.0, 0.0, 0.0)
        if self.r < 0:
            return self._after_directly(n)
        one = total = (self.gap, self.gap, self.gap * self.gap)
        steps = 1
        for digit in bin(n)[3:]:  # the binary digits of n below the leading 1
            total = self._join(steps, total, steps, total)
            steps *= 2
            if digit == "1":
                total = self._join(steps, total, 1, one)
                steps += 1
        return After(total[0], 1 + self.rho(n), total[1], total[2])

    def _join(
        self, m: int, first: tuple[float, float, float], n: int, then: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        """(1 - rho)/h, C/q, Q/q of m + n steps, from those of m steps and those of n steps."""
        f, c, q = first
        g = geometric(self.log_r, m)  # (1 - r**m)/h
        v = geometric(2 * self.log_r, m)  # the variance of w after m steps
        R, D = self.live(n), math.exp(n * self.log_d)
        A = self.gap * self.r * self.mixed_sum(n)
        return (
            then[0] + A * g + D * f,
            then[1] + R * (A * v + D * c),
            then[2] + A * A * v + 2 * A * D * c + D * D * q,
        )

    def _after_directly(self, n: int) -> After:
        """The formulas as they stand, for r < 0: no two terms cancel."""
        d, r, sign = self.d, self.r, self.sign(n)
        n_d, n_r, k = n * self.log_d, n * self.log_r, self.gap / self.d_minus_r
        share = d * self.h / self.d_minus_r  # rho is share*D + (1 - share)*R, 1 - share = -k r
        dd = d * d * one_minus(1, 2 * n_d) / (self.gap * (1 + d))
        dr = d * r * one_minus(sign, n_d + n_r) / (self.gap + d * self.h)
        rr = r * r * one_minus(1, 2 * n_r) / (self.h * self.rest)
        return After(
            (share * one_minus(1, n_d) - k * r * one_minus(sign, n_r)) / self.h,
            share * one_minus(-1, n_d) - k * r * one_minus(-sign, n_r),
            k * (dr - rr) / r,
            k * k * (dd - 2 * dr + rr),
        )


def log(x: float) -> float:
    """The logarithm of x >= 0; that of 0 is a number that can be multiplied by 0."""
    return math.log(x) if x else _LOG_ZERO


def geometric(log_x: float, n: int) -> float:
    """1 + x + ... + x**(n-1) for 0 <= x <= 1."""
    return math.expm1(n * log_x) / math.expm1(log_x) if log_x else float(n)


def one_minus(sign: int, log_x: float) -> float:
    """1 - sign*x."""
    return -math.expm1(log_x) if sign > 0 else 1 + math.exp(log_x)


def root(x: float, n: int) -> float:
    """|x|**(1/n)."""
    return math.exp(math.log(abs(x)) / n) if x else 0.0


def to_float(x: Fraction) -> float:
    """The nearest float; beyond the largest one, infinity."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf
