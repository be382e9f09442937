"""Many walkers at once: the same as the reference walk, cell by cell and step by step."""

from __future__ import annotations

import doctest
import math
import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_theory import TABLE

from sema_lite import simulate as simulate_module
from sema_lite import theory
from sema_lite.landscapes import LANDSCAPES, Bowl, CurvedValley, NoisyQuadratic, TwoWells, walk
from sema_lite.reference import EMA, SEMA, SWA, Average, Lookahead, uniform
from sema_lite.simulate import LOOK_EVERY, Walks, simulate

FIELDS = ("live", "average", "switches", "diverged", "live_path", "average_path")


def same(a: Walks, b: Walks) -> bool:
    """Bit for bit."""
    return all(torch.equal(getattr(a, field), getattr(b, field)) for field in FIELDS)


def noise_for(steps: int, walkers: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(steps, walkers, 2, generator=generator, dtype=torch.float64)


def warm_up(n: int) -> float:
    return min(0.95, n / (n + 3))


# -- the same as the reference ------------------------------------------------------------------

decay = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, 0.5, 0.9, 0.99]),
    st.sampled_from([uniform, warm_up]),
)


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    start = draw(st.integers(0, 12))
    return {
        "decays": draw(st.lists(decay, min_size=1, max_size=3)),
        "periods": draw(st.lists(st.none() | st.integers(1, 9), min_size=1, max_size=3)),
        "update_every": draw(st.integers(1, 4)),
        "start": start,
        "stop": draw(st.none() | st.integers(start, 30)),
    }


EVERYTHING = {
    "decays": [0.0, 1.0, 0.9, uniform],
    "periods": [None, 1, 4],
    "update_every": 2,
    "start": 3,
    "stop": 20,
}


@settings(max_examples=60, deadline=None)
@given(
    landscape=st.sampled_from(list(LANDSCAPES.values())),
    schedule=schedules(),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    steps=st.integers(0, 30),
    seed=st.integers(0, 1000),
)
@example(CurvedValley(), EVERYTHING, 0.9, 30, 1)
def test_every_cell_is_the_reference_walk(
    landscape: Any, schedule: dict[str, Any], momentum: float, steps: int, seed: int
) -> None:
    kicks = noise_for(steps, 2, seed)
    walks = simulate(
        landscape,
        0.01,
        steps,
        walkers=2,
        momentum=momentum,
        gradient_noise=kicks,
        record_every=1,
        **schedule,
    )
    counts = {name: schedule[name] for name in ("update_every", "start", "stop")}
    assert walks.recorded == tuple(range(steps + 1))
    for d, decay in enumerate(schedule["decays"]):
        for p, period in enumerate(schedule["periods"]):
            average = partial(Average, decay=decay, switch_every=period, **counts)
            for w in range(2):
                path = walk(
                    landscape,
                    average,
                    0.01,
                    steps,
                    momentum=momentum,
                    gradient_noise=kicks[:, w].tolist(),
                )
                for got, wanted in (
                    (walks.live_path[:, d, p, w], path.live),
                    (walks.average_path[:, d, p, w], path.average),
                ):
                    torch.testing.assert_close(
                        got, torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-12
                    )
            assert walks.switches[d, p] == len(path.switched)
    assert torch.equal(walks.live, walks.live_path[-1])
    assert torch.equal(walks.average, walks.average_path[-1])
    assert not walks.diverged.any()


@pytest.mark.parametrize(
    ("average", "arguments"),
    [
        (EMA, {"decays": [0.99]}),
        (
            partial(SWA, start=5, update_every=3),
            {"decays": [uniform], "start": 5, "update_every": 3},
        ),
        (partial(SEMA, decay=0.9, switch_every=7), {"decays": [0.9], "periods": [7]}),
        (Lookahead, {"decays": [0.5], "periods": [5], "update_every": 5}),
    ],
    ids=["EMA", "SWA", "SEMA", "Lookahead"],
)
def test_the_four_methods(average: Any, arguments: dict[str, Any]) -> None:
    kicks = noise_for(40, 1, 0)
    walks = simulate(TwoWells(), 0.05, 40, 1, gradient_noise=kicks, **arguments)
    path = walk(TwoWells(), average, 0.05, 40, gradient_noise=kicks[:, 0].tolist())
    assert walks.live[0, 0, 0].tolist() == pytest.approx(path.live[-1], rel=1e-12)
    assert walks.average[0, 0, 0].tolist() == pytest.approx(path.average[-1], rel=1e-12)


