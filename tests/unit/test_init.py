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
    assert getattr(anymask, name) is getattr(import_module(f"anymask.{anymask._homes()[name]}"), name)


def test_names_do_not_depend_on_what_was_imported_before():
    homes = sorted(set(anymask._homes().values()))
    imports = "; ".join(f"import anymask.{home}" for home in homes)
    names = "[n for n in anymask.__all__ if isinstance(getattr(anymask, n), types.ModuleType)]"
    assert run_python(f"{imports}; import anymask, types; print({names})").strip() == "[]"


def test_import_is_light():
    heavy = "('torch', 'transformers', 'numpy', 'PIL')"
    assert run_python(f"import anymask, sys; print([m for m in {heavy} if m in sys.modules])").strip() == "[]"


def test_the_garbage_collector_rests_during_an_import_and_is_as_before_after_it():
    code = """
import gc
class Watch:
    def find_spec(self, name, path, target=None):
        seen.add((name == "anymask.geometry", gc.isenabled()))
import sys
seen = set()
sys.meta_path.insert(0, Watch())
import anymask
anymask.SamProcessor
assert gc.isenabled()
gc.disable()
anymask.SamModel
assert not gc.isenabled()
print((True, False) in seen, (False, True) in seen, (True, True) in seen)
"""
    assert run_python(code).split() == ["True", "True", "False"]


def test_the_program_is_soon_at_its_first_line():
    """Until there, Python answers Ctrl-C with a traceback."""
    code = "import sys; before = set(sys.modules); import anymask.__main__; print(len(set(sys.modules) - before))"
    assert int(run_python(code)) < 25


def test_star_imports_the_public_names():
    code = "from anymask import *; import anymask; print(set(anymask.__all__) <= set(globals()))"
    assert run_python(code).strip() == "True"


def test_dir_lists_the_public_names():
    assert set(anymask.__all__) <= set(dir(anymask))


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'SamModell'; did you mean 'SamModel'\?"):
        anymask.SamModell  # noqa: B018
