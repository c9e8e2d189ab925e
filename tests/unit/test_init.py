import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import anymask


def run_python(code: str) -> str:
    """What a fresh process prints; a warning there is an error."""
    finished = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_what_type_checkers_read_is_exported_under_its_own_name():
    """In a stub only `import name as name` exports a name."""
    tree = ast.parse(Path(anymask.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    exported = [alias.name for node in imports for alias in node.names if alias.asname == alias.name]
    assert sorted(exported) == anymask.__all__
    assert len(exported) > 30


@pytest.mark.parametrize("name", anymask.__all__)
def test_every_name_comes_from_its_home(name):
    assert getattr(anymask, name) is getattr(import_module(f"anymask.{anymask._HOME_OF[name]}"), name)


def test_names_do_not_depend_on_what_was_imported_before():
    homes = sorted(set(anymask._HOME_OF.values()))
    imports = "; ".join(f"import anymask.{home}" for home in homes)
    names = "[n for n in anymask.__all__ if isinstance(getattr(anymask, n), types.ModuleType)]"
    assert run_python(f"{imports}; import anymask, types; print({names})").strip() == "[]"


def test_import_is_light():
    heavy = "('torch', 'transformers', 'numpy', 'PIL')"
    assert run_python(f"import anymask, sys; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_dir_lists_the_public_names():
    assert set(anymask.__all__) <= set(dir(anymask))


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'SamModell'; did you mean 'SamModel'\?"):
        anymask.SamModell  # noqa: B018
