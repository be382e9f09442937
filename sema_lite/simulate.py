"""Thousands of walkers on a landscape at once: decays x switch periods x walkers, on any device.

Each walker does what `landscapes.walk` does, step for step. The counting (when to average, when
to switch) is not written a second time: it is the reference's own `Average`, over tensors.

>>> from sema_lite.landscapes import NoisyQuadratic
>>> walks = simulate(NoisyQuadratic(), 0.1, 600, 500, decays=[0.9, 0.99], periods=[None, 10])
>>> walks.average.shape, walks.switches.tolist()
(torch.Size([2, 2, 500, 2]), [[0, 60], [0, 60]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .landscapes import Landscape, check_landscape, check_number, diverged
from .reference import SGD, Average, Decay, check_count, check_fraction

LOOK_EVERY = 100  # steps between looks for divergence: a look waits for the device


@dataclass(frozen=True, eq=False)
class Walks:
    """What `simulate` returns. D decays, P periods, W walkers; the last dimension is (x, y)."""

    live: Tensor  # (D, P, W, 2), after the last step
    average: Tensor  # (D, P, W, 2)
    switches: Tensor  # (D, P), how often each has switched
    diverged: Tensor  # (D, P, W), True where a live weight was not finite after some step
    recorded: tuple[int, ...]  # the R steps of the two paths; 0 is the beginning
    live_path: Tensor  # (R, D, P, W, 2), after each of these steps, its switch included
    average_path: Tensor  # (R, D, P, W, 2)


def simulate(
    landscape: Landscape,
    lr: float,
    steps: int,
    walkers: int = 1000,
    *,
    decays: Sequence[Decay] = (0.99,),
    periods: Sequence[int | None] = (None,),
    update_every: int = 1,
    start: int = 0,
    stop: int | None = None,
    momentum: float = 0.0,
    noise: float | None = None,
    gradient_noise: Any = None,
    begin: Any = None,
    seed: int = 0,
    record_every: int | None = None,
    on_divergence: str = "raise",
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> Walks:
    """Walk down with SGD in every cell of the grid, while averages follow and may switch.

    Walker i feels the same noise in every cell, so cells compare in pairs.

    Args:
        lr, momentum: of SGD.
        decays: each a float, or a function as in `reference.Average` (`reference.uniform`: SWA).
        periods: steps between switches; None: never.
        update_every, start, stop: as in `reference.Average`. With `stop=steps - 1` the last step
            does not switch: `live` is then what it was just before the switch.
        noise: standard deviation of the gradient's noise in each coordinate; None:
            `landscape.noise`. It is drawn from `seed`, in float32 for every `dtype`: five times
            faster, and no draw is beyond 6 standard deviations. Another device, other numbers.
        gradient_noise: instead, the noise itself, (steps, walkers, 2), added as it is.
        begin: where to begin, (2,) or (walkers, 2); None: `landscape.start`.
        record_every: keep the points after steps 0, n, 2n, ...; None: keep none.
        on_divergence: "raise", or "keep": mark them in `diverged` and go on. They harm no other.
        device: None: torch's default device.

    Raises:
        ValueError, TypeError: an argument outside its range; the message names it.
        ValueError: a walker diverged; the message says which one and when, to LOOK_EVERY steps.
    """
    check_landscape(landscape)
    SGD([], lr, momentum)  # checks both
    lr, momentum = float(lr), float(momentum)
    steps, walkers = check_count("steps", steps, 0), check_count("walkers", walkers, 1)
    decays = [
        d if callable(d) else check_fraction(name, d) for name, d in _entries("decays", decays)
    ]
    periods = [
        p if p is None else check_count(name, p, 1) for name, p in _entries("periods", periods)
    ]
    every = None if record_every is None else check_count("record_every", record_every, 1)
    if on_divergence not in ("raise", "keep"):
        raise ValueError(f'on_divergence must be "raise" or "keep", got {on_divergence!r}')
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be a floating-point dtype, got {dtype!r}")
    like = torch.zeros((), device=device, dtype=dtype)
    if gradient_noise is None:
        sigma = check_number("noise", landscape.noise if noise is None else noise, least=0)
        kicks = _drawn_kicks(sigma, check_count("seed", seed, 0), walkers, like)
    elif noise is None:
        kicks = _given_kicks(gradient_noise, (steps, walkers, 2), like)
    else:
        raise ValueError(f"give noise or gradient_noise, not both; noise is {noise!r}")
    first = _tensor("begin", landscape.start if begin is None else begin, like)
    if first.shape not in ((2,), (walkers, 2)) or not first.isfinite().all():
        wanted = f"finite, of shape (2,) or ({walkers}, 2)"
        raise ValueError(f"begin must be {wanted}, got {begin!r:.60} of {tuple(first.shape)}")

    # x and y are the outermost dimension here: so each is one block of memory.
    shape = (2, len(decays), len(periods), walkers)
    state = first.expand(walkers, 2).T[:, None, None].expand(3, *shape).clone()
    live, average, probe = state  # the probe turns nan where a walker diverges, and stays so
    velocity = torch.zeros_like(live)
    (x, y), (velocity_x, velocity_y) = live, velocity
    by_decay = [
        _Columns(state[:, :, i], decay, update_every, None, start, None)
        for i, decay in enumerate(decays)
    ]
    by_period = [
        _Columns(state[:, :, :, i], 1.0, 1, period, start, stop)  # d = 1: takes nothing in
        for i, period in enumerate(periods)
    ]
    recorded = range(0, steps + 1, every) if every else range(0)
    paths = live.new_empty(2, len(recorded), *shape[1:], 2)

    def record(step: int) -> None:
        if step in recorded:
            for path, points in zip(paths, (live, average), strict=True):
                path[step // recorded.step].copy_(points.movedim(0, -1))

    def look(step: int) -> None:
        probe.add_(live, alpha=0)  # as in _switch
        if on_divergence == "raise" and probe.isnan().any():
            d, p, w = probe.isnan().any(0).nonzero()[0].tolist()
            since = (step - 1) // LOOK_EVERY * LOOK_EVERY + 1
            where = f"(walker {w} of decays[{d}], periods[{p}])"
            keep = ', or pass on_divergence="keep"'
            raise diverged(f"between steps {since} and {step} {where}", lr, keep)

    with torch.no_grad():
        record(0)
        for step in range(1, steps + 1):
            slope_x, slope_y = landscape.grad(x, y)
            if momentum:
                torch.add(kicks(step), velocity, alpha=momentum, out=velocity)
            else:
                velocity.copy_(kicks(step))
            velocity_x.add_(slope_x)
            velocity_y.add_(slope_y)
            live.sub_(velocity, alpha=lr)
            for each in by_decay:
                each.update()
            for each in by_period:
                each.update()
            record(step)
            if step == steps or (on_divergence == "raise" and step % LOOK_EVERY == 0):
                look(step)
    return Walks(
        live=live.movedim(0, -1).contiguous(),
        average=average.movedim(0, -1).contiguous(),
        switches=torch.tensor([[each.switches for each in by_period]] * len(decays)),
        diverged=probe.isnan().any(0),
        recorded=tuple(recorded),
        live_path=paths[0],
        average_path=paths[1],
    )


class _Columns(Average):
    """The cells of one decay, which take in; or those of one period, which switch."""

    def __init__(self, cells: Tensor, *schedule: Any) -> None:
        self._set_schedule(*schedule)
        self._w, self._mean, self._probe = cells

    def _follow(self) -> None:
        self._mean.copy_(self._w)

    def _take_in(self, decay: float) -> None:
        self._mean.lerp_(self._w, 1 - decay)

    def _switch(self) -> None:
        # A weight that is not finite stays so, but for a switch. So look before it: 0 * inf and
        # 0 * nan are nan, and what is added to nan leaves it nan.
        self._probe.add_(self._w, alpha=0)
        self._w.copy_(self._mean)


def _tensor(name: str, value: Any, like: Tensor) -> Tensor:
    """A list, an array or a tensor as a tensor. No float32 on the way to a wider dtype."""
    try:
        return torch.as_tensor(value, dtype=like.dtype, device=like.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be numbers, got {value!r:.60}") from error


def _entries(name: str, values: Any) -> list[tuple[str, Any]]:
    """Each entry with its name for messages, such as decays[0]."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise TypeError(f"{name} must be a list, got {values!r:.60}")
    if not values:
        raise ValueError(f"{name} must have at least one entry, got {values!r}")
    return [(f"{name}[{i}]", value) for i, value in enumerate(values)]


def _drawn_kicks(sigma: float, seed: int, walkers: int, like: Tensor) -> Callable[[int], Tensor]:
    """A function that gives the noise of a step, (2, 1, 1, W), in a buffer that it uses again."""
    generator = torch.Generator(like.device).manual_seed(seed)
    drawn = torch.zeros(2, 1, 1, walkers, device=like.device, dtype=torch.float32)
    kick = drawn.to(like.dtype)

    def draw(_: int) -> Tensor:
        return kick.copy_(drawn.normal_(0, sigma, generator=generator)) if sigma else kick

    return draw


def _given_kicks(given: Any, shape: tuple[int, ...], like: Tensor) -> Callable[[int], Tensor]:
    kicks = _tensor("gradient_noise", given, like)
    if kicks.shape != shape:
        wanted = f"(steps, walkers, 2) = {shape}"
        raise ValueError(f"gradient_noise must be of shape {wanted}, got {tuple(kicks.shape)}")
    kicks = kicks.movedim(2, 1).contiguous()[:, :, None, None]
    return lambda step: kicks[step - 1]
