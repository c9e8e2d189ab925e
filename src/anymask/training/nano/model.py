"""`sam-vit-nano`: the small SAM that this project trains and ships, 3 million parameters."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from ...checkpoints import default_processor_options
from ...configuration_sam import SamConfig
from ...geometry.coordinates import MASK_PIXELS_PER_PATCH
from ...image_processing_sam import SamImageProcessor
from ...modeling.image_encoder import resize_position_embedding, resize_relative_positions
from ...modeling.two_way_transformer import TwoWayAttentionBlock, TwoWayTransformer
from ...modeling_sam import SamModel
from ...processing_sam import SamProcessor

IMAGE_SIZE = 320
PATCH_SIZE = 8
NEARNESS_GAIN = 2.0  # of the tied projections: attention then has a few pixels around the click in view
MASK_STRIDE = PATCH_SIZE // MASK_PIXELS_PER_PATCH  # model pixels per pixel of a low-resolution mask


def nano_config() -> SamConfig:
    """An ordinary `SamConfig` at 320 pixels: embeddings 40 x 40, masks 160 x 160 before upsampling."""
    return SamConfig(
        vision_config={
            "hidden_size": 160,
            "num_hidden_layers": 6,
            "num_attention_heads": 5,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "window_size": 8,
            "global_attn_indexes": [1, 3, 5],
            "output_channels": 128,
            "num_pos_feats": 64,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 512, "num_attention_heads": 4, "iou_head_hidden_dim": 128},
        # The first three are chosen on held-out photographs: `anymask.evaluation.nano.thresholds`, decision 0015.
        mask_generation={
            "points_per_side": 20,
            "pred_iou_thresh": 0.5,
            "stability_score_thresh": 0.5,
            "box_nms_thresh": 0.6,
            "hole_share": 0.05,
            "island_share": 0.1,
        },
        prompted_masks={"hole_share": 0.05, "island_share": 0.2},
    )


def nano_model() -> SamModel:
    """A fresh model whose cross attentions begin by looking where the prompt is.

    With query and key projections equal, the score of a click and a pixel is the inner product of their positional
    encodings, which falls off with their distance. From independent projections a short training finds that only after
    hundreds of steps, during which the masks are empty.
    """
    model = SamModel(nano_config())
    transformer: TwoWayTransformer = model.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for block in transformer.layers:
        assert isinstance(block, TwoWayAttentionBlock)
        attentions += [block.cross_attn_token_to_image, block.cross_attn_image_to_token]
    for attention in attentions:
        nn.init.orthogonal_(attention.q_proj.weight, gain=NEARNESS_GAIN)
        with torch.no_grad():
            attention.k_proj.weight.copy_(attention.q_proj.weight)
        nn.init.zeros_(attention.q_proj.bias)
        nn.init.zeros_(attention.k_proj.bias)
    return model


@torch.no_grad()
def load_nano(name: str) -> SamModel:
    """A model to go on from, in float32, in the frame of `IMAGE_SIZE`.

    Positions of a model of another frame are interpolated, as the image encoder does for an image of that size.

    Args:
        name: folder or name for `SamModel.from_pretrained`.
    """
    model = SamModel.from_pretrained(name, dtype="float32")
    vision = model.config.vision_config
    if vision.image_size == IMAGE_SIZE:
        return model
    side = IMAGE_SIZE // vision.patch_size
    config = copy.deepcopy(model.config)
    config.vision_config.image_size = config.prompt_encoder_config.image_size = IMAGE_SIZE
    config.prompt_encoder_config.image_embedding_size = side
    weights = model.state_dict()
    weights["vision_encoder.pos_embed"] = resize_position_embedding(weights["vision_encoder.pos_embed"], (side, side))
    for index in vision.global_attn_indexes:
        for axis in "hw":
            key = f"vision_encoder.layers.{index}.attn.rel_pos_{axis}"
            weights[key] = resize_relative_positions(weights[key], side)
    resized = SamModel(config)
    resized.load_state_dict(weights)
    return resized.eval()


def nano_image_processor(image_size: int = IMAGE_SIZE) -> SamImageProcessor:
    """What training assumes of its images: longest side to `image_size`, ImageNet normalisation, padded to a square."""
    return SamImageProcessor(**default_processor_options(image_size, PATCH_SIZE))


def export_model(model: SamModel, folder: Path) -> Path:
    """Write a trained model as a folder for `from_pretrained`: the weights in float16, and the processor's settings.

    The model itself stays as it is. The configuration says float32, so that the half-size file is loaded for computing
    and training in full precision unless `dtype=` says otherwise; and nothing of the loss that it was trained with.
    """
    half = copy.deepcopy(SamModel.from_network(model)).to(torch.float16)
    if hasattr(half.config, "loss"):
        del half.config.loss
    half.save_pretrained(folder)
    half.config.dtype = torch.float32
    half.config.save_pretrained(folder)
    image_processor = nano_image_processor(model.config.vision_config.image_size)
    SamProcessor(image_processor).save_pretrained(folder)
    image_processor.save_pretrained(folder)
    return folder
