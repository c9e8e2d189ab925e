"""Which mask decoder runs: the plain one, or the same with less work. The only place where that is decided.

`PreparedImage` is what callers hold to spare themselves work; see `fast/decoder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from ..support.chunks import parts_at_a_time, slices
from .fast import decoder as fast
from .fast.decoder import PreparedImage
from .mask_decoder import MaskDecoder
from .outputs import MaskProposals, PromptEmbeddings

PROPOSING_BYTES = 32 * 2**20
"""Bytes of image tokens for each thread of a CPU that prompts of plain proposals have at a time."""


class Decoder(Protocol):
    """The signature of every entry of `DECODERS`."""

    def __call__(
        self,
        decoder: MaskDecoder,
        image: PreparedImage,
        prompts: PromptEmbeddings,
        multimask_output: bool | None,
        wishes: Mapping[str, Any],
    ) -> tuple[Any, ...]:
        """Mask logits, predicted IoUs, and what `wishes` ask for more: further arguments of `MaskDecoder.forward`."""
        ...


def _decode_plain(
    decoder: MaskDecoder,
    image: PreparedImage,
    prompts: PromptEmbeddings,
    multimask_output: bool | None,
    wishes: Mapping[str, Any],
) -> tuple[Any, ...]:
    if prompts.is_padding is not None:
        wishes = {**wishes, "is_padding": prompts.is_padding}
    return decoder(
        image_embeddings=image.image_embeddings,
        image_positional_embeddings=image.image_positional_embeddings,
        sparse_prompt_embeddings=prompts.sparse,
        dense_prompt_embeddings=prompts.dense,
        multimask_output=multimask_output,
        **wishes,  # only what is asked for, so that a decoder with the arguments of Transformers' may take its place
    )


def _decode_fast(
    decoder: MaskDecoder,
    image: PreparedImage,
    prompts: PromptEmbeddings,
    multimask_output: bool | None,
    wishes: Mapping[str, Any],
) -> tuple[Any, ...]:
    assert not wishes
    return fast.decode(decoder, image, prompts, multimask_output)


DECODERS: dict[str, Decoder] = {"plain": _decode_plain, "fast": _decode_fast}
"""Ways to the same masks."""


def choose_decoder(decoder: MaskDecoder, prompts: PromptEmbeddings, wishes: Mapping[str, Any]) -> str:
    """The key of `DECODERS` that gives the masks with the least work: "plain" wherever there is doubt."""
    tokens = 0 if prompts.sparse is None else prompts.sparse.shape[2]
    return "fast" if not wishes and fast.applies(decoder, tokens) else "plain"


def decode_masks(
    decoder: MaskDecoder, image: PreparedImage, prompts: PromptEmbeddings, multimask_output: bool | None, **wishes: Any
) -> tuple[Any, ...]:
    """Masks and predicted IoU of every prompt, and what is asked for more; see `MaskDecoder.forward`."""
    wishes = {name: value for name, value in wishes.items() if value is not None and value is not False}
    way = choose_decoder(decoder, prompts, wishes)
    return DECODERS[way](decoder, image, prompts, multimask_output, wishes=wishes)


def propose_masks(
    decoder: MaskDecoder, image: PreparedImage, prompts: PromptEmbeddings, multimask_output: bool, iou_threshold: float
) -> MaskProposals:
    """Masks of the prompts of one image, but only those whose predicted IoU is above a threshold.

    A threshold of 0 or less keeps all, as in Meta's generator; then shapes follow from the prompts' number alone.
    """
    if choose_decoder(decoder, prompts, {}) == "fast":
        return fast.propose(decoder, image, prompts, multimask_output, iou_threshold=iou_threshold)
    assert prompts.sparse is not None
    n_prompts, device = prompts.sparse.shape[1], prompts.sparse.device
    bytes_each = image.image_embeddings.nelement() * image.image_embeddings.element_size()
    found = []
    for part in slices(n_prompts, parts_at_a_time(bytes_each, device, PROPOSING_BYTES)):
        is_padding = None if prompts.is_padding is None else prompts.is_padding[:, part]
        some = PromptEmbeddings(prompts.sparse[:, part], prompts.dense, is_padding)
        logits, scores, *_ = _decode_plain(decoder, image, some, multimask_output, wishes={})
        index = torch.arange(n_prompts, device=device)[part, None].expand_as(scores[0])
        if iou_threshold > 0:
            keep = scores[0] > iou_threshold
            found.append(MaskProposals(logits[0][keep], scores[0][keep], index[keep]))
        else:
            found.append(MaskProposals(logits[0].flatten(0, 1), scores[0].flatten(), index.flatten()))
    return MaskProposals(*(torch.cat(parts) for parts in zip(*found, strict=True)))
