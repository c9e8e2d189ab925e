"""Names of tensors in Meta's layout and in the hub's, one table for both directions.

Each row is the beginning of a name in either layout; `{n}` stands for a number, which stays as it is. The first row
that fits is taken, and the rest of the name is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_VISION = [
    ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.blocks.{n}.norm1.", "vision_encoder.layers.{n}.layer_norm1."),
    ("image_encoder.blocks.{n}.norm2.", "vision_encoder.layers.{n}.layer_norm2."),
    ("image_encoder.blocks.{n}.attn.", "vision_encoder.layers.{n}.attn."),
    ("image_encoder.blocks.{n}.mlp.", "vision_encoder.layers.{n}.mlp."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
]
_PROMPTS = [
    ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", "shared_image_embedding.positional_embedding"),
    ("prompt_encoder.point_embeddings.{n}.", "prompt_encoder.point_embed.{n}."),
    ("prompt_encoder.not_a_point_embed.", "prompt_encoder.not_a_point_embed."),
    ("prompt_encoder.no_mask_embed.", "prompt_encoder.no_mask_embed."),
    ("prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.layer_norm1."),
    ("prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.layer_norm2."),
    ("prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
]
_DECODER = [
    ("mask_decoder.iou_token.", "mask_decoder.iou_token."),
    ("mask_decoder.mask_tokens.", "mask_decoder.mask_tokens."),
    ("mask_decoder.transformer.layers.{n}.norm{n}.", "mask_decoder.transformer.layers.{n}.layer_norm{n}."),
    ("mask_decoder.transformer.layers.{n}.self_attn.", "mask_decoder.transformer.layers.{n}.self_attn."),
    ("mask_decoder.transformer.layers.{n}.cross_attn_", "mask_decoder.transformer.layers.{n}.cross_attn_"),
    ("mask_decoder.transformer.layers.{n}.mlp.", "mask_decoder.transformer.layers.{n}.mlp."),
    ("mask_decoder.transformer.final_attn_token_to_image.", "mask_decoder.transformer.final_attn_token_to_image."),
    ("mask_decoder.transformer.norm_final_attn.", "mask_decoder.transformer.layer_norm_final_attn."),
    ("mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."),
    ("mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
]
_IOU_HEAD = "mask_decoder.iou_prediction_head."
_HYPERNETWORK = "mask_decoder.output_hypernetworks_mlps.{n}."
_HYPERNETWORK_DEPTH = 3  # in Meta's code and here; the depth of the IoU head is a setting

TIED_TO = "shared_image_embedding.positional_embedding"
TIED_KEY = "prompt_encoder.shared_embedding.positional_embedding"
"""The hub's second name of `TIED_TO`, stored by some files and not by others."""

META_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
HUB_PARTS = ("vision_encoder.", "shared_image_embedding.", "prompt_encoder.", "mask_decoder.")


def meta_to_hub(names: Iterable[str]) -> dict[str, str]:
    """The hub's name for each name in Meta's layout; names that SAM does not have are left out."""
    names = list(names)
    depth = len({name for name in names if re.fullmatch(re.escape(_IOU_HEAD) + r"layers\.\d+\.weight", name)})
    return _rename(names, _rows(depth))


def hub_to_meta(names: Iterable[str]) -> dict[str, str]:
    """The name in Meta's layout for each of the hub's; names that SAM does not have are left out, the tied one too."""
    names = list(names)
    depth = 2 + len({name for name in names if re.fullmatch(re.escape(_IOU_HEAD) + r"layers\.\d+\.weight", name)})
    return _rename(names, [(hub, meta) for meta, hub in _rows(depth)])


def _rows(iou_head_depth: int) -> list[tuple[str, str]]:
    return [
        *_VISION,
        *_PROMPTS,
        *_DECODER,
        *_head_rows(_HYPERNETWORK, _HYPERNETWORK_DEPTH),
        *_head_rows(_IOU_HEAD, iou_head_depth),
    ]


def _head_rows(prefix: str, depth: int) -> list[tuple[str, str]]:
    """Meta counts all layers of a head; the hub names the first and the last and counts those between."""
    between = [(f"{prefix}layers.{index}.", f"{prefix}layers.{index - 1}.") for index in range(1, depth - 1)]
    return [
        (f"{prefix}layers.0.", f"{prefix}proj_in."),
        *between,
        (f"{prefix}layers.{depth - 1}.", f"{prefix}proj_out."),
    ]


def _rename(names: Iterable[str], rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    patterns = [(re.compile(re.escape(source).replace(r"\{n\}", r"(\d+)")), target) for source, target in rows]
    renamed = {}
    for name in names:
        for pattern, target in patterns:
            match = pattern.match(name)
            if match:
                for number in match.groups():
                    target = target.replace("{n}", number, 1)
                renamed[name] = target + name[match.end() :]
                break
    return renamed
