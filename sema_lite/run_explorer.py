"""The explorer of notebook 09: curves of the stored runs of networks, with their seeds' errors."""

from __future__ import annotations

from dataclasses import fields, replace
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from . import plots
from .controls import Choice, Flag, Stored, stop_name
from .explorer import Explorer, Measured
from .paired import METRICS
from .results import stored
from .theory import METHODS, WATCHING

if TYPE_CHECKING:
    from .scores import ManyScores

Key = tuple[str, "float | None", str]  # method, decay, and all else that differs, in words
EXPERIMENTS = (
    "cifar10", "cifar10-50k", "cifar10-adamw", "cifar10-map", "batch-norm", "label-noise",
)  # fmt: skip
SHORT = {"cifar10-50k": "50k", "cifar10-adamw": "adamw", "cifar10-map": "map", "batch-norm": "BN"}
UNITS = {"accuracy": "accuracy, %", "nll": "NLL, nats", "ece": "ECE"}
FACTOR = {"accuracy": 100.0, "nll": 1.0, "ece": 1.0}
DIGITS = {"accuracy": 1, "nll": 3, "ece": 3}
USUAL = 0.95  # the decay that is chosen first
CHANCE = 2.5  # NLL above this is worse than guessing among ten classes, and is not drawn


def index(content: dict[str, Any]) -> dict[Key, ManyScores]:
    """The settings of a stored result, by what one can choose.

    SGD is there as well, if an EMA or SWA was: the live weights that these watch.

    Args:
        content: what `results.stored` returns.
    """
    from .run import Run
    from .scores import ManyScores

    scores = [ManyScores.from_record(each, content["seeds"]) for each in content["settings"]]
    names = [field.name for field in fields(Run) if field.name not in ("method", "decay", "seed")]
    unlike = [name for name in names if len({getattr(s.run, name) for s in scores}) > 1]
    found: dict[Key, ManyScores] = {}
    for each in scores:
        run = each.run
        found[run.method, run.decay, describe(run, unlike)] = each
        if run.method in WATCHING:
            plain = run.trajectory()
            sgd = replace(each, run=plain, averaged=None, switches=0)
            found.setdefault(("sgd", None, describe(plain, unlike)), sgd)
    return found


def describe(run: Any, unlike: list[str]) -> str:
    """The fields `unlike` of a run in a few words: "lr 0.05, constant"."""
    short = {"switch_every": "T", "batch_norm": "BN", "weight_decay": "wd", "flipped": "flipped"}
    words = []
    for name in unlike:
        value = getattr(run, name)
        words.append(value if name == "schedule" else f"{short.get(name, name)} {value}")
    return ", ".join(words) or "as stored"


def control_of(chosen: ManyScores, found: dict[Key, ManyScores]) -> ManyScores | None:
    """SGD on the same seeds with the same settings, or None if it was not stored."""
    if chosen.run.method == "sgd":
        return chosen
    plain = replace(chosen.run, method="ema").trajectory()
    return next((s for key, s in found.items() if key[0] == "sgd" and s.run == plain), None)


