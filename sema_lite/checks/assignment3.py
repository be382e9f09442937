"""Checks of assignment A3, averaging for torch modules. The graded tests use other models.

from sema_lite.checks import assignment3 as check

The checks get the notebook's own `State` and `Tied`, where they need them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .report import NotYet, answered, exercise

if TYPE_CHECKING:  # torch takes seconds to import: only where it is used
    from torch import Tensor, nn

__all__ = ["applied", "parameters_once", "saved", "start", "together", "update"]

Answer = Callable[..., Any]


def everything(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a model by name, the live ones."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def copies(model: nn.Module) -> dict[str, Tensor]:
    """What `everything` gives, as copies."""
    return {name: tensor.detach().clone() for name, tensor in everything(model).items()}


@exercise
def parameters_once(answer: Answer) -> None:
    """`answer(model)`: {first name: parameter}, each different parameter once."""
    from torch import nn

    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].weight = model[0].weight
    got = answered(answer(model))
    if not isinstance(got, dict):
        raise NotYet(f"Return a dict; this was a {type(got).__name__}.")
    if "1.running_mean" in got:
        raise NotYet("The statistics of batch norm are buffers, not parameters.")
    if "2.weight" in got:
        raise NotYet("2.weight is the same parameter as 0.weight.")
    if set(got) != {"0.weight", "0.bias", "1.weight", "1.bias", "2.bias"}:
        raise NotYet(f"The names are {', '.join(sorted(got))}.")
    if got["0.weight"] is not model[0].weight:
        raise NotYet("Return the parameters themselves, not copies of them.")


@exercise
def start(answer: Answer, tied: type[nn.Module]) -> None:
    """`answer(model)`: the state of a new average."""
    import torch

    model: Any = tied()
    state = answered(answer(model))
    if not hasattr(state, "tensors"):
        raise NotYet("Return a State.")
    if "decode.weight" in state.tensors:
        raise NotYet("encode.weight and decode.weight are one weight. How many averages has it?")
    if "norm.running_mean" not in state.tensors:
        raise NotYet("norm.running_mean is missing. What else is in a model, beside parameters?")
    missing = set(everything(model)) - set(state.tensors)
    if missing:
        raise NotYet(f"There is no average of {', '.join(sorted(missing))}.")
    with torch.no_grad():
        model.encode.weight.add_(1.0)
    if torch.equal(state.tensors["encode.weight"], model.encode.weight):
        raise NotYet("A step of the optimizer changes the average as well: whose memory is it?")
    if state.tensors["encode.weight"].requires_grad:
        raise NotYet("The average asks for a gradient.")
    if state.tensors["norm.num_batches_tracked"].is_floating_point():
        raise NotYet("The counter of batch norm should stay a whole number.")
    half = answer(tied().to(torch.bfloat16))
    if half.tensors["encode.weight"].dtype != torch.float32:
        raise NotYet("Which type should the average of a bfloat16 weight have?")


@exercise
def update(answer: Answer, state: Answer, tied: type[nn.Module]) -> None:
    """`answer(state, model, decay)`: takes the live model in."""
    import torch

    model: Any = tied()
    mine = state(0, copies(model))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(10.0)
        for name, average in mine.tensors.items():
            if not name.endswith("tracked"):
                average.fill_(0.0)
        model.norm.running_mean.fill_(10.0)
        model.norm.num_batches_tracked.fill_(5)
    try:
        result = answer(mine, model, 0.99)
    except KeyError as error:
        raise NotYet(
            f"There is no average called {error}. How many names has a tied weight?"
        ) from None
    if mine.updates == 0 and result is None:
        raise NotYet("state.updates should be 1 after the first update.")
    if float(model.encode.weight.detach()[0, 0]) != 10.0:
        raise NotYet("The live model has changed.")
    got = float(mine.tensors["decode.bias"][0])
    hints = {
        0.0: "The averages have not moved.",
        1.0: "Which share is the old one, which is the new one?",
        0.1: "The first update has the decay warm_up(decay, 1), which is 0.1.",
        10.0: "The first update is number 1, not 0.",
    }
    for mistake, hint in hints.items():
        if abs(got - mistake) < 1e-5:
            raise NotYet(hint)
    if abs(got - 9.0) > 1e-5:
        raise NotYet("An average at 0, a weight at 10, decay 0.1: what comes out?")
    if abs(float(mine.tensors["encode.weight"][0, 0]) - 9.9) < 1e-5:
        raise NotYet("The weight with two names was taken in twice.")
    mean = float(mine.tensors["norm.running_mean"][0])
    if mean == 0.0:
        raise NotYet("norm.running_mean has not moved. Is it a parameter?")
    if mean == 10.0:
        raise NotYet("norm.running_mean is copied. It should be averaged, as the weights are.")
    if int(mine.tensors["norm.num_batches_tracked"]) != 5:
        raise NotYet("The counter of batch norm should be the newest one, 5.")
    if any(tensor.requires_grad for tensor in mine.tensors.values()):
        raise NotYet("The averages remember how they were computed, for a gradient.")


@exercise
def applied(answer: Answer, state: Answer, tied: type[nn.Module]) -> None:
    """`with answer(state, model)`: the averaged weights inside, the live ones afterwards."""
    import torch

    model: Any = tied()
    live = copies(model)
    mine = state(1, {name: tensor + 1 for name, tensor in live.items()})
    with answer(mine, model):
        inside = copies(model)
    if torch.equal(inside["encode.weight"], live["encode.weight"]):
        raise NotYet("Inside the block the model still has its live weights.")
    if not torch.equal(inside["norm.running_mean"], mine.tensors["norm.running_mean"]):
        raise NotYet("Inside, norm.running_mean is not that of the average.")
    after = everything(model)
    changed = [name for name in live if not torch.equal(after[name], live[name])]
    if changed:
        raise NotYet(f"After the block these are not what they were: {', '.join(changed)}.")
    if model.encode.weight is not model.decode.weight:
        raise NotYet("After the block encode.weight and decode.weight are two weights.")


@exercise
def saved(answer: Answer, restore: Answer, state: Answer) -> None:
    """`answer(state)`: a dict for torch.save; `restore(dict)`: the state again."""
    import torch

    mine = state(7, {"weight": torch.ones(2), "norm.num_batches_tracked": torch.tensor(3)})
    file = io.BytesIO()
    torch.save(answered(answer(mine)), file)
    file.seek(0)
    back = answered(restore(torch.load(file, weights_only=True)))
    if back.updates != 7:
        raise NotYet(f"Seven updates were saved, and {back.updates} came back.")
    for name, tensor in mine.tensors.items():
        if name not in back.tensors or not torch.equal(back.tensors[name], tensor):
            raise NotYet(f"{name} did not come back as it was.")


@exercise
def together(
    begin: Answer,
    take_in: Answer,
    lend: Answer,
    save: Answer,
    restore: Answer,
    tied: type[nn.Module],
    warm_up: Callable[[float, int], float],
) -> None:
    """All functions of the assignment in one training, against `sema_lite.EMA`."""
    import torch

    from ..averaging import EMA

    torch.manual_seed(3)
    model = tied()
    library = EMA(model, decay=lambda n: warm_up(0.9, n))
    state = begin(model)
    for step in range(30):
        x = torch.randn(16, 4)
        model.zero_grad()
        ((model(x) - x) ** 2).mean().backward()
        with torch.no_grad():  # plain SGD: torch.optim takes seconds to import
            for p in model.parameters():
                assert p.grad is not None  # each takes part in the loss
                p.sub_(p.grad, alpha=0.1)
        library.update()
        take_in(state, model, 0.9)
        if step == 14:
            state = restore(save(state))
    with lend(state, model):
        mine = copies(model)
    for name, tensor in {**library.average, **library.average_buffers}.items():
        if not torch.allclose(mine[name], tensor, rtol=1e-5, atol=1e-6):
            raise NotYet(f"{name} differs from the library's after thirty steps.")
