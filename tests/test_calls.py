"""Whoever reads a call does not have the function at hand: past four arguments each says by name what it is."""

import ast
from pathlib import Path

import anymask

PACKAGE = Path(anymask.__file__).parent
MOST = 4
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_bytes()) for path in PACKAGE.rglob("*.py")}


def our_names():
    """Names of the package's functions and classes, but for those that take any number of arguments of one kind."""
    defined = (node for tree in TREES.values() for node in ast.walk(tree))
    return {
        node.name
        for node in defined
        if isinstance(node, ast.ClassDef) or (isinstance(node, ast.FunctionDef) and node.args.vararg is None)
    }


def test_past_four_arguments_each_has_its_name():
    ours, found = our_names(), []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or any(isinstance(argument, ast.Starred) for argument in node.args):
                continue
            function, arguments = node.func, node.args
            if isinstance(function, ast.Name) and function.id == "partial":
                function, *arguments = arguments
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
            if name in ours and len(arguments) > MOST:
                found.append(f"{path}:{node.lineno} {name}")
    assert found == []
