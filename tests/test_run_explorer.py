"""The explorer of stored runs: it offers what is stored, and shows its numbers, no others."""

from __future__ import annotations

import base64
import io
import itertools
import math
from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from matplotlib.image import imread

from sema_lite import results, run_explorer
from sema_lite.run import Run
from sema_lite.run_explorer import RunExplorer, index
from sema_lite.scores import METRICS, ManyScores, mean_and_error, paired_difference

SEEDS = (0, 1, 2)


def scores(run, first, averaged=True):
    """Three epochs and three seeds: numbers that differ everywhere."""

    def rows(base):
        return [
            [round(base + 0.1 * epoch + 0.01 * seed**2, 9) for seed in SEEDS] for epoch in range(3)
        ]

    live = {metric: rows(first + k / 1000) for k, metric in enumerate(METRICS)}
    mean = {metric: rows(first + 0.05 + k / 1000) for k, metric in enumerate(METRICS)}
    return ManyScores(run, SEEDS, (1, 2, 3), live, mean if averaged else None, 0)


def content(*each):
    return {"seeds": list(SEEDS), "settings": [one.record(digits=9) for one in each]}


def two_rates():
    found = []
    for lr in (0.05, 0.2):
        found += [scores(Run(method="ema", lr=lr, decay=d), 0.1 + lr) for d in (0.9, 0.95)]
        found += [scores(Run(method="swa", lr=lr), 0.1 + lr)]
        found += [scores(Run(method="sema", lr=lr, decay=0.95), 0.2 + lr)]
    return [*found, scores(Run(method="lookahead"), 0.15)]


@pytest.fixture(autouse=True)
def files(monkeypatch):
    bad = scores(Run(method="ema", decay=0.95, batch_norm="live"), 0.1)
    for weights in (bad.live, bad.averaged):
        weights["accuracy"][-1][2] = math.nan
    made = {
        "cifar10": content(*two_rates()),
        "batch-norm": content(
            bad, scores(Run(method="ema", decay=0.9, batch_norm="estimate"), 0.2)
        ),
        "cifar10-map": content(scores(Run(method="sema", decay=0.8, switch_every=5), 0.3)),
    }

    def stored(name):
        if name not in made:
            raise results.ResultsError(f"there is no stored result {name!r}")
        return made[name]

    monkeypatch.setattr(run_explorer, "stored", stored)


@pytest.fixture
def shown():
    return RunExplorer()


def test_the_index_has_sgd_too():
    found = index(content(*two_rates()))
    assert sorted({key[0] for key in found}) == ["ema", "lookahead", "sema", "sgd", "swa"]
    assert len(found) == 9 + 2  # SGD at each rate
    sgd, ema = found["sgd", None, "lr 0.2"], found["ema", 0.95, "lr 0.2"]
    assert (sgd.live, sgd.averaged, sgd.run.method) == (ema.live, None, "sgd")


def test_a_stored_sgd_is_taken_as_it_is():
    plain = scores(Run(method="sgd"), 0.7, averaged=False)
    found = index(content(plain, scores(Run(method="ema", decay=0.9), 0.1)))
    assert found["sgd", None, "as stored"].live == plain.live


def test_initial_state(shown):
    assert shown.message == ""
    assert shown.state == {
        "experiment": "cifar10",
        "method": "sema",
        "decay": 0.95,
        "setting": "lr 0.05",
        "metric": "accuracy",
        "band": True,
    }


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("lr", [0.05, 0.2])
@pytest.mark.parametrize(("method", "decay"), [("sema", 0.95), ("ema", 0.9), ("swa", None)])
def test_numbers_are_those_of_the_file(shown, method, decay, lr, metric):
    shown.set(method=method, decay=decay, setting=f"lr {lr}", metric=metric)
    assert shown.message == ""
    wanted = next(
        s for s in two_rates() if (s.run.method, s.run.decay, s.run.lr) == (method, decay, lr)
    )
    sgd = next(s for s in two_rates() if (s.run.method, s.run.lr) == ("ema", lr)).live
    factor = 100 if metric == "accuracy" else 1
    rows = [wanted.live, wanted.averaged, sgd]
    live, averaged, plain = ([factor * v for v in each[metric][-1]] for each in rows)
    read = shown.readout
    assert (read["live"], read["live_error"]) == pytest.approx(mean_and_error(live))
    assert (read["averaged"], read["averaged_error"]) == pytest.approx(mean_and_error(averaged))
    gap, error, _ = paired_difference(averaged, plain)
    assert read["difference"] == pytest.approx(gap)
    assert read["difference_error"] == pytest.approx(error, abs=1e-9)
    assert read["seeds"] == 3
    points = [point for name in ("live", "averaged", "sgd") for point in shown.curves[name]]
    every = [row for each in rows for row in each[metric]]
    for (mean, error), row in zip(points, every, strict=True):
        assert (mean, error) == pytest.approx(mean_and_error([factor * v for v in row]))
    assert shown.curves["epochs"] == [1, 2, 3]


def test_sgd_has_no_average_and_no_difference(shown):
    shown.method = "sgd"
    read = shown.readout
    assert (read["averaged"], read["difference"]) == (None, None)
    assert shown.curves["averaged"] is None
    assert shown.curves["sgd"] == shown.curves["live"]
    assert "averaged" not in shown.readout_text


