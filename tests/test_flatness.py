"""flatness.py: against evaluation point by point, an explicit Hessian, and cases worked by hand."""

import ast
import copy
import importlib.util
import itertools
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sema_lite import flatness
from sema_lite.flatness import (
    filter_normalised_direction,
    hessian_trace,
    loss_slice,
    loss_surface,
    rescaled,
    sam_sharpness,
    top_eigenvalues,
)

pytestmark = pytest.mark.usefixtures("one_thread")
needs_curvlinops = pytest.mark.skipif(
    importlib.util.find_spec("curvlinops") is None, reason="curvlinops is not installed"
)
ALPHAS, BETAS = [-1.0, -0.25, 0.0, 0.5, 1.0], [-0.5, 0.0, 0.75]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mlp(*widths, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def points(inputs=2, n=30, classes=3, dtype=torch.float64):
    x = torch.randn(n, inputs, generator=seeded(5), dtype=dtype)
    return x, torch.randint(0, classes, (n,), generator=seeded(6))


def convnet(dtype=torch.float32):
    """Batch norm with statistics of its own, dropout, a frozen and a tied weight."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.Linear(8, 8),
        nn.Linear(8, 8),
    ).to(dtype)
    model(torch.randn(16, 3, 6, 6, dtype=dtype))  # moves the running statistics
    model[7].weight = model[6].weight
    model[5].bias.requires_grad_(False)
    model[1].eval()  # a mode that differs from the others'
    return model, torch.randn(5, 3, 6, 6, dtype=dtype), torch.arange(5)


def one_by_one(model, loss, x, y, directions, coordinates):
    """The loss at one point, the plain way: write the weights into a copy, and run it."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, weight in twin.named_parameters():
            if weight.requires_grad:
                moves = zip(coordinates, directions, strict=True)
                weight += sum(c * direction[name] for c, direction in moves)
        return loss(twin(x), y)


def hessian(model, loss, x, y):
    """The whole matrix, by torch.func.hessian."""
    weights = dict(model.named_parameters())
    flat = torch.cat([w.detach().flatten() for w in weights.values()])

    def at(vector):
        parts = vector.split([w.numel() for w in weights.values()])
        shaped = {n: p.view(w.shape) for (n, w), p in zip(weights.items(), parts, strict=True)}
        return loss(torch.func.functional_call(model, shaped, (x,)), y)

    return torch.func.hessian(at)(flat)


def snapshot(model):
    tensors = {name: t.clone() for name, t in model.state_dict().items()}
    grads = {name: p.grad for name, p in model.named_parameters()}
    return tensors, grads, [m.training for m in model.modules()]


def assert_same(before, after):
    for name, tensor in before[0].items():
        assert torch.equal(tensor, after[0][name]), name
    assert all(before[1][name] is grad for name, grad in after[1].items())
    assert before[2] == after[2]


# -- directions, slices, surfaces -----------------------------------------------------------------


def test_each_filter_is_as_long_as_that_of_the_weights():
    model, _, _ = convnet()
    direction = filter_normalised_direction(model, seeded())
    assert set(direction) == {n for n, p in model.named_parameters() if p.requires_grad}
    for name, d in direction.items():
        weight = model.get_parameter(name).detach()
        assert (d.shape, d.dtype, d.requires_grad) == (weight.shape, weight.dtype, False)
        if weight.ndim == 1:  # biases, and batch norm's weights
            assert not d.any()
        for i in range(len(weight)) if weight.ndim > 1 else ():
            assert float(d[i].norm()) == pytest.approx(float(weight[i].norm()), rel=1e-5)
            cosine = F.cosine_similarity(d[i].flatten(), weight[i].flatten(), 0)
            assert abs(cosine) < 0.99  # a direction of its own


def test_the_direction_depends_on_the_generator_alone():
    model = mlp(2, 4, 3)
    torch.manual_seed(1)
    first = filter_normalised_direction(model, seeded(3))
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = filter_normalised_direction(model, seeded(3))
    other = filter_normalised_direction(model, seeded(4))
    assert torch.equal(first["0.weight"], second["0.weight"])
    assert not torch.equal(first["0.weight"], other["0.weight"])
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_norm_weights_of_two_dimensions_and_empty_filters_get_zero():
    model = nn.Sequential(nn.LayerNorm((2, 3)), nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        model[2].weight[0] = 0
    direction = filter_normalised_direction(model, seeded())
    assert not direction["0.weight"].any()
    assert not direction["2.weight"][0].any()
    assert direction["2.weight"][1].any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_surface_and_slice_equal_evaluation_point_by_point(kind, dtype, tolerance, chunk):
    if kind == "mlp":
        model, (x, y) = mlp(2, 8, 8, 3, dtype=dtype), points(dtype=dtype)
    else:
        model, x, y = convnet(dtype)
    d1, d2 = (filter_normalised_direction(model, seeded(i)) for i in range(2))
    before = snapshot(model)
    surface = loss_surface(model, F.cross_entropy, x, y, d1, d2, ALPHAS, BETAS, chunk=chunk)
    line = loss_slice(model, F.cross_entropy, x, y, d1, torch.tensor(ALPHAS), chunk=chunk)
    assert_same(before, snapshot(model))
    assert (surface.shape, surface.dtype, line.shape) == ((5, 3), dtype, (5,))
    assert not surface.requires_grad
    for i, a in enumerate(ALPHAS):
        want = one_by_one(model, F.cross_entropy, x, y, [d1], [a])
        assert float(line[i]) == pytest.approx(float(want), rel=tolerance, abs=tolerance)
        for j, b in enumerate(BETAS):
            want = one_by_one(model, F.cross_entropy, x, y, [d1, d2], [a, b])
            assert float(surface[i, j]) == pytest.approx(float(want), rel=tolerance, abs=tolerance)
    assert float(line.max() - line.min()) > 0.01  # it is not flat


def test_a_direction_may_move_biases_too_or_nothing():
    model, (x, y) = mlp(2, 4, 3), points()
    direction = {n: torch.ones_like(p).detach() for n, p in model.named_parameters()}
    got = loss_slice(model, F.cross_entropy, x, y, direction, [0.0, 0.3])
    want = one_by_one(model, F.cross_entropy, x, y, [direction], [0.3])
    assert float(got[1]) == pytest.approx(float(want), abs=1e-12)
    zero = {n: torch.zeros_like(d) for n, d in direction.items()}
    still = loss_slice(model, F.cross_entropy, x, y, zero, [0.0, 0.3, 1.0], chunk=2)
    assert still.tolist() == [float(F.cross_entropy(model(x), y).detach())] * 3


# -- curvature ------------------------------------------------------------------------------------


@needs_curvlinops
@pytest.mark.parametrize("widths", [(2, 4, 3), (2, 10, 5, 3)])  # 27 weights: dense; 103: Lanczos
def test_eigenvalues_equal_those_of_the_explicit_hessian(widths):
    model, (x, y) = mlp(*widths), points()
    want = torch.linalg.eigvalsh(hessian(model, F.cross_entropy, x, y)).flip(0)
    before = snapshot(model)
    with torch.no_grad():  # as a caller may have it
        got = top_eigenvalues(model, F.cross_entropy, x, y, k=4)
    assert_same(before, snapshot(model))
    assert got == pytest.approx(want[:4].tolist(), rel=1e-9)
    assert got == sorted(got, reverse=True)
    assert got == top_eigenvalues(model, F.cross_entropy, x, y, k=4)
    n = len(want)
    everything = top_eigenvalues(model, F.cross_entropy, x, y, k=n)
    assert everything == pytest.approx(want.tolist(), abs=1e-12)
    assert everything[-1] < -1e-3  # negative ones are counted as such
    with pytest.raises(ValueError, match=f"k must be at most {n}, the number of weights, got"):
        top_eigenvalues(model, F.cross_entropy, x, y, k=n + 1)


@needs_curvlinops
def test_eigenvalues_in_float32_by_lanczos():
    model, (x, y) = mlp(2, 10, 5, 3), points()
    want = top_eigenvalues(model, F.cross_entropy, x, y, k=3)
    got = top_eigenvalues(model.float(), F.cross_entropy, x.float(), y, k=3)
    assert got == pytest.approx(want, rel=1e-4)


@needs_curvlinops
@pytest.mark.xfail(
    torch.__version__.startswith("2.6."),
    raises=RuntimeError,
    reason="torch 2.6 cannot map over the second derivative of a linear function",
)
def test_a_hessian_of_zeros():
    model, x = nn.Linear(100, 1), torch.ones(3, 100)
    assert top_eigenvalues(model, lambda out, _: out.sum(), x, x, k=2) == [0.0, 0.0]


@needs_curvlinops
def test_hessian_functions_with_batch_norm_frozen_and_tied_weights():
    model, x, y = convnet(torch.float64)
    model[0].requires_grad_(False)
    twin = copy.deepcopy(model).eval()
    weights = {n: p for n, p in twin.named_parameters() if p.requires_grad}
    flat = torch.autograd.grad(
        F.cross_entropy(twin(x), y), list(weights.values()), create_graph=True
    )
    flat = torch.cat([g.flatten() for g in flat])
    rows = [torch.autograd.grad(g, list(weights.values()), retain_graph=True) for g in flat]
    want = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    before = snapshot(model)
    got = top_eigenvalues(model, F.cross_entropy, x, y, k=2)
    trace = hessian_trace(model, F.cross_entropy, x, y, samples=100)
    assert_same(before, snapshot(model))
    assert got == pytest.approx(torch.linalg.eigvalsh(want)[-2:].flip(0).tolist(), rel=1e-8)
    assert abs(trace.value - float(want.trace())) < 4 * trace.standard_error


@needs_curvlinops
def test_trace_against_the_explicit_hessian_and_its_error_shrinks():
    model, (x, y) = mlp(2, 4, 3), points()
    matrix = hessian(model, F.cross_entropy, x, y)
    before = snapshot(model)
    many = hessian_trace(model, F.cross_entropy, x, y, samples=1001)
    few = hessian_trace(model, F.cross_entropy, x, y, samples=50)
    assert_same(before, snapshot(model))
    assert abs(many.value - float(matrix.trace())) < 4 * many.standard_error
    # Variance of v.Hv for v of +1 and -1: twice the squares off the diagonal.
    deviation = math.sqrt(2 * float((matrix - matrix.diag().diag()).square().sum()))
    assert many.standard_error == pytest.approx(deviation / math.sqrt(1001), rel=0.15)
    assert few.standard_error > 3 * many.standard_error
    other = hessian_trace(model, F.cross_entropy, x, y, samples=50, generator=seeded(7))
    assert other != few
    assert few == hessian_trace(model, F.cross_entropy, x, y, samples=50)


@needs_curvlinops
def test_trace_of_a_diagonal_hessian_is_exact():
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    x = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    trace = hessian_trace(model, F.mse_loss, x, torch.zeros(3, 1).double(), samples=5)
    assert trace.value == pytest.approx(2 / 3 * (1 + 4 + 9), abs=1e-12)
    assert trace.standard_error == pytest.approx(0, abs=1e-12)


def test_without_curvlinops_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    with pytest.raises(ImportError, match=r"curvlinops: pip install 'sema-lite\[course\]'"):
        top_eigenvalues(mlp(2, 3), F.cross_entropy, *points())


def test_the_import_is_light():
    tree = ast.parse(Path(flatness.__file__).read_text(encoding="utf-8"))
    names = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in tree.body if isinstance(n, ast.ImportFrom) and not n.level}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"torch"}


