"""The explorers of notebooks 01 and 06: an average of a signal, and what an update costs."""

from __future__ import annotations

import math
import random
from typing import Any

from . import theory
from .controls import Choice, Decay, Flag, Slider, Whole, ladder
from .explorer import Explorer, Measured
from .reference import EMA


class DecayExplorer(Explorer):
    """A noisy signal that jumps from 1 to 2, its EMA that begins at 0, and the weights of the past.

    Readout: `horizon` and `half_life` in steps; `bias`, the share d**n of the start that is left
    after the n steps shown (0 with the bias correction, which divides by 1 - d**n); `noise`,
    sqrt((1-d)/(1+d)): the standard deviation of the EMA's jitter as a share of the signal's, in
    the long run.
    Curves: `signal` and `average`, one number for each step.
    """

    STEPS = 200
    alt = (
        "Left: a noisy signal that jumps from 1 to 2, and its moving average, which follows more "
        "slowly and shakes less the larger the decay is. Right: the weight of each past step."
    )
    shares = (2.2, 1.0)

    decay = Decay(0.9)
    noise = Slider("noise of signal", 0.3, [0, *ladder(0.01, 1)])
    seed = Whole("seed", 0, 0, 10**9)
    bias_correction = Flag("bias correction", False)

    def _measure(self, state: dict[str, Any]) -> Measured:
        d, draw = state["decay"], random.Random(state["seed"]).gauss
        half = self.STEPS // 2
        signal = [(1 if k < half else 2) + draw(0, state["noise"]) for k in range(self.STEPS)]
        weights, average = [0.0], []
        ema = EMA(weights, d)
        for k, weights[0] in enumerate(signal, start=1):
            ema.update()
            average.append(ema.average[0] / (1 - d**k if state["bias_correction"] else 1))
        readout = {
            "horizon": theory.horizon(d),
            "half_life": theory.half_life(d),
            "bias": 0.0 if state["bias_correction"] else d**self.STEPS,
            "noise": math.sqrt((1 - d) / (1 + d)),
        }
        return Measured(readout, {"signal": signal, "average": average})

    def _paint(self) -> None:
        panels = self.canvas
        self._signal = panels.line(0, "live", linewidth=1, label="signal")
        self._average = panels.line(0, "ema", linewidth=2, linestyle="-", label="its average")
        self._weights = panels.line(1, "ema", linewidth=2, linestyle="-")
        self._half = panels.point(1, "sema", "D", label="half-life")
        title = "a noisy signal, and its average"
        panels.label(0, title, "upper left", xlim=(0, self.STEPS), ylim=(-1, 4), xlabel="step")
        title = "weight (newest: 1)"
        panels.label(1, title, "upper right", xlim=(0, 100), ylim=(0, 1.05), xlabel="steps ago")

    def _draw(self) -> None:
        steps = range(1, self.STEPS + 1)
        self._signal.set_data(steps, self.curves["signal"])
        self._average.set_data(steps, self.curves["average"])
        self._weights.set_data(range(101), [self.decay**k for k in range(101)])
        self._half.set_data([self.readout["half_life"]], [0.5])

    def _tell(self) -> str:
        read = self.readout
        return (
            f"d = {self.decay:.6g}: horizon {read['horizon']:.4g} steps, "
            f"half-life {read['half_life']:.3g} steps (diamond). After {self.STEPS} steps "
            f"{read['bias']:.2%} of the start is left. "
            f"The average jitters {read['noise']:.3g} times as much as the signal."
        )


class UpdateCostExplorer(Explorer):
    """A model of the time of one averaged update: calls take time, and so do bytes.

    An update reads the live weights and the average and writes the average: 12 bytes for each
    float32 number. A loop makes one call for each tensor; `_foreach_` puts up to 64 tensors into
    one launch; a flat buffer needs one. Calls are prepared while bytes move, so the slower of the
    two decides. A model, not a measurement.

    Readout: `launches`, `bytes`, `microseconds`, `limit` ("launches" or "bytes").
    Curves: `tensors`, and the microseconds of `loop`, `foreach`, `flat`.
    """

    GROUP = 64  # tensors in one launch of torch's `_foreach_` kernels with two lists
    BYTES = 12
    WAYS = ("loop", "foreach", "flat")
    alt = (
        "Time of one update against the number of tensors. The loop's time rises with every "
        "tensor, foreach stays below it, and a flat buffer is the fastest until bytes decide."
    )
    height = 310

    tensors = Slider("tensors", 100, [1, *ladder(1, 10_000)], whole=True)
    numbers = Slider("numbers each", 1000, [1, *ladder(1, 10**7)], whole=True)
    call_us = Slider("µs for a call", 5.0, ladder(0.5, 100))
    gbytes_per_s = Slider("memory, GB/s", 1000.0, ladder(1, 10_000))
    way = Choice("way", "loop", WAYS)

    def _measure(self, state: dict[str, Any]) -> Measured:
        counts = sorted({int(count) for count in [1, *ladder(1, 10_000)]})
        curves: dict[str, Any] = {
            way: [self._cost({**state, "way": way}, count)["microseconds"] for count in counts]
            for way in self.WAYS
        }
        readout = self._cost(state, state["tensors"])
        return Measured(readout, {"tensors": counts, **curves})

    def _cost(self, state: dict[str, Any], tensors: int) -> dict[str, Any]:
        per_call = {"loop": 1, "foreach": self.GROUP, "flat": tensors}[state["way"]]
        launches = math.ceil(tensors / per_call)
        moved = self.BYTES * tensors * state["numbers"]
        calling = launches * state["call_us"]
        moving = moved / (state["gbytes_per_s"] * 1e3)  # 1 GB/s is 1000 bytes in a microsecond
        return {
            "launches": launches,
            "bytes": moved,
            "microseconds": max(calling, moving),
            "limit": "launches" if calling >= moving else "bytes",
        }

    def _paint(self) -> None:
        panels, methods = self.canvas, ("sgd", "ema", "swa")
        self._lines = {
            way: panels.line(0, method, linewidth=2, label=way)
            for way, method in zip(self.WAYS, methods, strict=True)
        }
        self._here = panels.point(0, "sema", "D", label="here")
        log = {"xscale": "log", "yscale": "log", "xlabel": "tensors"}
        title = "time of one update, in microseconds"
        panels.label(0, title, "upper left", xlim=(1, 1e4), ylim=(0.3, 1e7), **log)

    def _draw(self) -> None:
        for way, line in self._lines.items():
            line.set_data(self.curves["tensors"], self.curves[way])
            line.set_linewidth(3 if way == self.way else 1.5)
        self._here.set_data([self.tensors], [self.readout["microseconds"]])

    def _tell(self) -> str:
        read = self.readout
        calls = "1 call" if read["launches"] == 1 else f"{read['launches']} calls"
        return (
            f"{self.way}: {calls} of {self.call_us:g} µs, {read['bytes'] / 1e6:.4g} MB at "
            f"{self.gbytes_per_s:g} GB/s: {read['microseconds']:.4g} µs, and "
            f"{read['limit']} decide."
        )
