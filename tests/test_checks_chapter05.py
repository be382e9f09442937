"""The checks of chapter 05: right answers pass, each typical mistake is named, none tells all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judging import judge

from sema_lite import checks, landscapes, reference
from sema_lite.checks import chapter05

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def test_a_landscape_without_its_loss_is_not_done_yet(capsys: pytest.CaptureFixture[str]) -> None:
    class Half(landscapes.Bowl):
        def loss(self, x: Any, y: Any) -> Any:
            raise NotImplementedError

    assert judge(checks.own_landscape, Half, capsys) == (False, "own_landscape: not done yet.\n")


@pytest.mark.parametrize("container", [tuple, list, np.array, torch.tensor])
def test_right_gradient_passes(container: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def right(x: float, y: float) -> Any:
        return container([(x * y - 1) * y, (x * y - 1) * x])

    assert judge(checks.two_layers_gradient, right, capsys) == (
        True,
        "two_layers_gradient: passed.\n",
    )


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda x, y: ((x * y - 1) * x, (x * y - 1) * y), "swapped"),
        (lambda x, y: (-(x * y - 1) * y, -(x * y - 1) * x), "sign"),
        (lambda x, y: (2 * (x * y - 1) * y, 2 * (x * y - 1) * x), "half"),
        (lambda x, y: (x * y - 1, x * y - 1), "chain rule"),
        (lambda x, y: (y, x), "slope of x*y alone"),
        (lambda x, y: ((x * y - 1) * y, 0.0), "slope along y"),
        (lambda x, y: (0.0, (x * y - 1) * x), "slope along x"),
        (lambda x, y: x + y, "two values"),
    ],
)
def test_wrong_gradients_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.two_layers_gradient, answer, capsys)
    assert not passed
    assert named in said
    assert "* y" not in said  # not the solution


@pytest.mark.parametrize("container", [tuple, np.array, torch.tensor])
def test_right_share_passes(container: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def right(hits: int, walkers: int) -> Any:
        share = hits / walkers
        return container([share, (share * (1 - share) / walkers) ** 0.5])

    assert judge(checks.share_with_error, right, capsys)[0]


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda h, n: (100 * h / n, 0.0), "per cent"),
        (lambda h, n: (n / (h + 1), 0.0), "divided by"),
        (lambda h, n: (h, (h * (1 - h / n)) ** 0.5), "divided by"),  # the number of hits
        (lambda h, n: (h / n, (h / n * (1 - h / n)) ** 0.5), "variance by n, before the root"),
        (lambda h, n: (h / n, h / n * (1 - h / n) / n), "square root"),
        (lambda h, n: (h / n, (h * (1 - h / n)) ** 0.5), "number of hits"),
        (lambda h, n: (h / n, (h / n * (1 - h / n) / (n - 1)) ** 0.5), "Nearly"),
        (lambda h, n: (h / n, 0.1), "follow the hint"),
        (lambda h, n: h / n, "two values"),
    ],
)
def test_wrong_shares_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.share_with_error, answer, capsys)
    assert not passed
    assert named in said


def factor(h: float, d: float, period: int) -> float:
    """rho in closed form: another way than the check's own."""
    r = 1 - h
    return (d ** (period + 1) * (1 - r) - (1 - d) * r ** (period + 1)) / (d - r)


@pytest.mark.parametrize("kind", [bool, np.bool_, torch.tensor])
def test_right_survives_passes(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def right(lr: float, a: float, d: float, period: int) -> Any:
        return kind(abs(factor(lr * a, d, period)) < 1)

    assert judge(checks.survives, right, capsys)[0]


def test_a_survives_that_returns_nothing_is_not_done_yet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert judge(checks.survives, lambda *_: None, capsys) == (False, "survives: not done yet.\n")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda lr, a, _d, _t: lr * a < 2, "limit 2/curvature"),
        (lambda *_: True, "Twenty steps"),
        (lambda *_: False, "every method"),
        (lambda lr, a, d, _t: lr * a < 2 / (1 - d), "Twenty steps"),
        (lambda lr, a, d, t: factor(lr * a, d, t) < 1, "below -1"),
        (lambda lr, a, d, t: 0 <= factor(lr * a, d, t) < 1, "Wrong for"),
        (lambda lr, a, _d, t: abs((1 - lr * a) ** t) < 1, "limit 2/curvature"),
        (lambda lr, a, d, t: factor(lr * a, d, t), "True or False"),
        (lambda lr, a, d, t: True if abs(factor(lr * a, d, t)) < 1 else None, "not None"),
    ],
)
def test_wrong_survivals_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.survives, answer, capsys)
    assert not passed
    assert named in said


