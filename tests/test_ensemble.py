"""Many networks at once: each member is, step for step, the network that trains alone."""

import pytest
import torch
from torch import nn

from sema_lite import EMA, SEMA, SWA, Lookahead
from sema_lite.ensemble import ManyMLPs, index_batches

SEEDS = [3, 0, 7]
DATA = torch.Generator().manual_seed(5)
X = torch.randn(40, 2, generator=DATA, dtype=torch.float64)
Y = (X.norm(dim=1) > 1).long()


def alone(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    ).double()


def together():
    return ManyMLPs(SEEDS, inputs=2, classes=2, hidden=(8, 6)).double()


def generators():
    return [torch.Generator().manual_seed(seed) for seed in SEEDS]


@pytest.fixture(autouse=True)
def random_numbers_of_the_test():
    with torch.random.fork_rng(devices=[]):
        yield


def test_members_begin_as_networks_alone():
    many = together()
    logits = many(X)
    assert logits.shape == (3, 40, 2)
    for i, seed in enumerate(SEEDS):
        torch.testing.assert_close(logits[i], alone(seed)(X), rtol=0, atol=1e-14)
        torch.testing.assert_close(many.member(i)(X), alone(seed)(X), rtol=0, atol=1e-14)


def test_building_leaves_the_random_numbers_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    together()
    assert torch.equal(torch.rand(3), expected)


AVERAGES = {
    "ema": lambda model: EMA(model, 0.9),
    "swa": lambda model: SWA(model, start=10),
    "sema": lambda model: SEMA(model, 0.9, switch_every=7),
    "lookahead": lambda model: Lookahead(model, k=3),
}


@pytest.mark.parametrize("method", AVERAGES)
def test_each_member_trains_as_it_would_alone(method):
    def optimizer(model):
        return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)

    many, singles = together(), [alone(seed) for seed in SEEDS]
    steps = optimizer(many)
    average = AVERAGES[method](many).attach(steps)
    for _, batch in zip(range(24), epochs(generators()), strict=False):
        steps.zero_grad()
        many.loss(X[batch], Y[batch]).backward()
        steps.step()
    for i, (seed, model) in enumerate(zip(SEEDS, singles, strict=True)):
        steps, own = optimizer(model), torch.Generator().manual_seed(seed)
        own_average = AVERAGES[method](model).attach(steps)
        for _, (batch,) in zip(range(24), epochs([own]), strict=False):
            steps.zero_grad()
            nn.functional.cross_entropy(model(X[batch]), Y[batch]).backward()
            steps.step()
        torch.testing.assert_close(many(X)[i], model(X), rtol=0, atol=1e-12)
        with average.applied(), own_average.applied():
            torch.testing.assert_close(many(X)[i], model(X), rtol=0, atol=1e-12)
            assert not torch.equal(many(X)[i], many(X)[i - 1])


def epochs(each):
    while True:
        yield from index_batches(40, 9, each)


def test_an_epoch_shows_each_example_once_and_drops_what_does_not_fill_a_batch():
    batches = list(index_batches(40, 9, generators()))
    assert [batch.shape for batch in batches] == [(3, 9)] * 4
    for member in torch.cat(batches, dim=1):
        assert len(set(member.tolist())) == 36
    assert not torch.equal(batches[0][0], batches[0][1])


def test_losses_are_each_members_own():
    many = together()
    losses = many.losses(X, Y)
    for i, seed in enumerate(SEEDS):
        single = nn.functional.cross_entropy(alone(seed)(X), Y)
        torch.testing.assert_close(losses[i], single, rtol=0, atol=1e-14)
    torch.testing.assert_close(many.loss(X, Y), losses.sum())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([], 2, 2), ValueError, "seeds must have at least one"),
        (([-1], 2, 2), ValueError, "seeds must be a whole number >= 0"),
        (([0], 0, 2), ValueError, "inputs must be"),
        (([0], 2, 0), ValueError, "classes must be"),
        (([0], 2, 2, (3, 0)), ValueError, "hidden must be"),
        (([0], 2.5, 2), ValueError, "inputs must be"),
        ((["a"], 2, 2), TypeError, "seeds must be"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        ManyMLPs(*arguments)


@pytest.mark.parametrize("shape", [(40, 3), (2, 40, 2), (2,), (1, 3, 40, 2)])
def test_bad_input(shape):
    with pytest.raises(ValueError, match=r"x must be \(3, B, 2\) or \(B, 2\), got"):
        together()(torch.zeros(shape, dtype=torch.float64))


def test_a_batch_larger_than_the_data():
    with pytest.raises(ValueError, match="batch_size must be at most 40, got 41"):
        index_batches(40, 41, generators())
