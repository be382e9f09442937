"""The checks of chapter 07: right answers pass, each typical mistake is named, none tells all."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from judging import judge

from sema_lite import checks
from sema_lite.compare import paired_difference

# -- NLL ------------------------------------------------------------------------------------------


def softmax(logits: list[float]) -> list[float]:
    weights = [math.exp(z) for z in logits]
    return [weight / sum(weights) for weight in weights]


def nll(logits: list[float], label: int) -> float:
    top = max(logits)
    return math.log(sum(math.exp(z - top) for z in logits)) + top - logits[label]


def by_torch(logits: list[float], label: int) -> float:
    import torch

    row = torch.tensor([logits], dtype=torch.float64)
    return float(torch.nn.functional.cross_entropy(row, torch.tensor([label])))


def in_single_precision(logits: list[float], label: int) -> float:
    import torch

    return float(torch.nn.functional.cross_entropy(torch.tensor([logits]), torch.tensor([label])))


@pytest.mark.parametrize("right", [nll, by_torch, in_single_precision])
def test_right_nll_passes(right: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(checks.nll_from_logits, right, capsys) == (True, "nll_from_logits: passed.\n")


def shifted(logits: list[float], label: int) -> float:
    """Large logits are fine, but a probability of 0 is taken the logarithm of."""
    top = max(logits)
    return -math.log(softmax([z - top for z in logits])[label])


def changes(logits: list[float], label: int) -> float:
    logits.reverse()
    return nll(logits[::-1], label)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda z, y: softmax(z)[y], "probability itself"),
        (lambda z, y: math.log(softmax(z)[y]), "minus is missing"),
        (lambda z, y: -z[y], "A logit alone"),
        (lambda z, y: -math.log2(softmax(z)[y]), "Another base"),
        (lambda z, y: -math.log10(softmax(z)[y]), "Another base"),
        (lambda z, y: 1 - softmax(z)[y], "being wrong"),
        (
            lambda z, y: math.log(sum(math.exp(v) for i, v in enumerate(z) if i != y)) - z[y],
            "all classes",
        ),
        (lambda z, y: nll(z, y) - max(z), "comes back"),
        (lambda z, y: nll(z, y - 1), "counted from 0"),
        (lambda z, y: nll([abs(v) for v in z], y), "another number"),
        (lambda z, y: -math.log(softmax(z)[y]), "exp(1000)"),
        (shifted, "exp(-1000)"),
        (lambda z, y: math.log(sum(math.exp(v - z[y]) for v in z)), "always the largest"),
        (changes, "changes the list"),
        (lambda z, _: z, "one number"),
    ],
)
def test_wrong_nlls_are_named(answer: Any, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    passed, said = judge(checks.nll_from_logits, answer, capsys)
    assert not passed
    assert named in said


# -- ECE ------------------------------------------------------------------------------------------


def bins_of(
    confidences: list[float], right: list[bool], bins: int
) -> list[list[tuple[float, bool]]]:
    found: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, hit in zip(confidences, right, strict=True):
        found[min(int(confidence * bins), bins - 1)].append((confidence, hit))
    return [each for each in found if each]


def gap(answers: list[tuple[float, bool]]) -> float:
    return statistics.fmean(hit - confidence for confidence, hit in answers)


def ece(confidences: list[float], right: list[bool], bins: int) -> float:
    found = bins_of(confidences, right, bins)
    return sum(len(each) * abs(gap(each)) for each in found) / len(right)


def by_library(confidences: list[float], right: list[bool], bins: int) -> float:
    import torch

    from sema_lite.calibration import reliability

    # The answer is class 0 always, also where both are equally likely.
    rows = [[math.log(c), math.log(1 - c) if c < 1 else -100.0] for c in confidences]
    labels = torch.tensor([0 if hit else 1 for hit in right])
    found = reliability(torch.tensor(rows, dtype=torch.float64), labels, bins)
    sizes = found.number * (found.accuracy - found.confidence).abs().nan_to_num()
    return float(sizes.sum()) / len(right)


@pytest.mark.parametrize("right", [ece, by_library])
def test_right_ece_passes(right: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The library's own as well: its bins and edges are those of the exercise."""
    assert judge(checks.calibration_error, right, capsys)[0]


