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


@pytest.mark.parametrize("name", ["page.pth", "circle.pth", "gone.pth", "folder"])
def test_models_that_are_none_are_named(tmp_path, name):
    (tmp_path / "page.pth").write_bytes(b"<html>")
    (tmp_path / "circle.pth").symlink_to(tmp_path / "circle.pth")
    with pytest.raises((OSError, ValueError), match=re.escape(str(tmp_path / name))):
        load_sam(str(tmp_path / name), "cpu", "float32")


def test_folders_load_in_the_type_asked_for(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(OSError, match="preprocessor_config"):
        load_sam(str(tmp_path), "cpu", "bfloat16")
    sam = load_sam("sam-vit-nano", "auto", "bfloat16")
    assert str(sam.model.dtype) == "torch.bfloat16"
    assert not sam.model.training
