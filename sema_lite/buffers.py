"""Averages of a module's buffers, such as the statistics of batch norm."""

from __future__ import annotations

from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from .memory import KIND, average_dtype, averages, take_in


class Buffers:
    """Averages of a module's buffers, such as the statistics of batch norm.

    Buffers are small and, unlike parameters, often replaced by assignment, so they are looked up
    by name each time. A buffer whose shape or dtype has changed is copied anew.

    Args:
        model: the module.
        how: "average", "copy" or "ignore". Integers are copied in any case, and so is a buffer
            that begins with an infinity, such as a mask: inf - inf would be NaN; and the vectors
            of spectral norm. Sparse ones are left alone.
    """

    def __init__(self, model: nn.Module, how: str) -> None:
        self.how = how
        self._slots: list[tuple[dict[str, Any], str]] = []
        self.names: list[str] = []
        self._directions: set[int] = set()  # numbers of slots
        known: set[int] = set()
        if how != "ignore":
            for prefix, module in model.named_modules():
                for name, buffer in module._buffers.items():
                    if buffer is None or buffer.layout is not torch.strided:
                        continue
                    if id(buffer) not in known:
                        known.add(id(buffer))
                        if _is_direction(module, name):
                            self._directions.add(len(self._slots))
                        self._slots.append((module._buffers, name))
                        self.names.append(f"{prefix}.{name}" if prefix else name)
        self.live: list[Tensor] = []
        self.values: list[Tensor] = []
        self._mixes: dict[int, bool] = {}  # number of the slot: is it averaged?
        self._kinds: list[tuple[bool, list[Tensor], list[Tensor]]] = []
        self._look_up()

    def _look_up(self) -> None:
        """Find the live buffers, and remake what no longer fits them."""
        live: list[Any] = [table.get(name) for table, name in self._slots]
        if len(live) == len(self.live) and all(map(is_, live, self.live)):
            return
        gone = [name for name, buffer in zip(self.names, live, strict=True) if buffer is None]
        if gone:
            raise ValueError(f"buffers {gone} have gone since the average was made: make a new one")
        old: list[Any] = list(self.values) or [None] * len(live)
        for i, (value, buffer) in enumerate(zip(old, live, strict=True)):
            if value is None or not _fits(value, buffer):
                old[i] = _clone(buffer)
                mixes = self.how == "average" and i not in self._directions
                self._mixes[i] = mixes and _can_be_averaged(buffer)
        self.values, self.live = old, live
        kinds: dict[Any, tuple[bool, list[Tensor], list[Tensor]]] = {}
        for i, (value, buffer) in enumerate(zip(self.values, live, strict=True)):
            mixes = self._mixes[i]
            kind = kinds.setdefault((mixes, KIND(buffer)), (mixes, [], []))
            kind[1].append(value)
            kind[2].append(buffer)
        self._kinds = list(kinds.values())

    @torch.no_grad()
    def follow(self) -> None:
        self._look_up()
        for _, values, live in self._kinds:
            torch._foreach_copy_(values, live)

    @torch.no_grad()
    def take_in(self, decay: float) -> None:
        self._look_up()
        for mixes, values, live in self._kinds:
            if mixes:
                take_in(values, live, decay)
            else:
                torch._foreach_copy_(values, live)

    @torch.no_grad()
    def switch(self) -> None:
        self._look_up()
        for _, values, live in self._kinds:
            torch._foreach_copy_(live, values)

    def save(self) -> list[Tensor]:
        """Copies of the live buffers."""
        self._look_up()
        return [buffer.clone() for buffer in self.live]

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


def _is_direction(module: nn.Module, name: str) -> bool:
    """Whether it is one of spectral norm's two unit vectors.

    A mean of directions is shorter than 1, and what the weights are divided by shrinks with it:
    they would come out ten or a hundred times too large.
    """
    new, old = type(module).__name__ == "_SpectralNorm", f"{name[:-2]}_orig" in module._parameters
    return name[-2:] in ("_u", "_v") and (new or old)


def _can_be_averaged(buffer: Tensor) -> bool:
    return averages(buffer.dtype) and bool(buffer.isfinite().all())


def _clone(buffer: Tensor) -> Tensor:
    return buffer.detach().to(average_dtype(buffer.dtype), copy=True)
