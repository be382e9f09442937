"""The checks of notebook 01: a right answer passes, each typical mistake is named."""

import math

import numpy as np
import pytest
import torch

from sema_lite import checks


def decay_for_half_life(half_life):
    return 0.5 ** (1 / half_life)


def debiased(values, decay):
    average = 0.0
    for value in values:
        average = decay * average + (1 - decay) * value
    return average / (1 - decay ** len(values))


def start_share(decays):
    return math.prod(decays)


def ema(values, decay, start):
    for value in values:
        start = decay * start + (1 - decay) * value
    return start


def changes_its_list(values, decay):
    answer = debiased(values, decay)
    values.clear()
    return answer


RIGHT = [
    (checks.decay_for_half_life, decay_for_half_life),
    (checks.decay_for_half_life, lambda half_life: math.exp(-math.log(2) / half_life)),
    (checks.debiased, debiased),
    (
        checks.debiased,
        lambda values, d: (
            sum(d**k * v for k, v in enumerate(reversed(values)))
            / sum(d**k for k in range(len(values)))
        ),
    ),
    (checks.debiased, lambda values, d: np.float32(debiased(values, d))),
    (checks.start_share, start_share),
    (checks.decay_for_half_life, lambda half_life: torch.tensor(0.5) ** (1 / half_life)),
    (checks.start_share, lambda decays: torch.tensor(decays).prod()),  # both in float32
]
WRONG = [
    (checks.decay_for_half_life, lambda h: 1 - 1 / h, "horizon of 20"),
    (checks.decay_for_half_life, lambda h: math.exp(-1 / h), "1/e"),
    (checks.decay_for_half_life, lambda h: math.log(0.5) / math.log(h), "between 0 and 1"),
    (checks.decay_for_half_life, lambda h: 2 ** (1 / h), "makes it grow"),
    (checks.decay_for_half_life, lambda h: 1 - math.log(2) / h, "Which decay halves in 1 step"),
    (checks.decay_for_half_life, lambda h: 1 - 0.5 ** (1 / h), "That is 1 - d"),
    (checks.decay_for_half_life, lambda h: round(0.5 ** (1 / h), 4), "one half of a share"),
    (checks.decay_for_half_life, lambda h: 0.5**h, "one half of a share"),
    (checks.decay_for_half_life, lambda _: 0.5 ** (1 / 20), "look at 1 steps"),
    (checks.decay_for_half_life, lambda h: [0.5 ** (1 / h)], "Return one number"),
    (checks.debiased, lambda values, d: ema(values, d, 0.0), "correction is missing"),
    (checks.debiased, lambda values, d: ema(values[1:], d, values[0]), "starts at the first"),
    (checks.debiased, lambda values, d: ema(values, d, 0.0) / (1 - d), "after one update only"),
    (
        checks.debiased,
        lambda values, d: ema(values, d, 0.0) / (1 - d ** (len(values) - 1)),
        "one too small",
    ),
    (
        checks.debiased,
        lambda values, d: ema(values, d, 0.0) / (1 - d ** (len(values) + 1)),
        "one too large",
    ),
    (checks.debiased, lambda values, _: sum(values) / len(values), "plain mean"),
    (checks.debiased, lambda values, d: debiased(values, 1 - d), "share of the OLD"),
    (checks.debiased, lambda values, d: debiased([*values, 1.0], d), "one value is that value"),
    (checks.debiased, lambda values, d: debiased(values[::-1], d), "shares are 1/3 and 2/3"),
    (checks.debiased, lambda values, d: debiased(values[-2:], d), "Not the average of 4, 6, 5, 7"),
    (checks.debiased, changes_its_list, "changes the list"),
    (checks.start_share, lambda decays: math.prod(1 - d for d in decays), "multiply 1 - d"),
    (checks.start_share, lambda decays: 1 - math.prod(decays), "everything but the start"),
    (checks.start_share, lambda decays: decays[-1] ** len(decays), "one of the decays three"),
    (checks.start_share, lambda decays: sum(decays), "not added"),
    (checks.start_share, lambda decays: (sum(decays) / len(decays)) ** len(decays), "not added"),
    (checks.start_share, lambda decays: math.prod(decays[1:]), "0.9 of 0.5 of 0.2"),
    (checks.start_share, lambda decays: math.prod(decays) if decays else 0.0, "Before any update"),
    (checks.start_share, lambda decays: decays[0] * math.prod(decays[1:]), "an empty list"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_a_right_answer_passes(check, answer, capsys):
    assert check(answer) is True
    assert capsys.readouterr().out == f"{check.__name__}: passed.\n"


@pytest.mark.parametrize(("check", "answer", "named"), WRONG)
def test_a_mistake_is_named(check, answer, named, capsys):
    assert check(answer) is False
    printed = capsys.readouterr().out
    assert printed.startswith(f"{check.__name__}: not yet. ")
    assert named in printed
