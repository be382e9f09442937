"""Many seeds at once on points, and their comparison in pairs."""

import dataclasses
import json
import math

import pytest
import results
import torch
from killed import images, net
from torch import nn

from sema_lite import SEMA
from sema_lite.calibration import expected_calibration_error
from sema_lite.compare import compare, point_data, table, train_many
from sema_lite.data import ImageData
from sema_lite.run import Run
from sema_lite.training import train

RUN = Run(data="circles", method="sema", lr=0.1, decay=0.9, epochs=2, batch_size=50, weight_decay=0)


@pytest.fixture(autouse=True)
def one_thread_and_own_random_numbers(one_thread):  # noqa: ARG001
    with torch.random.fork_rng(devices=[]):
        yield


def test_it_equals_a_plain_loop_over_the_seeds():
    scores = train_many(RUN, [4, 1], hidden=(8,), evaluate_every=1)
    assert scores.epochs == (1, 2)
    assert scores.switches == 2
    for i, seed in enumerate((4, 1)):
        data = point_data(RUN, seed)
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        sema = SEMA(model, 0.9, switch_every=8)
        order = torch.Generator().manual_seed(seed)
        for epoch in range(2):
            for number, batch in enumerate(torch.randperm(400, generator=order).split(50), 1):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(data.train_x[batch]), data.train_y[batch])
                loss.backward()
                optimizer.step()
                if number == 8:
                    check(scores.live, epoch, i, model, data)
                sema.update()
            with sema.applied():
                check(scores.averaged, epoch, i, model, data)


def check(scores, epoch, i, model, data):
    with torch.no_grad():
        logits = model(data.test_x)
    nll = nn.functional.cross_entropy(logits, data.test_y).item()
    right = (logits.argmax(1) == data.test_y).double().mean().item()
    assert scores["nll"][epoch][i] == pytest.approx(nll, abs=1e-4)
    assert scores["accuracy"][epoch][i] == pytest.approx(right, abs=0.002)
    ece = expected_calibration_error(logits, data.test_y)
    assert scores["ece"][epoch][i] == pytest.approx(ece, abs=0.003)


def test_methods_are_paired_and_a_seed_does_not_depend_on_the_others():
    ema = dataclasses.replace(RUN, method="ema")
    sgd = dataclasses.replace(RUN, method="sgd")
    live = train_many(ema, [0, 1], hidden=(8,)).live
    assert train_many(sgd, [0, 1], hidden=(8,)).live == live
    assert train_many(sgd, [0, 1], hidden=(8,)).averaged is None
    alone = train_many(sgd, [1], hidden=(8,)).live
    assert alone["nll"][0][0] == pytest.approx(live["nll"][0][1], abs=1e-5)


def test_it_learns():
    scores = train_many(dataclasses.replace(RUN, epochs=20, batch_size=10), range(3))
    assert min(scores.averaged["accuracy"][-1]) > 0.85


def test_a_diverged_seed_is_none_when_stored():
    scores = train_many(dataclasses.replace(RUN, lr=1e30), [0], hidden=(8,))
    assert math.isnan(scores.live["accuracy"][0][0])
    record = scores.record()
    assert record["live"] == {"accuracy": [[None]], "nll": [[None]], "ece": [[None]]}
    json.dumps(record, allow_nan=False)


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"data must be one of .*circles.*got 'cifar10'"):
        train_many(Run(), [0])
    with pytest.raises(ValueError, match="train\\(\\) is for images"):
        train(RUN)
    with pytest.raises(ValueError, match="flipped is for digits"):
        dataclasses.replace(RUN, flipped=0.2)
    with pytest.raises(ValueError, match="batch_size must be at most 400"):
        train_many(dataclasses.replace(RUN, batch_size=401), [0])


# -- compare ---------------------------------------------------------------------------------------


IMAGES = [Run(method=m, epochs=2, batch_size=16, decay=0.5) for m in ("ema", "sema", "swa")]


@pytest.fixture(scope="module")
def colours():
    return ImageData("ten colours", *images(48), *images(20))


def on_images(data, runs=IMAGES, seeds=(0, 1), **options):
    return compare(runs, seeds, data, build=net, device="cpu", progress=False, **options)


def test_on_images_it_is_train_for_each_seed(colours):
    scores = on_images(colours)
    assert [each.run for each in scores] == IMAGES
    for each in scores:
        assert each.epochs == (1, 2)
        for i, seed in enumerate(each.seeds):
            run = dataclasses.replace(each.run, seed=seed)
            result = train(run, colours, build=net, device="cpu", progress=False)
            assert each.switches == result.switches
            for epoch, measured in enumerate(result.epochs):
                for metric in ("accuracy", "nll", "ece"):
                    assert each.live[metric][epoch][i] == getattr(measured.live, metric)
                    assert each.averaged[metric][epoch][i] == getattr(measured.averaged, metric)


def test_on_images_ema_and_swa_share_a_training(colours, tmp_path):
    steps = []
    on_images(colours, folder=tmp_path, seeds=[3], on_step=lambda step, _: steps.append(step))
    assert len(steps) == 2 * 6
    assert sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir()) == [
        "ema+swa-seed3",
        "sema-seed3",
    ]


