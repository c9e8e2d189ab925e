"""What a SAM is, read from the shapes of its tensors.

Shapes say everything but these: the heads of the mask decoder and its activations (Meta's 8 and ReLU are assumed), the
epsilons (the layout decides), and, without relative positions, heads and windows of the image encoder (those of the
preset with the same width and depth). Whoever has another model passes `config=` to `from_pretrained`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...configuration_sam import (
    VISION_PRESETS,
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from ..reports import CheckpointError

Shapes = Mapping[str, Sequence[int]]

_PATCHES = "vision_encoder.patch_embed.projection.weight"
_POSITIONS = "vision_encoder.pos_embed"
_NECK = "vision_encoder.neck.conv1.weight"
_MLP = "vision_encoder.layers.0.mlp.lin1.weight"
_FREQUENCIES = "shared_image_embedding.positional_embedding"
_NO_MASK = "prompt_encoder.no_mask_embed.weight"
_MASK_EMBED = "prompt_encoder.mask_embed.conv3.weight"
_MASK_TOKENS = "mask_decoder.mask_tokens.weight"
_DECODER_MLP = "mask_decoder.transformer.layers.0.mlp.lin1.weight"
_DECODER_QUERY = "mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"
_IOU_HEAD = "mask_decoder.iou_prediction_head.proj_in.weight"

VISION_KEYS = (_PATCHES, _NECK, _MLP)
OTHER_KEYS = (_FREQUENCIES, _NO_MASK, _MASK_EMBED, _MASK_TOKENS, _DECODER_MLP, _DECODER_QUERY, _IOU_HEAD)
"""Tensors, by the hub's names, whose shapes are needed: for the image encoder, and for all the rest."""


def read_architecture(shapes: Shapes, decoder_layer_norm_eps: float) -> SamConfig:
    """The configuration of a SAM with tensors of these shapes.

    Args:
        shapes: of tensors under the hub's names, among them `VISION_KEYS` and all or none of `OTHER_KEYS`. Without
            them the other parts are the defaults that fit the image encoder.
        decoder_layer_norm_eps: see `SamMaskDecoderConfig.layer_norm_eps`.

    Raises:
        CheckpointError: If no SAM has such shapes, or they leave open what it is.
    """
    try:
        vision = _vision_config(shapes)
        if not any(key in shapes for key in OTHER_KEYS):
            prompt, decoder = _parts_that_fit(vision, decoder_layer_norm_eps)
        else:
            prompt = SamPromptEncoderConfig(
                hidden_size=shapes[_NO_MASK][1],
                image_size=vision.image_size,
                patch_size=vision.patch_size,
                mask_input_channels=shapes[_MASK_EMBED][1],
            )
            decoder = _decoder_config(shapes, decoder_layer_norm_eps)
        return SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    except CheckpointError:
        raise
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"the shapes of its tensors must be those of one SAM, but do not fit: {error}") from error


def _vision_config(shapes: Shapes) -> SamVisionConfig:
    hidden, channels, patch_size, _ = shapes[_PATCHES]
    depth = 1 + max(_numbers(shapes, r"vision_encoder\.layers\.(\d+)\."), default=-1)
    rel_pos = _numbered_shapes(shapes, r"vision_encoder\.layers\.(\d+)\.attn\.rel_pos_h")
    if not rel_pos:
        grid = shapes[_POSITIONS][1] if _POSITIONS in shapes else 1024 // patch_size
        attention = _preset_attention(hidden, depth)
    else:
        sides = {index: (length + 1) // 2 for index, (length, _) in rel_pos.items()}  # positions reach 2 * side - 1
        grid = shapes[_POSITIONS][1] if _POSITIONS in shapes else max(sides.values())
        head_channels = rel_pos[min(rel_pos)][1]
        attention = dict(num_attention_heads=hidden // head_channels, **_windows(sides, grid, depth))
    return SamVisionConfig(
        hidden_size=hidden,
        output_channels=shapes[_NECK][0],
        num_hidden_layers=depth,
        num_channels=channels,
        image_size=grid * patch_size,
        patch_size=patch_size,
        qkv_bias="vision_encoder.layers.0.attn.qkv.bias" in shapes,
        use_abs_pos=_POSITIONS in shapes,
        use_rel_pos=bool(rel_pos),
        num_pos_feats=shapes[_FREQUENCIES][1] if _FREQUENCIES in shapes else shapes[_NECK][0] // 2,
        mlp_dim=shapes[_MLP][0],
        **attention,
    )


def _windows(sides: Mapping[int, int], grid: int, depth: int) -> dict[str, Any]:
    """Which blocks see the whole grid of patches, and the side of the window that the others see."""
    windows = {side for side in sides.values() if side != grid}
    if len(windows) > 1:
        raise CheckpointError(
            f"its image encoder must have windows of one size, but relative positions are for "
            f"{sorted(windows)} patches, and absolute ones for {grid} x {grid}; pass `config=` if it is a SAM"
        )
    if not windows:
        return dict(window_size=0, global_attn_indexes=list(range(depth)))
    return dict(
        window_size=windows.pop(), global_attn_indexes=sorted(index for index, side in sides.items() if side == grid)
    )


def _preset_attention(hidden: int, depth: int) -> dict[str, Any]:
    for preset in VISION_PRESETS.values():
        if (preset["hidden_size"], preset["num_hidden_layers"]) == (hidden, depth):
            names = ("num_attention_heads", "global_attn_indexes")
            return {name: preset[name] for name in names}
    raise CheckpointError(
        f"without relative positions the number of heads cannot be told from shapes (width {hidden}, {depth} blocks, "
        f"which none of Meta's image encoders has); pass `config=` to from_pretrained"
    )


def _decoder_config(shapes: Shapes, layer_norm_eps: float) -> SamMaskDecoderConfig:
    masks, hidden = shapes[_MASK_TOKENS]
    return SamMaskDecoderConfig(
        hidden_size=hidden,
        mlp_dim=shapes[_DECODER_MLP][0],
        num_hidden_layers=1 + max(_numbers(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\.")),
        attention_downsample_rate=hidden // shapes[_DECODER_QUERY][0],
        num_multimask_outputs=masks - 1,
        iou_head_depth=2 + len(_numbers(shapes, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.weight")),
        iou_head_hidden_dim=shapes[_IOU_HEAD][0],
        layer_norm_eps=layer_norm_eps,
    )


def _parts_that_fit(
    vision: SamVisionConfig, layer_norm_eps: float
) -> tuple[SamPromptEncoderConfig, SamMaskDecoderConfig]:
    prompt = SamPromptEncoderConfig(
        hidden_size=vision.output_channels, image_size=vision.image_size, patch_size=vision.patch_size
    )
    return prompt, SamMaskDecoderConfig(hidden_size=vision.output_channels, layer_norm_eps=layer_norm_eps)


def _numbers(names: Iterable[str], pattern: str) -> set[int]:
    return {int(match[1]) for match in (re.match(pattern, name) for name in names) if match}


def _numbered_shapes(shapes: Shapes, pattern: str) -> dict[int, Sequence[int]]:
    matches = ((re.fullmatch(pattern, name), shape) for name, shape in shapes.items())
    return {int(match[1]): shape for match, shape in matches if match}
