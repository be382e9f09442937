"""Many small networks trained at once, one for each seed, as one module.

A small network leaves a processor idle: most of a step is calls, not arithmetic. So the weights of
S networks are stacked, and each layer is one batched product for all of them. Nothing mixes: the
gradient of the summed loss holds each member's own gradient, and SGD and every average of this
library work number by number. So each member trains as it would alone, but for rounding.

    models = ManyMLPs(range(20), inputs=2, classes=2)
    average = SEMA(models, decay=0.99, switch_every=40).attach(optimizer)   # of all 20
    loss = models.loss(x, y)                                                # x is (20, B, 2)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .models import mlp
from .reference import check_count


class ManyMLPs(nn.Module):
    """S multilayer perceptrons with ReLU, one for each seed.

    Args:
        seeds: of the initial weights. Member i begins as `models.mlp` does after
            `torch.manual_seed(seeds[i])`.
        inputs, classes: numbers that go in and logits that come out.
        hidden: widths of the layers between.

    Raises:
        ValueError, TypeError: no seed, or a width below 1; the message names it.
    """

    def __init__(
        self,
        seeds: Iterable[int],
        inputs: int,
        classes: int,
        hidden: Sequence[int] = (32, 32),
    ) -> None:
        super().__init__()
        self.seeds = [check_count("seeds", seed, 0) for seed in seeds]
        if not self.seeds:
            raise ValueError("seeds must have at least one entry, got none")
        widths = [check_count("inputs", inputs, 1)]
        widths += [check_count("hidden", width, 1) for width in hidden]
        widths += [check_count("classes", classes, 1)]
        self.widths = widths
        members = [self._new_layers(seed) for seed in self.seeds]
        layers = list(zip(*members, strict=True))
        self.weights = nn.ParameterList(  # (S, in, out) each: as a batched product wants them
            torch.stack([layer.weight.detach().T for layer in same]) for same in layers
        )
        self.biases = nn.ParameterList(  # (S, 1, out)
            torch.stack([layer.bias.detach()[None] for layer in same]) for same in layers
        )

    def _new_layers(self, seed: int) -> list[nn.Linear]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = mlp(self.widths[0], self.widths[-1], self.widths[1:-1])
        return [layer for layer in network if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor) -> Tensor:
        """(S, B, inputs), or (B, inputs) to show all members the same, -> logits (S, B, classes).

        Raises:
            ValueError: x is of another shape.
        """
        wanted = f"({len(self.seeds)}, B, {self.widths[0]}) or (B, {self.widths[0]})"
        fits = x.dim() == 2 or (x.dim() == 3 and len(x) == len(self.seeds))
        if not fits or x.shape[-1] != self.widths[0]:
            raise ValueError(f"x must be {wanted}, got {tuple(x.shape)}")
        if x.dim() == 2:
            x = x.expand(len(self.seeds), *x.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, F.relu(x) if i else x, weight)
        return x

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over the members of each one's mean cross-entropy: call `backward()` on it.

        Args:
            x: as in `forward`.
            y: labels, (S, B) or (B,).
        """
        return self.losses(x, y).sum()

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Each member's mean cross-entropy, (S,)."""
        return mean_losses(self(x), y)

    def member(self, i: int) -> nn.Sequential:
        """Member number i as an ordinary network of its own."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            inputs, outputs = weight.shape[1:]
            linear = nn.Linear(inputs, outputs, device=weight.device, dtype=weight.dtype)
            with torch.no_grad():
                linear.weight.copy_(weight[i].T)
                linear.bias.copy_(bias[i, 0])
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])


def mean_losses(logits: Tensor, y: Tensor) -> Tensor:
    """Each member's mean cross-entropy, (S,), from its logits (S, B, classes)."""
    labels = y.expand(logits.shape[:2])
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).mean(1)


def index_batches(
    n: int, batch_size: int, generators: Sequence[torch.Generator]
) -> Iterable[Tensor]:
    """One epoch of batches, as indices (S, batch_size): each member has its own order.

    The few examples that do not fill a batch are left out: other ones in each epoch.

    Raises:
        ValueError: batch_size is larger than n.
    """
    if check_count("batch_size", batch_size, 1) > n:
        raise ValueError(f"batch_size must be at most {n}, got {batch_size}")
    orders = torch.stack([torch.randperm(n, generator=each) for each in generators])
    whole = orders[:, : n - n % batch_size]
    return torch.split(whole, batch_size, dim=1)
