import pytest
import torch
from tests.tiny_sam import tiny_config

from anymask import SamConfig, SamModel
from anymask.checkpoints.formats.key_map import TIED_KEY, hub_to_meta, meta_to_hub

HUB_OF_META = {
    "image_encoder.pos_embed": "vision_encoder.pos_embed",
    "image_encoder.patch_embed.proj.bias": "vision_encoder.patch_embed.projection.bias",
    "image_encoder.blocks.11.norm1.weight": "vision_encoder.layers.11.layer_norm1.weight",
    "image_encoder.blocks.0.norm2.bias": "vision_encoder.layers.0.layer_norm2.bias",
    "image_encoder.blocks.3.attn.rel_pos_h": "vision_encoder.layers.3.attn.rel_pos_h",
    "image_encoder.blocks.3.attn.proj.weight": "vision_encoder.layers.3.attn.proj.weight",
    "image_encoder.blocks.3.mlp.lin2.weight": "vision_encoder.layers.3.mlp.lin2.weight",
    "image_encoder.neck.1.weight": "vision_encoder.neck.layer_norm1.weight",
    "image_encoder.neck.2.weight": "vision_encoder.neck.conv2.weight",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": "shared_image_embedding.positional_embedding",
    "prompt_encoder.point_embeddings.2.weight": "prompt_encoder.point_embed.2.weight",
    "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.mask_downscaling.4.bias": "prompt_encoder.mask_embed.layer_norm2.bias",
    "prompt_encoder.mask_downscaling.6.weight": "prompt_encoder.mask_embed.conv3.weight",
    "mask_decoder.mask_tokens.weight": "mask_decoder.mask_tokens.weight",
    "mask_decoder.transformer.layers.1.norm4.weight": "mask_decoder.transformer.layers.1.layer_norm4.weight",
    "mask_decoder.transformer.layers.1.mlp.lin1.bias": "mask_decoder.transformer.layers.1.mlp.lin1.bias",
    "mask_decoder.transformer.norm_final_attn.bias": "mask_decoder.transformer.layer_norm_final_attn.bias",
    "mask_decoder.output_upscaling.3.weight": "mask_decoder.upscale_conv2.weight",
    "mask_decoder.output_hypernetworks_mlps.1.layers.0.weight": (
        "mask_decoder.output_hypernetworks_mlps.1.proj_in.weight"
    ),
    "mask_decoder.output_hypernetworks_mlps.1.layers.1.weight": (
        "mask_decoder.output_hypernetworks_mlps.1.layers.0.weight"
    ),
    "mask_decoder.output_hypernetworks_mlps.0.layers.2.bias": "mask_decoder.output_hypernetworks_mlps.0.proj_out.bias",
    "mask_decoder.iou_prediction_head.layers.0.weight": "mask_decoder.iou_prediction_head.proj_in.weight",
    "mask_decoder.iou_prediction_head.layers.1.weight": "mask_decoder.iou_prediction_head.layers.0.weight",
    "mask_decoder.iou_prediction_head.layers.2.weight": "mask_decoder.iou_prediction_head.proj_out.weight",
}


def test_names_both_ways():
    assert meta_to_hub(HUB_OF_META) == HUB_OF_META
    assert hub_to_meta(HUB_OF_META.values()) == {hub: meta for meta, hub in HUB_OF_META.items()}


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.blocks.x.norm1.weight",
        "my.image_encoder.pos_embed",
        "image_encoder.blocks.0.adapter.weight",
        "mask_decoder.transformer.layers.0.norm_extra.weight",
        TIED_KEY,
    ],
)
def test_other_names_are_left_out(name):
    assert meta_to_hub([name]) == {}
    assert hub_to_meta([name]) == {}


def test_vit_b_has_metas_314_tensors_and_all_names_return():
    with torch.device("meta"):
        names = [name for name in SamModel(SamConfig.from_preset("vit_b")).state_dict() if name != TIED_KEY]
    in_meta = hub_to_meta(names)
    assert len(set(in_meta.values())) == len(names) == 314
    assert {hub: meta for meta, hub in meta_to_hub(in_meta.values()).items()} == in_meta


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_iou_head_of_any_depth(depth):
    with torch.device("meta"):
        state = SamModel(tiny_config(decoder=dict(iou_head_depth=depth))).state_dict()
    in_meta = hub_to_meta(state)
    head = "mask_decoder.iou_prediction_head."
    assert {name for name in in_meta.values() if name.startswith(head)} == {
        f"{head}layers.{index}.{kind}" for index in range(depth) for kind in ("weight", "bias")
    }
    assert meta_to_hub(in_meta.values()) == {meta: hub for hub, meta in in_meta.items()}
