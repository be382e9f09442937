"""Toy landscapes with two weights, and one walker on them, in pure Python.

`loss(x, y)` and `grad(x, y)` are written with `+ - * / **` alone. So the same code runs on floats
(here), and on numpy arrays and torch tensors of any shapes that broadcast (`sema_lite.simulate`).

>>> from sema_lite.reference import SEMA
>>> path = walk(Bowl(), lambda w: SEMA(w, 0.5, switch_every=2), lr=0.05, steps=4)
>>> path.switched, [round(weight, 3) for weight in path.live[-1]]
([2, 4], [-1.763, 0.062])
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Protocol

from .reference import SGD, Average, check_count

Point = tuple[float, float]
Window = tuple[float, float, float, float]


class Landscape(Protocol):
    """What a walk needs of a landscape. `Any` stands for a float, an array or a tensor."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> Point:
        """A good point to begin a walk."""

    @property
    def window(self) -> Window:
        """x_min, x_max, y_min, y_max of a good picture."""

    @property
    def minima(self) -> tuple[Point, ...]: ...
    @property
    def noise(self) -> float:
        """Standard deviation of the noise in each coordinate of the gradient, >= 0."""

    def loss(self, x: Any, y: Any) -> Any: ...
    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The slope without noise: (d loss / dx, d loss / dy)."""


def check_number(
    name: str, value: Any, least: float = -math.inf, above: float = -math.inf
) -> float:
    """`value` as a finite float, >= `least` and > `above`, or an error that names the argument."""
    limit = f" > {above:g}" if above > -math.inf else f" >= {least:g}" if least > -math.inf else ""
    message = f"{name} must be a finite number{limit}, got {value!r:.60}"
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message)
    if not (abs(number) <= sys.float_info.max and number >= least and number > above):
        raise ValueError(message)
    return float(number)


def _check(landscape: Any, *positive: str) -> None:
    for name in positive:
        check_number(name, getattr(landscape, name), above=0)
    check_number("noise", landscape.noise, least=0)


@dataclass(frozen=True)
class Bowl:
    """Two curvatures: `curvature_x/2 * x**2 + curvature_y/2 * y**2`.

    Teaches: the steep direction limits the learning rate (below 2/curvature_y), and then the flat
    one is slow. Just below that limit SGD zigzags, and an average goes down the middle. Textbook.
    """

    curvature_x: float = 1.0
    curvature_y: float = 20.0
    noise: float = 0.0

    name: ClassVar[str] = "bowl"
    start: ClassVar[Point] = (-2.0, 1.0)
    window: ClassVar[Window] = (-2.5, 2.5, -1.5, 1.5)
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)

    def __post_init__(self) -> None:
        _check(self, "curvature_x", "curvature_y")

    def loss(self, x: Any, y: Any) -> Any:
        return (self.curvature_x * x**2 + self.curvature_y * y**2) / 2

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        return self.curvature_x * x, self.curvature_y * y


@dataclass(frozen=True)
class CurvedValley:
    """A narrow valley along y = x**2: `((1 - x)**2 + steepness * (y - x**2)**2) / 2`.

    Teaches: an average of points on a curved floor lies off the floor, inside the bend; a long
    horizon pays for it. Rosenbrock 1960, here with a gentler steepness than his 100.
    """

    steepness: float = 10.0
    noise: float = 1.0

    name: ClassVar[str] = "curved valley"
    start: ClassVar[Point] = (-1.5, 2.0)
    window: ClassVar[Window] = (-2.0, 2.0, -1.0, 3.0)
    minima: ClassVar[tuple[Point, ...]] = ((1.0, 1.0),)

    def __post_init__(self) -> None:
        _check(self, "steepness")

    def loss(self, x: Any, y: Any) -> Any:
        return ((1 - x) ** 2 + self.steepness * (y - x**2) ** 2) / 2

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        pull = self.steepness * (y - x**2)
        return x - 1 - 2 * x * pull, pull


@dataclass(frozen=True)
class AsymmetricValley:
    """Steep for x > 0, flat for x < 0: `f(x) + curvature_y/2 * y**2` with

    f(x) = (steep + flat)/4 * x**2 + (steep - flat)/4 * x * ((x**2 + width**2)**0.5 - width)

    The curvature of f grows smoothly from `flat` to `steep`, over about `width` to each side of
    its minimum at 0. Teaches: noise spends its time on the flat side, so an average ends there and
    not at the minimum. The idea is He et al. 2019 (Asymmetric Valleys), the formula is ours.
    """

    steep: float = 15.0
    flat: float = 0.5
    width: float = 0.1
    curvature_y: float = 1.0
    noise: float = 2.0

    name: ClassVar[str] = "asymmetric valley"
    start: ClassVar[Point] = (-3.0, 1.5)
    window: ClassVar[Window] = (-4.0, 1.0, -2.0, 2.0)
    minima: ClassVar[tuple[Point, ...]] = ((0.0, 0.0),)

    def __post_init__(self) -> None:
        _check(self, "flat", "width", "curvature_y")
        check_number("steep", self.steep, least=self.flat)

    # Below, root - width is written x**2 / (root + width), which keeps its digits near x = 0.

    def loss(self, x: Any, y: Any) -> Any:
        root = (x**2 + self.width**2) ** 0.5
        lean = (self.steep - self.flat) * x / (root + self.width)
        return (self.steep + self.flat + lean) * x**2 / 4 + self.curvature_y * y**2 / 2

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        root = (x**2 + self.width**2) ** 0.5
        lean = (self.steep - self.flat) * x / root * (1 - self.width / (root + self.width) / 2)
        return (self.steep + self.flat + lean) * x / 2, self.curvature_y * y


@dataclass(frozen=True)
class TwoWells:
    """A sharp well at (-1, 0) and a flat one at (1, 0): `Q * (S + rise) / (S + Q)` with the bowls

    S = sharp/2 * ((x + 1)**2 + y**2),    Q = flat/2 * ((x - 1)**2 + y**2)

    The sharp minimum is `rise` higher than the flat one, whose loss is 0. With `rise` = 0 their
    curvatures are exactly `sharp` and `flat`. Teaches: noise, and a step larger than 2/sharp, leave
    the sharp well; an average of both wells lies on the wall between them. Ours; for the
    question whether flat is better see Keskar et al. 2017 and Dinh et al. 2017.
    """

    sharp: float = 20.0
    flat: float = 1.0
    rise: float = 0.0
    noise: float = 2.0

    name: ClassVar[str] = "two wells"
    start: ClassVar[Point] = (-1.2, 0.8)
    window: ClassVar[Window] = (-2.5, 3.0, -1.75, 1.75)
    minima: ClassVar[tuple[Point, ...]] = ((-1.0, 0.0), (1.0, 0.0))  # sharp, flat

    def __post_init__(self) -> None:
        _check(self, "flat")
        check_number("sharp", self.sharp, least=self.flat)
        check_number("rise", self.rise)
        if not -2 * self.sharp < self.rise < 2 * self.flat:  # else one well is no minimum
            limits = f"above {-2 * self.sharp:g} and below {2 * self.flat:g}"
            raise ValueError(f"rise must be {limits} (-2*sharp and 2*flat), got {self.rise!r}")

    def loss(self, x: Any, y: Any) -> Any:
        s = self.sharp / 2 * ((x + 1) ** 2 + y**2)
        q = self.flat / 2 * ((x - 1) ** 2 + y**2)
        return q / (s + q) * (s + self.rise)

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        s = self.sharp / 2 * ((x + 1) ** 2 + y**2)
        q = self.flat / 2 * ((x - 1) ** 2 + y**2)
        of_s = self.sharp * (q / (s + q)) * ((q - self.rise) / (s + q))  # d loss / dS * sharp
        of_q = self.flat * (s / (s + q)) * ((s + self.rise) / (s + q))
        return of_s * (x + 1) + of_q * (x - 1), (of_s + of_q) * y


@dataclass(frozen=True)
class NoisyQuadratic:
    """`curvature_x/2 * (x - centre)**2 + curvature_y/2 * (y - centre)**2`, and a noisy gradient.

    The coordinates do not touch each other: `sema_lite.theory` holds for each alone, with its own
    curvature and with the standard deviation `noise`. Teaches: the floor under SGD, what averages
    make of it, and that slow directions gain most from a switch. Zhang et al. 2019 (Lookahead).
    """

    curvature_x: float = 1.0
    curvature_y: float = 0.1
    centre: float = 0.0
    noise: float = 1.0

    name: ClassVar[str] = "noisy quadratic"

    def __post_init__(self) -> None:
        _check(self, "curvature_x", "curvature_y")
        check_number("centre", self.centre)

    @property
    def start(self) -> Point:
        return self.centre - 2.0, self.centre - 2.0

    @property
    def window(self) -> Window:
        low, high = self.centre - 3.0, self.centre + 3.0
        return low, high, low, high

    @property
    def minima(self) -> tuple[Point, ...]:
        return ((self.centre, self.centre),)

    def loss(self, x: Any, y: Any) -> Any:
        a, b, c = self.curvature_x, self.curvature_y, self.centre
        return (a * (x - c) ** 2 + b * (y - c) ** 2) / 2

    def grad(self, x: Any, y: Any) -> tuple[Any, Any]:
        return self.curvature_x * (x - self.centre), self.curvature_y * (y - self.centre)


LANDSCAPES: dict[str, Landscape] = {
    landscape.name: landscape
    for landscape in (Bowl(), CurvedValley(), AsymmetricValley(), TwoWells(), NoisyQuadratic())
}


# -- one walker ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """Where a walk was: `steps` + 1 points each; number 0 is where it began."""

    live: list[Point]
    average: list[Point]
    switched: list[int]  # the steps that ended with a switch


def walk(
    landscape: Landscape,
    make_average: Callable[[list[float]], Average],
    lr: float,
    steps: int,
    *,
    momentum: float = 0.0,
    noise: float | None = None,
    gradient_noise: Sequence[Sequence[float]] | None = None,
    begin: Sequence[float] | None = None,
    seed: int = 0,
) -> Path:
    """Walk down with SGD, while an average follows and may switch.

    Args:
        make_average: makes the average of a list of weights: `reference.EMA`, or
            `lambda w: SEMA(w, decay=0.9, switch_every=10)`.
        lr, momentum: of SGD.
        noise: standard deviation of the gradient's noise; None: `landscape.noise`.
        gradient_noise: instead of noise from `seed`, one pair of numbers per step to add to the
            gradient as it is.
        begin: x and y of the first point; None: `landscape.start`.

    Raises:
        ValueError: an argument outside its range, or the walk diverged; the message says at which
            step.
    """
    check_landscape(landscape)
    steps = check_count("steps", steps, 0)
    if gradient_noise is None:
        sigma = check_number("noise", landscape.noise if noise is None else noise, least=0)
        draw = random.Random(check_count("seed", seed, 0)).gauss
        gradient_noise = [(draw(0.0, sigma), draw(0.0, sigma)) for _ in range(steps)]
    elif noise is not None:
        raise ValueError(f"give noise or gradient_noise, not both; noise is {noise!r}")
    elif len(gradient_noise) != steps or any(len(kick) != 2 for kick in gradient_noise):
        raise ValueError(f"gradient_noise must be {steps} pairs, one for each step")
    first = landscape.start if begin is None else begin
    weights = [check_number("begin", each) for each in first]
    if len(weights) != 2:
        raise ValueError(f"begin must be two numbers, got {first!r}")
    optimizer, average = SGD(weights, lr, momentum), make_average(weights)
    path = Path([(weights[0], weights[1])], [(weights[0], weights[1])], [])
    for step, (kick_x, kick_y) in enumerate(gradient_noise, start=1):
        try:
            dx, dy = landscape.grad(*weights)
        except OverflowError:  # from x**2, where a tensor would give inf
            dx = dy = math.inf
        optimizer.step((dx + kick_x, dy + kick_y))
        if not all(map(math.isfinite, weights)):
            raise diverged(f"at step {step}", lr)
        if average.update():
            path.switched.append(step)
        path.live.append((weights[0], weights[1]))
        mean_x, mean_y = average.average
        path.average.append((mean_x, mean_y))
    return path


def check_landscape(landscape: Any) -> None:
    """An error that names what the landscape lacks."""
    wanted = ("name", "start", "window", "minima", "noise", "loss", "grad")
    lacks = [name for name in wanted if not hasattr(landscape, name)]
    if lacks or isinstance(landscape, type):
        why = f"it lacks {', '.join(lacks)}" if lacks else "call the class to make one"
        raise TypeError(f"landscape must be a landscape such as Bowl(), got {landscape!r}: {why}")


def diverged(when: str, lr: float, also: str = "") -> ValueError:
    """The error for a weight that is no longer finite."""
    return ValueError(
        f"the walk diverged {when}: a weight is no longer finite. The learning rate is {lr:g}: "
        f"lower it, or the noise, or begin nearer to a minimum{also}"
    )
