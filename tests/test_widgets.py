"""The explorers without a browser: state, readout, picture, messages, and what a notebook stores.

A control that somebody moves is, on this side, a trait that changes: `move` does that.
"""

from __future__ import annotations

import base64
import io
import math
import random
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from matplotlib.image import imread

from sema_lite import landscapes, reference, theory
from sema_lite.canvas import Canvas, encode
from sema_lite.controls import ladder
from sema_lite.explorer import BLANK, Explorer
from sema_lite.widgets import (
    DecayExplorer,
    DecisionBoundaryExplorer,
    LandscapePlayground,
    NoiseFloorExplorer,
    SemaExplorer,
    UpdateCostExplorer,
)

pytestmark = pytest.mark.usefixtures("one_thread")  # of torch, where an explorer trains with it

# The others have tests of their own: their settings depend on each other.
EXPLORERS = [
    DecayExplorer,
    NoiseFloorExplorer,
    SemaExplorer,
    LandscapePlayground,
    UpdateCostExplorer,
    DecisionBoundaryExplorer,
]
# For each: one other value of every setting.
OTHERS = {
    DecayExplorer: {"decay": 0.97, "noise": 0.5, "seed": 3, "bias_correction": True},
    NoiseFloorExplorer: {"lr": 0.31, "curvature": 2.5, "noise": 0.7, "decay": 0.987},
    SemaExplorer: {"lr": 0.07, "curvature": 0.5, "decay": 0.95, "switch_every": 7},
    LandscapePlayground: {
        "landscape": "curved valley",
        "method": "lookahead",
        "lr": 0.013,
        "noise": 0.45,
        "decay": 0.5,
        "switch_every": 13,
        "seed": 4,
        "steps": 77,
    },
    UpdateCostExplorer: {
        "tensors": 62,
        "numbers": 180_000,
        "way": "foreach",
        "gbytes_per_s": 2039.0,
        "call_us": 3.5,
    },
    DecisionBoundaryExplorer: {
        "method": "ema",
        "lr": 0.05,
        "decay": 0.95,
        "switch_every": 13,
        "epoch": 7,
        "seed": 3,
    },
}
CHANGES = [
    pytest.param(explorer, name, value, id=f"{explorer.__name__}-{name}")
    for explorer, settings in OTHERS.items()
    for name, value in settings.items()
]
BAD = [
    (DecayExplorer, "decay", 1.0),
    (DecayExplorer, "decay", -0.1),
    (DecayExplorer, "decay", math.nan),
    (DecayExplorer, "decay", "0.9"),
    (DecayExplorer, "decay", True),
    (DecayExplorer, "seed", -1),
    (DecayExplorer, "seed", 1.5),
    (DecayExplorer, "bias_correction", 1),
    (NoiseFloorExplorer, "noise", 0),
    (SemaExplorer, "switch_every", 0),
    (SemaExplorer, "switch_every", 2.5),
    (SemaExplorer, "switch_every", None),
    (LandscapePlayground, "landscape", "bowls"),
    (LandscapePlayground, "method", ["sgd"]),
    (LandscapePlayground, "steps", 0),
    (LandscapePlayground, "steps", 10**9),
    (UpdateCostExplorer, "way", "for"),
    (DecisionBoundaryExplorer, "epoch", -1),
]


def pixels(png):
    return imread(io.BytesIO(png))


def move(explorer, name, value):
    """What the browser's message does when somebody uses the control."""
    explorer._controls[name].value = value


@pytest.fixture
def redraws(monkeypatch):
    """A list that grows by one with every PNG file that is made."""
    made = []
    png = Canvas.png
    monkeypatch.setattr(Canvas, "png", lambda *args: made.append(1) or png(*args))
    return made


# -- every explorer -----------------------------------------------------------------------------


def test_every_setting_has_another_value_above():
    for explorer in EXPLORERS:
        assert set(OTHERS[explorer]) == set(explorer.settings)


