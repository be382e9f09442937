"""What averaging and switching do to one weight on the noisy quadratic, in closed form.

The loss is `curvature/2 * (w - c)**2`, its gradient carries noise of standard deviation `noise`,
and SGD takes steps of size `lr`. After each step the average follows, `avg <- d*avg + (1-d)*w`;
SEMA copies it back into `w` after every `switch_every` steps. The symbols below:

    h = lr*curvature    r = 1 - h    q = (lr*noise)**2    d = decay    T = switch_every

Ranges: lr, curvature > 0 with 0 < h < 2 (else SGD diverges), noise >= 0, 0 <= d <= 1, T >= 1. A
value outside raises a ValueError or a TypeError that names it. A variance is in units of w**2.
At d = 1 the average never moves: from a fixed start its variance is 0. At d = 0 it is w itself.

Sources: SEMA is Li et al. 2024 (arXiv 2402.09240), the variance of the EMA is in Zhang et al.
2019 (Lookahead, the noisy quadratic model). "Derived here" means that the tests check it, by
simulation and in exact fractions.

Read the formulas in the docstrings. The code gets the same numbers by another way, because a
formula such as (d**T - r**T)/(d - r) loses its digits, or divides by zero, when d is near r.
`sema_lite.moments` says how.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from .moments import Walk, one_minus, root, to_float
from .reference import check_count, check_finite, check_fraction, check_number

METHODS = ("sgd", "ema", "swa", "sema", "lookahead")
WATCHING = ("sgd", "ema", "swa")  # they never change the live weights
USES = {"decay": ("ema", "sema", "lookahead"), "switch_every": ("sema", "lookahead")}

# -- the average alone ------------------------------------------------------------------------


def horizon(decay: float) -> float:
    """1/(1-d): how many steps the average looks back; inf at d = 1."""
    d = check_fraction("decay", decay)
    return 1 / (1 - d) if d < 1 else math.inf


def half_life(decay: float) -> float:
    """The n with d**n = 1/2: steps until a snapshot's weight has halved; inf at d = 1."""
    d = check_fraction("decay", decay)
    if d in (0, 1):
        return math.inf if d else 0.0
    return math.log(2) / -math.log(d)


def period_in_horizons(decay: float, switch_every: int) -> float:
    """u = T(1-d) = T/horizon: the period in units of the horizon. Below 0.1 SEMA nearly freezes."""
    d = check_fraction("decay", decay)
    return to_float(check_count("switch_every", switch_every, 1) * (1 - Fraction(d)))


def period_in_steps(switch_every: int | str, steps_per_epoch: int) -> int:
    """A switch period as one says it, steps or "epoch", "2epochs", "3 epochs", ..., in steps.

    Raises:
        ValueError, TypeError: it is neither; the message says what is accepted.
    """
    if not isinstance(switch_every, str):
        return check_count("switch_every", switch_every, 1)
    if not (found := re.fullmatch(r"(?:([1-9][0-9]*) ?epochs?|epoch)", switch_every)):
        raise ValueError(
            f'switch_every must be a number of steps, "epoch" or "2epochs", got {switch_every!r}'
        )
    return int(found[1] or 1) * check_count("steps_per_epoch", steps_per_epoch, 1)


def carry_decay(decay: float, old_period: int, new_period: int) -> float:
    """The decay d' that keeps u = T(1-d) at another period: 1-d' = (1-d) T_old/T_new.

    Raises:
        ValueError: d' would be below 0; the message gives the shortest possible period.
    """
    d = check_fraction("decay", decay)
    old = check_count("old_period", old_period, 1)
    new = check_count("new_period", new_period, 1)
    # 0.99 is not exactly 99/100: what its rounding alone explains is not an error.
    least = max(1, math.ceil(old * (1 - Fraction(d) - Fraction(math.ulp(d)) / 2)))
    if new < least:
        raise ValueError(
            f"new_period must be >= {least} to carry decay {d!r} over from {old} steps, got {new}"
        )
    return max(0.0, float(1 - (1 - Fraction(d)) * old / new))


# -- variances in the long run ----------------------------------------------------------------


def sgd_variance(lr: float, curvature: float, noise: float) -> float:
    """V_SGD = q/(1 - r**2): the floor on which SGD's weight jitters. Zhang et al. 2019."""
    return _walk(lr, curvature, noise, 0.0).variance(1.0)


