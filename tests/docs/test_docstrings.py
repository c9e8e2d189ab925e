"""Docstrings: every public name has an example, and every example runs. test_reference.py looks at the rest."""

import ast
import doctest
import importlib
import inspect
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
