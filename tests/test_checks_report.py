"""What notebooks call to state a claim or to judge an exercise: it prints fixed sentences."""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sema_lite import checks
from sema_lite.checks.report import NotYet, answered, close


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Other tests find threads, generators and style as they were."""
    import matplotlib

    threads = torch.get_num_threads()
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with matplotlib.rc_context():
        yield
    torch.set_num_threads(threads)
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


# --- set_up ---


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_set_up_gives_the_same_random_numbers_and_one_thread(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks.set_up(seed=3)
    first = draws()
    assert torch.get_num_threads() == 1
    checks.set_up(seed=3)
    assert draws() == first
    checks.set_up(seed=4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    assert printed(capsys) == ""


def test_set_up_sets_the_style_of_figures() -> None:
    import matplotlib

    matplotlib.rcParams["axes.spines.top"] = True
    checks.set_up()
    assert matplotlib.rcParams["axes.spines.top"] is False


# --- expect ---


@pytest.mark.parametrize("value", [1, 1.5, 2, torch.tensor(1.25), np.float64(1.9)])
def test_expect_prints_bounds_and_not_the_value(
    value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    checks.expect("EMA - SGD, points", value, 1, 2)
    assert printed(capsys) == "As expected: EMA - SGD, points is between 1 and 2.\n"


@pytest.mark.parametrize("value", [0.999999, 2.000001, math.nan, math.inf, -math.inf])
def test_expect_stops_outside_the_bounds(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError) as raised:
        checks.expect("share", value, 1, 2)
    assert str(raised.value) == f"share: {value:.6g} is not between 1 and 2"
    assert printed(capsys) == ""


# --- same ---


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1.0, 1.0),
        ([1.0, 2.0], (1, 2)),
        ([[1.0], [2.0, 3.0]], torch.tensor([1.0, 2.0, 3.0])),
        (torch.ones(2, requires_grad=True), np.ones(2)),
        ([torch.tensor(1.0), torch.tensor([2.0])], range(1, 3)),
        (1.0, 1.0 + 1e-13),
        (1e12, 1e12 + 0.5),  # relative to the numbers
        ([], torch.zeros(0)),
    ],
)
def test_same_accepts_equal_numbers(
    a: object, b: object, capsys: pytest.CaptureFixture[str]
) -> None:
    checks.same("by hand and library", a, b)
    assert printed(capsys) == "Equal: by hand and library.\n"


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0], [1.0, 2.5], "x: number 1 is 2.0 in one and 2.5 in the other"),
        ([1.0], [1.0, 1.0], "x: 1 numbers against 2"),
        (1.0, 1.0 + 1e-11, "x: number 0 is 1.0 in one and 1.00000000001 in the other"),
        (math.nan, math.nan, "x: number 0 is nan in one and nan in the other"),
        ([0.0], [1e-11], "x: number 0 is 0.0 in one and 1e-11 in the other"),
    ],
)
def test_same_stops_at_the_first_difference(
    a: object, b: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError) as raised:
        checks.same("x", a, b)
    assert str(raised.value) == message
    assert printed(capsys) == ""


def test_same_takes_another_tolerance() -> None:
    checks.same("float32", 1.0, 1.0 + 1e-6, tolerance=1e-5)
    with pytest.raises(AssertionError):
        checks.same("float32", 1.0, 1.0 + 1e-4, tolerance=1e-5)


@pytest.mark.parametrize("text", ["one", ["one"], None])
def test_same_compares_numbers_only(text: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        checks.same("x", text, text)


# --- exercise ---


@checks.exercise
def half(answer: object, number: float = 4.0) -> None:
    """Half of a number, as an exercise."""
    got = answered(answer(number))  # type: ignore[operator]
    if got == number:
        raise NotYet("You gave the number itself.")
    close(got, number / 2, "Divide by 2.")


def missing(number: float) -> float:
    raise NotImplementedError


def stops(number: float) -> float:
    return number / 0


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda number: number / 2, "half: passed."),
        (lambda number: number, "half: not yet. You gave the number itself."),
        (lambda number: number / 3, "half: not yet. Divide by 2."),
        (lambda number: math.nan, "half: not yet. Divide by 2."),  # noqa: ARG005
        (lambda number: True, "half: not yet. Divide by 2."),  # noqa: ARG005
        (lambda number: "2.0", "half: not yet. Divide by 2."),  # noqa: ARG005
        (lambda number: torch.tensor(number / 2), "half: passed."),
        (missing, "half: not done yet."),
        (None, "half: not done yet."),
        (..., "half: not done yet."),
        (lambda number: None, "half: not done yet."),  # noqa: ARG005
        (lambda number: ..., "half: not done yet."),  # noqa: ARG005
        (stops, "half: your answer stopped with ZeroDivisionError: float division by zero"),
    ],
)
def test_an_exercise_prints_one_line_and_never_stops_the_notebook(
    answer: object, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert half(answer) is line.endswith("passed.")
    assert printed(capsys) == line + "\n"


def test_an_exercise_passes_more_arguments_on_and_keeps_its_docstring() -> None:
    assert half(lambda number: number / 2, 10.0)
    assert half.__name__ == "half"
    assert half.__doc__ == "Half of a number, as an exercise."


def test_an_answer_with_a_long_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def long(number: float) -> float:
        raise ValueError(f"first line\nsecond line {number}")

    assert not half(long)
    assert len(printed(capsys).splitlines()) == 1


def test_interrupting_an_exercise_stops_it() -> None:
    def interrupted(number: float) -> float:
        raise KeyboardInterrupt(number)

    with pytest.raises(KeyboardInterrupt):
        half(interrupted)


def test_close_has_a_tolerance_of_its_own() -> None:
    close(1.0 + 1e-10, 1.0, "hint")
    close(1.01, 1.0, "hint", tolerance=0.1)
    with pytest.raises(NotYet, match="hint"):
        close(1.0 + 1e-8, 1.0, "hint")


CHAPTERS = [
    importlib.import_module(module.name)
    for module in pkgutil.iter_modules(checks.__path__, "sema_lite.checks.")
    if ".chapter" in module.name
]
OFFERED = sorted(name for module in CHAPTERS for name in module.__all__)


def test_every_check_of_a_chapter_can_be_called_from_checks() -> None:
    """`checks.name` is what notebooks write."""
    assert len(CHAPTERS) == 11
    for module in CHAPTERS:
        assert all(getattr(checks, name) is getattr(module, name) for name in module.__all__)
    assert all(callable(getattr(checks, name)) for name in checks.__all__)


def undone(*_: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("answer", [undone, lambda *_: None, lambda *_: ..., None, ...])
@pytest.mark.parametrize("name", OFFERED)
def test_a_stub_is_not_done_yet(
    name: str, answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert getattr(checks, name)(answer) is False
    assert printed(capsys) == f"{name}: not done yet.\n"
