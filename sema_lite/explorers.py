"""The explorers of notebooks 02 and 04: the noisy quadratic, by the formulas of `theory`."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from typing import Any

from matplotlib.ticker import FixedLocator, NullLocator

from . import theory
from .controls import Decay, Slider, ladder
from .explorer import Explorer, Measured
from .plots import COLOURS

PERIODS = [1, *ladder(1, 10_000)]
LEARNING_RATES = ladder(0.001, 10)
CURVATURES = ladder(0.01, 10)


class NoiseFloorExplorer(Explorer):
    """The variance of SGD and of its EMA on the noisy quadratic, and a walk with both floors.

    Readout: `v_sgd`, `v_ema`, `ratio` V_EMA/V_SGD, `h` = lr*curvature.
    Curves: `lr`, `v_sgd`, `v_ema` of the left panel.
    """

    STEPS = 300
    alt = (
        "Left: the variance of SGD and of its average against the learning rate; both rise, the "
        "average lies below. Right: a walk of both, with bands one standard deviation wide."
    )
    shares = (1.0, 1.2)

    lr = Slider("learning rate", 0.1, LEARNING_RATES)
    decay = Decay(0.9)
    curvature = Slider("curvature", 1.0, CURVATURES)
    noise = Slider("gradient noise", 1.0, ladder(0.1, 10))

    def _measure(self, state: dict[str, Any]) -> Measured:
        lr, a, s, d = (state[name] for name in ("lr", "curvature", "noise", "decay"))
        sgd, ema = theory.sgd_variance(lr, a, s), theory.ema_variance(lr, a, s, d)
        readout = {"v_sgd": sgd, "v_ema": ema, "ratio": ema / sgd, "h": lr * a}
        return Measured(readout, _floors(a, s, d))

    def _paint(self) -> None:
        panels, points = self.canvas, {"linestyle": "-", "linewidth": 2}
        self._sgd = panels.line(0, "sgd", label="SGD")
        self._ema = panels.line(0, "ema", linewidth=2, label="its EMA")
        self._limit = panels.line(0, "theory", linestyle=":", label="SGD diverges")
        self._sgd_point, self._ema_point = panels.point(0, "sgd"), panels.point(0, "ema", "D")
        self._live = panels.line(1, "live", linewidth=1, label="SGD")
        self._average = panels.line(1, "ema", **points, label="its EMA")
        self._band = [panels.line(1, "ema", linewidth=1) for _ in range(2)]
        panels.axes[1].axhspan(-1, 1, color="0.9", zorder=0)
        log = {"xscale": "log", "yscale": "log", "xlabel": "learning rate"}
        title = "variance of the weight"
        panels.label(0, title, "upper left", xlim=(1e-3, 10), ylim=(1e-6, 1e3), **log)
        title = "a walk (SGD's deviation: 1)"
        panels.label(1, title, "upper left", xlim=(0, self.STEPS), ylim=(-4, 5), xlabel="step")

    def _draw(self) -> None:
        read, curves = self.readout, self.curves
        self._sgd.set_data(curves["lr"], curves["v_sgd"])
        self._ema.set_data(curves["lr"], curves["v_ema"])
        self._limit.set_data([2 / self.curvature] * 2, [1e-9, 1e9])
        self._sgd_point.set_data([self.lr], [read["v_sgd"]])
        self._ema_point.set_data([self.lr], [read["v_ema"]])
        live, average = self._walk()
        self._live.set_data(range(len(live)), live)
        self._average.set_data(range(len(average)), average)
        for line, side in zip(self._band, (-1, 1), strict=True):
            line.set_data([0, self.STEPS], [side * math.sqrt(read["ratio"])] * 2)

    def _walk(self) -> tuple[list[float], list[float]]:
        """SGD and its EMA in units of SGD's standard deviation, from a draw of the long run."""
        d, h, v_sgd = self.decay, self.readout["h"], self.readout["v_sgd"]
        draw = random.Random(0).gauss
        covariance = theory.ema_covariance(self.lr, self.curvature, self.noise, d) / v_sgd
        w = draw(0, 1)
        rest = max(0.0, self.readout["ratio"] - covariance**2)
        average = covariance * w + math.sqrt(rest) * draw(0, 1)
        kick = math.sqrt(h * (2 - h))  # keeps the variance of w at 1
        lives, averages = [w], [average]
        for _ in range(self.STEPS):
            w = (1 - h) * w + kick * draw(0, 1)
            average = d * average + (1 - d) * w
            lives.append(w)
            averages.append(average)
        return lives, averages

    def _tell(self) -> str:
        read = self.readout
        return (
            f"h = lr * curvature = {read['h']:.4g} (diverges at 2, dotted). "
            f"V_SGD = {read['v_sgd']:.4g}, V_EMA = {read['v_ema']:.4g}: "
            f"the EMA keeps {read['ratio']:.3g} of SGD's variance."
        )


@lru_cache(maxsize=64)
def _floors(curvature: float, noise: float, decay: float) -> dict[str, list[float]]:
    limit = 2 / curvature
    rates = [rate for rate in (10 ** (i / 8 - 3) for i in range(33)) if rate < limit]
    near = (limit * (1 - 10 ** (-i / 4)) for i in range(1, 17))  # the curves turn sharply there
    rates = sorted({*rates, *(rate for rate in near if rate <= 10)})
    return {
        "lr": rates,
        "v_sgd": [theory.sgd_variance(lr, curvature, noise) for lr in rates],
        "v_ema": [theory.ema_variance(lr, curvature, noise, decay) for lr in rates],
    }


