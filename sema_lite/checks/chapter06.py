"""Checks of the exercises in notebook 06: what an update moves, and where averages live."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .report import NotYet, answered, exercise, pair

if TYPE_CHECKING:  # torch takes seconds to import: only where it is used
    from torch import Tensor

__all__ = ["flat_views", "start_average", "update_bytes"]

SHAPES = [(2, 3), (4,), (), (2, 1, 2)]
TOTAL = 15


@exercise
def update_bytes(answer: Callable[[int, int, int], int]) -> None:
    """`answer(numbers, live_bytes, average_bytes)` -> bytes that one update moves."""
    got = answered(answer(1000, 4, 4))
    hints = {
        4000: "That is the size of one set of weights. An update touches two sets.",
        8000: "Each of two numbers is touched once in your count. Is one of them read and written?",
        16000: "You count four visits per number. Which of them does an update not need?",
        12: "That is the cost of one number. How many are there?",
    }
    if got != 12000:
        raise NotYet(hints.get(got, "For 1000 float32 numbers with a float32 average: 12000."))
    if answer(1000, 2, 4) == 12000:
        raise NotYet("With live weights of 2 bytes your count stays the same. It should shrink.")
    if answer(1000, 2, 4) == 8000:
        raise NotYet("Two visits go to one set and one to the other. Which set is visited twice?")
    for numbers, live, average in ((1000, 2, 4), (7, 8, 8), (0, 4, 4), (5, 4, 8)):
        if answer(numbers, live, average) != numbers * (live + 2 * average):
            raise NotYet(
                f"Wrong for {numbers} numbers of {live} bytes, averaged in {average} bytes."
            )


@exercise
def flat_views(answer: Callable[[list[tuple[int, ...]]], tuple[Tensor, list[Tensor]]]) -> None:
    """`answer(shapes)` -> a flat buffer without gaps, and one view of it for each shape."""
    import torch

    flat, views = pair(answer(list(SHAPES)), "the flat buffer and the list of views")
    if not isinstance(flat, torch.Tensor):
        raise NotYet(f"First comes the buffer, one tensor; yours is a {type(flat).__name__}.")
    views = list(views)
    if flat.shape != (TOTAL,):
        raise NotYet(
            f"The shapes {SHAPES} hold {TOTAL} numbers, one of them the shape () with a single "
            f"number; your buffer has the shape {tuple(flat.shape)}."
        )
    if [tuple(view.shape) for view in views] != SHAPES:
        raise NotYet(f"The views have the shapes {[tuple(view.shape) for view in views]}.")
    if (flat != 0).any():
        raise NotYet("The buffer must begin with zeros everywhere.")
    with torch.no_grad():
        flat.copy_(torch.arange(TOTAL))
    seen = [int(number) for view in views for number in view.flatten().tolist()]
    if sorted(seen) == list(range(TOTAL)) and seen != list(range(TOTAL)):
        raise NotYet("Every number has its place, but not in order: lay the tensors end to end.")
    if len(set(seen)) < TOTAL and set(seen) - {0}:
        raise NotYet("Two views show the same number. Does each begin where the last one ended?")
    if seen != list(range(TOTAL)):
        raise NotYet("What is written into the buffer does not show in the views: are they copies?")


@exercise
def start_average(answer: Callable[[list[Tensor]], list[Tensor]]) -> None:
    """`answer(tensors)` -> one average for each different tensor, ready to be updated."""
    import torch

    tied = torch.tensor([1.0, 2.0], requires_grad=True)
    brain = torch.tensor([3.0], dtype=torch.bfloat16)
    half = torch.tensor([5.0], dtype=torch.float16)
    double = torch.tensor([4.0], dtype=torch.float64)
    got = list(answered(answer([tied, brain, tied, half, double])))
    if len(got) == 5:
        raise NotYet("The same tensor came twice and got two averages. It needs one.")
    if len(got) != 4:
        raise NotYet(f"Of five tensors, four different ones, you made {len(got)} averages.")
    for average, tensor in zip(got, (tied, brain, half, double), strict=True):
        if average.shape != tensor.shape or average.tolist() != tensor.tolist():
            raise NotYet("The averages must begin at the weights, in the order they first come.")
        if average.data_ptr() == tensor.data_ptr():
            raise NotYet("An average shares the memory of its weights: it will follow each step.")
        if average.requires_grad:
            raise NotYet("An average asks for a gradient. Cut it off from the graph.")
    for average, kind in ((got[1], "bfloat16"), (got[2], "float16")):
        if average.dtype != torch.float32:
            raise NotYet(f"The average of a {kind} tensor is not float32: it would get stuck.")
    if (got[0].dtype, got[3].dtype) != (torch.float32, torch.float64):
        raise NotYet("Wider tensors keep their type: only half precision is averaged in float32.")
    if len(answer([torch.ones(1), torch.ones(1)])) != 2:
        raise NotYet("Two different tensors with equal numbers are still two. Compare them by id.")
