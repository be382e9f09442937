"""The explorer of notebook 07: the decision boundary of a small network, and that of its average.

All 50 epochs of a setting are trained at once and kept, so the slider of the epoch shows without
training.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from . import plots, theory
from .controls import Choice, Decay, Slider, Whole, ladder
from .explorer import Explorer, Measured
from .fast_mlp import EPOCHS, Array, begin, log_odds, network, train
from .landscapes import Window

WINDOW: Window = (-1.6, 1.6, -1.6, 1.6)
GRID = 81  # points along each side
BAND = math.log(3)  # the log-odds at p = .75; at .25 they are the negative of it


_trained = lru_cache(maxsize=64)(train)  # each keeps half a megabyte


class DecisionBoundaryExplorer(Explorer):
    """Two circles: where the network decides, and how wide the band is in which it is not sure.

    Readout: `accuracy_live`, `accuracy_average`, `nll_live`, `nll_average` on 4,000 test points,
    `width_live`, `width_average` (`calibration.boundary_width`; NaN: all is of one class), `u`.
    Curves: `nll_live` and `nll_average` after each epoch, 0 is the start; `live` and `average`,
    the log-odds of class 1 on a grid, (81, 81).
    """

    alt = (
        "Left: training points on two noisy circles over the probability of the inner one by the "
        "averaged weights, with the boundary and the band from 25 to 75 % of the live and the "
        "averaged weights. Right: test NLL of both after each epoch."
    )
    height = 318
    shares = (1.15, 1.0)

    method = Choice("method", "sema", theory.METHODS)
    lr = Slider("learning rate", 0.1, ladder(0.001, 0.5))
    decay = Decay(0.99, longest=1000)
    switch_every = Slider("switch every T", 40, [1, *ladder(1, 2000)], whole=True)
    epoch = Slider("epoch shown", EPOCHS, range(EPOCHS + 1), whole=True)
    seed = Whole("seed", 0, 0, 10**9)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name in ("lr", "decay", "switch_every"):
            # Each stop is a training: with the mouse only the one where it is let go.
            self._controls[name].continuous_update = False

    def _measure(self, state: dict[str, Any]) -> Measured:
        from .calibration import boundary_width

        method, epoch, note = state["method"], state["epoch"], ""
        knobs = {
            name: state[name] if method in theory.USES[name] else self.settings[name].initial
            for name in theory.USES
        }
        self._say("Training ...")  # seen only if it takes long
        run = _trained(method, state["lr"], seed=state["seed"], **knobs)
        if epoch >= len(run.live):
            epoch = len(run.live) - 1
            note = f"The weights overflowed after epoch {epoch}: lower the learning rate."
        readout = {name: values[epoch] for name, values in run.scores.items()}
        curves: dict[str, Any] = {n: v for n, v in run.scores.items() if n.startswith("nll")}
        for name, weights in (("live", run.live[epoch]), ("average", run.averaged[epoch])):
            readout[f"width_{name}"] = boundary_width(network(weights), WINDOW, GRID)
            curves[name] = log_odds(weights, _grid()).reshape(GRID, GRID)
        readout["u"] = theory.period_in_horizons(state["decay"], state["switch_every"])
        return Measured(readout, curves, note)

    def _tell(self) -> str:
        read = self.readout

        def words(name: str) -> str:
            width = read[f"width_{name}"]
            wide = f"width {width:.3f}" if math.isfinite(width) else "no boundary"
            accuracy, nll = 100 * read[f"accuracy_{name}"], read[f"nll_{name}"]
            return f"{name}: {accuracy:.1f} % right, NLL {nll:.3f}, {wide}"

        parts = [words("live")] + [words("average")] * (self.method != "sgd")
        if self.method == "sema":
            parts.append(f"u = T(1-d) = {read['u']:.3g}")
        return f"After epoch {self.epoch}, {'; '.join(parts)}."

    # -- the picture ------------------------------------------------------------------------------

    def _paint(self) -> None:
        panels = self.canvas
        ground = panels.axes[0]
        self._shade = panels.moving(
            ground.imshow(
                np.zeros((GRID, GRID)),
                cmap="PRGn",
                vmin=0,
                vmax=1,
                extent=WINDOW,
                origin="lower",
                alpha=0.5,
                interpolation="bilinear",
                aspect="auto",
            )
        )
        small = {"marker": "o", "markersize": 2.5, "linestyle": "none"}
        self._points = [
            panels.line(0, "live", **{**small, "color": colour})
            for colour in ("#40004b", "#00441b")
        ]
        for name, method, width in (("live", "sgd", 1.0), ("average", "sema", 1.8)):
            edges = panels.line(0, method, linestyle=":", linewidth=width)
            middle = panels.line(0, method, linestyle="-", linewidth=width)
            curve = panels.line(1, method, linestyle="-", linewidth=width)
            end = panels.point(1, method, markersize=7)
            setattr(self, f"_{name}", (edges, middle, curve, end))
        self._name = panels.moving(ground.text(1, 1.02, "", ha="right", transform=ground.transAxes))
        left, right, low, high = WINDOW
        limits: Any = {"xlim": (left, right), "ylim": (low, high)}
        panels.label(0, "black: live", xlabel="solid: p = .5; dotted: .25 and .75", **limits)
        ground.grid(False)
        panels.label(1, "test NLL", xlabel="epoch", xlim=(-1, EPOCHS + 1), ylim=(0.2, 0.75))

    def _draw(self) -> None:
        curves, data = self.curves, begin(self.seed)[1]
        for label, points in enumerate(self._points):
            points.set_data(*data[0][data[1] == label].T)
        shown = min(self.epoch, len(curves["nll_live"]) - 1)
        averaged, colour = self.method != "sgd", plots.COLOURS[self.method]
        for name in ("live", "average"):
            edges, middle, curve, end = artists = getattr(self, f"_{name}")
            middle.set_data(*_contours(curves[name], 0.0))
            edges.set_data(*_contours(curves[name], -BAND, BAND))
            nll = curves[f"nll_{name}"]
            curve.set_data(range(len(nll)), nll)
            end.set_data([shown], [nll[shown]])
            for artist in artists if name == "average" else ():
                artist.set(color=colour, visible=averaged)
        self._name.set(text=f"average ({self.method})", color=colour, visible=averaged)
        self._shade.set_data(1 / (1 + np.exp(-curves["average"].clip(-30, 30))))


@lru_cache(maxsize=1)
def _grid() -> Array:
    """(81 * 81, 2) points of the window; x changes fastest."""
    left, right, low, high = WINDOW
    x, y = np.meshgrid(np.linspace(left, right, GRID), np.linspace(low, high, GRID))
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def _contours(z: Array, *levels: float) -> Array:
    """(2, points): the lines on which z has these levels, a NaN after each."""
    from contourpy import LineType, contour_generator

    left, right, low, high = WINDOW
    x, y = np.linspace(left, right, GRID), np.linspace(low, high, GRID)
    lines: Any = contour_generator(x, y, z, line_type=LineType.Separate)
    gap = np.full((1, 2), np.nan)
    parts = [part for level in levels for line in lines.lines(level) for part in (line, gap)]
    return np.concatenate(parts).T if parts else np.zeros((2, 0))
