"""Does a submission take its answer from this library, which has most of the answers?

Importing what holds them is noticed, unless the assignment's own cells import it too; and so is a
name that these cells have brought, such as `reference.SEMA`, in a function, in a class or behind an
equals sign. To call it, to print it or to hand it to one of one's own answers is an experiment.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from .source import tree

LIBRARY = "sema_lite"
MODULES = {"averaging", "grids", "memory", "paired", "reference", "simulate", "theory",
           "verdicts"}  # fmt: skip
NAMES = {"EMA", "SEMA", "SWA", "Lookahead", "carry_decay", "half_life", "paired_difference",
         "step_fraction"}  # fmt: skip
ANSWERS = MODULES | NAMES
WHAT = "takes the answer from the library"


def shortcuts(text: str, given: str = "", own: Collection[str] = ()) -> list[tuple[int, str]]:
    """Lines and what is there, such as (3, "takes the answer from the library: reference.SEMA").

    Args:
        given: the texts of other cells, whose imports count here as well.
        own: the names that the tasks ask for.
    """
    module = tree(text)
    found = {
        (node.lineno, f"{WHAT}: imports {what}")
        for node in ast.walk(module)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for _, what in _imports(node)
        if _holds_answers(what)
    }
    names = {name: what for part in (tree(given), module) for name, what in _brought(part)}
    free = _experiments(module, own)
    inner: set[int] = set()  # parts of what is found already
    for node in ast.walk(module):
        if id(node) in free | inner or not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        if isinstance(node.ctx, ast.Load) and _holds_answers(_full_name(node, names)):
            found.add((node.lineno, f"{WHAT}: {ast.unparse(node)}"))
            inner |= {id(part) for part in ast.walk(node)}
    return sorted(found)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """(name here, full name) of each thing that a statement imports from the library."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            full, name = f"{node.module}.{alias.name}", alias.asname or alias.name
        else:
            full = alias.name
            name = alias.asname or alias.name.split(".")[0]
        if full.split(".")[0] == LIBRARY:
            yield name, full


def _brought(module: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, what it means), as far as it is the library's."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            yield from _imports(node)
        elif isinstance(node, ast.Import):  # `import sema_lite.theory` brings `sema_lite`
            for name, full in _imports(node):
                yield name, LIBRARY if name == LIBRARY else full


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Of `r.SEMA`: "sema_lite.reference.SEMA"; "" if it is not the library's."""
    if isinstance(node, ast.Attribute):
        before = _full_name(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def _holds_answers(full: str) -> bool:
    return bool(set(full.split(".")[1:]) & ANSWERS)


def _experiments(module: ast.Module, own: Collection[str]) -> set[int]:
    """The nodes of statements outside of functions that bind no name, and of what is handed to
    the student's own answers."""
    free: set[int] = set()
    waiting: list[ast.AST] = [*module.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Expr):
            parts = list(ast.walk(node))
            if not any(isinstance(part, (ast.Lambda, ast.NamedExpr)) for part in parts):
                free |= set(map(id, parts))
        elif isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            waiting += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in own:
            handed = [*node.args, *(keyword.value for keyword in node.keywords)]
            free |= {id(part) for arg in handed for part in ast.walk(arg)}
    return free