class RunExplorer(Explorer):
    """Scores over the epochs of one stored setting: means over its seeds, with a band of one
    standard error to each side. SGD under the same seeds is drawn as well: it is the control.

    Readout, in the units shown (accuracy in per cent): `seeds`, how many ended with a number;
    `live`, `averaged` and their standard errors `live_error`, `averaged_error` after the last
    epoch; `difference` and `difference_error`, of what the method hands over (the average, if
    there is one) minus SGD's live weights, seed by seed. None where there is nothing to tell.
    Curves: `epochs`, and for `live`, `averaged`, `sgd` a list of pairs (mean, standard error).
    """

    alt = (
        "A score on the test images against the epoch: grey the live weights, in colour their "
        "average, black SGD under the same seeds, each with a band of one standard error."
    )
    height = 300

    experiment = Choice("stored runs", "cifar10", EXPERIMENTS, SHORT)
    method = Choice("method", "sema", METHODS)
    decay = Stored("decay d", USUAL)
    setting = Stored("setting", "as stored", told=True)
    metric = Choice("metric", "accuracy", METRICS)
    band = Flag("band of 1 s.e.", True)

    def __init__(self, **settings: Any) -> None:
        self._files: dict[str, dict[Key, ManyScores]] = {}
        self._windows: dict[tuple[str, str], tuple[int, float, float]] = {}
        super().__init__(**settings)

    # -- what is stored ---------------------------------------------------------------------------

    def _found(self, experiment: str) -> dict[Key, ManyScores]:
        if experiment not in self._files:
            self._files[experiment] = index(stored(experiment))
        return self._files[experiment]

    def _options(self, state: dict[str, Any]) -> dict[str, list[Any]]:
        """What can be chosen of each, given what was chosen before it."""
        keys = list(self._found(state["experiment"]))
        methods = [name for name in METHODS if any(key[0] == name for key in keys)]
        keys = [key for key in keys if key[0] == state["method"]]
        decays = sorted({key[1] for key in keys}, key=lambda d: -1 if d is None else d)
        settings = [key[2] for key in keys if key[1] == state["decay"]]
        return {"method": methods, "decay": decays, "setting": settings}

    def _complete(self, state: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """`state` with stored values instead of those that are not stored and were not given."""
        for name in ("method", "decay", "setting"):
            options = self._options(state)[name]
            if state[name] in options:
                continue
            if name in given:
                known = "; ".join(map(stop_name, options))
                raise ValueError(f"{name} must be one of {known}: got {given[name]!r:.60}")
            state = {**state, name: nearest(options) if name == "decay" else options[0]}
        return state

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        given = super()._checked(settings)
        return self._complete({**self._state, **given}, given)

    # -- numbers ----------------------------------------------------------------------------------

    def _measure(self, state: dict[str, Any]) -> Measured:
        from .scores import paired_difference

        state = self._complete(state, {})
        found = self._found(state["experiment"])
        chosen = found[state["method"], state["decay"], state["setting"]]
        sgd, metric = control_of(chosen, found), state["metric"]
        curves: dict[str, Any] = {"epochs": list(chosen.epochs)}
        parts = {"live": chosen.live, "averaged": chosen.averaged, "sgd": sgd and sgd.live}
        curves.update({name: curve(scores, metric) for name, scores in parts.items()})
        readout: dict[str, Any] = {"seeds": len(numbers(chosen.best[metric][-1]))}
        for name in ("live", "averaged"):
            last = curves[name][-1] if curves[name] else (None, None)
            readout[name], readout[f"{name}_error"] = last
        readout["difference"] = readout["difference_error"] = None
        if sgd is not None and sgd is not chosen and readout["seeds"]:
            pair = [[FACTOR[metric] * v for v in s[metric][-1]] for s in (chosen.best, sgd.live)]
            readout["difference"], readout["difference_error"], _ = paired_difference(*pair)
        return Measured(readout, curves)

    def _commit(self, state: dict[str, Any], measured: Measured) -> None:
        state = self._complete(state, {})
        with self._no_listening():
            for name in ("decay", "setting"):
                options = self._options(state)[name]
                self.settings[name].offer(self._controls[name], options, state[name])  # type: ignore[attr-defined]
        self._controls["decay"].disabled = state["decay"] is None
        super()._commit(state, measured)

    def _tell(self) -> str:
        read, metric = self.readout, self.metric
        words = f"{self.method}, {self.setting}; {read['seeds']} seeds, last epoch, "
        words += f"{UNITS[metric]}: live " + with_error(read["live"], read["live_error"], metric)
        if read["averaged"] is not None:
            averaged = with_error(read["averaged"], read["averaged_error"], metric)
            words += f", averaged {averaged}"
        if read["difference"] is not None:
            gap = with_error(read["difference"], read["difference_error"], metric, "+")
            words += f". In pairs, minus SGD: {gap}"
        return words + "."

    # -- the picture ------------------------------------------------------------------------------

    def _paint(self) -> None:
        panels, ax = self.canvas, self.canvas.axes[0]
        self._lines, self._bands = {}, {}
        for name, method in (("sgd", "sgd"), ("live", "live"), ("averaged", "sema")):
            band = ax.fill_between([0, 1], [0, 0], color=plots.COLOURS[method], alpha=0.2, lw=0)
            self._bands[name] = panels.moving(band)
            self._lines[name] = panels.line(
                0, method, marker="o", markersize=3, linewidth=1.4 if name == "sgd" else 1.8
            )
        self._names = {
            name: panels.moving(
                ax.text(x, 1.02, "", ha="right", fontsize=9, transform=ax.transAxes)
            )
            for name, x in (("sgd", 0.55), ("live", 0.7), ("averaged", 1.0))
        }

    def _draw(self) -> tuple[str, str]:
        ax, key = self.canvas.axes[0], (self.experiment, self.metric)
        if key not in self._windows:
            self._windows[key] = self._window()
        last, low, high = self._windows[key]
        ax.set(xlim=(0, last + 0.5), ylim=(low, high), xlabel="epoch")
        ax.set_title(f"test {UNITS[self.metric]}", loc="left", fontsize=10)
        colours = {name: plots.COLOURS[name] for name in ("sgd", "live")}
        colours["averaged"] = plots.COLOURS[self.method]
        is_sgd = self.method in WATCHING and bool(self.curves["sgd"])  # the live weights are SGD's
        words = {"sgd": "SGD, live" if is_sgd else "SGD", "live": "live"}
        words["averaged"] = f"average ({self.method})"
        for name, colour in colours.items():
            points = self.curves[name] or []
            seen = bool(points) and not (name == "live" and is_sgd)
            epochs = self.curves["epochs"][: len(points)]
            mean = np.array([np.nan if m is None else m for m, _ in points])
            error = np.array([0.0 if e is None else e for _, e in points])
            self._lines[name].set_data(epochs, mean)
            edge = np.column_stack(
                [[*epochs, *epochs[::-1]], [*(mean - error), *(mean + error)[::-1]]]
            )
            self._bands[name].set_verts([edge[np.isfinite(edge).all(axis=1)]])
            self._names[name].set_text(words[name])
            for artist in (self._lines[name], self._bands[name], self._names[name]):
                artist.set(color=colour, visible=seen)
            self._bands[name].set_visible(seen and self.band)
            self._lines[name].set_linestyle("--" if name == "averaged" else "-")
        return key

    def _window(self) -> tuple[int, float, float]:
        """Last epoch and range of the scores, the same for all settings of an experiment."""
        every, metric = list(self._found(self.experiment).values()), self.metric
        rows = [
            numbers(row)
            for each in every
            for scores in (each.live, each.averaged)
            for row in (scores or {metric: []})[metric]
        ]
        points = [FACTOR[metric] * fmean(row) for row in rows if row]
        if metric == "nll":
            points = [point for point in points if point < CHANCE]
        room = 0.05 * (max(points) - min(points)) + 1e-6
        return max(each.epochs[-1] for each in every), min(points) - room, max(points) + room


def nearest(decays: list[Any]) -> Any:
    """The one that is closest to the usual decay; None if there is none."""
    return min(decays, key=lambda d: abs(d - USUAL) if d is not None else 9.0)


def numbers(values: Any) -> list[float]:
    """Those that are finite: a seed that diverged has none."""
    return [value for value in values if isfinite(value)]


def curve(scores: Any, metric: str) -> list[tuple[float | None, float | None]] | None:
    """(mean, standard error) over the seeds after each epoch, in the units shown."""
    from .scores import mean_and_error

    if scores is None:
        return None
    rows = [[FACTOR[metric] * value for value in numbers(row)] for row in scores[metric]]
    return [mean_and_error(row) if row else (None, None) for row in rows]


def with_error(mean: float | None, error: float | None, metric: str, sign: str = "") -> str:
    """ "55.6 ± 0.4", to the digits that the metric deserves."""
    if mean is None:
        return "-"
    digits = DIGITS[metric]
    return f"{mean:{sign}.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
