"""Folders and hub ids. There is no network in tests, so what is not in the cache cannot be had."""

import json

import pytest
import safetensors.torch
import torch
from tests.tiny_sam import tiny_model

from anymask import SamImageProcessor, SamModel, SamProcessor, SamVisionModel
from anymask.checkpoints import CheckpointError


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    return tmp_path


def change_weights(folder, change):
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path)
    change(state)
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})


@pytest.mark.parametrize("loader", [SamModel, SamVisionModel, SamProcessor, SamImageProcessor])
@pytest.mark.parametrize(
    ("name", "hub_id"),
    [("facebook/sam-vit-base", "facebook/sam-vit-base"), ("sam_b.pt", "facebook/sam-vit-base")],
)
def test_what_is_not_to_be_had_says_how_to_get_it(loader, name, hub_id, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=rf"'{hub_id}' must be.*'sam-vit-nano' is .*`hf download {hub_id}`.*HF_ENDPOINT="):
        loader.from_pretrained(name, cache_dir=tmp_path)


def test_cached_files_are_found_without_network(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "models--facebook--sam-vit-large"
    snapshot = cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    SamImageProcessor(size=80).save_pretrained(folder)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        (folder / name).rename(snapshot / name)
    loaded = SamModel.from_pretrained("sam_l.pt", cache_dir=tmp_path / "cache")
    assert loaded.config.vision_config.hidden_size == 36
    assert SamProcessor.from_pretrained("sam_l.pt", cache_dir=tmp_path / "cache").target_size == 80


def test_folder_without_configuration_points_at_its_files(tmp_path):
    torch.save({}, tmp_path / "sam_vit_b_01ec64.pth")
    for loader in (SamModel, SamProcessor):
        with pytest.raises(OSError, match=r"must hold config\.json.*pass the file itself.*sam_vit_b_01ec64\.pth"):
            loader.from_pretrained(tmp_path)


def test_complete_folders_load(folder):
    model, info = SamModel.from_pretrained(folder, output_loading_info=True)
    assert isinstance(model, SamModel)
    assert not info["missing_keys"]
    assert isinstance(SamVisionModel.from_pretrained(folder), SamVisionModel)


def test_missing_weights_are_an_error(folder):
    change_weights(
        folder, lambda state: [state.pop(f"vision_encoder.layers.{index}.mlp.lin1.bias") for index in (0, 2)]
    )
    with pytest.raises(CheckpointError, match=r"2 missing: vision_encoder\.layers\.\*\.mlp\.lin1\.bias \(2 keys\)"):
        SamModel.from_pretrained(folder)


def test_unexpected_weights_are_an_error_and_name_the_relative(folder):
    change_weights(folder, lambda state: state.update({"mask_decoder.hq_token.weight": torch.ones(1, 32)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: mask_decoder\.hq_token\.weight\. It looks like SAM-HQ"):
        SamModel.from_pretrained(folder)
    assert isinstance(SamVisionModel.from_pretrained(folder), SamVisionModel)


def test_weights_beside_a_sam_are_left_alone(folder):
    change_weights(folder, lambda state: state.update({"head.weight": torch.ones(3, 32)}))
    assert isinstance(SamModel.from_pretrained(folder), SamModel)


def test_misshapen_weights_are_an_error_unless_ignored(folder):
    change_weights(folder, lambda state: state.update({"mask_decoder.iou_token.weight": torch.ones(2, 32)}))
    with pytest.raises(CheckpointError, match=r"1 misshapen: mask_decoder\.iou_token\.weight \(2, 32\) for \(1, 32\)"):
        SamModel.from_pretrained(folder)
    assert isinstance(SamModel.from_pretrained(folder, ignore_mismatched_sizes=True), SamModel)


@pytest.mark.parametrize("loader", [SamModel, SamVisionModel])
def test_folders_of_other_models_are_named(folder, loader):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "sam_hq"}))
    with pytest.raises(CheckpointError, match=r"must hold a SAM, but its config\.json says model_type 'sam_hq'"):
        loader.from_pretrained(folder)
