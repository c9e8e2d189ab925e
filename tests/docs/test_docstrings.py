"""Docstrings: every public name says what it takes and shows it, and every example runs."""

import ast
import doctest
import importlib
import inspect
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

import anymask

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src"
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.glob("anymask/**/*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

# Methods that Transformers calls, with arguments of its own.
CALLED_BY_TRANSFORMERS = {"get_correct_attn_implementation", "get_iterator", "run_single", "preprocess", "postprocess"}


def attribute_docstrings(module: str) -> list[tuple[str, str]]:
    """Names that a module assigns, each with the string below it, which documents it."""
    body = ast.parse(inspect.getsource(importlib.import_module(module))).body
    return [
        (ast.unparse(assigned.target if isinstance(assigned, ast.AnnAssign) else assigned.targets[0]), text.value.value)
        for assigned, text in pairwise(body)
        if isinstance(assigned, (ast.Assign, ast.AnnAssign))
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    ]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module, tmp_path, monkeypatch):
    """Each docstring by itself, as a reader would paste it, in a folder with photo.jpg."""
    shutil.copy(REPOSITORY / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output: list[str] = []
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), globs={})
    read = doctest.DocTestParser()
    found += [read.get_doctest(text, {}, f"{module}.{name}", None, 0) for name, text in attribute_docstrings(module)]
    for test in found:
        runner.run(test, out=output.append)
    assert "".join(output) == ""
    assert runner.tries > 0


def test_no_example_is_skipped():
    assert [path for path in SOURCE.glob("anymask/**/*.py") if "+SKIP" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("name", anymask.__all__)
def test_every_public_name_has_an_example(name):
    thing = getattr(anymask, name)
    text = dict(attribute_docstrings("anymask.segment_anything"))[name] if isinstance(thing, dict) else thing.__doc__
    assert ">>> " in text


def public_functions() -> list[tuple[str, object]]:
    """Public functions, and public methods of public classes that are ours."""
    found = []
    for name in anymask.__all__:
        thing = getattr(anymask, name)
        if inspect.isfunction(thing):
            found.append((name, thing))
        elif inspect.isclass(thing):
            methods = inspect.getmembers(thing, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            found += [
                (f"{name}.{method}", function)
                for method, function in methods
                if not method.startswith("_") and function.__module__.startswith("anymask")
            ]
    return found


@pytest.mark.parametrize(
    ("name", "function"), public_functions(), ids=lambda value: value if isinstance(value, str) else "function"
)
def test_every_public_function_explains_its_arguments(name, function):
    """With two arguments or more; with one, the first sentence says it."""
    documentation = inspect.getdoc(function) or ""
    assert documentation, f"{name} must have a docstring"
    arguments = [argument for argument in inspect.signature(function).parameters if argument not in ("self", "cls")]
    if len(arguments) < 2 or name.split(".")[-1] in CALLED_BY_TRANSFORMERS:
        return
    if re.search(r"[Ss]ame as `|[Ss]ee `|as in `|that of `|described above", documentation):
        return
    assert "Args:" in documentation, f"{name} must say what its arguments are: {arguments}"
