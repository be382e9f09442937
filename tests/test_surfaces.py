"""surfaces.py: perceptrons, whose losses are computed another way than those of other networks.

What all networks share is tested in test_flatness.py.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sema_lite import flatness, surfaces
from sema_lite.models import mlp
from sema_lite.surfaces import filter_normalised_direction, loss_slice, loss_surface

pytestmark = pytest.mark.usefixtures("one_thread")
ALPHAS = [-1.0, -0.5, 0.0, 0.3, 1.0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(inputs=3, n=20):
    x = torch.randn(n, inputs, generator=seeded(5), dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=seeded(6))


def shared_relu():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(3, 5), relu, nn.Linear(5, 5), relu, nn.Linear(5, 3))


def relu_first():
    return nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))


def tied_and_frozen():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    model[3].weight.requires_grad_(False)
    return model


def hooked():
    model = mlp(3, 3)
    model[0].register_forward_hook(lambda *call: 2 * call[-1])
    return model


def with_tanh():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def without_hidden():
    return mlp(3, 3, ())


def squared(outputs, y):
    return (outputs.softmax(1)[:, 0] - y).square().mean()


def smoothed(outputs, y):
    return F.cross_entropy(outputs, y, label_smoothing=0.1)


def one_by_one(model, loss, x, y, direction, alpha):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if weight.requires_grad:
                weight += alpha * direction[name]
        return float(loss(twin(x), y))


@pytest.fixture
def by_hand(monkeypatch):
    """How often a perceptron was evaluated by hand."""
    calls = []
    call = surfaces._Perceptron.__call__
    monkeypatch.setattr(
        surfaces._Perceptron, "__call__", lambda *args: calls.append(1) or call(*args)
    )
    return calls


@pytest.mark.parametrize("moves", ["normalised", "everything"])
@pytest.mark.parametrize("loss", [F.cross_entropy, squared, smoothed])
@pytest.mark.parametrize(
    ("make", "fast"),
    [
        (shared_relu, True),
        (relu_first, True),
        (tied_and_frozen, True),
        (without_hidden, True),
        (hooked, False),
        (with_tanh, False),
    ],
)
def test_slices_equal_evaluation_point_by_point(make, fast, loss, moves, by_hand):
    torch.manual_seed(1)
    model, (x, y) = make().double(), points()
    direction = filter_normalised_direction(model, seeded())
    if moves == "everything":
        direction = {name: torch.randn_like(d) for name, d in direction.items()}
    kept = x.clone()
    got = loss_slice(model, loss, x, y, direction, ALPHAS, chunk=2)
    want = [one_by_one(model, loss, x, y, direction, alpha) for alpha in ALPHAS]
    assert got.tolist() == pytest.approx(want, abs=1e-12)
    assert max(want) - min(want) > 1e-3
    assert torch.equal(x, kept)
    assert len(by_hand) == (3 if fast else 0)


def test_a_single_example_is_left_as_it_was():
    """Its transpose is the same memory."""
    torch.manual_seed(0)
    model, x = relu_first().double(), torch.tensor([[-1.0, 2.0, -3.0]], dtype=torch.float64)
    kept, y = x.clone(), torch.tensor([1])
    direction = filter_normalised_direction(model, seeded())
    loss_slice(model, F.cross_entropy, x, y, direction, ALPHAS, chunk=1)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("labels", ["left out", "probabilities"])
def test_labels_that_are_no_class(labels):
    torch.manual_seed(0)
    model, (x, y) = mlp(3, 3).double(), points()
    direction = filter_normalised_direction(model, seeded())
    y = y.clone().index_fill_(0, torch.arange(7), -100) if labels == "left out" else x.softmax(1)
    got = loss_slice(model, F.cross_entropy, x, y, direction, ALPHAS)
    want = [one_by_one(model, F.cross_entropy, x, y, direction, alpha) for alpha in ALPHAS]
    assert got.tolist() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_the_surface_does_not_depend_on_the_chunk(chunk):
    torch.manual_seed(0)
    model, (x, y) = mlp(3, 3).double(), points()
    one, two = (filter_normalised_direction(model, seeded(i)) for i in (1, 2))
    surface = loss_surface(model, F.cross_entropy, x, y, one, two, ALPHAS, ALPHAS, chunk=chunk)
    for alpha, row in zip(ALPHAS, surface, strict=True):
        for beta, got in zip(ALPHAS, row, strict=True):
            moved = {name: alpha * one[name] + beta * two[name] for name in one}
            want = one_by_one(model, F.cross_entropy, x, y, moved, 1.0)
            assert float(got) == pytest.approx(want, abs=1e-12)


def test_the_names_are_offered_by_flatness_as_well():
    for name in ("filter_normalised_direction", "loss_slice", "loss_surface"):
        assert getattr(flatness, name) is getattr(surfaces, name)
        assert name in flatness.__all__
