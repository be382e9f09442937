"""n steps, save, load in a new process's place, n more: equal to 2n steps, bit for bit."""

import io

import pytest
import safetensors.torch
import torch
from torch import nn

from sema_lite import EMA, SEMA, SWA, Lookahead

FLATTEN = pytest.mark.parametrize("flatten", [False, True], ids=["default", "flat"])
PERIOD = 6

METHODS = {
    "ema": lambda m, **k: EMA(m, 0.9, **k),
    "ema warm-up": lambda m, **k: EMA(m, lambda n: min(0.99, n / (n + 9)), **k),
    "swa": lambda m, **k: SWA(m, start=4, update_every=3, **k),
    "sema": lambda m, **k: SEMA(m, 0.9, switch_every=PERIOD, start=4, switch_buffers=True, **k),
    "lookahead": lambda m, **k: Lookahead(m, 4, 0.3, **k),
}


class Training:
    def __init__(self, method, dtype=torch.float32, **knobs):
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 2)
        ).to(dtype=dtype, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.01)
        self.average = METHODS[method](self.model, **knobs).attach(self.optimizer)
        self.done = 0

    def train(self, steps):
        for _ in range(steps):
            data = torch.Generator().manual_seed(self.done)
            x = torch.randn(6, 2, 5, 5, generator=data).to(next(self.model.parameters()).dtype)
            self.optimizer.zero_grad()
            self.model(x).square().mean().backward()
            self.optimizer.step()
            self.done += 1
        return self

    def state(self):
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "done": self.done,
        }

    def resume(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.done = state["done"]
        return self


def through_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_bit_equal(one, two):
    a, b = one.state(), two.state()
    for part in ("model", "average"):
        assert a[part].keys() == b[part].keys()
        for name in a[part]:
            assert torch.equal(a[part][name], b[part][name]), (part, name)
            assert a[part][name].dtype == b[part][name].dtype


@FLATTEN
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cut", [2, 4, 4 + PERIOD, 13], ids=["warm-up", "start", "switch", "mid"])
def test_resume_is_bit_equal(method, cut, flatten):
    whole = Training(method, flatten=flatten).train(2 * cut)
    first = Training(method, flatten=flatten).train(cut)
    second = Training(method, flatten=flatten).resume(through_file(first.state())).train(cut)
    assert_bit_equal(whole, second)
    assert second.average.step == 2 * cut


def test_a_flat_run_resumes_from_a_default_one():
    whole = Training("sema").train(20)
    first = Training("sema").train(10)
    second = Training("sema", flatten=True).resume(through_file(first.state())).train(10)
    assert_bit_equal(whole, second)


@FLATTEN
def test_bfloat16_keeps_its_float32_average(flatten):
    whole = Training("sema", torch.bfloat16, flatten=flatten).train(20)
    first = Training("sema", torch.bfloat16, flatten=flatten).train(10)
    second = Training("sema", torch.bfloat16, flatten=flatten)
    second.resume(through_file(first.state()))
    assert all(a.dtype == torch.float32 for a in second.average.average.values())
    assert_bit_equal(whole, second.train(10))


@FLATTEN
def test_round_trip_through_safetensors(flatten, tmp_path):
    first = Training("sema", flatten=flatten).train(11)
    path = tmp_path / "average.safetensors"
    safetensors.torch.save_file(first.average.state_dict(), path)
    second = Training("sema", flatten=flatten).train(11)
    second.average.load_state_dict(safetensors.torch.load_file(path))
    assert_bit_equal(first, second)
    assert (second.average.step, second.average.switches) == (11, first.average.switches)
    safetensors.torch.save_file(  # the model's own tensors too, flat or not
        {n: v.contiguous() for n, v in first.model.state_dict().items()}, path
    )


def test_a_state_is_a_snapshot():
    run = Training("ema").train(3)
    state = run.average.state_dict()
    before = {n: v.clone() for n, v in state.items()}
    run.train(3)
    assert all(torch.equal(before[n], state[n]) for n in state)


def test_a_state_of_another_model_names_what_differs_and_changes_nothing():
    run = Training("ema").train(3)
    before = run.average.state_dict()
    other = EMA(nn.Linear(2, 3)).state_dict()
    with pytest.raises(ValueError, match=r"lacks average\.0\.bias.*has unknown average\.bias"):
        run.average.load_state_dict(other)
    wrong = {**before, "average.3.weight": torch.zeros(2, 35)}
    with pytest.raises(ValueError, match=r"average\.3\.weight is \(2, 35\), not \(2, 36\)"):
        run.average.load_state_dict(wrong)
    with pytest.raises(ValueError, match=r"lacks .*'step'"):
        run.average.load_state_dict(dict(run.average.average))
    with pytest.raises(ValueError, match="averaged must be a whole number >= 0"):
        run.average.load_state_dict({**before, "averaged": torch.tensor(-1)})
    after = run.average.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before)