class Twist(Bowl):
    """A saddle whose slope is the weights themselves, the other way round."""

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        return y, x


class Slope(Bowl):
    """A slope that is a plain number."""

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return 1.0, -2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("landscape", [Twist(), Slope()])
def test_a_landscape_may_hand_back_the_weights_or_numbers(landscape: Any, momentum: float) -> None:
    walks = simulate(landscape, 0.1, 12, 1, decays=[0.9], periods=[5], momentum=momentum)
    path = walk(landscape, partial(SEMA, decay=0.9, switch_every=5), 0.1, 12, momentum=momentum)
    assert walks.live[0, 0, 0].tolist() == pytest.approx(path.live[-1], rel=1e-12)
    assert walks.average[0, 0, 0].tolist() == pytest.approx(path.average[-1], rel=1e-12)


def test_decays_0_and_1_are_exact() -> None:
    walks = simulate(
        CurvedValley(), 0.01, 50, 20, decays=[0.0, 1.0], periods=[None, 7], start=10, record_every=1
    )
    assert torch.equal(walks.average_path[:, 0], walks.live_path[:, 0])
    frozen = walks.average_path[10:, 1]
    assert torch.equal(frozen, walks.live_path[10:11, 1].expand_as(frozen))
    assert torch.equal(walks.live_path[17, 1, 1], walks.live_path[10, 1, 1])  # a switch goes back


def test_switches_happen_when_they_should_and_only_in_their_column() -> None:
    walks = simulate(
        Bowl(noise=1.0), 0.02, 30, 5, decays=[0.9, 0.8], periods=[4, None, 11], start=3, stop=25,
        record_every=1,
    )  # fmt: skip
    assert walks.switches.tolist() == [[5, 0, 2], [5, 0, 2]]  # steps 7, 11, ..., 23; 14 and 25
    switched = (walks.live_path == walks.average_path)[4:].all(-1).all(-1)
    when = [[(4 + switched[:, d, p].nonzero()[:, 0]).tolist() for p in range(3)] for d in range(2)]
    assert when == [[[7, 11, 15, 19, 23], [], [14, 25]]] * 2


def test_stop_one_before_the_end_shows_the_live_weights_before_the_switch() -> None:
    one = partial(simulate, Bowl(noise=1.0), 0.02, walkers=4, decays=[0.9], periods=[5])
    before, after = one(20, stop=19), one(20)
    assert torch.equal(before.average, after.average)
    assert torch.equal(after.live, after.average)
    assert not torch.equal(before.live, before.average)


# -- noise --------------------------------------------------------------------------------------


def test_a_seed_repeats_and_another_does_not() -> None:
    state = torch.get_rng_state()
    run = partial(simulate, TwoWells(), 0.05, 30, 50, decays=[0.9], periods=[10])
    assert same(run(seed=5), run(seed=5))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.isclose(run(seed=5).live, run(seed=6).live).any()
    assert len(torch.unique(run(seed=5).live[0, 0, :, 0])) == 50  # each walker its own


def test_all_cells_feel_the_same_noise() -> None:
    decays, periods = [0.5, 0.9, 0.99], [None, 3, 10]
    grid = simulate(TwoWells(), 0.05, 40, 30, decays=decays, periods=periods, momentum=0.5)
    assert torch.equal(grid.live[0, 0], grid.live[1, 0])
    assert torch.equal(grid.live[0, 0], grid.live[2, 0])
    for d, decay in enumerate(decays):
        for p, period in enumerate(periods):
            one = simulate(TwoWells(), 0.05, 40, 30, decays=[decay], periods=[period], momentum=0.5)
            torch.testing.assert_close(one.live[0, 0], grid.live[d, p], rtol=1e-13, atol=1e-13)
            torch.testing.assert_close(
                one.average[0, 0], grid.average[d, p], rtol=1e-13, atol=1e-13
            )


@pytest.mark.parametrize(("noise", "wanted"), [(None, 2.5), (0.7, 0.7), (0.0, 0.0)])
def test_the_noise_is_normal_and_independent(noise: float | None, wanted: float) -> None:
    n = 20_000
    walks = simulate(
        NoisyQuadratic(1.0, 1.0, noise=2.5),
        0.1,
        3,
        n,
        noise=noise,
        record_every=1,
        dtype=torch.float64,
    )
    live = walks.live_path[:, 0, 0]
    kicks = ((0.9 * live[:-1] - live[1:]) / 0.1).movedim(1, -1).reshape(6, n)  # steps x axes
    covariance = torch.cov(kicks)
    bound = 4 * wanted**2 * math.sqrt(2 / n) + 1e-12
    torch.testing.assert_close(
        covariance, wanted**2 * torch.eye(6, dtype=torch.float64), rtol=0, atol=bound
    )
    assert kicks.mean(1).abs().max() <= 4 * wanted / math.sqrt(n) + 1e-12
    if wanted:
        share = (kicks.abs() < wanted).double().mean().item()
        assert share == pytest.approx(0.6827, abs=4 * math.sqrt(0.6827 * 0.3173 / (6 * n)))


