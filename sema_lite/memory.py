"""Where averages live: the memory layout under `sema_lite.averaging`.

The cost of averaging is bytes moved and calls made, nothing else. So all parameters of one device
and dtype form a `Group` with one flat buffer for their averages; every average is a view into it,
with the strides of its parameter. A group is updated by one `torch._foreach_...` call over cached
lists or, when the parameters themselves are views of one flat buffer too (`flatten=True`), by one
call over two flat tensors, whatever the number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

KIND = attrgetter("dtype", "device")
Place = tuple[Callable[[], Any], Any, str]  # a question, the answer for "not moved", a name
ALIGNMENT = 64  # bytes: every view starts where vector instructions like it


def average_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is averaged in float32: at decay 0.9999 a bfloat16 average never moves."""
    if dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    if dtype == torch.complex32:
        return torch.complex64
    if dtype.is_floating_point and dtype.itemsize < 2:
        raise TypeError(f"parameters of {dtype} cannot be averaged; use bfloat16 or wider")
    return dtype


def averages(dtype: torch.dtype) -> bool:
    """True where an average has a meaning; integers and booleans are copied instead."""
    return dtype.is_floating_point or dtype.is_complex


def take_in(average: list[Tensor], live: list[Tensor], decay: float) -> None:
    """`average <- decay*average + (1-decay)*live`, for lists of one dtype each."""
    if average[0].dtype == live[0].dtype:
        torch._foreach_lerp_(average, live, 1 - decay)
    else:  # lerp does not mix dtypes
        torch._foreach_mul_(average, decay)
        torch._foreach_add_(average, live, alpha=1 - decay)


def without_grad(operation: Callable[..., Any], *args: Any) -> None:
    """`operation(*args)`, unseen by autograd. `with torch.no_grad()` costs four times as much."""
    before = torch.is_grad_enabled()
    torch._C._set_grad_enabled(False)
    try:
        operation(*args)
    finally:
        torch._C._set_grad_enabled(before)


class Group:
    """Parameters of one device and dtype, and their averages in one flat buffer.

    Args:
        names, params: the parameters, each once.
        flatten: move the parameters' data into one flat buffer as well.
    """

    def __init__(self, names: list[str], params: list[Tensor], flatten: bool) -> None:
        self.names, self.params = names, params
        self.dtype, self.device = params[0].dtype, params[0].device
        self.is_averaged = averages(self.dtype)
        self.offsets, self.length = _offsets(params)
        self.flat = self._buffer(average_dtype(self.dtype))
        self.views = self._views(self.flat)
        self.live: Tensor | None = None
        self.same_dtype = self.flat.dtype == self.dtype
        self.follow()
        if flatten:
            self._flatten()

    def _buffer(self, dtype: torch.dtype) -> Tensor:
        # zeros, not empty: the gaps between the views must never hold a NaN
        return torch.zeros(self.length, dtype=dtype, device=self.device)

    def _views(self, flat: Tensor) -> list[Tensor]:
        # empty_like on "meta" allocates nothing and tells the dense strides, channels_last kept
        like = [torch.empty_like(p, device="meta") for p in self.params]
        return [
            flat.as_strided(t.size(), t.stride(), offset)
            for t, offset in zip(like, self.offsets, strict=True)
        ]

    def _flatten(self) -> None:
        self.live = self._buffer(self.dtype)
        for param, view in zip(self.params, self._views(self.live), strict=True):
            param.data = view.copy_(param.data)

    def places(self) -> list[Place]:
        """The question for each parameter whether it is where it was.

        A flat group must see the same address; otherwise dtype and device do.
        """
        if self.live is not None:
            asked: list[tuple[Callable[[], Any], Any]]
            # Not `p.data_ptr`: in a deep copy it would go on asking the original.
            asked = [(partial(Tensor.data_ptr, p), p.data_ptr()) for p in self.params]
        else:
            asked = [(partial(KIND, p), KIND(p)) for p in self.params]
        return [(ask, answer, name) for (ask, answer), name in zip(asked, self.names, strict=True)]

    def follow(self) -> None:
        """average <- live"""
        if self.live is not None:  # neither flat tensor asks for a gradient
            self.flat.copy_(self.live)
        else:
            without_grad(torch._foreach_copy_, self.views, self.params)

    def take_in(self, decay: float) -> None:
        """average <- decay*average + (1-decay)*live; integers are copied."""
        if not self.is_averaged:
            self.follow()
        elif self.live is None:
            without_grad(take_in, self.views, self.params, decay)
        elif self.same_dtype:
            self.flat.lerp_(self.live, 1 - decay)
        else:
            self.flat.mul_(decay).add_(self.live, alpha=1 - decay)

    def switch(self) -> None:
        """live <- average, in a way that autograd notices between forward and backward."""
        if self.live is not None:
            self.live.copy_(self.flat)
            self._changed()
        else:
            without_grad(torch._foreach_copy_, self.params, self.views)
            torch.clear_autocast_cache()

    def lend(self) -> None:
        """Make the parameters look at their averages.

        Nothing is copied where the dtypes agree: a parameter's data pointer changes, no more.
        """
        for param, view in zip(self.params, self.views, strict=True):
            param.data = view.to(self.dtype)
        self._changed()

    def take_back(self, live: list[Tensor]) -> None:
        for param, data in zip(self.params, live, strict=True):
            param.data = data
        self._changed()

    def _changed(self) -> None:
        """Tell those who remember the parameters' values: autograd, and autocast."""
        torch.autograd.graph.increment_version(self.params)
        torch.clear_autocast_cache()

    def versions(self) -> list[int]:
        """Autograd's version counters: they tell whether a parameter was written in place."""
        return [p._version for p in self.params]


def _offsets(params: list[Tensor]) -> tuple[list[int], int]:
    """Start of each parameter in the flat buffer, and the buffer's length, in elements."""
    step = max(1, ALIGNMENT // params[0].element_size())
    offsets, end = [], 0
    for param in params:
        offsets.append(end)
        end += -(-param.numel() // step) * step
    return offsets, end


def make_groups(named: list[tuple[str, Tensor]], flatten: bool) -> list[Group]:
    """One group per device and dtype, in the order of first appearance.

    Raises:
        ValueError: two parameters share memory and `flatten` would part them.
    """
    if flatten:
        _check_no_overlap(named)
    parts: dict[tuple[torch.device, torch.dtype], list[tuple[str, Tensor]]] = {}
    for name, param in named:
        average_dtype(param.dtype)  # before anything has changed
        parts.setdefault((param.device, param.dtype), []).append((name, param))
    return [Group([n for n, _ in part], [p for _, p in part], flatten) for part in parts.values()]


def _check_no_overlap(named: list[tuple[str, Tensor]]) -> None:
    def span(param: Tensor) -> tuple[str, int, int]:
        last = sum((n - 1) * s for n, s in zip(param.shape, param.stride(), strict=True))
        start = param.data_ptr()
        return str(param.device), start, start + (last + 1) * param.element_size()

    spans = sorted((span(p), name) for name, p in named if p.numel())
    for ((device, _, end), name), ((other, start, _), next_name) in pairwise(spans):
        if device == other and start < end:
            raise ValueError(
                f"flatten=True would part {name!r} and {next_name!r}, which share memory; "
                "register one Parameter under both names, or use flatten=False"
            )
