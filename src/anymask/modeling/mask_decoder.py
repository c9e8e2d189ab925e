"""The mask decoder: two-way transformer, upscaling, hypernetworks, predicted IoU (Segment Anything, appendix A).

Prompts go through in chunks that fit the processor's cache, which changes nothing in the result. Masks are read from
channels-last features by matrix products; a transposed convolution of stride 2 and kernel 2 is one. The predicted IoU
is known before upscaling, so `candidates` upscales only the prompts that pass its threshold. The transformer is in
`two_way_transformer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..configuration_sam import SamMaskDecoderConfig
from ..support.chunks import parts_at_a_time, slices
from .fast.image_tokens import ImageTokens
from .fast.linear import is_untouched
from .fast.memo import Memo
from .layers import LayerNorm2d
from .two_way_transformer import TwoWayTransformer

CHUNK_BYTES = 8 * 2**20
"""Bytes that image tokens would take of what each thread of a CPU decodes at a time: two prompts at the usual size."""
UPSCALING_BYTES = 2 * 2**20
"""Bytes of upscaled features at a time for each thread of a CPU."""


class DecodedMasks(NamedTuple):
    """Masks of prompts, at a quarter of the model's input resolution."""

    logits: Tensor  # (batch, prompts, masks, 4 * height, 4 * width)
    iou_scores: Tensor  # (batch, prompts, masks), float32
    attentions: tuple[Tensor, ...]  # tokens to image, per block and last: (batch, prompts, heads, tokens, pixels)


class CandidateMasks(NamedTuple):
    """Masks of one image whose predicted IoU passed a threshold."""

    low_res_logits: Tensor  # (masks, 4 * height, 4 * width)
    iou_scores: Tensor  # (masks,), float32
    prompt_index: Tensor  # (masks,), which prompt each mask answers, ascending


class FeedForward(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int):
        super().__init__()
        self.proj_in = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(num_layers - 2))
        self.proj_out = nn.Linear(hidden_size, output_size)

    def forward(self, features: Tensor) -> Tensor:
        """Computed in float32 where `features` are, whatever the weights' type, but for adapted and hooked layers."""
        features = _linear(self.proj_in, features).relu()
        for layer in cast(list[nn.Linear], self.layers):
            features = _linear(layer, features).relu()
        return _linear(self.proj_out, features)


