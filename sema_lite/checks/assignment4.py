"""Checks of assignment A4, an experiment of your own, and what trains and shows it.

from sema_lite.checks import assignment4 as check
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from .report import NotYet, answered, exercise

__all__ = ["draw", "final_scores", "my_scores", "paired", "plan", "result", "train", "verdict"]

Answer = Callable[..., Any]


@exercise
def plan(answer: Answer) -> None:
    """`answer()`: the runs, the control first, and the seeds."""
    from ..run import Run

    got = answered(answer())
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise NotYet("Return two things: the list of runs and the list of seeds.")
    runs, seeds = list(got[0]), list(got[1])
    if not all(isinstance(run, Run) for run in runs):
        raise NotYet("The first of the two should be a list of Runs.")
    if len(runs) < 2:
        raise NotYet("What would your result be compared with? There is a single run.")
    if len(set(seeds)) < max(3, len(seeds)):
        raise NotYet("At least three seeds, all of them different.")
    for name in ("data", "subset", "epochs"):
        if len({getattr(run, name) for run in runs}) > 1:
            raise NotYet(f"The runs differ in {name}: is the comparison fair?")
    if runs[0].data not in ("cifar10", "shapes10"):
        raise NotYet("Choose cifar10 or shapes10 as the data.")


@exercise
def final_scores(answer: Answer) -> None:
    """`answer(scores, metric)`: one number for each seed, of what is handed over in the end."""
    from ..run import Run
    from ..scores import ManyScores

    live = {"accuracy": [[0.9, 0.1], [0.2, 0.3]], "nll": [[1.0, 2.0], [3.0, 4.0]]}
    averaged = {"accuracy": [[0.8, 0.7], [0.5, 0.6]], "nll": [[5.0, 6.0], [7.0, 8.0]]}
    ema = ManyScores(Run(method="ema"), (0, 1), (1, 2), live, averaged, 0)
    sgd = ManyScores(Run(method="sgd"), (0, 1), (1, 2), live, None, 0)
    got = list(answered(answer(ema, "accuracy")))
    if got == [0.2, 0.3]:
        raise NotYet("Those are the live weights. Would you ship them, with an average at hand?")
    if got == [0.8, 0.7]:
        raise NotYet("That epoch has the highest numbers. Who chose it, and with which images?")
    if got != [0.5, 0.6]:
        raise NotYet("Two seeds, two epochs: the averaged weights end at 0.5 and 0.6.")
    if list(answer(ema, "nll")) != [7.0, 8.0]:
        raise NotYet("Ask for nll: the averaged weights end at 7 and 8.")
    if list(answer(sgd, "accuracy")) != [0.2, 0.3]:
        raise NotYet("Plain SGD has no averaged weights. What does it hand over?")


@exercise
def paired(answer: Answer) -> None:
    """`answer(control, treatment)`: mean of the differences and its standard error."""
    got = answered(answer([10.0, 20.0, 30.0, 40.0], [11.0, 23.0, 31.0, 43.0]))
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise NotYet("Return two numbers: the mean and its standard error.")
    mean, error = map(float, got)
    if math.isclose(mean, -2.0):
        raise NotYet("Treatment minus control, in this order.")
    if not math.isclose(mean, 2.0):
        raise NotYet("The differences are 1, 3, 1, 3. What is their mean?")
    hints = {
        2 / math.sqrt(3): "That is the spread of the differences. A mean of four is calmer.",
        0.5: "The standard deviation of a sample: divide by how many?",
        1 / math.sqrt(3) / 2: "By the root of the number of seeds, not by the number.",
    }
    for mistake, hint in hints.items():
        if math.isclose(error, mistake):
            raise NotYet(hint)
    if error > 5:
        raise NotYet("That is the spread of the seeds. Which spread matters, when they are paired?")
    if not math.isclose(error, 1 / math.sqrt(3)):
        raise NotYet("The differences are 1, 3, 1, 3. What is the standard error of their mean?")


@exercise
def verdict(answer: Answer) -> None:
    """`answer(mean, error, seeds, margin, higher_is_better)`: "better", "worse" or "not shown"."""
    said = answered(answer(5.0, 1.0, 5, 1.0, True))
    if said not in ("better", "worse", "not shown"):
        raise NotYet(f'"better", "worse" or "not shown": this was {said!r}.')
    if said != "better":
        raise NotYet("Five points, with an error of one from five seeds, and higher is better.")
    for mean in (1.5, -1.5):
        if answer(mean, 1.0, 5, 1.0, True) != "not shown":
            raise NotYet(f"A difference of {mean:g} with an error of 1 happens by chance.")
    for mean in (2.5, -2.5):
        if answer(mean, 1.0, 5, 1.0, True) != "not shown":
            raise NotYet(f"{mean:g} with an error of 1: is that enough, from five seeds?")
    if answer(2.5, 1.0, 20, 1.0, True) != "better":
        raise NotYet("2.5 with an error of 1, but from 20 seeds: how far does the interval reach?")
    if answer(0.5, 0.1, 5, 1.0, True) != "not shown":
        raise NotYet("Half a point, and the smallest that matters is one.")
    if answer(5.0, 1.0, 5, 1.0, False) != "worse":
        raise NotYet("When the loss has grown, is that better?")


@exercise
def draw(answer: Answer) -> None:
    """`answer(scores)`: a figure with one point for each seed and labelled axes."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    figure = answered(answer({"ema": [50.0, 52.0, 54.0], "sema": [51.0, 53.5, 54.5]}))
    pyplot.close("all")
    if not isinstance(figure, Figure):
        raise NotYet(f"Return the figure; this was a {type(figure).__name__}.")
    if not figure.axes:
        raise NotYet("The figure is empty.")
    if not all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes):
        raise NotYet("Label both axes: what is drawn, in which unit?")


