"""The two-way transformer of the mask decoder: tokens read the image, the image reads the tokens.

Source: Segment Anything, appendix A, "Lightweight mask decoder".

How reading and writing the image takes less work than its formula is in `image_tokens.py` and
`shared_image_tokens.py`.

Shapes: `tokens` (batch, prompts, tokens, channels); `weights` (batch, prompts, heads, tokens, pixels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..configuration_sam import SamMaskDecoderConfig
from .decoder_attention import DecoderAttention
from .fast.image_tokens import ImageTokens, OwnImageTokens, PlainImageTokens, Positions, Reader, Writer, own_positions
from .fast.linear import is_untouched
from .fast.memo import Memo, SameNumbers, can_be_kept
from .fast.shared_image import SharedImage, SharedImageTokens, shared_image, shared_positions
from .layers import Mlp

MOST_TOKENS = 16
"""Tokens of a prompt up to which less work is less: that grows with their number, the plain formula hardly does."""


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to each other, then to the image; an MLP; then the image attends to the tokens.

    Args:
        config: The mask decoder's configuration.
        skip_first_layer_pe: Whether self attention runs without positions and residual, as in the first block.
    """

    def __init__(self, config: SamMaskDecoderConfig, skip_first_layer_pe: bool):
        super().__init__()
        size, eps, rate = config.hidden_size, config.layer_norm_eps, config.attention_downsample_rate
        self.skip_first_layer_pe = skip_first_layer_pe
        self.self_attn = DecoderAttention(config, downsample_rate=1)
        self.layer_norm1 = nn.LayerNorm(size, eps=eps)
        self.cross_attn_token_to_image = DecoderAttention(config, rate)
        self.layer_norm2 = nn.LayerNorm(size, eps=eps)
        self.mlp = Mlp(size, config.mlp_dim, config.hidden_act)
        self.layer_norm3 = nn.LayerNorm(size, eps=eps)
        self.layer_norm4 = nn.LayerNorm(size, eps=eps)
        self.cross_attn_image_to_token = DecoderAttention(config, rate)

    def forward(
        self,
        tokens: Tensor,
        image: ImageTokens,
        token_position: Tensor,
        padding_bias: Tensor | None,
        similarity: Tensor | None,
    ) -> tuple[Tensor, ImageTokens, Tensor]:
        """One block; returns tokens, image, and the weights with which tokens attended to the image."""
        if self.skip_first_layer_pe:
            tokens, _ = self.self_attn(tokens, tokens, tokens, padding_bias)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(placed, placed, tokens, padding_bias)[0]
        tokens = self.layer_norm1(tokens)

        attended, weights = image.read(self.cross_attn_token_to_image, tokens + token_position, similarity)
        tokens = self.layer_norm2(tokens + attended)
        tokens = self.layer_norm3(tokens + self.mlp(tokens))

        placed = tokens + token_position
        image = image.write(self.cross_attn_image_to_token, placed, tokens, padding_bias, self.layer_norm4)
        return tokens, image, weights


