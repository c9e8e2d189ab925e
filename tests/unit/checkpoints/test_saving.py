import os
import re

import pytest
import safetensors.torch
import torch
from tests.tiny_sam import tiny_model
from torch import nn

from anymask import SamModel, SamVisionModel
from anymask.checkpoints import CheckpointError, save_meta_checkpoint


@pytest.fixture
def model():
    return tiny_model(decoder=dict(num_attention_heads=8, layer_norm_eps=1e-5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.safetensors"])
def test_round_trip_is_exact(model, tmp_path, name, dtype):
    model = model.to(dtype)
    path, again = tmp_path / name, tmp_path / f"again.{name}"
    save_meta_checkpoint(model, path)
    loaded = SamModel.from_pretrained(path)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key])
        assert tensor.dtype == loaded.state_dict()[key].dtype
    save_meta_checkpoint(loaded, again)
    assert path.read_bytes() == again.read_bytes() or name != "x.safetensors"
    assert sorted(os.listdir(tmp_path)) == sorted(["again." + name, name])


def test_file_is_a_plain_dictionary_under_metas_names(model, tmp_path):
    save_meta_checkpoint(model, tmp_path / "x.pth")
    state = torch.load(tmp_path / "x.pth", weights_only=True)
    assert type(state) is dict
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in state.values())
    assert "image_encoder.blocks.2.norm1.weight" in state
    assert len(state) == len(model.state_dict()) - 1  # positions are once in Meta's layout
    save_meta_checkpoint(model, tmp_path / "x.safetensors")
    assert safetensors.torch.load_file(tmp_path / "x.safetensors").keys() == state.keys()


def test_model_keeps_its_weights(model, tmp_path):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_meta_checkpoint(model, tmp_path / "x.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert next(model.mask_decoder.parameters()).requires_grad


@pytest.mark.parametrize(
    ("parts", "argument"),
    [
        (dict(decoder=dict(num_attention_heads=4)), "num_heads=4, activation=torch.nn.ReLU"),
        (dict(decoder=dict(hidden_act="gelu")), "num_heads=8, activation=torch.nn.GELU"),
        (dict(vision=dict(layer_norm_eps=1e-5)), r"partial\(torch.nn.LayerNorm, eps=1e-05\)"),
        (dict(prompt=dict(hidden_act="relu")), "mask_in_chans=8, activation=torch.nn.ReLU"),
    ],
)
def test_what_tensors_do_not_say_is_told(tmp_path, parts, argument):
    parts = {**parts, "decoder": {"num_attention_heads": 8, **parts.get("decoder", {})}}
    model = tiny_model(**parts)
    said = save_meta_checkpoint(model, tmp_path / "x.pth")
    assert re.search(argument, said) and f"torch.load('{tmp_path}/x.pth')" in said
    compile(said, "said", "exec")
    loaded = SamModel.from_pretrained(tmp_path / "x.pth", config=model.config)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_what_tensors_say_needs_no_word(model, tmp_path):
    assert save_meta_checkpoint(model, tmp_path / "x.pth") is None


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        (dict(prompt=dict(layer_norm_eps=1e-5)), r"prompt_encoder_config\.layer_norm_eps=1e-05 \(1e-06 there\)"),
        (dict(decoder=dict(hidden_act="silu")), r"mask_decoder_config\.hidden_act=silu \(relu there\)"),
    ],
)
def test_what_metas_package_cannot_build_is_refused(tmp_path, parts, field):
    parts = {**parts, "decoder": {"num_attention_heads": 8, **parts.get("decoder", {})}}
    with pytest.raises(CheckpointError, match=field):
        save_meta_checkpoint(tiny_model(**parts), tmp_path / "x.pth")
    assert not os.listdir(tmp_path)


def test_windows_as_large_as_the_image_survive(tmp_path):
    model = tiny_model(vision=dict(window_size=10), decoder=dict(num_attention_heads=8))
    save_meta_checkpoint(model, tmp_path / "x.pth")
    assert SamModel.from_pretrained(tmp_path / "x.pth").config.vision_config.window_size == 0


def test_other_models_are_refused(model, tmp_path):
    with pytest.raises(CheckpointError, match="must be a whole SAM, got SamVisionModel"):
        save_meta_checkpoint(SamVisionModel(model.config.vision_config), tmp_path / "x.pth")
    model.mask_decoder.head = nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"but has mask_decoder\.head\.weight, mask_decoder\.head\.bias"):
        save_meta_checkpoint(model, tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["x.bin", "x", "x.onnx"])
def test_other_endings_are_refused(model, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in one of \.pth, \.pt, \.safetensors"):
        save_meta_checkpoint(model, tmp_path / name)


def test_places_that_cannot_be_written_to(model, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.pth").mkdir()
    for path in (tmp_path / "gone" / "x.pth", tmp_path / "file" / "x.pth", tmp_path / "folder.pth"):
        with pytest.raises(OSError, match=f"{path.name} must be a file that can be written, but: "):
            save_meta_checkpoint(model, path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.pth"]
