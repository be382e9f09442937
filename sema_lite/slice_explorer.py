"""The explorer of notebook 08: slices of the loss through live, averaged and rewritten weights."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .controls import Choice, Flag, Slider, Whole, ladder
from .explorer import Explorer, Measured

if TYPE_CHECKING:  # at run time torch is imported when a network is trained, not with the widgets
    from torch import nn

    from .ensemble import ManyMLPs
    from .points import PointData
    from .surfaces import Direction

METHODS = ("ema", "swa", "sema")
EPOCHS, BATCH, LEARNING_RATE, DECAY = 25, 10, 0.1, 0.99
PLACES = 41  # of each slice


class Solution(NamedTuple):
    """Where a run ended: its last live weights, and their average."""

    live: nn.Sequential
    average: nn.Sequential


class LossSliceExplorer(Explorer):
    """The loss of a small network on two circles, along two lines through its weights.

    Left, the line from the live weights (0) to their average (1). Right, a random line through the
    average, and the same for its twin: the network with its first layer times `factor` and its
    second divided by it, which computes the same. With `normalised` each filter of the direction is
    as long as that of the weights; without, both networks take the very same steps.

    The networks are trained when the first explorer is made, in about a second: 25 epochs at a
    learning rate of 0.1.

    Readout: `loss_live` and `loss_average` on the training points, `test_live` and `test_average`
    on the test points; `distance` of the two in the weights; `rise` and `rise_twin`: how much
    higher the loss lies at both ends of the right slice, on average.
    Curves: `between` (live 0, average 1) with `train` and `test`; `alpha` with `slice` and `twin`.
    """

    alt = (
        "Left: the loss on the line from the live weights to their average, for training and test "
        "points. Right: the loss on a random line through the average, and the same for a twin "
        "that computes the same with other weights."
    )
    height = 310
    shares = (1.0, 1.0)

    method = Choice("average", "ema", METHODS)
    seed = Whole("direction", 0, 0, 10**6)
    span = Slider("span", 1.0, ladder(0.1, 3))
    factor = Slider("twin's factor", 4.0, ladder(0.1, 10))
    normalised = Flag("normalise filters", True)

    def _measure(self, state: dict[str, Any]) -> Measured:
        between = _between(state["method"])
        _, networks = _trained()
        average = networks[state["method"]].average
        span, half = state["span"], PLACES // 2
        alphas = [span * (i - half) / half for i in range(PLACES)]
        slices = _slices(average, state["factor"], state["normalised"], state["seed"], alphas)
        rises = [(values[0] + values[-1]) / 2 - values[half] for values in slices]
        at = [i for i, place in enumerate(between["between"]) if place in (0, 1)]
        readout = {
            **{
                f"loss_{name}": between["train"][i]
                for name, i in zip(("live", "average"), at, strict=True)
            },
            **{
                f"test_{name}": between["test"][i]
                for name, i in zip(("live", "average"), at, strict=True)
            },
            "distance": between["distance"],
            "rise": rises[0],
            "rise_twin": rises[1],
        }
        curves = {name: between[name] for name in ("between", "train", "test")}
        return Measured(readout, {**curves, "alpha": alphas, "slice": slices[0], "twin": slices[1]})

    def _paint(self) -> None:
        panels = self.canvas
        self._train = panels.line(0, "theory", linewidth=2, label="training points")
        self._test = panels.line(0, "sgd", linewidth=1.5, linestyle="--", label="test points")
        self._live = panels.point(0, "live", "s", label="live")
        self._average = panels.point(0, "ema", "D", label="average")
        self._slice = panels.line(1, "ema", linestyle="-", linewidth=2.5, label="the average")
        self._twin = panels.line(1, "sema", linestyle="--", linewidth=1.8, label="its twin")
        self._here = panels.point(1, "ema", "D")
        title, step = "the loss, from live to average", "step (1: as long as the weights)"
        limits = {"xlim": (-1, 2), "ylim": (0.1, 1.0)}
        panels.label(0, title, "upper center", xlabel="share of the way", **limits)
        panels.label(1, "on a random line", "upper center", ylim=(0, 2), xlabel=step)

    def _draw(self) -> Any:
        read, curves = self.readout, self.curves
        self._train.set_data(curves["between"], curves["train"])
        self._test.set_data(curves["between"], curves["test"])
        self._live.set_data([0], [read["loss_live"]])
        self._average.set_data([1], [read["loss_average"]])
        self._slice.set_data(curves["alpha"], curves["slice"])
        self._twin.set_data(curves["alpha"], curves["twin"])
        self._here.set_data([0], [read["loss_average"]])
        self.canvas.axes[1].set_xlim(-self.span, self.span)
        return self.span

    def _tell(self) -> str:
        read = self.readout
        return (
            f"Training loss: live {read['loss_live']:.4f}, average {read['loss_average']:.4f}, "
            f"{read['distance']:.3g} apart. Both ends of the right slice lie "
            f"{read['rise']:.3g} higher; {read['rise_twin']:.3g} for the twin, "
            "which computes the same."
        )


@lru_cache(maxsize=1)
def _trained() -> tuple[PointData, dict[str, Solution]]:
    """Training points and, for each method, where its run ended: before the last switch."""
    from .compare import train_models
    from .points import circles
    from .run import Run

    data = circles(0)
    solutions: dict[str, Solution] = {}
    for method in METHODS:
        run = Run(
            data="circles",
            method=method,
            decay=DECAY,
            lr=LEARNING_RATE,
            epochs=EPOCHS,
            batch_size=BATCH,
            weight_decay=0.0,
        )
        found: dict[str, nn.Sequential] = {}

        def look(weights: str, models: ManyMLPs, found: dict[str, Any] = found) -> None:
            found[weights] = models.member(0)

        train_models(run, [0], [data], [EPOCHS], look)
        solutions[method] = Solution(found["live"], found["averaged"])
    return data, solutions


@lru_cache(maxsize=len(METHODS))
def _between(method: str) -> dict[str, Any]:
    from torch.nn import functional as F

    from .surfaces import loss_slice

    data, networks = _trained()
    live, average = networks[method]
    end = dict(average.named_parameters())
    way = {name: (end[name] - w).detach() for name, w in live.named_parameters()}
    places = [round(i / 10 - 1, 1) for i in range(31)]
    tests = (data.train_x, data.train_y), (data.test_x, data.test_y)
    train, test = (loss_slice(live, F.cross_entropy, *t, way, places).tolist() for t in tests)
    distance = sum(float(part.square().sum()) for part in way.values()) ** 0.5
    return {"between": places, "train": train, "test": test, "distance": distance}


def _slices(
    net: nn.Sequential, factor: float, normalised: bool, seed: int, alphas: list[float]
) -> list[list[float]]:
    """The loss on a random line through `net`, and on one through its twin."""
    import torch
    from torch.nn import functional as F

    from .flatness import rescaled
    from .surfaces import filter_normalised_direction, loss_slice

    data, _ = _trained()
    twin = rescaled(net, factor)

    def direction(of: nn.Sequential) -> Direction:
        return filter_normalised_direction(of, torch.Generator().manual_seed(seed))

    ways = [direction(net), direction(twin if normalised else net)]
    return [
        loss_slice(network, F.cross_entropy, data.train_x, data.train_y, way, alphas).tolist()
        for network, way in zip((net, twin), ways, strict=True)
    ]