@exercise
def my_scores(answer: Answer, plan: Answer) -> None:
    """`answer()`: {name of a run: one accuracy in percent for each seed}, as in `plan()`."""
    from ..scores import names

    scores = answered(answer())
    runs, seeds = answered(plan())
    if list(scores) != names(runs):
        raise NotYet(f"The names of the plan are: {', '.join(names(runs))}.")
    for name, values in scores.items():
        if len(values) != len(seeds):
            raise NotYet(f"{name} has {len(values)} numbers; there are {len(seeds)} seeds.")
        if not all(0 <= value <= 100 for value in values):
            raise NotYet(f"{name}: an accuracy is between 0 and 100 percent.")
    if max(map(max, scores.values())) <= 1:
        raise NotYet("Are these percent, or shares of one?")


# -- the training and the result: no check, and no points ------------------------------------------


def train(plan: Answer, final_scores: Answer, folder: str | os.PathLike[str]) -> None:
    """Train the plan and print the dict for `my_scores`. What is done is kept in `folder`."""
    from ..compare import compare
    from ..scores import names

    runs, seeds = plan()
    found = compare(runs, seeds, folder=folder)
    print("{")
    for name, scores in zip(names(runs), found, strict=True):
        values = [round(100 * value, 2) for value in final_scores(scores, "accuracy")]
        print(f'    "{name}": {values},')
    print("}")


def result(my_scores: Answer, draw: Answer, paired: Answer, verdict: Answer) -> None:
    """Show the figure, and each run's paired difference to the control with its verdict."""
    from ..plots import show

    try:
        scores = answered(my_scores())
        figure = answered(draw(scores))
        control, *others = scores
        lines = []
        for name in others:
            mean, error = answered(paired(scores[control], scores[name]))
            seeds = len(scores[name])
            said = answered(verdict(mean, error, seeds))
            lines.append(
                f"{name} - {control}: {mean:+.2f} ± {error:.2f} points, {seeds} seeds: {said}"
            )
    except NotImplementedError:
        print("result: not done yet. It needs tasks 4, 5 and 6.")
        return
    except Exception as error:
        print(f"result: your answer stopped with {type(error).__name__}: {error}")
        return
    show(figure, "The figure of task 5; task 7 says what one sees in it.")
    print("\n".join(lines))
