"""Folders are seen at once, and tests/unit mirrors the package: whoever opens a module knows where its tests are.

In the core and its doors that is file by file. In an optional room a file of tests may be of a whole run, or of several
modules: then it lies in the room's folder.
"""

from collections import Counter
from pathlib import Path

import anymask

PACKAGE = Path(anymask.__file__).parent
TESTS = Path(__file__).parent

# Modules that are tested through another file of tests, because they have no behaviour of their own, or because one
# test compares several of them.
TESTED_IN = {
    "checkpoints/reading.py": "unit/checkpoints/formats/test_files.py",
    "embeddings/encoding.py": "unit/embeddings/test_image_embedding.py",
    "masks/outlines.py": "unit/masks/test_polygons.py",
    "modeling/decoders.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/decoder.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/images.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/shared_image.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/untouched.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/upscaling.py": "unit/modeling/fast/test_parity.py",
    "modeling/layers.py": "parity/test_model.py",
    "modeling/outputs.py": "unit/modeling/test_network.py",
    "support/exporting.py": "unit/modeling/test_exporting.py",
    "support/streams.py": "unit/test_main.py",
}


OPTIONAL_ROOMS = {
    "cli",
    "data",
    "demo",
    "distributed",
    "evaluation",
    "export",
    "integrations",
    "tiling",
    "training",
    "volumes",
}

OF_DUNDERS = {"unit/test_init.py", "unit/test_main.py"}  # of __init__.py and __main__.py
MOST_FILES = 10  # of a folder, those of dunder names left out


def modules():
    """Paths of the package's modules, those that only say what a room holds left out."""
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    return {path.as_posix() for path in paths if path.name not in ("__init__.py", "__main__.py")}


def is_core(path):
    """Whether a module, or a file of tests, is of the core or of its doors."""
    return not OPTIONAL_ROOMS & set(Path(path).parts)


def mirror(module):
    return f"unit/{Path(module).with_name(f'test_{Path(module).name}').as_posix()}"


def test_a_folder_has_at_most_ten_files():
    counts = Counter(str(Path(module).parent) for module in modules())
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_every_module_of_the_core_has_its_tests():
    core = {module for module in modules() if is_core(module)}
    assert sorted(module for module in core if not (TESTS / TESTED_IN.get(module, mirror(module))).exists()) == []
    assert sorted(module for module in TESTED_IN if module not in core or (TESTS / mirror(module)).exists()) == []


def test_every_file_of_unit_tests_has_its_module():
    found = {path.relative_to(TESTS).as_posix() for path in (TESTS / "unit").rglob("test_*.py")}
    wanted = {mirror(module) for module in modules()} | {*TESTED_IN.values(), *OF_DUNDERS}
    assert sorted(path for path in found - wanted if is_core(path)) == []


def test_every_room_has_its_folder_of_tests():
    rooms = {Path(module).parts[0] for module in modules() if len(Path(module).parts) > 1}
    assert sorted(room for room in rooms if not list((TESTS / "unit" / room).glob("**/test_*.py"))) == []
