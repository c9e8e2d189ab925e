"""What the model and its parts return, hand on to each other and take, and what the rooms above ask of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput


@dataclass
class SamImageSegmentationOutput(ModelOutput):
    """What `SamModel` returns.

    Args:
        loss: With `labels`: what to minimise, see `LossOptions`; a scalar with gradient.
        iou_scores: Predicted IoU of each mask, (batch, prompts, masks), float32. A regression: near 0..1, not clipped.
        pred_masks: Mask logits, (batch, prompts, masks, 4 * height, 4 * width) for an image embedding of height x
            width; above 0 is foreground. `SamProcessor.post_process_masks` brings them to the original image.
        loss_parts: With `labels`: see `SegmentationLoss.parts`; None where an own `loss_function` gives a scalar.
        vision_hidden_states: See `SamVisionEncoderOutput.hidden_states`.
        vision_attentions: See `SamVisionEncoderOutput.attentions`.
        mask_decoder_attentions: With `output_attentions=True`: weights with which the tokens (IoU, masks, prompt)
            attend to the image, for each block and the last attention, (batch, prompts, heads, tokens, height * width).

    Examples:
        >>> from anymask import SamModel, SamProcessor
        >>> model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
        >>> outputs = model(**processor("photo.jpg", input_points=[[[300, 200]]], return_tensors="pt"))
        >>> tuple(outputs.pred_masks.shape), tuple(outputs.iou_scores.shape)
        ((1, 1, 3, 160, 160), (1, 1, 3))
    """

    loss: Tensor | None = None
    iou_scores: Tensor | None = None
    pred_masks: Tensor | None = None
    loss_parts: dict[str, Tensor] | None = None
    vision_hidden_states: tuple[Tensor | None, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    mask_decoder_attentions: tuple[Tensor, ...] | None = None


@dataclass
class SamVisionEncoderOutput(ModelOutput):
    """What `SamVisionModel` and the image encoder in any model return.

    Args:
        last_hidden_state: The image embedding, (batch, output_channels, height, width) in patches.
        hidden_states: With `output_hidden_states=True`: activations before the first block and after each, (batch,
            height, width, hidden_size); where some were asked for by number, None in the places of the others.
        attentions: With `output_attentions=True`: weights of each block, (batch * windows, heads, queries, keys).

    Examples:
        >>> from anymask import SamImageProcessor, SamVisionModel
        >>> pixels = SamImageProcessor.from_pretrained("sam-vit-nano")("photo.jpg", return_tensors="pt")["pixel_values"]
        >>> outputs = SamVisionModel.from_pretrained("sam-vit-nano")(pixels, output_hidden_states=True)
        >>> tuple(outputs.image_embeds.shape), len(outputs.hidden_states)
        ((1, 128, 40, 40), 7)
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @property
    def image_embeds(self) -> Tensor | None:
        """The image embedding, under the name that it has in Transformers' class."""
        return self.last_hidden_state


class PromptEmbeddings(NamedTuple):
    """Prompts as the mask decoder takes them; see `MaskDecoder.forward`."""

    sparse: Tensor | None  # (batch, prompts, tokens, channels), or None where prompts are masks alone
    dense: Tensor  # (1 or batch, channels, height, width), or with prompts as the second dimension
    is_padding: Tensor | None = None  # (batch, prompts, tokens) bool


class MaskProposals(NamedTuple):
    """Masks of one image whose predicted IoU passed a threshold; `SamModel.decode_proposals` returns them.

    Examples:
        >>> from anymask import SamModel, SamProcessor
        >>> model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
        >>> inputs = processor("photo.jpg", input_points=[[[[300, 200]], [[60, 40]]]], return_tensors="pt")
        >>> embeddings = model.get_image_embeddings(inputs["pixel_values"])
        >>> proposals = model.decode_proposals(embeddings, inputs["input_points"])
        >>> proposals.prompt_index.tolist(), tuple(proposals.low_res_logits.shape)
        ([0, 0, 0, 1, 1, 1], (6, 160, 160))
    """

    low_res_logits: Tensor  # (masks, 4 * height, 4 * width)
    iou_scores: Tensor  # (masks,), float32
    prompt_index: Tensor  # (masks,), which prompt each mask answers, ascending


@runtime_checkable
class CheckedEmbedding(Protocol):
    """What `forward` asks of an image embedding that is no plain tensor: `anymask.ImageEmbedding`, and its like."""

    @property
    def tensor(self) -> Tensor:
        """(1, channels, height, width)."""

    def check_model(self, model: EncodingModel) -> None:
        """Raise ValueError if another model made it."""


class HasImageEncoder(Protocol):
    """What has an image encoder: `SamNetwork`, `SamModel`, `SamVisionModel`."""

    @property
    def config(self) -> Any:
        """The image encoder's, or the whole model's."""

    @property
    def vision_encoder(self) -> nn.Module:
        """The image encoder."""


class EncodingModel(HasImageEncoder, Protocol):
    """Encodes images: what an embedding is made with. `SamNetwork` and `SamModel` do."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""

    def get_image_embeddings(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Encode images, (batch, channels, height, width), see `SamNetwork.get_image_embeddings`."""


@runtime_checkable
class MaskProposer(EncodingModel, Protocol):
    """Proposes masks for points as well: what segment-everything needs."""

    def prepare_image(self, image_embeddings: Any) -> Any:
        """Do what all prompts of an image share, see `SamNetwork.prepare_image`."""

    def decode_proposals(self, image: Any, input_points: Tensor, *, iou_threshold: float = 0.0) -> MaskProposals:
        """Decode prompts to masks above a threshold, see `SamNetwork.decode_proposals`."""


@runtime_checkable
class PromptableModel(MaskProposer, Protocol):
    """Answers prompts of every kind as well: what `SAM.predict` and `SamSession` need."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Segment, see `SamNetwork.forward`."""


def check_model(model: Any) -> None:
    """Refuse what cannot segment, such as a model of Transformers' own classes.

    Raises:
        TypeError: If the model is none of this package's.
    """
    if not isinstance(model, MaskProposer):
        raise TypeError(
            f"`model` must be an anymask.SamModel, got {type(model).__module__}.{type(model).__name__}; "
            "load the same checkpoint with anymask.SamModel.from_pretrained."
        )
