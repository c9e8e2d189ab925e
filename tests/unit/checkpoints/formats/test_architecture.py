import pytest
import torch
from tests.tiny_sam import tiny_config

from anymask import SamConfig, SamModel
from anymask.checkpoints.formats.architecture import read_architecture
from anymask.checkpoints.formats.key_map import TIED_KEY
from anymask.checkpoints.reports import CheckpointError

PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")


def shapes_of(config):
    with torch.device("meta"):
        state = SamModel(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if name != TIED_KEY}


def assert_same(actual, expected, but=("mlp_ratio",)):
    for part in PARTS:
        ours, theirs = (getattr(config, part).to_dict() for config in (actual, expected))
        assert {k: v for k, v in ours.items() if k not in but} == {k: v for k, v in theirs.items() if k not in but}


@pytest.mark.parametrize("preset", ["vit_b", "vit_l", "vit_h"])
def test_metas_models(preset):
    config = SamConfig.from_preset(preset)
    assert_same(read_architecture(shapes_of(config), 1e-5), config)


@pytest.mark.parametrize(("hidden", "mlp"), [(384, 1536), (168, 696)])
def test_slimsam(hidden, mlp):
    config = SamConfig(vision_config=dict(hidden_size=hidden, mlp_dim=mlp, num_attention_heads=12))
    assert_same(read_architecture(shapes_of(config), 1e-6), config)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        dict(vision=dict(num_channels=4, qkv_bias=False)),
        dict(vision=dict(use_abs_pos=False)),
        dict(vision=dict(window_size=13)),  # larger than the grid of 10 patches
        dict(vision=dict(image_size=96), prompt=dict(image_size=96)),
        dict(decoder=dict(num_multimask_outputs=5, iou_head_depth=4, attention_downsample_rate=1, num_hidden_layers=3)),
    ],
)
def test_every_size_is_read(changed):
    decoder = {"num_attention_heads": 8, **changed.get("decoder", {})}
    config = tiny_config(**{**changed, "decoder": decoder})
    assert_same(read_architecture(shapes_of(config), 1e-6), config)


@pytest.mark.parametrize("vision", [dict(window_size=0), dict(window_size=10), dict(global_attn_indexes=[0, 1, 2])])
def test_blocks_that_all_see_everything(vision):
    config = tiny_config(vision=vision, decoder=dict(num_attention_heads=8))
    read = read_architecture(shapes_of(config), 1e-6)
    assert (read.vision_config.window_size, read.vision_config.global_attn_indexes) == (0, [0, 1, 2])
    assert shapes_of(read) == shapes_of(config)


def test_without_relative_positions_the_preset_of_the_same_width_and_depth_counts():
    config = SamConfig(vision_config=dict(use_rel_pos=False))
    assert_same(read_architecture(shapes_of(config), 1e-6), config)


def test_without_relative_positions_other_widths_need_a_configuration():
    with pytest.raises(CheckpointError, match=r"number of heads.*width 36, 3 blocks.*pass `config=`"):
        read_architecture(shapes_of(tiny_config(vision=dict(use_rel_pos=False))), 1e-6)


def test_image_encoder_alone():
    config = tiny_config()
    shapes = {name: shape for name, shape in shapes_of(config).items() if name.startswith("vision_encoder.")}
    vision = read_architecture(shapes, 1e-6).vision_config
    assert vision.to_dict() == {**config.vision_config.to_dict(), "mlp_ratio": vision.mlp_ratio}


def test_windows_of_two_sizes_are_refused():
    shapes = shapes_of(tiny_config(decoder=dict(num_attention_heads=8)))
    shapes["vision_encoder.layers.2.attn.rel_pos_h"] = (11, 12)
    with pytest.raises(CheckpointError, match=r"windows of one size.*\[4, 6\] patches, and absolute ones for 10 x 10"):
        read_architecture(shapes, 1e-6)


def test_parts_of_different_models_are_refused():
    shapes = shapes_of(tiny_config(decoder=dict(num_attention_heads=8)))
    shapes["prompt_encoder.no_mask_embed.weight"] = (1, 64)
    with pytest.raises(CheckpointError, match=r"must be those of one SAM.*prompt_encoder_config.hidden_size=64"):
        read_architecture(shapes, 1e-6)
