"""Maps of stored runs, and their explorer. The map on images is a made-up one here: its numbers
follow from decay, period and seed, so that every cell can be told from every other."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from matplotlib.image import imread

from sema_lite import period_map, results, theory
from sema_lite.grids import MAPS, NEVER, mean_error_count, read_grid
from sema_lite.period_map import PeriodMap
from sema_lite.plots import heat_map

DECAYS = (0.8, 0.95, 0.995)
PERIODS = (5, "epoch", "2epochs")
SEEDS = (0, 1, 2)


def accuracy(decay: float, period: Any, seed: int) -> float:
    share = 1.0 if period == NEVER else theory.step_fraction(decay, period)
    return round(0.1 + 0.4 * share + 0.01 * seed + 0.02 * decay, 6)


def record(decay: float, every: Any) -> dict[str, Any]:
    steps = {5: 5, "epoch": 78, "2epochs": 156}.get(every, NEVER)
    scores = [accuracy(decay, steps, seed) for seed in SEEDS]

    def both(plus: float) -> dict[str, Any]:
        rows = [[0.1] * 3, [s + plus for s in scores]]
        return {"accuracy": rows, "nll": [[2 - s for s in row] for row in rows], "ece": rows}

    run = {"method": "sema", "decay": decay, "switch_every": every, "schedule": "constant"}
    if every == NEVER:
        run |= {"method": "ema", "switch_every": "epoch"}
    return {"run": {**run, "lr": 0.05}, "live": both(-0.05), "averaged": both(0.0)}


@pytest.fixture(autouse=True)
def made_up_images(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for cifar10-map; every other name is read from its file."""
    settings = [record(d, T) for T in (NEVER, *PERIODS) for d in DECAYS]
    cosine = record(0.8, 5)
    cosine["run"] = {**cosine["run"], "schedule": "cosine", "decay": 0.123}
    content = {"about": "made up", "seeds": list(SEEDS), "settings": [*settings, cosine]}
    stored = results.stored
    monkeypatch.setattr(
        results, "stored", lambda name: content if name == "cifar10-map" else stored(name)
    )
    read_grid.cache_clear()
    yield content
    read_grid.cache_clear()


# -- reading --------------------------------------------------------------------------------------


def test_a_grid_has_a_row_for_each_decay_and_a_column_for_each_period() -> None:
    grid = read_grid("images")
    assert grid.decays == DECAYS
    assert grid.columns == (5, 78, 156, NEVER)
    assert len(grid.records) == 12  # without the cosine
    assert grid.values(0.95, 78) == [accuracy(0.95, 78, seed) for seed in SEEDS]
    assert grid.values(0.95, NEVER, "nll") == [2 - accuracy(0.95, NEVER, s) for s in SEEDS]
    assert grid.values(0.8, 5, weights="live")[1] == accuracy(0.8, 5, 1) - 0.05


def test_u_and_the_step_fraction_of_a_cell() -> None:
    grid = read_grid("images")
    assert grid.u(0.95, 78) == pytest.approx(3.9)
    assert grid.step_fraction(0.95, 156) == theory.step_fraction(0.95, 156)
    assert grid.u(0.95, NEVER) == math.inf
    assert grid.step_fraction(0.95, NEVER) == 1
    assert grid.way(0.95, 78) == grid.u(0.95, 78)
    assert grid.way(0.95, NEVER) == pytest.approx(5 * 156 * 0.2)  # beside the largest u there is
    sema, ema = read_grid("circles, SEMA"), read_grid("circles, EMA")
    assert sema.u(0.99, 0.1) == pytest.approx(0.4)
    assert ema.u(0.99, 0.1) == math.inf
    assert sema.way(0.99, 0.1) == pytest.approx(0.1 * theory.step_fraction(0.99, 40))
    assert ema.way(0.99, 0.1) == 0.1


@pytest.mark.parametrize("name", MAPS)
def test_no_cell_is_missing(name: str) -> None:
    grid = read_grid(name)
    for decay in grid.decays:
        for column in grid.columns:
            assert len(grid.values(decay, column)) == len(grid.seeds)


