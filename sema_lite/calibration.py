"""Does a classifier know how sure it may be? Calibration error, and the width of a boundary.

A network is calibrated if, of the answers it gives with 80 % confidence, 80 % are right.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .evaluation import evaluating
from .landscapes import Window
from .reference import check_count, check_fraction

BELOW_ONE = 1 - 2**-24  # the largest float32 below 1
POINTS_AT_ONCE = 50_000  # a fine grid need not fit a GPU's memory in one piece


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """The expected calibration error (ECE): how far confidence is from accuracy, in [0, 1].

    The confidence of an answer is the largest softmax probability. Answers are sorted by it into
    `bins` bins of equal width over [0, 1]; a bin holds its lower edge, and the last one 1 as well.
    ECE = sum over the bins of (share of the answers) * |accuracy - mean confidence|
    (Naeini et al. 2015, Guo et al. 2017). Computed by torchmetrics, which takes seconds to be
    imported, and sums in single precision: good to about 4 digits for up to 10,000 answers, to 2
    for a million.

    Few answers per bin make it too large, even for a perfectly calibrated network: compare only
    ECEs over the same number of answers and bins.

    Args:
        logits: (N, C) with C >= 2, floating point and finite. Always logits: probabilities have to
            come as their logarithm.
        labels: (N,), whole numbers from 0 to C - 1.

    Raises:
        ValueError, TypeError: an argument that is not so; the message names it.
        ImportError: torchmetrics is not installed.
    """
    logits, labels, bins = _checked(logits, labels, bins)
    try:
        from torchmetrics.functional.classification import multiclass_calibration_error
    except ImportError:
        raise ImportError(
            "expected_calibration_error needs torchmetrics: pip install 'sema-lite[course]'"
        ) from None
    # Two habits of torchmetrics to keep away from: logits that happen to lie in [0, 1] it takes
    # for probabilities, and a confidence of exactly 1 it sorts into an extra bin after the last.
    probabilities = logits.softmax(1).clamp(max=BELOW_ONE)
    error = multiclass_calibration_error(
        probabilities, labels, num_classes=logits.shape[1], n_bins=bins, norm="l1"
    )
    return float(error)


class Reliability(NamedTuple):
    """The bins of a reliability diagram, float64 but for `number`."""

    edges: Tensor  # (bins + 1,), from 0 to 1
    confidence: Tensor  # (bins,), mean over the answers in the bin; NaN where there are none
    accuracy: Tensor  # (bins,), share of right answers in the bin; NaN where there are none
    number: Tensor  # (bins,), int64: how many answers are in the bin


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Mean confidence, accuracy and number in each bin of `expected_calibration_error`.

    The bins and the arguments are the same, so that the sum over the bins with number > 0 of
    number * |accuracy - confidence| / N is the ECE, but for rounding. All results are on the CPU.

    Raises:
        ValueError, TypeError: as `expected_calibration_error`.
    """
    logits, labels, bins = _checked(logits, labels, bins)
    top, answers = logits.softmax(1).max(1)
    confidence = top.float()  # an edge is compared in single precision, as torchmetrics does
    edges = torch.linspace(0, 1, bins + 1)
    place = torch.bucketize(confidence, edges, right=True) - 1
    place = place.clamp(max=bins - 1)  # a confidence of 1 belongs to the last bin
    count = torch.bincount(place, minlength=bins)
    right = torch.bincount(place, weights=(answers == labels).double(), minlength=bins)
    total = torch.bincount(place, weights=confidence.double(), minlength=bins)
    return Reliability(edges.double(), total / count, right / count, count)


def _checked(logits: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, int]:
    """Logits as float64 and labels as int64, on the CPU, or an error that says what is wrong."""
    bins = check_count("bins", bins, 1)
    for name, value in (("logits", logits), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if logits.ndim != 2 or logits.shape[0] < 1 or logits.shape[1] < 2:
        shape = tuple(logits.shape)
        raise ValueError(f"logits must have shape (N, C), N >= 1 and C >= 2, got shape {shape}")
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"labels must have shape ({len(logits)},), as many as logits has rows, "
            f"got shape {tuple(labels.shape)}"
        )
    if not logits.is_floating_point():
        raise TypeError(f"logits must be floating point, got {logits.dtype}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be whole numbers, got {labels.dtype}")
    logits, labels = logits.detach().cpu().double(), labels.detach().cpu().long()
    if not (finite := logits.isfinite()).all():
        raise ValueError(f"logits must be finite, got {float(logits[~finite][0])}")
    most = logits.shape[1] - 1
    if len(wrong := labels[(labels < 0) | (labels > most)]):
        raise ValueError(f"labels must be from 0 to {most}, got {int(wrong[0])}")
    return logits, labels, bins


# -- how wide is the boundary between two classes -------------------------------------------------


