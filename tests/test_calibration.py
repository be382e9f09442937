"""calibration.py: against cases worked out by hand, a slow reference, and closed forms."""

import builtins
import math
import random
import re
import statistics
from pathlib import Path

import pytest
import torch
from torch import nn

from sema_lite import calibration
from sema_lite.calibration import (
    boundary_width,
    expected_calibration_error,
    reliability,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def logits_of(*confidences, classes=2):
    """Logits (N, classes), float64, of answers "0" with these confidences."""
    rows = []
    for p in confidences:
        rest = (1 - p) / (classes - 1)
        rows.append([math.log(q) if q else -1000.0 for q in (p, *[rest] * (classes - 1))])
    return torch.tensor(rows, dtype=torch.float64)


def slow_ece(logits, labels, bins):
    """The definition, one answer at a time: bin i is [i/bins, (i+1)/bins), the last one has 1."""
    members = [[] for _ in range(bins)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        powers = [math.exp(z - max(row)) for z in row]
        confidence = torch.tensor(max(powers) / sum(powers)).item()  # rounded to float32
        place = max(i for i in range(bins) if i / bins <= confidence + 1e-9)
        members[place].append((confidence, float(row.index(max(row)) == label)))
    error = 0.0
    for bin_ in filter(None, members):
        confidence, right = map(statistics.fmean, zip(*bin_, strict=True))
        error += len(bin_) / len(labels) * abs(right - confidence)
    return error


def ece_of(bins):
    """From what `reliability` gives."""
    full = bins.number > 0
    gaps = (bins.accuracy - bins.confidence).abs()[full]
    return float((bins.number[full] * gaps).sum() / bins.number.sum())


# -- calibration error ----------------------------------------------------------------------------


def test_a_case_by_hand():
    # Five answers, two bins: [0, 1/2) stays empty with two classes, so take three of them.
    # confidence   0.4     0.45    0.6     0.8     1
    # right        yes     no      yes     no      yes
    # bin 1: mean confidence 0.425, accuracy 1/2, gap 0.075, weight 2/5
    # bin 2: mean confidence 0.8, accuracy 2/3, gap 2/15, weight 3/5
    # ECE = 0.4 * 0.075 + 0.6 * 2/15 = 0.03 + 0.08 = 0.11
    logits, labels = logits_of(0.4, 0.45, 0.6, 0.8, 1.0, classes=3), torch.tensor([0, 1, 0, 2, 0])
    assert expected_calibration_error(logits, labels, bins=2) == pytest.approx(0.11, abs=1e-6)
    bins = reliability(logits, labels, bins=2)
    assert bins.edges.tolist() == [0, 0.5, 1]
    assert bins.number.tolist() == [2, 3]
    assert bins.confidence.tolist() == pytest.approx([0.425, 0.8], abs=1e-7)
    assert bins.accuracy.tolist() == pytest.approx([1 / 2, 2 / 3], abs=1e-15)


def test_three_bins_by_hand():
    # Confidences 0.5, 0.6 | 0.7, 0.9 (bin edges 1/3, 2/3), right: no, yes | yes, yes.
    # bin 2: |1/2 - 0.55| = 0.05, bin 3: |1 - 0.8| = 0.2; ECE = (0.05 + 0.2) / 2 = 0.125
    logits, labels = logits_of(0.5, 0.6, 0.7, 0.9), torch.tensor([1, 0, 0, 0])
    assert expected_calibration_error(logits, labels, bins=3) == pytest.approx(0.125, abs=1e-6)
    bins = reliability(logits, labels, bins=3)
    assert bins.number.tolist() == [0, 2, 2]
    assert math.isnan(bins.confidence[0])
    assert math.isnan(bins.accuracy[0])


def test_a_confidence_of_one_belongs_to_the_last_bin():
    # Confidences 1 (wrong) and 0.6 (right), one bin: |1/2 - 0.8| = 0.3. Were the first in a bin of
    # its own, it would be (|0 - 1| + |1 - 0.6|) / 2 = 0.7.
    logits, labels = logits_of(1.0, 0.6), torch.tensor([1, 0])
    assert expected_calibration_error(logits, labels, bins=1) == pytest.approx(0.3, abs=1e-6)
    assert reliability(logits, labels, bins=1).confidence.tolist() == pytest.approx([0.8], abs=1e-7)


def test_logits_between_0_and_1_are_still_logits():
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # sure to 73.1 %, not to 100 %
    error = expected_calibration_error(logits, torch.tensor([1, 0]))
    assert error == pytest.approx(1 - 1 / (1 + math.exp(-1)), abs=1e-6)


def test_the_surest_answers():
    sure = torch.tensor([[1000.0, -1000.0, 0.0]] * 4)
    assert expected_calibration_error(sure, torch.zeros(4, dtype=int)) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(sure, torch.ones(4, dtype=int)) == pytest.approx(1, abs=1e-6)
    assert reliability(sure, torch.ones(4, dtype=int)).confidence[-1] == 1


# A largest probability of 0 there is not; of 1/C, the least, there is, and of all edges above it.
@pytest.mark.parametrize("bins", [1, 2, 4, 8, 16])
def test_confidences_on_the_edges(bins):
    on_edges = [i / 16 for i in range(4, 17)]  # and 0.25 is one of four equal probabilities
    logits = torch.cat([logits_of(*on_edges, classes=4), torch.zeros(1, 4).double()])
    labels = torch.tensor([i % 3 for i in range(len(logits))])
    expected = slow_ece(logits, labels, bins)
    assert expected_calibration_error(logits, labels, bins) == pytest.approx(expected, abs=1e-6)
    found = reliability(logits, labels, bins)
    assert ece_of(found) == pytest.approx(expected, abs=1e-6)
    places = [min(int(p * bins), bins - 1) for p in [*on_edges, 0.25]]
    assert found.number.tolist() == [places.count(i) for i in range(bins)]


@pytest.mark.parametrize("classes", [2, 3, 5, 7, 10, 15])
def test_equal_logits_lie_on_the_edge_of_a_bin(classes):
    """1/C is the lower edge of the second of C bins: there it belongs, also in single precision."""
    for dtype in (torch.float32, torch.float64):
        bins = reliability(torch.zeros(3, classes, dtype=dtype), torch.tensor([0, 1, 0]), classes)
        assert bins.number[1] == 3
        error = expected_calibration_error(
            torch.zeros(3, classes, dtype=dtype), torch.tensor([0, 1, 0]), classes
        )
        assert error == pytest.approx(2 / 3 - 1 / classes, abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_random_cases_equal_the_definition(seed):
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    classes, n, bins = rng.choice([2, 3, 10]), rng.choice([1, 7, 300]), rng.choice([1, 2, 5, 15])
    logits = rng.choice([0.3, 2, 30]) * torch.randn(n, classes, generator=generator)
    labels = torch.randint(classes, (n,), generator=generator)
    labels = torch.where(torch.rand(n, generator=generator) < 0.6, logits.argmax(1), labels)
    expected = slow_ece(logits, labels, bins)
    assert expected_calibration_error(logits, labels, bins) == pytest.approx(expected, abs=2e-6)
    found = reliability(logits, labels, bins)
    assert ece_of(found) == pytest.approx(expected, abs=2e-6)
    assert found.number.sum() == n
    assert found.edges.shape == (bins + 1,)


def test_gradients_other_types_and_whole_labels_are_fine():
    logits, labels = logits_of(0.9, 0.7, 0.6), torch.tensor([0, 0, 1], dtype=torch.uint8)
    logits.requires_grad_()
    wanted = expected_calibration_error(logits, labels.long())
    assert expected_calibration_error(logits, labels) == wanted
    assert type(wanted) is float
    assert not reliability(logits, labels).confidence.requires_grad
    assert expected_calibration_error(logits.bfloat16(), labels) == pytest.approx(wanted, abs=0.01)


GOOD, LABELS = torch.zeros(3, 2), torch.tensor([0, 1, 0])


@pytest.mark.parametrize("function", [expected_calibration_error, reliability])
@pytest.mark.parametrize(
    ("logits", "labels", "bins", "kind", "message"),
    [
        (torch.zeros(3), LABELS, 15, ValueError, r"logits .* \(N, C\).*\(3,\)"),
        (torch.zeros(3, 2, 1), LABELS, 15, ValueError, r"logits .*\(3, 2, 1\)"),
        (torch.zeros(3, 1), LABELS, 15, ValueError, r"logits .*\(3, 1\)"),
        (torch.zeros(0, 2), LABELS[:0], 15, ValueError, r"logits .*\(0, 2\)"),
        (GOOD, LABELS[:2], 15, ValueError, r"labels .*\(3,\).*\(2,\)"),
        (GOOD, torch.zeros(3, 2).long(), 15, ValueError, r"labels .*\(3, 2\)"),
        (GOOD, torch.tensor([0, 2, 1]), 15, ValueError, "labels must be from 0 to 1, got 2"),
        (GOOD, torch.tensor([0, -1, 1]), 15, ValueError, "labels must be from 0 to 1, got -1"),
        (GOOD, LABELS.float(), 15, TypeError, "labels must be whole .*float32"),
        (GOOD, LABELS.bool(), 15, TypeError, "labels must be whole .*bool"),
        (GOOD.long(), LABELS, 15, TypeError, "logits must be floating .*int64"),
        ([[0.0, 1.0]], LABELS, 15, TypeError, "logits must be a tensor, got list"),
        (GOOD, [0, 1, 0], 15, TypeError, "labels must be a tensor, got list"),
        (GOOD * math.nan, LABELS, 15, ValueError, "logits must be finite, got nan"),
        (GOOD + math.inf, LABELS, 15, ValueError, "logits must be finite, got inf"),
        (GOOD, LABELS, 0, ValueError, "bins must be a whole number >= 1, got 0"),
        (GOOD, LABELS, 2.5, ValueError, "bins must be a whole number >= 1, got 2.5"),
        (GOOD, LABELS, "15", TypeError, "bins must be a whole number >= 1, got '15'"),
    ],
)
def test_bad_input(function, logits, labels, bins, kind, message):
    with pytest.raises(kind, match=message) as error:
        function(logits, labels, bins)
    assert "\n" not in str(error.value)


# -- boundary width -------------------------------------------------------------------------------


class Probe(nn.Module):
    """Log-odds z(x, y) of class 1, split over two logits; nothing in it can be trained."""

    def __init__(self, z):
        super().__init__()
        self.z = z

    def forward(self, points):
        z = self.z(points[:, 0], points[:, 1])
        return torch.stack([3 - z / 2, 3 + z / 2], 1)  # a common shift changes nothing


def straight(angle, k, c=0.1):
    across, along = math.cos(angle), math.sin(angle)
    return Probe(lambda x, y: k * (x * across + y * along - c))


# Angles at which the band leaves through two opposite sides of the window; k = 500 gives a band of
# 0.0044, far narrower than the spacing of the grid, 0.01 to 0.05.
@pytest.mark.parametrize("degrees", [0, 17, 90, 100, 180, 200, 275])
@pytest.mark.parametrize("k", [5, 40, 500])
def test_width_of_a_straight_boundary(degrees, k):
    model = straight(math.radians(degrees), k)
    for points in (41, 200):
        width = boundary_width(model, (-1, 1, -1, 1), points)
        assert width == pytest.approx(2 * math.log(3) / k, rel=1e-3)


def test_width_for_another_band_and_window():
    # A window that is not square, nor centred; log-odds of 0.1 and 0.6: -ln 9 and ln 1.5
    model = straight(math.radians(20), 8, c=2.5)
    width = boundary_width(model, (1, 4, -0.5, 0.5), 60, low=0.1, high=0.6)
    # The line is tilted, but both edges of the band are as long as the middle.
    assert width == pytest.approx((math.log(9) + math.log(1.5)) / 8, rel=1e-3)


def test_a_band_through_the_corners_comes_out_too_small_as_said():
    # Diagonal of a square of side 2: the corners cut (w/2)^2 each off a band of width w.
    width = 2 * math.log(3) / 5
    length = math.sqrt(8)
    found = boundary_width(straight(math.pi / 4, 5, c=0), (-1, 1, -1, 1))
    assert found == pytest.approx((width * length - width**2 / 2) / length, rel=1e-3)


def test_circles_count_with_their_holes():
    # z = k (r - 1): a ring between 1 - w/2 and 1 + w/2 has the area 2 pi w, so the width is w.
    ring = Probe(lambda x, y: 10 * ((x * x + y * y).sqrt() - 1))
    width = 2 * math.log(3) / 10
    assert boundary_width(ring, (-2, 2, -2, 2)) == pytest.approx(width, rel=2e-3)
    # z = k (r^2 - R^2): area 2 pi ln 3 / k, length 2 pi R
    bowl = Probe(lambda x, y: 10 * (x * x + y * y - 2.25))
    width = math.log(3) / (10 * 1.5)
    assert boundary_width(bowl, (-2, 2, -2, 2)) == pytest.approx(width, rel=2e-3)


def test_the_mean_over_two_boundaries_is_weighted_by_their_lengths():
    # x = -1 with slope 10 and x = 1 with slope 30, the same length: the mean of the two widths
    model = Probe(lambda x, _: torch.where(x < 0, 10 * (x + 1), 30 * (1 - x)))
    expected = math.log(3) / 10 + math.log(3) / 30
    assert boundary_width(model, (-2, 2, 0, 1)) == pytest.approx(expected, rel=1e-3)


def test_the_probability_is_that_of_class_1():
    # Steeper on the side of class 1: there the half of the band is narrower.
    model = Probe(lambda x, _: torch.where(x < 0, 10 * x, 30 * x))
    sure = boundary_width(model, (-2, 2, 0, 1), 201, low=0.5, high=0.75)
    unsure = boundary_width(model, (-2, 2, 0, 1), 201, low=0.25, high=0.5)
    assert sure == pytest.approx(math.log(3) / 30, rel=1e-3)
    assert unsure == pytest.approx(math.log(3) / 10, rel=1e-3)


@pytest.mark.parametrize("z", [lambda x, _: 1 + 0 * x, lambda x, _: x - 9, lambda x, _: 0 * x])
def test_nan_where_there_is_no_boundary(z):
    assert math.isnan(boundary_width(Probe(z), (-1, 1, -1, 1)))


def test_classes_exchanged_and_the_mode_of_the_model():
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2).double()  # the points have to be of its type
            nn.init.constant_(self.linear.bias, 0)

        def forward(self, points):
            assert not self.training
            assert not torch.is_grad_enabled()
            return self.linear(points)

    model = Moody().train()
    with torch.no_grad():
        model.linear.weight.copy_(torch.tensor([[0.0, 0.0], [6.0, 1.0]]))
    width = boundary_width(model, (-1, 1, -1, 1), points=30, device="cpu")
    assert model.training
    assert width == pytest.approx(2 * math.log(3) / math.sqrt(37), rel=1e-3)
    with torch.no_grad():
        model.linear.weight.copy_(model.linear.weight.flip(0))
    assert boundary_width(model, (-1, 1, -1, 1), points=30) == pytest.approx(width, rel=1e-9)


def test_the_points_go_to_the_device_that_is_named():
    model = straight(0, 5)
    model.elsewhere = nn.Parameter(torch.zeros(1, device="meta"))
    width = boundary_width(model, (-1, 1, -1, 1), device="cpu")
    assert width == pytest.approx(2 * math.log(3) / 5, rel=1e-3)


def test_many_points_go_through_the_model_in_parts(monkeypatch):
    sizes = []

    def z(x, y):
        sizes.append(len(x))
        return 5 * x + y

    monkeypatch.setattr("sema_lite.calibration.POINTS_AT_ONCE", 1000)
    parts = boundary_width(Probe(z), (-1, 1, -1, 1), points=50)
    assert sizes == [1000, 1000, 500]
    monkeypatch.setattr("sema_lite.calibration.POINTS_AT_ONCE", 10_000)
    assert boundary_width(Probe(z), (-1, 1, -1, 1), points=50) == parts


SQUARE = (-1, 1, -1, 1)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"low": 0.75, "high": 0.25}, ValueError, "0 < low < high < 1, got 0.75 and 0.25"),
        ({"low": 0.5, "high": 0.5}, ValueError, "0 < low < high < 1"),
        ({"low": 0.0}, ValueError, "0 < low < high < 1"),
        ({"high": 1}, ValueError, "0 < low < high < 1"),
        ({"low": math.nan}, ValueError, "low must be a number"),
        ({"high": "0.75"}, TypeError, "high must be a number"),
        ({"points": 1}, ValueError, "points must be a whole number >= 2, got 1"),
        ({"window": (1, -1, -1, 1)}, ValueError, "window must be .*left < right.*1, -1"),
        ({"window": (-1, 1, 2, 2)}, ValueError, "window must be"),
        ({"window": (-1, 1, -1)}, ValueError, "window must be"),
        ({"window": (-1, math.inf, -1, 1)}, ValueError, "window must be"),
        ({"window": (-math.inf, 1, -1, 1)}, ValueError, "window must be"),
        ({"window": (-1, 1, -math.inf, 1)}, ValueError, "window must be"),
        ({"window": 3}, ValueError, "window must be"),
        ({"model": nn.Linear(2, 3)}, ValueError, r"model must give logits \(40000, 2\).*40000, 3"),
        ({"model": nn.Linear(2, 1)}, ValueError, "model must give logits"),
        ({"model": Probe(lambda x, _: x / 0)}, ValueError, "model must give finite logits"),
    ],
)
def test_bad_input_to_boundary_width(settings, kind, message):
    settings = {"model": straight(0, 5), "window": SQUARE, **settings}
    with pytest.raises(kind, match=message) as error:
        boundary_width(**settings)
    assert "\n" not in str(error.value)


# -- what is not installed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("torchmetrics", lambda: expected_calibration_error(GOOD, LABELS)),
        ("contourpy", lambda: boundary_width(straight(0, 5), SQUARE)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, call):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"{package}.*pip install 'sema-lite\[course\]'"):
        call()


def test_the_import_is_light():
    lines = Path(calibration.__file__).read_text(encoding="utf-8").splitlines()
    heavy = [line for line in lines if re.search(r"import.*(torchmetrics|contourpy)", line)]
    heavy += [line for line in lines if re.search(r"from (torchmetrics|contourpy)", line)]
    assert len(heavy) >= 2
    assert all(line.startswith("        ") for line in heavy), "import it inside the function"
