import logging

import pytest
import torch
from tests.tiny_sam import images, points, relative_difference, tiny_config, tiny_model

from anymask.modeling_base import check_nothing_is_offloaded
from anymask.modeling_sam import SamModel, SamVisionModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    return folder


def test_dtype_auto_keeps_the_file_s(saved, tmp_path):
    assert SamModel.from_pretrained(saved, dtype="auto").dtype == torch.float32
    SamModel.from_pretrained(saved).to(torch.float16).save_pretrained(tmp_path)
    assert SamModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    assert SamModel.from_pretrained(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert SamModel.from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32


def test_a_part_of_a_whole_has_its_dtype():
    whole, part = SamModel.from_pretrained("sam-vit-nano"), SamVisionModel.from_pretrained("sam-vit-nano")
    assert whole.dtype == part.dtype == torch.float32  # though the file's weights are float16
    assert all(map(torch.equal, whole.vision_encoder.parameters(), part.vision_encoder.parameters()))
    assert SamVisionModel.from_pretrained("sam-vit-nano", dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_map(saved, device_map):
    model = SamModel.from_pretrained(saved, device_map=device_map).eval()
    pixel_values, prompts = images(), dict(input_points=points())
    with torch.no_grad():
        masks, expected = model(pixel_values, **prompts), tiny_model()(pixel_values, **prompts)
    assert relative_difference(masks.pred_masks, expected.pred_masks) < 1e-6
    assert relative_difference(masks.iou_scores, expected.iou_scores) < 1e-6


@pytest.mark.parametrize(
    ("device_map", "offloaded"),
    [
        ({"": "cpu"}, None),
        ({"": "cuda:0"}, None),
        ({"vision_encoder": 0, "prompt_encoder": 1, "mask_decoder": 1}, None),
        ({}, None),
        ({"": "disk"}, "offloads the model;"),
        ({"vision_encoder": "cpu", "mask_decoder": "disk", "prompt_encoder": "disk"}, "mask_decoder, prompt_encoder;"),
        ({"vision_encoder": 0, "mask_decoder": "cpu", "prompt_encoder": torch.device("cpu")}, "mask_decoder, prompt_"),
    ],
)
def test_what_counts_as_offloaded(device_map, offloaded):
    if offloaded is None:
        check_nothing_is_offloaded(device_map)
    else:
        with pytest.raises(ValueError, match=f"`device_map` must keep every part of SAM on a device.*{offloaded}"):
            check_nothing_is_offloaded(device_map)


def test_offloading_is_refused(saved, tmp_path):
    parts = dict.fromkeys(["vision_encoder", "shared_image_embedding", "prompt_encoder"], "cpu")
    with pytest.raises(ValueError, match="but offloads mask_decoder; load it on one device"):
        SamModel.from_pretrained(saved, device_map={**parts, "mask_decoder": "disk"}, offload_folder=tmp_path)


def test_attention_implementations(saved):
    assert SamModel.from_pretrained(saved).config._attn_implementation == "sdpa"
    for name in ("eager", "folded", "sdpa"):
        model = SamModel.from_pretrained(saved, attn_implementation=name)
        assert model.vision_encoder.config._attn_implementation == name
        assert model.mask_decoder.config._attn_implementation == name
    model = SamModel.from_pretrained(saved, attn_implementation={"vision_config": "eager"})
    assert model.vision_encoder.config._attn_implementation == "eager"
    for name in ("flash_attention_2", "flex_attention", "flash"):
        with pytest.raises((ValueError, ImportError), match=r"(?i)flash|flex"):
            SamModel.from_pretrained(saved, attn_implementation=name)
    with pytest.raises(ValueError, match=r"one of \['eager', 'folded', 'sdpa'\], got 'paged\|eager'"):
        SamModel.from_pretrained(saved, attn_implementation="paged|eager")


def test_attention_is_changed_without_a_warning(saved, caplog, monkeypatch):
    model = SamModel.from_pretrained(saved)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        model.set_attn_implementation("eager")
        assert model.vision_encoder.config._attn_implementation == "eager"
        assert model.mask_decoder.config._attn_implementation == "eager"
        model.set_attn_implementation({"vision_config": "sdpa"})
        assert model.vision_encoder.config._attn_implementation == "sdpa"
        assert model.mask_decoder.config._attn_implementation == "eager"
        vision = SamVisionModel(tiny_config().vision_config)
        vision.set_attn_implementation("eager")
        assert vision.vision_encoder.config._attn_implementation == "eager"
    assert not caplog.records
    with pytest.raises(ValueError, match=r"one of \['eager', 'folded', 'sdpa'\], got 'flash_attention_2'"):
        model.set_attn_implementation("flash_attention_2")
    with pytest.raises(ValueError, match="got 'flex'"):
        model.set_attn_implementation({"vision_config": "flex"})
    assert model.vision_encoder.config._attn_implementation == "sdpa"
