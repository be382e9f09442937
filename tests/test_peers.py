"""The same numbers as other libraries, in float64, to 1e-14. Their counting differs: see below."""

import copy

import ema_pytorch
import pytest
import timm.optim.lookahead
import timm.utils
import torch
import torch_ema
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sema_lite import EMA, SEMA, SWA, Lookahead

STEPS = 37
FLATTEN = pytest.mark.parametrize("flatten", [False, True], ids=["default", "flat"])


class Pair:
    """Two equal networks that get equal gradients; each has its own optimizer."""

    def __init__(self):
        torch.manual_seed(0)
        self.ours = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)
        ).double()
        self.theirs = copy.deepcopy(self.ours)
        self.data = torch.Generator().manual_seed(1)

    def train(self, *after_step, steps=STEPS, optimizers=None):
        """Train both; `after_step` is called after each step."""
        optimizers = optimizers or [
            torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (self.ours, self.theirs)
        ]
        for _ in range(steps):
            x = torch.randn(16, 3, generator=self.data, dtype=torch.float64)
            for model, optimizer in zip((self.ours, self.theirs), optimizers, strict=True):
                optimizer.zero_grad()
                (model(x) - x[:, :2].sin()).square().mean().backward()
                optimizer.step()
            for call in after_step:
                call()

    def assert_live_equal(self):
        assert_close(dict(self.ours.named_parameters()), dict(self.theirs.named_parameters()))


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    worst = max((ours[n] - theirs[n]).abs().max().item() for n in ours)
    assert worst <= 1e-14, worst


def floats(tensors):
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def averages(average):
    return {**average.average, **average.average_buffers}


@FLATTEN
def test_ema_equals_swa_utils(flatten):
    """Its first call copies the model instead of averaging: our `start=1`. It also averages the
    integer counter of batch norm, and truncates it; we copy it, so that one is left out."""
    pair = Pair()
    ours = EMA(pair.ours, 0.95, start=1, flatten=flatten)
    theirs = AveragedModel(pair.theirs, multi_avg_fn=get_ema_multi_avg_fn(0.95), use_buffers=True)
    pair.train(ours.update, lambda: theirs.update_parameters(pair.theirs))
    assert_close(floats(averages(ours)), floats(theirs.module.state_dict()))


@FLATTEN
def test_swa_equals_averaged_model(flatten):
    pair = Pair()
    ours = SWA(pair.ours, start=10, update_every=3, flatten=flatten)
    theirs = AveragedModel(pair.theirs)
    step = iter(range(1, STEPS + 1))

    def update_theirs():
        k = next(step)
        if k > 10 and (k - 10) % 3 == 0:
            theirs.update_parameters(pair.theirs)

    pair.train(ours.update, update_theirs)
    assert_close(ours.average, dict(theirs.module.named_parameters()))
    assert ours.averaged == int(theirs.n_averaged) == 9


@FLATTEN
def test_ema_equals_timm(flatten):
    pair = Pair()
    ours = EMA(pair.ours, 0.95, flatten=flatten)
    theirs = timm.utils.ModelEmaV3(pair.theirs, decay=0.95)
    pair.train(ours.update, lambda: theirs.update(pair.theirs))
    assert_close(averages(ours), dict(theirs.module.state_dict()))


@FLATTEN
def test_ema_equals_torch_ema(flatten):
    pair = Pair()
    ours = EMA(pair.ours, 0.95, flatten=flatten)
    theirs = torch_ema.ExponentialMovingAverage(
        pair.theirs.parameters(), 0.95, use_num_updates=False
    )
    pair.train(ours.update, theirs.update)
    shadow = dict(zip(ours.average, theirs.shadow_params, strict=True))
    assert_close(ours.average, shadow)


@FLATTEN
@pytest.mark.parametrize("period", [1, 5, 12])
def test_sema_equals_ema_pytorch(flatten, period):
    """Its first call copies (our `start=1`) and it switches at calls N+1, 2N+1, ... It computes
    its decay in float32, so the test takes one that float32 has; warm-up is turned off by
    `min_value`. It also switches the buffers."""
    decay = 0.9375
    pair = Pair()
    ours = SEMA(
        pair.ours, decay, switch_every=period, start=1, switch_buffers=True, flatten=flatten
    )
    theirs = ema_pytorch.EMA(
        pair.theirs,
        beta=decay,
        min_value=decay,
        update_after_step=0,
        update_every=1,
        update_model_with_ema_every=period,
    )
    pair.train(ours.update, theirs.update)
    assert ours.switches == (STEPS - 1) // period
    assert_close(floats(averages(ours)), floats(theirs.ema_model.state_dict()))
    pair.assert_live_equal()


@FLATTEN
def test_lookahead_equals_sema_bit_for_bit(flatten):
    pair = Pair()
    k, s = 4, 0.3
    one = Lookahead(pair.ours, k, s, flatten=flatten)
    two = SEMA(pair.theirs, 1 - s, update_every=k, switch_every=k)
    pair.train(one.update, two.update)
    assert one.switches == two.switches == STEPS // k
    ours, theirs = pair.ours.state_dict(), pair.theirs.state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


@FLATTEN
def test_lookahead_equals_timm(flatten):
    """timm takes its first slow weights at the first synchronisation, the paper at the start;
    `sync_lookahead()` before training gives it the paper's."""
    pair = Pair()
    k, s = 5, 0.4
    ours = Lookahead(pair.ours, k, s, flatten=flatten)
    sgd = [torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (pair.ours, pair.theirs)]
    theirs = timm.optim.lookahead.Lookahead(sgd[1], alpha=s, k=k)
    for p in pair.theirs.parameters():
        p.grad = torch.zeros_like(p)
    theirs.sync_lookahead()
    pair.train(ours.update, optimizers=[sgd[0], theirs])
    assert ours.switches == STEPS // k
    pair.assert_live_equal()
