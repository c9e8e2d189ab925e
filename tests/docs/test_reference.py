"""What docstrings of the reference say of arrays, units and errors, held against the code.

A test cannot tell whether a sentence is true. It can tell that arrays have shapes, that arguments whose names are those
of lengths, times, memory and shares have units, that what a function raises itself is named, and that what is named can
be raised by the code that the function reaches.
"""

import ast
import builtins
import functools
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path
from types import FunctionType

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src"
ARRAY = re.compile(r"\b(Tensor|ndarray)\b")
SHAPE = re.compile(r"\([^()]*, [^()]*\)|\([\w.]+,\)")
ELSEWHERE = re.compile(r"\b[Ss]ee (?:`|there)|[Ss]ame as `|[Aa]s in |[Aa]s for |[Ll]ikewise|[Nn]ot used|those of `")
ENTRY = re.compile(r"^    (?P<name>\**[\w.]+):(?P<text>.*(?:\n(?: {5,}.*)?$)*)", re.MULTILINE)


def callables() -> dict[str, tuple[FunctionType, str]]:
    """Functions and methods of the reference by their full names, with what their docstring and their class's say."""
    found = {}
    for page in sorted((REPOSITORY / "docs/reference").glob("*.md")):
        for full_name in re.findall(r"^::: (anymask\.[\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            home, _, name = full_name.rpartition(".")
            thing = getattr(importlib.import_module(home), name)
            if inspect.isfunction(thing):
                found[full_name] = thing, inspect.getdoc(thing) or ""
            elif inspect.isclass(thing):
                for method_name, method in inspect.getmembers(thing, callable):
                    method = inspect.unwrap(getattr(method, "__func__", method))
                    if not inspect.isfunction(method) or not method.__module__.startswith("anymask"):
                        continue
                    makes = method_name in ("__init__", "__post_init__")
                    if makes or method_name == "__call__" or not method_name.startswith("_"):
                        said = [inspect.getdoc(method) or "", (inspect.getdoc(thing) or "") if makes else ""]
                        found[f"{method.__module__}.{method.__qualname__}"] = method, "\n\n".join(said)
    return found


CALLABLES = callables()


def entries(documentation: str, *sections: str) -> dict[str, str]:
    """Name and text of what sections of a docstring list."""
    found = {}
    for section in sections:
        for body in re.findall(rf"^{section}:\n((?:(?: .*)?\n?)*)", documentation, re.MULTILINE):
            found.update({match["name"]: match["text"].strip() for match in ENTRY.finditer(body)})
    return found


@pytest.mark.parametrize("name", CALLABLES)
def test_arrays_have_shapes(name):
    function, documentation = CALLABLES[name]
    known = entries(documentation, "Args", "Attributes")
    for argument, annotation in inspect.get_annotations(function).items():
        if not ARRAY.search(str(annotation)) or str(annotation).startswith(("dict", "Mapping")):
            continue
        # Without a list of arguments the sentences say all.
        text = known.get(argument, documentation if argument == "return" or not entries(documentation, "Args") else "")
        assert SHAPE.search(text) or ELSEWHERE.search(text), f"{name} must say of what shape `{argument}` is"


# Their arguments are Transformers', or Meta's whose class says what they are.
NAMED_ELSEWHERE = re.compile(
    r"\.(MaskGenerationPipeline|SamTrainer|SegmentationMetrics)\.|ResizeLongestSide\.|\.get_correct_attn_implementation$"
)


@pytest.mark.parametrize("name", [name for name in CALLABLES if not NAMED_ELSEWHERE.search(name)])
def test_arguments_are_explained(name):
    """With two or more; with one, the first sentence says it."""
    function, documentation = CALLABLES[name]
    assert documentation.strip()
    arguments = [argument for argument in inspect.signature(function).parameters if argument not in ("self", "cls")]
    if len(arguments) > 1 and not ELSEWHERE.search(documentation) and set(arguments) != {"args", "kwargs"}:
        known = {argument.lstrip("*") for argument in entries(documentation, "Args", "Attributes")}
        assert [argument for argument in arguments if argument not in known] == []


# How the names of arguments end that are counted in something, and what it is called.
UNITS = {
    "pixel|patch": r"(?<!hidden_)(?<!batch_)(?<!shard_)sizes?(_hw)?|area|(?<!per_)side|xy|xyxy|frame_hw|boxes|x|y",
    "[Pp]ixel": "input_points|tile|window|halo|block|most|tolerance",
    "second": "timeout|timings|seconds",
    "byte|MB|GB": "bytes|memory|max_shard_size",
    r"\bshares?\b|\bpart of\b|0 .*\b1\b|\[0, 1\]|times|over `": (
        "shares?|overlap|ratio|dropout|fraction|alpha|validation|box_extension|box_noise"
    ),
    "IoU|logit|stab|overlap": "thresh|threshold|link_iou",
    "millimetre": "spacing(_hw)?",
}
NUMBERS = re.compile(r"\b(int|float|Tensor|ndarray)\b")


def unit_of(argument: str) -> str | None:
    """A pattern that must be found in what is said of an argument."""
    return next((unit for unit, names in UNITS.items() if re.fullmatch(f"(.*_)?({names})", argument)), None)


@pytest.mark.parametrize("name", CALLABLES)
def test_numbers_have_units(name):
    function, documentation = CALLABLES[name]
    said = entries(documentation, "Args", "Attributes")
    for argument, annotation in inspect.get_annotations(function).items():
        text, unit = said.get(argument, ""), unit_of(argument)
        if unit and text and NUMBERS.search(str(annotation)) and not ELSEWHERE.search(text):
            assert re.search(unit, text, re.DOTALL), f"{name} must say in what `{argument}` is counted"


def test_units_are_known_by_the_end_of_a_name():
    assert unit_of("original_size_hw") == unit_of("x") == "pixel|patch"
    assert unit_of("timeout") == "second"
    assert unit_of("hidden_size") is unit_of("points_per_side") is unit_of("index") is None


def raised_in(code: ast.AST) -> set[str]:
    """Names of the errors that statements raise and do not catch themselves."""
    found = set()
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.Try):
            caught = {name.id for handler in node.handlers for name in ast.walk(handler) if isinstance(name, ast.Name)}
            body, rest = ast.Module(node.body, []), ast.Module([*node.orelse, *node.finalbody], [])
            found |= (raised_in(body) - caught) | raised_in(rest)
            found |= {name for handler in node.handlers for name in raised_in(handler)}
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = error.attr if isinstance(error, ast.Attribute) else getattr(error, "id", "")
            if name[:1].isupper():
                found.add(name)
        found |= raised_in(node)
    return found