class TwoWayTransformer(nn.Module):
    """Blocks, and a last attention of tokens to the image."""

    def __init__(self, config: SamMaskDecoderConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(config, skip_first_layer_pe=index == 0) for index in range(config.num_hidden_layers)
        )
        self.final_attn_token_to_image = DecoderAttention(config, config.attention_downsample_rate)
        self.layer_norm_final_attn = nn.LayerNorm(config.hidden_size)
        self._own_positions: Memo[Positions] = Memo()
        self._shared_positions: Memo[Positions] = Memo()
        self._shared_image: Memo[SharedImage] = Memo()
        self._images = SameNumbers()

    def image_tokens(
        self, embeddings: Tensor, dense: Tensor, position: Tensor, tokens: Tensor, last_weight: Tensor
    ) -> ImageTokens:
        """The image as it is before any prompt, with all that can be made once for all of them.

        Args:
            embeddings: (batch, channels, height, width).
            dense: Dense prompt, (1 or batch, channels, height, width), or with prompts as the second dimension.
            position: (1, 1, height * width, channels).
            tokens: (batch, prompts, tokens, channels), of all prompts.
            last_weight: (output channels, channels), of what will read the image at the end.
        """
        readers, writers, heads = self._readers(), self._writers(), self.config.num_attention_heads
        linears = [linear for reader in readers for linear in (*reader.placed, reader.values)]
        linears += [writer.out_proj for writer in writers]
        norms = [writer.norm for writer in writers]
        is_small = tokens.shape[2] <= MOST_TOKENS
        if self.config._attn_implementation == "eager" or not (is_small and self._is_untouched(linears, norms)):
            return PlainImageTokens(_flat(embeddings, dense), position)
        layers: list[nn.Linear | nn.LayerNorm] = [*linears, *norms]
        weights = [position, *(weight for layer in layers for weight in (layer.weight, layer.bias))]
        # To prepare an image takes as long as two or three prompts: for one, only where it is kept for the next, and
        # not for a mask prompt, after which another image comes. Kept is one image, 27 MB for ViT-B.
        number, is_single = None, tokens.shape[1] == 1
        may_come_again = dense.ndim == 4 and len(embeddings) == 1 and not (is_single and _has_mask(dense))
        if may_come_again and can_be_kept(weights):
            number = self._images.recognise(embeddings, dense)
        if dense.ndim == 5 or (is_single and number is None):
            positions = self._own_positions.get(lambda: own_positions(position, readers, heads), weights)
            return OwnImageTokens(_flat(embeddings, dense), positions)

        def share() -> SharedImage:
            return shared_image(_flat(embeddings, dense), position, readers, writers, last_weight, heads)

        shared = share() if number is None else self._shared_image.get(share, [last_weight, *weights], number)
        positions = self._shared_positions.get(lambda: shared_positions(position, readers, writers, heads), weights)
        return SharedImageTokens(shared, positions)

    def _readers(self) -> list[Reader]:
        """What reads the image, in order."""
        readers = []
        for block in cast(list[TwoWayAttentionBlock], self.layers):
            read, write = block.cross_attn_token_to_image, block.cross_attn_image_to_token
            readers.append(Reader((read.k_proj, write.q_proj), read.v_proj))
        last = self.final_attn_token_to_image
        return [*readers, Reader((last.k_proj,), last.v_proj)]

    def _writers(self) -> list[Writer]:
        """What writes to the image, in order."""
        blocks = cast(list[TwoWayAttentionBlock], self.layers)
        return [Writer(block.cross_attn_image_to_token.out_proj, block.layer_norm4) for block in blocks]

    def _is_untouched(self, linears: Sequence[nn.Linear], norms: Sequence[nn.LayerNorm]) -> bool:
        """Whether weights say all: the quick ways read them, and call neither these layers nor their attentions."""
        blocks = cast(list[TwoWayAttentionBlock], self.layers)
        attentions = [
            *(block.cross_attn_token_to_image for block in blocks),
            *(block.cross_attn_image_to_token for block in blocks),
            self.final_attn_token_to_image,
        ]
        return (
            all(is_untouched(attention, DecoderAttention) for attention in attentions)
            and all(is_untouched(linear, nn.Linear) for linear in linears)
            and all(is_untouched(norm, nn.LayerNorm) for norm in norms)
            and all(layer.weight is not None and layer.bias is not None for layer in (*linears, *norms))
        )

    def forward(
        self,
        tokens: Tensor,
        image: ImageTokens,
        is_padding: Tensor | None = None,
        similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, ImageTokens, tuple[Tensor, ...]]:
        """Let tokens and image attend to each other.

        Args:
            tokens: (batch, prompts, tokens, channels).
            image: What `image_tokens` returned.
            is_padding: (batch, prompts, tokens) bool; such tokens are not attended to.
            similarity: Added to the scores of tokens and image in the blocks (PerSAM, https://arxiv.org/abs/2305.03048);
                broadcasts to (batch, prompts, heads, tokens, pixels).
            target_embedding: Added to the tokens before each block (PerSAM); broadcasts to `tokens`.

        Returns:
            Tokens, the image of each prompt, and the weights with which tokens attended to the image, for each block
            and the last attention: (batch, prompts, heads, tokens, pixels).
        """
        padding_bias = None
        if is_padding is not None:
            padding_bias = torch.zeros_like(is_padding, dtype=tokens.dtype).masked_fill(is_padding, -torch.inf)
            padding_bias = padding_bias[:, :, None, None, :]
        # As in the reference, the first block's target also enters what serves as the tokens' position from then on.
        token_position = tokens if target_embedding is None else tokens + target_embedding
        all_weights = []
        for layer in self.layers:
            if target_embedding is not None:
                tokens = tokens + target_embedding
            tokens, image, weights = layer(tokens, image, token_position, padding_bias, similarity)
            all_weights.append(weights)
        attended, weights = image.read(self.final_attn_token_to_image, tokens + token_position, None)
        return self.layer_norm_final_attn(tokens + attended), image, (*all_weights, weights)


def _flat(embeddings: Tensor, dense: Tensor) -> Tensor:
    """The image as tokens, (batch, 1 or prompts, height * width, channels)."""
    image = embeddings[:, None] + (dense if dense.ndim == 5 else dense[:, None])
    return image.flatten(3).transpose(2, 3).contiguous()


def _has_mask(dense: Tensor) -> bool:
    """Whether a dense prompt comes from a mask: without one it is the same at every pixel."""
    return dense.stride()[-2:] != (0, 0)
