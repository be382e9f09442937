"""training.py, models.py, evaluation.py: on a handful of images and a network of two layers."""

import hashlib
import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sema_lite.calibration import expected_calibration_error
from sema_lite.data import ImageData, batches, normalise
from sema_lite.evaluation import evaluate
from sema_lite.models import small_resnet
from sema_lite.run import METHODS, Run, default_decay
from sema_lite.training import Diverged, find_device, train, train_together

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny():
    """Images of ten colours, with noise: 48 to train (3 batches of 16), 20 to test."""
    random = torch.Generator().manual_seed(0)

    def images(n):
        labels = torch.arange(n) % 10
        noise = torch.randint(0, 200, (n, 3, 32, 32), generator=random)
        return (noise + 5 * labels.view(n, 1, 1, 1)).byte(), labels

    return ImageData("ten colours", *images(48), *images(20))


def net(classes):
    """One convolution with batch norm: it has buffers, as the real one."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def go(method, data, build=net, **settings):
    run = Run(method=method, **{"epochs": 2, "batch_size": 16, **settings})
    return train(run, data, build=build, progress=False, device="cpu")


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# -- every method ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_finite_scores(tiny, method):
    result = go(method, tiny)
    assert (result.data, result.steps, len(result.epochs)) == ("ten colours", 6, 2)
    assert (result.average is None) == (method == "sgd")
    assert result.seconds > 0
    for epoch in result.epochs:
        assert math.isfinite(epoch.loss)
        for scores in (epoch.live, epoch.averaged):
            if scores is not None:
                assert 0 <= scores.accuracy <= 1
                assert math.isfinite(scores.nll)
    json.dumps(result.record(), allow_nan=False)


def test_it_learns(tiny):
    result = go("ema", tiny, epochs=15, lr=0.02)
    assert result.epochs[-1].loss < 0.8 * result.epochs[0].loss
    assert result.epochs[-1].averaged.nll < 0.8 * math.log(10)


def test_last_scores_are_those_of_the_models_handed_back(tiny):
    result = go("ema", tiny)
    last = result.epochs[-1]
    assert evaluate(result.model, tiny.test_images, tiny.test_labels) == last.live
    averaged = result.average.averaged_model()
    assert evaluate(averaged, tiny.test_images, tiny.test_labels) == last.averaged
    assert last.live != last.averaged


def test_sema_switches_once_an_epoch(tiny):
    result = go("sema", tiny, epochs=4)
    assert (result.switches, result.average.step) == (4, 12)
    average = torch.cat([v.flatten() for v in result.average.average.values()])
    assert torch.equal(weights(result.model), average)  # it switched on the very last step
    # ... but the live weights were measured before that:
    assert all(epoch.live != epoch.averaged for epoch in result.epochs)
    assert go("sema", tiny, switch_every=4).switches == 1
    assert go("ema", tiny).switches == 0
    assert go("lookahead", tiny).switches == 1  # 6 steps, k = 5


def test_decay_0_is_sgd(tiny):
    sgd, sema = go("sgd", tiny), go("sema", tiny, decay=0.0)
    assert torch.equal(weights(sgd.model), weights(sema.model))
    assert [e.live for e in sgd.epochs] == [e.live for e in sema.epochs]
    assert [e.live for e in sgd.epochs] == [e.averaged for e in sema.epochs]
    assert torch.equal(weights(sgd.model), weights(go("lookahead", tiny, s=1.0).model))


def test_decay_1_stands_still(tiny):
    result = go("sema", tiny, decay=1.0)
    torch.manual_seed(0)
    assert torch.equal(weights(result.model), weights(net(10)))


def test_swa_averages_the_end_of_the_run(tiny):
    assert go("swa", tiny, swa_start=0.5).average.averaged == 3
    assert go("swa", tiny, swa_start=0.0).average.averaged == 6
    late = go("swa", tiny, swa_start=1.0)
    assert late.epochs[-1].live == late.epochs[-1].averaged


def test_real_network(tiny):
    model = small_resnet()
    assert sum(p.numel() for p in model.parameters()) == 308_826
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert small_resnet(3)(torch.randn(2, 3, 32, 32)).shape == (2, 3)
    F.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert go("sema", tiny, build=small_resnet, epochs=1).switches == 1


# -- pairing and repetition -----------------------------------------------------------------------


def test_methods_are_paired(tiny):
    """All inputs of all training steps are recorded here, independently of the fingerprints."""
    seen = {}

    def build_for(key):
        digest = seen[key] = hashlib.sha256()

        def build(classes):
            model = net(classes)
            digest.update(weights(model).numpy().tobytes())

            def record(module, inputs):
                if module.training:
                    digest.update(inputs[0].contiguous().numpy().tobytes())

            model.register_forward_pre_hook(record)
            return model

        return build

    results = {
        (method, seed): go(method, tiny, seed=seed, build=build_for((method, seed)))
        for method, seed in itertools.product(METHODS, (0, 1))
    }
    for seed in (0, 1):
        assert len({seen[method, seed].hexdigest() for method in METHODS}) == 1
        assert len({results[method, seed].start for method in METHODS}) == 1
        assert len({results[method, seed].batches for method in METHODS}) == 1
        # Before the first switch, the live weights of all but Lookahead are those of SGD.
        assert len({results[m, seed].epochs[0].live for m in METHODS if m != "lookahead"}) == 1
    assert seen["sgd", 0].hexdigest() != seen["sgd", 1].hexdigest()
    assert results["sgd", 0].start != results["sgd", 1].start
    assert results["sgd", 0].batches != results["sgd", 1].batches


def test_runs_that_watch_one_training_score_as_alone(tiny):
    settings = [{"method": "sgd"}, {"method": "ema", "decay": 0.5}, {"method": "swa"}]
    settings += [{"method": "ema", "batch_norm": policy} for policy in ("live", "estimate")]
    runs = [Run(epochs=2, batch_size=16, **each) for each in settings]
    together = train_together(runs, tiny, build=net, progress=False, device="cpu")
    for run, result in zip(runs, together, strict=True):
        alone = train(run, tiny, build=net, progress=False, device="cpu")
        assert replace(result, seconds=0) == replace(alone, seconds=0)
        assert torch.equal(weights(result.model), weights(alone.model))


def test_runs_that_do_not_go_together(tiny):
    ema = Run(method="ema", batch_size=16)
    for other in (Run(method="sema", batch_size=16), replace(ema, lr=0.1), replace(ema, seed=1)):
        with pytest.raises(ValueError, match="must differ only in averages that watch"):
            train_together([ema, other], tiny)
    with pytest.raises(ValueError, match="at least one run"):
        train_together([], tiny)


def test_listeners_hear_of_each_step_and_epoch(tiny):
    steps, epochs = [], []
    result = go_listening(tiny, lambda step, loss: steps.append((step, loss)), epochs.append)
    assert [step for step, _ in steps] == list(range(1, 7))
    first = sum(loss for _, loss in steps[:3]) / 3
    assert first == pytest.approx(result.epochs[0].loss)
    assert epochs == [[epoch] for epoch in result.epochs]


def go_listening(data, on_step, on_epoch):
    run = Run(method="ema", epochs=2, batch_size=16)
    options = {"progress": False, "device": "cpu", "on_step": on_step, "on_epoch": on_epoch}
    return train(run, data, build=net, **options)


def test_batch_norm_policies(tiny):
    """With decay 0 the averaged weights are the live ones, and so all differences are batch norm's.

    One epoch of full batches: the statistics of the estimate, by hand, are those of all images.
    """
    options = {"decay": 0.0, "epochs": 1, "batch_size": 48}
    results = {p: go("ema", tiny, batch_norm=p, **options) for p in ("average", "live", "estimate")}
    last = {policy: result.epochs[-1] for policy, result in results.items()}
    assert last["live"].averaged == last["live"].live
    assert last["average"].averaged == last["average"].live
    assert last["estimate"].averaged != last["estimate"].live
    model = results["estimate"].model
    random = torch.Generator().manual_seed(0)
    ((x, _),) = batches(tiny.train_images, tiny.train_labels, 48, random)
    with torch.no_grad():
        variance, mean = torch.var_mean(model[0](x), dim=(0, 2, 3))
    model[1].running_mean.copy_(mean)
    model[1].running_var.copy_(variance)
    by_hand = evaluate(model, tiny.test_images, tiny.test_labels)
    assert by_hand.nll == pytest.approx(last["estimate"].averaged.nll, rel=1e-4)


def test_two_runs_are_equal_to_the_bit(tiny):
    first = go("sema", tiny, schedule="cosine")
    torch.rand(5)
    second = go("sema", tiny, schedule="cosine")
    assert torch.equal(weights(first.model), weights(second.model))
    assert replace(first, seconds=0) == replace(second, seconds=0)


def test_random_numbers_of_the_caller_go_on(tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    go("ema", tiny)
    assert torch.equal(torch.rand(3), expected)


def test_the_schedule_reaches_the_optimizer(tiny):
    """One step of plain SGD, by hand: the second of two steps of a cosine has half the rate."""
    options = {"momentum": 0.0, "weight_decay": 0.0, "batch_size": 48, "lr": 0.1}
    cosine = go("sgd", tiny, schedule="cosine", epochs=2, **options)
    constant = [go("sgd", tiny, epochs=n, **options) for n in (1, 2)]
    first, second = (weights(r.model) for r in constant)
    assert torch.allclose(weights(cosine.model), (first + second) / 2, atol=1e-6)


def test_decay_is_recorded(tiny):
    assert go("ema", tiny).decay == default_decay(3)
    assert go("sema", tiny, decay=0.7).decay == 0.7
    assert go("sgd", tiny).decay is None


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run(tiny):
    with pytest.raises(Diverged, match=r"step \d.*learning rate 1e\+30.*smaller one.*1e\+29"):
        go("ema", tiny, lr=1e30)


def test_a_compiled_network_trains_the_same(tiny, monkeypatch):
    """With a compiler that needs no C++; a switch must not make it compile anew."""
    compile_, graphs = nn.Module.compile, []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    class Own(nn.Module):  # as the library's models are: torch 2.6 leaves a bare Sequential alone
        def __init__(self, classes):
            super().__init__()
            self.layers = net(classes)

        def forward(self, x):
            return self.layers(x)

    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_(self, backend=backend))
    torch.compiler.reset()

    def run(compiled, every):
        settings = Run(method="sema", switch_every=every, epochs=2, batch_size=16)
        return train(settings, tiny, build=Own, progress=False, device="cpu", compiled=compiled)

    assert run(True, 3).epochs == run(False, 3).epochs
    assert len(graphs) == 2  # to train, and to evaluate
    assert run(True, 1).switches == 6
    assert len(graphs) <= 4  # a second network at most compiles as many


def test_weights_that_are_not_finite_after_the_last_step_stop_the_run(tiny):
    def deep(classes):
        return nn.Sequential(
            nn.Flatten(), *(nn.Linear(n, 9) for n in (3072, 9)), nn.Linear(9, classes)
        )

    with pytest.raises(Diverged, match="step 1,"):
        go("sgd", tiny, deep, lr=1e30, batch_size=48, epochs=1)


def test_batch_larger_than_the_data(tiny):
    with pytest.raises(ValueError, match="batch_size must be at most 48"):
        go("sgd", tiny, batch_size=49)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", ""])
def test_devices_that_are_not_there(name):
    with pytest.raises(ValueError, match="cannot be used here"):
        find_device(name)


# -- evaluation -----------------------------------------------------------------------------------


def test_evaluate_equals_the_plain_sum(tiny):
    model = net(10).eval()
    with torch.no_grad():
        probabilities = model(normalise(tiny.test_images)).double().softmax(1)
    right = (probabilities.argmax(1) == tiny.test_labels).double().mean().item()
    nll = -probabilities[torch.arange(20), tiny.test_labels].log().mean().item()
    for batch_size in (1, 7, 20, 500):
        scores = evaluate(model, tiny.test_images, tiny.test_labels, batch_size)
        assert scores.accuracy == pytest.approx(right)
        assert scores.nll == pytest.approx(nll, rel=1e-5)
        ece = expected_calibration_error(probabilities.log(), tiny.test_labels)
        assert scores.ece == pytest.approx(ece, abs=1e-5)


def test_without_torchmetrics_there_is_no_ece(tiny, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = go("ema", tiny, epochs=1)
    assert result.epochs[-1].averaged.ece is None
    assert math.isfinite(result.epochs[-1].averaged.nll)


def test_evaluate_leaves_the_model_as_it_was(tiny):
    model = net(10)
    model[1].eval()  # a frozen batch norm, as in fine-tuning
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, tiny.test_images, tiny.test_labels)
    assert [m.training for m in model] == [True, False, True, True, True]
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError):
        evaluate(model, tiny.test_images[:, :2], tiny.test_labels)
    assert model.training
