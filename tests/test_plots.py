"""Figures of the course: colours, digest, and an alt text that reaches the reader."""

from __future__ import annotations

import html
import itertools
import re
import struct
from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from sema_lite import landscapes, plots

matplotlib.use("Agg")
ALT = "The average is smoother & safer: its jitter is < 1."


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with matplotlib.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """What `display` is given: (forms, metadata) of each output."""
    found: list[tuple[dict, dict]] = []

    def display(data: dict, *, metadata: dict, raw: bool) -> None:
        assert raw
        found.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    return found


# --- colours ---


def seen_by_the_colour_blind(colour: str) -> np.ndarray:
    """A colour as seen without green-sensitive cones (Vienot, Brettel and Mollon 1999)."""
    linear = np.array(to_rgb(colour)) ** 2.2
    red, green, blue = linear
    mixed = 0.29275 * red + 0.70725 * green
    blue = -0.02234 * red + 0.02234 * green + blue
    return np.clip([mixed, mixed, blue], 0, 1) ** (1 / 2.2)


def test_every_method_has_a_colour_of_its_own() -> None:
    assert {"sgd", "live", "ema", "swa", "sema", "lookahead"} <= set(plots.COLOURS)
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)
    assert set(plots.DASHES) <= set(plots.COLOURS)


def test_methods_differ_without_green_cones_in_colour_or_dash() -> None:
    for one, two in itertools.combinations(plots.DASHES, 2):
        gap = seen_by_the_colour_blind(plots.COLOURS[one]) - seen_by_the_colour_blind(
            plots.COLOURS[two]
        )
        assert np.abs(gap).max() > 0.15 or plots.DASHES[one] != plots.DASHES[two], (one, two)


# --- drawing ---


def test_a_figure_is_white_and_fits_a_narrow_page() -> None:
    matplotlib.rcParams["savefig.facecolor"] = "black"
    plots.set_style()
    fig, ax = plots.figure()
    assert fig.get_size_inches()[0] * fig.dpi <= 700
    width, height = struct.unpack(">II", plots.png(fig)[16:24])
    assert (width, height) == (660, 320)
    assert fig.get_facecolor() == (1, 1, 1, 1)
    assert not ax.spines["top"].get_visible()


def test_a_figure_has_as_many_axes_as_asked_for_and_leaves_the_style_alone() -> None:
    before = dict(matplotlib.rcParams)
    _, axes = plots.figure(2, 3, sharey=True)
    assert axes.shape == (2, 3)
    assert axes[0, 0].get_shared_y_axes().joined(axes[0, 0], axes[1, 2])
    assert dict(matplotlib.rcParams) == before


def test_a_line_has_the_colour_dash_and_label_of_its_method() -> None:
    _, ax = plots.figure()
    plots.line(ax, range(3), (x * x for x in range(3)), "ema")
    plots.line(ax, [0], [0], "sema", label="Switch EMA", linestyle=":")
    first, second = ax.lines
    assert (first.get_color(), first.get_linestyle(), first.get_label()) == ("#0072B2", "--", "ema")
    assert list(first.get_ydata()) == [0, 1, 4]
    assert (second.get_label(), second.get_linestyle()) == ("Switch EMA", ":")
    with pytest.raises(KeyError):
        plots.line(ax, [0], [0], "no such method")


@pytest.mark.parametrize("name", ["Bowl", "CurvedValley", "AsymmetricValley", "TwoWells"])
def test_every_landscape_can_be_drawn_with_its_minima(name: str) -> None:
    ground = getattr(landscapes, name)()
    _, ax = plots.figure()
    plots.landscape(ax, ground, points=30)
    left, right, low, high = ground.window
    assert (*ax.get_xlim(), *ax.get_ylim()) == (left, right, low, high)
    drawn = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines]
    assert drawn == [tuple(minimum) for minimum in ground.minima]
    assert ax.collections


