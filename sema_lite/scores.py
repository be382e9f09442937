"""What many seeds of a run scored: means, standard errors, paired differences, and a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .paired import METRICS, is_number, mean_and_error, paired_difference
from .run import Run

__all__ = [
    "METRICS",
    "ManyScores",
    "Scores",
    "mean_and_error",
    "names",
    "paired_difference",
    "reach_table",
    "table",
]

Scores = dict[str, list[list[float]]]  # metric: for each evaluated epoch, a number for each seed


@dataclass(frozen=True)
class ManyScores:
    """What was measured on the test examples, for each seed. NaN where a seed diverged."""

    run: Run  # its own `seed` does not count
    seeds: tuple[int, ...]
    epochs: tuple[int, ...]  # those after which it was evaluated
    live: Scores  # before the switch, if one ends the epoch
    averaged: Scores | None  # None where nothing is averaged
    switches: int
    # Mean time of a training, with its evaluations. Not part of a record: it never comes out again.
    seconds: float | None = field(default=None, compare=False)

    @property
    def best(self) -> Scores:
        """What the method hands over: the averaged weights' scores, or the live ones'."""
        return self.averaged or self.live

    def reached(self, accuracy: float, weights: str = "live") -> list[int | None]:
        """For each seed the first evaluated epoch with a test accuracy of at least `accuracy`.

        Args:
            accuracy: a share, in [0, 1].
            weights: "live" or "averaged".

        Returns:
            For each seed an epoch; None where it was never reached, or nothing is averaged.
        """
        rows = (getattr(self, weights) or {"accuracy": []})["accuracy"]
        return [
            next((e for e, row in zip(self.epochs, rows, strict=False) if row[i] >= accuracy), None)
            for i in range(len(self.seeds))
        ]

    def record(self, digits: int = 4) -> dict[str, Any]:
        """As plain dicts and lists for JSON, rounded; None stands for NaN."""

        def rounded(scores: Scores | None) -> Any:
            if scores is None:
                return None
            return {
                name: [[_rounded(value, digits) for value in seeds] for seeds in rows]
                for name, rows in scores.items()
            }

        return {
            "run": asdict(self.run),
            "epochs": list(self.epochs),
            "live": rounded(self.live),
            "averaged": rounded(self.averaged),
            "switches": self.switches,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any], seeds: Sequence[int]) -> ManyScores:
        """The inverse of `record`, but for the rounding: of a stored setting and its seeds.

        Raises:
            ValueError: it is no such record, or not one of as many seeds; the message says why.
        """

        def numbers(scores: dict[str, list[list[float | None]]]) -> Scores:
            for name in METRICS:
                if [len(row) for row in scores[name]] != [len(seeds)] * len(record["epochs"]):
                    raise ValueError(f"{name} is not a number for each epoch and seed")
            return {
                name: [[math.nan if v is None else float(v) for v in row] for row in rows]
                for name, rows in scores.items()
            }

        try:
            return cls(
                Run(**record["run"]),
                tuple(seeds),
                tuple(record["epochs"]),
                numbers(record["live"]),
                None if record["averaged"] is None else numbers(record["averaged"]),
                record["switches"],
                record.get("seconds"),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # whatever is in there
            raise ValueError(f"no scores of a training ({type(error).__name__}: {error})") from None


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None


# -- a table ---------------------------------------------------------------------------------------


# Settings that only one method reads; of the others they tell nothing.
READ_BY = {"switch_every": "sema", "swa_start": "swa", "k": "lookahead", "s": "lookahead"}


def names(runs: Sequence[Run]) -> list[str]:
    """For each run its method, and all in which it differs from others: "sema, decay 0.99"."""
    unlike = [
        field.name
        for field in fields(Run)
        if field.name not in ("method", "seed") and len({getattr(r, field.name) for r in runs}) > 1
    ]
    found = []
    for run in runs:
        read = [name for name in unlike if READ_BY.get(name, run.method) == run.method]
        told = [(name.replace("_", " "), getattr(run, name)) for name in read]
        found.append(", ".join([run.method, *(f"{n} {v}" for n, v in told if v is not None)]))
    return found


def table(scores: Sequence[ManyScores]) -> str:
    """A line per run: scores after the last epoch, mean ± standard error over the seeds.

    The ECE is that of what the run hands over: the averaged weights, if there are any. The column
    after it is paired: accuracy of what is handed over minus that of the first run, seed by seed.
    Seeds that diverged are left out of a mean; the second column says how many are in it. Where
    times were measured, they stand last.
    """
    rows = [["method", "seeds", "live acc. %", "averaged acc. %", "live NLL", "averaged NLL"]]
    several, timed = len(scores) > 1, any(each.seconds is not None for each in scores)
    rows[0] += ["ECE", *["- first, points"] * several, *["seconds"] * timed]
    for name, each in zip(names([s.run for s in scores]), scores, strict=True):
        averaged = each.averaged or {}
        finite = sum(map(is_number, each.best["accuracy"][-1]))
        row = [name, f"{finite}/{len(each.seeds)}"]
        row += [_cell(s.get("accuracy"), 1, 100) for s in (each.live, averaged)]
        row += [_cell(s.get("nll"), 3) for s in (each.live, averaged)]
        row += [_cell(each.best.get("ece"), 3), *[_gap(each, scores[0])] * several]
        if timed:
            row.append(_seconds(each.seconds))
        rows.append(row)
    return _aligned(rows)


def reach_table(scores: Sequence[ManyScores], accuracy: float) -> str:
    """A line per run: when its live and its averaged weights first reached a test accuracy.

    Mean ± standard error of the epochs, over the seeds that reached it, and how many they are; and
    these epochs in seconds, where times were measured (with the evaluations after each epoch).

    Raises:
        ValueError: a run was not scored after every epoch.
    """
    if unknown := [s for s in scores if s.epochs != tuple(range(1, s.run.epochs + 1))]:
        raise ValueError(
            f"when an accuracy was reached is not known: {unknown[0].run.method} was not scored "
            "after every epoch"
        )
    timed = any(each.seconds is not None for each in scores)
    rows = [[f"epochs to {accuracy:.1%}"]]
    for weights in ("live", "averaged"):
        rows[0] += [weights, "seeds", *["seconds"] * timed]
    for name, each in zip(names([s.run for s in scores]), scores, strict=True):
        rows.append([name])
        for weights in ("live", "averaged"):
            epochs = [float(e) for e in each.reached(accuracy, weights) if e is not None]
            some = getattr(each, weights) is not None
            rows[-1] += [_cell([epochs], 1), f"{len(epochs)}/{len(each.seeds)}" if some else "-"]
            if timed:
                pace = (each.seconds or math.nan) / each.run.epochs
                rows[-1].append(_cell([[pace * e for e in epochs]], 0))
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    """The columns of a table below each other: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _cell(rows: Sequence[Sequence[float]] | None, digits: int, factor: float = 1) -> str:
    values = [factor * value for value in (rows[-1] if rows else ()) if is_number(value)]
    if not values:
        return "-"
    return _with_error(*mean_and_error(values), f".{digits}f")


def _gap(one: ManyScores, first: ManyScores) -> str:
    if one is first or one.seeds != first.seeds:
        return "-"
    pairs = [[100 * value for value in each.best["accuracy"][-1]] for each in (one, first)]
    try:
        return _with_error(*paired_difference(*pairs)[:2], "+.1f")
    except ValueError:
        return "-"


def _with_error(mean: float, error: float | None, form: str) -> str:
    return f"{mean:{form}}" + ("" if error is None else f" ± {error:{form.lstrip('+')}}")
