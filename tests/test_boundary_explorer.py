"""The decision-boundary explorer of notebook 07, and the fast training behind it."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

import torch
from matplotlib.image import imread

from sema_lite import fast_mlp
from sema_lite.boundary_explorer import GRID, WINDOW, DecisionBoundaryExplorer, _contours
from sema_lite.calibration import boundary_width
from sema_lite.compare import train_many
from sema_lite.points import circles
from sema_lite.training import Run

START = DecisionBoundaryExplorer().state
OTHERS = {
    "method": "ema",
    "lr": 0.05,
    "decay": 0.95,
    "switch_every": 13,
    "epoch": 7,
    "seed": 3,
}


@pytest.fixture(scope="module")
def kept():
    return DecisionBoundaryExplorer()


@pytest.fixture
def shown(kept):
    """The same explorer for all tests, as it began."""
    kept.set(**START)
    assert kept.message == ""
    return kept


# -- the training -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "decay", "period"),
    [
        ("sgd", 0.5, 1),
        ("ema", 0.95, 1),
        ("sema", 0.97, 40),
        ("sema", 0.9, 7),
        ("lookahead", 0.5, 5),
    ],
)
def test_it_is_the_run_of_train_many(method, decay, period, one_thread):  # noqa: ARG001
    """Step for step; rounding grows with the steps, so after three epochs to four digits."""
    run = Run(
        method=method,
        data="circles",
        epochs=3,
        batch_size=10,
        lr=0.1,
        weight_decay=0.0,
        decay=decay,
        switch_every=period,
        k=period,
        s=1 - decay,
    )
    wanted = train_many(run, [5], evaluate_every=1)
    scores = fast_mlp.train(method, 0.1, decay, period, seed=5).scores
    pairs = [("live", wanted.live), ("average", wanted.averaged or wanted.live)]
    for name, each in pairs:
        nll = [row[0] for row in each["nll"]]
        accuracy = [row[0] for row in each["accuracy"]]
        assert scores[f"nll_{name}"][1:4] == pytest.approx(nll, abs=2e-4)
        assert scores[f"accuracy_{name}"][1:4] == pytest.approx(accuracy, abs=1e-3)


@pytest.fixture
def four_epochs(monkeypatch):
    monkeypatch.setattr(fast_mlp, "EPOCHS", 4)
    fast_mlp.begin.cache_clear()
    yield 4
    fast_mlp.begin.cache_clear()


def test_swa_averages_the_last_quarter(four_epochs, one_thread):  # noqa: ARG001
    run = Run(
        method="swa", data="circles", epochs=four_epochs, batch_size=10, lr=0.1, weight_decay=0.0
    )
    wanted = train_many(run, [5], evaluate_every=1)
    mine = fast_mlp.train("swa", 0.1, 0.9, 40, seed=5)
    nll = [row[0] for row in wanted.averaged["nll"]]
    assert mine.scores["nll_average"][1:] == pytest.approx(nll, abs=5e-4)
    assert (mine.averaged[3] == mine.live[3]).all()  # until then it follows
    assert abs(nll[3] - wanted.live["nll"][3][0]) > 0.005  # and then it differs


def test_sema_with_a_switch_after_each_step_is_sgd_at_a_smaller_rate():
    sema = fast_mlp.train("sema", 0.1, 0.9, 1, seed=2)
    sgd = fast_mlp.train("sgd", 0.01, 0.0, 1, seed=2)
    assert sema.averaged[2] == pytest.approx(sgd.live[2], abs=1e-4)


def test_the_gradient_is_torchs():
    start, data, order = fast_mlp.begin(4)
    x, y = data[0][order[0][0]], data[1][order[0][0]]
    slope = np.zeros_like(start)
    fast_mlp._gradient(
        fast_mlp._views(start), fast_mlp._views(slope), x, np.eye(2, dtype=np.float32)[y]
    )
    model = fast_mlp.network(start)
    logits = model(torch.from_numpy(x))
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(y)).backward()
    wanted = torch.cat([p.grad.flatten() for p in model.parameters()]).numpy()
    assert slope == pytest.approx(wanted, abs=1e-6)
    odds = (logits[:, 1] - logits[:, 0]).detach().numpy()
    assert fast_mlp.log_odds(start, x) == pytest.approx(odds, abs=1e-6)


def test_training_leaves_random_numbers_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fast_mlp.begin.cache_clear()
    fast_mlp.network(fast_mlp.begin(0)[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_overflows_ends(four_epochs):  # noqa: ARG001
    with np.errstate(all="ignore"):
        run = fast_mlp.train("sgd", math.inf, 0.0, 1, seed=0)
    assert len(run.live) == len(run.scores["nll_live"]) == 1  # the start


# -- the explorer -------------------------------------------------------------------------------


def test_every_setting_has_another_value_above():
    assert set(OTHERS) == set(START)


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_a_setting_is_a_property_and_a_control(shown, name, value):
    picture = shown.png
    setattr(shown, name, value)
    assert shown.message == ""
    assert shown.state == {**START, name: value}
    assert shown.png != picture
    assert bytes(shown._image.value) == shown.png
    shown._controls[name].value = START[name]  # somebody moves it
    assert shown.state == START
    assert shown.png == picture  # the same state, the same picture


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "adam"),
        ("lr", 0.0),
        ("lr", math.nan),
        ("decay", 1.0),
        ("switch_every", 0),
        ("epoch", 51),
        ("epoch", 2.5),
        ("seed", -1),
    ],
)
def test_a_bad_value_gives_a_message(shown, name, value):
    picture = shown.png
    setattr(shown, name, value)
    assert name in shown.message
    assert str(value) in shown.message
    assert (shown.state, shown.png) == (START, picture)


def test_readout_is_measured_by_the_library(shown):
    shown.set(method="sema", lr=0.05, decay=0.97, switch_every=20, seed=6, epoch=30)
    run = fast_mlp.train("sema", 0.05, 0.97, 20, seed=6)
    data = circles(6)
    for name, weights in (("live", run.live[30]), ("average", run.averaged[30])):
        model = fast_mlp.network(weights)
        logits = model(data.test_x).detach()
        nll = float(torch.nn.functional.cross_entropy(logits, data.test_y))
        right = float((logits.argmax(1) == data.test_y).double().mean())
        assert shown.readout[f"nll_{name}"] == pytest.approx(nll, abs=1e-4)
        assert shown.readout[f"accuracy_{name}"] == pytest.approx(right, abs=1e-3)
        width = boundary_width(model, WINDOW)
        assert shown.readout[f"width_{name}"] == pytest.approx(width, rel=0.03)
        assert shown.curves[f"nll_{name}"][30] == shown.readout[f"nll_{name}"]
    assert shown.readout["u"] == pytest.approx(0.6)


def test_the_words_are_the_readout(shown):
    read = shown.readout
    assert f"average: {100 * read['accuracy_average']:.1f} % right" in shown.readout_text
    assert f"NLL {read['nll_live']:.3f}" in shown.readout_text
    assert "u = T(1-d) = 0.4" in shown.readout_text
    shown.method = "sgd"
    assert "average" not in shown.readout_text
    assert shown.readout["nll_average"] == shown.readout["nll_live"]


def test_the_epoch_shows_without_training(shown, monkeypatch):
    monkeypatch.setattr(fast_mlp, "_gradient", None)  # a step would fail
    shown.epoch = 12
    assert shown.message == ""
    assert "After epoch 12" in shown.readout_text


def test_knobs_that_a_method_does_not_use_train_nothing(shown, monkeypatch):
    shown.method = "ema"
    live = shown.readout
    monkeypatch.setattr(fast_mlp, "_gradient", None)
    shown.switch_every = 100
    assert (shown.message, shown.readout["nll_average"]) == ("", live["nll_average"])


def test_it_tells_that_it_trains_and_stops_telling(shown, monkeypatch):
    told = []
    say = DecisionBoundaryExplorer._say
    monkeypatch.setattr(
        DecisionBoundaryExplorer, "_say", lambda self, text: told.append(text) or say(self, text)
    )
    shown.seed = 11
    assert told == ["Training ...", ""]


def test_a_network_of_one_class_has_no_boundary(shown):
    shown.set(method="sgd", lr=0.5, seed=3)
    assert math.isnan(shown.readout["width_live"])
    assert "no boundary" in shown.readout_text
    assert imread(io.BytesIO(shown.png)).shape[:2] == (shown.height, shown.width)


def test_an_overflow_is_shown_as_far_as_it_went(shown, monkeypatch):
    whole = fast_mlp.train("sema", 0.1, 0.99, 40, seed=0)
    scores = {name: values[:5] for name, values in whole.scores.items()}
    cut = fast_mlp.Trained(whole.live[:5], whole.averaged[:5], scores)
    monkeypatch.setattr("sema_lite.boundary_explorer._trained", lambda *_, **__: cut)
    shown.epoch = 20
    assert shown.message == "The weights overflowed after epoch 4: lower the learning rate."
    assert shown.readout["nll_live"] == scores["nll_live"][4]


def test_contours_are_where_they_should_be():
    left, right, low, high = WINDOW
    x = np.linspace(left, right, GRID)
    lines = _contours(np.tile(x, (GRID, 1)), -1.0, 0.5)  # z = x
    found = lines[0][np.isfinite(lines[0])]
    assert sorted(set(found.round(6).tolist())) == [-1.0, 0.5]
    assert np.isnan(lines).any(0).sum() == 2  # so that the two are not joined
    assert np.nanmin(lines[1]) == low
    assert np.nanmax(lines[1]) == high
    assert _contours(np.ones((GRID, GRID)), 0.0).shape == (2, 0)


def test_sliders_that_train_wait_until_they_are_let_go(shown):
    slow = {name for name, each in shown._controls.items() if not each.continuous_update}
    assert slow == {"lr", "decay", "switch_every", "seed"}  # a text field waits anyway


def test_the_drawn_band_is_that_from_25_to_75_per_cent(shown):
    weights = fast_mlp.train("sema", 0.1, 0.99, 40, seed=0)
    for artists, flat in ((shown._live, weights.live[-1]), (shown._average, weights.averaged[-1])):
        for line, odds in zip(artists, ({-math.log(3), math.log(3)}, {0.0}), strict=False):
            drawn = np.stack(line.get_data(), 1).astype(np.float32)
            found = fast_mlp.log_odds(flat, drawn[np.isfinite(drawn).all(1)])
            for level in odds:
                assert (abs(found - level) < 0.15).any()
            assert np.mean([min(abs(z - level) for level in odds) < 0.15 for z in found]) > 0.9
