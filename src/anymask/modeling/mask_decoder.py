"""The mask decoder: two-way transformer, upscaling, hypernetworks, predicted IoU (Segment Anything, appendix A).

This is the paper's formula from end to end, with `two_way_transformer.py`, and every layer is called: hooks, adapters,
pruning and quantisation act on all of them, and exporters get a graph that holds for any number of images, prompts and
points. What new heads extend is this. The same masks with less work are in `fast/`.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..configuration_sam import SamMaskDecoderConfig
from ..support.exporting import is_being_exported
from .layers import LayerNorm2d, at_least_float32
from .two_way_transformer import TwoWayTransformer


class FeedForward(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int):
        super().__init__()
        self.proj_in = nn.Linear(input_size, hidden_size)
        self.proj_out = nn.Linear(hidden_size, output_size)
        self.layers = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(num_layers - 2))
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(..., input_size) to (..., output_size)."""
        features = self.activation(self.proj_in(features))
        for layer in self.layers:
            features = self.activation(layer(features))
        return self.proj_out(features)


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
        self.upscale_conv2 = nn.ConvTranspose2d(size // 4, size // 8, kernel_size=2, stride=2)
        self.upscale_layer_norm = LayerNorm2d(size // 4, eps=1e-6)
        self.activation = nn.GELU()
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
        *,
        is_padding: Tensor | None = None,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Any, ...]:
        """Decode every prompt.

        Args:
            image_embeddings: (batch, channels, height, width).
            image_positional_embeddings: (1 or batch, channels, height, width).
            sparse_prompt_embeddings: (batch, prompts, tokens, channels); None decodes prompts that are masks alone.
            dense_prompt_embeddings: (1 or batch, channels, height, width), or with prompts as the second dimension.
            multimask_output: Whether to return the masks for ambiguous prompts (whole, part, subpart) or the one for
                unambiguous prompts; None returns all, the latter first.
            is_padding: (batch, prompts, tokens) bool; such tokens of `sparse_prompt_embeddings` change nothing.
            attention_similarity: Added to the scores of tokens and image (PerSAM); broadcasts to (batch * prompts,
                heads, tokens, height * width).
            target_embedding: Added to the tokens (PerSAM); broadcasts to (batch, prompts, tokens, channels).
            output_attentions: Whether to return attention weights as well.

        Returns:
            Mask logits, (batch, prompts, masks, 4 * height, 4 * width); predicted IoU, (batch, prompts, masks), float32
            at least; and, where asked for, the weights with which tokens attended to the image, for each block and the
            last attention, (batch, prompts, heads, tokens, height * width).
        """
        tokens, is_padding = self.join_tokens(
            image_embeddings, sparse_prompt_embeddings, dense_prompt_embeddings, is_padding
        )
        tokens, image, attentions = self.transformer(
            tokens,
            as_tokens(image_embeddings, dense_prompt_embeddings),
            image_positional_embeddings.to(tokens.dtype).flatten(2).transpose(1, 2)[:, None],
            is_padding=is_padding,
            similarity=_by_image(attention_similarity, image_embeddings),
            target_embedding=None if target_embedding is None else target_embedding.to(tokens.dtype),
        )
        grid_hw = (image_embeddings.shape[2], image_embeddings.shape[3])
        masks = self._predict_masks(tokens[:, :, 1 : 1 + self.num_mask_tokens], image, grid_hw)
        iou_scores = at_least_float32(self.iou_prediction_head(tokens[:, :, 0]))
        # All masks are computed, then some are chosen: every weight has a gradient, which distributed training needs.
        chosen = choose_masks(multimask_output)
        output = (masks[:, :, chosen], iou_scores[:, :, chosen])
        return (*output, attentions) if output_attentions else output

    def join_tokens(
        self, image_embeddings: Tensor, sparse: Tensor | None, dense: Tensor, is_padding: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """IoU token, mask tokens and prompt tokens of each prompt; and which of all these are padding."""
        device = image_embeddings.device
        iou_token = self.iou_token(torch.zeros(1, dtype=torch.long, device=device))
        mask_tokens = self.mask_tokens(torch.arange(self.num_mask_tokens, device=device))
        output_tokens = torch.cat([iou_token, mask_tokens])
        if sparse is None:
            prompts = dense.shape[1] if dense.ndim == 5 else 1
            return output_tokens.expand(image_embeddings.shape[0], prompts, -1, -1), None
        output_tokens = output_tokens.expand(sparse.shape[0], sparse.shape[1], -1, -1)
        if is_padding is not None:
            is_padding = F.pad(is_padding, (1 + self.num_mask_tokens, 0), value=False)
        return torch.cat([output_tokens, sparse.to(output_tokens.dtype)], dim=2), is_padding

    def _predict_masks(self, tokens: Tensor, image: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Upscale the image of each prompt and take its product with what the hypernetworks make of the mask tokens.

        Args:
            tokens: (batch, prompts, masks, channels).
            image: (batch, prompts, height * width, channels).
            grid_hw: Height and width of the image embedding.

        Returns:
            Logits, (batch, prompts, masks, 4 * height, 4 * width).
        """
        batch, prompts = image.shape[:2]
        height, width = grid_hw
        planes = image.transpose(2, 3).reshape(batch * prompts, image.shape[3], height, width)
        planes = self.activation(self.upscale_layer_norm(self.upscale_conv1(planes)))
        planes = self.activation(self.upscale_conv2(planes))
        features = planes.reshape(batch, prompts, planes.shape[1], 16 * height * width)
        mlps = cast(list[nn.Module], self.output_hypernetworks_mlps)
        hyper = torch.stack([mlp(tokens[:, :, index]) for index, mlp in enumerate(mlps)], dim=2)
        return (hyper @ features).reshape(batch, prompts, len(mlps), 4 * height, 4 * width)


def choose_masks(multimask_output: bool | None) -> slice:
    """Mask 0 answers unambiguous prompts, the others are the alternatives for ambiguous ones; None takes all."""
    if multimask_output is None:
        return slice(None)
    return slice(1, None) if multimask_output else slice(0, 1)


def as_tokens(image_embeddings: Tensor, dense: Tensor) -> Tensor:
    """The image with its dense prompt, (batch, 1 or prompts, height * width, channels)."""
    planes = (image_embeddings[:, None] + (dense if dense.ndim == 5 else dense[:, None])).flatten(3)
    if planes.device.type != "cpu" or is_being_exported():
        return planes.transpose(2, 3).contiguous()
    # A CPU turns a matrix by blocks, but several of them number by number, which takes much longer.
    tokens = [plane.t().contiguous() for plane in planes.flatten(0, 1)]
    return (tokens[0][None] if len(tokens) == 1 else torch.stack(tokens)).unflatten(0, planes.shape[:2])


def _by_image(similarity: Tensor | None, image_embeddings: Tensor) -> Tensor | None:
    """(batch * prompts or 1, heads or 1, tokens or 1, pixels) with batch and prompts apart, in the model's type."""
    if similarity is None:
        return None
    batch = image_embeddings.shape[0]
    if similarity.ndim != 4 or (similarity.shape[0] != 1 and similarity.shape[0] % batch):
        raise ValueError(
            f"attention_similarity must broadcast to (batch * prompts, heads, tokens, pixels) with a batch of {batch}, "
            f"got {tuple(similarity.shape)}."
        )
    similarity = similarity.to(image_embeddings.dtype)
    return similarity[None] if similarity.shape[0] == 1 else similarity.unflatten(0, (batch, -1))
