import json

import pytest
import torch
from tests.hub_configs import HUB_CONFIGS, MASK_DECODER, PROMPT_ENCODER
from tests.tiny_sam import tiny_config

from anymask.configuration_sam import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig


def test_defaults():
    config = SamConfig()
    assert (
        config.vision_config.to_dict().items()
        >= {
            "hidden_size": 768,
            "output_channels": 256,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_channels": 3,
            "image_size": 1024,
            "patch_size": 16,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "attention_dropout": 0.0,
            "initializer_range": 1e-10,
            "qkv_bias": True,
            "mlp_ratio": 4.0,
            "use_abs_pos": True,
            "use_rel_pos": True,
            "window_size": 14,
            "num_pos_feats": 128,
            "mlp_dim": 3072,
            "scale": 384,
            "model_type": "sam_vision_model",
        }.items()
    )
    assert config.vision_config.global_attn_indexes == [2, 5, 8, 11]
    assert config.prompt_encoder_config.to_dict().items() >= PROMPT_ENCODER.items()
    assert config.mask_decoder_config.to_dict().items() >= MASK_DECODER.items()
    assert (config.initializer_range, config.tie_word_embeddings, config.model_type) == (0.02, True, "sam")


@pytest.mark.parametrize("name", HUB_CONFIGS)
def test_files_of_the_hub(name, tmp_path):
    literal = HUB_CONFIGS[name]
    (tmp_path / "config.json").write_text(json.dumps(literal))
    config = SamConfig.from_pretrained(tmp_path)
    derived = {"scale", "image_embedding_size", "model_type", "torch_dtype", "transformers_version"}
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        loaded = getattr(config, part)
        own = type(loaded)().to_dict().keys() & literal[part].keys() - derived
        assert len(own) >= 7
        assert {key: getattr(loaded, key) for key in own} == {
            key: {0: "LABEL_0", 1: "LABEL_1"} if key == "id2label" else literal[part][key] for key in own
        }
        assert loaded.model_type == type(loaded).model_type
    assert config.vision_config.scale == literal["vision_config"]["hidden_size"] // 2
    assert config.prompt_encoder_config.image_embedding_size == 64

    config.save_pretrained(tmp_path / "again")
    again = SamConfig.from_pretrained(tmp_path / "again")
    assert again.to_dict() == {**config.to_dict(), "_name_or_path": again.to_dict()["_name_or_path"]}
    vision = SamVisionConfig.from_pretrained(tmp_path)
    assert vision.hidden_size == literal["vision_config"]["hidden_size"]
    assert vision.global_attn_indexes == literal["vision_config"]["global_attn_indexes"]


@pytest.mark.parametrize(
    ("preset", "hub"), [("vit_b", "sam-vit-base"), ("vit_l", "sam-vit-large"), ("vit_h", "sam-vit-huge")]
)
def test_presets_are_the_checkpoints_with_the_epsilons_of_meta(preset, hub):
    config, literal = SamConfig.from_preset(preset), HUB_CONFIGS[f"facebook/{hub}"]
    for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "global_attn_indexes", "mlp_dim"):
        assert getattr(config.vision_config, field) == literal["vision_config"][field]
    assert config.mask_decoder_config.layer_norm_eps == 1e-5
    assert config.vision_config.layer_norm_eps == config.prompt_encoder_config.layer_norm_eps == 1e-6


def test_a_preset_at_another_size():
    config = SamConfig.from_preset("vit_b", image_size=512)
    assert config.vision_config.image_size == 512
    assert config.prompt_encoder_config.image_embedding_size == 32


def test_an_unknown_preset():
    with pytest.raises(ValueError, match=r"one of \['vit_b', 'vit_h', 'vit_l'\], got 'vit-b'; did you mean 'vit_b'\?"):
        SamConfig.from_preset("vit-b")
    with pytest.raises(ValueError, match="got 'resnet'; Meta has no other sizes"):
        SamConfig.from_preset("resnet")


def test_round_trip(tmp_path):
    config = tiny_config(vision=dict(use_rel_pos=False, qkv_bias=False), decoder=dict(layer_norm_eps=1e-5))
    config.save_pretrained(tmp_path)
    again = SamConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert type(again.mask_decoder_config) is SamMaskDecoderConfig
    config.vision_config.save_pretrained(tmp_path / "vision")
    assert SamVisionConfig.from_pretrained(tmp_path / "vision").to_dict() == config.vision_config.to_dict()


def test_parts_are_objects_or_dictionaries():
    vision = SamVisionConfig(hidden_size=96)
    assert SamConfig(vision_config=vision).vision_config is vision
    fields = {"hidden_size": 96}
    assert SamConfig(vision_config=fields).vision_config.hidden_size == 96
    assert fields == {"hidden_size": 96}
    with pytest.raises(TypeError, match="A SamVisionConfig or a dict of its fields must be given, got list"):
        SamConfig(vision_config=[96])
    with pytest.raises(TypeError, match=r"A SamMaskDecoderConfig .* got SamVisionConfig"):
        SamConfig(mask_decoder_config=vision)


def test_mlp_dim_and_square_sizes():
    assert SamVisionConfig(hidden_size=96, mlp_ratio=2.5).mlp_dim == 240
    assert SamVisionConfig(hidden_size=96, mlp_dim=50).mlp_dim == 50
    config = SamVisionConfig(image_size=[512, 512], patch_size=(8, 8))
    assert (config.image_size, config.patch_size) == (512, 8)