# -- sharpness and the control --------------------------------------------------------------------


def test_sam_sharpness_by_hand():
    """loss 1/2 |W|^2 at (3, 4): a step of rho from length 5 gives 5 rho + rho^2/2."""
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))

    def loss(outputs, _):
        return outputs.square().sum() / 2

    x = torch.eye(2, dtype=torch.float64)
    before = snapshot(model)
    with torch.no_grad():
        for rho in (0.05, 2.0):
            want = 5 * rho + rho**2 / 2
            assert sam_sharpness(model, loss, x, x, rho) == pytest.approx(want, abs=1e-12)
    assert_same(before, snapshot(model))
    model.weight.data.zero_()
    assert sam_sharpness(model, loss, x, x) == 0.0


def test_sam_sharpness_is_first_order_and_leaves_gradients_alone():
    model, x, y = convnet(torch.float64)
    F.cross_entropy(model.eval()(x), y).backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
    before = snapshot(model.train())
    kept = [g.clone() for g in grads]
    assert sam_sharpness(model, F.cross_entropy, x, y, 1e-5) == pytest.approx(1e-5 * norm, rel=1e-3)
    assert_same(before, snapshot(model))
    assert all(torch.equal(a, b) for a, b in zip(kept, grads, strict=True))


@needs_curvlinops
@pytest.mark.parametrize("factor", [8.0, 0.1])
def test_rescaled_is_the_same_function_and_another_sharpness(factor):
    model, (x, y) = mlp(2, 10, 5, 3), points()
    before = snapshot(model)
    twin = rescaled(model, factor)
    assert_same(before, snapshot(model))
    assert torch.equal(twin[0].weight, factor * model[0].weight)
    torch.testing.assert_close(twin(x), model(x), rtol=1e-12, atol=1e-12)
    if factor == 8:  # a power of two: to the bit
        assert torch.equal(twin(x), model(x))
    for measure in (
        lambda m: top_eigenvalues(m, F.cross_entropy, x, y)[0],
        lambda m: sam_sharpness(m, F.cross_entropy, x, y),
    ):
        assert measure(twin) > 1.5 * measure(model)


