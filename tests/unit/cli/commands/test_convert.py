import os
import re

import pytest
import torch
from tests.tiny_sam import tiny_model
from typer.testing import CliRunner

from anymask import SamModel, SamProcessor
from anymask.checkpoints import save_meta_checkpoint
from anymask.cli.commands import convert as convert_module
from anymask.cli.main import app


def invoke(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def meta_file(tmp_path):
    save_meta_checkpoint(tiny_model(decoder=dict(num_attention_heads=8, layer_norm_eps=1e-5)), tmp_path / "meta.pth")
    return tmp_path / "meta.pth"


def test_there_and_back_bit_for_bit(meta_file, tmp_path):
    there = invoke(meta_file, tmp_path / "new" / "folder", "--verify")
    assert there.exit_code == 0, there.output
    assert "folder: hub layout, " in there.stdout
    assert "verified: the same weights, bit for bit, and the same masks" in there.stdout
    assert "note" not in there.stdout
    back = invoke(tmp_path / "new" / "folder", tmp_path / "back.pth", "--verify")
    assert back.exit_code == 0, back.output
    before, after = (torch.load(path, weights_only=True) for path in (meta_file, tmp_path / "back.pth"))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert SamModel.from_pretrained(tmp_path / "new/folder").config.mask_decoder_config.layer_norm_eps == 1e-5
    assert SamProcessor.from_pretrained(tmp_path / "new/folder").target_size == 80
    assert sorted(os.listdir(tmp_path / "new")) == ["folder"]
    assert os.stat(tmp_path / "new/folder").st_mode == os.stat(tmp_path / "new").st_mode


def test_epsilon_that_metas_layout_does_not_say_is_noted(tmp_path):
    tiny_model(decoder=dict(num_attention_heads=8)).save_pretrained(tmp_path / "hub")
    result = invoke(tmp_path / "hub", tmp_path / "meta.safetensors", "--verify")
    assert result.exit_code == 0, result.output
    assert "note: the mask decoder's layer norms have epsilon 1e-06 in the source and 1e-05 in Meta's" in result.stdout


def test_verification_notices_changed_weights(meta_file, tmp_path, monkeypatch):
    def save_wrongly(model, path):
        with torch.no_grad():
            model.mask_decoder.iou_token.weight.add_(1e-3)
            save_meta_checkpoint(model, path)
            model.mask_decoder.iou_token.weight.sub_(1e-3)

    monkeypatch.setattr(convert_module, "save_meta_checkpoint", save_wrongly)
    result = invoke(meta_file, tmp_path / "out.pth", "--verify")
    assert result.exit_code == 2
    assert "but 1 differ, mask_decoder.iou_token.weight first" in result.stderr


@pytest.mark.parametrize("name", ["out.pth", "out"])
def test_nothing_is_overwritten(meta_file, tmp_path, name):
    (tmp_path / name).touch()
    result = invoke(meta_file, tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith("anymask: ") and "must not exist yet" in result.stderr
    assert (tmp_path / name).stat().st_size == 0


def test_output_that_is_the_input(meta_file):
    before = meta_file.read_bytes()
    assert invoke(meta_file, meta_file).exit_code == 2
    assert meta_file.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("gone/out.pth", "out.pth must be a file that can be written"),
        ("meta.pth/out", "Not a directory|File exists"),
        ("out.ckpt", r"out\.ckpt must end in \.pth, \.pt, \.safetensors"),
    ],
)
def test_outputs_that_cannot_be(meta_file, tmp_path, output, message):
    result = invoke(meta_file, tmp_path / output)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert re.search(message, result.stderr)
    assert os.listdir(tmp_path) == ["meta.pth"]


def test_sources_that_are_none(tmp_path):
    (tmp_path / "page.pth").write_bytes(b"<html>")
    (tmp_path / "circle.pth").symlink_to("circle.pth")
    for name, message in (("page.pth", "a web page"), ("circle.pth", "in a circle"), ("gone.pth", "there is none")):
        result = invoke(tmp_path / name, tmp_path / "out")
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == ["circle.pth", "page.pth"]


def test_failed_folders_leave_nothing(meta_file, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(SamModel, "save_pretrained", fail)
    result = invoke(meta_file, tmp_path / "folder")
    assert result.exit_code == 2
    assert f"{tmp_path / 'folder'} must be a folder that can be written, but: disk full." in result.stderr
    assert os.listdir(tmp_path) == ["meta.pth"]