def ema_covariance(lr: float, curvature: float, noise: float, decay: float) -> float:
    """C = V_SGD (1-d)/(1 - d r): covariance of the live weight and its EMA. Derived here."""
    w = _walk(lr, curvature, noise, decay)
    return w.variance(w.gap / (w.gap + w.d * w.h))


def ema_variance(lr: float, curvature: float, noise: float, decay: float) -> float:
    """V_EMA = V_SGD (1-d)(1 + d r) / ((1+d)(1 - d r)). Zhang et al. 2019."""
    w = _walk(lr, curvature, noise, decay)
    return w.variance(w.gap / (1 + w.d) * (w.gap + w.d * w.rest) / (w.gap + w.d * w.h))


def period_contraction(lr: float, curvature: float, decay: float, switch_every: int) -> float:
    """rho: an error z of the mean, just after a switch, is rho*z at the next one. It has a sign.

    rho = [d**(T+1) (1-r) - (1-d) r**(T+1)] / (d - r). For h > 1 it can pass through zero; near
    there it is good to about 1e-15, not to 15 digits. Derived here.
    """
    return _walk(lr, curvature, 0.0, decay).rho(_period(switch_every))


def period_noise(
    lr: float, curvature: float, noise: float, decay: float, switch_every: int
) -> float:
    """Q: variance of the average after one period that began at a fixed point. Derived here.

    Q = q (1-d)**2/(d-r)**2 * [d**2 (1 - d**(2T))/(1 - d**2) - 2 d r (1 - (d r)**T)/(1 - d r)
        + r**2 (1 - r**(2T))/(1 - r**2)]
    """
    w = _walk(lr, curvature, noise, decay)
    return w.variance(w.after(_period(switch_every)).variance, w.h, w.rest)


def sema_variance(
    lr: float, curvature: float, noise: float, decay: float, switch_every: int
) -> float:
    """V_SEMA = Q/(1 - rho**2): the average at a switch, which is the live weight just after it.

    T = 1 is exactly SGD with learning rate (1-d)*lr; a large T gives V_EMA. Derived here.
    """
    w = _walk(lr, curvature, noise, decay)
    return w.variance(w.sema(_period(switch_every)))


def sema_live_variance(
    lr: float,
    curvature: float,
    noise: float,
    decay: float,
    switch_every: int,
    steps_since_switch: int,
) -> float:
    """V_SGD - r**(2k) (V_SGD - V_SEMA): SEMA's live weight, k = `steps_since_switch` steps after a
    switch, 0 <= k <= T (k = T: just before the next one). It climbs back to V_SGD. Derived here."""
    w = _walk(lr, curvature, noise, decay)
    t, k = _period_and_step(switch_every, steps_since_switch)
    log_r2k = 2 * k * w.log_r
    return w.variance(w.sema(t) * math.exp(log_r2k) + one_minus(1, log_r2k))


def sema_live_covariance(
    lr: float,
    curvature: float,
    noise: float,
    decay: float,
    switch_every: int,
    steps_since_switch: int,
) -> float:
    """Covariance of SEMA's live weight and its average k steps after a switch, 0 <= k <= T.

    It begins as V_SEMA, and each step makes it `d r Cov + (1-d) Var(w after the step)`. In sum:
    r**k rho_k V_SEMA + q (1-d)/(d-r) [d (1 - (d r)**k)/(1 - d r) - r (1 - r**(2k))/(1 - r**2)],
    where rho_k is rho for k steps. For h > 1 it can pass through zero, as rho can. Derived here.
    """
    w = _walk(lr, curvature, noise, decay)
    t, k = _period_and_step(switch_every, steps_since_switch)
    own_noise = w.after(k).covariance * (w.h * w.rest)
    return w.variance(own_noise + w.live(k) * w.rho(k) * w.sema(t))