def boundary_width(
    model: nn.Module,
    window: Window,
    points: int = 200,
    low: float = 0.25,
    high: float = 0.75,
    device: torch.device | str | None = None,
) -> float:
    """Mean width of the band around a decision boundary in which the model is not sure.

    It is A / L. A is the area, inside the window, of the band where low < p < high, p being the
    probability of class 1. L is the length of the contour p = 0.5 inside the window. Both have the
    unit of the coordinates squared or not, so the width has the unit of the coordinates.

    Band and contour are polygons, found by contourpy (marching squares) on the log-odds
    z = logit 1 - logit 0 = log(p / (1 - p)), interpolated linearly between the points of the grid.
    The log-odds are close to linear where p is far from it, and so even a band narrower than the
    spacing of the grid is measured well. For p = sigmoid(k * distance) the width is
    (log-odds of high - log-odds of low) / k: for 0.25 and 0.75, 2 ln 3 / k.

    The window should hold the whole band: parts that it cuts off are in neither A nor L, and where
    a band that is wide goes through a corner, the width comes out too small.

    Args:
        model: takes points (N, 2), gives logits (N, 2); it is run in eval mode.
        window: (left, right, bottom, top).
        points: of the grid, along each side.
        low, high: 0 < low < high < 1.
        device: where the model is. None: where its first parameter is.

    Returns:
        The width; NaN if there is no boundary in the window (all of it is of one class).

    Raises:
        ValueError, TypeError: a bad argument, or a model whose output has another shape or is not
            finite; the message says which.
        ImportError: contourpy, which comes with matplotlib, is not installed.
    """
    points = check_count("points", points, 2)
    low, high = check_fraction("low", low), check_fraction("high", high)
    if not 0 < low < high < 1:
        raise ValueError(f"low and high must be 0 < low < high < 1, got {low!r} and {high!r}")
    left, right, bottom, top = _sides(window)
    try:
        from contourpy import FillType, LineType, contour_generator
    except ImportError:
        raise ImportError(
            "boundary_width needs contourpy, which comes with matplotlib: "
            "pip install 'sema-lite[course]'"
        ) from None
    xs = torch.linspace(left, right, points, dtype=torch.float64)
    ys = torch.linspace(bottom, top, points, dtype=torch.float64)
    contours = contour_generator(
        xs.numpy(),
        ys.numpy(),
        _log_odds(model, xs, ys, device).numpy(),
        line_type=LineType.Separate,
        fill_type=FillType.OuterOffset,
    )
    length = sum(_length(torch.from_numpy(line)) for line in contours.lines(0.0))
    if length == 0:
        return math.nan
    band: Any = contours.filled(math.log(low / (1 - low)), math.log(high / (1 - high)))
    area = sum(
        _area(torch.from_numpy(corners[start:end]))
        for corners, starts in zip(*band, strict=True)  # a polygon, then its holes
        for start, end in pairwise(starts.tolist())
    )
    return area / length


def _sides(window: Window) -> Window:
    accepts = f"window must be (left, right, bottom, top), left < right, bottom < top, got {window}"
    try:
        left, right, bottom, top = map(float, window)
    except (TypeError, ValueError):
        raise ValueError(accepts) from None
    if not (-math.inf < left < right < math.inf and -math.inf < bottom < top < math.inf):
        raise ValueError(accepts)
    return left, right, bottom, top


@torch.no_grad()
def _log_odds(
    model: nn.Module, xs: Tensor, ys: Tensor, device: torch.device | str | None
) -> Tensor:
    """(len(ys), len(xs)), float64: of class 1, at each point of the grid."""
    weights = next(model.parameters(), torch.zeros(()))
    grid = torch.cartesian_prod(ys, xs).flip(1)  # (y, x) -> (x, y); x changes fastest
    grid = grid.to(device=device or weights.device, dtype=weights.dtype)
    with evaluating(model):
        logits = torch.cat([model(part) for part in torch.split(grid, POINTS_AT_ONCE)])
    if logits.shape != (len(grid), 2):
        shape = tuple(logits.shape)
        raise ValueError(f"model must give logits ({len(grid)}, 2) for so many points, got {shape}")
    logits = logits.cpu().double()
    if not logits.isfinite().all():
        raise ValueError("model must give finite logits in the window, got some that are not")
    return (logits[:, 1] - logits[:, 0]).view(len(ys), len(xs))


def _length(line: Tensor) -> float:
    """Of a line through the points (n, 2)."""
    return float(line.diff(dim=0).norm(dim=1).sum())


def _area(corners: Tensor) -> float:
    """Of a polygon (n, 2) whose last corner is its first: positive anticlockwise (the shoelace
    formula). contourpy turns holes the other way round, so that their area is taken away."""
    (x, y), (next_x, next_y) = corners[:-1].T, corners[1:].T
    return float((x * next_y - next_x * y).sum() / 2)
