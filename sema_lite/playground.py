"""The landscape playground of notebook 05: a walk, its average, and a button to watch it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

from . import plots, theory
from .controls import Choice, Decay, Slider, Whole, ladder, look
from .explorer import Explorer, Measured
from .landscapes import LANDSCAPES, Landscape, Path, walk
from .reference import EMA, SEMA, SWA, Average, Lookahead

FAR = 1e6  # what is further out is drawn here: it is out of the picture anyway
LOSSES = (1e-4, 1e2)  # what the picture shows
SHORT = {
    "curved valley": "curved",
    "asymmetric valley": "asymm.",
    "noisy quadratic": "quadratic",
}


def average_maker(method: str, decay: float, switch_every: int) -> Callable[[list[float]], Average]:
    """What `landscapes.walk` needs to walk with `method`. SWA takes in every step; Lookahead goes
    a fraction 1-d of the way every `switch_every` steps."""
    makers: dict[str, Callable[[list[float]], Average]] = {
        "sgd": lambda w: EMA(w, 0.0),  # at decay 0 the average is the live weights
        "ema": lambda w: EMA(w, decay),
        "swa": lambda w: SWA(w),
        "sema": lambda w: SEMA(w, decay, switch_every=switch_every),
        "lookahead": lambda w: Lookahead(w, k=switch_every, s=1 - decay),
    }
    return makers[method]


class LandscapePlayground(Explorer):
    """One walker on a toy landscape. It is `landscapes.walk` with the same seed, exactly.

    Readout: `loss_live` and `loss_average` at the end, `switches`, `u` = T(1-d).
    Curves: `live` and `average`, lists of points, number 0 is the start; `switched`, a list of
    steps; `gone`, the step at which the live weights leave the picture for good, or None. A walk
    that diverges is shown as far as it went, and `message` says so.
    """

    alt = (
        "Left: contours of a landscape with its minima (+), the path of the live weights and that "
        "of their average, with a diamond at each switch. Right: the loss of both at each step."
    )
    height = 370
    shares = (1.9, 1.0)

    landscape = Choice("landscape", "two wells", list(LANDSCAPES), SHORT)
    method = Choice("method", "sema", theory.METHODS)
    lr = Slider("learning rate", 0.02, ladder(0.001, 1))
    noise = Slider("gradient noise", 1.0, [0, *ladder(0.1, 10)])
    decay = Decay(0.9)
    switch_every = Slider("switch every T", 20, [1, *ladder(1, 1000)], whole=True)
    steps = Whole("steps", 200, 1, 2000)
    seed = Whole("seed", 0, 0, 10**9)

    def __init__(self, **settings: Any) -> None:
        self._scenery: list[Any] = []  # what `plots.landscape` drew
        self._scenery_of = ""
        super().__init__(**settings)
        self._connect()

    # -- the walk ---------------------------------------------------------------------------------

    def _measure(self, state: dict[str, Any]) -> Measured:
        ground, note = LANDSCAPES[state["landscape"]], ""
        try:
            path = _walk(ground, state, state["steps"])
        except ValueError as error:
            found = re.search(r"diverged at step (\d+)", str(error))
            if not found:
                raise
            note = f"The walk diverged at step {found[1]}: lower the learning rate."
            path = _walk(ground, state, int(found[1]) - 1)  # the same noise: the part before it
        readout = {
            "loss_live": _loss(ground, path.live[-1]),
            "loss_average": _loss(ground, path.average[-1]),
            "switches": len(path.switched),
            "u": theory.period_in_horizons(state["decay"], state["switch_every"]),
        }
        gone = _gone(ground, path)
        if gone is not None and not note:
            note = f"The walk leaves the picture at step {gone}: lower the learning rate."
        curves = {
            "live": path.live,
            "average": path.average,
            "switched": path.switched,
            "gone": gone,
        }
        return Measured(readout, curves, note)

    def _tell(self) -> str:
        read = self.readout
        words = f"Loss at the end: live {read['loss_live']:.3g}, average {read['loss_average']:.3g}"
        if self.method in theory.USES["switch_every"]:
            words += f"; {read['switches']} switches (diamonds)"
        if self.method == "sema":
            words += f", u = T(1-d) = {read['u']:.3g}"
        return words + "."

    # -- the picture ------------------------------------------------------------------------------

    def _paint(self) -> None:
        panels, thin = self.canvas, {"linewidth": 0.8}
        # Black, not the grey of live weights elsewhere: contours are grey.
        self._lives = [panels.line(panel, "sgd", **thin) for panel in (0, 1)]
        self._averages = [panels.line(panel, "sema", linewidth=1.8) for panel in (0, 1)]
        self._switches = panels.point(0, "sema", "D", markersize=5)
        self._ends = [panels.point(0, "sgd"), panels.point(0, "sema")]
        ground = panels.axes[0]
        self._name = panels.moving(ground.text(1, 1.02, "", ha="right", transform=ground.transAxes))
        panels.label(1, "loss (black: live)", yscale="log", ylim=LOSSES, xlabel="step")

    def _set_ground(self) -> tuple[str, int]:
        """Axes of the present landscape. Contours are drawn once for each, then kept as pixels."""
        ground, loss = self.canvas.axes
        landscape = LANDSCAPES[self.landscape]
        left, right, low, high = landscape.window
        ground.set(xlim=(left, right), ylim=(low, high))
        loss.set(xlim=(0, self.steps))
        key = (self.landscape, self.steps)
        if not self.canvas.has(key) and self._scenery_of != self.landscape:
            for artist in self._scenery:
                artist.remove()
            before = set(ground.get_children())
            plots.landscape(ground, landscape)
            self.canvas.label(0, self.landscape)
            self._scenery = [each for each in ground.get_children() if each not in before]
            self._scenery_of = self.landscape
        return key

    def _draw(self) -> tuple[str, int]:
        key, curves = self._set_ground(), self.curves
        count = 1 + min(self._play.value, len(curves["live"]) - 1)
        inside = count if curves["gone"] is None else min(count, curves["gone"] + 1)
        averaged, colour = self.method != "sgd", plots.COLOURS[self.method]
        switched = [step for step in curves["switched"] if step < inside]
        for name, lines, end in zip(
            ("live", "average"), (self._lives, self._averages), self._ends, strict=True
        ):
            points = np.clip(np.array(curves[name][:count]), -FAR, FAR)
            lines[0].set_data(*points[:inside].T)
            loss = LANDSCAPES[self.landscape].loss(*points.T)
            lines[1].set_data(range(count), np.clip(loss, *LOSSES))  # along the edge, if beyond
            end.set_data(*points[inside - 1 : inside].T)
        self._switches.set_data(*points[switched].T)  # the last points are those of the average
        for artist in (*self._averages, self._switches, self._ends[1], self._name):
            artist.set(color=colour, visible=averaged)
        for line in self._averages:
            line.set_linestyle(plots.DASHES[self.method])
        self._name.set_text(f"average ({self.method})")
        return key

    # -- playing ----------------------------------------------------------------------------------

    def _extra_controls(self) -> list[Any]:
        # `Play` keeps the time in the browser: it asks for one frame after the other and skips late
        # ones. Its own buttons have no names for screen readers, so it is not shown.
        self._play = ipywidgets.Play(interval=60, layout=ipywidgets.Layout(display="none"))
        self._playing = "playing" if self._play.has_trait("playing") else "_playing"  # version 7
        self._slider = ipywidgets.IntSlider(**look("step shown"))
        self._button = ipywidgets.Button(description="Play", icon="play")
        self._button.on_click(lambda _: self.pause() if self.playing else self.play())
        return [self._slider, self._button, self._play]

    def _connect(self) -> None:
        ipywidgets.link((self._play, "value"), (self._slider, "value"))
        self._play.observe(self._show_frame, "value")
        self._play.observe(self._show_playing, self._playing)

    def _commit(self, state: dict[str, Any], measured: Measured) -> None:
        steps = len(measured.curves["live"]) - 1
        with self._no_listening():
            for each in (self._play, self._slider):
                each.max = steps
            self._play.step = max(1, steps // 100)
            if not self.playing:
                self._play.value = steps
        for name, methods in theory.USES.items():
            self._controls[name].disabled = state["method"] not in methods
        super()._commit(state, measured)

    def _show_frame(self, _: Any) -> None:
        if not self._quiet:
            self._redraw()

    def _show_playing(self, _: Any) -> None:
        self._button.description = "Pause" if self.playing else "Play"
        self._button.icon = "pause" if self.playing else "play"
        if not self.playing and self._play.value > self._play.max - self._play.step:
            self._play.value = self._play.max  # the last frame may be a shorter step away

    @property
    def playing(self) -> bool:
        """Whether the walk is being played."""
        return bool(getattr(self._play, self._playing))

    def play(self) -> None:
        """Show the walk step by step, from the beginning if it is at its end."""
        if self._play.value >= self._play.max:
            self._play.value = 0
        setattr(self._play, self._playing, True)

    def pause(self) -> None:
        """Stop at the step that is shown."""
        setattr(self._play, self._playing, False)


def _walk(ground: Landscape, state: dict[str, Any], steps: int) -> Path:
    maker = average_maker(state["method"], state["decay"], state["switch_every"])
    return walk(ground, maker, state["lr"], steps, noise=state["noise"], seed=state["seed"])


def _gone(ground: Landscape, path: Path) -> int | None:
    """The step at which the live weights go further from the window than it is wide, for good."""
    left, right, low, high = ground.window
    wide, tall = right - left, high - low
    x, y = np.array(path.live).T
    inside = (abs(x - (left + right) / 2) < 1.5 * wide) & (abs(y - (low + high) / 2) < 1.5 * tall)
    return None if inside[-1] else int(np.flatnonzero(inside)[-1]) + 1


def _loss(ground: Landscape, point: tuple[float, float]) -> float:
    try:
        return float(ground.loss(*point))
    except OverflowError:  # from x**2 of a walk that is about to diverge
        return math.inf
