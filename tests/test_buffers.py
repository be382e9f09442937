"""The vectors of spectral norm are directions: averaged they are short, and the weights large."""

import pytest
import torch
from torch import nn

from sema_lite import EMA


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
@pytest.mark.parametrize("flatten", [False, True])
def test_averaged_weights_keep_a_spectral_norm_of_one(norm, flatten):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(norm(nn.Linear(8, 32)), nn.BatchNorm1d(32), norm(nn.Linear(32, 3)))
        x = torch.randn(100, 8)
    ema = EMA(model, 0.9, flatten=flatten)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    ema.attach(optimizer)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(5 * model(x), x[:, :3].argmax(1)).backward()
        optimizer.step()
    model.eval()
    with ema.applied(), torch.no_grad():
        model(x)
        norms = [torch.linalg.matrix_norm(model[i].weight, 2).item() for i in (0, 2)]
    assert norms == pytest.approx([1, 1], abs=0.1)
    vectors = [v for n, v in ema.average_buffers.items() if n.endswith(("_u", "_v"))]
    assert [v.norm().item() for v in vectors] == pytest.approx([1, 1, 1, 1], abs=1e-4)
    live, average = model[1].running_mean, ema.average_buffers["1.running_mean"]
    assert not torch.equal(live, average)  # statistics are averaged as before


def test_a_buffer_of_such_a_name_alone_is_averaged():
    model = nn.Linear(1, 1)
    model.register_buffer("weight_u", torch.zeros(1))
    ema = EMA(model, 0.5)
    model.weight_u += 1
    ema.update()
    assert ema.average_buffers["weight_u"].item() == 0.5
