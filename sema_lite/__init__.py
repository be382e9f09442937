"""sema-lite: averaging the weights of neural networks. EMA, SWA, Switch EMA, Lookahead.

`from sema_lite import SEMA` is for torch modules. `sema_lite.reference` has the same four names in
pure Python; it and `sema_lite.theory` import no torch, and importing this package does not either
until one of the four names is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["EMA", "SEMA", "SWA", "Lookahead", "__version__"]

if TYPE_CHECKING:
    from .averaging import EMA, SEMA, SWA, Lookahead


def __getattr__(name: str) -> Any:
    if name in ("EMA", "SEMA", "SWA", "Lookahead"):
        from . import averaging

        return getattr(averaging, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