def test_a_killed_comparison_goes_on(colours, tmp_path):
    whole, steps = on_images(colours), []

    def stop(*_):
        steps.append(1)
        if len(steps) == 10:  # in the second training
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_images(colours, folder=tmp_path, on_step=stop)
    steps.clear()
    again = on_images(colours, folder=tmp_path, on_step=lambda *_: steps.append(1))
    assert again == whole
    assert len(steps) == 4 * 6 - 6 - 3  # not the first training, nor an epoch of the second


def test_on_points_what_is_done_is_kept(tmp_path, monkeypatch):
    runs = [dataclasses.replace(RUN, method=method) for method in ("ema", "sema")]
    whole = compare(runs, [0, 1], folder=tmp_path, progress=False, hidden=(4,))
    assert whole == compare(runs, [0, 1], progress=False, hidden=(4,))
    monkeypatch.setattr("sema_lite.compare.train_many", None)
    again = compare(runs, [0, 1], folder=tmp_path, progress=False)
    assert table(again) == table(whole)
    with pytest.raises(TypeError):
        compare(runs, [0, 2], folder=tmp_path, progress=False)  # others are not taken for them


@pytest.mark.parametrize("content", ['{"run"', "{}", '{"live": null}', "[]"])
def test_on_points_a_damaged_file_is_named(tmp_path, content):
    run = dataclasses.replace(RUN, epochs=1)
    compare([run], [0], folder=tmp_path, progress=False, hidden=(4,))
    (path,) = tmp_path.glob("*.json")
    path.write_text(content)
    with pytest.raises(ValueError, match=f"To train this one again, delete '{path}'"):
        compare([run], [0], folder=tmp_path, progress=False)


def test_on_points_a_result_is_rounded_once(tmp_path, monkeypatch):
    """Rounded to nine digits, and then to six, this would be the number above or below."""
    value = 0.42057249997410834
    scores = train_many(dataclasses.replace(RUN, epochs=1), [0], hidden=(4,))
    odd = dataclasses.replace(scores, live={**scores.live, "nll": [[value]]})
    monkeypatch.setattr("sema_lite.compare.train_many", lambda *_, **__: odd)
    found = [compare([odd.run], [0], folder=tmp_path, progress=False) for _ in "12"]
    assert found[0] == found[1]
    assert found[1][0].record(digits=6)["live"]["nll"] == [[round(value, 6)]]


def test_a_diverged_run_is_nan_and_told(colours):
    problems = []
    runs = [IMAGES[0], dataclasses.replace(IMAGES[0], lr=1e30)]
    fine, broken = on_images(colours, runs, [0], on_error=problems.append)
    assert math.isfinite(fine.live["nll"][-1][0])
    assert math.isnan(broken.averaged["nll"][-1][0])
    assert "learning rate 1e+30" in str(problems[0])


@pytest.mark.parametrize(
    ("runs", "seeds", "says"),
    [
        ([], [0], "runs must be different ones"),
        ([RUN, dataclasses.replace(RUN, seed=1)], [0], "runs must be different ones"),
        ([RUN], [], "seeds must be different numbers"),
        ([RUN], [1, 1], "seeds must be different numbers"),
        ([RUN, IMAGES[0]], [0], "runs must be on one set of images"),
    ],
)
def test_what_cannot_be_compared(runs, seeds, says):
    with pytest.raises(ValueError, match=says):
        compare(runs, seeds, progress=False)


# -- tools/results.py ------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    runs = tuple(dataclasses.replace(RUN, epochs=1, lr=lr) for lr in (0.05, 0.1, 0.2))
    experiment = results.Experiment("a test", runs, seeds=2, options={"hidden": (4,)})
    monkeypatch.setitem(results.EXPERIMENTS, "tiny", lambda: experiment)
    return experiment


def test_an_interrupted_experiment_goes_on_and_ends_the_same(tiny, tmp_path, monkeypatch):  # noqa: ARG001
    whole = results.make("tiny", tmp_path / "a", tmp_path / "whole", threads=1).read_bytes()
    calls = []

    def killed(run, *args, **kwargs):
        calls.append(run)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_many(run, *args, **kwargs)

    monkeypatch.setattr("sema_lite.compare.train_many", killed)
    with pytest.raises(KeyboardInterrupt):
        results.make("tiny", tmp_path / "b", tmp_path / "cut", threads=1)
    assert not (tmp_path / "cut").exists()
    assert results.make("tiny", tmp_path / "b", tmp_path / "cut", threads=1).read_bytes() == whole
    assert [run.lr for run in calls] == [0.05, 0.1, 0.2, 0.2]
    content = json.loads(whole)
    assert [setting["run"]["lr"] for setting in content["settings"]] == [0.05, 0.1, 0.2]
    assert content["seeds"] == [0, 1]


def test_the_experiments_are_what_they_say():
    runs = results.EXPERIMENTS["circles"]().runs
    assert len({results.key(run) for run in runs}) == len(runs) == 192
    for experiment in results.EXPERIMENTS.values():
        runs = experiment().runs
        assert len({results.key(run) for run in runs}) == len(runs)
    noise = results.EXPERIMENTS["label-noise"]().runs
    assert {run.flipped for run in noise} == {0.0, 0.2}
    assert len({results.key(run) for run in noise}) == len(noise)


def test_an_unknown_experiment(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results.py", "squares"])
    assert results.main() == 2
    assert "no experiment squares" in capsys.readouterr().err
