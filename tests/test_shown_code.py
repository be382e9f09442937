"""Code that a notebook builds up is the code that the library ships.

A cell tagged `shows:sema_lite.module.function`, `...module.Class` or `...module.Class.function`
has the same syntax tree as the library's, apart from docstrings, comments, annotations and
decorators of typing. A method may be shown outside its class or in another one, with `self`.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
TAG = "shows:"
TYPING = {"final", "no_type_check", "overload", "override", "runtime_checkable", "type_check_only"}
BUILD_UP = ("01_", "03_", "04_", "06_")  # notebooks that build up code of the library
Definition = ast.FunctionDef | ast.ClassDef


class Bare(ast.NodeTransformer):
    """Takes away what the course may leave out: docstrings, annotations, typing's decorators."""

    def visit(self, node: ast.AST) -> Any:
        node = self.generic_visit(node)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            node.decorator_list = [d for d in node.decorator_list if not from_typing(d)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):  # `x: int = 1` is `x = 1`, and `x: int` is `x`
            if node.value is None:
                return ast.Expr(node.target)
            return ast.Assign([node.target], node.value)
        return node


def from_typing(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).split(".")[-1] in TYPING


def bare(node: Definition) -> str:
    """The code alone, in one form."""
    return ast.unparse(ast.fix_missing_locations(Bare().visit(node)))


def definitions(tree: ast.AST, name: str) -> list[Definition]:
    """What is called `name`, directly in a module or class."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n for n in ast.iter_child_nodes(tree) if isinstance(n, kinds) and n.name == name]


def pick(tree: ast.AST, names: list[str]) -> Definition:
    """The definition called `names`, each inside the one before it; the last one if redefined."""
    for name in names:
        found = definitions(tree, name)
        if not found:
            raise LookupError(f"no definition of {name} for {'.'.join(names)}")
        tree = found[-1]
    return tree


def pick_shown(tree: ast.Module, names: list[str]) -> Definition:
    """The same in a cell, where a method may stand alone or in a class that is only begun."""
    if len(names) == 1 or definitions(tree, names[0]):
        return pick(tree, names)
    for place in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
        if definitions(place, names[-1]):
            return pick(place, names[-1:])
    raise LookupError(f"the cell has no definition of {'.'.join(names)}")


def library(target: str) -> Definition:
    """The library's definition of `sema_lite.module.name...`, from its source.

    Raises:
        LookupError: there is no such module, or no such definition in it.
    """
    package, module, *names = target.split(".")
    spec = importlib.util.find_spec(f"{package}.{module}") if package == "sema_lite" else None
    if spec is None or not names:
        raise LookupError(f"{target}: write {TAG}sema_lite.module.name")
    return pick(ast.parse(Path(spec.origin).read_text(encoding="utf-8")), names)


def python(cell: str) -> ast.Module:
    """A code cell without its magics."""
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
    return ast.parse("\n".join(lines))


def compare(cell: str, target: str) -> None:
    """Assert that a cell shows the library's code."""
    shipped = library(target)
    shown = pick_shown(python(cell), target.split(".")[2:])
    assert bare(shown) == bare(shipped), f"the cell does not show {target}"


def tagged() -> list[Any]:
    """(cell, target) of each cell with such a tag, as parameters of a test."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
            for tag in cell.metadata.get("tags", []):
                if tag.startswith(TAG):
                    target = tag.removeprefix(TAG)
                    name = f"{path.name[:2]}-cell-{number}-{target}"
                    found.append(pytest.param(cell.source, target, id=name))
    return found


@pytest.mark.parametrize(("cell", "target"), tagged())
def test_shown_code_is_the_library_s(cell: str, target: str) -> None:
    compare(cell, target)


@pytest.mark.parametrize("number", BUILD_UP)
def test_notebooks_that_build_code_up_show_the_library_s(number: str) -> None:
    assert list((ROOT / "notebooks").glob(f"{number}*.ipynb")), f"there is no notebook {number}"
    assert any(parameter.id.startswith(number[:2]) for parameter in tagged())


# --- The test itself can fail ---

SOURCE = '''
"""A module."""
from typing import final, overload

def twice(x: float, *, times: int = 2) -> float:
    """Twice as much."""
    y: float = x * times  # a comment
    return y

@final
class Average:
    """Follows."""
    size: int

    def update(self, x: float) -> None:
        """One step."""
        self.x = x

    @property
    def value(self) -> float:
        return self.x
'''
TWICE = "def twice(x, *, times=2):\n    y = x * times\n    return y"
CLASS = """class Average:
    size: float
    def update(self, x):
        self.x = x
    @property
    def value(self):
        return self.x"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of one module, `sema_lite.small`."""
    path = tmp_path / "small.py"
    path.write_text(SOURCE, encoding="utf-8")
    real = importlib.util.find_spec

    def find_spec(name: str) -> Any:
        if name == "sema_lite.small":
            return importlib.util.spec_from_file_location(name, path)
        return real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("cell", "target"),
    [
        (TWICE, "twice"),
        (f"%time\nimport math\n\n\n{TWICE}\n\n\nprint(twice(2))", "twice"),
        ('def twice(x: int, *, times=2):\n    "Other."\n    y = x * times\n    return y', "twice"),
        (CLASS, "Average"),
        (CLASS, "Average.update"),
        ("def update(self, x):\n    self.x = x", "Average.update"),
        (CLASS.replace("class Average", "class ByHand"), "Average.update"),
    ],
)
def test_the_same_code_passes(cell: str, target: str) -> None:
    compare(cell, f"sema_lite.small.{target}")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("cell", "target"),
    [
        (TWICE.replace("x * times", "times * x"), "twice"),
        (TWICE.replace("times=2", "times=3"), "twice"),
        (TWICE.replace("*, ", ""), "twice"),
        (TWICE + "\n" + TWICE.replace("return y", "return x"), "twice"),
        (CLASS.replace("@property", ""), "Average"),
        (CLASS.replace("size: float", "sizes: float"), "Average"),
        (CLASS.replace("self.x = x", "self.x += x"), "Average.update"),
        (CLASS.replace("Average", "ByHand").replace("= x", "= 2 * x"), "Average.update"),
        ("def update(x):\n    x = x", "Average.update"),
    ],
)
def test_other_code_fails(cell: str, target: str) -> None:
    with pytest.raises(AssertionError, match="does not show"):
        compare(cell, f"sema_lite.small.{target}")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "target",
    [
        "sema_lite.small.thrice",
        "sema_lite.small.Average.reset",
        "sema_lite.small",
        "sema_lite.nothing.twice",
        "math.sqrt",
        "os.path.join",
    ],
)
def test_a_target_that_does_not_exist_is_an_error(target: str) -> None:
    cell = f"{TWICE}\n\n\ndef {target.split('.')[-1]}():\n    pass"
    with pytest.raises(LookupError):
        compare(cell, target)


@pytest.mark.usefixtures("small")
def test_a_cell_that_does_not_define_its_target_is_an_error() -> None:
    with pytest.raises(LookupError, match="twice"):
        compare("print(1)", "sema_lite.small.twice")
