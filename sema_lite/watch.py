"""Has the model changed under its average?

An average keeps lists of the tensors it follows. Where a layer is replaced later, or the model is
moved, these would be tensors that nobody trains any more, and the average would stand still without
a word. So it asks before each use; on the way, in each step, only as much as costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from .memory import Group, Place


class Watch:
    """Knows where all parameters and modules were registered, and where their tensors lay.

    Args:
        model: the module, without wrappers (see `unwrap`).
        groups: its parameters.
        flatten: are they views of flat buffers?
    """

    def __init__(self, model: nn.Module, groups: Sequence[Group], flatten: bool) -> None:
        modules = list(model.named_modules())
        tables = [t for _, m in modules for t in (m._parameters, m._modules)]
        self._empty = [table for table in tables if not table]  # most are: cheaper to ask
        self._tables = [table for table in tables if table]
        self._entries = sum(map(len, self._tables))
        self._slots = [
            (table, name, entry, f"{prefix}.{name}" if prefix else name)
            for prefix, module in modules
            for table in (module._parameters, module._modules)
            for name, entry in table.items()
        ]
        # Asking a tensor for its place costs about 0.2 µs. Each step asks a share of them, in
        # turn. A model that is moved has all its tensors moved: one answer is enough to know.
        self._places = [place for group in groups for place in group.places()]
        numel = sum(group.length for group in groups)
        share = max(1, numel // 1_000_000)
        self._shares = [self._places[i : i + share] for i in range(0, len(self._places), share)]
        self._turn = 0
        # Asking who is registered is cheaper: only a flat update over many tensors is shorter.
        self._always = not flatten or len(self._places) <= 64 or numel > 1_000_000

    def ask_all(self) -> None:
        """Raises ValueError when anything was added, removed, replaced or moved."""
        self.registered()
        _not_moved(self._places)

    def ask_some(self) -> None:
        """The same, as far as a step can afford it: a move is noticed within some steps."""
        self.registered(everything=self._always)
        _not_moved(self._shares[self._turn])
        self._turn = (self._turn + 1) % len(self._shares)

    def registered(self, everything: bool = True) -> None:
        """Raises ValueError when the model has more or fewer entries, or (everything) others."""
        if any(self._empty) or sum(map(len, self._tables)) != self._entries:
            raise ValueError(_changed("parameters or modules were added or removed"))
        if everything:
            name = ""
            try:
                for table, key, entry, name in self._slots:
                    if table[key] is not entry and unwrap(table[key]) is not entry:
                        raise ValueError(_changed(f"{name!r} was replaced"))
            except KeyError:  # as many as before, but others
                raise ValueError(_changed(f"{name!r} was replaced")) from None


def unwrap(module: Any) -> Any:
    """The user's own module inside `torch.compile`'s and DistributedDataParallel's wrappers."""
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif isinstance(module, nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def _not_moved(asked: Iterable[Place]) -> None:
    for ask, expected, name in asked:
        if ask() != expected:
            raise ValueError(
                f"parameter {name!r} was moved (by .to() or .data) after the average was made: "
                "create the average after .to(), or make a new one"
            )


def _changed(what: str) -> str:
    return f"{what} after the average was made: make a new one"
