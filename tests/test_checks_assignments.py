"""The visible checks of the assignments: the source's answers pass, mistakes get a hint that names
them, in one line."""

# ruff: noqa: ARG001, ARG002, ARG005  (wrong answers ignore what they are given)

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from wrong_solutions import read

from sema_lite.checks import assignment1 as a1
from sema_lite.checks import assignment2 as a2
from sema_lite.checks import assignment3 as a3
from sema_lite.checks import assignment4 as a4
from sema_lite.verdicts import critical


def solutions(name: str) -> dict[str, Any]:
    """All that the source's given and solution cells define."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for cell in read(name).cells:
        meta = cell.metadata.get("sema_lite", {})
        if meta.get("given") or meta.get("defines"):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(TransformerManager().transform_cell(cell.source), space)
    return space


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    return {name: solutions(name) for name in ("A1", "A2", "A3", "A4")}


def said(capsys: Any) -> str:
    out: str = capsys.readouterr().out
    assert len(out.splitlines()) == 1, out
    return out


def rejected(check: Callable[..., bool], answer: Any, word: str, capsys: Any, *more: Any) -> None:
    assert check(answer, *more) is False
    out = said(capsys)
    assert word in out, out


def stub(*_: Any, **__: Any) -> Any:
    raise NotImplementedError


ONE = [(a1, "A1", name) for name in ("ema", "half_life", "shares", "debiased", "decay_like_mean")]
ONE += [(a1, "A1", "Averager:averager"), (a1, "A1", "SWA:swa")]
ONE += [
    (a2, "A2", name)
    for name in (
        "switch_due",
        "way",
        "step_fraction",
        "carry_decay",
        "expected_switches",
        "repaired",
        "switches_right",
        "SEMA:sema",
    )
]
ONE += [(a3, "A3", "parameters_once"), (a4, "A4", "plan"), (a4, "A4", "final_scores")]
ONE += [(a4, "A4", name) for name in ("paired", "verdict", "draw")]


@pytest.mark.parametrize(("module", "assignment", "name"), ONE, ids=[f"{n}-{x}" for _, n, x in ONE])
def test_the_answer_passes_and_a_stub_is_not_done(
    module: Any, assignment: str, name: str, answers: Any, capsys: Any
) -> None:
    student, _, check = name.partition(":")
    judge = getattr(module, check or student)
    assert judge(answers[assignment][student]) is True
    assert said(capsys) == f"{check or student}: passed.\n"
    for missing in (stub, None, ...):
        rejected(judge, missing, "not done yet", capsys)


def test_all_checks_of_several_functions(answers: Any, capsys: Any) -> None:
    real, more = answers["A3"], answers["A4"]
    state, tied = real["State"], real["Tied"]
    assert a3.start(real["start"], tied)
    assert a3.update(real["update"], state, tied)
    assert a3.applied(real["applied"], state, tied)
    assert a3.saved(real["save"], real["restore"], state)
    names = ("start", "update", "applied", "save", "restore")
    assert a3.together(*[real[name] for name in names], tied, real["warm_up"])
    assert a4.my_scores(more["my_scores"], more["plan"])
    assert capsys.readouterr().out.count("passed") == 6
    rejected(a3.start, stub, "not done", capsys, tied)
    rejected(a3.update, stub, "not done", capsys, state, tied)
    rejected(a3.applied, contextmanager(stub), "not done", capsys, state, tied)
    rejected(a3.saved, stub, "not done", capsys, stub, state)
    rejected(a4.my_scores, stub, "not done", capsys, more["plan"])


# -- A1 --------------------------------------------------------------------------------------------


def an_ema(values: list[float], share: float, average: float) -> list[float]:
    seen = []
    for value in values:
        average = share * average + (1 - share) * value
        seen.append(average)
    return seen


def spoil(values: list[float], decay: float) -> list[float]:
    values[0] = 0.0
    return values


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda v, d: an_ema(v, 1 - d, v[0]), "Which share stays"),
        (lambda v, d: an_ema(v, d, 0.0), "Where does the average start"),
        (lambda v, d: an_ema(v, d, v[0])[1:], "first value"),
        (lambda v, d: an_ema(v, d, v[0])[:2], "should have 3"),
        (spoil, "changes the list"),
        (lambda v, d: 3.0, "Return a list"),
        (lambda v, d: tuple(an_ema(v, d, v[0])), "Return a list; this was a tuple"),
        (lambda v, d: [round(x, 4) for x in an_ema(v, d, v[0])], "Round nothing"),
        (lambda v, d: [4.0, 5.0, 3.75], "Do [3, 1, 1]"),
        (lambda v, d: [0.0] * 3, "on paper"),
    ],
)
def test_wrong_emas(answer: Any, word: str, capsys: Any) -> None:
    rejected(a1.ema, answer, word, capsys)


@pytest.mark.parametrize(
    ("check", "answer", "word"),
    [
        (a1.half_life, lambda d: 1 / (1 - d), "horizon"),
        (a1.half_life, lambda d: math.log(0.5) / -math.log(d), "negative"),
        (a1.half_life, lambda d: 1.0, "two halvings"),
        (a1.half_life, lambda d: 7.0, "each step"),
        (a1.shares, lambda d, n: [(1 - d) * d**k for k in reversed(range(n))], "share as well"),
        (a1.shares, lambda d, n: [(1 - d) * d**k for k in range(n)] + [d**n], "Oldest first"),
        (a1.shares, lambda d, n: [(1 - d) * d**k for k in reversed(range(n + 1))], "never multi"),
        (a1.shares, lambda d, n: [0.25, 0.25, 0.5] if n > 1 else [1 - d, d], "single value"),
        (a1.debiased, lambda v, d: an_ema(v, d, 0.0), "Nothing is divided"),
        (a1.debiased, lambda v, d: [x / (1 - d) for x in an_ema(v, d, 0.0)], "not the same"),
        (a1.debiased, lambda v, d: [2.0, 14 / 3], "Feed the average back"),
        (
            a1.debiased,
            lambda v, d: [x / (1 - d ** (n + 2)) for n, x in enumerate(an_ema(v, d, 0.0))],
            "Off by one",
        ),
        (a1.decay_like_mean, lambda n: 1 - 1 / n, "horizon 3"),
        (a1.decay_like_mean, lambda n: n / (n + 1), "n = 1"),
        (a1.decay_like_mean, lambda n: 0.1, "1/3"),
    ],
)
def test_wrong_numbers_in_a1(check: Any, answer: Any, word: str, capsys: Any) -> None:
    rejected(check, answer, word, capsys)


def averager(copy: Any, share: Callable[[float], float], touch: bool = False) -> type:
    class Mine:
        def __init__(self, weights: list[float], decay: float) -> None:
            self.live = weights
            self.average = copy(weights)
            self.share = share(decay)

        def update(self) -> None:
            for i, weight in enumerate(self.live):
                self.average[i] = self.share * self.average[i] + (1 - self.share) * weight
            if touch:
                self.live[0] = 0.0

    return Mine


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (averager(lambda w: w, lambda d: d), "list of its own"),
        (averager(list, lambda d: 1 - d), "old average stays"),
        (averager(list, lambda d: d, touch=True), "changes the live weights"),
        (averager(list, lambda d: 0.1), "what comes out"),
        (type("Empty", (), {"__init__": lambda self, w, d: None}), "self.live"),
    ],
)
def test_wrong_averagers(answer: type, word: str, capsys: Any) -> None:
    rejected(a1.averager, answer, word, capsys)


def swa(weight: Callable[[int], float], shift: int = 0) -> type:
    class Mine:
        def __init__(self, weights: list[float], start: int = 0, every: int = 1) -> None:
            self.live, self.average = weights, list(weights)
            self.start, self.every, self.calls, self.snapshots = start, every, 0, 0

        def update(self) -> None:
            self.calls += 1
            if self.calls <= self.start:
                self.average = list(self.live)
            elif (self.calls - self.start + shift) % self.every == 0:
                self.snapshots += 1
                share = weight(self.snapshots)
                self.average[0] += share * (self.live[0] - self.average[0])

    return Mine


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (swa(lambda n: 1 / (n + 1)), "replaces the average"),
        (swa(lambda n: 1.0 if n == 1 else 0.5), "third of three"),
        (swa(lambda n: 1.0), "Only the last"),
        (swa(lambda n: 1 / n, shift=1), "taken at call 3"),
    ],
)
def test_wrong_swas(answer: type, word: str, capsys: Any) -> None:
    rejected(a1.swa, answer, word, capsys)


# -- A2 --------------------------------------------------------------------------------------------


def due(test: Callable[[int, int], bool]) -> Any:
    return lambda k, every, start=0: every is not None and k > start and test(k - start, every)


def a_loop(test: Callable[[int, int], bool], switch: bool = True) -> Any:
    def loop(steps: int, every: int, decay: float = 0.9, seed: int = 0) -> Any:
        log = [k for k in range(1, steps + 1) if test(k, every)]
        return (float(len(log)) if switch else 1.0), log

    return loop


@pytest.mark.parametrize(
    ("check", "answer", "word"),
    [
        (a2.switch_due, due(lambda k, n: k % n != 0), "other steps"),
        (a2.switch_due, due(lambda k, n: (k + 1) % n == 0), "after step 4"),
        (a2.switch_due, due(lambda k, n: k == n), "no other up to 8"),
        (a2.switch_due, lambda k, n, start=0: n and k % n == 0, "start 2"),
        (
            a2.switch_due,
            lambda k, n, start=0: not n or (k > start and not (k - start) % n),
            "never",
        ),
        (a2.way, lambda c, d, n, p: 3.75, "distance"),
        (a2.way, lambda c, d, n, p: 1.875, "periods"),
        (a2.way, lambda c, d, n, p: 1.0, "SGD would be"),
        (a2.way, lambda c, d, n, p: 0.5, "on paper"),
        (a2.step_fraction, lambda d, n: 0.375, "lost"),
        (a2.step_fraction, lambda d, n: 1.25, "two steps"),
        (a2.step_fraction, lambda d, n: 0.25, "lag"),
        (a2.step_fraction, lambda d, n: 0.625, "1 - d"),
        (a2.carry_decay, lambda d, old, new: 1 - (1 - d) * new / old, "look back longer"),
        (a2.carry_decay, lambda d, old, new: (1 - d) * old / new, "1 - d'"),
        (a2.carry_decay, lambda d, old, new: d * old / new, "at most 1"),
        (a2.carry_decay, lambda d, old, new: 1 - (1 - d) * old / new, "return 0.0"),
        (a2.expected_switches, lambda n, every, start=0: n - n // every, "without a switch"),
        (a2.expected_switches, lambda n, every, start=0: n / every, "whole number"),
        (a2.expected_switches, lambda n, every, start=0: float(n // every), "whole number"),
        (a2.expected_switches, lambda n, every, start=0: 3, "two in ten"),
        (a2.expected_switches, lambda n, every, start=0: n // every, "start 3"),
        (a2.repaired, a_loop(lambda k, n: k % n != 0), "step % every false"),
        (a2.repaired, a_loop(lambda k, n: (k + 1) % n == 0), "after steps 5 and 10"),
        (a2.repaired, a_loop(lambda k, n: k == n), "after steps [5]"),
        (a2.repaired, a_loop(lambda k, n: n > 1 and k % n == 0), "every 1"),
        (a2.repaired, a_loop(lambda k, n: k % n == 0, switch=False), "not made"),
        (a2.switches_right, lambda loop: False, "right loop"),
        (a2.switches_right, lambda loop: True, "task 7"),
    ],
)
def test_wrong_answers_in_a2(check: Any, answer: Any, word: str, capsys: Any) -> None:
    rejected(check, answer, word, capsys)


def sema(what: str) -> type:
    """SEMA with one mistake."""

    class Mine:
        def __init__(self, weights: list[float], decay: float, every: int, start: int = 0) -> None:
            self.live = weights
            self.average = weights if what == "alias" else list(weights)
            self.decay = 1 - decay if what == "swapped" else decay
            self.every, self.calls, self.switches = every, 0, 0

        def take_in(self) -> None:
            for i, weight in enumerate(self.live):
                self.average[i] = self.decay * self.average[i] + (1 - self.decay) * weight

        def update(self) -> bool:
            self.calls += 1
            due = self.calls % self.every == 0
            if what == "early" and due:
                self.live[:] = self.average
            self.take_in()
            if what == "inverted":
                due = not due
            if due and what == "wrong way":
                self.average[:] = self.live
            elif due and what == "rebind":
                self.live = list(self.average)
            elif due:
                self.live[:] = self.average
                self.switches += what != "uncounted"
                if what == "one list":
                    self.average = self.live
            return False if what == "silent" else due

    return Mine


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ("alias", "list of its own"),
        ("swapped", "old average stays"),
        ("inverted", "no switch after the first"),
        ("wrong way", "copied into the other"),
        ("rebind", "same list"),
        ("early", "First the average"),
        ("silent", "returns whether"),
        ("uncounted", "switches should be 1"),
        ("one list", "two lists became one"),
    ],
)
def test_wrong_semas(what: str, word: str, capsys: Any) -> None:
    assert a2.sema(sema("right")) is True
    capsys.readouterr()
    rejected(a2.sema, sema(what), word, capsys)


def test_a_demonstration_stops_nothing(capsys: Any) -> None:
    a2.shown("share", 0.9, lambda x: x / 2, 1.0)
    assert said(capsys) == "share, 0.9: 0.5000\n"
    a2.shown("share", 0.9, stub, 1.0)
    assert "not done yet" in said(capsys)
    a2.shown("share", 0.9, lambda x: x / 0, 1.0)
    assert "ZeroDivisionError" in said(capsys)


# -- A3 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda m: m.state_dict(), "buffers"),
        (lambda m: dict(m.named_parameters(remove_duplicate=False)), "same parameter"),
        (lambda m: {n: p.detach() for n, p in m.named_parameters()}, "not copies"),
        (lambda m: list(m.parameters()), "Return a dict"),
        (lambda m: {"0.weight": m[0].weight}, "The names are"),
    ],
)
def test_wrong_lists_of_parameters(answer: Any, word: str, capsys: Any) -> None:
    rejected(a3.parameters_once, answer, word, capsys)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda m: m.state_dict(), "How many averages"),
        (lambda m: {n: p.detach().clone() for n, p in m.named_parameters()}, "running_mean"),
        (lambda m: {n: p.detach() for n, p in a3.everything(m).items()}, "whose memory"),
        (lambda m: {n: p.clone() for n, p in a3.everything(m).items()}, "asks for a gradient"),
        (lambda m: {n: p.detach().clone().float() for n, p in a3.everything(m).items()}, "counter"),
        (a3.copies, "bfloat16"),
        (lambda m: {k: v for k, v in a3.copies(m).items() if k != "decode.bias"}, "decode.bias"),
    ],
)
def test_wrong_starts(make: Any, word: str, answers: Any, capsys: Any) -> None:
    space = answers["A3"]
    rejected(a3.start, lambda m: space["State"](0, make(m)), word, capsys, space["Tied"])


@pytest.mark.parametrize(
    ("d", "names", "extra", "word"),
    [
        (1.0, "once", "", "have not moved"),
        (0.9, "once", "", "Which share"),
        (0.99, "once", "", "warm_up"),
        (0.0, "once", "", "number 1, not 0"),
        (0.5, "once", "", "what comes out"),
        (0.1, "twice", "", "taken in twice"),
        (0.1, "once", "", "running_mean has not moved"),
        (0.1, "once", "copy", "copied"),
        (0.1, "key", "", "How many names"),
        (0.1, "once", "live", "live model has changed"),
        (0.1, "once", "uncounted", "updates should be 1"),
        (0.1, "once", "counter", "newest one"),
    ],
)
def test_wrong_updates(
    d: float, names: str, extra: str, word: str, answers: Any, capsys: Any
) -> None:
    import torch

    def update(state: Any, model: Any, decay: float) -> None:
        state.updates += extra != "uncounted"
        pairs = list(model.named_parameters())
        if names == "key":
            pairs = list(model.named_parameters(remove_duplicate=False))
        if names == "twice":
            pairs.append(("encode.weight", model.encode.weight))
        with torch.no_grad():
            for name, live in pairs:
                state.tensors[name].mul_(d).add_(live, alpha=1 - d)
            if extra == "copy":
                state.tensors["norm.running_mean"].copy_(model.norm.running_mean)
            if extra == "counter":
                state.tensors["norm.running_mean"].fill_(9.0)
            if extra == "live":
                model.encode.weight.zero_()

    space = answers["A3"]
    rejected(a3.update, update, word, capsys, space["State"], space["Tied"])


@pytest.mark.parametrize(
    ("inside", "after", "word"),
    [
        ((), (), "still has its live weights"),
        (("encode.weight",), (), "running_mean is not"),
        (("encode.weight", "norm.running_mean"), ("encode.weight",), "norm.running_mean"),
        (("encode.weight", "norm.running_mean"), ("norm.running_mean",), "encode.weight"),
    ],
)
def test_wrong_loans(inside: Any, after: Any, word: str, answers: Any, capsys: Any) -> None:
    import torch

    @contextmanager
    def applied(state: Any, model: Any) -> Any:
        live = a3.copies(model)
        with torch.no_grad():
            for name in inside:
                a3.everything(model)[name].copy_(state.tensors[name])
        yield
        with torch.no_grad():
            for name in after:
                a3.everything(model)[name].copy_(live[name])

    space = answers["A3"]
    rejected(a3.applied, applied, word, capsys, space["State"], space["Tied"])


def test_wrong_resumes(answers: Any, capsys: Any) -> None:
    space = answers["A3"]
    state, save, restore = space["State"], space["save"], space["restore"]
    rejected(a3.saved, save, "0 came back", capsys, lambda s: state(0, s["tensors"]), state)

    def no_buffers(stored: Any) -> Any:
        return state(7, {"weight": stored["tensors"]["weight"]})

    def forgets(stored: Any) -> Any:
        return state(0, restore(stored).tensors)

    rejected(a3.saved, save, "num_batches_tracked did not", capsys, no_buffers, state)
    names = ("start", "update", "applied", "save")
    more = [space[name] for name in names[1:]]
    rejected(
        a3.together,
        space["start"],
        "differs from the library",
        capsys,
        *more,
        forgets,
        space["Tied"],
        space["warm_up"],
    )


# -- A4 --------------------------------------------------------------------------------------------


def shown(better: bool, worse: bool = False) -> str:
    return "better" if better else "worse" if worse else "not shown"


def test_wrong_plans(capsys: Any) -> None:
    from sema_lite.run import Run

    ema, sema = Run(method="ema"), Run(method="sema")
    for plan, word in [
        ([ema], "two things"),
        (([ema], [0, 1, 2]), "single run"),
        (([ema, sema], [0, 1]), "three seeds"),
        (([ema, sema], [0, 1, 1]), "different"),
        (([ema, Run(method="sema", epochs=9)], [0, 1, 2]), "differ in epochs"),
        (([Run(data="cifar100")] * 2, [0, 1, 2]), "cifar10 or shapes10"),
        ((["ema", "sema"], [0, 1, 2]), "list of Runs"),
    ]:
        rejected(a4.plan, lambda answer=plan: answer, word, capsys)


@pytest.mark.parametrize(
    ("check", "answer", "word"),
    [
        (a4.final_scores, lambda s, m: s.live[m][-1], "live weights"),
        (a4.final_scores, lambda s, m: s.averaged[m][0], "Who chose it"),
        (a4.final_scores, lambda s, m: [0.55], "end at 0.5"),
        (a4.final_scores, lambda s, m: s.averaged["accuracy"][-1], "nll"),
        (a4.final_scores, lambda s, m: (s.averaged or {m: [[9.0]]})[m][-1], "Plain SGD"),
        (a4.paired, lambda a, b: (-2.0, 0.0), "in this order"),
        (a4.paired, lambda a, b: (1.0, 0.0), "their mean"),
        (a4.paired, lambda a, b: (2.0, 2 / math.sqrt(3)), "calmer"),
        (a4.paired, lambda a, b: (2.0, 0.5), "divide by how many"),
        (a4.paired, lambda a, b: (2.0, 1 / math.sqrt(12)), "root of the number"),
        (a4.paired, lambda a, b: (2.0, 9.1), "paired"),
        (a4.paired, lambda a, b: (2.0, 0.1), "standard error"),
        (a4.paired, lambda a, b: 2.0, "two numbers"),
        (a4.verdict, lambda m, e, n, least, h: "good", "this was"),
        (a4.verdict, lambda m, e, n, least, h: "worse", "Five points"),
        (a4.verdict, lambda m, e, n, least, h: shown(m > 0, m < 0), "1.5 with an error"),
        (a4.verdict, lambda m, e, n, least, h: shown(m > 3, m < 0), "-1.5 with an error"),
        (a4.verdict, lambda m, e, n, least, h: shown(m > 2, m < -2), "from five seeds?"),
        (a4.verdict, lambda m, e, n, least, h: shown(m > 2.78 * e, m < -2.78 * e), "20 seeds"),
        (a4.verdict, lambda m, e, n, least, h: shown(m > critical(n) * e), "Half a point"),
        (
            a4.verdict,
            lambda m, e, n, least, h: shown(m > max(least, critical(n) * e)),
            "is that better",
        ),
        (a4.draw, lambda s: 1, "Return the figure"),
        (a4.draw, lambda s: __import__("matplotlib").figure.Figure(), "empty"),
    ],
)
def test_wrong_answers_in_a4(check: Any, answer: Any, word: str, capsys: Any) -> None:
    rejected(check, answer, word, capsys)


def test_axes_need_labels(capsys: Any) -> None:
    from matplotlib.figure import Figure

    def draw(scores: Any) -> Figure:
        figure = Figure()
        figure.add_subplot().plot([1, 2])
        return figure

    rejected(a4.draw, draw, "Label both axes", capsys)


def test_wrong_scores(answers: Any, capsys: Any) -> None:
    plan = answers["A4"]["plan"]
    good = answers["A4"]["my_scores"]()
    for scores, word in [
        ({"a": [1.0], "b": [2.0]}, "ema, sema"),
        ({**good, "sema": good["sema"][:2]}, "2 numbers"),
        ({**good, "sema": [200.0] * 5}, "between 0 and 100"),
        ({name: [v / 100 for v in values] for name, values in good.items()}, "shares of one"),
    ]:
        rejected(a4.my_scores, lambda answer=scores: answer, word, capsys, plan)


def test_training_prints_the_dict_and_the_result_its_verdict(
    answers: Any, tmp_path: Any, capsys: Any
) -> None:
    from dataclasses import replace

    space = answers["A4"]
    runs, _ = space["plan"]()
    few = [replace(run, data="shapes10", subset=64, epochs=1, batch_size=32) for run in runs]
    a4.train(lambda: (few, [0, 1, 2]), space["final_scores"], tmp_path)
    scores = eval(capsys.readouterr().out)
    assert list(scores) == ["ema", "sema"]
    assert all(len(values) == 3 for values in scores.values())
    a4.result(stub, stub, stub, stub)
    assert "not done yet" in said(capsys)
    a4.result(space["my_scores"], lambda s: 1 / 0, space["paired"], space["verdict"])
    assert "ZeroDivisionError" in said(capsys)
    a4.result(space["my_scores"], space["draw"], space["paired"], space["verdict"])
    assert "sema - ema: +3.78 ± 1.47 points, 5 seeds: not shown" in capsys.readouterr().out