class MaskDecoder(nn.Module):
    """Image embedding and prompt embeddings to masks and their predicted IoU."""

    def __init__(self, config: SamMaskDecoderConfig):
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.num_mask_tokens = config.num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, size)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, size)
        self.transformer = TwoWayTransformer(config)
        self.upscale_conv1 = nn.ConvTranspose2d(size, size // 4, kernel_size=2, stride=2)
        self.upscale_layer_norm = LayerNorm2d(size // 4, eps=1e-6)
        self.upscale_conv2 = nn.ConvTranspose2d(size // 4, size // 8, kernel_size=2, stride=2)
        self._matrices: Memo[list[Tensor]] = Memo()
        self._row_by_row: Memo[Tensor] = Memo()
        self.output_hypernetworks_mlps = nn.ModuleList(
            FeedForward(size, size, size // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = FeedForward(
            size, config.iou_head_hidden_dim, self.num_mask_tokens, config.iou_head_depth
        )

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool | None,
        is_padding: Tensor | None = None,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        output_attentions: bool = False,
    ) -> DecodedMasks:
        """Decode every prompt.

        Args:
            image_embeddings: (batch, channels, height, width).
            image_positional_embeddings: (1, channels, height, width).
            sparse_prompt_embeddings: (batch, prompts, tokens, channels); None decodes prompts that are masks alone.
            dense_prompt_embeddings: (1 or batch, channels, height, width), or with prompts as the second dimension.
            multimask_output: Whether to return the masks for ambiguous prompts (whole, part, subpart) or the one for
                clear prompts; None returns all, the latter first.
            is_padding: (batch, prompts, tokens) bool; such tokens of `sparse_prompt_embeddings` change nothing.
            attention_similarity: See `TwoWayTransformer.forward`.
            target_embedding: See `TwoWayTransformer.forward`.
            output_attentions: Whether to keep attention weights.
        """
        grid_hw = (image_embeddings.shape[2], image_embeddings.shape[3])
        wanted = self._masks_slice(multimask_output)
        chunks = [
            (self._masks(tokens, image, grid_hw, multimask_output), scores[..., wanted], weights)
            for tokens, image, scores, weights in self._attend(
                image_embeddings,
                image_positional_embeddings,
                sparse_prompt_embeddings,
                dense_prompt_embeddings,
                is_padding,
                attention_similarity,
                target_embedding,
                output_attentions,
            )
        ]
        logits, scores, weights = zip(*chunks, strict=True)
        attentions = tuple(_joined(parts) for parts in zip(*weights, strict=True))
        return DecodedMasks(_joined(logits), _joined(scores), attentions)

    def candidates(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        iou_threshold: float,
        is_padding: Tensor | None = None,
    ) -> CandidateMasks:
        """Decode the prompts of one image, but only to masks whose predicted IoU is above `iou_threshold`.

        The masks are those that `forward` would give. A threshold of 0 or less keeps all, as in Meta's generator; then
        nothing here waits for the device, and shapes follow from the prompts' number alone.
        """
        logits, scores, indices = [], [], []
        start = 0
        grid_hw = (image_embeddings.shape[2], image_embeddings.shape[3])
        for tokens, image, iou_scores, _ in self._attend(
            image_embeddings, image_positional_embeddings, sparse_prompt_embeddings, dense_prompt_embeddings, is_padding
        ):
            iou_scores = iou_scores[0, :, self._masks_slice(multimask_output)]  # (prompts, masks)
            prompt_index = torch.arange(start, start + len(iou_scores), device=iou_scores.device)
            prompt_index = prompt_index[:, None].expand_as(iou_scores)
            if iou_threshold > 0:
                keep = iou_scores > iou_threshold
                prompts = keep.any(dim=-1).nonzero().squeeze(-1)
                masks = self._masks(tokens[:, prompts], image.of_prompts(prompts), grid_hw, multimask_output)
                logits.append(masks[0][keep[prompts]])
                scores.append(iou_scores[keep])
                indices.append(prompt_index[keep])
            else:
                logits.append(self._masks(tokens, image, grid_hw, multimask_output)[0].flatten(0, 1))
                scores.append(iou_scores.flatten())
                indices.append(prompt_index.flatten())
            start += len(iou_scores)
        return CandidateMasks(torch.cat(logits), torch.cat(scores), torch.cat(indices))

    def _attend(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse: Tensor | None,
        dense: Tensor,
        is_padding: Tensor | None,
        similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Iterator[tuple[Tensor, ImageTokens, Tensor, tuple[Tensor, ...]]]:
        """Run the transformer over chunks of prompts.

        Yields:
            Mask tokens (batch, prompts, masks + 1, channels), image tokens, predicted IoUs (batch, prompts, masks + 1)
            in float32, and attention weights or nothing.
        """
        position = image_positional_embeddings.to(image_embeddings.dtype).flatten(2).transpose(1, 2)[:, None]
        tokens, is_padding = self._join_tokens(sparse, is_padding, image_embeddings, dense)
        image = self.transformer.image_tokens(
            image_embeddings, dense, position, tokens, last_weight=self._upscaling_matrices()[0]
        )
        prompts_at_a_time = parts_at_a_time(_bytes_per_prompt(image_embeddings), tokens.device, CHUNK_BYTES)
        for part in slices(tokens.shape[1], prompts_at_a_time):
            chunk_tokens, chunk_image, weights = self.transformer(
                tokens[:, part],
                image.of_prompts(part),
                _prompts(is_padding, part),
                _prompts(similarity, part),
                _prompts(target_embedding, part),
            )
            # The scores decide which masks are kept, so they are computed in float32.
            with torch.autocast(tokens.device.type, enabled=False):
                iou_scores = self.iou_prediction_head(chunk_tokens[:, :, 0].float())
            mask_tokens = chunk_tokens[:, :, 1 : 1 + self.num_mask_tokens]
            yield mask_tokens, chunk_image, iou_scores, weights if output_attentions else ()

    def _join_tokens(
        self, sparse: Tensor | None, is_padding: Tensor | None, image_embeddings: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """IoU token, mask tokens and prompt tokens of each prompt."""
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        if sparse is None:
            prompts = dense.shape[1] if dense.ndim == 5 else 1
            return output_tokens.expand(image_embeddings.shape[0], prompts, -1, -1), None
        tokens = torch.cat([output_tokens.expand(*sparse.shape[:2], -1, -1), sparse.to(image_embeddings.dtype)], dim=2)
        if is_padding is not None:
            is_padding = F.pad(is_padding, (len(output_tokens), 0), value=False)
        return tokens, is_padding

    def _masks_slice(self, multimask_output: bool | None) -> slice:
        """Mask 0 answers clear prompts, the others are the alternatives for ambiguous ones; None takes all."""
        if multimask_output is None:
            return slice(None)
        return slice(1, None) if multimask_output else slice(0, 1)

    def _masks(
        self, tokens: Tensor, image: ImageTokens, grid_hw: tuple[int, int], multimask_output: bool | None
    ) -> Tensor:
        """Masks from mask tokens (batch, prompts, masks + 1, channels) and image tokens, for the masks asked for.

        Returns:
            Logits, (batch, prompts, masks, 4 * height, 4 * width).
        """
        wanted = range(self.num_mask_tokens)[self._masks_slice(multimask_output)]
        hyper = torch.stack([self.output_hypernetworks_mlps[i](tokens[:, :, i]) for i in wanted], dim=2)
        upscaled = image.projection(self._upscaling_matrices()[0], cast(Tensor, self.upscale_conv1.bias).repeat(4))
        batch, prompts = tokens.shape[:2]
        height, width = grid_hw
        bytes_per_row = batch * width * 16 * self.upscale_conv2.out_channels * tokens.element_size()
        rows_at_a_time = parts_at_a_time(bytes_per_row, tokens.device, UPSCALING_BYTES)
        masks = []
        for some in slices(prompts, max(rows_at_a_time // height, 1)):
            strips = [
                self._masks_of_strip(hyper[:, some], upscaled(some, slice(rows.start * width, rows.stop * width)))
                for rows in slices(height, rows_at_a_time)
            ]
            masks.append(strips[0] if len(strips) == 1 else torch.cat(strips, dim=3))
        order = self._row_by_row.get(lambda: _row_by_row(height, width, tokens.device), [], grid_hw, tokens.device)
        logits = _joined(masks)
        return logits.gather(3, order.expand_as(logits)).unflatten(3, (4 * height, 4 * width))

    def _upscaling_matrices(self) -> list[Tensor]:
        """The two transposed convolutions, with kernel 2 and stride 2, as matrices (4 * output, input channels).

        They take channels-last features to four times as many, which are the new pixels, row by row.
        """
        weights = [self.upscale_conv1.weight, self.upscale_conv2.weight]  # (input, output channels, 2, 2)
        return self._matrices.get(lambda: [weight.permute(2, 3, 1, 0).flatten(0, 2) for weight in weights], weights)

    def _masks_of_strip(self, hyper: Tensor, features: Tensor) -> Tensor:
        """Masks of some image tokens; every image token becomes 4 x 4 pixels by itself.

        Args:
            hyper: (batch, prompts, masks, channels // 8), from the hypernetworks.
            features: (batch, prompts, tokens, channels), from the first transposed convolution.

        Returns:
            Logits, (batch, prompts, masks, 16 * tokens), in the order in which upscaling makes them: each token's 2 x 2
            pixels, each of these pixels' 2 x 2.
        """
        norm = self.upscale_layer_norm
        features = features.unflatten(-1, (4, -1))  # (batch, prompts, tokens, 4, channels // 4)
        features = F.gelu(F.layer_norm(features, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
        bias = cast(Tensor, self.upscale_conv2.bias).repeat(4)
        features = F.gelu(F.linear(features, self._upscaling_matrices()[1], bias))
        features = features.unflatten(-1, (4, -1))  # (batch, prompts, tokens, 4, 4, channels // 8)
        return hyper @ features.flatten(2, 4).transpose(-2, -1)


def _row_by_row(height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel of 4 * height rows of 4 * width lies in what `_masks_of_strip` makes, (16 * height * width,)."""
    made = torch.arange(16 * height * width, device=device).view(height, width, 2, 2, 2, 2)
    return made.permute(0, 2, 4, 1, 3, 5).flatten()


def _bytes_per_prompt(image_embeddings: Tensor) -> int:
    return image_embeddings.nelement() * image_embeddings.element_size()


def _linear(layer: nn.Linear, features: Tensor) -> Tensor:
    if is_untouched(layer, nn.Linear) and layer.bias is not None:
        return F.linear(features, layer.weight.to(features.dtype), layer.bias.to(features.dtype))
    dtype = next((weight.dtype for weight in layer.parameters() if weight.is_floating_point()), features.dtype)
    return layer(features.to(dtype)).to(features.dtype)


def _joined(parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _prompts(tensor: Tensor | None, part: slice) -> Tensor | None:
    """The part of (batch, prompts, ...) that belongs to some prompts, or what is shared by all."""
    return tensor if tensor is None or tensor.shape[1] == 1 else tensor[:, part]