@functools.cache
def families() -> dict[str, set[str]]:
    """Each class of errors with the names of itself and of all it is a kind of."""
    classes = {name: thing for name, thing in vars(builtins).items() if isinstance(thing, type)}
    for path in SOURCE.glob("anymask/**/*.py"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^class (\w+(?:Error|Exception))\(", text, re.MULTILINE):
            module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
            classes[name] = getattr(importlib.import_module(module), name)
    return {name: {base.__name__ for base in thing.__mro__} for name, thing in classes.items()}


# A dataclass makes its `__init__` without a source; its `__post_init__` raises.
@pytest.mark.parametrize("name", [name for name, (made, _) in CALLABLES.items() if made.__code__.co_filename[0] != "<"])
def test_errors_that_are_raised_are_documented(name):
    function, documentation = CALLABLES[name]
    raised = raised_in(ast.parse(textwrap.dedent(inspect.getsource(function))))
    known = set(entries(documentation, "Raises"))
    assert {error for error in raised if not families()[error] & known} == set()


@functools.cache
def module_facts(module: str) -> tuple[set[str], set[str]]:
    """What a module of anymask raises anywhere, with all it is a kind of, and which modules it imports."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    package = module if importlib.import_module(module).__file__.endswith("__init__.py") else module.rpartition(".")[0]
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("anymask")):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imports |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    raised = set().union(*(families().get(error, set()) for error in raised_in(tree)), set())
    return raised, {name for name in imports if _is_module(name)}


def _is_module(name: str) -> bool:
    path = SOURCE.joinpath(*name.strip(".").split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@functools.cache
def reachable_errors(module: str) -> set[str]:
    waiting, seen, errors = [module], set(), set()
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            raised, imports = module_facts(current)
            errors |= raised
            waiting += imports
    return errors


@pytest.mark.parametrize("name", [name for name in CALLABLES if entries(CALLABLES[name][1], "Raises")])
def test_documented_errors_can_be_raised(name):
    function, documentation = CALLABLES[name]
    for error, when in entries(documentation, "Raises").items():
        assert error in families(), f"{name} must raise errors that exist, got {error}"
        assert error in reachable_errors(function.__module__)
        assert re.match(r"[A-Za-z`]", when), f"{name} must say when it raises {error}"


def test_sections_are_read():
    documentation = (
        "Do it.\n\nArgs:\n    a: (N, 2) points,\n        more.\n    b: text\n\nRaises:\n    ValueError: If a."
    )
    assert entries(documentation, "Args") == {"a": "(N, 2) points,\n        more.", "b": "text"}
    assert set(entries(documentation, "Raises")) == {"ValueError"}


def test_errors_are_found():
    code = "try:\n    raise KeyError(1)\nexcept KeyError:\n    raise ValueError from None\nelse:\n    raise OSError()\n"
    assert raised_in(ast.parse(code)) == {"ValueError", "OSError"}
    assert raised_in(ast.parse("def f():\n    if a:\n        raise errors.MyError('x')\n    raise\n")) == {"MyError"}
