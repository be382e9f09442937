"""Figures of the course: one palette, a few drawing helpers, and a picture that tests can compare.

The colours are those of Okabe and Ito (2008), which most colour-blind people can tell apart; lines
differ in their dashes as well. Figures are white also in a dark notebook.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .landscapes import Landscape

COLOURS = {
    "live": "#999999",  # grey: the weights that are trained, whatever the method
    "sgd": "#000000",
    "ema": "#0072B2",  # blue
    "swa": "#009E73",  # green
    "sema": "#D55E00",  # vermilion
    "lookahead": "#CC79A7",  # purple
    "theory": "#E69F00",  # orange
}
DASHES = {"live": "-", "sgd": "-", "ema": "--", "swa": "-.", "sema": "-", "lookahead": ":"}
STYLE: Any = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 10,
}


def set_style() -> None:
    """Make the course's style the default of all figures from now on."""
    plt.rcParams.update(STYLE)


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 6.6, height: float = 3.2, **options: Any
) -> tuple[Figure, Any]:
    """A figure at most 700 pixels wide, and its axes (an array of them if there are several).

    Args:
        width, height: inches, of the whole figure; 100 pixels each.
        options: passed on to `plt.subplots`, for example `sharey=True`.
    """
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
    return fig, axes


def line(ax: Axes, x: Iterable[float], y: Iterable[float], method: str, **options: Any) -> None:
    """A line in the colour and dash of `method`, labelled with its name unless told otherwise."""
    style = {"color": COLOURS[method], "linestyle": DASHES.get(method, "-"), "label": method}
    ax.plot(list(x), list(y), **{**style, **options})


def landscape(ax: Axes, ground: Landscape, levels: int = 14, points: int = 120) -> None:
    """Contours of a landscape over its window, closer together near the bottom; minima are marked.

    Args:
        levels: number of contour lines. They are evenly spaced in the square root of the height,
            as the contours of a bowl are in distance.
        points: of the grid, in each direction.
    """
    left, right, low, high = ground.window
    x, y = np.meshgrid(np.linspace(left, right, points), np.linspace(low, high, points))
    height = np.sqrt(ground.loss(x, y) - np.min(ground.loss(x, y)))
    ax.contourf(x, y, height, levels, cmap="Greys", alpha=0.35)
    ax.contour(x, y, height, levels, colors="0.6", linewidths=0.5)
    for minimum in ground.minima:
        ax.plot(*minimum, marker="+", color="black", markersize=9, linestyle="none")
    ax.set(xlim=(left, right), ylim=(low, high), xlabel="weight x", ylabel="weight y")
    ax.grid(False)


def path(ax: Axes, points: Sequence[Sequence[float]], method: str, **options: Any) -> None:
    """The way of a walker over a landscape, (steps, 2): a line with a dot where it ends."""
    x, y = np.asarray(points, dtype=float).T
    line(ax, x, y, method, **{"linewidth": 1.2, **options})
    ax.plot(x[-1], y[-1], marker="o", color=COLOURS[method], markersize=5, zorder=5)


def digest(fig: Figure, ranges: bool = True) -> str:
    """What is drawn, in one line of numbers that do not depend on fonts or on the machine.

    For each axes: how many lines with how many points, and the range of their y values, to three
    digits. Lines of fixed place, such as those of `axhline`, count as well. Without `ranges` only
    numbers of lines, points and shapes are told: for networks trained in the notebook, whose last
    digits are other ones on another machine.
    """
    parts = []
    for ax in fig.axes:
        values = [np.asarray(each.get_ydata(), dtype=float) for each in ax.lines]
        count = sum(map(len, values))
        drawn = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.zeros(0)
        span = f", y {_short(drawn, min)} to {_short(drawn, max)}" if ranges and len(drawn) else ""
        others = len(ax.collections) + len(ax.patches) + len(ax.images)
        more = f", {others} shapes" if others else ""
        parts.append(f"{len(ax.lines)} lines, {count} points{span}{more}")
    return "Drawn: " + "; ".join(parts)


def _short(values: Any, end: Callable[[Any], float]) -> str:
    """The smallest or largest value to three digits; 0 if it is rounding beside the others."""
    value, scale = end(values), float(np.abs(values).max())
    return f"{value:.3g}" if abs(value) > 1e-12 * scale else "0"


def png(fig: Figure) -> bytes:
    """The figure as a PNG file, which does not name the version that drew it."""
    file = io.BytesIO()
    fig.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def heat_map(
    ax: Axes,
    values: Any,
    rows: Sequence[object],
    columns: Sequence[object],
    texts: Sequence[str],
    *,
    low_is_good: bool = True,
    norm: Any = None,
) -> None:
    """A table of `values`, (rows, columns), in colours from dark to bright, which is good.

    The colours are matplotlib's cividis, made for colour-blind eyes as well.

    Args:
        texts: of the cells, row by row.
        norm: one of matplotlib's; None is even steps from the lowest value to the highest.
    """
    image = ax.imshow(values, cmap="cividis_r" if low_is_good else "cividis", aspect="auto")
    if norm is not None:
        image.set_norm(norm)
    size = 8 if len(columns) < 8 else 7
    for (row, column), text in zip(np.ndindex(np.shape(values)), texts, strict=True):
        share: Any = image.norm(values[row][column])
        dark = (1 - share if low_is_good else share) < 0.5
        style: Any = {"color": "white" if dark else "black", "fontsize": size}
        ax.text(column, row, text, ha="center", va="center", **style)
    ax.set_xticks(range(len(columns)), [str(column) for column in columns], fontsize=8)
    ax.set_yticks(range(len(rows)), [str(row) for row in rows], fontsize=8)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.grid(False)


def show(fig: Figure, alt: str, *, ranges: bool = True) -> None:
    """Show the figure in a notebook, once, as a PNG with a text for those who cannot see it.

    Args:
        alt: what one sees and why, in a sentence. It is stored with the picture, and the text
            below the figure says the same.
        ranges: of the digest; False for networks trained in the notebook.

    It also prints `digest(fig, ranges)`: tests of notebooks compare text, not pixels. VS Code takes
    the alt attribute from the plain text, nbconvert's classic HTML from the metadata. JupyterLab
    4.6 and nbconvert's default HTML write none of their own: there the text below stands in.
    """
    from IPython.display import display

    if not alt.strip():
        raise ValueError("alt must say what one sees, got an empty text")
    print(digest(fig, ranges))
    display(  # type: ignore[no-untyped-call, unused-ignore]
        {"image/png": png(fig), "text/plain": alt},
        metadata={"image/png": {"alt": alt}, "alt": alt},
        raw=True,
    )
    plt.close(fig)
