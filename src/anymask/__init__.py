"""anymask: Segment Anything (SAM) in Hugging Face Transformers form.

The public names and their homes are listed once, in `__init__.pyi`, which type checkers and editors read as well. A
name is imported when it is first used, so `import anymask` is quick and a missing optional dependency shows only where
it is needed. Start reading at `modeling/network.py`.
"""

import ast
from importlib import import_module
from pkgutil import get_data
from typing import Any

__version__ = "0.1.0"


def _read_homes() -> dict[str, str]:
    """The module of this package in which each public name is at home."""
    stub = ast.parse(get_data(__name__, "__init__.pyi") or b"")
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOME_OF = _read_homes()
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Imports a public name from its home on first use (PEP 562)."""
    if name not in _HOME_OF:
        from .support.unknown_names import did_you_mean

        hint = did_you_mean(name, __all__, otherwise=f"its public names are {', '.join(__all__)}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
