"""A file in Meta's layout against Transformers' model with the same weights and Meta's epsilon."""

import re

import pytest
import torch
import transformers
from tests.tiny_sam import boxes, images, labels, points, relative_difference, tiny_model

from anymask import SamModel
from anymask.checkpoints import save_meta_checkpoint

pytestmark = pytest.mark.parity

# The way from Meta's names to the hub's once more, as substitutions that are all applied in order.
SUBSTITUTIONS = [
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.blocks\.(\d+)\.", r".layers.\1."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0\.", r".\1.proj_in."),
    (r"\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.1\.", r".\1.layers.0."),
    (r"\.(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.2\.", r".\1.proj_out."),
]


def hub_name(name):
    for pattern, replacement in SUBSTITUTIONS:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="module")
def meta_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("meta") / "sam.pth"
    save_meta_checkpoint(tiny_model(decoder=dict(num_attention_heads=8, layer_norm_eps=1e-5)), path)
    return path


def theirs(meta_file, config, eps):
    """Transformers' model, with weights renamed by the substitutions above."""
    decoder = {**config.mask_decoder_config.to_dict(), "layer_norm_eps": eps}
    model = transformers.SamModel(
        transformers.SamConfig(
            vision_config=config.vision_config.to_dict(),
            prompt_encoder_config=config.prompt_encoder_config.to_dict(),
            mask_decoder_config=decoder,
        )
    )
    state = {hub_name(name): tensor for name, tensor in torch.load(meta_file, weights_only=True).items()}
    shared = state["prompt_encoder.shared_embedding.positional_embedding"]
    model.load_state_dict({**state, "shared_image_embedding.positional_embedding": shared}, strict=True)
    return model.double().eval()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_with_metas_epsilon(meta_file, attention):
    """In double precision, where rounding does not hide what an epsilon does."""
    ours = SamModel.from_pretrained(meta_file, dtype=torch.float64, attn_implementation=attention)
    inputs = dict(pixel_values=images(), input_points=points(), input_boxes=boxes())
    inputs = {"input_labels": labels(), **{name: tensor.double() for name, tensor in inputs.items()}}
    actual = ours(**inputs)
    expected = theirs(meta_file, ours.config, 1e-5)(**inputs)
    with_hubs_epsilon = theirs(meta_file, ours.config, 1e-6)(**inputs)
    assert relative_difference(actual.pred_masks, expected.pred_masks) < 1e-6
    assert relative_difference(actual.iou_scores, expected.iou_scores) < 1e-6
    assert relative_difference(actual.pred_masks, with_hubs_epsilon.pred_masks) > 3e-6


def test_transformers_loads_what_we_convert(meta_file, tmp_path):
    ours = SamModel.from_pretrained(meta_file)
    ours.save_pretrained(tmp_path)
    model, info = transformers.SamModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert model.config.mask_decoder_config.layer_norm_eps == 1e-5
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
