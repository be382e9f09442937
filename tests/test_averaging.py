"""The torch implementation: equal to the reference, and right on real modules."""

import copy
import inspect
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sema_lite import EMA, SEMA, SWA, Lookahead, reference
from sema_lite.averaging import ModuleAverage

FLATTEN = pytest.mark.parametrize("flatten", [False, True], ids=["default", "flat"])


class Net(nn.Module):
    """Convolution, batch norm (float and integer buffers), a tied pair, a frozen weight."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, dtype=dtype)
        self.norm = nn.BatchNorm2d(4, dtype=dtype)
        self.first = nn.Linear(4, 4, dtype=dtype)
        self.second = nn.Linear(4, 4, dtype=dtype)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(3, dtype=dtype), requires_grad=False)

    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3))
        return self.second(self.first(x)) + self.frozen.sum()


def shake(model, generator):
    """A stand-in for an optimizer step: move every parameter in place."""
    with torch.no_grad():
        for p in model.parameters():
            if p.is_floating_point() or p.is_complex():
                p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- parity with the reference -------------------------------------------------------------------

decays = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 0.999]),
    st.floats(0, 1),
    st.sampled_from([reference.uniform, lambda n: min(0.99, (1 + n) / (10 + n))]),
)


@settings(max_examples=80, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    decay=decays,
    update_every=st.integers(1, 4),
    switch_every=st.none() | st.integers(1, 5),
    start=st.integers(0, 5),
    extra=st.none() | st.integers(0, 15),
    steps=st.integers(0, 25),
    flatten=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_torch_equals_the_reference(
    shapes, dtype, decay, update_every, switch_every, start, extra, steps, flatten, seed
):
    generator = seeded(seed)
    model = nn.ParameterList(
        nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes
    )
    knobs = dict(
        update_every=update_every,
        switch_every=switch_every,
        start=start,
        stop=None if extra is None else start + extra,
    )
    live = [x for p in model for x in p.flatten().tolist()]
    if not live:
        return
    ours = ModuleAverage(model, decay, flatten=flatten, **knobs)
    hand = reference.Average(live, decay, **knobs)
    for _ in range(steps):
        shake(model, generator)
        # float32 is compared step by step: the live weights are shared, only averages differ
        live[:] = [x for p in model for x in p.flatten().tolist()]
        assert ours.update() == hand.update()
        tolerance = 1e-12 if dtype == torch.float64 else 2e-6
        got = [x for a in ours.average.values() for x in a.flatten().tolist()]
        assert got == pytest.approx(hand.average, rel=tolerance, abs=tolerance)
        got = [x for p in model for x in p.flatten().tolist()]
        assert got == pytest.approx(live, rel=tolerance, abs=tolerance)
        live[:] = got
    assert (ours.step, ours.averaged, ours.switches) == (hand.step, hand.averaged, hand.switches)


@FLATTEN
def test_the_four_names_equal_those_of_the_reference(flatten):
    makers = [
        (lambda c, w, **k: c.EMA(w, 0.9, start=2, update_every=2, **k)),
        (lambda c, w, **k: c.SWA(w, start=2, update_every=3, **k)),
        (lambda c, w, **k: c.SEMA(w, 0.8, switch_every=4, start=1, stop=10, **k)),
        (lambda c, w, **k: c.Lookahead(w, k=3, s=0.3, **k)),
    ]
    import sema_lite

    for make in makers:
        model = nn.Linear(3, 2, dtype=torch.float64)
        live = [x for p in model.parameters() for x in p.flatten().tolist()]
        ours = make(sema_lite, model, flatten=flatten)
        hand = make(reference, live)
        generator = seeded()
        for _ in range(17):
            shake(model, generator)
            live[:] = [x for p in model.parameters() for x in p.flatten().tolist()]
            assert ours.update() == hand.update()
            got = [x for p in model.parameters() for x in p.flatten().tolist()]
            assert got == pytest.approx(live, abs=1e-12)
            got = [x for a in ours.average.values() for x in a.flatten().tolist()]
            assert got == pytest.approx(hand.average, abs=1e-12)


@pytest.mark.parametrize("name", ["EMA", "SWA", "SEMA", "Lookahead"])
def test_defaults_are_those_of_the_reference(name):
    ours = inspect.signature(globals()[name]).parameters
    for parameter in list(inspect.signature(getattr(reference, name)).parameters.values())[1:]:
        assert ours[parameter.name].default == parameter.default


# -- real modules --------------------------------------------------------------------------------


@FLATTEN
def test_training_is_not_disturbed_by_ema_and_flat_equals_default(flatten):
    def train(average):
        torch.manual_seed(1)
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        ema = EMA(model, 0.9, flatten=flatten).attach(optimizer) if average else None
        x, y = torch.randn(8, 3, 5, 5), torch.randn(8, 4)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        return model.state_dict(), ema

    plain, _ = train(False)
    watched, ema = train(True)
    assert all(torch.equal(plain[n], watched[n]) for n in plain)
    assert ema.step == 5


def test_flat_equals_default_bit_for_bit():
    def averages(flatten):
        torch.manual_seed(0)
        model = Net()
        sema = SEMA(model, 0.9, switch_every=3, flatten=flatten)
        generator = seeded()
        for _ in range(8):
            shake(model, generator)
            sema.update()
        return sema.average, dict(model.named_parameters())

    (a, live_a), (b, live_b) = averages(False), averages(True)
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(torch.equal(live_a[n], live_b[n]) for n in live_a)


@FLATTEN
def test_tied_weights_are_averaged_once_and_stay_tied(flatten):
    model = Net()
    ema = EMA(model, 0.5, flatten=flatten)
    assert "second.weight" not in ema.average
    before = model.first.weight.detach().clone()
    with torch.no_grad():
        model.first.weight.add_(1.0)
    ema.update()
    torch.testing.assert_close(ema.average["first.weight"], before + 0.5)
    with ema.applied():
        assert model.second.weight is model.first.weight
        torch.testing.assert_close(model.second.weight.detach(), before + 0.5)
    assert model.second.weight.data_ptr() == model.first.weight.data_ptr()
    exported = ema.averaged_model()
    assert exported.second.weight is exported.first.weight


@FLATTEN
def test_copy_to_a_module_that_is_not_tied_fills_both_names(flatten):
    tied = Net()
    ema = EMA(tied, 0.9, flatten=flatten)
    loose = Net()
    loose.second.weight = nn.Parameter(torch.zeros(4, 4))
    ema.copy_to(loose)
    assert torch.equal(loose.second.weight, tied.first.weight)
    assert loose.second.weight is not loose.first.weight


@FLATTEN
def test_newly_frozen_parameters_still_converge(flatten):
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.5, flatten=flatten)
    with torch.no_grad():
        model.weight.fill_(8.0)
    ema.update()
    model.weight.requires_grad_(False)
    for _ in range(40):
        ema.update()
    torch.testing.assert_close(ema.average["weight"], torch.full((2, 2), 8.0))


@FLATTEN
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_a_float32_average(flatten, dtype):
    model = nn.Linear(16, 16).to(dtype)
    ema = EMA(model, 0.999, flatten=flatten)
    start = model.weight.detach().float().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    live = model.weight.detach().float().clone()
    ema.update()
    assert ema.average["weight"].dtype == torch.float32
    torch.testing.assert_close(ema.average["weight"], start + 0.001 * (live - start))
    with ema.applied():
        assert model.weight.dtype == dtype
        assert torch.equal(model.weight, ema.average["weight"].to(dtype))
    assert torch.equal(model.weight.float(), live)
    ema.switch()
    assert torch.equal(model.weight, ema.average["weight"].to(dtype))


@FLATTEN
def test_drift_of_a_float32_average_of_a_bf16_model(flatten):
    generator = seeded()
    model = nn.Linear(32, 8).bfloat16()
    decay = 0.9999
    ema = EMA(model, decay, flatten=flatten)
    exact = {n: p.detach().double() for n, p in model.named_parameters()}
    noise = torch.randn(64, 8, 32, generator=generator) * 0.3
    with torch.no_grad():
        for step in range(10_000):
            model.weight.copy_(noise[step % 64])
            ema.update()
            for name, p in model.named_parameters():
                exact[name].lerp_(p.double(), 1 - decay)
    drift = max((ema.average[n] - exact[n]).abs().max().item() for n in exact)
    assert drift < 1e-4
    moved = (ema.average["weight"] - exact["weight"].mean()).abs().max()
    assert moved > 0.01, "the average must have moved for the drift to mean anything"


@FLATTEN
def test_channels_last_strides_are_kept(flatten):
    model = Net().to(memory_format=torch.channels_last)
    strides = model.conv.weight.stride()
    ema = EMA(model, 0.9, flatten=flatten)
    assert model.conv.weight.stride() == strides
    assert ema.average["conv.weight"].stride() == strides
    shake(model, seeded())
    ema.update()
    with ema.applied():
        assert model.conv.weight.stride() == strides
    assert ema.averaged_model().conv.weight.stride() == strides


@FLATTEN
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex32])
@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_complex_parameters_are_averaged_and_integers_copied(flatten, dtype):
    model = nn.ParameterDict(
        {
            "phase": nn.Parameter(torch.ones(3, dtype=dtype)),
            "count": nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False),
            "mask": nn.Parameter(torch.tensor([True, False]), requires_grad=False),
        }
    )
    ema = EMA(model, 0.5, flatten=flatten)
    with torch.no_grad():
        model["phase"].fill_(3 + 2j)
        model["count"].fill_(5)
        model["mask"].logical_not_()
    ema.update()
    assert ema.average["phase"].dtype == torch.complex64  # also that of halves
    assert ema.average["phase"].tolist() == [2 + 1j] * 3
    assert ema.average["count"].tolist() == [5, 5]
    assert ema.average["mask"].tolist() == [False, True]
    ema.switch()
    assert model["phase"].tolist() == [2 + 1j] * 3


@FLATTEN
def test_groups_of_several_dtypes(flatten):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).double(), nn.Linear(3, 3).bfloat16())
    sema = SEMA(model, 0.5, switch_every=1, flatten=flatten)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    assert sema.update()
    for old, new in zip(before, model.parameters(), strict=True):
        assert new.dtype == old.dtype
        torch.testing.assert_close(new.detach(), old + 0.5, atol=0.02, rtol=0)


# -- buffers -------------------------------------------------------------------------------------


def step_with_buffers(how, flatten, **knobs):
    model = nn.BatchNorm1d(2)
    sema = SEMA(model, 0.5, switch_every=None, buffers=how, flatten=flatten, **knobs)
    model.running_mean.fill_(4.0)
    model.num_batches_tracked.fill_(7)
    sema.update()
    model.running_mean.fill_(6.0)
    return model, sema


@FLATTEN
def test_buffers_average(flatten):
    model, sema = step_with_buffers("average", flatten)
    assert sema.average_buffers["running_mean"].tolist() == [2.0, 2.0]
    assert sema.average_buffers["num_batches_tracked"].item() == 7
    statistics = model.running_mean
    with sema.applied():
        assert model.running_mean.tolist() == [2.0, 2.0]
        model.running_mean.fill_(9.0)  # as a forward in train mode would
        model.running_var = torch.zeros(2)  # as some modules do
    assert model.running_mean is statistics
    assert model.running_mean.tolist() == [6.0, 6.0]
    assert model.running_var.tolist() == [1.0, 1.0]
    assert sema.average_buffers["running_mean"].tolist() == [2.0, 2.0]
    assert sema.averaged_model().running_mean.tolist() == [2.0, 2.0]
    sema.switch()
    assert model.running_mean.tolist() == [6.0, 6.0], "only parameters are switched"


@FLATTEN
def test_buffers_copy_and_ignore(flatten):
    model, sema = step_with_buffers("copy", flatten)
    assert sema.average_buffers["running_mean"].tolist() == [4.0, 4.0]
    model, sema = step_with_buffers("ignore", flatten)
    assert sema.average_buffers == {}
    with sema.applied():
        assert model.running_mean.tolist() == [6.0, 6.0]
    assert sema.averaged_model().running_mean.tolist() == [6.0, 6.0]


@FLATTEN
def test_switch_buffers(flatten):
    model, sema = step_with_buffers("average", flatten, switch_buffers=True)
    sema.switch()
    assert model.running_mean.tolist() == [2.0, 2.0]


def test_infinite_and_replaced_buffers():
    class Mask(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("mask", torch.tensor([0.0, -math.inf]))
            self.register_buffer("seen", torch.zeros(2))

    model = Mask()
    ema = EMA(model, 0.5)
    model.seen = torch.ones(2)  # assignment, not in place
    ema.update()
    assert ema.average_buffers["mask"].tolist() == [0.0, -math.inf]
    assert ema.average_buffers["seen"].tolist() == [0.5, 0.5]
    model.seen = torch.ones(5)  # another shape: copied anew
    ema.update()
    assert ema.average_buffers["seen"].tolist() == [1.0] * 5


class Noted(nn.Module):
    """A weight, and a buffer that the tests replace."""

    def __init__(self, seen=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(2) if seen is None else seen)


def test_a_buffer_of_another_dtype_is_copied_anew():
    model = Noted()
    ema = EMA(model, 0.5)
    model.seen = torch.ones(2, dtype=torch.float64)
    ema.update()
    assert ema.average_buffers["seen"].dtype == torch.float64
    assert ema.average_buffers["seen"].tolist() == [1.0, 1.0]


def test_a_buffer_that_has_gone_is_named():
    model = Noted()
    ema = EMA(model, 0.5)
    model.seen = None
    with pytest.raises(ValueError, match=r"buffers \['seen'\] have gone"):
        ema.update()


def test_a_buffer_replaced_just_before_it_is_lent_or_switched():
    model = Noted()
    sema = SEMA(model, 0.5, switch_every=None, switch_buffers=True)
    model.seen = torch.ones(2)
    with sema.applied():
        assert model.seen.tolist() == [0.0, 0.0]
    assert model.seen.tolist() == [1.0, 1.0]
    model.seen = torch.full((2,), 3.0)
    sema.switch()
    assert model.seen.tolist() == [0.0, 0.0]


def test_half_precision_buffers_have_a_float32_average():
    model = Noted(torch.zeros(2, dtype=torch.bfloat16))
    ema = EMA(model, 0.999)
    model.seen.fill_(1.0)
    ema.update()
    assert ema.average_buffers["seen"].dtype == torch.float32
    torch.testing.assert_close(ema.average_buffers["seen"], torch.full((2,), 0.001))
    with ema.applied():
        assert model.seen.dtype == torch.bfloat16


def test_tied_buffers_are_averaged_once_and_fill_both_names():
    one = Noted()
    tied, loose = nn.Sequential(one, Noted(one.seen)), nn.Sequential(Noted(), Noted())
    ema = EMA(tied, 0.5)
    one.seen.fill_(4.0)
    ema.update()
    assert set(ema.average_buffers) == {"0.seen"}
    ema.copy_to(loose)
    assert loose[0].seen.tolist() == loose[1].seen.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("start", [0, 1], ids=["take in", "follow"])
def test_a_buffer_that_asks_for_a_gradient_does_not_pass_it_on(start):
    model = Noted()
    ema = EMA(model, 0.5, start=start)
    model.seen = torch.ones(2, requires_grad=True)
    ema.update()
    assert not ema.average_buffers["seen"].requires_grad
    with ema.applied():
        assert model.seen.tolist() == ([1.0, 1.0] if start else [0.5, 0.5])
    assert model.seen.tolist() == [1.0, 1.0]


# -- applied, export, attach ---------------------------------------------------------------------


@FLATTEN
def test_applied_restores_after_an_exception(flatten):
    model = Net()
    ema = EMA(model, 0.9, flatten=flatten)
    shake(model, seeded())
    ema.update()
    live = copy.deepcopy(model.state_dict())
    average = {n: a.clone() for n, a in ema.average.items()}
    with pytest.raises(KeyError), ema.applied():
        for name, p in model.named_parameters():
            assert torch.equal(p, average[name])
        raise KeyError
    assert all(torch.equal(value, model.state_dict()[n]) for n, value in live.items())
    assert all(torch.equal(value, ema.average[n]) for n, value in average.items())
    shake(model, seeded())
    ema.update()  # still works


@FLATTEN
def test_nothing_else_may_be_called_inside_applied(flatten):
    ema = EMA(nn.Linear(2, 2), 0.9, flatten=flatten)
    state = ema.state_dict()
    with ema.applied():
        for call in (
            ema.update,
            ema.switch,
            lambda: ema.applied().__enter__(),
            lambda: ema.load_state_dict(state),
        ):
            with pytest.raises(ValueError, match=r"called inside applied\(\)"):
                call()
        assert ema.state_dict().keys() == state.keys()
    assert ema.step == 0


@FLATTEN
def test_training_inside_applied_is_noticed(flatten):
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9, flatten=flatten)
    with pytest.raises(ValueError, match="were changed inside applied"), ema.applied():
        shake(model, seeded())
    with pytest.raises(KeyError), ema.applied():
        shake(model, seeded())
        raise KeyError  # the first error is the one to see


def test_another_average_applied_inside_applied_is_told():
    model = nn.Linear(2, 2)
    outer, inner = EMA(model), EMA(model)
    told = pytest.raises(ValueError, match="or another average was applied there")
    with told, outer.applied(), inner.applied():
        pass


@FLATTEN
@pytest.mark.parametrize("what", ["switch", "applied", "backward inside"])
def test_weights_that_change_between_forward_and_backward_are_noticed(flatten, what):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    sema = SEMA(model, 0.9, switch_every=None, flatten=flatten)
    shake(model, seeded())
    sema.update()
    x = torch.ones(1, 2, requires_grad=True)
    loss = model(x).sum()
    if what == "switch":
        sema.switch()
    elif what == "applied":
        with sema.applied():
            loss = model(x).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        if what == "backward inside":
            with sema.applied():
                loss.backward()
        else:
            loss.backward()


@FLATTEN
@pytest.mark.parametrize("enabled", [False, True])
def test_gradients_stay_on_or_off(flatten, enabled):
    model = nn.Linear(2, 2)
    sema = SEMA(model, 0.9, switch_every=1, flatten=flatten)
    with torch.set_grad_enabled(enabled):
        sema.update()
        assert torch.is_grad_enabled() == enabled


@FLATTEN
def test_averaged_model_is_independent(flatten):
    model = Net()
    ema = EMA(model, 0.9, flatten=flatten)
    shake(model, seeded())
    ema.update()
    exported = ema.averaged_model()
    for name, p in exported.named_parameters():
        assert torch.equal(p, ema.average[name])
    shake(exported, seeded())
    shake(model, seeded(1))
    assert not torch.equal(exported.conv.weight, ema.average["conv.weight"])
    assert exported.conv.weight.data_ptr() != model.conv.weight.data_ptr()


def test_copy_to_a_module_of_another_shape_names_what_differs():
    ema = EMA(nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"weight is \(4, 2\), not \(3, 2\)"):
        ema.copy_to(nn.Linear(2, 4))
    with pytest.raises(ValueError, match=r"lacks bias, weight.*has unknown 0\.bias, 0\.weight"):
        ema.copy_to(nn.Sequential(nn.Linear(2, 3)))
    target = nn.Linear(2, 3)
    ema.copy_to(target)
    assert torch.equal(target.weight, ema.average["weight"])


def test_attach_and_detach():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    ema = EMA(model, 0.9)
    assert ema.attach(optimizer) is ema
    model(torch.ones(1, 2)).sum().backward()
    for _ in range(3):
        optimizer.step()
    assert ema.step == 3
    with pytest.raises(ValueError, match="attached already"):
        ema.attach(optimizer)
    ema.detach()
    optimizer.step()
    assert ema.step == 3
    ema.attach(optimizer).detach()
    with pytest.raises(ValueError, match="trains none of this model's parameters"):
        ema.attach(torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1))
    with pytest.raises(TypeError, match="optimizer must be"):
        ema.attach(model)


@pytest.mark.parametrize("reset", [False, True])
def test_the_optimizer_state_is_kept_unless_asked(reset):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    SEMA(model, 0.9, switch_every=2).attach(optimizer, reset_state=reset)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert len(optimizer.state) == 2
    optimizer.step()
    assert len(optimizer.state) == (0 if reset else 2)


def test_what_is_detached_or_copied_leaves_the_optimizer_alone():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    average = SEMA(model, 0.9, switch_every=None).attach(optimizer, reset_state=True)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    _, other, twin = copy.deepcopy((model, optimizer, average))
    twin.switch()
    assert len(other.state) == 2
    average.detach()
    average.switch()
    assert len(optimizer.state) == 2


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.ReLU(), ValueError, "no parameters"),
        ([1.0], TypeError, "must be a torch.nn.Module, got list"),
        (nn.LazyLinear(3), ValueError, "'weight' has no shape yet"),
    ],
)
def test_bad_models(model, error, message):
    with pytest.raises(error, match=message):
        EMA(model)


def test_bad_knobs():
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"buffers must be one of .*'both'"):
        EMA(model, buffers="both")
    with pytest.raises(ValueError, match="switch_buffers=True needs"):
        SEMA(model, switch_every=1, buffers="ignore", switch_buffers=True)
    with pytest.raises(TypeError, match="switch_every"):
        SEMA(model)
    for make in (
        lambda: SEMA(model, 0.9, switch_every=0),
        lambda: SEMA(model, 2.0, switch_every=1),
        lambda: SEMA(model, 0.9, switch_every=1, start=3, stop=2),
        lambda: SWA(model, update_every=0),
        lambda: Lookahead(model, s=-1),
        lambda: EMA(model, torch.tensor(0.9)),
    ):
        with pytest.raises((ValueError, TypeError), match="must be a"):
            make()


@FLATTEN
def test_a_parameter_added_replaced_or_removed_is_noticed(flatten):
    def ways(model):
        yield lambda: setattr(model[0], "weight", nn.Parameter(torch.zeros(2, 2)))
        yield lambda: model.append(nn.Linear(2, 2))
        yield lambda: model[0].register_parameter("extra", nn.Parameter(torch.zeros(1)))
        yield lambda: delattr(model[0], "bias")
        yield lambda: model[1].register_parameter("extra", nn.Parameter(torch.zeros(1)))
        yield lambda: model.load_state_dict(
            {n: torch.zeros_like(v) for n, v in model.state_dict().items()}, assign=True
        )

    for i in range(6):
        model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        ema = EMA(model, 0.9, flatten=flatten)
        ema.update()
        before = {n: a.clone() for n, a in ema.average.items()}
        list(ways(model))[i]()
        for call in (ema.update, ema.switch, ema.state_dict):
            with pytest.raises(ValueError, match="make a new one"):
                call()
        assert ema.step == 1
        assert all(torch.equal(before[n], a) for n, a in ema.average.items())


@FLATTEN
@pytest.mark.parametrize("how", [lambda m: m.double(), lambda m: m.to(torch.bfloat16)])
def test_a_model_that_was_moved_is_noticed(flatten, how):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    ema = EMA(model, 0.9, flatten=flatten)
    how(model)
    with pytest.raises(ValueError, match=r"was moved \(by \.to\(\) or \.data\)"):
        ema.update()
    assert ema.step == 0


def test_flat_notices_new_data_of_one_parameter_within_a_few_updates():
    model = nn.ParameterList([nn.Parameter(torch.zeros(10)) for _ in range(20)])
    ema = EMA(model, 0.9, flatten=True)
    model[13].data = torch.ones(10)
    with pytest.raises(ValueError, match="'13' was moved"):
        for _ in range(20):
            ema.update()
    with pytest.raises(ValueError, match="'13' was moved"):
        ema.switch()  # at once


def test_two_flat_averages_on_one_model_are_noticed():
    model = nn.Linear(2, 2)
    first = EMA(model, 0.9, flatten=True)
    EMA(model, 0.9, flatten=True)
    with pytest.raises(ValueError, match="was moved"):
        first.update()


@pytest.mark.parametrize("first", [0, 3], ids=["all of it", "the last number"])
def test_flatten_refuses_parameters_that_share_memory(first):
    both = torch.zeros(8)
    model = nn.ParameterList([nn.Parameter(both[:4]), nn.Parameter(both[first : first + 4])])
    with pytest.raises(ValueError, match="'0' and '1', which share memory"):
        EMA(model, flatten=True)
    EMA(model).update()


def test_flatten_takes_neighbours_and_empty_parameters():
    both = torch.zeros(8)
    parts = [both[:4], both[4:], torch.zeros(3, 0), torch.zeros(3, 0)]
    average = EMA(nn.ParameterList(map(nn.Parameter, parts)), 0.5, flatten=True)
    average.update()
    assert average.averaged == 1


def test_every_average_begins_at_a_multiple_of_64_bytes():
    """Where vector instructions like it."""
    average = EMA(nn.ParameterList(nn.Parameter(torch.zeros(n)) for n in (3, 16, 17, 1)))
    first, *others = (a.data_ptr() for a in average.average.values())
    assert [(other - first) % 64 for other in others] == [0, 0, 0]


def test_float8_parameters_are_refused():
    model = nn.ParameterList(
        [nn.Parameter(torch.zeros(2).to(torch.float8_e4m3fn), requires_grad=False)]
    )
    with pytest.raises(TypeError, match="float8"):
        EMA(model)
    mixed = nn.ParameterList([nn.Parameter(torch.zeros(2)), *model])
    place = mixed[0].data_ptr()
    with pytest.raises(TypeError, match="float8"):
        EMA(mixed, flatten=True)
    assert mixed[0].data_ptr() == place, "nothing has changed"


# -- what remembers the weights, and what is not there ---------------------------------------------


@FLATTEN
def test_autocast_does_not_remember_other_weights(flatten):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(4, 8)
    average = SEMA(model, 0.5, switch_every=None, flatten=flatten)
    shake(model, seeded())
    plain = average.averaged_model()
    with torch.autocast("cpu", torch.bfloat16):
        live, wanted = model(x), plain(x)
        with average.applied():
            assert torch.equal(model(x), wanted)
        assert torch.equal(model(x), live)
        average.switch()
        assert torch.equal(model(x), wanted)
    assert not torch.equal(live, wanted)


@FLATTEN
def test_a_replaced_module_is_noticed(flatten):
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    average = EMA(model, 0.9, flatten=flatten)
    model[1][1] = nn.Linear(4, 2)
    for call in (average.update, average.state_dict, average.averaged_model):
        with pytest.raises(ValueError, match=r"'1\.1' was replaced"):
            call()


def test_a_part_compiled_before_or_later_is_the_same_part():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[1] = torch.compile(model[1], backend="eager")
    average = EMA(model, 0.9)
    model[0] = torch.compile(model[0], backend="eager")
    average.update()
    assert average.averaged == 1


@pytest.mark.parametrize("change", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_parameter_that_became_something_else_is_noticed(change):
    model = nn.Sequential(nn.Linear(4, 4))
    average = EMA(model, 0.9)
    change(model[0])
    with pytest.raises(ValueError, match=r"was replaced|were added or removed"):
        average.update()


@FLATTEN
def test_live_weights_come_back_when_lending_fails(flatten, monkeypatch):
    model = Net()
    average = EMA(model, 0.5, flatten=flatten)
    shake(model, seeded())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lend = type(average._groups[0]).lend

    def no_memory(group):
        lend(group)
        raise MemoryError

    monkeypatch.setattr(type(average._groups[0]), "lend", no_memory)
    with pytest.raises(MemoryError), average.applied():
        pass
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    average.update()
    assert average.averaged == 1


@FLATTEN
def test_a_copy_of_an_attached_average(flatten):
    """It is detached, its model is its own, and a flat one says that its tensors were parted."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    average = SEMA(model, 0.5, switch_every=2, flatten=flatten).attach(optimizer)
    twin = pickle.loads(pickle.dumps(average))
    other, steps, twin = copy.deepcopy((model, optimizer, average))
    assert twin.model is other
    assert average._hook is not None
    if flatten:
        with pytest.raises(ValueError, match="was moved"):
            twin.applied().__enter__()
        return
    twin.attach(steps)
    other(torch.ones(1, 3)).sum().backward()
    steps.step()
    assert (twin.step, average.step) == (1, 0)
    torch.testing.assert_close(twin.average["weight"], (model.weight + other.weight).detach() / 2)


