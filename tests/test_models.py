"""models.py: against torchvision's and torch's own networks, and by what training needs."""

import math
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from sema_lite import models
from sema_lite.models import MODELS, Attention, TransformerBlock, build, mlp, resnet18, small_vit

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {  # name: (tensors, parameters, buffers) for ten classes
    "mlp": (6, 99_722, 0),  # 3,072 * 32 + 32 + 1,056 + 330
    "small_resnet": (38, 308_826, 36),
    "small_vit": (67, 571_210, 0),
    "resnet18": (62, 11_173_962, 60),
}
QUICK = ("mlp", "small_resnet", "small_vit")


def sizes(model):
    return [p.numel() for p in model.parameters()]


def make(name, classes=10, seed=0, **settings):
    torch.manual_seed(seed)
    return build(name, classes, **settings)


def images(n, seed=0, dtype=torch.float32):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(a, b, rtol=1e-5, atol=1e-6):
    """Not torch.testing: importing it takes longer than most of this file."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert torch.allclose(a, b, rtol, atol), f"they differ by {(a - b).abs().max()}"


def copy_in_order(source, target):
    """All weights and buffers of `source` into `target`, by position: the shapes must agree."""
    ours, theirs = target.state_dict(), source.state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in theirs.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


# -- each of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_sizes(name):
    model = make(name)
    buffers = len(list(model.buffers()))
    assert (len(sizes(model)), sum(sizes(model)), buffers) == SIZES[name]
    if name != "mlp":  # the docstrings say what is counted here
        assert f"{SIZES[name][1]:,}" in MODELS[name].__doc__
    assert f" {SIZES[name][0]} " in next(
        line for line in models.__doc__.splitlines() if line.startswith(f"| {name} ")
    )
    # One more class is one more row of weights and one bias in the head, and nothing else.
    head = model.head if name == "small_vit" else model[-1]
    assert sum(sizes(make(name, 11))) - sum(sizes(model)) == head.in_features + 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("classes", [2, 100])
def test_logits(name, classes):
    model = make(name, classes).eval()
    with torch.no_grad():
        logits = model(images(3))
    assert logits.shape == (3, classes)
    assert logits.isfinite().all()
    assert logits.std() > 1e-3
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_all_parameters(name):
    model = make(name)
    F.cross_entropy(model(images(4)), torch.arange(4)).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_float64(name):
    """The same logits up to rounding, and float64 all the way."""
    model = make(name).eval()
    with torch.no_grad():
        single = model(images(2))
        double = model.double()(images(2, dtype=torch.float64))
    assert double.dtype == torch.float64
    close(single.double(), double, rtol=1e-4, atol=1e-5)
    assert (single.double() - double).abs().max() > 0  # else something rounds to float32


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides_the_weights(name):
    one, again, other = make(name), make(name), make(name, seed=1)
    pairs = list(zip(one.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(a.data_ptr() == b.data_ptr() for a, b in pairs)
    changed = [
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    ]
    assert sum(changed) > len(changed) / 3  # norms begin at 1 and 0 whatever the seed


@pytest.mark.parametrize("name", QUICK)
def test_images_do_not_mix(name):
    """In evaluation the logits of an image are the same alone and among others."""
    model = make(name).double().eval()
    x = images(4, dtype=torch.float64)
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(one[None]) for one in x])
    close(together, alone, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", QUICK)
def test_second_derivatives(name):
    """Sharpness needs Hessian times vector; a difference of two gradients agrees with it."""
    model = make(name).double().eval()
    x, y = images(4, dtype=torch.float64), torch.arange(4)
    params = list(model.parameters())
    random = torch.Generator().manual_seed(1)
    v = [torch.randn(p.shape, generator=random, dtype=p.dtype) for p in params]

    def slope():
        loss = F.cross_entropy(model(x), y)
        grads = torch.autograd.grad(loss, params, create_graph=True)
        return sum((g * w).sum() for g, w in zip(grads, v, strict=True))

    product = torch.autograd.grad(slope(), params)
    curvature = sum((h * w).sum() for h, w in zip(product, v, strict=True)).item()
    ends = []
    for step in (1e-8, -2e-8):  # to +1e-8, then to -1e-8: too near for a ReLU to bend between
        with torch.no_grad():
            torch._foreach_add_(params, v, alpha=step)
        ends.append(slope().item())
    assert curvature == pytest.approx((ends[0] - ends[1]) / 2e-8, rel=1e-4)
    assert abs(curvature) > 1e-3


@pytest.mark.parametrize("name", QUICK)
def test_many_at_once(name):
    """The loss at many points of weight space in one call, as loss surfaces need it."""
    nets = [make(name, seed=s).double().eval() for s in (0, 1)]
    weights, buffers = stack_module_state(nets)
    x = images(2, dtype=torch.float64)

    def logits(weights, buffers):
        return functional_call(nets[0], (weights, buffers), (x,))

    with torch.no_grad():
        stacked = vmap(logits)(weights, buffers)
        close(stacked, torch.stack([net(x) for net in nets]))


@pytest.mark.parametrize("name", QUICK)
def test_it_can_be_pickled(name):
    model = make(name).eval()
    copy = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        assert torch.equal(copy(images(2)), model(images(2)))


# -- ResNet-18 ------------------------------------------------------------------------------------


def test_resnet18_is_torchvisions():
    theirs_of = pytest.importorskip("torchvision").models.resnet18
    torch.manual_seed(0)
    theirs = theirs_of(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = resnet18()
    copy_in_order(theirs, ours)
    x = images(4)
    with torch.no_grad():  # training mode: this moves the statistics of all norms, in both alike
        close(ours(x), theirs(x))
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(mine, other)
    with torch.no_grad():
        close(ours.eval()(x), theirs.eval()(x))
        assert not torch.allclose(ours(x), resnet18().eval()(x))  # other weights: not equal


def test_resnet18_halves_the_image_three_times():
    x, heights = images(1), []
    with torch.no_grad():
        for layer in resnet18().eval()[:-3]:
            x = layer(x)
            heights.append((x.shape[1], x.shape[-1]))
    blocks = [(64, 32)] * 2 + [(128, 16)] * 2 + [(256, 8)] * 2 + [(512, 4)] * 2
    assert heights == [(64, 32)] * 3 + blocks


# -- MLP ------------------------------------------------------------------------------------------


def test_mlp():
    model = mlp(2, 2)
    assert [type(layer) for layer in model] == [nn.Linear, nn.ReLU] * 2 + [nn.Linear]
    assert (len(sizes(model)), sum(sizes(model))) == (6, 1_218)
    assert [layer.out_features for layer in mlp(64, 10, (5, 7, 9))[::2]] == [5, 7, 9, 10]
    assert [layer.in_features for layer in mlp(64, 10, (5, 7, 9))[::2]] == [64, 5, 7, 9]
    assert len(mlp(2, 3, hidden=())) == 1


# -- the vision transformer -----------------------------------------------------------------------


def test_attention_is_torchs():
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    names = ["qkv.weight", "qkv.bias", "out.weight", "out.bias"]
    nn.init.normal_(theirs.in_proj_bias)  # they begin at zero: then nothing would test them
    nn.init.normal_(theirs.out_proj.bias)
    ours.load_state_dict(dict(zip(names, theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 5, 12)
    close(ours(x), theirs(x, x, x)[0])


def test_transformer_block_is_torchs():
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(
        12, 3, 48, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.5)
    renamed = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj": "attention.out",
        "linear1": "mlp.0",
        "linear2": "mlp.2",
    }
    state = {}
    for name, value in theirs.state_dict().items():
        for old, new in renamed.items():
            name = name.replace(old, new)
        state[name] = value
    ours = TransformerBlock(12, 3)
    ours.load_state_dict(state)
    x = torch.randn(2, 5, 12)
    close(ours(x), theirs(x))


def test_vit_sees_each_patch_where_it_is():
    """Patches change places: other logits, but for the learnt positions the same."""
    model = make("small_vit").double().eval()
    x = images(1, dtype=torch.float64)
    rolled = x.roll(4, dims=3)  # one patch to the right
    with torch.no_grad():
        assert (model(x) - model(rolled)).abs().max() > 1e-4
        tokens = model.patches(x).flatten(2)
        assert tokens.shape == (1, 96, 64)
        by_hand = model.patches.weight.flatten(1) @ x[0, :, :4, 4:8].flatten()
        close(tokens[0, :, 1], by_hand + model.patches.bias)
        model.positions.zero_()
        close(model(x), model(rolled), rtol=1e-9, atol=1e-10)


def test_vit_learns_a_toy():
    """Red images and blue ones, with noise."""
    y = torch.arange(8) % 2
    x = images(8)
    x[y == 0, 0] += 1.0
    x[y == 1, 2] += 1.0
    model = make("small_vit", 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(2), abs=0.3)
    assert losses[-1] < 0.1, losses
    with torch.no_grad():
        assert (model(x).argmax(1) == y).all()


# -- by name, and wrong input ---------------------------------------------------------------------


def test_build_passes_everything_on():
    assert list(MODELS) == list(SIZES)
    assert all(getattr(models, name) is function for name, function in MODELS.items())
    for inputs in (2, (2,), [2]):
        assert str(build("mlp", 3, inputs)) == str(mlp(2, 3))
    digits = build("mlp", 10, (1, 8, 8))
    assert digits(torch.randn(5, 1, 8, 8)).shape == (5, 10)
    assert digits(torch.randn(5, 64)).shape == (5, 10)
    assert isinstance(build("small_vit", 10, images(1).shape[1:]), type(small_vit()))
    torch.manual_seed(0)
    plain = models.small_resnet(10)
    same = zip(plain.parameters(), make("small_resnet").parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: build("resnet", 10), ValueError, r"model must be one of .*resnet18.*got 'resnet'"),
        (lambda: build(["mlp"], 10), ValueError, r"model must be one of .* got \['mlp'\]"),
        (lambda: build("mlp", 0), ValueError, "classes must be a whole number >= 1, got 0"),
        (lambda: build("small_resnet", 0), ValueError, "classes must be .* got 0"),
        (lambda: build("small_vit", "ten"), TypeError, "classes must be .* got 'ten'"),
        (lambda: build("mlp", 2, 0), ValueError, "inputs must be a whole number >= 1, got 0"),
        (lambda: build("mlp", 2, (2, -1)), ValueError, "inputs must be .* got -1"),
        (lambda: build("mlp", 2, None), TypeError, "inputs must be .* got None"),
        (lambda: build("mlp", 2, "2"), TypeError, "inputs must be .* got '2'"),
        (lambda: build("mlp", 2, ()), TypeError, r"inputs must be .* got \(\)"),
        (
            lambda: build("small_resnet", 10, (1, 8, 8)),
            ValueError,
            r"inputs of small_resnet must be \(3, 32, 32\), got \(1, 8, 8\)",
        ),
        (lambda: build("small_vit", 10, 2), ValueError, "inputs of small_vit must be .* got 2"),
        (lambda: resnet18(True), TypeError, "classes must be .* got True"),
        (lambda: small_vit(1.5), ValueError, "classes must be .* got 1.5"),
        (lambda: mlp(2.5, 2), ValueError, "inputs must be .* got 2.5"),
        (lambda: mlp(2, math.nan), ValueError, "classes must be .* got nan"),
        (lambda: mlp(2, 2, 32), TypeError, r"hidden must be a sequence .*\(32, 32\), got 32"),
        (lambda: mlp(2, 2, "32"), TypeError, "hidden must be a sequence .* got '32'"),
        (lambda: mlp(2, 2, (32, 0)), ValueError, "hidden must be a whole number >= 1, got 0"),
        (lambda: Attention(96, 5), ValueError, "heads must divide width"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 3, 28, 28), (1, 3, 4, 4), (1, 3, 35, 35), (1, 1, 32, 32)])
def test_vit_wants_its_image_size(shape):
    """A 4x4 image is one patch, which torch would repeat 64 times without a word."""
    with pytest.raises(ValueError, match=r"images must be \(N, 3, 32, 32\), got \(1, "):
        small_vit()(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"images must be"):
        small_vit()(torch.zeros(3, 32, 32))


@pytest.mark.parametrize("name", ["small_resnet", "resnet18"])
def test_grey_images(name):
    with pytest.raises(RuntimeError, match=r"expected input.* to have 3 channels, but got 1"):
        make(name)(torch.zeros(2, 1, 32, 32))


def test_mlp_of_other_inputs():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        mlp(2, 2)(torch.zeros(4, 3))
