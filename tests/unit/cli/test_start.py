import gc
import re

import pytest
from tests.tiny_sam import tiny_model

from anymask.cli.start import load_sam, quick_imports


def test_the_collector_is_as_before():
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_devices_that_are_none():
    with pytest.raises(ValueError, match="--device must be one that torch can use here, got 'toaster': "):
        load_sam("sam-vit-nano", "toaster", "float32")


def test_models_that_are_none(tmp_path):
    (tmp_path / "page.pth").write_bytes(b"<html>")
    (tmp_path / "circle.pth").symlink_to(tmp_path / "circle.pth")
    for name in ("page.pth", "circle.pth", "gone.pth", "folder"):
        path = str(tmp_path / name)
        message = (
            f"--model must be sam-vit-nano, a folder, a file of weights or a hub id .*got {re.escape(repr(path))}: "
        )
        with pytest.raises(ValueError, match=message):
            load_sam(path, "cpu", "float32")


def test_folders_load_in_the_type_asked_for(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="preprocessor_config"):
        load_sam(str(tmp_path), "cpu", "bfloat16")
    sam = load_sam("sam-vit-nano", "auto", "bfloat16")
    assert str(sam.model.dtype) == "torch.bfloat16"
    assert not sam.model.training