@pytest.mark.parametrize(("lr", "d", "period", "sgd", "ema", "sema", "before"), TABLE)
def test_the_variances_of_the_noisy_quadratic(
    lr: float, d: float, period: int, sgd: float, ema: float, sema: float, before: float
) -> None:
    """x against the printed table; y, with another curvature, against the closed forms."""
    n, steps, b = 5000, 1000 if period < 100 else 1500, 1.1
    quadratic = NoisyQuadratic(1.0, b, centre=3.0, noise=1.0)
    walks = simulate(
        quadratic,
        lr,
        steps,
        n,
        decays=[d],
        periods=[None, period],
        begin=(3.0, 3.0),
        stop=steps - 1,
    )
    for axis, wanted in (
        (0, (sgd, ema, sema, before)),
        (
            1,
            (
                theory.sgd_variance(lr, b, 1.0),
                theory.ema_variance(lr, b, 1.0, d),
                theory.sema_variance(lr, b, 1.0, d, period),
                theory.sema_live_variance(lr, b, 1.0, d, period, period),
            ),
        ),
    ):
        points = (walks.live[0, 0], walks.average[0, 0], walks.average[0, 1], walks.live[0, 1])
        for got, variance in zip(points, wanted, strict=True):
            measured = ((got[:, axis] - 3.0) ** 2).mean().item()  # about the known mean
            assert measured == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / n) + 5e-6)


# -- what comes back ----------------------------------------------------------------------------


def test_shapes_dtypes_and_records() -> None:
    walks = simulate(
        Bowl(noise=1.0), 0.02, 10, 6, decays=[0.9, 0.8], periods=(None, 2, 3), record_every=4
    )
    assert walks.live.shape == walks.average.shape == (2, 3, 6, 2)
    assert walks.live.is_contiguous()
    assert walks.average.is_contiguous()
    assert walks.switches.shape == (2, 3)
    assert walks.diverged.shape == (2, 3, 6)
    assert walks.diverged.dtype is torch.bool
    assert walks.recorded == (0, 4, 8)
    assert walks.live_path.shape == walks.average_path.shape == (3, 2, 3, 6, 2)
    every = simulate(
        Bowl(noise=1.0), 0.02, 10, 6, decays=[0.9, 0.8], periods=(None, 2, 3), record_every=1
    )
    assert torch.equal(walks.live_path, every.live_path[::4])
    assert torch.equal(walks.average_path, every.average_path[::4])


def test_nothing_is_recorded_unless_asked() -> None:
    walks = simulate(Bowl(), 0.02, 10, 6)
    assert walks.recorded == ()
    assert walks.live_path.shape == walks.average_path.shape == (0, 1, 1, 6, 2)
    assert walks.live.dtype is torch.float64


def test_no_steps() -> None:
    walks = simulate(Bowl(), 0.02, 0, 3, periods=[1], record_every=5)
    assert walks.live.tolist() == walks.average.tolist() == [[[[-2.0, 1.0]] * 3]]
    assert walks.switches.tolist() == [[0]]
    assert walks.recorded == (0,)


def test_float32_feels_the_same_noise() -> None:
    run = partial(simulate, TwoWells(), 0.05, 20, 40, decays=[0.9], periods=[5])
    narrow, wide = run(dtype=torch.float32), run()
    assert narrow.live.dtype is narrow.average.dtype is torch.float32
    torch.testing.assert_close(narrow.live.double(), wide.live, rtol=1e-4, atol=1e-4)


def test_begin_for_all_and_for_each() -> None:
    each = torch.tensor([[1.0, 0.5], [-1.0, 0.2], [0.3, 0.3]])
    kicks = noise_for(9, 3, 0)
    walks = simulate(Bowl(), 0.02, 9, 3, begin=each, gradient_noise=kicks, record_every=1)
    torch.testing.assert_close(walks.live_path[0, 0, 0], each.double())
    one = simulate(Bowl(), 0.02, 9, 3, begin=[-1, 0.2], gradient_noise=kicks.numpy())
    torch.testing.assert_close(walks.live[0, 0, 1], one.live[0, 0, 1], rtol=1e-6, atol=1e-6)
    assert each.tolist() == torch.tensor([[1.0, 0.5], [-1.0, 0.2], [0.3, 0.3]]).tolist()


