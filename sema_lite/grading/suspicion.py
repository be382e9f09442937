"""Does a submission use means by which Python code can look at, or change, what tests it? And does
it take its answer from the library (`shortcuts.py`)?

Within one Python process nothing can be hidden for good from code that walks stack frames or calls
C. A submission that names such means is run all the same, in its sandbox, but its points are
withheld till a person has looked at it. Whatever the assignment's own solution uses is allowed.

This is a list of names, and Python has many ways: it is a second wall behind the sandbox and behind
what `pristine.py` undoes. It is no proof that a submission is honest.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from .shortcuts import shortcuts
from .source import tree

# Modules that students' code may import; anything else is for a person to look at.
MODULES = {
    "__future__", "abc", "bisect", "cmath", "collections", "contextlib", "copy", "csv",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools",
    "json", "math", "matplotlib", "numpy", "operator", "pathlib", "pprint", "random", "sema_lite",
    "statistics", "textwrap", "time", "torch", "torchvision", "tqdm", "typing",
    "warnings", "ipywidgets", "IPython",  # of IPython only display
}  # fmt: skip
CALLS = {
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "getattr", "globals",
    "locals", "open", "setattr", "vars",
}  # fmt: skip
ATTRIBUTES = {
    "ag_frame", "builtins", "cr_frame", "ctypes", "f_back", "f_builtins", "f_globals", "f_locals",
    "gc", "gi_frame", "gi_code", "importlib", "inspect", "os", "pickle", "subprocess", "socket",
    "sys", "tb_frame", "tb_next", "_getframe", "attrgetter", "methodcaller", "as_strided",
    "cpp_extension", "from_file", "get_type_hints", "modules", "settrace", "setprofile",
    "ctypeslib", "grading", "load_library", "memmap", "multiprocessing",
}  # fmt: skip
CLASS_OF = "type(...)"  # may be a class of torch's
DUNDERS = {
    "__add__", "__annotations__", "__all__", "__call__", "__doc__", "__enter__", "__exit__",
    "__file__", "__getitem__", "__init__", "__iter__", "__len__",
    "__main__", "__mul__", "__name__", "__next__", "__post_init__", "__repr__", "__setitem__",
    "__slots__", "__str__", "__version__", "__radd__", "__rmul__", "__iadd__", "__qualname__",
}  # fmt: skip


def suspicions(
    written: dict[str, str], solution: list[str], own: Collection[str] = ()
) -> list[str]:
    """What is to be looked at, such as "cell 7, line 3: imports ctypes".

    Args:
        written: the student's own text, {"cell 3": "..."}.
        solution: the texts of the assignment's own cells; what they use is allowed.
        own: the names that the tasks ask for.
    """
    given = "\n".join(map(_imports_of, solution))
    allowed = {what for text in solution for _, what in _findings(text, given, own)}
    brought = "\n".join([given, *map(_imports_of, written.values())])
    return [
        f"{cell}, line {line}: {what}"
        for cell, text in written.items()
        for line, what in _findings(text, brought, own)
        if what not in allowed
    ]


def _imports_of(text: str) -> str:
    nodes = [n for n in ast.walk(tree(text)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return "\n".join(map(ast.unparse, nodes))


def _findings(text: str, brought: str, own: Collection[str]) -> list[tuple[int, str]]:
    module = tree(text)
    imported = _imported(module)
    found = set(shortcuts(text, brought, own))
    for node in ast.walk(module):
        line = getattr(node, "lineno", 0)
        found |= {(line, what) for what in _of_node(node, imported)}
    return sorted(found)


def _imported(module: ast.Module) -> set[str]:
    """Names that stand for something imported, or for a part of it."""
    names = {CLASS_OF}
    for node in ast.walk(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and _root(node.value) in names:
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _root(node: ast.expr) -> str:
    """The first name of `a.b.c`, or "type(...)"; "" of anything else."""
    while isinstance(node, ast.Attribute):
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type":
        return CLASS_OF
    return node.id if isinstance(node, ast.Name) else ""


def _of_node(node: ast.AST, imported: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [f"imports {alias.name}" for alias in node.names if not _allowed(alias.name)]
    if isinstance(node, ast.ImportFrom):
        return _import_from(node)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [f"defines {node.name}"] if _odd(node.name) else []
    if isinstance(node, ast.Name):
        if node.id in CALLS:
            return [f"uses {node.id}"]
        return [f"uses {node.id}"] if _odd(node.id) else []
    if isinstance(node, ast.Attribute):
        found = []
        inner = node.attr.startswith("_") and node.attr not in DUNDERS and _root(node) in imported
        if node.attr in ATTRIBUTES or _odd(node.attr) or inner:
            found.append(f"uses .{node.attr}")
        if isinstance(node.ctx, (ast.Store, ast.Del)) and _root(node) in imported:
            found.append(f"changes {ast.unparse(node)}")
        return found
    if isinstance(node, ast.Call):  # math handed to a function that may change it
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            return []
        if isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) > 1:
            return ["makes a class by type()"]
        hands = {arg.id for arg in given if isinstance(arg, ast.Name) and arg.id in imported}
        return [f"passes {name} on" for name in sorted(hands)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _odd(node.value):
        return [f"uses {node.value[:40]!r}"]
    if isinstance(node, ast.MatchClass):
        odd = [name for name in node.kwd_attrs if name in ATTRIBUTES or _odd(name)]
        return [f"uses .{name}" for name in odd]
    if isinstance(node, ast.keyword) and node.arg == "weights_only":
        return ["uses weights_only"]
    return []


def _import_from(node: ast.ImportFrom) -> list[str]:
    module = node.module or ""
    if node.level or not _allowed(module):
        return [f"imports {module}"]
    return [
        f"imports {alias.name} of {module}"
        for alias in node.names
        if alias.name in ATTRIBUTES
        or alias.name.startswith("_")
        or (alias.name == "*" and module != "math")
    ]


def _allowed(module: str) -> bool:
    """May a student import it?"""
    parts = module.split(".")
    if parts[0] == "IPython":
        return parts[1:] == ["display"]
    return parts[0] in MODULES and not set(parts) & ATTRIBUTES


def _odd(name: str) -> bool:
    """A name with double underscores that is not an everyday one."""
    return name.startswith("__") and name.endswith("__") and name not in DUNDERS
