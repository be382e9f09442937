"""The loss along a line and on a plane through a model's weights, many points at a time.

`loss(outputs, y)` is a function such as `F.cross_entropy` that gives one number; the outputs are
those of the model in eval mode for the whole of `x` (N, ...), in one batch. "The weights" are the
parameters that require a gradient: frozen ones stay where they are. No function here changes the
model: not its weights, gradients or buffers, and not its training or eval mode, errors included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from .evaluation import evaluating
from .reference import check_count

Loss = Callable[[Any, Any], Tensor]
Direction = dict[str, Tensor]  # parameter name -> tensor of the parameter's shape

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def filter_normalised_direction(model: nn.Module, generator: torch.Generator) -> Direction:
    """A random direction in which each filter is as long as the filter of the weights.

    A filter is `weight[i]`: the weights into one unit, or one channel. Biases and the parameters of
    normalisation layers get zero. Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets".

    Why: multiplying a layer by a factor and dividing the next one by it leaves the function of a
    ReLU network alone, but not a fixed step in the weights. This direction is scaled like the
    layer. So its slices stay the same if the same random numbers are drawn and if one factor > 0
    scales the whole layer (weights and bias). With a factor for each unit they do not: the next
    layer's filters then change in direction, not only in length.

    Args:
        generator: of the random numbers. One on the CPU gives the same direction on every device.

    Returns:
        {name: tensor of the parameter's shape, dtype and device}, for `loss_slice`.

    Raises:
        TypeError: `generator` is not a torch.Generator.
        ValueError: the model has no parameters that require a gradient.
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {generator!r:.60}")
    norms = {
        id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)
    }
    direction = {}
    for name, weight in trainable(model).items():
        if weight.ndim < 2 or id(weight) in norms:
            direction[name] = torch.zeros_like(weight, requires_grad=False)
            continue
        noise = torch.randn(
            weight.shape, generator=generator, dtype=weight.dtype, device=generator.device
        ).to(weight.device)
        scale = _filter_norms(weight.detach()) / _filter_norms(noise)
        direction[name] = noise * scale.view(-1, *[1] * (weight.ndim - 1))
    return direction


def loss_slice(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    direction: Direction,
    alphas: Sequence[float] | Tensor,
    *,
    chunk: int = 32,
) -> Tensor:
    """The loss along a line: at `weights + alpha * direction` for each alpha.

    Args:
        alphas: (A,) finite numbers; 0 is the model itself.
        chunk: points evaluated at a time. The memory needed is about `chunk` times that of the
            model and of one forward pass over `x`. For images 8 or 16 is often faster than 32.

    Returns:
        (A,) the losses, in the loss's dtype, on its device.

    Raises:
        ValueError: a loss that is not finite or not one number, a direction that does not fit the
            model, a bad `alphas` or `chunk`, a model without weights. TypeError: a wrong type.
    """
    a = _points("alphas", alphas)
    return _losses(model, loss, x, y, {"direction": direction}, {"alpha": a}, chunk)


def loss_surface(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    direction_1: Direction,
    direction_2: Direction,
    alphas: Sequence[float] | Tensor,
    betas: Sequence[float] | Tensor,
    *,
    chunk: int = 32,
) -> Tensor:
    """The loss on a plane: at `weights + alpha * direction_1 + beta * direction_2`.

    Args:
        alphas, betas: (A,) and (B,) finite numbers.
        chunk: points evaluated at a time, see `loss_slice`.

    Returns:
        (A, B): row i, column j is the loss at alphas[i], betas[j].

    Raises:
        ValueError, TypeError: as `loss_slice`.
    """
    a, b = _points("alphas", alphas), _points("betas", betas)
    points = {"alpha": a.repeat_interleave(len(b)), "beta": b.repeat(len(a))}
    directions = {"direction_1": direction_1, "direction_2": direction_2}
    return _losses(model, loss, x, y, directions, points, chunk).view(len(a), len(b))


def _losses(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    directions: dict[str, Direction],
    points: dict[str, Tensor],
    chunk: int,
) -> Tensor:
    """(P,) losses at P points; `points` has the P coordinates along each of the directions."""
    chunk = check_count("chunk", chunk, 1)
    weights = {name: weight.detach() for name, weight in trainable(model).items()}
    for name, direction in directions.items():
        _check_direction(name, direction, weights)
    # What no direction moves (biases, for example) is not copied for each point.
    moved = {n for n in weights if any(bool(d[n].count_nonzero()) for d in directions.values())}
    coordinates = torch.stack(list(points.values()), 1)  # (P, number of directions)
    at_once = _at_once(model, loss, x, y, chunk)
    losses = []
    with evaluating(model), torch.no_grad():
        # A loss that is not one number is noticed here, with a plain message.
        here = _loss_at(model, loss, x, y, weights)
        for some in torch.split(coordinates, chunk):
            if not moved:  # all the points are the same one
                losses.append(here.expand(len(some)))
                continue
            stacked = {}
            for name in moved:
                weight = weights[name]
                steps = some.to(weight).view(*some.shape, *[1] * weight.ndim)
                stacked[name] = weight + sum(
                    steps[:, i] * direction[name] for i, direction in enumerate(directions.values())
                )
            losses.append(at_once(stacked))
    result = torch.cat(losses)
    if not bool((finite := result.isfinite()).all()):
        worst = int((~finite).nonzero()[0])
        where = ", ".join(f"{name} {values[worst]:g}" for name, values in points.items())
        raise ValueError(f"loss must be finite, got {result[worst]:g} at {where}: stay nearer to 0")
    return result


