"""Stored results: read whole, or an error that says what is wrong with the file."""

import json

import pytest

from sema_lite import results
from sema_lite.__main__ import main
from sema_lite.results import ResultsError, read_json, read_results

SCORES = {"accuracy": [[0.5, 0.7]], "nll": [[1.25, 1.25]], "ece": [[0.1, 0.1]]}
RESULT = {
    "command": "python -m sema_lite compare",
    "versions": {"torch": "2.6"},
    "data": "CIFAR-10 mini",
    "complete": True,
    "seeds": [0, 1],
    "settings": [
        {
            "run": {"method": "sema", "epochs": 1},
            "epochs": [1],
            "live": SCORES,
            "averaged": {**SCORES, "accuracy": [[0.75, 0.85]]},
            "switches": 1,
        }
    ],
}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(RESULT), encoding="utf-8")
    return path


def test_a_whole_file(stored):
    assert read_results(stored) == RESULT


def test_every_cut_is_noticed(stored):
    whole = stored.read_bytes()
    for length in range(len(whole)):
        stored.write_bytes(whole[:length])
        with pytest.raises(ResultsError, match=r"result\.json' is cut short or damaged"):
            read_json(stored)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "damaged"),
        (b"[1, 2]", "holds a list"),
        (b'{"settings": []}', "lacks command, versions, seeds"),
        (json.dumps({**RESULT, "settings": []}).encode(), "no settings"),
        (json.dumps({**RESULT, "settings": {"run": 1}}).encode(), "no settings"),
        (json.dumps({**RESULT, "settings": [None]}).encode(), "no result of a training: it lacks"),
    ],
)
def test_other_files(stored, content, says):
    stored.write_bytes(content)
    with pytest.raises(ResultsError, match=says):
        read_results(stored)


def test_no_file(tmp_path):
    with pytest.raises(ResultsError, match=r"nothing\.json' cannot be read: No such file"):
        read_results(tmp_path / "nothing.json")


def test_a_stored_result_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert results.stored("circles")["seeds"] == list(range(20))


def test_a_stored_result_of_the_checkout_comes_before_that_of_the_package(tmp_path, monkeypatch):
    checkout, package = tmp_path / "data", tmp_path / "package"
    monkeypatch.setattr(results, "STORED", (checkout, package))
    for folder in (package, checkout):
        folder.mkdir()
        (folder / "mine.json").write_text(json.dumps({"from": folder.name}))
        assert results.stored("mine") == {"from": folder.name}  # the package's alone will do
    (checkout / "mine.json").write_text('{"from": ')
    with pytest.raises(ResultsError, match=r"mine\.json' is cut short or damaged"):
        results.stored("mine")


def test_an_unknown_stored_result_is_named(tmp_path, monkeypatch):
    with pytest.raises(ResultsError, match=r"no stored result 'circle'; there are .*circles"):
        results.stored("circle")
    with pytest.raises(ResultsError, match=r"no stored result '\.\./README'"):
        results.stored("../README")
    monkeypatch.setattr(results, "STORED", (tmp_path / "nothing",))
    with pytest.raises(ResultsError, match="there are none: install sema-lite again"):
        results.stored("circles")


def test_the_command_shows_the_table(stored, capsys):
    assert main(["results", str(stored)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Data: CIFAR-10 mini"
    assert "Not complete" not in "".join(lines)
    assert lines[-1].split() == [
        "sema",
        "2/2",
        "60.0",
        "±",
        "10.0",
        "80.0",
        "±",
        "5.0",
        "1.250",
        "±",
        "0.000",
        "1.250",
        "±",
        "0.000",
        "0.100",
        "±",
        "0.000",
    ]
    stored.write_text(json.dumps({**RESULT, "complete": False}), encoding="utf-8")
    assert main(["results", str(stored)]) == 0
    assert "Not complete" in capsys.readouterr().out


def test_the_command_shows_when_an_accuracy_was_reached(stored, capsys):
    assert main(["results", str(stored), "--reach", "60"]) == 0
    *_, heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["epochs", "to", "60.0%", "live", "seeds", "averaged", "seeds"]
    assert row.split() == ["sema", "1.0", "1/2", "1.0", "±", "0.0", "2/2"]
    assert main(["results", str(stored), "--reach", "0.6e3"]) == 2
    assert "--reach must be a percentage, 0 to 100, got 600" in capsys.readouterr().err


def test_the_command_names_a_file_cut_in_half(stored, capsys):
    stored.write_bytes(stored.read_bytes()[:50])
    assert main(["results", str(stored)]) == 2
    assert capsys.readouterr().err.startswith(f"error: '{stored}' is cut short or damaged")


@pytest.mark.parametrize(
    "change",
    [
        {"versions": None},
        {"seeds": 2},
        {"seeds": [0, 1, 2]},
        {"seconds": [1.0, 2.0]},
        {"settings": [{**RESULT["settings"][0], "live": None}]},
        {"settings": [{**RESULT["settings"][0], "live": {}}]},
        {"settings": [{**RESULT["settings"][0], "averaged": 3}]},
        {"settings": [{**RESULT["settings"][0], "epochs": [1, 2]}]},
        {"settings": [{**RESULT["settings"][0], "run": {"colour": "red"}}]},
        {"settings": [RESULT["settings"][0], None]},
    ],
)
def test_the_command_names_a_file_of_another_content(stored, capsys, change):
    stored.write_text(json.dumps({**RESULT, **change}), encoding="utf-8")
    assert main(["results", str(stored)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: '{stored}' is damaged: ")
    assert told.err.count("\n") == 1


def test_the_command_knows_the_stored_long_runs(capsys):
    assert main(["results"]) == 0
    assert "circles" in capsys.readouterr().out.splitlines()
    assert main(["results", "label-noise"]) == 0
    assert "digits" in capsys.readouterr().out
    assert main(["results", "squares"]) == 2
    assert "no stored result 'squares'" in capsys.readouterr().err


def test_the_command_does_not_offer_what_is_no_training(capsys):
    assert "flatness" in results.stored_names()
    assert main(["results"]) == 0
    offered = capsys.readouterr().out.splitlines()
    assert "cifar10" in offered
    assert not {"flatness", "bench-cpu"} & set(offered)
    assert main(["results", "flatness"]) == 2
    assert "'flatness' is no result of a training: it lacks epochs" in capsys.readouterr().err
