"""The settings of a run: what they mean in steps, rates and optimizers, and bad ones."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sema_lite import theory
from sema_lite.run import MOST, OPTIMIZERS, Run, default_decay


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


# -- steps and rates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch_every", "steps"), [(7, 7), ("epoch", 78), ("1epoch", 78), ("2epochs", 156)]
)
def test_period(switch_every, steps):
    run = Run(switch_every=switch_every)
    assert run.period(78) == steps
    average = run.average(nn.Linear(2, 2), 78)
    assert average is not None
    assert average.switch_every == steps


def test_cosine_falls_to_zero():
    run = Run(lr=0.2, schedule="cosine")
    rates = [run.learning_rate(step, 10) for step in range(11)]
    assert rates[0] == 0.2
    assert rates[5] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)
    assert {Run(lr=0.2).learning_rate(step, 10) for step in range(10)} == {0.2}


def test_cyclic_falls_to_a_hundredth_and_begins_again():
    run = Run(lr=0.1, schedule="cyclic", epochs=4, cycle=2)
    rates = [run.learning_rate(step, 12) for step in range(12)]
    assert rates[:6] == pytest.approx([0.1, 0.0802, 0.0604, 0.0406, 0.0208, 0.001])
    assert rates[6:] == rates[:6]
    assert Run(lr=0.1, schedule="cyclic", epochs=3).learning_rate(1, 3) == 0.1  # of one step each


def test_swa_takes_in_the_ends_of_cycles(model):
    swa = Run(method="swa", schedule="cyclic", epochs=8, cycle=2, swa_start=0.6).average(model, 5)
    assert swa is not None
    assert (swa.start, swa.update_every) == (20, 10)
    steps = [step for step in range(1, 41) if (before := swa.averaged, swa.update())
             and swa.averaged > before]  # fmt: skip
    assert steps == [30, 40]


@pytest.mark.parametrize("steps", [1, 2, 5, 8, 9, 39, 78, 781])
def test_default_decay_does_not_freeze(steps):
    assert theory.step_fraction(default_decay(steps), steps) >= 0.5
    assert steps < 8 or steps * (1 - default_decay(steps)) == pytest.approx(4)


# -- optimizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_makes_a_step(model, name):
    run = Run(optimizer=name)
    optimizer = run.make_optimizer(model.parameters())
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_overflows_at_the_largest_settings(model, name):
    """They may diverge, which is told; torch raises where a number is none of float32."""
    optimizer = Run(optimizer=name, **MOST).make_optimizer(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()


def test_settings_reach_the_optimizer(model):
    run = Run(optimizer="SGD", lr=0.3, momentum=0.7, weight_decay=0.01)
    (group,) = run.make_optimizer(model.parameters()).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.7, 0.01)
    optimizer = Run(optimizer="AdamW", weight_decay=0.05).make_optimizer(model.parameters())
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (
        1e-3,
        0.05,
    )
    assert Run(optimizer="AdamW") == Run(optimizer="adamw")
    assert {"sgd", "adam", "adamw", "rmsprop", "nadam"} < set(OPTIMIZERS)


def test_defaults_depend_on_the_data_and_the_optimizer():
    assert (Run().model, Run().lr) == ("small_resnet", 0.05)
    assert (Run(data="circles").model, Run(optimizer="adam").lr) == ("mlp", 1e-3)


def test_the_constants_of_lookahead_are_those_of_its_paper(model):
    average = Run(method="lookahead").average(model, 10)
    assert average is not None
    assert (average.update_every, average.switch_every, average.decay) == (5, 5, 0.5)


# -- which runs share a training -------------------------------------------------------------------


def test_what_watches_has_the_trajectory_of_sgd():
    sgd = Run(method="sgd", epochs=5)
    for watching in ({"method": "ema", "decay": 0.5}, {"method": "swa", "batch_norm": "live"}):
        assert replace(sgd, **watching).trajectory() == sgd
    for other in ({"lr": 0.1}, {"seed": 1}, {"method": "sema"}, {"method": "lookahead"}):
        assert replace(sgd, **other).trajectory() != sgd
    sema = Run(method="sema", decay=0.9)
    assert replace(sema, decay=0.8).trajectory() != sema.trajectory()


# -- bad ones --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "adam"), ("method", None), ("data", "mnist"), ("schedule", "linear"),
        ("epochs", 0), ("epochs", 1.5), ("epochs", "3"), ("batch_size", 1), ("seed", -1),
        ("lr", -0.1), ("lr", float("nan")), ("lr", float("inf")), ("lr", "0.1"), ("lr", True),
        ("lr", 10**40), ("weight_decay", 2_000_000),
        ("weight_decay", -1), ("momentum", 1.1), ("decay", 1.01), ("decay", float("nan")),
        ("switch_every", 0), ("switch_every", "batch"), ("switch_every", 2.5),
        ("switch_every", "0epochs"), ("switch_every", "epoch2"), ("switch_every", "-1epochs"),
        ("swa_start", 1.5), ("k", 0), ("s", -0.1), ("cycle", 0), ("batch_norm", "none"),
        ("model", "vgg"), ("optimizer", "lbfgs"), ("optimizer", "optimizer"), ("optimizer", 3),
    ],
)  # fmt: skip
def test_bad_settings(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be.*{value!r}"):
        Run(**{name: value})


def test_swa_needs_a_whole_cycle():
    """Or it would average nothing, and its weights would be the initial ones."""
    with pytest.raises(ValueError, match=r"^cycle must be at most epochs = 3 for SWA.*got 4"):
        Run(method="swa", schedule="cyclic", epochs=3, cycle=4)
    Run(method="ema", schedule="cyclic", epochs=3, cycle=4)


def test_the_smallest_numbers_are_fine():
    Run(seed=0, epochs=1, batch_size=2, k=1, cycle=1)


def test_points_need_an_mlp():
    with pytest.raises(ValueError, match="model must be 'mlp' for circles, got 'resnet18'"):
        Run(data="circles", model="resnet18")