@pytest.mark.parametrize("factor", [8.0, 0.3])
def test_when_filter_normalised_slices_survive_the_rescaling(factor):
    model, (x, y) = mlp(2, 10, 5, 3), points()
    twin = rescaled(model, factor)

    def difference(a, b, direction_a, direction_b):
        slices = [
            loss_slice(m, F.cross_entropy, x, y, d, ALPHAS)
            for m, d in ((a, direction_a), (b, direction_b))
        ]
        return float((slices[0] - slices[1]).abs().max())

    def normalised(m):
        return filter_normalised_direction(m, seeded(3))

    # One factor for the whole layer, and the same random numbers: the same slice ...
    assert difference(model, twin, normalised(model), normalised(twin)) < 1e-12
    # ... which is no merit of the network: the same steps in both are not the same slice,
    assert difference(model, twin, normalised(model), normalised(model)) > 1e-3
    # and with a factor for each unit the function stays, the slice does not.
    units = torch.tensor([factor, 1.0] * 5, dtype=torch.float64)
    uneven = copy.deepcopy(model)
    with torch.no_grad():
        uneven[0].weight.mul_(units[:, None])
        uneven[0].bias.mul_(units)
        uneven[2].weight.div_(units)
    torch.testing.assert_close(uneven(x), model(x), rtol=1e-12, atol=1e-12)
    assert difference(model, uneven, normalised(model), normalised(uneven)) > 1e-3