def sema_minus_ema_variance(
    lr: float, curvature: float, noise: float, decay: float, switch_every: int
) -> float:
    """V_SEMA - V_EMA = -[2 d**T b (C - V_EMA) + b**2 (V_SGD - V_EMA)] / (1 - rho**2), where
    b = (1-d) r (d**T - r**T)/(d - r). Right also where the two variances agree in all digits.

    With S_n = (d**n - r**n)/(d - r) it is
    -2 V_SGD d (1-d)**2 r h S_T S_(T+1) / [(1+d) (1 - d r) (1 - rho**2)], so for 0 < d < 1 and any
    T: negative for h < 1 (SEMA is the quieter one), zero at h = 1, positive for 1 < h < 1 + d,
    zero at h = 1 + d, negative beyond. Derived here.
    """
    w = _walk(lr, curvature, noise, decay)
    t = _period(switch_every)
    if w.gap == 0:
        return 0.0
    after = w.after(t)
    sums = w.gap * w.mixed_sum(t) * w.gap * w.mixed_sum(t + 1)
    below = (1 + w.d) * (w.gap + w.d * w.h) * after.shortfall * after.one_plus_rho
    return w.variance(-2 * w.d * w.r * sums / below)


# -- speed ------------------------------------------------------------------------------------


def contraction(
    method: str,
    lr: float,
    curvature: float,
    decay: float | None = None,
    switch_every: int | None = None,
) -> float:
    """The factor per step by which the error of the mean shrinks in the long run; 1: not at all.

    "sgd" |r|; "ema" max(|r|, d); "sema" |rho|**(1/T), for 0 < r < 1 and 0 < d < 1 above both;
    "lookahead" |d + (1-d) r**k|**(1/k) with d = 1 - s and k = `switch_every`; "swa" 1, because
    its error falls like 1/n: more slowly than by any factor below 1. Derived here.

    Raises:
        ValueError: an unknown method.
        TypeError: `decay` or `switch_every` is missing and the method needs it.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    sgd = abs(_walk(lr, curvature, 0.0, 0.0).r)
    if method in ("sgd", "swa"):
        return sgd if method == "sgd" else 1.0
    w = _walk(lr, curvature, 0.0, decay)
    if method == "ema":
        return max(sgd, w.d)
    t = _period(switch_every)
    if w.d == 0:
        return sgd
    if method == "lookahead":
        return root(w.d + w.gap * w.live(t), t)
    unit = max(w.log_d, w.log_r)  # rho itself may be too small for a float
    return math.exp(unit) * root(w.rho(t, unit), t)


def step_fraction(decay: float, switch_every: int) -> float:
    """phi = 1 - d (1 - d**T)/(T (1-d)), the freeze law: under a constant gradient SEMA moves this
    fraction of SGD's distance. 0 is frozen (d = 1), 1 is SGD (d = 0). Derived here."""
    t = _period(switch_every)
    # On a slope SGD's error grows by 1 a step: the limit of (1 - rho)/(h T) for h -> 0.
    return Walk(Fraction(0), check_fraction("decay", decay)).after(t).shortfall / t


def step_fraction_limit(u: float) -> float:
    """1 - (1 - e**-u)/u: `step_fraction` for long horizons and periods, u = T(1-d) >= 0.
    Derived here."""
    x = check_number("u", u, math.inf, ">= 0")
    if x >= 1:
        return 1 + math.expm1(-x) / x
    total, term = 0.0, x / 2  # x/2! - x**2/3! + x**3/4! - ...: near 0 the formula loses digits
    for n in range(3, 22):
        total, term = total + term, -term * x / n
    return total


# -- arguments --------------------------------------------------------------------------------


def _walk(lr: Any, curvature: Any, noise: Any, decay: Any) -> Walk:
    step = Fraction(check_finite("lr", lr))
    h = step * Fraction(check_finite("curvature", curvature))
    if not 0 < h < 2:
        raise ValueError(f"lr*curvature must be in (0, 2), got {lr!r}*{curvature!r}")
    q = (step * Fraction(check_finite("noise", noise))) ** 2
    return Walk(h, check_fraction("decay", decay), q / (h * (2 - h)))


def _cap(steps: int) -> int:
    """A period that floats can hold. Long before 2**1000 steps nothing changes any more: r**n and
    d**n are 0 (or 1, for h below 1e-298)."""
    return min(steps, 2**1000)


def _period(switch_every: Any) -> int:
    return _cap(check_count("switch_every", switch_every, 1))


def _period_and_step(switch_every: Any, steps_since_switch: Any) -> tuple[int, int]:
    t = check_count("switch_every", switch_every, 1)
    k = check_count("steps_since_switch", steps_since_switch, 0)
    if k > t:
        raise ValueError(f"steps_since_switch must be <= switch_every ({t}), got {k}")
    return _cap(t), _cap(k)
