"""How flat the loss is around a model's weights: curvature, sharpness, and why they prove little.

`loss(outputs, y)`, `x` and "the weights" are what they are in `surfaces.py`, whose functions can be
had here as well. No function here changes the model, errors included.

No such number means much by itself: `rescaled` shows a network that computes the same and is as
sharp as one likes.
"""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .evaluation import evaluating
from .landscapes import check_number
from .reference import check_count
from .surfaces import (
    Direction,
    Loss,
    filter_normalised_direction,
    finite_loss,
    is_perceptron,
    loss_slice,
    loss_surface,
    trainable,
)

__all__ = [
    "Direction",
    "Loss",
    "Trace",
    "filter_normalised_direction",
    "hessian_trace",
    "loss_slice",
    "loss_surface",
    "rescaled",
    "sam_sharpness",
    "top_eigenvalues",
]

DENSE = 64  # up to so many weights the Hessian is written out: Lanczos needs more than k of them
BLOCK = 8  # Hessian-vector products at a time


# -- curvature ------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """What `hessian_trace` estimates."""

    value: float
    standard_error: float


def top_eigenvalues(model: nn.Module, loss: Loss, x: Tensor, y: Tensor, k: int = 1) -> list[float]:
    """The `k` largest eigenvalues of the loss's Hessian in the weights, the largest first.

    Largest, not largest in size: a strongly negative one does not count. Found by the Lanczos
    method (scipy's `eigsh`) from products of the Hessian with a vector (curvlinops); up to 64
    weights, or for a `k` of half of them, from the whole Hessian. The same on every call.

    Raises:
        ValueError, TypeError: k not a whole number from 1 to the number of weights; a loss that is
            not finite or not one number; a model without weights.
        ImportError: curvlinops is not installed.
    """
    k = check_count("k", k, 1)
    hessian = _hessian(model, loss, x, y)
    n = hessian.shape[0]
    if k > n:
        raise ValueError(f"k must be at most {n}, the number of weights, got {k}")
    if n <= max(DENSE, 2 * k):
        eye = torch.eye(n, dtype=hessian.dtype, device=hessian.device)
        matrix = torch.cat([hessian @ columns for columns in torch.split(eye, BLOCK, 1)], 1)
        values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).tolist()
    else:
        start = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        if not bool((hessian @ start.to(hessian.device, hessian.dtype)).count_nonzero()):
            return [0.0] * k  # a Hessian of zeros, which stops Lanczos with an error
        values = _library("scipy.sparse.linalg").eigsh(
            hessian.to_scipy(), k, which="LA", v0=start.numpy(), return_eigenvectors=False
        )
    return sorted(map(float, values), reverse=True)[:k]


def hessian_trace(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    samples: int = 100,
    generator: torch.Generator | None = None,
) -> Trace:
    """The sum of all eigenvalues of the loss's Hessian in the weights, estimated.

    The mean of `v . H v` over random vectors v of +1 and -1 (Hutchinson 1989), and its standard
    error. It is exact for a diagonal Hessian; elsewhere the error falls as 1/sqrt(samples).

    Args:
        samples: random vectors, at least 2. Each costs about two gradients.
        generator: of the random numbers, on the CPU; None gives the same ones on every call.

    Raises:
        ValueError, TypeError: samples not a whole number >= 2; a loss that is not finite or not one
            number; a model without weights.
        ImportError: curvlinops is not installed.
    """
    samples = check_count("samples", samples, 2)
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    products = []
    hessian = _hessian(model, loss, x, y)
    for done in range(0, samples, BLOCK):
        size = (hessian.shape[0], min(BLOCK, samples - done))
        signs = 2 * torch.randint(0, 2, size, generator=generator) - 1
        v = signs.to(hessian.device, hessian.dtype)
        products.append((v * (hessian @ v)).sum(0))
    found = torch.cat(products).double()
    return Trace(float(found.mean()), float(found.std()) / math.sqrt(samples))


