"""The checks of chapter 09: right answers pass, each typical mistake is named, none tells all."""

from __future__ import annotations

import math
from statistics import fmean, pvariance, variance
from typing import Any

import pytest
from judging import judge

from sema_lite.checks import chapter09


def right_cutout(image: Any, y: int, x: int, size: int) -> Any:
    copy = [list(row) for row in image]
    for i in range(max(0, y), min(len(copy), y + size)):
        for j in range(max(0, x), min(len(copy[0]), x + size)):
            copy[i][j] = 0
    return copy


def in_place(image: Any, y: int, x: int, size: int) -> Any:
    image[:] = right_cutout(image, y, x, size)
    return image


def shallow(image: Any, y: int, x: int, size: int) -> Any:
    copy = list(image)
    for i in range(max(0, y), min(len(copy), y + size)):
        for j in range(max(0, x), min(len(copy[0]), x + size)):
            copy[i][j] = 0
    return copy


def wraps(image: Any, y: int, x: int, size: int) -> Any:
    copy = [list(row) for row in image]
    for i in range(y, min(len(copy), y + size)):
        for j in range(x, min(len(copy[0]), x + size)):
            copy[i][j] = 0
    return copy


def slices(image: Any, y: int, x: int, size: int) -> Any:
    copy = [list(row) for row in image]
    for row in copy[y : y + size]:  # empty for a negative y
        for j in range(max(0, x), min(len(row), x + size)):
            row[j] = 0
    return copy


def cropped(image: Any, y: int, x: int, size: int) -> Any:
    return [row[max(0, x) : x + size] for row in image[max(0, y) : y + size]]


def test_right_cutout_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(chapter09.cutout, right_cutout, capsys) == (True, "cutout: passed.\n")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (in_place, "changed the image"),
        (shallow, "changed the image"),
        (wraps, "negative index"),
        (lambda im, y, x, n: right_cutout(im, y - n // 2, x - n // 2, n), "upper left corner"),
        (lambda im, y, x, n: right_cutout(im, y - n + 1, x - n + 1, n), "upper left corner"),
        (slices, "6 pixels are zero|pixels are zero; yours has 0"),
        (cropped, "keeps its size"),
        (lambda im, y, x, size: right_cutout(im, x, y, size), "swapped"),
        (lambda im, y, x, size: right_cutout(im, y, x, size + 1), "too many"),
        (lambda im, y, x, size: [[2 * v for v in r] for r in right_cutout(im, y, x, size)], "stay"),
    ],
)
def test_wrong_cutouts_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(chapter09.cutout, answer, capsys)
    assert not passed
    assert any(part in said for part in named.split("|")), said


def test_right_pooled_variance_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(chapter09.pooled_variance, lambda m, v: fmean(v) + pvariance(m), capsys) == (
        True,
        "pooled_variance: passed.\n",
    )


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda _, v: fmean(v), "differ from batch to batch"),
        (lambda m, _: pvariance(m), "varies inside"),
        (lambda m, v: fmean(v) + variance(m), "one less"),
        (lambda m, v: fmean(v) + fmean(x * x for x in m), "not from 0"),
        (lambda m, v: sum(v) + pvariance(m), "averaged, not added"),
        (lambda m, v: math.sqrt(fmean(v) + pvariance(m)), "standard deviation"),
        (lambda m, v: fmean(v) - pvariance(m), "are added"),
        (lambda *_: 7.0, "another number"),
        (lambda _, v: v, "Return one number"),
    ],
)
def test_wrong_pooled_variances_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(chapter09.pooled_variance, answer, capsys)
    assert not passed
    assert named in said


def right_epochs(curve: list[float], level: float) -> int | None:
    stays = None
    for epoch in range(len(curve), 0, -1):
        if curve[epoch - 1] < level:
            break
        stays = epoch
    return stays


def first_crossing(curve: list[float], level: float) -> int | None:
    return next((k for k, value in enumerate(curve, 1) if value >= level), None)


def from_zero(curve: list[float], level: float) -> int | None:
    found = right_epochs(curve, level)
    return None if found is None else found - 1


def never_is_last(curve: list[float], level: float) -> int:
    return right_epochs(curve, level) or len(curve)


def above(curve: list[float], level: float) -> int | None:
    return right_epochs(curve, level + 1e-9)


def test_right_epochs_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(chapter09.epochs_to_stay, right_epochs, capsys) == (
        True,
        "epochs_to_stay: passed.\n",
    )


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (first_crossing, "crosses by luck"),
        (from_zero, "counted from 1"),
        (never_is_last, "return None"),
        (above, "to be at the level is enough"),
        (lambda curve, level: right_epochs(curve, level) or math.inf, "return None"),
        (lambda curve, _: len(curve), "another one"),
        (lambda *_: "soon", "another one"),
    ],
)
def test_wrong_epochs_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(chapter09.epochs_to_stay, answer, capsys)
    assert not passed
    assert named in said


def test_crossing_and_falling_back_for_good_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(curve: list[float], level: float) -> int | None:
        stays = right_epochs(curve, level)
        return first_crossing(curve, level) if stays is None else stays

    assert "crosses the level and falls back" in judge(chapter09.epochs_to_stay, answer, capsys)[1]
