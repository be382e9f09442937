"""EMA, SWA, SEMA and Lookahead for torch modules: the fast implementation.

Counting and arguments are those of `sema_lite.reference`, from which the classes inherit; only the
operations on weights are new. They are a few calls over cached lists (see `sema_lite.memory`).

    sema = SEMA(model, decay=0.99, switch_every=len(loader)).attach(optimizer)   # the one line
    ...train as before...
    with sema.applied():
        evaluate(model)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .buffers import Buffers
from .memory import make_groups
from .reference import Average, Decay, check_count, check_fraction, uniform
from .watch import Watch, unwrap

BUFFERS = ("average", "copy", "ignore")
COUNTERS = ("step", "averaged", "switches")
Self = TypeVar("Self", bound="ModuleAverage")


class ModuleAverage(Average):
    """The class that does the work; use `EMA`, `SWA`, `SEMA` or `Lookahead`.

    Args:
        model: the module. Build the average last: after `.to(device)` and `.to(dtype)`, after
            loading weights, and after DistributedDataParallel, which hands round those of rank 0.
            Its wrapper and that of `torch.compile` are looked through: names are the model's.
            All parameters are averaged, frozen ones too (they may thaw); tied ones once.
        decay, update_every, switch_every, start, stop: as `sema_lite.reference.Average`.
        buffers: "average" (integers and spectral norm's vectors are copied), "copy" (the latest),
            or "ignore".
        switch_buffers: a switch also copies the buffers back, for example batch norm's statistics.
        flatten: move the parameters into one buffer per device and dtype, so that update and
            switch are one call each. Do it before CUDA graphs record addresses. Copies of such a
            model are not flat: make a new average for them. `torch.save` of a part of it stores
            the whole buffer, and safetensors' `save_model` refuses it: save `averaged_model()`.

    Raises:
        ValueError, TypeError: a bad argument, or a module with no parameters. Later, from every
            method: parameters or modules were added, replaced or moved; nothing has changed then.
    """

    def __init__(
        self,
        model: nn.Module,
        decay: Decay,
        *,
        update_every: int = 1,
        switch_every: int | None = None,
        start: int = 0,
        stop: int | None = None,
        buffers: str = "average",
        switch_buffers: bool = False,
        flatten: bool = False,
    ) -> None:
        self._set_schedule(decay, update_every, switch_every, start, stop)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if buffers not in BUFFERS:
            raise ValueError(f"buffers must be one of {BUFFERS}, got {buffers!r}")
        if switch_buffers and buffers == "ignore":
            raise ValueError('switch_buffers=True needs buffers="average" or "copy"')
        self.model = unwrap(model)
        named: list[tuple[str, Tensor]] = list(self.model.named_parameters())
        if not named:
            raise ValueError("model has no parameters to average")
        for name, param in named:
            if nn.parameter.is_lazy(param):
                raise ValueError(f"parameter {name!r} has no shape yet: run one batch first")
            if param.is_meta or hasattr(param, "device_mesh"):
                kind = "on the meta device" if param.is_meta else "sharded (a DTensor)"
                raise ValueError(f"parameter {name!r} is {kind}: it cannot be averaged")
        self._groups = make_groups(named, flatten)
        self._buffers = Buffers(self.model, buffers)
        self.switch_buffers = bool(switch_buffers)
        self.flatten = bool(flatten)
        self._aliases = self._other_names()
        self._watch = Watch(self.model, self._groups, self.flatten)
        self._resets: torch.optim.Optimizer | None = None  # its state, at a switch
        self._hook: Any = None

    # -- the operations on weights --------------------------------------------------------------

    def _follow(self) -> None:
        for group in self._groups:
            group.follow()
        if self._buffers.names:
            self._buffers.follow()

    def _take_in(self, decay: float) -> None:
        for group in self._groups:
            group.take_in(decay)
        if self._buffers.names:
            self._buffers.take_in(decay)

    def _switch(self) -> None:
        for group in self._groups:
            group.switch()
        if self.switch_buffers:
            self._buffers.switch()
        if self._resets is not None:
            self._resets.state.clear()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the `with` the model has the averaged weights; after it, its own are back.

        They come back after an exception too. Parameters are not copied: they look at the averages
        for a while, so they must not be trained inside (buffers may change; they are copies). For
        the same reason keep no `model.state_dict()` and no export from inside, which will change:
        take those of `averaged_model()`.

        Raises:
            ValueError: inside another `applied()`; at the end, when parameters were written inside.
        """
        self._check("applied()")
        live = [[p.data for p in group.params] for group in self._groups]
        saved = self._buffers.save()
        self._applied = True
        try:  # from here on: lending half-precision weights takes memory, and may fail
            if saved:
                self._buffers.switch()
            for group in self._groups:
                group.lend()
            before = [group.versions() for group in self._groups]
            yield
            written = before != [group.versions() for group in self._groups]
        finally:
            self._applied = False
            for group, data in zip(self._groups, live, strict=True):
                group.take_back(data)
            if saved:
                self._buffers.take_back(saved)
        if written:
            raise ValueError(
                "parameters were changed inside applied(), or another average was applied there: "
                "the live weights are back, but the average has taken any change; train outside, "
                "or on averaged_model()"
            )

    # -- one line in a training script ----------------------------------------------------------

    def attach(self: Self, optimizer: torch.optim.Optimizer, *, reset_state: bool = False) -> Self:
        """Call `update()` after each `optimizer.step()`, until `detach()`. Returns self.

        Args:
            optimizer: one that trains this model; of several, the one that steps last. Only its
                `step()` counts: where another method steps (SAM's `second_step()`), call
                `update()` yourself.
            reset_state: a switch also clears the optimizer's state (momentum). The authors of
                SEMA keep it.

        Raises:
            ValueError: it trains none of the model's parameters; this average is attached already,
                or another one that switches the same model is: that cell has been run twice.
            TypeError: it is no torch optimizer, or has no hooks.
        """
        if self._hook is not None:
            raise ValueError("an optimizer is attached already: detach() first")
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch optimizer, got {type(optimizer).__name__}")
        hooks = getattr(optimizer, "_optimizer_step_post_hooks", None)
        if hooks is None:
            raise TypeError(
                "optimizer has no step hooks (did it not call Optimizer.__init__?): attach to the "
                "one inside it, or call update() yourself"
            )
        for other in (getattr(hook, "__self__", None) for hook in hooks.values()):
            if isinstance(other, ModuleAverage) and self._fights(other):
                raise ValueError(
                    "another average that switches this model is attached to the optimizer: "
                    "detach() it first"
                )
        ours = {id(p) for group in self._groups for p in group.params}
        if not any(id(p) in ours for part in optimizer.param_groups for p in part["params"]):
            raise ValueError("the optimizer trains none of this model's parameters")
        self._resets = optimizer if reset_state else None
        self._hook = optimizer.register_step_post_hook(self._after_step)
        return self

    def _after_step(self, *_: Any) -> None:
        self.update()

    def _fights(self, other: ModuleAverage) -> bool:
        """Two averages that only watch get on; two that switch overwrite each other's work."""
        both = self.switch_every is not None and other.switch_every is not None
        return both and self.model is other.model

    def detach(self) -> None:
        """Undo `attach()`."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._resets = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy and a pickle are detached: their optimizer would be another one."""
        return {**vars(self), "_hook": None, "_resets": None}

    # -- what there is to read, to export and to store ------------------------------------------

    @property
    def average(self) -> dict[str, Tensor]:  # type: ignore[override]
        """{parameter name: averaged tensor}. These are the averages themselves: do not write."""
        return {n: v for g in self._groups for n, v in zip(g.names, g.views, strict=True)}

    @property
    def average_buffers(self) -> dict[str, Tensor]:
        """{buffer name: averaged or copied tensor}; empty with `buffers="ignore"`."""
        return dict(zip(self._buffers.names, self._buffers.values, strict=True))

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Copy the averaged parameters and buffers into another module of the same names.

        Raises:
            ValueError: names or shapes differ; nothing has changed.
        """
        self._watch.registered()
        module = unwrap(module)
        values = {**self.average, **self.average_buffers}
        values |= {alias: values[name] for alias, name in self._aliases.items() if name in values}
        params = dict(module.named_parameters(remove_duplicate=False))
        buffers = dict(module.named_buffers(remove_duplicate=False))
        targets = {**params, **{n: b for n, b in buffers.items() if n in values}}
        wanted = set(self.average) | set(self.average_buffers)
        _check_same("the module", wanted, targets, values)
        for name, tensor in targets.items():
            tensor.copy_(values[name])

    def averaged_model(self) -> nn.Module:
        """An independent copy of the model with the averaged weights, for export."""
        module: nn.Module = copy.deepcopy(self.model)
        self.copy_to(module)
        return module

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs beside the model: a flat dict of independent tensors.

        `torch.save` and `safetensors.torch.save_file` both store it as it is.
        """
        if self._applied:  # the parameters are on loan, and elsewhere
            self._watch.registered()
        else:
            self._watch.ask_all()
        state = {name: torch.tensor(getattr(self, name)) for name in COUNTERS}
        for prefix, values in self._tensors().items():
            for name, value in values.items():
                state[f"{prefix}.{name}"] = value.clone(memory_format=torch.contiguous_format)
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`. Averages keep their own dtype. Settings (decay, periods, ...)
        are not in it: make the average with the same ones.

        Raises:
            ValueError: it is of another model (the message names what differs); nothing changed.
        """
        self._check("load_state_dict()")
        ours: dict[str, Any] = {
            f"{prefix}.{name}": value
            for prefix, values in self._tensors().items()
            for name, value in values.items()
        }
        missing = [name for name in COUNTERS if name not in state]
        if missing:
            raise ValueError(f"the state lacks {missing}: is it from state_dict()?")
        tensors = {name: value for name, value in state.items() if name not in COUNTERS}
        _check_same("the state", set(ours), tensors, ours)
        counters = [check_count(name, int(state[name]), 0) for name in COUNTERS]
        for name, value in ours.items():
            value.copy_(tensors[name])
        self.step, self.averaged, self.switches = counters

    def _other_names(self) -> dict[str, str]:
        """{each name in the model: the one under which that tensor is averaged} (tied weights)."""
        names = {id(p): n for g in self._groups for n, p in zip(g.names, g.params, strict=True)}
        names |= dict(zip(map(id, self._buffers.live), self._buffers.names, strict=True))
        named = [
            *self.model.named_parameters(remove_duplicate=False),
            *self.model.named_buffers(remove_duplicate=False),
        ]
        return {name: names[id(tensor)] for name, tensor in named if id(tensor) in names}

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        return {"average": self.average, "buffer": self.average_buffers}

    def _check(self, what: str) -> None:
        if self._applied:
            super()._check(what)
        # A switch that is not flat copies into a tensor wherever it is: it cannot go astray.
        if what == "update()" or (what == "switch()" and not self.flatten):
            self._watch.ask_some()
        else:
            self._watch.ask_all()


def _check_same(
    what: str, wanted: set[str], got: dict[str, Tensor], like: dict[str, Tensor]
) -> None:
    """Names in `got` must cover `wanted` and be known to `like`, with the same shapes."""
    missing = sorted(wanted - set(got))
    unknown = sorted(set(got) - set(like))
    shapes = [
        f"{name} is {tuple(got[name].shape)}, not {tuple(like[name].shape)}"
        for name in got
        if name in like and got[name].shape != like[name].shape
    ]
    problems = [
        f"{kind} {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
        for kind, names in (("lacks", missing), ("has unknown", unknown), ("differs:", shapes))
        if names
    ]
    if problems:
        raise ValueError(f"{what} does not fit this model: it {'; '.join(problems)}")


class EMA(ModuleAverage):
    """Exponential moving average of a module's weights: never switches.

    `decay` d has the horizon `1/(1-d)` steps. Other arguments: see `ModuleAverage`.
    """

    def __init__(
        self,
        model: nn.Module,
        decay: Decay = 0.99,
        *,
        update_every: int = 1,
        start: int = 0,
        buffers: str = "average",
        flatten: bool = False,
    ) -> None:
        super().__init__(
            model,
            decay,
            update_every=update_every,
            start=start,
            buffers=buffers,
            flatten=flatten,
        )


class SWA(ModuleAverage):
    """Stochastic weight averaging (Izmailov et al. 2018): the uniform mean of the snapshots taken
    every `update_every` steps after `start`. Other arguments: see `ModuleAverage`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        update_every: int = 1,
        start: int = 0,
        buffers: str = "average",
        flatten: bool = False,
    ) -> None:
        super().__init__(
            model,
            uniform,
            update_every=update_every,
            start=start,
            buffers=buffers,
            flatten=flatten,
        )


class SEMA(ModuleAverage):
    """Switch EMA (Li et al. 2024, arXiv 2402.09240): an EMA that is copied back into the model
    every `switch_every` steps, one epoch as a rule.

    `switch_every` must be given: an EMA that never switches is not SEMA. It counts optimizer steps:
    `len(loader)` is one epoch unless gradients are collected over several batches or a GradScaler
    leaves steps out. None means that you call `switch()` yourself, for example at the end of each
    epoch. Other arguments: see `ModuleAverage`.
    """

    def __init__(
        self,
        model: nn.Module,
        decay: Decay = 0.99,
        *,
        switch_every: int | None,
        update_every: int = 1,
        start: int = 0,
        stop: int | None = None,
        buffers: str = "average",
        switch_buffers: bool = False,
        flatten: bool = False,
    ) -> None:
        super().__init__(
            model,
            decay,
            update_every=update_every,
            switch_every=switch_every,
            start=start,
            stop=stop,
            buffers=buffers,
            switch_buffers=switch_buffers,
            flatten=flatten,
        )


class Lookahead(ModuleAverage):
    """Lookahead (Zhang et al. 2019): after every `k` steps the slow weights go a fraction `s` of
    the way to the fast ones, which then start again from there. Other arguments: see
    `ModuleAverage`."""

    def __init__(
        self,
        model: nn.Module,
        k: int = 5,
        s: float = 0.5,
        *,
        buffers: str = "average",
        switch_buffers: bool = False,
        flatten: bool = False,
    ) -> None:
        s = check_fraction("s", s)
        k = check_count("k", k, 1)
        super().__init__(
            model,
            1 - s,
            update_every=k,
            switch_every=k,
            buffers=buffers,
            switch_buffers=switch_buffers,
            flatten=flatten,
        )
