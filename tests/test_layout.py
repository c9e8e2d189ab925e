"""tests/unit mirrors the package file by file: whoever opens a module knows where its tests are."""

from pathlib import Path

import anymask

PACKAGE = Path(anymask.__file__).parent
TESTS = Path(__file__).parent

# Modules that are tested through another file of tests, because they have no behaviour of their own, or because one
# test compares several of them.
TESTED_IN = {
    "checkpoints/reading.py": "unit/checkpoints/test_files.py",
    "cli/options.py": "unit/cli/test_main.py",
    "data/synthetic/creatures.py": "unit/data/synthetic/test_scenes.py",
    "data/synthetic/things.py": "unit/data/synthetic/test_scenes.py",
    "evaluation/predict.py": "unit/evaluation/test_evaluate.py",
    "modeling/decoders.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/decoder.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/images.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/own_image.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/shared_image.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/untouched.py": "unit/modeling/fast/test_parity.py",
    "modeling/fast/upscaling.py": "unit/modeling/fast/test_parity.py",
    "modeling/layers.py": "parity/test_model.py",
    "modeling/outputs.py": "unit/modeling/test_network.py",
    "modeling/promptable.py": "unit/mask_generation/test_generator.py",
    "support/exporting.py": "unit/modeling/test_exporting.py",
    "support/streams.py": "unit/test_main.py",
    "training/checkpoint.py": "unit/training/test_train.py",
    "training/export.py": "unit/training/test_nano.py",
    "training/options.py": "unit/training/test_train.py",
    "training/step.py": "unit/training/test_train.py",
}


OF_DUNDERS = {"unit/test_init.py", "unit/test_main.py"}  # of __init__.py and __main__.py


def modules():
    """Paths of the package's modules, those that only say what a room holds left out."""
    paths = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    return {path for path in paths if Path(path).name not in ("__init__.py", "__main__.py")}


def mirror(module):
    return f"unit/{Path(module).with_name(f'test_{Path(module).name}').as_posix()}"


def test_every_module_has_its_tests():
    assert sorted(module for module in modules() if not (TESTS / TESTED_IN.get(module, mirror(module))).exists()) == []
    assert sorted(module for module in TESTED_IN if module not in modules() or (TESTS / mirror(module)).exists()) == []


def test_every_file_of_unit_tests_has_its_module():
    found = {path.relative_to(TESTS).as_posix() for path in (TESTS / "unit").rglob("test_*.py")}
    assert sorted(found - {mirror(module) for module in modules()} - {*TESTED_IN.values(), *OF_DUNDERS}) == []