def strict_bins(confidences: list[float], right: list[bool], bins: int) -> float:
    """A confidence of 1 has no bin."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, hit in zip(confidences, right, strict=True):
        found[int(confidence * bins)].append((confidence, hit))
    return sum(len(each) * abs(gap(each)) for each in found if each) / len(right)


def upper_edges(confidences: list[float], right: list[bool], bins: int) -> float:
    """A bin holds its upper edge."""
    low = [confidence - 1e-12 for confidence in confidences]
    return ece(low, right, bins)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda c, r, b: 100 * ece(c, r, b), "per cent"),
        (lambda c, r, _: sum(r) / len(r) - sum(c) / len(c), "cancel"),
        (lambda c, r, _: sum(c) / len(c) - sum(r) / len(r), "cancel"),
        (lambda c, r, b: statistics.fmean(abs(gap(e)) for e in bins_of(c, r, b)), "same"),
        (lambda c, r, b: sum(abs(gap(e)) for e in bins_of(c, r, b)) / b, "same"),
        (lambda c, r, b: ece(c, r, b) * len(r), "share of all"),
        (lambda c, r, b: sum(len(e) * gap(e) ** 2 for e in bins_of(c, r, b)) / len(r), "squared"),
        (lambda c, r, b: max(abs(gap(e)) for e in bins_of(c, r, b)), "largest gap"),
        (lambda c, r, b: ece([(int(x * b) + 0.5) / b for x in c], r, b), "middle of the bin"),
        (strict_bins, "exactly 1"),
        (upper_edges, "low edge"),
        (lambda c, r, _: ece(c, r, 4) if c[0] != 1 and len(c) > 2 else ece(c, r, 2), "for ten"),
        (lambda *_: 0.3, "six answers"),
    ],
)
def test_wrong_eces_are_named(answer: Any, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    passed, said = judge(checks.calibration_error, answer, capsys)
    assert not passed
    assert named in said


# -- paired errors --------------------------------------------------------------------------------


def test_right_paired_error_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(checks.paired_error, lambda a, b: paired_difference(a, b)[:2], capsys)[0]


def with_error(error: Any) -> Any:
    def answer(one: list[float], other: list[float]) -> tuple[float, float]:
        gaps = [a - b for a, b in zip(one, other, strict=True)]
        return statistics.fmean(gaps), error(one, other, gaps)

    return answer


def without_signs(one: list[float], other: list[float]) -> tuple[float, float]:
    gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))


stdev, pstdev = statistics.stdev, statistics.pstdev


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda a, b: paired_difference(b, a)[:2], "sign"),
        (lambda a, b: (sum(a) - sum(b), 0.0), "first value"),
        (without_signs, "keep each sign"),
        (
            with_error(lambda a, b, g: math.hypot(stdev(a), stdev(b)) / math.sqrt(len(g))),
            "shares its luck",
        ),
        (
            with_error(lambda a, b, g: math.hypot(pstdev(a), pstdev(b)) / math.sqrt(len(g))),
            "shares its luck",
        ),
        (with_error(lambda _a, _b, g: stdev(g)), "single seeds"),
        (with_error(lambda _a, _b, g: pstdev(g) / math.sqrt(len(g))), "n - 1"),
        (with_error(lambda _a, _b, g: stdev(g) / len(g)), "square root of the number"),
        (with_error(lambda _a, _b, g: stdev(g) ** 2 / len(g)), "variance of the mean"),
        (with_error(lambda *_: 0.1), "second value"),
        (with_error(lambda _a, _b, g: stdev(g) / math.sqrt(5)), "Differences 2 and 0"),
        (lambda a, _: a[0], "two values"),
    ],
)
def test_wrong_paired_errors_are_named(
    answer: Any, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, said = judge(checks.paired_error, answer, capsys)
    assert not passed
    assert named in said
