"""A small network on two circles, trained in numpy: 2,000 steps in a tenth of a second.

A slider needs an answer while one looks, and most of the time of a small network in torch is calls,
not arithmetic. Here the gradient is written out and the weights lie end to end in one array. It is
the run of `compare.train_many` with one seed, step for step, but for rounding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .theory import USES

EPOCHS, BATCH, MOMENTUM = 50, 10, 0.9
TRAIN = 400  # points
HIDDEN = (32, 32)
SHAPES = ((32, 2), (32,), (32, 32), (32,), (2, 32), (2,))  # of the weights, as in torch
SWA_START = 0.75  # of the run, as in `run.Run`
Array = Any  # a numpy array


class Trained(NamedTuple):
    """A run: row 0 is the start, row e what the last step of epoch e led to, before a switch."""

    live: Array  # (epochs + 1, 1218) float32: the weights, end to end
    averaged: Array  # the same for the average
    scores: dict[str, list[float]]  # "accuracy_live", "nll_average", ...: on the test points


def train(method: str, lr: float, decay: float, switch_every: int, seed: int) -> Trained:
    """Train an MLP 2-32-32-2 on `points.circles(seed)` by SGD with momentum, at a constant rate.

    Lookahead goes a fraction 1-d of the way every `switch_every` steps. Should a weight stop being
    finite, the run ends with the epoch before.
    """
    # It comes with scikit-learn, as the circles do.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    with threadpool_limits(1):  # products as small as these only wait for a second thread
        return _train(method, lr, decay, switch_every, seed)


def _train(method: str, lr: float, decay: float, switch_every: int, seed: int) -> Trained:
    start, data, order = begin(seed)
    weights, gradient, average = start.copy(), np.zeros_like(start), start.copy()
    step, rows = 0, [(start.copy(), start.copy())]
    layers, slopes, velocity = _views(weights), _views(gradient), np.zeros_like(start)
    x, y = data[0], np.eye(2, dtype=np.float32)[data[1]]
    for epoch in order:
        for batch in epoch:
            _gradient(layers, slopes, x[batch], y[batch])
            velocity *= MOMENTUM
            velocity += gradient
            weights -= lr * velocity
            step += 1
            average += _share(method, step, decay, switch_every) * (weights - average)
            if step % len(epoch) == 0:
                rows.append((weights.copy(), average.copy()))
            if method in USES["switch_every"] and step % switch_every == 0:
                weights[:] = average
        if not np.isfinite(rows[-1]).all():
            rows.pop()
            break
    live, averaged = (np.stack(each) for each in zip(*rows, strict=True))
    scores: dict[str, list[float]] = {}
    for name, every in (("live", live), ("average", averaged)):
        pairs = [_score(each, data[2], data[3]) for each in every]
        scores[f"accuracy_{name}"], scores[f"nll_{name}"] = map(list, zip(*pairs, strict=True))
    return Trained(live, averaged, scores)


def _share(method: str, step: int, decay: float, switch_every: int) -> float:
    """How far toward the live weights the average goes in this step."""
    if method == "sgd":
        return 1.0
    if method == "swa":
        steps_after = step - int(SWA_START * EPOCHS * TRAIN / BATCH)
        return 1.0 if steps_after < 1 else 1 / steps_after
    if method == "lookahead" and step % switch_every:
        return 0.0
    return 1 - decay


@lru_cache(maxsize=16)
def begin(seed: int) -> tuple[Array, tuple[Array, ...], list[Array]]:
    """Weights, points and batches as `compare.train_many` makes them."""
    import torch  # which takes seconds to import: only where it is used

    from .models import mlp
    from .points import circles

    points = circles(seed, TRAIN)
    data = (points.train_x, points.train_y, points.test_x, points.test_y)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = mlp(2, 2, HIDDEN)
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    random = torch.Generator().manual_seed(seed)
    order = [torch.randperm(points.train_size, generator=random) for _ in range(EPOCHS)]
    batches = [each.view(-1, BATCH).numpy() for each in order]
    return start, tuple(each.numpy() for each in data), batches


def _views(flat: Array) -> list[Array]:
    """The weight matrices and biases in a flat array, in torch's order: views, no copies."""
    sizes = [math.prod(shape) for shape in SHAPES]
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def _gradient(layers: list[Array], slopes: list[Array], x: Array, y: Array) -> None:
    """Write the gradient of the batch's mean NLL into `slopes`: backpropagation, layer by layer.

    Args:
        x: (B, 2); y: (B, 2), a 1 in the column of the label.
    """
    w1, b1, w2, b2, w3, b3 = layers
    first = np.maximum(x @ w1.T + b1, 0)
    second = np.maximum(first @ w2.T + b2, 0)
    logits = second @ w3.T + b3
    likely = np.exp(logits - logits.max(1, keepdims=True))
    back = (likely / likely.sum(1, keepdims=True) - y) / len(x)
    for i, (weight, before) in enumerate(((w3, second), (w2, first), (w1, x))):
        np.matmul(back.T, before, out=slopes[4 - 2 * i])
        np.sum(back, 0, out=slopes[5 - 2 * i])
        if i < 2:
            back = (back @ weight) * (before > 0)


def log_odds(flat: Array, x: Array) -> Array:
    """log(p / (1 - p)) of class 1 at the points x (N, 2), by the weights `flat`."""
    w1, b1, w2, b2, w3, b3 = _views(flat)
    hidden = np.maximum(np.maximum(x @ w1.T + b1, 0) @ w2.T + b2, 0)
    return hidden @ (w3[1] - w3[0]) + (b3[1] - b3[0])


def _score(flat: Array, x: Array, y: Array) -> tuple[float, float]:
    """Accuracy and NLL."""
    z = log_odds(flat, x)
    return float(((z > 0) == y).mean()), float(np.logaddexp(0, np.where(y == 1, -z, z)).mean())


def network(flat: Array) -> Any:
    """The `models.mlp` with these weights."""
    import torch

    from .models import mlp

    with torch.random.fork_rng(devices=[]):
        model = mlp(2, 2, HIDDEN)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(flat), model.parameters())
    return model
