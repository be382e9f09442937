"""What tests rely on, put back as it was before the student's code, inside the sandbox.

`math.isclose = lambda *_: True` or `torch.equal = ...` would make wrong answers right. So the
functions, classes and modules that the loaded modules hold, and those that their public classes
hold, are remembered before the first cell, put back before each test, and looked at after it.
"""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any

ALWAYS = ("builtins", "collections", "copy", "decimal", "fractions", "functools", "itertools",
          "json", "math", "operator", "random", "statistics", "sys", "time", "types")  # fmt: skip
FREE = ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "modules", "path")  # of sys
KINDS = (type, ModuleType, property, staticmethod, classmethod)


class Pristine:
    """Remembers; then finds and undoes changes.

    Args:
        preload: names of the modules that the assignment uses. They are imported already.
    """

    def __init__(self, preload: list[str]) -> None:
        tops = {name.split(".")[0] for name in (*ALWAYS, "sema_lite", *preload)}
        self.builtins: dict[str, Any] = dict(vars(builtins))
        self.modules = dict(sys.modules)
        self.known: list[tuple[str, Any, dict[str, Any]]] = []
        seen: set[int] = set()
        for name, module in list(sys.modules.items()):
            parts = name.split(".")
            if parts[0] not in tops or any(part.startswith("_") for part in parts[1:]):
                continue
            contents = _tools(vars(module))
            self.known.append((name, module, contents))
            for label, value in contents.items():
                if isinstance(value, type) and not label.startswith("_") and id(value) not in seen:
                    seen.add(id(value))
                    self.known.append((f"{name}.{label}", value, _tools(vars(value))))

    def restore(self) -> list[str]:
        """Undo all changes; returns what was changed, such as "math.isclose"."""
        changed = []
        for name, module in self.modules.items():
            if sys.modules.get(name) is not module and name != "__main__":
                sys.modules[name] = module
                changed.append(name)
        for name, owner, contents in self.known:
            now = vars(owner)
            for label, value in contents.items():
                if now.get(label) is value or (name == "sys" and label in FREE):
                    continue
                try:
                    setattr(owner, label, value)
                except (AttributeError, TypeError):
                    continue
                changed.append(f"{name}.{label}")
        return changed


def _tools(contents: Any) -> dict[str, Any]:
    """The callables, classes and modules among them."""
    return {
        label: value
        for label, value in list(contents.items())
        if callable(value) or isinstance(value, KINDS)
    }