class _LossModule(nn.Module):
    """The loss as curvlinops wants it. With a single batch "sum" leaves it as it is."""

    reduction = "sum"

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Any, y: Any) -> Tensor:
        return self.loss(outputs, y)


def _hessian(model: nn.Module, loss: Loss, x: Tensor, y: Tensor) -> Any:
    """curvlinops' Hessian of the loss, to be multiplied with: of a copy of the model."""
    model = copy.deepcopy(model).eval()  # curvlinops hands its own buffers to the model
    weights = trainable(model)
    with torch.no_grad():
        finite_loss(model, loss, x, y, weights)
    with _quiet():  # torch loads what it needs at the first such call, and warns
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))
    return _library("curvlinops").HessianLinearOperator(
        model, _LossModule(loss), list(weights.values()), [(x, y)], check_deterministic=False
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings about things inside other libraries that are to go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _library(name: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ImportError(f"the Hessian needs {package}: pip install 'sema-lite[course]'") from None


# -- sharpness ------------------------------------------------------------------------------------


def sam_sharpness(model: nn.Module, loss: Loss, x: Tensor, y: Tensor, rho: float = 0.05) -> float:
    """How much the loss rises over a step of length `rho` straight up the slope.

    `loss(w + rho g/|g|) - loss(w)`, g the gradient and |g| its length over all the weights: to
    first order in rho the highest rise in a ball of radius rho. Foret et al. 2021, "Sharpness-Aware
    Minimization". Where the gradient is exactly zero no direction is the steepest: 0 is returned.

    Raises:
        ValueError, TypeError: rho not finite and > 0; a loss or gradient that is not finite; a loss
            that is not one number; a model without weights.
    """
    rho = check_number("rho", rho, above=0)
    weights = {name: w.detach().requires_grad_() for name, w in trainable(model).items()}
    with evaluating(model):
        with torch.enable_grad():
            start = finite_loss(model, loss, x, y, weights)
            gradients = torch.autograd.grad(start, list(weights.values()), materialize_grads=True)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        if not math.isfinite(norm):
            raise ValueError(f"loss must have a finite gradient, got one of length {norm}")
        if norm == 0:
            return 0.0
        with torch.no_grad():
            climbed = {
                name: weight + rho / norm * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
            return float(finite_loss(model, loss, x, y, climbed)) - float(start.detach())


def rescaled(model: nn.Sequential, factor: float) -> nn.Sequential:
    """A copy that computes the same with other weights: flatness alone says little.

    The first linear layer (weights and bias) is multiplied by `factor`, the weights of the next one
    are divided by it. As relu(factor * z) = factor * relu(z) the function is the same: to rounding,
    and exactly where the factor is a power of two. Its curvature and sharpness are not, and can be
    made as large as one likes. Dinh et al. 2017, "Sharp Minima Can Generalize For Deep Nets".

    Args:
        model: an nn.Sequential of nn.Linear and nn.ReLU only, with at least two linear layers.

    Raises:
        TypeError: another model. ValueError: fewer than two linear layers, or shared weights; a
            factor that is not > 0, or so large or small that the weights' dtype cannot hold it.
    """
    factor = check_number("factor", factor, above=0)
    if not is_perceptron(model):
        raise TypeError(
            f"model must be an nn.Sequential of nn.Linear and nn.ReLU, got {model!r:.60}"
        )
    twin = copy.deepcopy(model)
    linear = [module for module in twin if isinstance(module, nn.Linear)]
    tensors = [p for module in linear for p in module.parameters()]
    if len(linear) < 2 or len({id(p) for p in tensors}) < len(tensors):
        raise ValueError("model must have at least two nn.Linear that share no weights")
    first, second = linear[:2]
    tiny = torch.finfo(first.weight.dtype).tiny
    if not tiny <= factor <= 1 / tiny:
        raise ValueError(f"factor must be from {tiny:.3g} to {1 / tiny:.3g}, got {factor!r}")
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.mul_(factor)
        second.weight.div_(factor)
    return twin