def test_the_arguments_are_not_changed_and_no_graph_is_kept() -> None:
    kicks, begin = noise_for(5, 2, 0).requires_grad_(), torch.ones(2, 2, requires_grad=True)
    before = kicks.detach().clone()
    walks = simulate(Bowl(), 0.02, 5, 2, gradient_noise=kicks, begin=begin)
    assert torch.equal(kicks, before)
    assert torch.equal(begin, torch.ones(2, 2))
    assert not walks.live.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_walks_the_same() -> None:
    kicks = noise_for(50, 100, 0)
    run = partial(
        simulate, TwoWells(), 0.02, 50, 100, decays=[0.9, uniform], periods=[None, 7],
        gradient_noise=kicks, momentum=0.5, record_every=10,
    )  # fmt: skip
    here, there = run(), run(device="cuda")
    assert there.live.is_cuda
    torch.testing.assert_close(there.live_path.cpu(), here.live_path, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.average.cpu(), here.average, rtol=1e-9, atol=1e-9)
    assert torch.equal(there.switches.cpu(), here.switches)


# -- walkers that diverge -----------------------------------------------------------------------

FAR = torch.tensor([[0.5, 0.5], [1000.0, 0.0], [0.0, 1.0], [-1000.0, 5.0]])
wild = partial(simulate, CurvedValley(), 0.02, begin=FAR, walkers=4)


def test_one_walker_that_diverges_stops_the_simulation() -> None:
    message = (
        r"diverged between steps 1 and 60 \(walker 1 of decays\[0\], periods\[0\]\): .*"
        r'The learning rate is 0.02: lower it.*or pass on_divergence="keep"'
    )
    with pytest.raises(ValueError, match=message):
        wild(steps=60)


@pytest.mark.parametrize(
    ("decays", "periods", "where"),
    [
        ([1.0, 0.0], [1], r"walker 1 of decays\[1\], periods\[0\]"),
        ([1.0], [1, None], r"walker 1 of decays\[0\], periods\[1\]"),
    ],
)
def test_the_message_names_the_cell(decays: Any, periods: Any, where: str) -> None:
    """At d = 1 and T = 1 each step is taken back: there nothing diverges."""
    with pytest.raises(ValueError, match=where):
        wild(steps=60, decays=decays, periods=periods)


def test_the_steps_in_the_message_hold_the_step() -> None:
    with pytest.raises(ValueError, match="diverged at step") as exact:
        walk(Bowl(), EMA, 1.0, 1000)  # grows by 19 a step: beyond 1e308 after 242
    step = int(re.findall(r"step (\d+)", str(exact.value))[0])
    with pytest.raises(ValueError, match="diverged between steps") as rough:
        simulate(Bowl(), 1.0, 1000, 3)
    first, last = map(int, re.findall(r"steps (\d+) and (\d+)", str(rough.value))[0])
    assert first <= step <= last < first + LOOK_EVERY
    assert simulate(Bowl(), 1.0, step - 1, 3).live.isfinite().all()
    with pytest.raises(ValueError, match=f"between steps {first} and {step} "):
        simulate(Bowl(), 1.0, step, 3)


def test_kept_walkers_are_marked_and_do_not_harm_the_others() -> None:
    kicks = noise_for(250, 4, 1)
    grid: dict[str, Any] = {"decays": [0.9, uniform], "periods": [None, 6]}
    walks = wild(250, gradient_noise=kicks, on_divergence="keep", record_every=50, **grid)
    assert walks.diverged.tolist() == [[[False, True, False, True]] * 2] * 2
    assert not walks.live[:, :, 1].isfinite().all()
    alone = simulate(
        CurvedValley(), 0.02, 250, 2, begin=FAR[::2], gradient_noise=kicks[:, ::2],
        record_every=50, **grid,
    )  # fmt: skip
    torch.testing.assert_close(walks.live_path[:, :, :, ::2], alone.live_path)
    torch.testing.assert_close(walks.average[:, :, ::2], alone.average)


