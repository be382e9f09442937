"""The checks of notebook 06 pass right answers and name the mistake in wrong ones."""

import math

import pytest
import torch

from sema_lite import checks


def right_bytes(numbers, live_bytes, average_bytes):
    return numbers * (live_bytes + 2 * average_bytes)


def right_views(shapes):
    sizes = [math.prod(shape) for shape in shapes]
    flat, views, start = torch.zeros(sum(sizes)), [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        views.append(flat.narrow(0, start, size).view(shape))
        start += size
    return flat, views


def split_views(shapes):
    flat = torch.zeros(sum(map(math.prod, shapes)))
    parts = flat.split([math.prod(shape) for shape in shapes])
    return flat, [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def right_start(tensors):
    different = {id(t): t for t in tensors}.values()
    half = (torch.float16, torch.bfloat16)
    return [
        t.detach().to(torch.float32 if t.dtype in half else t.dtype, copy=True) for t in different
    ]


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.update_bytes, right_bytes),
        (checks.flat_views, right_views),
        (checks.flat_views, split_views),
        (checks.flat_views, lambda shapes: list(right_views(shapes))),
        (checks.start_average, right_start),
    ],
)
def test_a_right_answer_passes(check, answer, capsys):
    assert check(answer)
    assert capsys.readouterr().out == f"{check.__name__}: passed.\n"


def copies(shapes):
    flat, views = right_views(shapes)
    return flat, [view.clone() for view in views]


def overlapping(shapes):
    flat, _ = right_views(shapes)
    return flat, [flat[: math.prod(shape)].view(shape) for shape in shapes]


def backwards(shapes):
    flat, views = right_views(shapes[::-1])
    return flat, views[::-1]


def wrong_shapes(shapes):
    flat, views = right_views(shapes)
    return flat, [view.flatten() for view in views]


def without_scalars(shapes):
    flat, views = right_views([shape for shape in shapes if shape])
    return flat, views


def filled_with(value):
    """What `torch.ones` makes; with NaN, what `torch.empty` may."""

    def answer(shapes):
        flat, views = right_views(shapes)
        return flat.fill_(value), views

    return answer


def widened(*kinds):
    def change(t):
        return t.detach().to(torch.float32 if t.dtype in kinds else t.dtype, copy=True)

    return numb_start(change)


def numb_start(change):
    return lambda tensors: [change(t) for t in {id(t): t for t in tensors}.values()]


@pytest.mark.parametrize(
    ("check", "answer", "hint"),
    [
        (checks.update_bytes, lambda n, live, _: n * live, "size of one set"),
        (checks.flat_views, lambda shapes: right_views(shapes)[::-1], "First comes the buffer"),
        (checks.update_bytes, lambda n, live, average: n * (live + average), "read and written"),
        (checks.update_bytes, lambda n, live, average: 2 * n * (live + average), "four visits"),
        (checks.update_bytes, lambda _, live, average: live + 2 * average, "How many"),
        (checks.update_bytes, lambda n, *_: 3 * n, "12000"),
        (checks.update_bytes, lambda n, *_: 12 * n, "should shrink"),
        (checks.update_bytes, lambda n, live, average: n * (2 * live + average), "visited twice"),
        (checks.update_bytes, lambda n, live, _: n * (8 + live), "Wrong for 7 numbers"),
        (
            checks.flat_views,
            lambda shapes: right_views(shapes)[0],
            "Return two values, the flat buffer",
        ),
        (checks.flat_views, copies, "copies"),
        (checks.flat_views, overlapping, "same number"),
        (checks.flat_views, backwards, "not in order"),
        (checks.flat_views, wrong_shapes, "have the shapes"),
        (checks.flat_views, without_scalars, "single number"),
        (checks.flat_views, filled_with(1.0), "zeros"),
        (checks.flat_views, filled_with(math.nan), "zeros"),
        (checks.start_average, lambda tensors: [t.clone() for t in tensors], "needs one"),
        (checks.start_average, lambda tensors: right_start(tensors)[:2], "you made 2"),
        (checks.start_average, lambda tensors: right_start(tensors)[::-1], "in the order"),
        (checks.start_average, numb_start(torch.zeros_like), "begin at the weights"),
        (checks.start_average, numb_start(torch.Tensor.detach), "shares the memory"),
        (checks.start_average, numb_start(torch.Tensor.clone), "asks for a gradient"),
        (checks.start_average, numb_start(lambda t: t.detach().clone()), "bfloat16 tensor"),
        (checks.start_average, widened(torch.bfloat16), "a float16 tensor is not float32"),
        (checks.start_average, widened(torch.float16), "a bfloat16 tensor is not float32"),
        (
            checks.start_average,
            numb_start(lambda t: t.detach().to(torch.float32, copy=True)),
            "keep their type",
        ),
        (
            checks.start_average,
            lambda tensors: right_start(list({str(t.tolist()): t for t in tensors}.values())),
            "still two",
        ),
    ],
)
def test_a_wrong_answer_gets_a_hint(check, answer, hint, capsys):
    assert not check(answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{check.__name__}: not yet. ")
    assert hint in printed


def test_an_answer_that_fails_does_not_stop_the_notebook(capsys):
    assert not checks.flat_views(lambda: None)
    assert "flat_views: your answer stopped with TypeError" in capsys.readouterr().out
