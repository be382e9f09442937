"""Typical wrong solutions of the assignments, as data: what is replaced in which solution cell,
which tests must fail then, and a word of the message that each of them gives.

`submission("A1")` is what a student hands in who has solved all; `submission("A1", wrong)` has one
mistake in it. The tests of the assignments and those of the grader use both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

ASSIGNMENTS = Path(__file__).resolve().parent.parent / "notebooks" / "assignments"
MARKS = re.compile(r"^\s*### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


@dataclass(frozen=True)
class Wrong:
    """A wrong solution: in the solution cell `cell`, `old` is replaced by `new`."""

    assignment: str
    name: str
    cell: str
    old: str
    new: str
    fails: dict[str, str]  # grade_id of a test that fails: a word of its message


def path_of(assignment: str, folder: str = "source") -> Path:
    """The notebook of "A1", ... in source/ or release/."""
    (found,) = (ASSIGNMENTS / folder).glob(f"{assignment}_*.ipynb")
    return found


def read(assignment: str, folder: str = "source") -> Any:
    """That notebook."""
    return nbformat.read(path_of(assignment, folder), as_version=4)


def patched(assignment: str, wrong: Wrong | None = None) -> Any:
    """The source, with its hidden tests, and with the mistake in it."""
    notebook = read(assignment)
    if wrong is None:
        return notebook
    (cell,) = [cell for cell in notebook.cells if cell.id == wrong.cell]
    assert cell.metadata.nbgrader.solution, f"{wrong.cell} is not a solution cell"
    assert cell.source.count(wrong.old) == 1, f"{wrong.name}: {wrong.old!r} is not in {wrong.cell}"
    cell.source = cell.source.replace(wrong.old, wrong.new)
    return notebook


def submission(assignment: str, wrong: Wrong | None = None) -> Any:
    """What a student hands in: the release, with the solutions filled in."""
    solved = {cell.id: cell.source for cell in patched(assignment, wrong).cells}
    notebook = read(assignment, "release")
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = MARKS.sub("", solved[cell.id])
    return notebook


SWAPPED = "are swapped"
ALIAS = "Aliasing"
INVERTED = "Inverted"
HARD = "Hard-coded"
OFF = "Off by one"
TWICE = "tied weight"
LOST = "State lost on resume"

A1 = [
    Wrong(
        "A1",
        "decay and 1 - decay swapped",
        "ema",
        "decay * average + (1 - decay) * value",
        "(1 - decay) * average + decay * value",
        {"test-ema": SWAPPED},
    ),
    Wrong("A1", "started at 0", "ema", "values[0], []", "0.0, []", {"test-ema": "starts at 0"}),
    Wrong(
        "A1", "first entry missing", "ema", "in values:", "in values[1:]:", {"test-ema": "too few"}
    ),
    Wrong(
        "A1",
        "changes its argument",
        "ema",
        "    return seen",
        "    values[:] = seen\n    return values",
        {"test-ema": "changes the list"},
    ),
    Wrong(
        "A1",
        "hard-coded answer to the visible check",
        "ema",
        "    average, seen = values[0], []",
        "    return [4.0, 5.0, 3.75]\n    average, seen = values[0], []",
        {"test-ema": HARD},
    ),
    Wrong(
        "A1",
        "a tuple",
        "ema",
        "return seen",
        "return tuple(seen)",
        {"test-ema": "must return a list"},
    ),
    Wrong(
        "A1",
        "four digits",
        "ema",
        "return seen",
        "return [round(number, 4) for number in seen]",
        {"test-ema": "rounded"},
    ),
    Wrong(
        "A1",
        "horizon instead of half-life",
        "half-life",
        "math.log(0.5) / math.log(decay)",
        "1 / (1 - decay)",
        {"test-half-life": "horizon", "test-half-life-ends": "0.25"},
    ),
    Wrong(
        "A1",
        "ends forgotten",
        "half-life",
        "    if decay == 0.0:\n        return 0.0\n    if decay == 1.0:\n        return math.inf\n",
        "",
        {"test-half-life-ends": "stops with"},
    ),
    Wrong(
        "A1",
        "half-life in four digits",
        "half-life",
        "return math.log(0.5) / math.log(decay)",
        "return round(math.log(0.5) / math.log(decay), 4)",
        {"test-half-life": "Rounded"},
    ),
    Wrong(
        "A1",
        "newest first",
        "shares",
        "[decay**steps, *values]",
        "[decay**steps, *values][::-1]",
        {"test-shares": "Newest first"},
    ),
    Wrong(
        "A1",
        "share of the start forgotten",
        "shares",
        "[decay**steps, *values]",
        "values",
        {"test-shares": "start is missing"},
    ),
    Wrong(
        "A1",
        "shares as a tuple",
        "shares",
        "return [decay**steps, *values]",
        "return (decay**steps, *values)",
        {"test-shares": "must return a list"},
    ),
    Wrong(
        "A1",
        "aliasing instead of copying",
        "averager",
        "list(weights)",
        "weights",
        {"test-averager-copy": ALIAS, "test-averager-update": "forgotten"},
    ),
    Wrong(
        "A1",
        "averager swapped",
        "averager",
        "self.decay * self.average[i] + (1 - self.decay) * weight",
        "(1 - self.decay) * self.average[i] + self.decay * weight",
        {"test-averager-update": SWAPPED},
    ),
    Wrong(
        "A1",
        "start counted as a snapshot",
        "swa",
        "n = self.snapshots",
        "n = self.snapshots + 1",
        {"test-swa-mean": "before the first step", "test-swa-schedule": "not the mean"},
    ),
    Wrong(
        "A1",
        "each snapshot counts a half",
        "swa",
        ") / n",
        ") / min(n, 2)",
        {"test-swa-mean": "one half", "test-swa-schedule": "not the mean"},
    ),
    Wrong(
        "A1",
        "inverted interval",
        "swa",
        "% self.every == 0",
        "% self.every",
        {"test-swa-mean": "not their mean", "test-swa-schedule": INVERTED},
    ),
    Wrong(
        "A1",
        "off-by-one interval",
        "swa",
        "(self.calls - self.start) % self.every == 0",
        "(self.calls - self.start - 1) % self.every == 0",
        {"test-swa-schedule": OFF},
    ),
    Wrong(
        "A1",
        "interval from the first call",
        "swa",
        "(self.calls - self.start) % self.every",
        "self.calls % self.every",
        {"test-swa-schedule": "from the first call"},
    ),
    Wrong(
        "A1",
        "all snapshots kept",
        "swa",
        "            for i, weight in enumerate(self.live):\n"
        "                self.average[i] += (weight - self.average[i]) / n",
        "            self.all = [list(self.live)] if n == 1 else [*self.all, list(self.live)]\n"
        "            self.average = [sum(column) / n for column in zip(*self.all)]",
        {"test-swa-mean": "keeps all snapshots"},
    ),
    Wrong(
        "A1",
        "repaired average fed back",
        "debiased",
        "        seen.append(average / (1 - decay**n))",
        "        average /= 1 - decay**n\n        seen.append(average)",
        {"test-debiased": "fed back"},
    ),
    Wrong(
        "A1",
        "printed, not returned",
        "decay-like-mean",
        "return (n - 1) / (n + 1)",
        "print((n - 1) / (n + 1))",
        {"test-decay-like-mean": "returns nothing"},
    ),
    Wrong(
        "A1",
        "horizon instead of equal calm",
        "decay-like-mean",
        "(n - 1) / (n + 1)",
        "1 - 1 / n",
        {"test-decay-like-mean": "horizon n"},
    ),
]

A2 = [
    Wrong(
        "A2",
        "inverted interval",
        "switch-due",
        "% every == 0",
        "% every",
        {"test-switch-due": INVERTED},
    ),
    Wrong(
        "A2",
        "off-by-one switch",
        "switch-due",
        "(step - start) %",
        "(step - start + 1) %",
        {"test-switch-due": OFF},
    ),
    Wrong(
        "A2",
        "interval from the first step",
        "switch-due",
        "(step - start) %",
        "step %",
        {"test-switch-due": "Count it from start"},
    ),
    Wrong(
        "A2",
        "decay and 1 - decay swapped",
        "sema",
        "self.decay * self.average[i] + (1 - self.decay) * weight",
        "(1 - self.decay) * self.average[i] + self.decay * weight",
        {"test-sema-average": SWAPPED, "test-sema-switch": "not the average"},
    ),
    Wrong(
        "A2",
        "aliasing at the start",
        "sema",
        "self.average = list(weights)",
        "self.average = weights",
        {
            "test-sema-average": ALIAS,
            "test-sema-switch": "wrong way round",
            "test-sema-schedule": "first switches",
        },
    ),
    Wrong(
        "A2",
        "switch makes one list of two",
        "sema",
        "self.live[:] = self.average",
        "self.live[:] = self.average\n        self.average = self.live",
        {"test-sema-switch": ALIAS, "test-sema-schedule": "first switches"},
    ),
    Wrong(
        "A2",
        "switch not in place",
        "sema",
        "self.live[:] = self.average",
        "self.live = list(self.average)",
        {"test-sema-switch": "in place", "test-sema-schedule": "first switches"},
    ),
    Wrong(
        "A2",
        "switch the wrong way round",
        "sema",
        "self.live[:] = self.average",
        "self.average[:] = self.live",
        {"test-sema-switch": "wrong way round", "test-sema-schedule": "first switches"},
    ),
    Wrong(
        "A2",
        "inverted interval in the class",
        "sema",
        "or after % self.switch_every:",
        "or after % self.switch_every == 0:",
        {
            "test-sema-average": "must not change",
            "test-sema-switch": "not see the switch",
            "test-sema-schedule": INVERTED,
        },
    ),
    Wrong(
        "A2",
        "off-by-one switch in the class",
        "sema",
        "or after % self.switch_every:",
        "or (after + 1) % self.switch_every:",
        {"test-sema-switch": "not see the switch", "test-sema-schedule": OFF},
    ),
    Wrong(
        "A2",
        "update returns nothing",
        "sema",
        "return True",
        "return None",
        {"test-sema-schedule": "must return"},
    ),
    Wrong(
        "A2",
        "SEMA never told of its steps",
        "way",
        "        average.update()\n",
        "",
        {"test-way": "never called"},
    ),
    Wrong(
        "A2",
        "distance of one period",
        "way",
        "/ (every * periods)",
        "/ every",
        {"test-way": "over all periods"},
    ),
    Wrong(
        "A2",
        "the share that is lost",
        "step-fraction",
        "return 1 - decay *",
        "return decay *",
        {"test-step-fraction": "lost", "test-step-fraction-ends": "should be"},
    ),
    Wrong(
        "A2",
        "hard-coded answer to the visible check",
        "step-fraction",
        "    if decay == 1.0:",
        "    return 0.625 if every > 1 else 0.25\n    if decay == 1.0:",
        {"test-step-fraction": HARD, "test-step-fraction-ends": "should be"},
    ),
    Wrong(
        "A2",
        "a sum instead of a formula",
        "step-fraction",
        "    return 1 - decay * (1 - decay**every) / (every * (1 - decay))",
        "    ks = range(1, every + 1)\n"
        "    return sum((1 - decay) * decay ** (every - k) * k for k in ks) / every",
        {"test-step-fraction": "with a loop or a sum"},
    ),
    Wrong(
        "A2",
        "ends forgotten",
        "step-fraction",
        "    if decay == 1.0:\n        return 0.0\n",
        "",
        {"test-step-fraction-ends": "Division by zero"},
    ),
    Wrong(
        "A2",
        "period ratio upside down",
        "carry-decay",
        "old_period / new_period",
        "new_period / old_period",
        {"test-carry-decay": "Upside down"},
    ),
    Wrong(
        "A2",
        "hard-coded answer to the check of task 5",
        "carry-decay",
        "return max(",
        "return 0.98 if decay > 0.5 else 0.0\n    return max(",
        {"test-carry-decay": HARD},
    ),
    Wrong(
        "A2",
        "a loop instead of a formula",
        "expected-switches",
        "return max(0, steps - start) // every",
        "return sum((k - start) % every == 0 for k in range(start + 1, steps + 1))",
        {"test-expected-switches": "with a loop"},
    ),
    Wrong(
        "A2",
        "start forgotten",
        "expected-switches",
        "max(0, steps - start)",
        "steps",
        {"test-expected-switches": "start"},
    ),
    Wrong(
        "A2",
        "loop still inverted",
        "repaired",
        "step % every == 0",
        "step % every",
        {"test-repaired": INVERTED},
    ),
    Wrong(
        "A2",
        "loop one step early",
        "repaired",
        "step % every == 0",
        "(step + 1) % every == 0",
        {"test-repaired": OFF},
    ),
    Wrong(
        "A2",
        "loop logs but does not switch",
        "repaired",
        "            w = average\n",
        "",
        {"test-repaired": "not switched"},
    ),
    Wrong(
        "A2",
        "test counts only",
        "switches-right",
        "list(log) != list(range(every, 61, every))",
        "len(log) != 60 // every",
        {"test-switches-right": "does not notice"},
    ),
    Wrong(
        "A2",
        "test of one interval",
        "switches-right",
        "(1, 2, 3, 5, 10, 50)",
        "(10,)",
        {"test-switches-right": "does not notice"},
    ),
]

A3 = [
    Wrong(
        "A3",
        "tied weight twice",
        "parameters-once",
        "model.named_parameters()",
        "model.named_parameters(remove_duplicate=False)",
        {"test-parameters-once": TWICE},
    ),
    Wrong(
        "A3",
        "state dict instead of parameters",
        "parameters-once",
        "dict(model.named_parameters())",
        "dict(model.state_dict())",
        {"test-parameters-once": "Buffers"},
    ),
    Wrong(
        "A3",
        "frozen parameters left out",
        "parameters-once",
        "dict(model.named_parameters())",
        "{n: p for n, p in model.named_parameters() if p.requires_grad}",
        {"test-parameters-once": "frozen"},
    ),
    Wrong(
        "A3",
        "aliasing instead of copying",
        "start",
        "tensor.detach().clone()",
        "tensor.detach()",
        {"test-start-copies": ALIAS, "test-start-types": ALIAS},
    ),
    Wrong(
        "A3",
        "average inside the graph",
        "start",
        "tensor.detach().clone()",
        "tensor.clone()",
        {"test-start-copies": "gradient"},
    ),
    Wrong(
        "A3",
        "tied weight started twice",
        "start",
        "*model.named_parameters()",
        "*model.named_parameters(remove_duplicate=False)",
        {"test-start-copies": TWICE},
    ),
    Wrong(
        "A3",
        "forgotten buffers",
        "start",
        ", *model.named_buffers()",
        "",
        {"test-start-types": "buffers are forgotten"},
    ),
    Wrong(
        "A3",
        "state dict: not all buffers",
        "start",
        "[*model.named_parameters(), *model.named_buffers()]",
        "[*model.named_parameters(), *[(n, b) for n, b in model.state_dict().items()"
        " if n in dict(model.named_buffers())]]",
        {"test-start-types": "buffer is missing"},
    ),
    Wrong(
        "A3",
        "average in half precision",
        "start",
        "value = value.float()",
        "pass",
        {"test-start-types": "bfloat16"},
    ),
    Wrong(
        "A3",
        "everything in float32",
        "start",
        "if value.dtype in (torch.float16, torch.bfloat16):",
        "if True:",
        {"test-start-types": "whole number"},
    ),
    Wrong(
        "A3",
        "decay and 1 - decay swapped",
        "update",
        "average.mul_(d).add_(live, alpha=1 - d)",
        "average.mul_(1 - d).add_(live, alpha=d)",
        {"test-update-formula": SWAPPED},
    ),
    Wrong(
        "A3",
        "no warm-up",
        "update",
        "warm_up(decay, state.updates)",
        "decay",
        {"test-update-formula": "warm up"},
    ),
    Wrong(
        "A3",
        "first update is number 0",
        "update",
        "warm_up(decay, state.updates)",
        "warm_up(decay, state.updates - 1)",
        {"test-update-formula": OFF},
    ),
    Wrong(
        "A3",
        "tied weight averaged twice",
        "update",
        "        for name, live in [*model.named_parameters(), *model.named_buffers()]:\n",
        "        first = {}\n"
        "        for name, p in model.named_parameters(remove_duplicate=False):\n"
        "            first.setdefault(id(p), name)\n"
        "        pairs = [(first[id(p)], p) for _, p in\n"
        "                 model.named_parameters(remove_duplicate=False)]\n"
        "        for name, live in [*pairs, *model.named_buffers()]:\n",
        {"test-update-tied": TWICE},
    ),
    Wrong(
        "A3",
        "second name of a tied weight",
        "update",
        "*model.named_parameters()",
        "*model.named_parameters(remove_duplicate=False)",
        {"test-update-tied": "second name"},
    ),
    Wrong(
        "A3",
        "forgotten buffers in the update",
        "update",
        ", *model.named_buffers()",
        "",
        {"test-update-buffers": "buffers are forgotten"},
    ),
    Wrong(
        "A3",
        "buffers copied",
        "update",
        "if average.is_floating_point():",
        "if isinstance(live, nn.Parameter):",
        {"test-update-buffers": "copied"},
    ),
    Wrong(
        "A3",
        "counter averaged",
        "update",
        "            if average.is_floating_point():",
        "            if not average.is_floating_point() and average.dtype != torch.bool:\n"
        "                average.copy_(d * average + (1 - d) * live)\n"
        "            elif average.is_floating_point():",
        {"test-update-buffers": "counter"},
    ),
    Wrong(
        "A3",
        "aliasing of live buffers",
        "update",
        "average.copy_(live)",
        "state.tensors[name] = live",
        {"test-update-buffers": ALIAS},
    ),
    Wrong(
        "A3",
        "live weights not copied before",
        "applied",
        "tensor.detach().clone() for",
        "tensor.detach() for",
        {"test-applied": "Afterwards", "test-applied-exception": "finally"},
    ),
    Wrong(
        "A3",
        "no finally",
        "applied",
        "    try:\n        yield\n    finally:\n        with torch.no_grad():\n"
        "            for name, tensor in named:\n                tensor.copy_(saved[name])",
        "    yield\n    with torch.no_grad():\n        for name, tensor in named:\n"
        "            tensor.copy_(saved[name])",
        {"test-applied-exception": "finally"},
    ),
    Wrong(
        "A3",
        "exception swallowed",
        "applied",
        "    finally:\n",
        "    except Exception:\n        pass\n    finally:\n",
        {"test-applied-exception": "swallowed"},
    ),
    Wrong(
        "A3",
        "buffers forgotten in applied",
        "applied",
        ", *model.named_buffers()",
        "",
        {"test-applied": "buffers are forgotten"},
    ),
    Wrong(
        "A3",
        "state lost on resume: the count",
        "save-restore",
        'State(saved["updates"], tensors)',
        "State(0, tensors)",
        {"test-resume": LOST, "test-resume-independent": "changes when the state goes on"},
    ),
    Wrong(
        "A3",
        "state lost on resume: the buffers",
        "save-restore",
        "for name, tensor in state.tensors.items()",
        'for name, tensor in state.tensors.items() if "weight" in name',
        {"test-resume": LOST},
    ),
    Wrong(
        "A3",
        "aliasing in save",
        "save-restore",
        "name: tensor.clone() for name, tensor in state.tensors.items()",
        "name: tensor for name, tensor in state.tensors.items()",
        {"test-resume-independent": ALIAS},
    ),
    Wrong(
        "A3",
        "aliasing in restore",
        "save-restore",
        'name: tensor.clone() for name, tensor in saved["tensors"].items()',
        'name: tensor for name, tensor in saved["tensors"].items()',
        {"test-resume-independent": ALIAS},
    ),
    Wrong(
        "A3",
        "an object is saved",
        "save-restore",
        'return {"updates": state.updates, "tensors": tensors}',
        'return {"updates": state.updates, "tensors": tensors, "state": state}',
        {"test-resume": "weights_only"},
    ),
]

A4 = [
    Wrong(
        "A4",
        "no control",
        "plan",
        '[control, replace(control, method="sema")]',
        "[control]",
        {"test-plan": "no control", "test-plan-trains": "no control", "test-my-scores": "names"},
    ),
    Wrong(
        "A4",
        "two seeds",
        "plan",
        "[0, 1, 2, 3, 4]",
        "[0, 1]",
        {"test-plan": "Too few seeds", "test-my-scores": "5 numbers for 2"},
    ),
    Wrong(
        "A4",
        "one seed five times",
        "plan",
        "[0, 1, 2, 3, 4]",
        "[0, 0, 0, 0, 0]",
        {"test-plan": "twice", "test-plan-trains": "seeds must be different"},
    ),
    Wrong(
        "A4",
        "treatment trained longer",
        "plan",
        'method="sema")',
        'method="sema", epochs=6)',
        {"test-plan": "Not a fair comparison", "test-my-scores": "names"},
    ),
    Wrong(
        "A4",
        "two things at once",
        "plan",
        'method="sema")',
        'method="sema", lr=0.05)',
        {"test-plan": "at once", "test-my-scores": "names"},
    ),
    Wrong(
        "A4",
        "rate that diverges at once",
        "plan",
        "lr=0.1",
        "lr=1e12",
        {"test-plan-trains": "diverges"},
    ),
    Wrong(
        "A4",
        "live instead of averaged weights",
        "final-scores",
        "scores.averaged or scores.live",
        "scores.live",
        {"test-final-scores": "live weights"},
    ),
    Wrong(
        "A4",
        "plain SGD forgotten",
        "final-scores",
        "scores.averaged or scores.live",
        "scores.averaged",
        {"test-final-scores": "nothing is averaged"},
    ),
    Wrong(
        "A4",
        "peeking at the best epoch",
        "final-scores",
        "list(shipped[metric][-1])",
        "[max(column) for column in zip(*shipped[metric])]",
        {"test-final-scores": "Peeking"},
    ),
    Wrong(
        "A4",
        "hard-coded measure",
        "final-scores",
        "shipped[metric]",
        'shipped["accuracy"]',
        {"test-final-scores": "metric"},
    ),
    Wrong(
        "A4",
        "control minus treatment",
        "paired",
        "b - a for",
        "a - b for",
        {"test-paired": "sign", "test-paired-input": "equal differences"},
    ),
    Wrong(
        "A4",
        "unpaired error",
        "paired",
        "statistics.stdev(gaps) /",
        "math.hypot(statistics.stdev(control), statistics.stdev(treatment)) /",
        {"test-paired": "Unpaired"},
    ),
    Wrong(
        "A4",
        "standard deviation with n",
        "paired",
        "statistics.stdev(",
        "statistics.pstdev(",
        {"test-paired": "n - 1"},
    ),
    Wrong(
        "A4",
        "deviation instead of error",
        "paired",
        " / math.sqrt(len(gaps))",
        "",
        {"test-paired": "standard deviation"},
    ),
    Wrong(
        "A4",
        "lists cut to fit",
        "paired",
        "if len(control) != len(treatment) or len(control) < 2:",
        "if len(control) < 2:",
        {"test-paired-input": "cut to fit"},
    ),
    Wrong(
        "A4",
        "one seed accepted",
        "paired",
        "    if len(control) != len(treatment)",
        "    if len(control) == len(treatment) == 1:\n"
        "        return treatment[0] - control[0], 0.0\n"
        "    if len(control) != len(treatment)",
        {"test-paired-input": "single seed"},
    ),
    Wrong(
        "A4",
        "no threshold",
        "verdict",
        "abs(mean) > critical(seeds) * error and ",
        "",
        {"test-verdict": "Zero lies within the interval"},
    ),
    Wrong(
        "A4",
        "two standard errors",
        "verdict",
        "critical(seeds)",
        "2",
        {"test-verdict": "Two standard errors are not enough"},
    ),
    Wrong(
        "A4",
        "one t for all numbers of seeds",
        "verdict",
        "critical(seeds)",
        "2.78",
        {"test-verdict": "with 3 of them the interval reaches 4.3"},
    ),
    Wrong(
        "A4",
        "t of the degrees of freedom",
        "verdict",
        "critical(seeds)",
        "critical(seeds - 1)",
        {"test-verdict": "Zero lies outside the interval"},
    ),
    Wrong(
        "A4",
        "margin forgotten",
        "verdict",
        " and abs(mean) >= margin",
        "",
        {"test-verdict": "too small to matter"},
    ),
    Wrong(
        "A4",
        "margin at the end of the interval",
        "verdict",
        "abs(mean) >= margin",
        "abs(mean) - critical(seeds) * error >= margin",
        {"test-verdict": "not for the end of the interval"},
    ),
    Wrong(
        "A4",
        "loss like accuracy",
        "verdict",
        "(mean > 0) == higher_is_better",
        "mean > 0",
        {"test-verdict": "lower is better"},
    ),
    Wrong(
        "A4",
        "negative difference never shown",
        "verdict",
        "abs(mean) > critical",
        "mean > critical",
        {"test-verdict": "Zero lies outside the interval"},
    ),
    Wrong(
        "A4",
        "only means drawn",
        "draw",
        "    for seed in range(len(next(iter(scores.values())))):  "
        "# a thin line joins what is paired\n"
        '        ax.plot([values[seed] for values in scores.values()], color="0.7", zorder=1)\n'
        "    for x, values in enumerate(scores.values()):\n"
        '        ax.plot([x] * len(values), values, "o", color="C0")\n',
        "    for x, values in enumerate(scores.values()):\n"
        "        ax.bar(x, statistics.fmean(values))\n",
        {"test-draw": "not drawn"},
    ),
    Wrong(
        "A4",
        "no labels",
        "draw",
        '    ax.set(xlabel="run", ylabel="test accuracy, %")\n',
        "",
        {"test-draw": "no label"},
    ),
    Wrong(
        "A4",
        "figure not returned",
        "draw",
        "    return fig",
        "    return ax",
        {"test-draw": "Return the figure"},
    ),
    Wrong("A4", "runs not named", "draw", ", list(scores))", ")", {"test-draw": "not named"}),
    Wrong(
        "A4",
        "shares of one instead of percent",
        "my-scores",
        '    return {\n        "ema": [18.1, 14.9, 12.9, 15.3, 16.0],\n'
        '        "sema": [19.9, 23.7, 17.8, 18.4, 16.3],\n    }',
        '    return {"ema": [0.18, 0.15, 0.13, 0.15, 0.16], "sema": [0.2, 0.24, 0.18, 0.18, 0.16]}',
        {"test-my-scores": "shares of one"},
    ),
    Wrong(
        "A4",
        "same numbers for both runs",
        "my-scores",
        "[19.9, 23.7, 17.8, 18.4, 16.3]",
        "[18.1, 14.9, 12.9, 15.3, 16.0]",
        {"test-my-scores": "same numbers"},
    ),
    Wrong(
        "A4",
        "one seed missing",
        "my-scores",
        "18.4, 16.3]",
        "18.4]",
        {"test-my-scores": "4 numbers for 5 seeds"},
    ),
]

WRONG = [*A1, *A2, *A3, *A4]
