"""Weight averaging in pure Python, on a plain list of floats: the definition of every method here.

One mechanism carries them all: an *average* follows the *live* weights, and now and then a
*switch* copies it back into them. The counting below (when to follow, when to average, when to
switch) is also the counting of the torch classes in `sema_lite.averaging`, which inherit from
`Average` and replace nothing but its four operations on weights.

>>> weights = [0.0]
>>> sema = SEMA(weights, decay=0.5, switch_every=2)
>>> for _ in range(2):
...     weights[0] += 1.0                      # an optimizer step
...     switched = sema.update()
>>> weights, sema.average, switched
([1.25], [1.25], True)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

Decay = float | Callable[[int], float]


def check_count(name: str, value: Any, least: int) -> int:
    """`value` as an int, or an error that names the argument and what it accepts."""
    accepts = f"{name} must be a whole number >= {least}, got {value!r:.60}"
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(accepts)
    if not least <= number < math.inf or number % 1:  # NaN fails the first
        raise ValueError(accepts)
    return int(number)


def check_fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1], or an error that names the argument."""
    return check_number(name, value, 1.0, "in [0, 1]")


def check_finite(name: str, value: Any) -> float:
    """`value` as a finite float >= 0, or an error that names the argument."""
    return check_number(name, value, sys.float_info.max, "that is finite and >= 0")


def check_number(name: str, value: Any, most: float, accepted: str) -> float:
    """`value` as a float in [0, most], or an error that says what is `accepted`."""
    accepts = f"{name} must be a number {accepted}, got {value!r:.60}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(accepts)
    try:
        number = float(value)
    except OverflowError:  # an int beyond the largest float
        number = math.inf
    if not 0.0 <= number <= most:  # NaN fails too
        raise ValueError(accepts)
    return number


def uniform(n: int) -> float:
    """The decay that makes a moving average a uniform mean: the n-th snapshot weighs 1/n."""
    return 1.0 - 1.0 / n


