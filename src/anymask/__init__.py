"""anymask: Segment Anything (SAM) in Hugging Face Transformers form.

The public names and their homes are listed once, in `__init__.pyi`, which type checkers and editors read as well. A
name is imported when it is first used, so `import anymask` is quick and a missing optional dependency shows only where
it is needed. Start reading at `modeling/network.py`.
"""

__version__ = "0.1.0"

_HOMES: dict[str, str] = {}


def _homes() -> dict[str, str]:
    """The module of this package in which each public name is at home.

    Read when it is first asked for, so that the program `anymask` is soon at its first line, where it meets signals.
    """
    if not _HOMES:
        import ast
        from pkgutil import get_data

        stub = ast.parse(get_data(__name__, "__init__.pyi") or b"")
        imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
        _HOMES.update({alias.name: str(node.module) for node in imports for alias in node.names})
    return _HOMES


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use; the list of these names likewise (PEP 562)."""
    homes = _homes()
    if name == "__all__":
        return sorted(homes)
    if name not in homes:
        from .support.unknown_names import did_you_mean

        hint = did_you_mean(name, sorted(homes), otherwise=f"its public names are {', '.join(sorted(homes))}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}")
    from importlib import import_module

    from .support.garbage import collector_rests

    with collector_rests():
        value = getattr(import_module(f".{homes[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes(), "__all__"})