def test_what_is_not_stored_is_replaced_unless_it_was_asked_for(shown):
    shown.set(decay=0.95, setting="lr 0.2")
    shown.method = "lookahead"  # at one rate only, and without a decay
    assert (shown.message, shown.decay, shown.setting) == ("", None, "lr 0.05")
    assert shown._controls["decay"].disabled
    shown.method = "ema"
    assert (shown.message, shown.decay) == ("", 0.95)  # the one nearest to the usual one
    before, picture = shown.state, shown.png
    shown.set(method="lookahead", setting="lr 0.2")
    assert "setting must be one of lr 0.05: got 'lr 0.2'" in shown.message
    shown.decay = 0.99
    assert "decay must be one of 0.9; 0.95: got 0.99" in shown.message
    shown.decay = "0.9"
    assert "decay" in shown.message
    shown.decay = 3
    assert "decay" in shown.message
    shown.experiment = "circles"
    assert "experiment must be one of" in shown.message
    assert (shown.state, shown.png) == (before, picture)


def test_a_file_that_is_not_there_is_a_message(shown):
    shown.experiment = "cifar10-adamw"
    assert shown.message == "there is no stored result 'cifar10-adamw'"
    assert shown.experiment == shown._controls["experiment"].value == "cifar10"


def test_controls_offer_what_is_stored(shown):
    assert shown._controls["setting"].options == (("lr 0.05", "lr 0.05"), ("lr 0.2", "lr 0.2"))
    shown._controls["method"].value = "ema"  # as a reader would
    assert shown._controls["decay"].options == (("0.9", 0.9), ("0.95", 0.95))
    shown._controls["decay"].value = 0.9
    assert (shown.method, shown.decay) == ("ema", 0.9)
    shown._controls["method"].value = "swa"
    assert shown.decay is None
    assert shown._controls["decay"].label == "none"
    shown.decay = "none"
    assert (shown.decay, shown.message) == (None, "")
    shown._controls["setting"].value = "lr 0.2"
    assert (shown.setting, shown.message) == ("lr 0.2", "")


def test_another_experiment(shown):
    shown.experiment = "batch-norm"  # it has no SEMA
    assert (shown.message, shown.method) == ("", "sgd")
    shown.set(method="ema", decay=0.9)
    assert (shown.decay, shown.setting) == (0.9, "BN estimate")
    shown.set(experiment="cifar10", method="ema", decay=0.9, setting="lr 0.2")
    assert (shown.message, shown.setting) == ("", "lr 0.2")


def test_without_sgd_there_is_no_difference(shown):
    shown.set(experiment="cifar10-map", decay=0.8)
    assert (shown.message, shown.method, shown.setting) == ("", "sema", "as stored")
    assert (shown.readout["difference"], shown.curves["sgd"]) == (None, None)


def test_a_seed_that_diverged_is_left_out(shown):
    shown.set(experiment="batch-norm", method="ema", decay=0.95)
    assert shown.readout["seeds"] == 2
    bad = [30.0, 31.0]  # of three: 0.1 + 0.1 * 2 epochs, and 0.01 for the second seed
    assert shown.readout["live"] == pytest.approx(sum(bad) / 2)
    assert "2 seeds" in shown.readout_text
    shown.metric = "nll"
    assert shown.readout["seeds"] == 3


def test_the_picture_changes_with_every_setting(shown):
    pictures = [shown.png]
    for change in (
        {"band": False},
        {"metric": "ece"},
        {"setting": "lr 0.2"},
        {"method": "ema"},
        {"decay": 0.9, "method": "sgd"},
    ):
        shown.set(**{**change, **({"decay": None} if "decay" in change else {})})
        assert shown.message == ""
        pictures.append(shown.png)
    assert all(a != b for a, b in itertools.pairwise(pictures))
    assert imread(io.BytesIO(shown.png)).shape[:2] == (RunExplorer.height, RunExplorer.width)
    data, metadata = shown._repr_mimebundle_()
    assert data["text/plain"] == "RunExplorer"
    assert base64.b64decode(data["image/png"]) == shown.png
    assert len(metadata["alt"]) > 60


def test_scale_is_the_same_for_all_settings_of_an_experiment(shown):
    limits = shown.canvas.axes[0].get_ylim()
    shown.set(method="ema", decay=0.9, setting="lr 0.2")
    assert shown.canvas.axes[0].get_ylim() == limits
    every = [v for s in two_rates() for part in (s.live, s.averaged) for v in part["accuracy"][0]]
    assert limits[0] < 100 * min(every) + 1


def test_chance_is_not_drawn(shown, monkeypatch):
    run = Run(method="ema", decay=0.95)
    far = scores(run, 0.1)
    far.live["nll"][0] = [50.0, 60.0, 70.0]
    monkeypatch.setattr(run_explorer, "stored", lambda _: content(far, replace(far, run=Run())))
    other = RunExplorer(metric="nll")
    assert other.canvas.axes[0].get_ylim()[1] < 1
    assert shown.message == ""


@pytest.mark.parametrize("name", run_explorer.EXPERIMENTS)
def test_real_files_can_be_explored(name, monkeypatch):
    monkeypatch.undo()
    if "cifar10" not in results.stored_names():
        monkeypatch.setattr(RunExplorer.experiment, "initial", "label-noise")
    if name not in results.stored_names():
        pytest.skip(f"{name} is not stored yet")
    shown = RunExplorer(experiment=name)
    assert shown.message == ""
    for method in shown._options(shown.state)["method"]:
        shown.method = method
        options = shown._options(shown.state)
        for decay in options["decay"]:
            shown.decay = decay
            for setting in shown._options(shown.state)["setting"]:
                shown.setting = setting
                state = (shown.message, shown.method, shown.decay, shown.setting)
                assert state == ("", method, decay, setting)
                assert shown.readout["seeds"] > 0