class Average:
    """An average that follows live weights, and the switch that copies it back.

    Call `update()` once after each optimizer step. Calls are numbered from 1; at call `k`:

    1. `k <= start`: the average is a copy of the live weights. No switch.
    2. else, if `(k - start) % update_every == 0`: `average <- d*average + (1-d)*live`.
    3. then, if `(k - start) % switch_every == 0` and not `k > stop`: `live <- average`.

    Args:
        weights: the live weights, a list of floats. A switch changes it in place.
        decay: d in [0, 1], or a function of n that gives d for the n-th averaged update
            (n = 1, 2, ...), for warm-up.
        update_every: steps between averaged updates, >= 1.
        switch_every: steps between switches, >= 1; None: only when you call `switch()`.
        start: averaging begins after this many steps.
        stop: the last step that may switch; None: no end. Averaging goes on after it.

    Raises:
        ValueError, TypeError: an argument outside its range; the message names it.
    """

    step: int  # update() calls so far
    averaged: int  # averaged updates so far
    switches: int  # switches so far, by step and by hand

    def __init__(
        self,
        weights: list[float],
        decay: Decay,
        *,
        update_every: int = 1,
        switch_every: int | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        self._set_schedule(decay, update_every, switch_every, start, stop)
        if not isinstance(weights, list) or not weights:
            raise TypeError(f"weights must be a list of at least one float, got {weights!r:.60}")
        self._live = weights
        self._average = list(weights)  # a copy: the average must not be the live list itself

    def _set_schedule(
        self,
        decay: Decay,
        update_every: int,
        switch_every: int | None,
        start: int,
        stop: int | None,
    ) -> None:
        self.decay = decay if callable(decay) else check_fraction("decay", decay)
        self.update_every = check_count("update_every", update_every, 1)
        self.switch_every = (
            None if switch_every is None else check_count("switch_every", switch_every, 1)
        )
        self.start = check_count("start", start, 0)
        self.stop = None if stop is None else check_count("stop", stop, self.start)
        self.step = self.averaged = self.switches = 0
        self._applied = False

    # -- counting: shared with the torch classes ------------------------------------------------

    def update(self) -> bool:
        """Take note of one optimizer step. Returns True when it switched."""
        self._check("update()")
        since_start = self.step + 1 - self.start
        if since_start <= 0:
            self._follow()
        elif since_start % self.update_every == 0:
            decay = self.decay
            if callable(decay):
                decay = check_fraction("decay(n)", decay(self.averaged + 1))
            if decay == 0.0:
                self._follow()  # exact at both ends: 0 * inf would be NaN
            elif decay < 1.0:
                self._take_in(decay)
            self.averaged += 1
        self.step += 1
        if (
            self.switch_every is None
            or since_start <= 0
            or since_start % self.switch_every
            or (self.stop is not None and self.step > self.stop)
        ):
            return False
        self._switch()
        self.switches += 1
        return True

    def switch(self) -> None:
        """Copy the average into the live weights now: for loops that count epochs."""
        self._check("switch()")
        self._switch()
        self.switches += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the `with` the live weights are the averaged ones; after it they are back.

        They come back after an exception too.

        Raises:
            ValueError: inside another `applied()`.
        """
        self._check("applied()")
        self._exchange()
        self._applied = True
        try:
            yield
        finally:
            self._applied = False
            self._exchange()

    def _check(self, what: str) -> None:
        if self._applied:
            raise ValueError(f"{what} was called inside applied(): leave the `with` block first")

    # -- the four operations on weights ---------------------------------------------------------

    def _follow(self) -> None:
        self._average[:] = self._live

    def _take_in(self, decay: float) -> None:
        for i, live in enumerate(self._live):
            self._average[i] = decay * self._average[i] + (1 - decay) * live

    def _switch(self) -> None:
        self._live[:] = self._average

    def _exchange(self) -> None:
        self._live[:], self._average[:] = self._average[:], self._live[:]

    # -- what there is to read and to store -----------------------------------------------------

    @property
    def average(self) -> list[float]:
        """A copy of the averaged weights."""
        return list(self._live if self._applied else self._average)

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the live weights."""
        return {
            "step": self.step,
            "averaged": self.averaged,
            "switches": self.switches,
            "average": self.average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: the state is of another model; nothing has changed.
        """
        self._check("load_state_dict()")
        missing = {"step", "averaged", "switches", "average"} - set(state)
        if missing:
            raise ValueError(f"the state lacks {sorted(missing)}")
        if len(state["average"]) != len(self._live):
            raise ValueError(
                f"the state has {len(state['average'])} weights, the model has {len(self._live)}"
            )
        self.step, self.averaged = state["step"], state["averaged"]
        self.switches = state["switches"]
        self._average[:] = state["average"]


class EMA(Average):
    """Exponential moving average: never switches. `decay` d has the horizon `1/(1-d)` steps."""

    def __init__(
        self, weights: list[float], decay: Decay = 0.99, *, update_every: int = 1, start: int = 0
    ) -> None:
        super().__init__(weights, decay, update_every=update_every, start=start)


class SWA(Average):
    """Stochastic weight averaging (Izmailov et al. 2018): uniform mean of the snapshots taken
    every `update_every` steps after `start`."""

    def __init__(self, weights: list[float], *, update_every: int = 1, start: int = 0) -> None:
        super().__init__(weights, uniform, update_every=update_every, start=start)


class SEMA(Average):
    """Switch EMA (Li et al. 2024, arXiv 2402.09240): an EMA that is copied back into the live
    weights every `switch_every` steps, one epoch as a rule. It must be given: an EMA that never
    switches is not SEMA. None means that you call `switch()` yourself."""

    def __init__(
        self,
        weights: list[float],
        decay: Decay = 0.99,
        *,
        switch_every: int | None,
        update_every: int = 1,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__(
            weights,
            decay,
            update_every=update_every,
            switch_every=switch_every,
            start=start,
            stop=stop,
        )


class Lookahead(Average):
    """Lookahead (Zhang et al. 2019): after every `k` steps the slow weights go a fraction `s` of
    the way to the fast ones, which then start again from there."""

    def __init__(self, weights: list[float], k: int = 5, s: float = 0.5) -> None:
        s = check_fraction("s", s)
        k = check_count("k", k, 1)
        super().__init__(weights, 1 - s, update_every=k, switch_every=k)


class SGD:
    """Stochastic gradient descent with momentum, as `torch.optim.SGD` counts it.

    `velocity <- momentum*velocity + gradient` (the first one is the gradient itself), then
    `weights <- weights - lr*velocity`, in place.

    Args:
        weights: a list of floats.
        lr: learning rate, finite and >= 0.
        momentum: in [0, 1].
    """

    def __init__(self, weights: list[float], lr: float, momentum: float = 0.0) -> None:
        self.weights = weights
        self.lr = check_finite("lr", lr)
        self.momentum = check_fraction("momentum", momentum)
        self.velocity = [0.0] * len(weights)

    def step(self, gradient: Sequence[float]) -> None:
        """One step against `gradient`, as long as the weights.

        Raises:
            ValueError: another length; nothing has changed.
        """
        if len(gradient) != len(self.weights):
            raise ValueError(f"{len(gradient)} gradients for {len(self.weights)} weights")
        for i, slope in enumerate(gradient):
            self.velocity[i] = self.momentum * self.velocity[i] + slope
            self.weights[i] -= self.lr * self.velocity[i]

    def reset(self) -> None:
        """Forget the momentum, for example after a switch."""
        self.velocity = [0.0] * len(self.weights)
