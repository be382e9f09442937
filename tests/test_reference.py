"""The counting of the methods, and the pure Python operations."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sema_lite import reference
from sema_lite.reference import EMA, SEMA, SGD, SWA, Lookahead


def run(average, weights, values):
    """Feed live values one by one; returns the calls (from 1) that switched."""
    switched = []
    for k, value in enumerate(values, start=1):
        weights[0] = value
        if average.update():
            switched.append(k)
    return switched


def test_ema_by_hand():
    weights = [0.0]
    ema = EMA(weights, decay=0.75)
    run(ema, weights, [4.0, 8.0])
    assert ema.average == [0.75 * (0.25 * 4.0) + 0.25 * 8.0]
    assert weights == [8.0]


def test_swa_is_the_mean_of_the_snapshots_after_start():
    weights = [100.0]
    swa = SWA(weights, start=2, update_every=3)
    values = [float(k * k) for k in range(1, 12)]
    run(swa, weights, values)
    snapshots = [values[k - 1] for k in (5, 8, 11)]
    assert swa.average[0] == pytest.approx(sum(snapshots) / 3, abs=1e-12)
    assert swa.averaged == 3


def test_swa_first_snapshot_replaces_even_an_infinite_average():
    weights = [math.inf]
    swa = SWA(weights)
    run(swa, weights, [3.0])
    assert swa.average == [3.0]


def test_sema_by_hand():
    weights = [0.0]
    sema = SEMA(weights, decay=0.5, switch_every=2)
    assert run(sema, weights, [1.0, 2.0]) == [2]
    assert weights == sema.average == [1.25]
    run(sema, weights, [3.25])
    assert sema.average == [0.5 * 1.25 + 0.5 * 3.25]  # the switch left the average alone


def test_lookahead_by_hand():
    weights = [0.0]
    lookahead = Lookahead(weights, k=2, s=0.25)
    assert run(lookahead, weights, [1.0, 8.0, 5.0, 6.0]) == [2, 4]
    assert weights == [2.0 + 0.25 * (6.0 - 2.0)]


def test_what_is_not_given():
    """Lookahead's k and s are those of its paper; an average is updated after each step."""
    assert EMA([0.0]).decay == SEMA([0.0], switch_every=1).decay == 0.99
    lookahead = Lookahead([0.0])
    assert (lookahead.update_every, lookahead.switch_every, lookahead.decay) == (5, 5, 0.5)
    plain = reference.Average([0.0], 0.5)
    assert (plain.update_every, plain.switch_every, plain.start, plain.stop) == (1, None, 0, None)


def test_the_average_is_a_copy_and_not_the_live_list():
    weights = [1.0]
    ema = EMA(weights, decay=1.0)
    weights[0] = 5.0
    assert ema.average == [1.0]
    ema.average[0] = 9.0
    assert ema.average == [1.0]


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("stop", [None, 3, 4, 9, 50])
@pytest.mark.parametrize("period", [None, 1, 2, 5, 100])
@pytest.mark.parametrize("update_every", [1, 2])
def test_number_and_position_of_switches(start, stop, period, update_every):
    weights = [0.0]
    sema = SEMA(
        weights, 0.9, switch_every=period, start=start, stop=stop, update_every=update_every
    )
    calls = 40
    expected = []
    if period is not None:  # written out, not by the code's own remainder rule
        k = start + period
        while k <= calls and (stop is None or k <= stop):
            expected.append(k)
            k += period
    assert run(sema, weights, [1.0] * calls) == expected
    assert sema.switches == len(expected)
    assert sema.step == calls
    assert sema.averaged == (calls - start) // update_every


def test_switch_by_hand_counts_and_copies():
    weights = [0.0]
    sema = SEMA(weights, 0.5, switch_every=None)
    run(sema, weights, [2.0])
    sema.switch()
    assert weights == [1.0]
    assert (sema.switches, sema.step) == (1, 1)


def test_the_average_follows_until_start_and_does_not_switch_there():
    weights = [0.0]
    sema = SEMA(weights, 0.9, switch_every=1, start=3)
    for k in range(1, 4):
        weights[0] = float(k)
        assert not sema.update()
        assert sema.average == [float(k)]
        assert sema.averaged == 0
    weights[0] = 4.0
    assert sema.update()
    assert sema.average == [pytest.approx(3.1)]


def test_decay_function_is_asked_for_the_number_of_the_averaged_update():
    asked = []

    def warm_up(n):
        asked.append(n)
        return min(0.9, n / (n + 1))

    weights = [0.0]
    ema = EMA(weights, warm_up, update_every=2, start=1)
    run(ema, weights, [1.0] * 9)
    assert asked == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan])
def test_a_decay_function_that_leaves_its_range_changes_nothing(bad):
    weights = [0.0]
    ema = EMA(weights, lambda _: bad)
    weights[0] = 1.0
    with pytest.raises(ValueError, match=r"decay\(n\) must be a number in \[0, 1\], got"):
        ema.update()
    assert (ema.average, ema.step, ema.averaged) == ([0.0], 0, 0)


@pytest.mark.parametrize("decay", [0.0, 1.0, 0, 1])
def test_decay_at_both_ends_is_exact(decay):
    weights = [7.0]
    ema = EMA(weights, decay)
    run(ema, weights, [math.inf, math.nan, 3.0])
    assert ema.average == ([3.0] if decay == 0 else [7.0])


def test_applied_swaps_and_restores_after_an_exception():
    weights = [0.0]
    ema = EMA(weights, 0.5)
    run(ema, weights, [2.0])
    with pytest.raises(KeyError), ema.applied():
        assert weights == [1.0]
        assert ema.average == [1.0]
        raise KeyError
    assert (weights, ema.average) == ([2.0], [1.0])


