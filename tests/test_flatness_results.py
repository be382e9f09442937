"""data/results/flatness.json and its program: the same settings, numbers that come out again."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("curvlinops")
pytest.importorskip("sklearn")

import flatness_results as program

from sema_lite.compare import train_many
from sema_lite.points import circles
from sema_lite.results import read_json

STORED = Path(__file__).parent.parent / "data" / "results" / "flatness.json"
pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = tuple(replace(run, epochs=1) for run in program.RUNS[-3:])


@pytest.mark.skipif(not STORED.exists(), reason="not made yet")
def test_stored_settings_are_those_of_the_program():
    content = read_json(STORED)
    assert content["about"] == program.ABOUT
    assert content["seeds"] == list(program.SEEDS)
    assert [each["run"] for each in content["settings"]] == [asdict(run) for run in program.RUNS]
    for each in content["settings"]:
        assert (each["live"] is None) == (each["run"]["method"] == "swa")
        assert each["switches"] == (50 if each["run"]["method"] == "sema" else 0)
        for found in filter(None, (each["live"], each["averaged"])):
            assert all(len(values) == len(program.SEEDS) for values in found.values())


def test_the_networks_are_those_of_train_many():
    data = [circles(seed) for seed in (0, 1)]
    for run in SHORT:
        scores = train_many(run, (0, 1))
        live, averaged, switches = program.train(run, data)
        assert switches == scores.switches
        for networks, wanted in ((live, scores.live), (averaged, scores.averaged)):
            for i, (net, d) in enumerate(zip(networks, data, strict=True)):
                with torch.no_grad():
                    right = (net(d.test_x).argmax(1) == d.test_y).double().mean()
                assert float(right) == pytest.approx(wanted["accuracy"][-1][i], abs=1e-9)


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    calls = []
    record = program.record
    monkeypatch.setattr(program, "record", lambda run, data: calls.append(run) or record(run, data))
    whole = program.make(tmp_path / "runs", tmp_path, SHORT, seeds=2).read_bytes()
    assert calls == list(SHORT)
    cut, other, _ = sorted((tmp_path / "runs").iterdir())
    cut.write_bytes(cut.read_bytes()[:100])
    other.write_text(other.read_text().replace('"lr": 0.1', '"lr": 0.2'))
    calls.clear()
    assert program.make(tmp_path / "runs", tmp_path, SHORT, seeds=2).read_bytes() == whole
    assert len(calls) == 2
