"""How good a classifier is: accuracy, negative log-likelihood (NLL), calibration error (ECE)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .data import normalise


class Scores(NamedTuple):
    """What `evaluate` measures."""

    accuracy: float  # share of right answers, in [0, 1]
    nll: float  # mean of -log p(right class), in nats
    ece: float | None  # see `calibration.expected_calibration_error`; None without torchmetrics


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside the `with` the model is in eval mode; after it every submodule is as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 500) -> Scores:
    """Scores of `model` over uint8 images (N, 3, H, W) and labels (N,).

    The result does not depend on `batch_size`, but for rounding. Logits that are not finite give
    an `nll` that is not, and NaN for the `ece`.
    """
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model(normalise(x)).float() for x in torch.split(images, batch_size)])
    return score(logits, labels)


def score(logits: Tensor, labels: Tensor) -> Scores:
    """Scores of logits (N, C) for labels (N,)."""
    from .calibration import expected_calibration_error  # which needs `evaluating`

    ece = None
    if importlib.util.find_spec("torchmetrics"):  # the library alone does without
        finite = bool(logits.isfinite().all())
        ece = expected_calibration_error(logits, labels) if finite else math.nan
    return Scores(
        accuracy=float((logits.argmax(1) == labels).double().mean()),
        nll=float(F.cross_entropy(logits.double(), labels)),
        ece=ece,
    )
