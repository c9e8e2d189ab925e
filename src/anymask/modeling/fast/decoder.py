"""The mask decoder with less work: the masks of `MaskDecoder`, from the same weights.

Much of what a prompt does to an image does not depend on the prompt. `prepare` does that part, and whoever keeps the
image keeps the result, a `PreparedImage`, as one keeps the keys and values of a language model. `decode` and `propose`
do the rest. The layers whose work is shared are read instead of called, so `applies` says first whether that is the
same; where it says no, the plain decoder runs.

Prompts go through in chunks that fit the processor's cache, which changes nothing in the result. The predicted IoU is
known before upscaling, so `propose` upscales only the prompts that pass its threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...support.chunks import parts_at_a_time, slices
from ...support.exporting import is_being_exported
from ...support.threads import map_in_threads, parallel_threads
from ..layers import at_least_float32
from ..mask_decoder import FeedForward, MaskDecoder, as_tokens, choose_masks
from ..outputs import MaskProposals, PromptEmbeddings
from ..two_way_transformer import TwoWayAttentionBlock, bias_of_padding
from .images import FastImage, OwnImage, Projected, project_positions, readers, writers
from .shared_image import ProjectedBase, SharedImage, project_base
from .untouched import is_untouched
from .upscaling import as_matrix, predict_masks

Value = TypeVar("Value")

CHUNK_BYTES = 8 * 2**20
"""Bytes that image tokens would take of what each thread of a CPU decodes at a time: two prompts at the usual size."""
MOST_TOKENS = 16
"""Above this many tokens of a prompt the plain formula is faster: rows grow with them, image tokens do not."""


class Sharing(NamedTuple):
    """What is computed once for all prompts of an image, and what it was computed with."""

    base: ProjectedBase
    positions: Sequence[Projected]
    weights: Sequence[Tensor]  # copies


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """Image embeddings with all that prompts of the image share in the mask decoder; `SamModel.prepare_image` makes it.

    For ViT-B at 1024 pixels this takes 44 MB beside the embedding's 4, and as much work as five prompts
    (`benchmarks/decoder_counts.py`). It stays right whatever happens to the model: it holds a copy of the weights that
    it was made with (1.6 MB), which is compared when it is used; if they have changed, by any means, the work is done
    anew in that call.

    Attributes:
        image_embeddings: (batch, channels, height, width).
        image_positional_embeddings: (1, channels, height, width).
        frequencies: Of these positions, a copy of the model's.
        sharing: None where the decoder's layers must be called one by one.
    """

    image_embeddings: Tensor
    image_positional_embeddings: Tensor
    frequencies: Tensor
    sharing: Sharing | None = None


@torch.no_grad()
def prepare(decoder: MaskDecoder, image: PreparedImage, dense: Tensor) -> PreparedImage:
    """Do what prompts share; the image as it is where the decoder's layers must be called one by one.

    Args:
        decoder: The mask decoder.
        image: Embeddings and positions.
        dense: The dense embedding of prompts without a mask, (1, channels, height, width).
    """
    if not _may_read(decoder):
        return image
    with torch.autocast(dense.device.type, enabled=False):  # what is kept serves calls without it too
        base, positions = _share(decoder, image, dense)
    weights = [weight.detach().clone() for weight in _weights_behind(decoder, dense)]
    return replace(image, sharing=Sharing(base, positions, weights))


def check_weights(decoder: MaskDecoder, image: PreparedImage, dense: Tensor) -> PreparedImage:
    """The image, without what was prepared if that was with other weights than the decoder has now."""
    if image.sharing is None:
        return image
    pairs = zip(image.sharing.weights, _weights_behind(decoder, dense), strict=False)  # no-mask last, if it matters
    is_current = all(is_same(*pair) for pair in pairs)
    return image if is_current else replace(image, sharing=None)


def applies(decoder: nn.Module, tokens: int) -> bool:
    """Whether `decode` gives the masks that the decoder gives, with less work.

    Args:
        decoder: A `MaskDecoder`, or what stands in its place.
        tokens: Of each prompt, from the prompt encoder.
    """
    return _may_read(decoder) and tokens + 1 + cast(MaskDecoder, decoder).num_mask_tokens <= MOST_TOKENS


def _may_read(decoder: nn.Module) -> bool:
    if is_being_exported() or not isinstance(decoder, MaskDecoder):
        return False
    return decoder.config._attn_implementation != "eager" and is_untouched(decoder)


def decode(
    decoder: MaskDecoder, image: PreparedImage, prompts: PromptEmbeddings, multimask_output: bool | None
) -> tuple[Tensor, Tensor]:
    """Masks and predicted IoU of every prompt; arguments and results are those of `MaskDecoder.forward`."""
    chosen = choose_masks(multimask_output)
    # With gradients all masks are made, as in the plain decoder: so every weight has a gradient.
    made = slice(None) if torch.is_grad_enabled() else chosen

    def decode_some(some: _Some) -> tuple[Tensor, Tensor]:
        tokens, attended_image, scores = _attend(decoder, some)
        logits = predict_masks(decoder, tokens, attended_image, _grid_hw(prompts), wanted=made)
        return logits if made == chosen else logits[:, :, chosen], scores[:, :, chosen]

    logits, scores = zip(*_map_prompts(decode_some, decoder, image, prompts), strict=True)
    return _join(logits), _join(scores)


def propose(
    decoder: MaskDecoder, image: PreparedImage, prompts: PromptEmbeddings, multimask_output: bool, iou_threshold: float
) -> MaskProposals:
    """Masks of the prompts of one image, but only those whose predicted IoU is above `iou_threshold`.

    A threshold of 0 or less keeps all, as in Meta's generator; then nothing here waits for the device, and shapes
    follow from the prompts' number alone.
    """
    chosen, grid_hw = choose_masks(multimask_output), _grid_hw(prompts)

    def propose_some(some: _Some) -> MaskProposals:
        tokens, attended_image, all_scores = _attend(decoder, some)
        scores = all_scores[0, :, chosen]  # (prompts, masks)
        index = torch.arange(some.first, some.first + len(scores), device=scores.device)[:, None].expand_as(scores)
        if iou_threshold > 0:
            keep = scores > iou_threshold
            passing = keep.any(dim=-1).nonzero().squeeze(-1)
            logits = predict_masks(
                decoder, tokens[:, passing], attended_image.of_prompts(passing), grid_hw, wanted=chosen
            )
            return MaskProposals(logits[0][keep[passing]], scores[keep], index[keep])
        logits = predict_masks(decoder, tokens, attended_image, grid_hw, wanted=chosen)
        return MaskProposals(logits[0].flatten(0, 1), scores.flatten(), index.flatten())

    proposals = _map_prompts(propose_some, decoder, image, prompts)
    return MaskProposals(*(torch.cat(parts) for parts in zip(*proposals, strict=True)))


class _Some(NamedTuple):
    """Some of the prompts, to be decoded by themselves."""

    first: int
    tokens: Tensor  # (batch, prompts, tokens, channels)
    image: FastImage
    padding_bias: Tensor | None


def _map_prompts(
    function: Callable[[_Some], Value], decoder: MaskDecoder, image: PreparedImage, prompts: PromptEmbeddings
) -> Iterator[Value]:
    """Call a function with as many prompts at a time as the processor's cache holds, on all cores."""
    embeddings = image.image_embeddings
    tokens, is_padding = decoder.join_tokens(embeddings, *prompts)
    n_prompts, threads = tokens.shape[1], parallel_threads(tokens.device)
    padding_bias = None if is_padding is None else bias_of_padding(is_padding, tokens.dtype)
    start = _begin(decoder, image, prompts.dense, n_prompts)
    bytes_per_prompt = embeddings.nelement() * embeddings.element_size()
    at_a_time = parts_at_a_time(bytes_per_prompt, tokens.device, CHUNK_BYTES)
    if threads > 1 and n_prompts > 1:  # each with its own chunk
        at_a_time = min(max(at_a_time // threads, 1), -(-n_prompts // threads))
    chunks = [
        _Some(
            part.start, tokens[:, part], start.of_prompts(part), None if padding_bias is None else padding_bias[:, part]
        )
        for part in slices(n_prompts, at_a_time)
    ]
    return map_in_threads(function, chunks, threads)


def _attend(decoder: MaskDecoder, some: _Some) -> tuple[Tensor, FastImage, Tensor]:
    """Run the transformer.

    Returns:
        Mask tokens (batch, prompts, all masks, channels), image tokens, predicted IoUs (batch, prompts, all masks).
    """
    tokens, image = _transform(decoder, some.tokens, some.image, some.padding_bias)
    # The scores decide which masks are kept, so they are computed in float32.
    with torch.autocast(tokens.device.type, enabled=False):
        iou_scores = _in_float32(decoder.iou_prediction_head, tokens[:, :, 0])
    return tokens[:, :, 1 : 1 + decoder.num_mask_tokens], image, iou_scores


def _begin(decoder: MaskDecoder, image: PreparedImage, dense: Tensor, n_prompts: int) -> FastImage:
    """The image before any prompt, in the way that takes the least work for as many prompts."""
    sharing = None if torch.is_grad_enabled() else image.sharing
    has_mask = _has_mask(dense)
    if dense.ndim == 5 or (n_prompts == 1 and (has_mask or sharing is None)):
        positions = None if sharing is None else sharing.positions
        if positions is None and n_prompts > 1:
            positions = project_positions(decoder, _position(image))
        return OwnImage(as_tokens(image.image_embeddings, dense), _position(image), positions)
    if sharing is None or has_mask:
        return SharedImage(*_share(decoder, image, dense))
    return SharedImage(sharing.base, sharing.positions)


def _share(decoder: MaskDecoder, image: PreparedImage, dense: Tensor) -> tuple[ProjectedBase, Sequence[Projected]]:
    positions = project_positions(decoder, _position(image))
    tokens = as_tokens(image.image_embeddings, dense)
    return project_base(decoder, tokens, positions, as_matrix(decoder.upscale_conv1)), positions


def _transform(
    decoder: MaskDecoder, tokens: Tensor, image: FastImage, padding_bias: Tensor | None
) -> tuple[Tensor, FastImage]:
    """What `TwoWayTransformer` computes."""
    transformer, position = decoder.transformer, tokens
    for block in cast(list[TwoWayAttentionBlock], transformer.layers):
        if block.skip_first_layer_pe:
            tokens, _ = block.self_attn(tokens, tokens, tokens, padding_bias)
        else:
            placed = tokens + position
            tokens = tokens + block.self_attn(placed, placed, tokens, padding_bias)[0]
        tokens = block.layer_norm1(tokens)
        tokens = block.layer_norm2(tokens + image.read(block.cross_attn_token_to_image, tokens + position))
        tokens = block.layer_norm3(tokens + block.mlp(tokens))
        attention, norm = block.cross_attn_image_to_token, block.layer_norm4
        image = image.write(attention, tokens + position, tokens, padding_bias, norm=norm)
    tokens = tokens + image.read(transformer.final_attn_token_to_image, tokens + position)
    return transformer.layer_norm_final_attn(tokens), image


def _weights_behind(decoder: MaskDecoder, dense: Tensor) -> list[Tensor]:
    """All that what prompts share follows from, beside the image: not even half of the decoder's weights."""
    layers: list[nn.Linear | nn.LayerNorm] = [layer for writer in writers(decoder) for layer in writer]
    layers += [layer for reader in readers(decoder) for layer in reader if layer is not None]
    weights = [weight for layer in layers for weight in (layer.weight, layer.bias)]
    no_mask = [] if _has_mask(dense) else [dense[:, :, 0, 0]]
    return [*weights, decoder.upscale_conv1.weight, *no_mask]


def is_same(before: Tensor, now: Tensor) -> bool:
    """Whether two tensors are the same to the last bit, in type and device too."""
    return before.dtype == now.dtype and before.device == now.device and torch.equal(before, now)


def _in_float32(head: FeedForward, features: Tensor) -> Tensor:
    """A head computed in float32 at least, whatever its weights' type."""
    features = at_least_float32(features)
    layers = [head.proj_in, *cast(list[nn.Linear], head.layers), head.proj_out]
    for layer in layers:
        features = F.linear(features, layer.weight.to(features.dtype), layer.bias.to(features.dtype))
        features = features if layer is head.proj_out else head.activation(features)
    return features


def _position(image: PreparedImage) -> Tensor:
    """(1, 1, pixels, channels), in the type of the embeddings."""
    return image.image_positional_embeddings.to(image.image_embeddings.dtype).flatten(2).transpose(1, 2)[:, None]


def _grid_hw(prompts: PromptEmbeddings) -> tuple[int, int]:
    return prompts.dense.shape[-2], prompts.dense.shape[-1]


def _has_mask(dense: Tensor) -> bool:
    """Whether a dense prompt comes from a mask: without one it is the same at every pixel."""
    return dense.stride()[-2:] != (0, 0)


def _join(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