# -- bad input ------------------------------------------------------------------------------------


def nan(outputs, _):
    return outputs.sum() * float("nan")


def vector(outputs, y):
    return F.cross_entropy(outputs, y, reduction="none")


def broken(*_):
    raise RuntimeError("broken")


def every_function(model, loss, x, y):
    direction = {n: torch.ones_like(p) for n, p in model.named_parameters()}
    return {
        "slice": lambda: loss_slice(model, loss, x, y, direction, [0.0, 1.0]),
        "surface": lambda: loss_surface(model, loss, x, y, direction, direction, [0.0], [0.0]),
        "top": lambda: top_eigenvalues(model, loss, x, y),
        "trace": lambda: hessian_trace(model, loss, x, y),
        "sam": lambda: sam_sharpness(model, loss, x, y),
    }


@pytest.mark.parametrize("function", ["slice", "surface", "top", "trace", "sam"])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nan, "loss must be finite, got nan"),
        (vector, r"loss must give one number as a tensor, got a tensor of shape \(30,\)"),
        (lambda *_: 1.0, "loss must give one number as a tensor, got 1.0"),
        (broken, "broken"),
    ],
)
def test_bad_losses_leave_the_model_as_it_was(function, loss, message):
    model = mlp(2, 4, 3)
    model[1].eval()
    before = snapshot(model)
    with pytest.raises((ValueError, RuntimeError), match=message):
        every_function(model, loss, *points())[function]()
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("function", ["slice", "surface", "top", "trace", "sam"])
@pytest.mark.parametrize("model", [nn.Flatten(), nn.Linear(2, 3).requires_grad_(False)])
def test_a_model_without_weights(function, model):
    with pytest.raises(ValueError, match="model must have parameters that require a gradient"):
        every_function(model, F.cross_entropy, *points(dtype=torch.float32))[function]()
    with pytest.raises(ValueError, match="model must have parameters that require a gradient"):
        filter_normalised_direction(model, seeded())