WRONG = [
    (SamVisionConfig, dict(image_size=(512, 1024)), r"image_size must be one positive number .*got \(512, 1024\)"),
    (SamVisionConfig, dict(image_size=0), "image_size must be one positive number"),
    (SamVisionConfig, dict(image_size=[]), "image_size must be one positive number"),
    (SamVisionConfig, dict(patch_size=16.0), "patch_size must be one positive number"),
    (
        SamVisionConfig,
        dict(image_size=1000),
        "image_size must be a positive multiple of patch_size, got image_size=1000",
    ),
    (SamVisionConfig, dict(hidden_size=100), "hidden_size must be a positive multiple of num_attention_heads, got"),
    (SamVisionConfig, dict(num_attention_heads=0), "num_attention_heads must be a whole number from 1 to 65536, got 0"),
    (SamVisionConfig, dict(global_attn_indexes=[-1]), r"must be a list of blocks, counted from 0, got \[-1\]"),
    (SamVisionConfig, dict(global_attn_indexes=5), "must be a list of blocks, counted from 0, got 5"),
    (
        SamVisionConfig,
        dict(num_hidden_layers=2**63),
        "num_hidden_layers must be a whole number from 1 to 1024, got 922",
    ),
    (SamVisionConfig, dict(hidden_size="768"), "hidden_size must be a whole number from 1 to 65536, got '768'"),
    (SamVisionConfig, dict(hidden_act="mishx"), "hidden_act must be the name of an activation .* got 'mishx'"),
    (SamVisionConfig, dict(layer_norm_eps=-1), "layer_norm_eps must be a number above 0, up to 1, got -1"),
    (SamVisionConfig, dict(layer_norm_eps=float("nan")), "layer_norm_eps must be a number above 0, up to 1, got nan"),
    (SamVisionConfig, dict(use_rel_pos="no"), "use_rel_pos must be true or false, got 'no'"),
    (SamVisionConfig, dict(mlp_ratio=float("inf")), "mlp_ratio must be a number above 0, up to 65536, got inf"),
    (SamVisionConfig, dict(image_size=2**40), "image_size must be one positive number"),
    (SamConfig, dict(id2label=5), "id2label must be a dictionary of names by whole number, got 5"),
    (SamConfig, dict(id2label={"a": 1}), "id2label must be a dictionary of names by whole number, got {'a': 1}"),
    (SamConfig, dict(num_labels="x"), "SamConfig must have fields as Transformers writes them"),
    (SamConfig, dict(dtype="floatx"), "dtype must be a floating dtype of torch, its name, or None, got 'floatx'"),
    (SamConfig, dict(vision_config=dict(dtype="int8")), "dtype must be a floating dtype .* got 'int8'"),
    (SamConfig, dict(initializer_range=None), "initializer_range must be a number of at least 0, got None"),
    (SamVisionConfig, dict(window_size=-1), "window_size must be a number of patches, or 0 .* got -1"),
    (SamPromptEncoderConfig, dict(image_size=100), "image_size must be a positive multiple of patch_size"),
    (SamPromptEncoderConfig, dict(mask_input_channels=6), "mask_input_channels must be a positive multiple of 4"),
    (SamPromptEncoderConfig, dict(num_point_embeddings=5), "num_point_embeddings must be 4: .* got 5"),
    (SamMaskDecoderConfig, dict(hidden_size=100), "hidden_size must be a positive multiple of 8"),
    (SamMaskDecoderConfig, dict(attention_downsample_rate=3), "multiple of attention_downsample_rate"),
    (SamMaskDecoderConfig, dict(num_attention_heads=6), "hidden_size // attention_downsample_rate must be a positive"),
    (SamMaskDecoderConfig, dict(iou_head_depth=1), "iou_head_depth must be a whole number from 2 .* got 1"),
]


@pytest.mark.parametrize(("config_class", "fields", "message"), WRONG)
def test_wrong_fields(config_class, fields, message):
    with pytest.raises(ValueError, match=message):
        config_class(**fields)


def test_an_epsilon_of_one_is_possible():
    """Transformers' own tests, and others that compare numbers, set it to even out rounding."""
    for config_class in (SamVisionConfig, SamPromptEncoderConfig, SamMaskDecoderConfig):
        assert config_class(layer_norm_eps=1.0).layer_norm_eps == 1.0


def test_global_blocks_beyond_the_last_mean_none():
    config = SamVisionConfig(num_hidden_layers=3, global_attn_indexes=[1, 7])
    assert config.global_attn_indexes == [1, 7]  # as in Transformers, which stores them too


@pytest.mark.parametrize("content", ["[]", "5", '"x"'])
def test_a_file_that_is_no_configuration(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"The config\.json of .* must hold a JSON object"):
        SamConfig.from_pretrained(tmp_path)


def test_a_part_read_from_a_whole_has_its_dtype(tmp_path):
    config = tiny_config()
    config.dtype = torch.float16
    config.save_pretrained(tmp_path)
    assert SamVisionConfig.from_pretrained(tmp_path).dtype == torch.float16
    config.vision_config.dtype = torch.bfloat16
    config.save_pretrained(tmp_path)
    assert SamVisionConfig.from_pretrained(tmp_path).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (dict(vision=dict(image_size=160)), "vision_config.image_size=160 but prompt_encoder_config.image_size=80"),
        (dict(vision=dict(patch_size=4)), "vision_config.patch_size=4 but prompt_encoder_config.patch_size=8"),
        (dict(vision=dict(output_channels=64)), "output_channels=64 but prompt_encoder_config.hidden_size=32"),
        (
            dict(decoder=dict(hidden_size=64)),
            "mask_decoder_config.hidden_size=64 but prompt_encoder_config.hidden_size=32",
        ),
        (dict(vision=dict(num_pos_feats=32)), "num_pos_feats=64 but prompt_encoder_config.hidden_size=32"),
    ],
)
def test_parts_that_do_not_fit(parts, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(**parts)