def test_an_average_holds_no_iterator():
    """From Python 3.14 on, those of itertools can be neither copied nor pickled."""
    kinds = {type(value).__module__ for value in vars(EMA(nn.Linear(2, 2))).values()}
    assert "itertools" not in kinds


def test_sharded_weights_are_refused():
    model = nn.Linear(3, 2)
    model.bias.device_mesh = "of several devices"  # what a DTensor has
    with pytest.raises(ValueError, match=r"'bias' is sharded \(a DTensor\)"):
        EMA(model)


def test_a_cell_that_is_run_twice():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    first = SEMA(model, switch_every=5).attach(optimizer)
    EMA(model).attach(optimizer)  # only watches
    with pytest.raises(ValueError, match="another average that switches this model"):
        Lookahead(model).attach(optimizer)
    first.detach()
    SEMA(model, switch_every=5).attach(optimizer)


def test_two_models_under_one_optimizer():
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = torch.optim.SGD([*one.parameters(), *other.parameters()], 0.1)
    for model in (one, other):
        SEMA(model, switch_every=5).attach(optimizer)


def test_an_optimizer_without_hooks():
    class Strange(torch.optim.Optimizer):
        def __init__(self, params):
            self.param_groups = [{"params": list(params)}]

    model = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="has no step hooks"):
        EMA(model).attach(Strange(model.parameters()))


@FLATTEN
def test_weights_that_are_nowhere(flatten):
    with pytest.raises(ValueError, match="'weight' is on the meta device"):
        EMA(nn.Linear(3, 2, device="meta"), flatten=flatten)


def test_buffers_that_are_none_are_left_alone():
    average = EMA(nn.BatchNorm1d(2, track_running_stats=False), 0.5)
    average.update()
    assert average.average_buffers == {}


def test_sparse_buffers_are_left_alone():
    model = nn.Linear(3, 2)
    model.register_buffer("edges", torch.eye(3).to_sparse())
    model.register_buffer("scale", torch.ones(1))
    average = EMA(model, 0.5)
    average.update()
    assert set(average.average_buffers) == {"scale"}
    with average.applied():
        assert model.edges.is_sparse