@pytest.mark.parametrize(("explorer", "name", "value"), CHANGES)
def test_a_setting_is_a_property_and_a_control(explorer, name, value):
    shown = explorer()
    before, picture = shown.state, shown.png
    setattr(shown, name, value)
    assert shown.message == ""
    assert shown.png != picture
    assert bytes(shown._image.value) == shown.png
    assert shown.state == {**before, name: value}
    assert getattr(shown, name) == shown._controls[name].value == value
    assert type(getattr(shown, name)) is type(before[name])
    move(shown, name, before[name])
    assert shown.state == before
    assert shown.png == picture  # the same state, the same picture


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_several_settings_at_once(explorer, redraws):
    shown = explorer()
    redraws.clear()
    shown.set(**OTHERS[explorer])
    assert shown.state == OTHERS[explorer]
    assert len(redraws) == 1
    made = explorer(**OTHERS[explorer])
    assert (made.state, made.readout) == (shown.state, shown.readout)
    assert made.readout_text == shown.readout_text
    assert made.png == shown.png


@pytest.mark.parametrize(("explorer", "name", "value"), BAD)
def test_a_bad_value_gives_a_message(explorer, name, value):
    shown = explorer()
    before, picture = shown.state, shown.png
    setattr(shown, name, value)
    assert name in shown.message
    assert str(value) in shown.message.replace("'", "") or repr(value) in shown.message
    assert shown.state == before
    assert shown.png == picture
    assert 'role="alert"' in shown._warning.value
    setattr(shown, name, before[name])
    assert shown.message == shown._warning.value == ""


def test_all_settings_are_accepted_or_none():
    shown = SemaExplorer(decay=0.9)
    shown.set(decay=0.5, switch_every=-3)
    assert shown.decay == 0.9
    assert "switch_every" in shown.message


def test_a_bad_initial_value_gives_a_message():
    shown = SemaExplorer(decay=2, switch_every=5)
    assert "decay" in shown.message
    assert shown.state == SemaExplorer().state


def test_an_unknown_setting_gives_a_message():
    shown = SemaExplorer(deacy=0.9)
    assert "'deacy'" in shown.message
    assert "switch_every" in shown.message


def test_settings_that_do_not_fit_together():
    shown = NoiseFloorExplorer(lr=1.5)
    shown.curvature = 2.0
    assert shown.curvature == 1.0
    assert "lr*curvature must be in (0, 2)" in shown.message
    shown.set(lr=0.5, curvature=2.0)
    assert (shown.message, shown.readout["h"]) == ("", 1.0)


def test_a_refused_control_goes_back():
    shown = DecayExplorer()
    move(shown, "seed", -5)
    assert "seed" in shown.message
    assert shown._controls["seed"].value == shown.seed == 0


def test_messages_are_text_not_html():
    shown = SemaExplorer()
    shown.decay = "<img src=x>"
    assert "<img" in shown.message
    assert "<img" not in shown._warning.value


def test_a_slider_takes_values_between_its_stops():
    shown = SemaExplorer()
    shown.decay = 0.98765
    control = shown._controls["decay"]
    assert control.value == shown.decay == 0.98765
    stops = [stop for _, stop in control.options]
    assert stops == sorted(stops)
    assert control.label == "0.98765"


def test_decay_slider_is_logarithmic_in_the_horizon():
    stops = SemaExplorer.settings["decay"].stops
    horizons = [theory.horizon(decay) for decay in stops]
    assert (stops[0], horizons[-1]) == (0.0, pytest.approx(10_000))
    ratios = [b / a for a, b in pairwise(horizons)]
    assert 1.15 < min(ratios) <= max(ratios) < 1.35


def test_period_slider_has_whole_stops():
    stops = SemaExplorer.settings["switch_every"].stops
    assert stops[:8] == [1, 2, 3, 4, 5, 6, 8, 10]
    assert all(isinstance(stop, int) for stop in stops)


def test_ladder():
    assert ladder(0.5, 3) == [0.5, 0.6, 0.8, 1, 1.2, 1.5, 2, 2.5, 3]


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_several_live_side_by_side(explorer):
    one, other = explorer(), explorer()
    one.set(**OTHERS[explorer])
    assert other.state == explorer().state
    assert other.png == explorer().png


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_what_a_notebook_stores(explorer):
    shown = explorer()
    data, metadata = shown._repr_mimebundle_()
    assert data["text/plain"] == repr(shown) == explorer.__name__
    assert base64.b64decode(data["image/png"]) == shown.png
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.model_id
    assert len(metadata["image/png"]["alt"]) > 60
    shown.set(**OTHERS[explorer])
    again, _ = shown._repr_mimebundle_()
    assert again["text/plain"] == data["text/plain"]
    assert base64.b64decode(again["image/png"]) == shown.png


