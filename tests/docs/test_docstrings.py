"""Docstrings: every public name says what it takes and shows it, and every example runs."""

import doctest
import importlib
import inspect
import re
import shutil
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

# What others return or are made of, an alias, and a dictionary: there is nothing to call.
WITHOUT_EXAMPLE = {
    "MaskProposals",
    "ModelInfo",
    "SamImageProcessorPil",
    "SamImageSegmentationOutput",
    "SamPreTrainedModel",
    "SamVisionEncoderOutput",
    "sam_model_registry",
}

# Methods that Transformers calls, with arguments of its own.
CALLED_BY_TRANSFORMERS = {"get_correct_attn_implementation", "get_iterator", "run_single", "preprocess", "postprocess"}


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module, tmp_path, monkeypatch):
    """Each docstring by itself, as a reader would paste it, in a folder with photo.jpg."""
    shutil.copy(REPOSITORY / "examples" / "coffee.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), globs={}):
        runner.run(test, out=output.append)
    assert "".join(output) == ""
    assert runner.tries > 0


def test_no_example_is_skipped():
    assert [path for path in SOURCE.glob("anymask/**/*.py") if "+SKIP" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("name", sorted(set(anymask.__all__) - WITHOUT_EXAMPLE))
def test_every_public_name_has_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(anymask, name))


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
