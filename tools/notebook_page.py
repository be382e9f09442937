"""A notebook as the rules of `check_notebooks.py` see it: numbered cells, sections, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
WIDGETS = "Explorer|Playground|PeriodMap|LiveTraining"  # how their names end
WIDGET = re.compile(rf"^(\w+) = (?:widgets\.)?\w*(?:{WIDGETS})\(", re.MULTILINE)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

Findings = Iterator[tuple[int, str]]  # (number of the cell, what is wrong); 0: the notebook


@dataclass
class Section:
    """A heading with what follows it, up to the next heading of any level."""

    cell: int  # where the heading stands
    level: int
    title: str
    text: str
    code: list[tuple[int, Any]] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The code of all its cells."""
        return "\n".join(cell.source for _, cell in self.code)


@dataclass
class Page:
    """A notebook and where it lies. Cells are numbered from 1."""

    path: Path
    notebook: Any
    root: Path  # of the checkout
    exempt: set[str] = field(default_factory=set)  # from what it is exempt

    @cached_property
    def cells(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.notebook.cells, 1))

    @cached_property
    def code(self) -> list[tuple[int, Any]]:
        return [(n, cell) for n, cell in self.cells if cell.cell_type == "code"]

    @cached_property
    def sections(self) -> list[Section]:
        found = []
        for n, cell in self.cells:
            if cell.cell_type == "code" and found:
                found[-1].code.append((n, cell))
            before, *parts = HEADING.split(prose(cell))
            if found:
                found[-1].text += before
            for marks, title, text in zip(*[iter(parts)] * 3, strict=True):
                found.append(Section(n, len(marks), title, text))
        return found

    def called(self, start: str) -> list[Section]:
        """The sections whose titles begin with these words."""
        return [each for each in self.sections if re.match(rf"{start}\b", each.title)]

    def must(self, what: str) -> bool:
        """Whether it is not exempt from `what`."""
        return what not in self.exempt

    def cell(self, number: int, kind: str = "markdown") -> Any:
        """Cell `number` if it is there and of that kind, otherwise an empty one."""
        if number <= len(self.cells) and self.cells[number - 1][1].cell_type == kind:
            return self.cells[number - 1][1]
        return nbformat.from_dict({"cell_type": kind, "source": "", "metadata": {}})


def read(path: Path, root: Path) -> Page:
    """The notebook at `path`."""
    return Page(path, nbformat.read(path, as_version=4), root)


def prose(cell: Any) -> str:
    """A text cell without the blocks of code that it quotes; nothing for a code cell."""
    if cell.cell_type != "markdown":
        return ""
    return re.sub(r"^```.*?^```", "", cell.source, flags=re.DOTALL | re.MULTILINE) + "\n"


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def data(output: Any) -> dict[str, Any]:
    """An output in its forms: {MIME type: content}; empty for printed text."""
    return output.get("data", {})


def images(cell: Any) -> list[Any]:
    """The outputs of a code cell that are pictures."""
    return [o for o in cell.outputs if any(kind.startswith("image/") for kind in data(o))]


def widget(cell: Any) -> str:
    """The name of the variable under which a code cell makes a widget; "" if it makes none."""
    match = WIDGET.search(cell.source)
    return match[1] if match else ""


def one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())