def test_a_loss_that_is_not_finite_far_away_is_named():
    model, (x, y) = mlp(2, 4, 3), points()
    direction = {n: torch.ones_like(p) for n, p in model.named_parameters()}
    with pytest.raises(ValueError, match=r"loss must be finite, got .* at alpha 1e"):
        loss_slice(model, F.cross_entropy, x, y, direction, [0.0, 1e200])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.top(k=0), ValueError, "k must be a whole number >= 1, got 0"),
        (lambda f: f.top(k=1.5), ValueError, "k must be a whole number >= 1, got 1.5"),
        (lambda f: f.trace(samples=1), ValueError, "samples must be a whole number >= 2, got 1"),
        (lambda f: f.sam(rho=0), ValueError, "rho must be a finite number > 0, got 0"),
        (lambda f: f.sam(rho=math.nan), ValueError, "rho must be a finite number > 0, got nan"),
        (lambda f: f.sam(rho="x"), TypeError, "rho must be a finite number > 0, got 'x'"),
        (lambda f: f.slice(alphas=[]), ValueError, "alphas must be a list of finite numbers"),
        (lambda f: f.slice(alphas=[math.inf]), ValueError, "alphas must be a list of finite"),
        (lambda f: f.slice(alphas=[[0.0]]), ValueError, "alphas must be a list of finite numbers"),
        (lambda f: f.slice(chunk=0), ValueError, "chunk must be a whole number >= 1, got 0"),
        (lambda f: f.slice(direction=1), TypeError, "direction must be a dict of tensors by name"),
        (lambda f: f.slice(direction={}), ValueError, "direction must have the model's parameters"),
        (
            lambda f: f.slice(direction={n: torch.ones(1) for n in f.names}),
            ValueError,
            r"direction\['0.weight'\] must have shape \(4, 2\), got \(1,\)",
        ),
        (lambda f: filter_normalised_direction(f.model, 3), TypeError, "generator must be a torch"),
        (lambda f: rescaled(f.model, 0), ValueError, "factor must be a finite number > 0, got 0"),
        (lambda f: rescaled(f.model, -1), ValueError, "factor must be a finite number > 0, got -1"),
        (lambda f: rescaled(f.model, 1e308), ValueError, r"factor must be from .* got 1e\+308"),
        (lambda _: rescaled(mlp(2, 3), 2), ValueError, "at least two nn.Linear"),
        (lambda _: rescaled(nn.Linear(2, 3), 2), TypeError, "nn.Sequential of nn.Linear and nn.R"),
        (
            lambda _: rescaled(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)), 2),
            TypeError,
            "nn.Sequential of nn.Linear and nn.ReLU",
        ),
        (lambda _: rescaled(nn.Sequential(*[nn.Linear(2, 2)] * 2), 2), ValueError, "share no"),
    ],
)
def test_bad_arguments(call, error, message):
    class Calls:
        model = mlp(2, 4, 3)
        names = [n for n, _ in model.named_parameters()]  # noqa: RUF012
        common = (model, F.cross_entropy, *points())

        def top(self, k):
            return top_eigenvalues(*self.common, k=k)

        def trace(self, samples):
            return hessian_trace(*self.common, samples=samples)

        def sam(self, rho):
            return sam_sharpness(*self.common, rho=rho)

        def slice(self, direction=None, alphas=(0.0,), chunk=8):
            if direction is None:
                direction = filter_normalised_direction(self.model, seeded())
            return loss_slice(*self.common, direction, alphas, chunk=chunk)

    before = snapshot(Calls.model)
    with pytest.raises(error, match=message):
        call(Calls())
    assert_same(before, snapshot(Calls.model))