def test_a_walker_that_a_switch_brings_back_is_marked_all_the_same() -> None:
    arguments: dict[str, Any] = {"decays": [1.0], "periods": [20, 30]}
    walks = wild(60, on_divergence="keep", **arguments)
    assert walks.live.isfinite().all()  # d = 1: the average never moved
    assert walks.diverged.tolist() == [[[False, True, False, True]] * 2]
    with pytest.raises(ValueError, match="diverged"):
        wild(60, **arguments)
    with pytest.raises(ValueError, match="diverged"):
        walk(CurvedValley(), partial(SEMA, decay=1.0, switch_every=20), 0.02, 60, begin=(1e3, 0.0))


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"landscape": Bowl}, TypeError, "landscape must be .*call the class to make one"),
        ({"landscape": "bowl"}, TypeError, "landscape must be .*got 'bowl': it lacks name, "),
        ({"lr": math.inf}, ValueError, "lr must be .*got inf"),
        ({"lr": -0.1}, ValueError, "lr must be .*got -0.1"),
        ({"lr": "0.1"}, TypeError, "lr must be .*got '0.1'"),
        ({"steps": -1}, ValueError, "steps must be a whole number >= 0, got -1"),
        ({"steps": 1.5}, ValueError, "steps must be a whole number >= 0, got 1.5"),
        ({"walkers": 0}, ValueError, "walkers must be a whole number >= 1, got 0"),
        ({"momentum": -0.1}, ValueError, "momentum must be .*got -0.1"),
        ({"decays": []}, ValueError, r"decays must have at least one entry, got \[\]"),
        ({"decays": 0.9}, TypeError, "decays must be a list, got 0.9"),
        ({"decays": {0.9}}, TypeError, "decays must be a list, got {0.9}"),
        ({"decays": "0.9"}, TypeError, "decays must be a list, got '0.9'"),
        ({"decays": [0.9, 1.5]}, ValueError, r"decays\[1\] must be .*\[0, 1\], got 1.5"),
        ({"decays": [None]}, TypeError, r"decays\[0\] must be .*got None"),
        ({"decays": [math.nan]}, ValueError, r"decays\[0\] must be .*got nan"),
        ({"decays": [lambda _: 2.0]}, ValueError, r"decay\(n\) must be .*got 2.0"),
        ({"periods": ()}, ValueError, r"periods must have at least one entry, got \(\)"),
        ({"periods": 10}, TypeError, "periods must be a list, got 10"),
        ({"periods": [None, 0]}, ValueError, r"periods\[1\] must be a whole number >= 1, got 0"),
        ({"periods": ["10"]}, TypeError, r"periods\[0\] must be a whole number >= 1, got '10'"),
        ({"update_every": 0}, ValueError, "update_every must be a whole number >= 1, got 0"),
        ({"start": -1}, ValueError, "start must be a whole number >= 0, got -1"),
        ({"start": (1.0, 2.0)}, TypeError, "start must be a whole number >= 0, got"),
        ({"start": 5, "stop": 4}, ValueError, "stop must be a whole number >= 5, got 4"),
        ({"noise": -1.0}, ValueError, "noise must be a finite number >= 0, got -1.0"),
        ({"noise": [1.0, 2.0]}, TypeError, "noise must be a finite number >= 0, got"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        (
            {"gradient_noise": torch.zeros(3, 2)},
            ValueError,
            r"gradient_noise must be of shape \(steps, walkers, 2\) = \(4, 3, 2\), got \(3, 2\)",
        ),
        ({"gradient_noise": np.zeros((4, 3, 2)), "noise": 1.0}, ValueError, "not both; noise is 1"),
        ({"begin": [1.0, 2.0, 3.0]}, ValueError, r"begin must be .*shape \(2,\) or \(3, 2\), got"),
        ({"begin": "here"}, TypeError, "begin must be numbers, got 'here'"),
        ({"gradient_noise": [[1], [2, 3]]}, TypeError, "gradient_noise must be numbers, got"),
        ({"begin": [1.0, math.nan]}, ValueError, r"begin must be finite.*nan"),
        ({"record_every": 0}, ValueError, "record_every must be a whole number >= 1, got 0"),
        (
            {"on_divergence": "stop"},
            ValueError,
            'on_divergence must be "raise" or "keep", got \'st',
        ),
        (
            {"dtype": torch.int64},
            TypeError,
            "dtype must be a floating-point dtype, got torch.int64",
        ),
        ({"dtype": "float64"}, TypeError, "dtype must be a floating-point dtype, got 'float64'"),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"landscape": Bowl(), "lr": 0.05, "steps": 4, "walkers": 3}
    simulate(**good)
    with pytest.raises(error, match=message):
        simulate(**(good | changes))


def test_the_examples_in_the_docstrings() -> None:
    result = doctest.testmod(simulate_module)
    assert result.attempted
    assert not result.failed