def test_every_case_of_survives_is_far_from_the_edge() -> None:
    """An answer by another formula must not fail for its rounding."""
    for (lr, curvature, d, period), _ in chapter05.SURVIVALS:
        assert abs(abs(factor(lr * curvature, d, period)) - 1) > 0.005


@pytest.mark.parametrize("ground", landscapes.LANDSCAPES.values(), ids=lambda g: g.name)
def test_the_librarys_landscapes_pass(ground: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(checks.own_landscape, lambda: ground, capsys)[0]


class Mine(landscapes.Bowl):
    """A right answer with one thing spoiled per test."""

    def __init__(self, **spoiled: Any) -> None:
        super().__init__()
        for name, value in spoiled.items():
            object.__setattr__(self, name, value)


@pytest.mark.parametrize(
    ("spoiled", "named"),
    [
        ({"grad": lambda x, y: (x, 19 * y)}, "not the slope"),
        ({"grad": lambda x, y: (20 * y, x)}, "not the slope"),
        ({"grad": lambda x, y: x + 20 * y}, "two values"),
        ({"grad": lambda x, y: np.array([x, 20 * y])}, "two values"),  # `simulate` takes no arrays
        ({"minima": ((0.5, 0.0),)}, "neighbour"),
        ({"minima": ()}, "empty"),
        ({"minima": (0.0, 0.0)}, "((x, y),)"),
        ({"window": (1.0, -1.0, 0.0, 1.0)}, "rising order"),
        ({"start": (0.0, 0.0)}, "bottom"),
        ({"noise": "1"}, "noise must be a finite number >= 0, got '1'."),
        ({"noise": -1.0}, "noise must be"),
        ({"loss": lambda x, y: (float(x) ** 2 + 20 * float(y) ** 2) / 2}, "no tensors"),
    ],
)
def test_wrong_landscapes_are_named(
    spoiled: dict[str, Any], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.own_landscape, lambda: Mine(**spoiled), capsys)
    assert not passed
    assert named in said


def test_a_class_or_something_without_a_loss_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "call the class" in judge(checks.own_landscape, lambda: landscapes.Bowl, capsys)[1]
    assert "lacks" in judge(checks.own_landscape, lambda: 3, capsys)[1]


class DoubleBend:
    """A right answer, as the exercise suggests it, on which the notebook's walk diverges."""

    name, noise, start = "double bend", 0.5, (-1.5, -1.8)
    minima, window = ((1.0, 0.0),), (-2.0, 2.0, -3.0, 3.0)

    def loss(self, x: Any, y: Any) -> Any:
        return ((x - 1) ** 2 + 10 * (y - x**3 + x) ** 2) / 2

    def grad(self, x: Any, y: Any) -> Any:
        off = 10 * (y - x**3 + x)
        return x - 1 + off * (1 - 3 * x**2), off


@pytest.mark.parametrize(
    ("ground", "said"),
    [(DoubleBend(), "double bend: the walk diverged"), (landscapes.Bowl(), "2 of 3 stayed finite")],
)
def test_the_notebook_walks_on_every_landscape_that_passes(
    ground: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cell catches a walk that diverges, and leaves out walkers that did."""
    ends = torch.tensor([[0.1, 0.0], [torch.nan, torch.nan], [0.3, 0.0]])
    names = {
        **{"checks": checks, "landscapes": landscapes, "my_landscape": lambda: ground},
        **{"sema": lambda w: reference.SEMA(w, 0.9, switch_every=20), "WALKERS": 3},
        "ends": lambda *_: (ends, ends),
    }
    cells = json.loads((NOTEBOOKS / "05_toy_landscapes.ipynb").read_text(encoding="utf-8"))["cells"]
    [cell] = [c for c in cells if "checks.own_landscape(my_landscape)" in "".join(c["source"])]
    code = "".join(cell["source"])
    exec(code[code.index("if checks.own_landscape") :], names)
    assert said in capsys.readouterr().out
