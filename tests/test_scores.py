"""Means, errors, paired differences, and the table of a comparison."""

import json
import math
from dataclasses import replace

import pytest

from sema_lite.run import Run
from sema_lite.scores import (
    ManyScores,
    mean_and_error,
    names,
    paired_difference,
    reach_table,
    table,
)

SGD, EMA = Run(method="sgd"), Run(method="ema", decay=0.9)


def made_up(run, live, averaged=None, seeds=None):
    """From the accuracies of each seed; the NLL is 1 - accuracy, the ECE a tenth of that."""

    def scores(values):
        nll = [1 - value for value in values]
        return {"accuracy": [values], "nll": [nll], "ece": [[value / 10 for value in nll]]}

    seeds = tuple(range(len(live))) if seeds is None else seeds
    return ManyScores(run, seeds, (1,), scores(live), averaged and scores(averaged), 0)


def test_mean_and_error():
    assert mean_and_error([1.0]) == (1.0, None)
    mean, error = mean_and_error([0.4, 0.5, 0.6])
    assert (mean, error) == (pytest.approx(0.5), pytest.approx(0.1 / math.sqrt(3)))


def test_paired_difference():
    mean, error, n = paired_difference([3.0, 5.0, None, 8.0], [1.0, 2.0, 3.0, math.nan])
    assert (mean, n) == (2.5, 2)
    assert error == pytest.approx(0.5)
    with pytest.raises(ValueError, match="one has 1 seeds and the other 2"):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no seed"):
        paired_difference([None], [1.0])


def test_the_table():
    rows = table([made_up(SGD, [0.5, 0.7]), made_up(EMA, [0.5, 0.7], [0.75, 0.85])]).splitlines()
    assert len({len(row) for row in rows}) == 1
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    assert cells == [
        ["method", "seeds", "live acc. %", "averaged acc. %", "live NLL", "averaged NLL",
         "ECE", "- first, points"],
        ["sgd", "2/2", "60.0 ± 10.0", "-", "0.400 ± 0.100", "-", "0.040 ± 0.010", "-"],
        ["ema, decay 0.9", "2/2", "60.0 ± 10.0", "80.0 ± 5.0", "0.400 ± 0.100", "0.200 ± 0.050",
         "0.020 ± 0.005", "+20.0 ± 5.0"],
    ]  # fmt: skip


def test_the_table_has_seconds_where_they_were_measured():
    timed = [replace(made_up(SGD, [0.5]), seconds=seconds) for seconds in (12.34, 1.0, 0.456)]
    heads, *rows = table([*timed, made_up(EMA, [0.5], [0.6])]).splitlines()
    assert heads.split()[-1] == "seconds"
    assert [row.split()[-1] for row in rows] == ["12.3", "1.0", "0.46", "-"]


def test_the_table_says_how_many_seeds_are_left():
    nan = math.nan
    rows = table([made_up(SGD, [0.5, 0.7, 0.9]), made_up(EMA, [0.5, nan, nan], [0.6, nan, nan])])
    assert rows.splitlines()[2].split()[3:6] == ["1/3", "50.0", "60.0"]
    assert rows.splitlines()[2].split()[-1] == "+10.0"  # paired with that one seed
    rows = table([made_up(SGD, [0.5]), made_up(EMA, [nan], [nan])]).splitlines()
    assert rows[2].split()[3:] == ["0/1", *["-"] * 6]


def test_other_seeds_are_not_paired():
    rows = table([made_up(SGD, [0.5, 0.6]), made_up(EMA, [0.5, 0.6], [0.5, 0.6], seeds=(5, 6))])
    assert rows.splitlines()[2].split()[-1] == "-"


def test_names_tell_what_differs():
    runs = [SGD, EMA, Run(method="ema", decay=0.99, lr=0.1), Run(method="sema", switch_every=5)]
    assert names(runs) == [
        "sgd, lr 0.05",
        "ema, lr 0.05, decay 0.9",
        "ema, lr 0.1, decay 0.99",
        "sema, lr 0.05, switch every 5",
    ]


def test_a_record_and_back():
    scores = made_up(EMA, [0.5, math.nan], [0.123456789, 0.75])
    record = json.loads(json.dumps(scores.record(digits=4), allow_nan=False))
    assert record["live"]["accuracy"] == [[0.5, None]]
    assert record["averaged"]["accuracy"] == [[0.1235, 0.75]]
    again = ManyScores.from_record(record, (0, 1))
    assert again.run == EMA
    assert (again.seeds, again.epochs, again.switches) == ((0, 1), (1,), 0)
    assert again.best["accuracy"] == [[0.1235, 0.75]]
    assert math.isnan(again.live["accuracy"][0][1])
    assert ManyScores.from_record(made_up(SGD, [0.5]).record(), [0]).averaged is None


def test_when_an_accuracy_was_reached():
    live = {"accuracy": [[0.1, 0.2, math.nan], [0.5, 0.2, math.nan], [0.4, 0.6, math.nan]]}
    averaged = {"accuracy": [[0.5, 0.2, 0.4], [0.6, 0.5, 0.4], [0.7, 0.9, 0.4]]}
    ema = ManyScores(replace(EMA, epochs=3), (0, 1, 2), (1, 2, 3), live, averaged, 0, seconds=30.0)
    sgd = ManyScores(replace(SGD, epochs=3), (0, 1, 2), (1, 2, 3), live, None, 0)
    assert ema.reached(0.5) == sgd.reached(0.5) == [2, 3, None]
    assert ema.reached(0.5, "averaged") == [1, 2, None]
    assert sgd.reached(0.5, "averaged") == [None, None, None]
    heads, *rows = reach_table([ema, sgd], 0.5).splitlines()
    assert heads.startswith("epochs to 50.0%")
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    assert cells == [
        ["ema, decay 0.9", "2.5 ± 0.5", "2/3", "25 ± 5", "1.5 ± 0.5", "2/3", "15 ± 5"],
        ["sgd", "2.5 ± 0.5", "2/3", "-", "-", "-", "-"],
    ]
    assert "seconds" not in reach_table([sgd], 0.5)
    with pytest.raises(ValueError, match="sgd was not scored after every epoch"):
        reach_table([ema, replace(sgd, epochs=(1, 2, 4))], 0.5)


def test_a_single_run_is_not_compared_with_itself():
    assert "- first" not in table([made_up(SGD, [0.5, 0.7])])
