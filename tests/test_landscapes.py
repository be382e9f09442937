"""Landscapes: slopes against autograd and finite differences, minima, and the walk by hand."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import itertools
import math
import random
import statistics
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from sema_lite import landscapes
from sema_lite.landscapes import (
    LANDSCAPES,
    AsymmetricValley,
    Bowl,
    CurvedValley,
    Landscape,
    NoisyQuadratic,
    TwoWells,
    walk,
)
from sema_lite.reference import EMA, SEMA, SGD, Lookahead

OTHERS = (
    Bowl(3.0, 0.5),
    CurvedValley(2.5),
    AsymmetricValley(steep=4.0, flat=1.0, width=0.7, curvature_y=3.0),
    AsymmetricValley(steep=2.0, flat=2.0),
    TwoWells(sharp=8.0, flat=2.0, rise=0.6),
    TwoWells(sharp=30.0, flat=0.5, rise=-1.5),
    NoisyQuadratic(2.0, 0.3, centre=1.5),
)
ALL = (*LANDSCAPES.values(), *OTHERS)
each_landscape = pytest.mark.parametrize("landscape", ALL, ids=repr)


def points(landscape: Landscape, count: int = 40) -> list[tuple[float, float]]:
    """Random points in the window, and the special ones."""
    x_min, x_max, y_min, y_max = landscape.window
    rng = random.Random(7)
    inside = [(rng.uniform(x_min, x_max), rng.uniform(y_min, y_max)) for _ in range(count)]
    return [*inside, landscape.start, *landscape.minima, (0.0, 0.0)]


def hessian(landscape: Landscape, point: tuple[float, float]) -> torch.Tensor:
    def loss(p: torch.Tensor) -> torch.Tensor:
        return landscape.loss(p[0], p[1])

    return torch.autograd.functional.hessian(loss, torch.tensor(point, dtype=torch.float64))


# -- slopes -------------------------------------------------------------------------------------


@each_landscape
def test_gradient_is_that_of_autograd(landscape: Landscape) -> None:
    p = torch.tensor(points(landscape), dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(landscape.loss(p[:, 0], p[:, 1]).sum(), p)
    with torch.no_grad():
        got = torch.stack(landscape.grad(p[:, 0], p[:, 1]), dim=1)
    torch.testing.assert_close(got, slopes, rtol=1e-12, atol=1e-12)


@each_landscape
def test_gradient_is_the_difference_quotient_on_floats(landscape: Landscape) -> None:
    e = 1e-5
    for x, y in points(landscape):
        dx = (landscape.loss(x + e, y) - landscape.loss(x - e, y)) / (2 * e)
        dy = (landscape.loss(x, y + e) - landscape.loss(x, y - e)) / (2 * e)
        assert landscape.grad(x, y) == pytest.approx((dx, dy), rel=1e-6, abs=1e-6)


@each_landscape
def test_floats_arrays_and_tensors_agree(landscape: Landscape) -> None:
    pairs = points(landscape)
    floats = [(landscape.loss(x, y), *landscape.grad(x, y)) for x, y in pairs]
    assert all(type(number) is float for numbers in floats for number in numbers)
    for convert in (np.array, lambda p: torch.tensor(p, dtype=torch.float64)):
        x, y = convert([p[0] for p in pairs]), convert([p[1] for p in pairs])
        got = (landscape.loss(x, y), *landscape.grad(x, y))
        wanted = np.array(floats).T
        for numbers, column in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(numbers), column, rtol=1e-13, atol=1e-13)


@each_landscape
def test_shapes_broadcast(landscape: Landscape) -> None:
    x, y = torch.rand(3, 1, 4), torch.rand(5, 1)
    dx, dy = torch.broadcast_tensors(*landscape.grad(x, y))
    assert landscape.loss(x, y).shape == dx.shape == dy.shape == (3, 5, 4)


CLASSES = sorted({type(landscape) for landscape in ALL}, key=lambda kind: kind.__name__)
ALLOWED = (
    *(ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.Tuple, ast.Constant),
    *(ast.Name, ast.Attribute, ast.Load, ast.Store, ast.BinOp, ast.UnaryOp, ast.USub),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow),
)


@pytest.mark.parametrize("method", ["loss", "grad"])
@pytest.mark.parametrize("kind", CLASSES)
def test_operators_only(kind: type, method: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(kind, method)))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    for node in itertools.chain.from_iterable(map(ast.walk, tree.body)):
        assert isinstance(node, ALLOWED), ast.unparse(node)
        if isinstance(node, ast.Attribute):  # a parameter: no module, no method
            assert ast.unparse(node).startswith("self.")


# -- minima and shapes --------------------------------------------------------------------------


@each_landscape
def test_minima_are_minima(landscape: Landscape) -> None:
    assert landscape.minima
    for x, y in landscape.minima:
        assert landscape.grad(x, y) == pytest.approx((0.0, 0.0), abs=1e-14)
        assert torch.linalg.eigvalsh(hessian(landscape, (x, y))).min() > 0
        ring = [(math.cos(t), math.sin(t)) for t in range(7)]
        assert all(
            landscape.loss(x + 0.05 * a, y + 0.05 * b) > landscape.loss(x, y) for a, b in ring
        )


@each_landscape
def test_start_and_minima_are_in_the_window(landscape: Landscape) -> None:
    x_min, x_max, y_min, y_max = landscape.window
    for x, y in (landscape.start, *landscape.minima):
        assert x_min < x < x_max
        assert y_min < y < y_max
    assert landscape.loss(*landscape.start) > max(landscape.loss(*m) for m in landscape.minima)
    assert landscape.noise >= 0


@pytest.mark.parametrize(("sharp", "flat"), [(20.0, 1.0), (8.0, 2.0)])
def test_the_two_wells_have_the_curvatures_that_they_name(sharp: float, flat: float) -> None:
    wells = TwoWells(sharp, flat)
    for point, curvature in zip(wells.minima, (sharp, flat), strict=True):
        assert wells.loss(*point) == 0.0
        torch.testing.assert_close(
            hessian(wells, point), curvature * torch.eye(2, dtype=torch.float64)
        )


@pytest.mark.parametrize("rise", [-1.5, 0.0, 0.7])
def test_the_sharp_well_is_higher_by_rise_and_sharper(rise: float) -> None:
    wells = TwoWells(rise=rise)
    sharp, flat = wells.minima
    assert wells.loss(*sharp) == rise
    assert wells.loss(*flat) == 0.0
    assert hessian(wells, sharp).trace() > 5 * hessian(wells, flat).trace()
    middle = wells.loss(-0.4, 0.0)  # the wall between them
    assert middle > max(wells.loss(*sharp), wells.loss(*flat))


def test_the_asymmetric_valley_is_steep_on_one_side_flat_on_the_other_and_smooth() -> None:
    valley = AsymmetricValley()
    bends = [hessian(valley, (x / 50, 0.3))[0, 0].item() for x in range(-200, 201)]
    assert bends[0] == pytest.approx(valley.flat, rel=1e-4)
    assert bends[-1] == pytest.approx(valley.steep, rel=1e-4)
    assert bends == sorted(bends)
    assert max(b - a for a, b in itertools.pairwise(bends)) < 0.2 * (valley.steep - valley.flat)
    assert valley.loss(0.5, 0.0) > 5 * valley.loss(-0.5, 0.0)


def test_the_asymmetric_valley_with_equal_sides_is_a_bowl() -> None:
    valley, bowl = AsymmetricValley(steep=2.0, flat=2.0, curvature_y=3.0), Bowl(2.0, 3.0)
    assert valley.loss(0.7, -0.4) == pytest.approx(bowl.loss(0.7, -0.4), rel=1e-14)


def test_the_asymmetric_valley_keeps_its_digits_near_the_minimum() -> None:
    valley, x = AsymmetricValley(steep=3.0, flat=1.0, width=1.0), 1e-9
    # f(x) = x**2 + x**3 / 4 and f'(x) = 2x + 3/4 x**2, up to terms of higher order
    assert valley.grad(x, 0.0)[0] - 2 * x == pytest.approx(0.75 * x**2, rel=1e-6)


def test_the_floor_of_the_curved_valley_is_a_parabola_and_an_average_leaves_it() -> None:
    valley = CurvedValley()
    left, right = valley.loss(-0.8, 0.64), valley.loss(0.8, 0.64)
    assert left == pytest.approx(1.8**2 / 2)
    assert valley.loss(0.0, 0.64) > max(left, right)  # the mean of two points on the floor


def test_the_noisy_quadratic_moves_with_its_centre() -> None:
    here, there = NoisyQuadratic(), NoisyQuadratic(centre=5.0)
    assert there.loss(5.5, 4.0) == pytest.approx(here.loss(0.5, -1.0))
    assert there.start == (here.start[0] + 5, here.start[1] + 5)
    assert there.minima == ((5.0, 5.0),)
    assert there.window == tuple(edge + 5 for edge in here.window)


def test_the_catalogue() -> None:
    assert list(LANDSCAPES) == [each.name for each in LANDSCAPES.values()]
    assert {type(each) for each in LANDSCAPES.values()} == set(CLASSES)
    for each in LANDSCAPES.values():
        assert each == type(each)()
        hash(each)
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.noise = 3.0  # type: ignore[misc]


INFINITE = float("inf")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bowl(0.0), ValueError, "curvature_x must be a finite number > 0, got 0.0"),
        (lambda: Bowl(1.0, -2), ValueError, "curvature_y must be a finite number > 0, got -2"),
        (lambda: Bowl("1"), TypeError, "curvature_x must be a finite number > 0, got '1'"),
        (lambda: Bowl(noise=-0.1), ValueError, "noise must be a finite number >= 0, got -0.1"),
        (lambda: Bowl(10**400), ValueError, "curvature_x must be a finite number > 0, got 1000"),
        (lambda: CurvedValley(math.nan), ValueError, "steepness must .* > 0, got nan"),
        (lambda: CurvedValley(noise=True), TypeError, "noise must .* got True"),
        (lambda: AsymmetricValley(steep=0.1), ValueError, "steep must .* >= 0.5, got 0.1"),
        (lambda: AsymmetricValley(flat=0), ValueError, "flat must .* > 0, got 0"),
        (lambda: AsymmetricValley(width=0), ValueError, "width must .* > 0, got 0"),
        (lambda: AsymmetricValley(curvature_y=0), ValueError, "curvature_y must .* > 0, got 0"),
        (lambda: AsymmetricValley(noise=-1), ValueError, "noise must .* >= 0, got -1"),
        (lambda: TwoWells(sharp=0.5), ValueError, "sharp must .* >= 1, got 0.5"),
        (lambda: TwoWells(flat=0), ValueError, "flat must .* > 0, got 0"),
        (lambda: TwoWells(rise=2.0), ValueError, "rise must be above -40 and below 2 .*got 2.0"),
        (lambda: TwoWells(rise=-40), ValueError, "rise must be above -40 and below 2 .*got -40"),
        (lambda: TwoWells(noise=None), TypeError, "noise must .* got None"),
        (lambda: NoisyQuadratic(-1), ValueError, "curvature_x must .* > 0, got -1"),
        (lambda: NoisyQuadratic(1, 0), ValueError, "curvature_y must .* > 0, got 0"),
        (lambda: NoisyQuadratic(centre=INFINITE), ValueError, "centre must be a finite number, "),
        (lambda: NoisyQuadratic(noise=INFINITE), ValueError, "noise must .* >= 0, got inf"),
    ],
)
def test_bad_parameters(make, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        make()


# -- one walker ---------------------------------------------------------------------------------


def sema(weights: list[float]) -> SEMA:
    return SEMA(weights, 0.8, switch_every=3)


def test_the_walk_is_sgd_and_then_the_update() -> None:
    valley, kicks = CurvedValley(), [(0.3, -0.2), (0.0, 0.5), (1.0, 1.0), (-0.4, 0.0)]
    path = walk(valley, sema, 0.02, 4, momentum=0.5, gradient_noise=kicks, begin=(-1.0, 0.5))
    live = [-1.0, 0.5]
    average, optimizer = sema(live), SGD(live, 0.02, 0.5)
    for step, kick in enumerate(kicks, start=1):
        slope = valley.grad(*live)
        optimizer.step([slope[0] + kick[0], slope[1] + kick[1]])
        average.update()
        assert path.live[step] == tuple(live)
        assert path.average[step] == tuple(average.average)
    assert path.live[0] == path.average[0] == (-1.0, 0.5)
    assert len(path.live) == len(path.average) == 5
    assert path.switched == [3]
    assert path.live[3] == path.average[3]
    assert path.live[4] != path.average[4]


def test_the_walk_by_hand() -> None:
    path = walk(Bowl(1.0, 2.0), lambda w: Lookahead(w, k=2, s=0.5), 0.5, 2, begin=(8.0, 8.0))
    assert path.live == [(8.0, 8.0), (4.0, 0.0), (5.0, 4.0)]  # (8 + 2)/2 and (8 + 0)/2
    assert path.average == [(8.0, 8.0), (8.0, 8.0), (5.0, 4.0)]


def test_a_walk_repeats_by_seed_and_leaves_the_global_generator_alone() -> None:
    before = random.getstate()
    first, again = (walk(TwoWells(), EMA, 0.05, 20, seed=3) for _ in range(2))
    assert first == again
    assert random.getstate() == before
    assert first != walk(TwoWells(), EMA, 0.05, 20, seed=4)


def test_the_noise_has_the_standard_deviation_of_the_landscape_or_the_one_given() -> None:
    for given, wanted in ((None, 2.5), (0.7, 0.7)):
        plain = NoisyQuadratic(1.0, 1.0, noise=2.5)
        live = walk(plain, EMA, 0.1, 4000, noise=given).live
        for axis in (0, 1):
            kicks = [(0.9 * a[axis] - b[axis]) / 0.1 for a, b in itertools.pairwise(live)]
            error = 4 * wanted / math.sqrt(len(kicks))
            assert abs(statistics.fmean(kicks)) < error
            assert abs(statistics.pstdev(kicks) - wanted) < error
    assert walk(plain, EMA, 0.1, 3, noise=0.0) == walk(plain, EMA, 0.1, 3, noise=0.0, seed=9)


def test_no_steps() -> None:
    path = walk(Bowl(), EMA, 0.1, 0)
    assert path.live == path.average == [Bowl.start]
    assert path.switched == []


class Cubic(Bowl):
    """Grows without `**`: floats become inf instead of raising OverflowError."""

    def grad(self, x: float, y: float) -> tuple[float, float]:
        return x * x * x, y


@pytest.mark.parametrize("landscape", [CurvedValley(), Cubic()], ids=["OverflowError", "inf"])
def test_a_walk_that_diverges_says_when_and_why(landscape: Landscape) -> None:
    message = r"diverged at step (\d+): .* no longer finite. The learning rate is 5: lower it"
    with pytest.raises(ValueError, match=message) as caught:
        walk(landscape, EMA, 5.0, 1000, noise=0.0)
    assert caught.value.__cause__ is None
    step = int(str(caught.value).split("step ")[1].split(":")[0])
    assert len(walk(landscape, EMA, 5.0, step - 1, noise=0.0).live) == step  # not one too late
    with pytest.raises(ValueError, match=f"diverged at step {step}:"):
        walk(landscape, EMA, 5.0, step, noise=0.0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": -1}, ValueError, "steps must be a whole number >= 0, got -1"),
        ({"steps": 2.5}, ValueError, "steps must be a whole number >= 0, got 2.5"),
        ({"lr": math.nan}, ValueError, "lr must be .*got nan"),
        ({"momentum": 1.5}, ValueError, "momentum must be .*got 1.5"),
        ({"noise": -1.0}, ValueError, "noise must be a finite number >= 0, got -1.0"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        ({"begin": (1.0,)}, ValueError, r"begin must be two numbers, got \(1.0,\)"),
        ({"begin": (1.0, math.inf)}, ValueError, "begin must be a finite number, got inf"),
        ({"gradient_noise": [(0, 0)]}, ValueError, "gradient_noise must be 3 pairs"),
        ({"gradient_noise": [(0,)] * 3}, ValueError, "gradient_noise must be 3 pairs"),
        ({"gradient_noise": [(0, 0)] * 3, "noise": 1.0}, ValueError, "not both; noise is 1.0"),
        ({"landscape": Bowl}, TypeError, "call the class to make one"),
        ({"landscape": 3}, TypeError, "such as Bowl.*, got 3: it lacks name, start"),
    ],
)
def test_bad_walks(changes, error, message) -> None:  # type: ignore[no-untyped-def]
    good = {"landscape": Bowl(), "make_average": EMA, "lr": 0.1, "steps": 3}
    walk(**good)
    with pytest.raises(error, match=message):
        walk(**(good | changes))


# -- the module ---------------------------------------------------------------------------------


def test_the_module_needs_no_torch_and_no_numpy() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "from sema_lite.landscapes import *; print(walk(Bowl(), EMA, 0.1, 2).live[-1])"
    ).replace("EMA", "__import__('sema_lite.reference').reference.EMA")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_examples_in_the_docstrings() -> None:
    result = doctest.testmod(landscapes)
    assert result.attempted
    assert not result.failed