class SemaExplorer(Explorer):
    """Switch EMA in closed form: what it does to the variance, and how far it still moves.

    The gradient noise has standard deviation 1. Readout: `u` = T(1-d), `step_fraction`, `v_sgd`,
    `v_ema`, `v_sema` (the average at a switch), `gain` V_SEMA/V_EMA.
    Curves: `decay`, and `ema`, `sema`, `live` (just before a switch) as shares of V_SGD; `u` and
    `step_fraction` for many periods.
    """

    alt = (
        "Left: variance against the decay. SGD's is level, EMA's falls, Switch EMA's lies a "
        "little below EMA's. Right: the share of SGD's steps that is left; it rises with u."
    )
    shares = (1.15, 1.0)

    decay = Decay(0.99)
    switch_every = Slider("switch every T", 100, PERIODS, whole=True)
    lr = Slider("learning rate", 0.02, LEARNING_RATES)
    curvature = Slider("curvature", 1.0, CURVATURES)

    def _measure(self, state: dict[str, Any]) -> Measured:
        lr, a, d, t = (state[name] for name in ("lr", "curvature", "decay", "switch_every"))
        ema, sema = theory.ema_variance(lr, a, 1, d), theory.sema_variance(lr, a, 1, d, t)
        readout = {
            "u": theory.period_in_horizons(d, t),
            "step_fraction": theory.step_fraction(d, t),
            "v_sgd": theory.sgd_variance(lr, a, 1),
            "v_ema": ema,
            "v_sema": sema,
            "gain": sema / ema,
        }
        return Measured(readout, {**_variances(lr, a, t), **_freeze_law(d)})

    def _paint(self) -> None:
        panels = self.canvas
        panels.axes[0].axhline(1, color=COLOURS["sgd"], linewidth=1, label="SGD")
        styles = {
            "live": {"linestyle": ":", "label": "SEMA, live"},
            "ema": {"label": "EMA"},
            "sema": {"label": "SEMA, average"},
        }
        self._lines = {m: panels.line(0, m, linewidth=2, **style) for m, style in styles.items()}
        self._ema, self._sema = panels.point(0, "ema"), panels.point(0, "sema", "D")
        self._law = panels.line(1, "sema", linewidth=2, label="this decay")
        self._fraction = panels.point(1, "sema", "D")
        log = {"xscale": "log", "yscale": "log", "xlabel": "decay d"}
        title = "variance of the weight (SGD: 1)"
        panels.label(0, title, "lower left", xlim=(1, 1e4), ylim=(2e-5, 3), **log)
        horizons = panels.axes[0].xaxis
        horizons.set_major_locator(FixedLocator([1, 10, 100, 1000, 10000]))
        horizons.set_minor_locator(NullLocator())
        horizons.set_ticklabels(["0", "0.9", "0.99", "0.999", "0.9999"])
        ax, us = panels.axes[1], [10 ** (i / 20) for i in range(-80, 81)]
        limit = [theory.step_fraction_limit(u) for u in us]
        ax.plot(us, limit, color="0.4", linestyle=":", label="long horizon")
        ax.axvspan(1e-4, 0.1, color="0.92", zorder=0)
        ax.text(0.0014, 0.55, "frozen", fontsize=9)
        title = "way on a slope (SGD: 1)"
        log = {"xscale": "log", "xlabel": "u = T(1-d)"}
        panels.label(1, title, "upper left", xlim=(1e-3, 1e3), ylim=(0, 1.05), **log)

    def _draw(self) -> None:
        read, curves = self.readout, self.curves
        horizons = [theory.horizon(d) for d in curves["decay"]]
        for name, line in self._lines.items():
            line.set_data(horizons, curves[name])
        here = [theory.horizon(self.decay)]
        self._ema.set_data(here, [read["v_ema"] / read["v_sgd"]])
        self._sema.set_data(here, [read["v_sema"] / read["v_sgd"]])
        self._law.set_data(curves["u"], curves["step_fraction"])
        self._fraction.set_data([read["u"]], [read["step_fraction"]])

    def _tell(self) -> str:
        read = self.readout
        return (
            f"u = T(1-d) = {read['u']:.4g}: SEMA moves {read['step_fraction']:.3g} of SGD's way. "
            f"V_SGD = {read['v_sgd']:.4g}, V_EMA = {read['v_ema']:.4g}, "
            f"V_SEMA = {read['v_sema']:.4g}, that is {read['gain']:.4g} of V_EMA."
        )


@lru_cache(maxsize=64)
def _variances(lr: float, curvature: float, period: int) -> dict[str, list[float]]:
    decays = [1 - 10 ** (-i / 8) for i in range(33)]
    sgd = theory.sgd_variance(lr, curvature, 1)
    ema = [theory.ema_variance(lr, curvature, 1, d) / sgd for d in decays]
    sema = [theory.sema_variance(lr, curvature, 1, d, period) / sgd for d in decays]
    forgotten = (1 - lr * curvature) ** (2 * period)  # as in `theory.sema_live_variance`
    live = [1 - forgotten * (1 - share) for share in sema]
    return {"decay": decays, "ema": ema, "sema": sema, "live": live}


@lru_cache(maxsize=64)
def _freeze_law(decay: float) -> dict[str, list[float]]:
    periods = sorted({round(10 ** (i / 6)) for i in range(25)})
    return {
        "u": [theory.period_in_horizons(decay, t) for t in periods],
        "step_fraction": [theory.step_fraction(decay, t) for t in periods],
    }
