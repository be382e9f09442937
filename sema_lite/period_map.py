"""The explorer of notebook 10: stored runs as a map, decay x switch period or x learning rate."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from .controls import Choice, Flag, Stored
from .explorer import Explorer, Measured
from .grids import MAPS, NEVER, WEIGHTS, Column, Grid, mean_error_count, read_grid
from .paired import METRICS
from .plots import COLOURS, heat_map

SHORT = {"circles, SEMA": "circ. SEMA", "circles, EMA": "circ. EMA"}


class PeriodMap(Explorer):
    """A map of stored runs: numbers in cells, a cursor, and the same numbers against u = T(1-d),
    or, for the circles, against learning rate times step fraction (`grids.Grid.way`).

    Readout: `mean` over the seeds (accuracy in per cent), its standard error `se`, `seeds`, `u`
    and `step_fraction` of the cell, its `rank` among the map's `cells` (1 is the best).
    Curves: `means` and `errors` by row and column, `u` likewise.
    """

    height: ClassVar[int] = 330
    shares: ClassVar[tuple[float, ...]] = (1.75, 1.0)
    alt = (
        "Left: a table of test scores, a row for each decay, bright cells are good, a frame marks "
        "the cursor. Right: the same scores against u = T(1-d), or, for the circles, against "
        "learning rate times step fraction. On images accuracy is lowest where u is smallest."
    )

    experiment = Choice("stored runs", "images", tuple(MAPS), SHORT)
    metric = Choice("score", "accuracy", METRICS)
    weights = Choice("weights", "averaged", WEIGHTS)
    contours = Flag("lines of equal u", True)
    decay = Stored("decay d", 0.95)
    column = Stored("column", 78)

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        """On another map the cursor goes to the nearest decay, and to the middle column."""
        checked = super()._checked(settings)
        if (name := checked.get("experiment", self.experiment)) != self.experiment:
            grid, here = read_grid(name), math.log1p(-self.decay)
            near = min(grid.decays, key=lambda decay: abs(math.log1p(-decay) - here))
            middle = grid.columns[len(grid.columns) // 2]
            checked = {"decay": near, "column": middle, **checked}
        return checked

    def _measure(self, state: dict[str, Any]) -> Measured:
        grid, metric = read_grid(state["experiment"]), state["metric"]
        for name, stops in (("decay", grid.decays), ("column", grid.columns)):
            if state[name] not in stops:
                known = ", ".join(map(str, stops))
                raise ValueError(f"{name} must be one of {known}, got {state[name]!r:.60}")
        row, column = grid.decays.index(state["decay"]), grid.columns.index(state["column"])
        cells = [
            [
                (*mean_error_count(grid.values(d, c, metric, state["weights"])), grid.u(d, c))
                for c in grid.columns
            ]
            for d in grid.decays
        ]
        means, errors, counts, us = np.moveaxis(np.array(cells), -1, 0)
        scale, sign = (100, -1) if metric == "accuracy" else (1, 1)  # a low NLL is a good one
        here = sign * means[row, column]
        decay, place = grid.decays[row], grid.columns[column]
        readout = {
            "mean": scale * float(means[row, column]),
            "se": scale * float(errors[row, column]),
            "seeds": int(counts[row, column]),
            "u": float(us[row, column]),
            "step_fraction": grid.step_fraction(decay, place),
            "rank": 1 + int((sign * means < here).sum()),
            "cells": means.size,
        }
        return Measured(readout, {"means": scale * means, "errors": scale * errors, "u": us})

    def _tell(self) -> str:
        read, unit = self.readout, " %" if self.metric == "accuracy" else ""
        where = f"{self.decay:g}, {_words(read_grid(self.experiment), self.column)}"
        u = "no switch" if read["u"] == math.inf else f"u = T(1-d) = {read['u']:.3g}"
        return (
            f"Decay {where}: {self.metric} {read['mean']:.4g}{unit} ± {read['se']:.2g} over "
            f"{read['seeds']} seeds, rank {read['rank']} of {read['cells']}; {u}, the live "
            f"weights go {read['step_fraction']:.3g} of SGD's way on a slope."
        )

    # -- controls ---------------------------------------------------------------------------------

    def _show_state(self) -> None:
        grid = read_grid(self.experiment)
        with self._no_listening():
            for name, stops in (("decay", grid.decays), ("column", grid.columns)):
                setting: Any = self.settings[name]
                setting.offer(self._controls[name], stops, self._state[name])
        super()._show_state()

    # -- the picture ------------------------------------------------------------------------------

    def _paint(self) -> None:
        frame = Rectangle((0, 0), 1, 1, fill=False)
        frame.set(edgecolor=COLOURS["sema"], linewidth=3, zorder=6)
        self.canvas.axes[0].add_patch(frame)
        self._frame = self.canvas.moving(frame)
        self._point = self.canvas.point(1, "sema", "D", markersize=9)
        self._kept = [set(ax.get_children()) for ax in self.canvas.axes]
        self._scenery_of: Any = None

    def _draw(self) -> Any:
        grid = read_grid(self.experiment)
        key = (self.experiment, self.metric, self.weights, self.contours)
        if key != self._scenery_of:
            for ax, kept in zip(self.canvas.axes, self._kept, strict=True):
                # One by one: contours take their labels along when they go.
                while old := [each for each in ax.get_children() if each not in kept]:
                    old[0].remove()
            self._draw_map(grid)
            self._draw_points(grid)
            self._scenery_of = key
        row, column = grid.decays.index(self.decay), grid.columns.index(self.column)
        self._frame.set_xy((column - 0.5, row - 0.5))
        self._point.set_data([grid.way(self.decay, self.column)], [self.readout["mean"]])
        return key

    def _draw_map(self, grid: Grid) -> None:
        ax, means = self.canvas.axes[0], self.curves["means"]
        accuracy, us = self.metric == "accuracy", self.curves["u"]
        shows_u = self.contours and np.isfinite(us).any()
        texts = []
        for mean, u in zip(means.flat, us.flat, strict=True):
            text = "-" if math.isnan(mean) else f"{mean:.1f}" if accuracy else f"{mean:.3f}"[:5]
            texts.append(f"{text}\nu {u:.2g}" if shows_u and u < math.inf else text)
        columns = [str(column) for column in grid.columns]
        heat_map(ax, means, grid.decays, columns, texts, low_is_good=not accuracy)
        if shows_u:
            borders = [line for level in (0.1, 1, 10) for line in _borders(us, level)]
            lines = LineCollection(borders, colors="black", linewidths=1.2, linestyles="--")
            lines.set(path_effects=[withStroke(linewidth=2.4, foreground="white")])
            ax.add_collection(lines)
        unit = "accuracy, %" if accuracy else self.metric.upper()
        dashed = " (dashed: u = 0.1, 1, 10)" if shows_u else ""
        self.canvas.label(
            0, f"{unit}, {self.weights}; bright is good", xlabel=grid.column_name + dashed
        )
        ax.set_ylabel("decay d", labelpad=1)

    def _draw_points(self, grid: Grid) -> None:
        ax, means, errors = self.canvas.axes[1], self.curves["means"], self.curves["errors"]
        way = np.array([[grid.way(d, c) for c in grid.columns] for d in grid.decays])
        switching = np.isfinite(self.curves["u"])
        for cells, method, marker in ((switching, "sema", "o"), (~switching, "ema", "s")):
            if cells.any():
                ax.errorbar(
                    way[cells], means[cells], errors[cells], fmt=marker, markersize=4,
                    elinewidth=1, color=COLOURS[method], label=method.upper(),
                )  # fmt: skip
        ax.set(xscale="log", xlim=(0.6 * way.min(), 1.6 * way.max()))
        margin = 0.06 * (np.nanmax(means) - np.nanmin(means))
        ax.set_ylim(np.nanmin(means) - margin, np.nanmax(means) + margin)
        if self.experiment == "images":
            ax.set_xticks([0.1, 1, 10, way.max()], ["0.1", "1", "10", NEVER])
            ax.minorticks_off()
        else:
            ax.xaxis.set_major_locator(LogLocator())
            ax.xaxis.set_major_formatter(LogFormatterSciNotation())
        self.canvas.label(1, "the same cells", xlabel=grid.way_name)


def _borders(us: Any, level: float) -> list[list[tuple[float, float]]]:
    """The edges between cells below `level` and the others, so that no line runs through a number.

    A column that never switches is left out. u is rounded: 5 * (1 - 0.8) is a little below 1.
    """
    above = np.round(us[:, np.isfinite(us).all(0)], 9) >= level
    beside = np.argwhere(above[:, 1:] != above[:, :-1])  # row and column of the cell left of it
    below = np.argwhere(above[1:] != above[:-1])  # of the cell above it
    return [
        *([(x + 0.5, y - 0.5), (x + 0.5, y + 0.5)] for y, x in beside.tolist()),
        *([(x - 0.5, y + 0.5), (x + 0.5, y + 0.5)] for y, x in below.tolist()),
    ]


def _words(grid: Grid, column: Column) -> str:
    """A column in words."""
    if column == NEVER:
        return "never switched"
    return f"T = {column}" if grid.name == "images" else f"learning rate {column:g}"
