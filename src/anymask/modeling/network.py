"""START HERE: SAM, the Segment Anything Model (https://arxiv.org/abs/2304.02643).

An image encoder runs once per image, a prompt encoder and a light mask decoder run once per prompt. Reading order:
`SegmentAnything.forward` below is the paper's figure 4; then `image_encoder.py` with `attention.py`,
`prompt_encoder.py`, `mask_decoder.py` with `two_way_transformer.py`. All of these are plain `nn.Module`s. `decoders.py`
chooses between that mask decoder and the same with less work, which is in `fast/`. `SamNetwork` is all of this as an
`nn.Module`, `SamModel` of `modeling_sam.py` as a `PreTrainedModel`, whose import takes longer than a small network's
work. Attribute names are those of the hub's checkpoints.

Coordinates are pixels of the model's input, x to the right and y down. `SamProcessor` makes them from an image's own.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..configuration_sam import SamConfig
from ..prompts.checks import check_prompts
from ..support.devices import is_accelerator
from . import decoders
from .fast.decoder import PreparedImage, check_weights, is_same, prepare
from .image_encoder import VisionEncoder
from .layers import or_default
from .losses.trainable import Trainable
from .mask_decoder import MaskDecoder
from .outputs import (
    CheckedEmbedding,
    MaskProposals,
    PromptEmbeddings,
    SamImageSegmentationOutput,
    SamVisionEncoderOutput,
)
from .prompt_encoder import PositionalEmbedding, PromptEncoder, find_padding, grid_centres_xy


class SegmentAnything(Trainable, ABC):
    """SAM's parts, and what they compute together: for `SamNetwork` and `SamModel`, each a module of its own kind."""

    config: SamConfig
    shared_image_embedding: PositionalEmbedding
    vision_encoder: VisionEncoder
    prompt_encoder: PromptEncoder
    mask_decoder: MaskDecoder

    def _make_parts(self, config: SamConfig) -> None:
        self.shared_image_embedding = PositionalEmbedding(config.vision_config.num_pos_feats)
        self.vision_encoder = VisionEncoder(config.vision_config)
        self.prompt_encoder = PromptEncoder(config.prompt_encoder_config)
        self.mask_decoder = MaskDecoder(config.mask_decoder_config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shared_image_embedding.positional_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.shared_image_embedding.positional_embedding.dtype

    def get_image_wide_positional_embeddings(self, grid_hw: tuple[int, int] | None = None) -> Tensor:
        """The positional encoding of the image embedding's patches, (1, channels, height, width).

        Args:
            grid_hw: Height and width of the image embedding; None takes the configuration's.
        """
        side = self.config.prompt_encoder_config.image_embedding_size
        centres_xy = grid_centres_xy(grid_hw or (side, side), self.device)
        return self.shared_image_embedding(centres_xy).to(self.dtype).permute(2, 0, 1)[None]

    def get_image_embeddings(
        self,
        pixel_values: Tensor,
        interpolate_pos_encoding: bool = False,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Tensor:
        """Encode images, to be given to `forward` as `image_embeddings` any number of times. Gradients are kept.

        Args:
            pixel_values: (batch, channels, image_size, image_size), normalised as `SamProcessor` does.
            interpolate_pos_encoding: Accept any height and width that are multiples of the patch size.
            output_attentions: Not used; accepted because Transformers' method takes it, as the others.
            output_hidden_states: Not used.
            return_dict: Not used.

        Returns:
            (batch, output_channels, height, width), in patches.
        """
        return self._encode_images(pixel_values, interpolate_pos_encoding).last_hidden_state

    def get_prompt_embeddings(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts. Gradients are kept.

        Args:
            input_points: (batch, prompts, points, 2), as in `forward`.
            input_labels: (batch, prompts, points), likewise.
            input_boxes: (batch, prompts, 4), likewise.
            input_masks: (batch, 1, height, width) or (batch, prompts, height, width), likewise.

        Returns:
            Tokens of points and boxes, (batch, prompts, tokens, channels), or None without any; and the dense
            embedding, (batch, channels, height, width), or (batch, prompts, channels, height, width) with a mask for
            each prompt. Without prompts the batch is 1.

        Raises:
            TypeError: If something is no tensor.
            ValueError: If prompts do not fit each other, or values mean nothing.
        """
        check_prompts(input_points, input_labels, input_boxes, input_masks)
        sparse, dense = self.prompt_encoder(
            input_points=input_points, input_labels=input_labels, input_boxes=input_boxes, input_masks=input_masks
        )
        if sparse is not None and input_masks is None:
            dense = dense.expand(len(sparse), -1, -1, -1)  # of all images the same
        return sparse, dense

    @torch.no_grad()
    def prepare_image(
        self, image_embeddings: Tensor | CheckedEmbedding | Sequence[CheckedEmbedding] | PreparedImage
    ) -> PreparedImage:
        """Do what all prompts of an image share in the mask decoder, so that each of them takes less.

        Keep the result as long as prompts of the image may come, and give it to `forward` or `decode_proposals` in the
        place of the embeddings. No gradients; where they are on, `forward` does the work anew.

        Args:
            image_embeddings: As in `forward`.
        """
        image = self._as_prepared(image_embeddings)
        _, no_mask = self.prompt_encoder(grid_hw=_grid_hw(image))
        return prepare(self.mask_decoder, image, no_mask)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
        image_embeddings: Tensor | CheckedEmbedding | Sequence[CheckedEmbedding] | PreparedImage | None = None,
        multimask_output: bool | None = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        original_sizes: Tensor | None = None,
        reshaped_input_sizes: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> SamImageSegmentationOutput | tuple:
        """Segment what the prompts point at.

        Args:
            pixel_values: (batch, channels, image_size, image_size), normalised as `SamProcessor` does. Either this or
                `image_embeddings`.
            input_points: (batch, prompts, points, 2), x and y in pixels of the model's input.
            input_labels: (batch, prompts, points): 1 foreground, 0 background, 2 and 3 top-left and bottom-right corner
                of a box, -1 not a point, -10 padding, which changes nothing. None means all foreground.
            input_boxes: (batch, prompts, 4), left, top, right, bottom in pixels of the model's input.
            input_masks: Logits, (batch, 1, 4 * height, 4 * width), one mask for all prompts of an image, or (batch,
                prompts, 4 * height, 4 * width), one for each; height and width are the image embedding's. A mask of NaN
                throughout stands for none.
            image_embeddings: (batch, output_channels, height, width), from `get_image_embeddings`; or one
                `ImageEmbedding`, or a list of them, which must be this model's; or what `prepare_image` made of these.
            multimask_output: True gives three masks (whole, part, subpart), best for a single point; False gives one,
                for unambiguous prompts; None gives all four, the single one first.
            attention_similarity: Added to the scores with which tokens attend to the image (PerSAM), broadcasts to
                (batch * prompts, heads, tokens, height * width).
            target_embedding: Added to the tokens (PerSAM), broadcasts to (batch, prompts, tokens, channels).
            interpolate_pos_encoding: Accept images of any height and width that are multiples of the patch size.
            original_sizes: Not used; accepted because `SamProcessor` returns it.
            reshaped_input_sizes: Not used; accepted because `SamProcessor` returns it.
            output_attentions: Return attention weights.
            output_hidden_states: Return the image encoder's activations, or which of them, by number.
            return_dict: False returns a tuple of what is set.
            labels: The masks that the prompts mean, (batch, prompts, label height, label width), or one that all
                prompts of an image mean, (batch, label height, label width), of the model's input as a whole, at any
                size; `segmentation_loss` says what values mean. With them there is a loss.
            num_items_in_batch: See `segmentation_loss`; `transformers.Trainer` gives it.

        Raises:
            TypeError: If images or prompts are no tensors.
            ValueError: If neither or both of `pixel_values` and `image_embeddings` are given, shapes do not fit, or
                another model made an `ImageEmbedding`.
        """
        if (pixel_values is None) == (image_embeddings is None):
            came = "neither" if pixel_values is None else "both"
            raise ValueError(f"Exactly one of pixel_values and image_embeddings must be given, got {came}.")
        check_prompts(input_points, input_labels, input_boxes, input_masks)
        output_attentions = or_default(output_attentions, self.config.output_attentions)
        output_hidden_states = or_default(output_hidden_states, self.config.output_hidden_states)

        encoding, embeddings = SamVisionEncoderOutput(), image_embeddings
        if pixel_values is not None:
            encoding = self._encode_images(
                pixel_values,
                interpolate_pos_encoding,
                output_hidden_states=output_hidden_states,
                output_attentions=output_attentions,
            )
            embeddings = encoding.last_hidden_state
        assert embeddings is not None
        image = self._as_prepared(embeddings)
        prompts = self._encode_prompts(image, input_points, input_labels, input_boxes, masks=input_masks)
        masks, iou_scores, *attentions = decoders.decode_masks(
            self.mask_decoder,
            check_weights(self.mask_decoder, image, prompts.dense),
            prompts,
            multimask_output,
            attention_similarity=attention_similarity,
            target_embedding=target_embedding,
            output_attentions=output_attentions,
        )
        loss, loss_parts = None, None
        if labels is not None:
            loss, loss_parts = self._compute_loss(
                masks,
                iou_scores,
                labels,
                input_labels=input_labels,
                input_boxes=input_boxes,
                num_items_in_batch=num_items_in_batch,
            )
        output = SamImageSegmentationOutput(
            loss=loss,
            loss_parts=loss_parts,
            iou_scores=iou_scores,
            pred_masks=masks,
            vision_hidden_states=encoding.hidden_states,
            vision_attentions=encoding.attentions,
            mask_decoder_attentions=attentions[0] if attentions else None,
        )
        return output if or_default(return_dict, self.config.return_dict) else output.to_tuple()

    @torch.no_grad()
    def decode_proposals(
        self,
        image: Tensor | PreparedImage,
        input_points: Tensor,
        input_labels: Tensor | None = None,
        *,
        iou_threshold: float = 0.0,
        multimask_output: bool = True,
    ) -> MaskProposals:
        """Decode many prompts of one image, but only to masks whose predicted IoU is above a threshold.

        The masks are those of `forward`; prompts that fail are spared the upscaling. For mask generation; no gradients.
        On an accelerator nothing is looked at that the host would have to wait for: neither the prompts' values nor
        whether weights have changed since the image was prepared.

        Args:
            image: What `prepare_image` made of one image, or its embedding, (1, output_channels, height, width).
            input_points: (1, prompts, points, 2), as in `forward`.
            input_labels: (1, prompts, points), as in `forward`.
            iou_threshold: Predicted IoU that a mask must exceed; 0 or less keeps all.
            multimask_output: As in `forward`.

        Raises:
            ValueError: If there is more than one image, or shapes do not fit.
        """
        may_wait = not is_accelerator(input_points.device)
        prepared = self._as_prepared(image, may_wait)
        if prepared.image_embeddings.shape[0] != 1:
            raise ValueError(
                f"decode_proposals takes one image at a time, got a batch of {prepared.image_embeddings.shape[0]}."
            )
        check_prompts(input_points, input_labels, None, None, look_at_values=may_wait)
        prompts = self._encode_prompts(prepared, input_points, input_labels, None, masks=None)
        if may_wait:
            prepared = check_weights(self.mask_decoder, prepared, prompts.dense)
        return decoders.propose_masks(
            self.mask_decoder, prepared, prompts, multimask_output, iou_threshold=iou_threshold
        )

    def _encode_images(self, pixel_values: Tensor, interpolate_pos_encoding: bool, **wishes: Any) -> Any:
        """Call the image encoder: ours, or one of Transformers in its place, which takes one size of images."""
        if interpolate_pos_encoding:
            wishes["interpolate_pos_encoding"] = True
        return self.vision_encoder(pixel_values, return_dict=True, **wishes)

    def _encode_prompts(
        self,
        image: PreparedImage,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> PromptEmbeddings:
        batch = image.image_embeddings.shape[0]
        for name, prompt in (("input_points", points), ("input_boxes", boxes), ("input_masks", masks)):
            if prompt is not None and prompt.shape[0] != batch:
                raise ValueError(
                    f"{name} must have one entry for each of the {batch} image(s), got shape {tuple(prompt.shape)}."
                )
        sparse, dense = self.prompt_encoder(
            input_points=points, input_labels=labels, input_boxes=boxes, input_masks=masks, grid_hw=_grid_hw(image)
        )
        return PromptEmbeddings(sparse, dense, find_padding(points, labels, boxes))

    def _as_prepared(
        self,
        image: Tensor | CheckedEmbedding | Sequence[CheckedEmbedding] | PreparedImage,
        may_wait: bool = True,
    ) -> PreparedImage:
        """Embeddings with their positions, and with what was prepared before; checked, in the model's type."""
        frequencies = self.shared_image_embedding.positional_embedding.detach()
        if isinstance(image, PreparedImage):
            if not may_wait or is_same(image.frequencies, frequencies):
                return image
            image = image.image_embeddings.to(self.device)
        embeddings = self._checked_embeddings(image)
        positions = self.get_image_wide_positional_embeddings((embeddings.shape[2], embeddings.shape[3]))
        return PreparedImage(embeddings, positions, frequencies.clone())

    def _checked_embeddings(self, image_embeddings: Tensor | CheckedEmbedding | Sequence[CheckedEmbedding]) -> Tensor:
        if not isinstance(image_embeddings, Tensor):
            image_embeddings = self._batched(image_embeddings)
        channels = self.config.vision_config.output_channels
        if image_embeddings.ndim != 4 or image_embeddings.shape[1] != channels:
            raise ValueError(
                f"image_embeddings must have shape (batch, {channels}, height, width), got "
                f"{tuple(image_embeddings.shape)}; make them with get_image_embeddings of this model."
            )
        return image_embeddings.to(self.dtype)

    def _batched(self, embeddings: CheckedEmbedding | Sequence[CheckedEmbedding]) -> Tensor:
        """The tensors of `ImageEmbedding`s as one batch, on this model's device."""
        several = embeddings if isinstance(embeddings, Sequence) else [embeddings]
        for embedding in several:
            if not isinstance(embedding, CheckedEmbedding):
                raise TypeError(
                    "image_embeddings must be a tensor, an anymask.ImageEmbedding or a list of these, got "
                    f"{type(embedding).__name__}; stack tensors with torch.cat."
                )
            embedding.check_model(self)
        shapes = sorted({tuple(embedding.tensor.shape) for embedding in several})
        if len(shapes) != 1:
            raise ValueError(
                f"image_embeddings must have at least one member and one shape, got {shapes}; call the model once for "
                "each shape."
            )
        return torch.cat([embedding.tensor.to(self.device, self.dtype) for embedding in several])


def _grid_hw(image: PreparedImage) -> tuple[int, int]:
    return image.image_embeddings.shape[2], image.image_embeddings.shape[3]


class SamNetwork(SegmentAnything, nn.Module):
    """Images and prompts to masks; `checkpoints/packaged.py` loads one."""

    def __init__(self, config: SamConfig):
        super().__init__()
        self.config = config
        self._make_parts(config)