@pytest.mark.parametrize("name", MAPS)
def test_the_length_of_an_epoch_is_that_of_the_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs counted their switches themselves."""
    monkeypatch.undo()
    read_grid.cache_clear()
    file, epoch, _, _ = MAPS[name]
    if file not in results.stored_names():
        pytest.skip(f"data/results/{file}.json is not there yet")
    grid = read_grid(name)
    assert len(grid.decays) == 5
    for (_, column), each in grid.records.items():
        steps, period = epoch * each["run"]["epochs"], grid.period(column)
        assert each["switches"] == (steps // period if period < math.inf else 0)


def test_a_wrong_name_is_named() -> None:
    with pytest.raises(ValueError, match="no map 'moons'"):
        read_grid("moons")


def test_mean_error_count_leaves_out_what_diverged() -> None:
    values = [0.5, math.nan, 0.7, 0.9]
    mean, error, n = mean_error_count(values)
    assert (mean, n) == (pytest.approx(0.7), 3)
    assert error == pytest.approx(stdev([0.5, 0.7, 0.9]) / math.sqrt(3))
    mean, error, n = mean_error_count([math.nan, 0.4])
    assert (mean, n) == (0.4, 1)
    assert math.isnan(error)
    assert math.isnan(mean_error_count([])[0])


def test_none_in_a_file_is_a_run_that_diverged(made_up_images: Any) -> None:
    made_up_images["settings"][0]["averaged"]["accuracy"][-1][1] = None
    read_grid.cache_clear()
    assert math.isnan(read_grid("images").values(0.8, NEVER)[1])
    assert PeriodMap(decay=0.8, column=NEVER).readout["seeds"] == 2


# -- the explorer ---------------------------------------------------------------------------------


def test_the_readout_is_that_of_the_cell() -> None:
    shown = PeriodMap(decay=0.95, column=78)
    scores = [100 * accuracy(0.95, 78, seed) for seed in SEEDS]
    read = shown.readout
    assert read["mean"] == pytest.approx(fmean(scores))
    assert read["se"] == pytest.approx(stdev(scores) / math.sqrt(3))
    assert read["u"] == pytest.approx(3.9)
    assert read["step_fraction"] == theory.step_fraction(0.95, 78)
    assert (read["seeds"], read["cells"]) == (3, 12)
    better = [c for c in np.array(shown.curves["means"]).flat if c > read["mean"]]
    assert read["rank"] == 1 + len(better)
    assert "u = T(1-d) = 3.9" in shown.readout_text


def test_the_rank_turns_round_where_low_is_good() -> None:
    shown = PeriodMap(decay=0.995, column=5)
    assert shown.readout["rank"] == 12
    shown.metric = "nll"
    assert shown.readout["rank"] == 12
    shown.metric = "ece"  # here a copy of the accuracy
    assert shown.readout["rank"] == 1


def test_live_weights_are_other_numbers() -> None:
    shown = PeriodMap(decay=0.95, column=78)
    before = shown.readout["mean"]
    shown.weights = "live"
    assert shown.readout["mean"] == pytest.approx(before - 5)


@pytest.mark.parametrize(("name", "value"), [("decay", 0.5), ("column", 6), ("column", "ever")])
def test_what_is_not_in_the_map_changes_nothing(name: str, value: Any) -> None:
    shown = PeriodMap()
    before, picture = shown.state, shown.png
    shown.set(**{name: value})
    assert shown.message.startswith(f"{name} must be one of ")
    assert (shown.state, shown.png) == (before, picture)


@pytest.mark.parametrize("value", [True, None, [0.9]])
def test_a_cursor_takes_numbers_and_names(value: Any) -> None:
    shown = PeriodMap()
    shown.decay = value
    assert shown.message.startswith("decay must be one of ")
    assert shown.decay == 0.95


def test_another_map_offers_its_own_rows_and_columns() -> None:
    shown = PeriodMap(decay=0.995, column=5)
    shown._controls["experiment"].value = "circles, SEMA"
    assert shown.message == ""
    assert shown.decay == 0.995
    options = [value for _, value in shown._controls["column"].options]
    assert options == list(read_grid("circles, SEMA").columns)
    assert shown._controls["column"].value == shown.column
    shown._controls["decay"].value = 0.97
    assert shown.decay == 0.97
    shown.experiment = "images"
    assert shown.decay == 0.95  # the nearest
    shown.set(experiment="circles, EMA", decay=0.9, column=0.4)
    assert (shown.decay, shown.column) == (0.9, 0.4)


def test_a_map_that_is_missing_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = PeriodMap()

    def missing(_: str) -> Any:
        raise results.ResultsError("there is no stored result 'circles'")

    monkeypatch.setattr(results, "stored", missing)
    shown.experiment = "circles, SEMA"
    assert "no stored result" in shown.message
    assert shown.experiment == "images"


def test_every_setting_changes_the_picture_and_comes_back() -> None:
    others = {
        "experiment": "circles, EMA",
        "metric": "nll",
        "weights": "live",
        "contours": False,
        "decay": 0.8,
        "column": 156,
    }
    assert set(others) == set(PeriodMap.settings)
    for name, value in others.items():
        shown = PeriodMap()
        before, picture = shown.state, shown.png
        setattr(shown, name, value)
        assert (shown.message, getattr(shown, name)) == ("", value)
        assert shown.png != picture
        shown.set(**before)
        assert shown.png == picture, name


def test_a_kept_ground_is_what_is_drawn_anew() -> None:
    shown = PeriodMap()
    for metric in ("nll", "accuracy", "ece", "nll"):
        shown.metric = metric
        shown.column = 5
        kept = imread(io.BytesIO(shown.png))
        shown.canvas._grounds.clear()
        shown._redraw()
        assert np.array_equal(kept, imread(io.BytesIO(shown.png)))
        shown.column = 78


@pytest.mark.parametrize("name", MAPS)
def test_the_alt_text_says_what_the_right_axis_is(name: str) -> None:
    words = PeriodMap(experiment=name).canvas.axes[1].get_xlabel()
    assert words == read_grid(name).way_name
    assert words.replace(" x ", " times ") in PeriodMap.alt


def test_the_frame_stands_at_the_cursor() -> None:
    shown = PeriodMap(decay=0.995, column=156)
    assert shown._frame.get_xy() == (1.5, 1.5)
    assert shown._point.get_xdata()[0] == pytest.approx(0.78)
    assert shown._point.get_ydata()[0] == pytest.approx(shown.readout["mean"])


def test_lines_of_equal_u_part_cells_and_run_through_no_number() -> None:
    """u is rounded to 0.1, 1 and 10: a cell that has the level itself is not below it."""
    us = np.array([[5 * (1 - 0.8), 15.6, math.inf], [0.25, 3.9, math.inf]])
    assert period_map._borders(us, 10) == [[(0.5, -0.5), (0.5, 0.5)], [(0.5, 0.5), (1.5, 0.5)]]
    assert period_map._borders(us, 1) == [[(0.5, 0.5), (0.5, 1.5)], [(-0.5, 0.5), (0.5, 0.5)]]
    assert period_map._borders(us, 0.1) == []
    ax = PeriodMap().canvas.axes[0]
    drawn = [line for each in ax.collections for line in each.get_segments()]
    assert drawn
    for line in drawn:  # halfway between two columns, or between two rows
        (x0, y0), (x1, y1) = line
        assert (x0 == x1 and x0 % 1 == 0.5) or (y0 == y1 and y0 % 1 == 0.5)


def test_text_is_legible_on_dark_and_on_bright_cells() -> None:
    from matplotlib.figure import Figure

    for low_is_good, colours in ((True, ["black", "white"]), (False, ["white", "black"])):
        ax = Figure().subplots()
        texts = ["low", "high"]
        heat_map(ax, [[0.0, 1.0]], [0.9], [5, 20], texts, low_is_good=low_is_good)
        assert [(t.get_text(), t.get_color()) for t in ax.texts] == list(
            zip(texts, colours, strict=True)
        )
        image = ax.images[0]
        for text, value in zip(ax.texts, (0.0, 1.0), strict=True):
            brightness = fmean(image.cmap(image.norm(value))[:3])
            assert (brightness > 0.5) == (text.get_color() == "black")


def test_no_torch() -> None:
    code = (
        "import sys, sema_lite.period_map as p; p.PeriodMap.settings['experiment'].initial;"
        "p.read_grid('circles, SEMA'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_notebook_and_the_widgets_know_it() -> None:
    from sema_lite import widgets

    assert widgets.PeriodMap is period_map.PeriodMap
    assert "PeriodMap" in widgets.__all__