def test_ipython_shows_that_bundle():
    formatters = pytest.importorskip("IPython.core.formatters")
    data, metadata = formatters.DisplayFormatter().format(SemaExplorer())
    assert {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert metadata["alt"] == SemaExplorer.alt


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_for_screen_readers_and_narrow_pages(explorer):
    shown = explorer()
    assert all(control.description for control in shown._controls.values())
    assert 'role="status"' in shown._words.value
    assert shown._image.layout.width == f"{explorer.width}px"
    assert pixels(shown.png).shape[:2] == (explorer.height, explorer.width)
    assert explorer.width <= 660
    if shown._image.has_trait("tooltip"):
        assert shown._image.tooltip == explorer.alt
    used = {name for name in ("color", "background") if name in shown._words.value}
    assert not used  # the page's theme decides


def test_the_decay_and_the_period_show_u():
    for shown in (SemaExplorer(decay=0.9, switch_every=7), LandscapePlayground(switch_every=7)):
        assert "u = T(1-d) = 0.7" in shown.readout_text


def test_no_torch_and_no_pyplot_figure():
    code = (
        "import sys; from sema_lite.widgets import *; import matplotlib.pyplot as plt;"
        "e = [DecayExplorer(), NoiseFloorExplorer(), SemaExplorer(), UpdateCostExplorer(),"
        "LandscapePlayground()];"
        "assert 'torch' not in sys.modules; assert not plt.get_fignums()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the canvas ---------------------------------------------------------------------------------


def test_encode_is_a_png_of_these_pixels():
    given = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    assert np.array_equal(np.round(pixels(encode(given)) * 255), given)
    assert pixels(BLANK).size in (1, 3, 4)


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_blitting_draws_what_drawing_draws(explorer):
    """Each artist that moves and can be seen in a figure drawn from scratch is in the picture."""
    shown = explorer()
    shown.set(**OTHERS[explorer])
    fast = pixels(shown.png)
    moving = shown.canvas._moving
    for artist in moving:
        artist.set_animated(False)

    def scratch():
        file = io.BytesIO()
        shown.canvas.figure.savefig(file, dpi=100)
        return pixels(file.getvalue())

    def unlike(picture):
        return (np.abs(fast - picture)[..., :3].max(axis=2) > 0.05).sum()

    complete = unlike(scratch())
    for artist in moving:
        if artist.get_visible():
            artist.set_visible(False)
            assert unlike(scratch()) > complete
            artist.set_visible(True)


def test_old_grounds_are_let_go():
    shown = LandscapePlayground()
    first = shown.png
    for steps in range(100, 113):
        shown.steps = steps
    assert len(shown.canvas._grounds) <= 12
    shown.steps = 200
    assert shown.png == first


# -- one by one: against theory -----------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("corrected", [False, True])
def test_decay_explorer(decay, corrected):
    shown = DecayExplorer(decay=decay, bias_correction=corrected, seed=5)
    steps = len(shown.curves["signal"])
    assert shown.readout == {
        "horizon": theory.horizon(decay),
        "half_life": theory.half_life(decay),
        "bias": 0.0 if corrected else decay**steps,
        "noise": math.sqrt((1 - decay) / (1 + decay)),
    }
    average, expected = 0.0, []
    for k, value in enumerate(shown.curves["signal"], start=1):
        average = decay * average + (1 - decay) * value
        expected.append(average / (1 - decay**k) if corrected else average)
    assert shown.curves["average"] == pytest.approx(expected, rel=1e-12)


def test_decay_explorers_noise_is_what_the_curve_does():
    """Jitter about the mean, over many seeds, long after the jump: 4 standard errors."""
    shown, late = DecayExplorer(decay=0.8, noise=0.5), []
    for seed in range(30):
        shown.seed = seed
        late += [value - 2 for value in shown.curves["average"][150::10]]
    wanted = (0.5 * shown.readout["noise"]) ** 2
    error = wanted * math.sqrt(2 / len(late))  # values 10 steps apart are nearly independent
    assert abs(np.mean(np.square(late)) - wanted) < 4 * error


@pytest.mark.parametrize(("lr", "a", "s", "d"), [(0.1, 1.0, 1.0, 0.9), (0.75, 2.0, 0.3, 0.99)])
def test_noise_floor_explorer(lr, a, s, d):
    shown = NoiseFloorExplorer(lr=lr, curvature=a, noise=s, decay=d)
    sgd, ema = theory.sgd_variance(lr, a, s), theory.ema_variance(lr, a, s, d)
    assert shown.readout == {"v_sgd": sgd, "v_ema": ema, "ratio": ema / sgd, "h": lr * a}
    at = len(shown.curves["lr"]) // 2
    rate = shown.curves["lr"][at]
    assert shown.curves["v_sgd"][at] == theory.sgd_variance(rate, a, s)
    assert shown.curves["v_ema"][at] == theory.ema_variance(rate, a, s, d)
    assert max(shown.curves["lr"]) < 2 / a


def test_noise_floor_explorers_walk_has_these_variances(monkeypatch):
    """Over many seeds, from the first step to the last: the walk begins in the long run."""
    shown = NoiseFloorExplorer(lr=0.3, decay=0.8)
    walks = []
    for seed in range(400):
        fixed = random.Random(seed)
        monkeypatch.setattr(random, "Random", lambda _, fixed=fixed: fixed)
        walks.append(shown._walk())
    for step in (0, 1, 5, 300):
        live, average = (np.array([walk[i][step] for walk in walks]) for i in (0, 1))
        for values, wanted in ((live, 1.0), (average, shown.readout["ratio"])):
            assert abs(np.mean(values**2) - wanted) < 4 * wanted * math.sqrt(2 / len(walks))


@pytest.mark.parametrize(
    ("lr", "d", "t", "v_sema"),
    [(0.1, 0.9, 10, 0.01956), (0.02, 0.99, 100, 0.00280), (1.5, 0.9, 10, 0.06082)],
)
def test_sema_explorer(lr, d, t, v_sema):
    shown = SemaExplorer(lr=lr, decay=d, switch_every=t)
    sgd, ema = theory.sgd_variance(lr, 1, 1), theory.ema_variance(lr, 1, 1, d)
    sema = theory.sema_variance(lr, 1, 1, d, t)
    assert sema == pytest.approx(v_sema, abs=6e-6)
    assert shown.readout == {
        "u": theory.period_in_horizons(d, t),
        "step_fraction": theory.step_fraction(d, t),
        "v_sgd": sgd,
        "v_ema": ema,
        "v_sema": sema,
        "gain": sema / ema,
    }
    at = 8  # decay 0.9
    decay = shown.curves["decay"][at]
    assert decay == pytest.approx(0.9)
    live = theory.sema_live_variance(lr, 1, 1, decay, t, t) / sgd
    assert shown.curves["live"][at] == pytest.approx(live, rel=1e-12)
    assert shown.curves["sema"][at] == theory.sema_variance(lr, 1, 1, decay, t) / sgd


def test_update_cost_explorer():
    shown = UpdateCostExplorer(tensors=1000, numbers=100, call_us=4.0, gbytes_per_s=100.0)
    assert shown.readout == {
        "launches": 1000,
        "bytes": 1_200_000,
        "microseconds": 4000.0,
        "limit": "launches",
    }
    shown.way = "foreach"
    assert shown.readout["launches"] == 16
    assert shown.readout["microseconds"] == 64.0
    shown.way = "flat"
    assert shown.readout["launches"] == 1
    assert shown.readout["microseconds"] == pytest.approx(12.0)
    assert shown.readout["limit"] == "bytes"
    at = shown.curves["tensors"].index(1000)
    assert [shown.curves[way][at] for way in ("loop", "foreach")] == [4000.0, 64.0]


# -- the playground -----------------------------------------------------------------------------

AVERAGES = {
    "sgd": lambda w: reference.EMA(w, 0.0),
    "ema": lambda w: reference.EMA(w, 0.8),
    "swa": lambda w: reference.SWA(w),
    "sema": lambda w: reference.SEMA(w, 0.8, switch_every=15),
    "lookahead": lambda w: reference.Lookahead(w, k=15, s=1 - 0.8),
}


@pytest.fixture(scope="module")
def playground():
    return LandscapePlayground()


@pytest.mark.parametrize("name", landscapes.LANDSCAPES)
@pytest.mark.parametrize("method", theory.METHODS)
def test_playground_is_landscapes_walk(playground, name, method):
    setting, shown = {"lr": 0.01, "seed": 7, "noise": 1.5}, playground
    shown.set(landscape=name, method=method, decay=0.8, switch_every=15, steps=120, **setting)
    ground = landscapes.LANDSCAPES[name]
    path = landscapes.walk(ground, AVERAGES[method], steps=120, **setting)
    curves = shown.curves
    assert (curves["live"], curves["average"]) == (path.live, path.average)
    assert curves["switched"] == path.switched
    assert shown.readout == {
        "loss_live": ground.loss(*path.live[-1]),
        "loss_average": ground.loss(*path.average[-1]),
        "switches": 8 if method in ("sema", "lookahead") else 0,
        "u": theory.period_in_horizons(0.8, 15),
    }


def test_playground_diverges():
    shown = LandscapePlayground(landscape="curved valley", lr=0.5, noise=0)
    step = int(re.search(r"diverged at step (\d+): lower the learning rate", shown.message)[1])
    assert len(shown.curves["live"]) == step  # the start, and the steps before
    with pytest.raises(ValueError, match=f"diverged at step {step}:"):
        landscapes.walk(landscapes.CurvedValley(), shown_average(shown), 0.5, shown.steps, noise=0)
    assert np.isfinite(shown.curves["live"]).all()
    assert shown.lr == 0.5
    frame = shown.png
    shown._slider.value = step - 2
    assert shown.png != frame  # also where the path is out of the picture
    shown.lr = 0.01
    assert shown.message == ""
    assert len(shown.curves["live"]) == shown.steps + 1


def shown_average(shown):
    return lambda w: reference.SEMA(w, shown.decay, switch_every=shown.switch_every)


def test_playground_says_when_the_walk_leaves_the_picture():
    shown = LandscapePlayground(landscape="bowl", method="sgd", lr=0.12, noise=0)
    gone = shown.curves["gone"]
    assert f"leaves the picture at step {gone}" in shown.message
    low, high = landscapes.Bowl.window[2:]
    (_, before), (_, after) = shown.curves["live"][gone - 1 : gone + 1]
    assert abs(before) < 1.5 * (high - low) <= abs(after)


def test_playground_greys_out_what_a_method_does_not_use():
    shown = LandscapePlayground()
    for method in theory.METHODS:
        shown.method = method
        assert shown._controls["decay"].disabled == (method in ("sgd", "swa"))
        assert shown._controls["switch_every"].disabled == (method in ("sgd", "swa", "ema"))


def test_playground_plays_and_pauses():
    shown = LandscapePlayground(steps=333)
    whole = shown.png
    shown.play()
    assert shown.playing
    assert (shown._play.value, shown._button.description) == (0, "Pause")
    assert shown.png != whole
    frames = set()
    while shown._play.value + shown._play.step <= 333:  # what the browser does
        shown._play.value += shown._play.step
        frames.add(shown.png)
    assert len(frames) > 50
    shown.pause()
    assert (shown.playing, shown._button.description) == (False, "Play")
    assert shown._play.value == shown._slider.value == 333
    assert shown.png == whole


def test_playground_goes_on_playing_when_a_setting_changes():
    shown = LandscapePlayground()
    shown.play()
    shown._play.value = 50
    shown.lr = 0.1
    assert (shown.playing, shown._play.value) == (True, 50)
    shown._button.click()
    assert not shown.playing
    shown.play()
    assert shown._play.value == 50  # it goes on where it stopped


def test_playground_shows_the_step_of_its_slider():
    shown = LandscapePlayground()
    whole = shown.png
    shown._slider.value = 10
    assert shown._play.value == 10
    assert shown.png != whole
    shown.seed = 1
    assert shown._slider.value == shown.steps


def test_a_class_of_its_own_has_its_own_settings():
    assert Explorer.settings == {}
    assert "decay" not in UpdateCostExplorer.settings
