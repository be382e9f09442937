"""The files of data/results/: whole, small, made by the program as it is, saying what we claim."""

from pathlib import Path

import pytest
import results

from sema_lite.compare import METRICS, paired_difference, train_many
from sema_lite.results import read_json
from sema_lite.run import Run
from sema_lite.scores import mean_and_error

FOLDER = Path(__file__).parent.parent / "data" / "results"


def settings(name):
    return {
        results.key(Run(**each["run"])): each
        for each in read_json(FOLDER / f"{name}.json")["settings"]
    }


def final(stored, metric="accuracy", weights="averaged", **wanted):
    """For each seed, after the last epoch: the one setting with these values in its run."""
    found = [
        each
        for each in stored.values()
        if all(each["run"][name] == value for name, value in wanted.items())
    ]
    assert len(found) == 1, wanted
    return found[0][weights][metric][-1]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_files_are_small_and_say_where_they_come_from(path):
    content = read_json(path)
    assert path.stat().st_size < 1_000_000
    assert content["command"].startswith("python tools/")
    assert content["versions"]["torch"]


STORED = [name for name, make in results.EXPERIMENTS.items() if not make().gpu]
STORED += [name for name in ("cifar10-full",) if (FOLDER / f"{name}.json").exists()]


@pytest.mark.parametrize("name", STORED)
def test_stored_settings_are_those_of_the_program(name):
    experiment, content = results.EXPERIMENTS[name](), read_json(FOLDER / f"{name}.json")
    assert list(settings(name)) == [results.key(run) for run in experiment.runs]
    assert content["seeds"] == list(range(experiment.seeds))
    assert content["about"] == experiment.about
    for each in content["settings"]:
        for weights in ("live", "averaged"):
            for metric in METRICS if each[weights] else ():
                rows = each[weights][metric]
                assert len(rows) == len(each["epochs"])
                assert all(len(seeds) == experiment.seeds for seeds in rows)


def test_a_stored_setting_comes_out_again(one_thread):  # noqa: ARG001
    """On another processor in other digits: so within what three seeds can tell."""
    stored = settings("circles")
    common = {"lr": 0.05, "schedule": "constant", "method": "sema", "decay": 0.99}
    (run,) = [run for run in results.EXPERIMENTS["circles"]().runs if matches(run, **common)]
    again = train_many(run, range(3)).averaged
    assert again is not None
    for metric, width in (("accuracy", 0.02), ("nll", 0.05), ("ece", 0.02)):
        before = final(stored, metric, **common)[:3]
        assert again[metric][-1] == pytest.approx(before, abs=width)


def matches(run, **wanted):
    return all(getattr(run, name) == value for name, value in wanted.items())


def test_circles_an_average_helps_at_a_constant_rate_and_not_where_the_rate_goes_to_zero():
    stored = settings("circles")
    for schedule, low, high in (("constant", 0.01, 0.04), ("cosine", -0.002, 0.002)):
        same = {"schedule": schedule, "lr": 0.1, "method": "ema", "decay": 0.995}
        gain, error, n = paired_difference(
            final(stored, **same), final(stored, weights="live", **same)
        )
        assert n == 20
        assert low < gain - 2 * error
        assert gain + 2 * error < high


def test_circles_sema_forgives_a_rate_that_is_too_large_and_ties_where_each_is_tuned():
    stored = settings("circles")
    large = {"schedule": "constant", "lr": 0.2}
    sema = final(stored, method="sema", decay=0.99, **large)
    for decay in results.DECAYS:
        gap, error, _ = paired_difference(sema, final(stored, method="ema", decay=decay, **large))
        assert gap - 2 * error > 0.1
    best = {
        method: max(
            mean_and_error(each["averaged"]["accuracy"][-1])[0]
            for each in stored.values()
            if each["run"]["method"] == method and each["run"]["schedule"] == "constant"
        )
        for method in ("ema", "sema")
    }
    assert abs(best["sema"] - best["ema"]) < 0.005


def test_circles_sema_freezes():
    """u = 40 * 0.001 = 0.04: far below EMA at the same small rate."""
    stored = settings("circles")
    same = {"schedule": "constant", "lr": 0.002, "decay": 0.999}
    gap, error, _ = paired_difference(
        final(stored, method="ema", **same), final(stored, method="sema", **same)
    )
    assert gap - 2 * error > 0.2