def test_a_path_ends_in_a_dot() -> None:
    _, ax = plots.figure()
    plots.path(ax, [(0, 0), (1, 2), (3, 4)], "sgd")
    way, dot = ax.lines
    assert (list(way.get_xdata()), list(way.get_ydata())) == ([0, 1, 3], [0, 2, 4])
    assert (dot.get_xdata(), dot.get_ydata(), dot.get_marker()) == ([3], [4], "o")


# --- digest ---


def test_the_digest_says_what_is_drawn() -> None:
    fig, (left, right) = plots.figure(1, 2)
    left.plot([0, 1, 2], [0.12345, np.nan, 5])
    left.axhline(-1)
    right.bar([0, 1], [1, 2])
    assert plots.digest(fig) == ("Drawn: 2 lines, 5 points, y -1 to 5; 0 lines, 0 points, 2 shapes")


def test_the_digest_without_ranges_is_that_of_any_network() -> None:
    digests = set()
    for height in (1.0, 2.0):
        fig, ax = plots.figure()
        ax.plot([0, height])
        digests.add(plots.digest(fig, ranges=False))
    assert digests == {"Drawn: 1 lines, 2 points"}


@pytest.mark.parametrize("values", [[1.0, 3.0], [1.0, 2.0, 2.0], [1.0, 2.1]])
def test_the_digest_changes_with_the_data(values: list[float]) -> None:
    digests = []
    for drawn in ([1.0, 2.0], values):
        fig, ax = plots.figure()
        ax.plot(drawn)
        digests.append(plots.digest(fig))
    assert digests[0] != digests[1]


@pytest.mark.parametrize("nothing", [0.0, -0.0, 1e-17, -3e-16])
def test_the_digest_does_not_show_rounding(nothing: float) -> None:
    fig, ax = plots.figure()
    ax.plot([nothing, 1.0])
    assert plots.digest(fig) == "Drawn: 1 lines, 2 points, y 0 to 1"


def test_small_numbers_alone_are_shown() -> None:
    fig, ax = plots.figure()
    ax.plot([1e-17, 2e-17])
    assert plots.digest(fig) == "Drawn: 1 lines, 2 points, y 1e-17 to 2e-17"


# --- show ---


def draw() -> Any:
    fig, ax = plots.figure()
    ax.plot([1, 2])
    return fig


def test_a_figure_is_shown_once_as_png_with_its_alt_text(
    shown: list, capsys: pytest.CaptureFixture[str]
) -> None:
    fig = draw()
    plots.show(fig, ALT)
    ((data, metadata),) = shown
    assert data["image/png"].startswith(b"\x89PNG")
    assert set(data) == {"image/png", "text/plain"}
    assert data["text/plain"] == ALT  # what VS Code takes as the alt attribute
    assert metadata["image/png"]["alt"] == metadata["alt"] == ALT
    assert capsys.readouterr().out == "Drawn: 1 lines, 2 points, y 1 to 2\n"
    assert plt.get_fignums() == []  # or the notebook would show it again


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_figure_without_alt_text_is_refused_before_anything_is_shown(
    alt: str, shown: list, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="alt must say what one sees"):
        plots.show(draw(), alt)
    assert shown == []
    assert capsys.readouterr().out == ""


def test_the_same_figure_gives_the_same_bytes_without_a_version() -> None:
    one, two = plots.png(draw()), plots.png(draw())
    assert one == two
    assert b"Software" not in one


def test_the_alt_text_reaches_a_page_of_html(shown: list) -> None:
    """In the classic template; nbconvert's default one has no alt attribute for any picture."""
    plots.show(draw(), ALT)
    ((data, metadata),) = shown
    output = new_output("display_data", {**data, "image/png": "aWM="}, metadata=metadata)
    bare = new_output("display_data", {"image/png": "aWM="})
    for outputs, there in (([output], True), ([bare], False)):
        notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs)])
        nbformat.validate(notebook)
        page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
        (written,) = re.findall(r'<img\b[^>]*?\balt="([^"]*)"', page)
        assert (html.unescape(written) == ALT) is there
