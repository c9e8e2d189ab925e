"""From image tokens to masks: the two transposed convolutions as matrix products, strip by strip.

With kernel 2 and stride 2 a transposed convolution takes every pixel by itself to 2 x 2, so it is a matrix product of
channels-last features, and a strip of pixels can go all the way to its masks while it stays in the cache.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...support.chunks import parts_at_a_time, slices
from ..mask_decoder import MaskDecoder
from .images import FastImage, matmul_pixels

UPSCALING_BYTES = 2 * 2**20
"""Bytes of upscaled features at a time for each thread of a CPU."""


def as_matrix(convolution: nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution with kernel 2 and stride 2, (4 * output, input channels): new pixels row by row."""
    return convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)


def predict_masks(
    decoder: MaskDecoder, tokens: Tensor, image: FastImage, grid_hw: tuple[int, int], wanted: slice
) -> Tensor:
    """Masks of prompts, as `MaskDecoder` predicts them.

    Args:
        decoder: Whose weights say all.
        tokens: Mask tokens, (batch, prompts, all masks, channels).
        image: Of these prompts.
        grid_hw: Height and width of the image embedding.
        wanted: Which masks.

    Returns:
        Logits, (batch, prompts, masks, 4 * height, 4 * width).
    """
    mlps = cast(list[nn.Module], decoder.output_hypernetworks_mlps)
    hyper = torch.stack([mlps[index](tokens[:, :, index]) for index in range(len(mlps))[wanted]], dim=2)
    first, second, activation = decoder.upscale_conv1, decoder.upscale_conv2, decoder.activation
    features = image.features(as_matrix(first), cast(Tensor, first.bias).repeat(4))
    matrix = as_matrix(second), cast(Tensor, second.bias).repeat(4)
    batch, prompts = tokens.shape[:2]
    height, width = grid_hw
    if torch.is_grad_enabled():
        # All at once, since all is kept.
        upscaled = _upscale(decoder.upscale_layer_norm, activation, *matrix, features(slice(None), slice(None)))
        return _in_rows(matmul_pixels(hyper, upscaled), grid_hw)
    bytes_per_row = batch * width * 16 * second.out_channels * tokens.element_size()
    rows_at_a_time = parts_at_a_time(bytes_per_row, tokens.device, UPSCALING_BYTES)
    masks = []
    for some in slices(prompts, max(rows_at_a_time // height, 1)):
        strips = []
        for rows in slices(height, rows_at_a_time):
            strip = features(some, slice(rows.start * width, rows.stop * width))
            upscaled = _upscale(decoder.upscale_layer_norm, activation, *matrix, strip)
            strips.append(hyper[:, some] @ upscaled.transpose(-2, -1))
        masks.append(strips[0] if len(strips) == 1 else torch.cat(strips, dim=3))
    return _in_rows(masks[0] if len(masks) == 1 else torch.cat(masks, dim=1), grid_hw)


def _upscale(norm: nn.LayerNorm, activation: nn.Module, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
    """Features of pixels from those of some image tokens; every token becomes 4 x 4 pixels by itself.

    Args:
        norm: Between the convolutions.
        activation: After each of them.
        weight: The second convolution as a matrix.
        bias: Its bias, four times.
        features: (batch, prompts, tokens, channels), from the first transposed convolution.

    Returns:
        (batch, prompts, 16 * tokens, channels // 8), in the order in which upscaling makes them: each token's 2 x 2
        pixels, each of these pixels' 2 x 2.
    """
    features = features.unflatten(-1, (4, -1))  # (batch, prompts, tokens, 4, channels // 4)
    features = activation(F.layer_norm(features, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
    features = activation(F.linear(features, weight, bias))
    return features.unflatten(-1, (4, -1)).flatten(2, 4)


def _in_rows(logits: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Pixels (..., 16 * height * width) in the order in which `_upscale` makes them: (..., 4 * height, 4 * width)."""
    height, width = grid_hw
    made = torch.arange(16 * height * width, device=logits.device).view(height, width, 2, 2, 2, 2)
    order = made.permute(0, 2, 4, 1, 3, 5).flatten()
    return logits.gather(3, order.expand_as(logits)).unflatten(3, (4 * height, 4 * width))