def _at_once(
    model: nn.Module, loss: Loss, x: Tensor, y: Tensor, chunk: int
) -> Callable[[Direction], Tensor]:
    """What turns C sets of weights, {name: (C, *shape)}, C at most `chunk`, into (C,) losses."""
    hooks = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    if isinstance(model, nn.Sequential) and is_perceptron(model) and x.ndim == 2 and not hooks:
        return _Perceptron(model, loss, x, y, chunk)
    return vmap(lambda weights: _loss_at(model, loss, x, y, weights))


class _Perceptron:
    """The same for what `is_perceptron` accepts, two to three times as fast.

    Tensors are (C, features, N): with the examples in the last place each layer is one batched
    product that reads and writes memory in order. Its results go to places that are kept from
    chunk to chunk: fresh memory costs as much as the arithmetic. `vmap` does neither.
    """

    def __init__(self, model: nn.Sequential, loss: Loss, x: Tensor, y: Tensor, chunk: int) -> None:
        self.model, self.loss, self.y = model, loss, y
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.inputs = x.T.contiguous()
        # Labels below 0 are left out of the mean: `cross_entropy` itself knows how.
        self.labels = loss is F.cross_entropy and y.ndim == 1 and bool((y >= 0).all())
        widths = [layer.out_features for layer in model if isinstance(layer, nn.Linear)]
        self.places = [x.new_empty(chunk, width, len(x)) for width in widths]

    def __call__(self, stacked: Direction) -> Tensor:
        count = len(next(iter(stacked.values())))

        def many(parameter: Tensor) -> Tensor:
            moved = stacked.get(self.names[id(parameter)])
            return parameter.expand(count, *parameter.shape) if moved is None else moved

        z, places = self.inputs.expand(count, -1, -1), iter(self.places)
        for layer in self.model:
            if isinstance(layer, nn.Linear):
                place, product = next(places)[:count], (many(layer.weight), z)
                if layer.bias is None:
                    z = torch.bmm(*product, out=place)
                else:
                    z = torch.baddbmm(many(layer.bias)[:, :, None], *product, out=place)
            else:
                z = z.relu() if z.data_ptr() == self.inputs.data_ptr() else z.relu_()
        if self.labels:  # cross-entropy takes this order as it is, and is then three times as fast
            return F.cross_entropy(z, self.y.expand(count, -1), reduction="none").mean(1)
        return vmap(lambda outputs: self.loss(outputs, self.y))(z.transpose(1, 2))


def _check_direction(name: str, direction: Direction, weights: dict[str, Tensor]) -> None:
    if not isinstance(direction, dict):
        raise TypeError(f"{name} must be a dict of tensors by name, got {direction!r:.60}")
    if different := sorted(map(str, direction.keys() ^ weights.keys())):
        raise ValueError(f"{name} must have the model's parameters, and differs in {different[:5]}")
    for key, weight in weights.items():
        if (shape := tuple(direction[key].shape)) != tuple(weight.shape):
            raise ValueError(f"{name}[{key!r}] must have shape {tuple(weight.shape)}, got {shape}")


def _points(name: str, values: Sequence[float] | Tensor) -> Tensor:
    """(P,) on the CPU, in float64."""
    points = torch.as_tensor(values, dtype=torch.float64, device="cpu")
    if points.ndim != 1 or not len(points) or not bool(points.isfinite().all()):
        raise ValueError(f"{name} must be a list of finite numbers, got {values!r:.60}")
    return points


def _filter_norms(weight: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1)
    return norms


# -- what flatness.py uses as well ----------------------------------------------------------------


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient; one that is used twice is there once."""
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not weights:
        raise ValueError("model must have parameters that require a gradient, and has none")
    return weights


def _loss_at(
    model: nn.Module, loss: Loss, x: Tensor, y: Tensor, weights: dict[str, Tensor]
) -> Tensor:
    """The loss with `weights` in the place of the model's. Buffers are copied: none is changed."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    value = loss(functional_call(model, {**buffers, **weights}, (x,)), y)
    if not isinstance(value, Tensor) or value.ndim:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else value
        raise ValueError(f"loss must give one number as a tensor, got {got}")
    return value


def finite_loss(model: nn.Module, loss: Loss, x: Tensor, y: Tensor, weights: Any) -> Tensor:
    """The loss of the model with other weights, or a ValueError if it is not finite."""
    value = _loss_at(model, loss, x, y, weights)
    if not bool(value.isfinite()):
        raise ValueError(f"loss must be finite, got {float(value.detach())}")
    return value


def is_perceptron(model: nn.Module) -> bool:
    """Whether it is a plain nn.Sequential of nn.Linear and nn.ReLU, and nothing else."""
    return type(model) is nn.Sequential and all(type(m) in (nn.Linear, nn.ReLU) for m in model)
