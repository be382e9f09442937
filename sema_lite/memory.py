"""Where averages live: the memory layout under `sema_lite.averaging`.

The cost of averaging is bytes moved and calls made, nothing else. So all parameters of one device
and dtype form a `Group` with one flat buffer for their averages; every average is a view into it,
with the strides of its parameter. A group is updated by one `torch._foreach_...` call over cached
lists or, when the parameters themselves are views of one flat buffer too (`flatten=True`), by one
call over two flat tensors, whatever the number of parameters.
"""

from __future__ import annotations

from itertools import pairwise
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

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
        self.pointers = [p.data_ptr() for p in self.params]

    def moved(self, index: int, param: Tensor) -> bool:
        """True when this parameter is no longer where the group knows it."""
        if self.live is not None:
            return param.data_ptr() != self.pointers[index] or param.dtype != self.dtype
        return param.dtype != self.dtype or param.device != self.device

    @torch.no_grad()
    def follow(self) -> None:
        """average <- live"""
        if self.live is not None:
            self.flat.copy_(self.live)
        else:
            torch._foreach_copy_(self.views, self.params)

    def take_in(self, decay: float) -> None:
        """average <- decay*average + (1-decay)*live; integers are copied."""
        if not self.is_averaged:
            self.follow()
        elif self.live is None:
            with torch.no_grad():
                take_in(self.views, self.params, decay)
        elif self.same_dtype:  # neither flat tensor asks for a gradient: no_grad would only cost
            self.flat.lerp_(self.live, 1 - decay)
        else:
            self.flat.mul_(decay).add_(self.live, alpha=1 - decay)

    @torch.no_grad()
    def switch(self) -> None:
        """live <- average, in a way that autograd notices between forward and backward."""
        if self.live is not None:
            self.live.copy_(self.flat)
            torch.autograd.graph.increment_version(self.params)
        else:
            torch._foreach_copy_(self.params, self.views)

    def lend(self) -> list[Tensor]:
        """Make the parameters look at their averages. Returns the live data, for `take_back`.

        Nothing is copied where the dtypes agree: a parameter's data pointer changes, no more.
        """
        live = [p.data for p in self.params]
        for param, view in zip(self.params, self.views, strict=True):
            param.data = view.to(self.dtype)
        torch.autograd.graph.increment_version(self.params)
        return live

    def take_back(self, live: list[Tensor]) -> None:
        for param, data in zip(self.params, live, strict=True):
            param.data = data
        torch.autograd.graph.increment_version(self.params)

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


class Buffers:
    """Averages of a module's buffers, such as the statistics of batch norm.

    Buffers are small and, unlike parameters, often replaced by assignment, so they are looked up
    by name each time. A buffer whose shape or dtype has changed is copied anew.

    Args:
        model: the module.
        how: "average" (integers are copied), "copy" or "ignore".
    """

    def __init__(self, model: nn.Module, how: str) -> None:
        self.how = how
        self._slots: list[tuple[dict[str, Any], str]] = []
        self.names: list[str] = []
        known: set[int] = set()
        if how != "ignore":
            for prefix, module in model.named_modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None and id(buffer) not in known:
                        known.add(id(buffer))
                        self._slots.append((module._buffers, name))
                        self.names.append(f"{prefix}.{name}" if prefix else name)
        self.live: list[Tensor] = []
        self.values: list[Tensor] = []
        self._look_up()

    @torch.no_grad()
    def _look_up(self) -> None:
        """Find the live buffers, and remake what no longer fits them."""
        live: list[Any] = [table.get(name) for table, name in self._slots]
        if len(live) == len(self.live) and all(map(is_, live, self.live)):
            return
        gone = [name for name, buffer in zip(self.names, live, strict=True) if buffer is None]
        if gone:
            raise ValueError(f"buffers {gone} have gone since the average was made: make a new one")
        old: list[Any] = self.values or [None] * len(live)
        self.values = [
            value if value is not None and _fits(value, buffer) else _clone(buffer)
            for value, buffer in zip(old, live, strict=True)
        ]
        self.live = live
        kinds: dict[tuple[Any, Any], tuple[list[Tensor], list[Tensor]]] = {}
        for value, buffer in zip(self.values, live, strict=True):
            pair = kinds.setdefault((buffer.device, buffer.dtype), ([], []))
            pair[0].append(value)
            pair[1].append(buffer)
        self._kinds = list(kinds.values())

    @torch.no_grad()
    def follow(self) -> None:
        if not self._slots:
            return
        self._look_up()
        for values, live in self._kinds:
            torch._foreach_copy_(values, live)

    @torch.no_grad()
    def take_in(self, decay: float) -> None:
        if not self._slots:
            return
        self._look_up()
        for values, live in self._kinds:
            if self.how == "copy" or not averages(live[0].dtype):
                torch._foreach_copy_(values, live)
            else:  # not lerp: a mask of -inf minus itself would be NaN
                torch._foreach_mul_(values, decay)
                torch._foreach_add_(values, live, alpha=1 - decay)

    @torch.no_grad()
    def switch(self) -> None:
        self._look_up()
        for values, live in self._kinds:
            torch._foreach_copy_(live, values)

    def lend(self) -> list[Tensor]:
        """Put the averages into the live buffers. Returns copies of what was there."""
        if not self._slots:
            return []
        self._look_up()
        saved = [buffer.clone() for buffer in self.live]
        self.switch()
        return saved

    @torch.no_grad()
    def take_back(self, saved: list[Tensor]) -> None:
        for (table, name), buffer, value in zip(self._slots, self.live, saved, strict=True):
            table[name] = buffer.copy_(value)  # also where the code inside has put another tensor


def _fits(value: Tensor, buffer: Tensor) -> bool:
    return (value.shape, value.device, value.dtype) == (
        buffer.shape,
        buffer.device,
        average_dtype(buffer.dtype),
    )


def _clone(buffer: Tensor) -> Tensor:
    return buffer.detach().to(average_dtype(buffer.dtype), copy=True)