def test_nothing_else_may_be_called_inside_applied():
    weights = [0.0]
    ema = EMA(weights, 0.5)
    with ema.applied():
        for call in (ema.update, ema.switch, lambda: ema.applied().__enter__()):
            with pytest.raises(ValueError, match=r"called inside applied\(\)"):
                call()
        with pytest.raises(ValueError, match="inside applied"):
            ema.load_state_dict(ema.state_dict())
    assert ema.step == 0


def test_resume_is_exact():
    values = [float(i % 7) for i in range(30)]
    whole = [0.0]
    one = SEMA(whole, 0.9, switch_every=4, start=3)
    run(one, whole, values)
    for cut in (2, 7, 11, 20):
        weights = [0.0]
        first = SEMA(weights, 0.9, switch_every=4, start=3)
        run(first, weights, values[:cut])
        weights = list(weights)
        second = SEMA(weights, 0.9, switch_every=4, start=3)
        second.load_state_dict(first.state_dict())
        run(second, weights, values[cut:])
        assert (weights, second.state_dict()) == (whole, one.state_dict())


def test_a_state_is_a_snapshot_also_inside_applied():
    weights = [0.0]
    ema = EMA(weights, 0.5)
    run(ema, weights, [2.0])
    with ema.applied():
        state = ema.state_dict()
    run(ema, weights, [5.0])
    assert state["average"] == [1.0]


def test_a_wrong_state_changes_nothing():
    ema = EMA([0.0, 1.0])
    with pytest.raises(ValueError, match="1 weights, the model has 2"):
        ema.load_state_dict({"step": 5, "averaged": 5, "switches": 0, "average": [1.0]})
    with pytest.raises(ValueError, match="lacks"):
        ema.load_state_dict({"average": [1.0, 2.0]})
    assert (ema.step, ema.average) == (0, [0.0, 1.0])


BAD = [
    (dict(decay=-0.1), ValueError, r"decay must be a number in \[0, 1\], got -0.1"),
    (dict(decay=1.01), ValueError, "decay"),
    (dict(decay=math.nan), ValueError, "decay.*nan"),
    (dict(decay="0.9"), TypeError, "decay.*'0.9'"),
    (dict(decay=True), TypeError, "decay"),
    (dict(decay=10**400), ValueError, "decay"),
    (dict(switch_every=-(10**400)), ValueError, "switch_every"),
    (dict(switch_every=0), ValueError, "switch_every must be a whole number >= 1, got 0"),
    (dict(switch_every=2.5), ValueError, "switch_every.*2.5"),
    (dict(switch_every=math.inf), ValueError, "switch_every"),
    (dict(switch_every=math.nan), ValueError, "switch_every"),
    (dict(switch_every="epoch"), TypeError, "switch_every"),
    (dict(update_every=0), ValueError, "update_every must be a whole number >= 1"),
    (dict(update_every=-3), ValueError, "update_every"),
    (dict(update_every=True), TypeError, "update_every"),
    (dict(start=-1), ValueError, "start must be a whole number >= 0"),
    (dict(start=5, stop=4), ValueError, "stop must be a whole number >= 5, got 4"),
]


@pytest.mark.parametrize(("knobs", "error", "message"), BAD)
def test_bad_arguments(knobs, error, message):
    with pytest.raises(error, match=message):
        SEMA([0.0], **{"switch_every": 1, **knobs})


def test_bad_weights_and_lookahead_arguments():
    for bad in ([], (1.0,), None):
        with pytest.raises(TypeError, match="weights must be a list"):
            EMA(bad)
    with pytest.raises(ValueError, match=r"s must be a number in \[0, 1\]"):
        Lookahead([0.0], s=2)
    with pytest.raises(ValueError, match="k must be a whole number >= 1"):
        Lookahead([0.0], k=0)
    with pytest.raises(TypeError, match="switch_every"):
        SEMA([0.0])  # an EMA that never switches is not SEMA


@settings(deadline=None)
@given(
    lr=st.floats(0, 1),
    momentum=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    gradients=st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), max_size=12),
)
def test_sgd_is_torch_sgd(lr, momentum, gradients):
    weights = [0.5, -1.0, 2.0]
    ours = SGD(weights, lr, momentum)
    param = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float64))
    theirs = torch.optim.SGD([param], lr, momentum=momentum)
    for gradient in gradients:
        ours.step(gradient)
        param.grad = torch.tensor(gradient, dtype=torch.float64)
        theirs.step()
    assert weights == pytest.approx(param.tolist(), abs=1e-12, rel=1e-12)


def test_sgd_reset_forgets_the_momentum():
    weights = [0.0]
    sgd = SGD(weights, 1.0, momentum=0.9)
    sgd.step([1.0])
    sgd.reset()
    sgd.step([0.0])
    assert weights == [-1.0]


@pytest.mark.parametrize(
    ("lr", "error"),
    [(-1.0, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("1", TypeError)],
)
def test_sgd_bad_lr(lr, error):
    with pytest.raises(error, match="lr must be a number that is finite and >= 0"):
        SGD([0.0], lr)


def test_sgd_bad_gradient_changes_nothing():
    weights = [1.0, 2.0]
    with pytest.raises(ValueError, match="1 gradients for 2 weights"):
        SGD(weights, 0.1).step([1.0])
    assert weights == [1.0, 2.0]


def test_the_doctest_of_the_module():
    import doctest

    result = doctest.testmod(reference)
    assert result.attempted > 0
    assert result.failed == 0


def test_reference_needs_the_standard_library_only():
    """The modules that it brings in, beside those that Python itself starts with."""
    code = (
        "import sys; before = set(sys.modules); import sema_lite.reference; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(out.stdout.split()) - set(sys.stdlib_module_names) - {"sema_lite"}
    assert foreign == set()
