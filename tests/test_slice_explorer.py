"""LossSliceExplorer: what it shows is what `loss_slice` and the networks say."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import torch
from torch.nn import functional as F

from sema_lite import slice_explorer
from sema_lite.flatness import filter_normalised_direction, loss_slice, rescaled
from sema_lite.widgets import LossSliceExplorer

pytestmark = pytest.mark.usefixtures("one_thread")
OTHERS = {"method": "sema", "seed": 3, "span": 0.7, "factor": 0.3, "normalised": False}


@pytest.fixture(scope="module")
def solutions():
    return slice_explorer._trained()


def loss_of(net, x, y):
    with torch.no_grad():
        return float(F.cross_entropy(net(x), y))


@pytest.mark.parametrize("method", slice_explorer.METHODS)
def test_the_left_line_goes_from_the_live_weights_to_the_average(method, solutions):
    data, networks = solutions
    shown = LossSliceExplorer(method=method)
    for i, name in enumerate(("live", "average")):
        net = networks[method][i]
        read = shown.readout
        train, test = (data.train_x, data.train_y), (data.test_x, data.test_y)
        assert read[f"loss_{name}"] == pytest.approx(loss_of(net, *train), abs=1e-5)
        assert read[f"test_{name}"] == pytest.approx(loss_of(net, *test), abs=1e-5)
        place = shown.curves["between"].index(i)
        assert shown.curves["train"][place] == read[f"loss_{name}"]
    ends = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in networks[method]]
    assert read["distance"] == pytest.approx(float((ends[1] - ends[0]).norm()), rel=1e-5)
    assert read["distance"] > 0.1


def test_live_weights_of_ema_and_swa_are_one_run_and_that_of_sema_another(solutions):
    _, networks = solutions
    ema, swa, sema = (networks[method].live.state_dict() for method in ("ema", "swa", "sema"))
    assert all(torch.equal(value, swa[name]) for name, value in ema.items())
    assert not any(torch.equal(value, sema[name]) for name, value in ema.items())


@pytest.mark.parametrize("normalised", [True, False])
def test_the_right_line(normalised, solutions):
    data, networks = solutions
    shown = LossSliceExplorer(**{**OTHERS, "normalised": normalised})
    net = networks["sema"].average
    twin = rescaled(net, 0.3)
    for name, network, source in (("slice", net, net), ("twin", twin, twin if normalised else net)):
        way = filter_normalised_direction(source, torch.Generator().manual_seed(3))
        alphas = shown.curves["alpha"]
        want = loss_slice(network, F.cross_entropy, data.train_x, data.train_y, way, alphas)
        assert shown.curves[name] == pytest.approx(want.tolist(), abs=1e-5)
        rise = float((want[0] + want[-1]) / 2 - want[20])
        key = "rise" if name == "slice" else "rise_twin"
        assert shown.readout[key] == pytest.approx(rise, abs=1e-5)
    assert (alphas[0], alphas[20], alphas[-1]) == (-0.7, 0, 0.7)


def test_normalising_hides_the_twin_and_nothing_else_does():
    shown = LossSliceExplorer(factor=4.0)
    assert shown.readout["rise_twin"] == pytest.approx(shown.readout["rise"], abs=1e-4)
    shown.normalised = False
    assert abs(shown.readout["rise_twin"] - shown.readout["rise"]) > 0.05
    shown.factor = 1.0
    assert shown.readout["rise_twin"] == pytest.approx(shown.readout["rise"], abs=1e-6)


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
def test_each_setting_changes_the_picture_and_goes_back(name, value):
    shown = LossSliceExplorer(normalised=False)
    if name == "normalised":
        value = True
    before, picture = shown.state, shown.png
    setattr(shown, name, value)
    assert shown.message == ""
    assert shown.state == {**before, name: value}
    assert shown.png != picture
    setattr(shown, name, before[name])
    assert shown.png == picture


@pytest.mark.parametrize(
    ("name", "value"),
    [("method", "sgd"), ("seed", -1), ("span", 0), ("factor", 100), ("normalised", 1)],
)
def test_a_bad_value_gives_a_message(name, value):
    shown = LossSliceExplorer()
    before = shown.state
    setattr(shown, name, value)
    assert name in shown.message
    assert shown.state == before


def test_training_leaves_the_random_numbers_alone():
    slice_explorer._trained.cache_clear()
    state = torch.get_rng_state()
    LossSliceExplorer()
    assert torch.equal(state, torch.get_rng_state())


def test_torch_is_imported_with_the_first_explorer_only():
    code = "import sys, sema_lite.slice_explorer; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
