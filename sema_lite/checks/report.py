"""How a notebook starts, states a claim, and judges an exercise. All of it prints fixed sentences,
so that a notebook that is run again prints the same on every machine."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any


class NotYet(Exception):
    """Raised by a check when an answer is wrong; the message says what to look at."""


def set_up(seed: int = 0, threads: int = 1) -> None:
    """Begin a notebook: the same random numbers and the same rounding on every machine.

    Args:
        seed: of Python's, numpy's and torch's generators.
        threads: that torch may use. Another number adds up in another order, and after some
            hundred steps of training the last digits have grown into different results.
    """
    import numpy as np
    import torch

    from ..plots import set_style

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    set_style()


def expect(what: str, value: float, low: float, high: float) -> None:
    """Assert that a measured `value` lies in [low, high], and print that it does.

    The sentence has the bounds and not the value, whose last digits differ between machines.

    Raises:
        AssertionError: it does not, or it is not a number; the message has the value.
    """
    if not low <= float(value) <= high:
        raise AssertionError(f"{what}: {float(value):.6g} is not between {low:g} and {high:g}")
    print(f"As expected: {what} is between {low:g} and {high:g}.")


def same(what: str, a: Any, b: Any, tolerance: float = 1e-12) -> None:
    """Assert that two numbers, lists or tensors are equal, and print that they are.

    Args:
        tolerance: the largest difference allowed, absolute and relative to the larger number.

    Raises:
        AssertionError: they differ in length or by more; the message has the first difference.
    """
    first, second = _numbers(a), _numbers(b)
    if len(first) != len(second):
        raise AssertionError(f"{what}: {len(first)} numbers against {len(second)}")
    for i, (x, y) in enumerate(zip(first, second, strict=True)):
        if not math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance):
            raise AssertionError(f"{what}: number {i} is {x!r} in one and {y!r} in the other")
    print(f"Equal: {what}.")


def _numbers(value: Any) -> list[float]:
    """All numbers of a number, a nested list or a tensor, in order."""
    if hasattr(value, "tolist"):
        value = value.detach().tolist() if hasattr(value, "detach") else value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [number for part in value for number in _numbers(part)]
    return [float(value)]


def exercise(check: Callable[..., None]) -> Callable[..., bool]:
    """Make a function that judges an exercise out of one that looks for mistakes.

    `check(answer)` raises `NotYet` with a hint when the answer is wrong. The function made from it
    prints one line, and returns whether the answer passed: a wrong or missing answer must not stop
    the notebook. An answer is missing when it is None or `...`, or returns one of these, or raises
    NotImplementedError, as the stubs do.
    """

    @wraps(check)
    def judge(answer: Any, *more: Any) -> bool:
        name = check.__name__
        try:
            if answer is None or answer is ...:
                raise NotImplementedError
            check(answer, *more)
        except NotImplementedError:
            print(f"{name}: not done yet.")
            return False
        except NotYet as hint:
            print(f"{name}: not yet. {hint}")
            return False
        except Exception as error:
            what = " ".join(str(error).split())  # in one line
            print(f"{name}: your answer stopped with {type(error).__name__}: {what}")
            return False
        print(f"{name}: passed.")
        return True

    return judge


def answered(value: Any) -> Any:
    """`value`, or NotImplementedError when it is None or `...`: a stub that was not filled in."""
    if value is None or value is ...:
        raise NotImplementedError
    return value


def number(value: Any) -> float:
    """The answer as a float; `NotYet` when it is something else, such as a list."""
    value = answered(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NotYet(f"Return one number; this was a {type(value).__name__}.") from None


def pair(value: Any, what: str) -> tuple[Any, Any]:
    """Both parts of an answer that is a pair; `NotYet`, with `what` they are, when it is not."""
    value = answered(value)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise NotYet(f"Return two values, {what}, not {value!r:.60}.")
    return answered(value[0]), answered(value[1])


def is_near(got: float, mistake: float, tolerance: float = 1e-6) -> bool:
    """Whether an answer is what a typical mistake gives."""
    return math.isclose(got, mistake, rel_tol=tolerance, abs_tol=1e-9)


def close(got: Any, wanted: float, hint: str, tolerance: float = 1e-9) -> None:
    """Raise `NotYet(hint)` unless `got` is the number `wanted`, to `tolerance`."""
    got = answered(got)
    if isinstance(got, (bool, str)) or not math.isclose(
        float(got), wanted, rel_tol=tolerance, abs_tol=tolerance
    ):
        raise NotYet(hint)


nearly = partial(close, tolerance=1e-6)  # a right formula in float32 is right too
