"""The parts of SAM as graphs for other runtimes: plain modules around the network, with the inputs that a tool gives.

All run the plain decoder, so that images, prompts and points may be of any number. Shapes are those of `SamNetwork`;
S is the side of the model's input, h x w the image embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geometry.coordinates import (
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_NOT_A_POINT,
    LABEL_PADDING,
    MASK_PIXELS_PER_PATCH,
    resized_size_hw,
)
from ..images.preparation import ImagePreprocessor
from ..modeling.mask_decoder import MaskDecoder
from ..modeling.network import SamNetwork
from ..modeling.prompt_encoder import find_padding


class EncoderGraph(nn.Module):
    """`pixel_values` (batch, 3, S, S) to the image embedding and the positions of its patches."""

    def __init__(self, network: SamNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, h, w) twice."""
        embeddings = self.network.get_image_embeddings(pixel_values)
        positions = self.network.get_image_wide_positional_embeddings()
        return embeddings, positions.expand(embeddings.shape[0], -1, -1, -1)


class EmbeddingGraph(nn.Module):
    """`pixel_values` (batch, 3, S, S) to the image embedding alone."""

    def __init__(self, network: SamNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(batch, channels, h, w)."""
        return self.network.get_image_embeddings(pixel_values)


class PictureGraph(nn.Module):
    """A picture to its embedding, with resizing, scaling, normalisation and padding inside: for X-AnyLabeling.

    Args:
        network: The model.
        preprocessor: Whose mean, standard deviation and rescaling are used.
        size_hw: Height and width of every picture, the width no less than the height.
    """

    def __init__(self, network: SamNetwork, preprocessor: ImagePreprocessor, size_hw: tuple[int, int]):
        super().__init__()
        self.network = network
        scale = preprocessor.rescale_factor if preprocessor.do_rescale else 1.0
        mean = preprocessor.image_mean if preprocessor.do_normalize else [0.0, 0.0, 0.0]
        std = preprocessor.image_std if preprocessor.do_normalize else [1.0, 1.0, 1.0]
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float32) / scale)
        self.std = nn.Buffer(torch.tensor(std, dtype=torch.float32) / scale)
        height, width = resized_size_hw(size_hw, network.config.vision_config.image_size)
        self.over_rows = nn.Buffer(_resize_weights(size_hw[0], height))
        self.over_columns = nn.Buffer(_resize_weights(size_hw[1], width))

    def forward(self, input_image: Tensor) -> Tensor:
        """(height, width, 3), 0 to 255, to (1, channels, h, w)."""
        side = self.network.config.vision_config.image_size
        pixels = ((input_image - self.mean) / self.std).permute(2, 0, 1)
        # As products, so that files need no operator for smooth resizing, which few runtimes have.
        pixels = (self.over_rows @ pixels @ self.over_columns.T)[None]
        pixels = F.pad(pixels, (0, side - pixels.shape[3], 0, side - pixels.shape[2]))
        return self.network.get_image_embeddings(pixels)


class PointsGraph(nn.Module):
    """Points to masks, as transformers.js has it; boxes are points with labels 2 and 3."""

    def __init__(self, network: SamNetwork):
        super().__init__()
        self.network = network

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        input_points: Tensor,
        input_labels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """`iou_scores` (batch, prompts, 3) and `pred_masks` (batch, prompts, 3, 4 h, 4 w)."""
        sparse, dense = self.network.prompt_encoder(input_points, input_labels)
        masks, iou_scores = self.network.mask_decoder(
            image_embeddings,
            image_positional_embeddings,
            sparse,
            dense,
            multimask_output=True,
            is_padding=find_padding(input_points, input_labels, None),
        )
        return iou_scores, masks


class MetaDecoderGraph(nn.Module):
    """Prompts of one object to masks, as Meta's `SamOnnxModel` has it, but for the resize to the original image.

    Args:
        network: The model.
        is_single: Whether one mask is returned: of the alternatives the best for one or two points (a box is two), the
            mask for unambiguous prompts from three on.
        points_side: Side of the input whose pixels points are in, S if None.
    """

    def __init__(self, network: SamNetwork, is_single: bool, points_side: int | None = None):
        super().__init__()
        self.network, self.is_single = network, is_single
        side = network.config.vision_config.image_size
        self.points_scale = side / (points_side or side)

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """`low_res_masks` (1, 1 or 4, 4 h, 4 w) and `iou_predictions` (1, 1 or 4).

        Args:
            image_embeddings: (1, channels, h, w).
            point_coords: (1, points, 2), in pixels of the model's input, or of `points_side`.
            point_labels: (1, points): 0, 1, 2 and 3 for a box's corners, and -1 for the point that a caller without a
                box adds.
            mask_input: (1, 1, 4 h, 4 w) logits. Other sizes are resized: callers give 256 x 256 zeros to any model.
            has_mask_input: (1,): above 0 where `mask_input` counts. Some callers give -1 for no.
        """
        points, labels = point_coords[:, None] * self.points_scale, point_labels[:, None].long()
        corners = (labels == LABEL_BOX_TOP_LEFT) | (labels == LABEL_BOX_BOTTOM_RIGHT)
        # The encoder adds "not a point" itself where there is no box, so the caller's becomes padding.
        is_callers = (labels == LABEL_NOT_A_POINT) & ~corners.any(dim=-1, keepdim=True)
        labels = labels.masked_fill(is_callers, LABEL_PADDING)
        grid = self.network.config.prompt_encoder_config.image_embedding_size
        mask_input = F.interpolate(mask_input, size=(MASK_PIXELS_PER_PATCH * grid,) * 2, mode="bilinear")
        no_mask = mask_input.new_full((1, 1, 1, 1), float("nan")).expand_as(mask_input)
        masks = torch.where(has_mask_input.reshape(1, 1, 1, 1) > 0, mask_input, no_mask)
        sparse, dense = self.network.prompt_encoder(points, labels, input_masks=masks)
        logits, scores = self.network.mask_decoder(
            image_embeddings,
            self.network.get_image_wide_positional_embeddings(),
            sparse,
            dense,
            multimask_output=None,
            is_padding=find_padding(points, labels, None),
        )
        logits, scores = logits[:, 0], scores[:, 0]
        if not self.is_single:
            return logits, scores
        count = point_coords.shape[1]
        first = torch.zeros_like(scores)
        first[:, 0] = 1000.0
        best = (scores + (count - 2.5) * first).argmax(dim=1)
        return _pick(logits, best), scores.gather(1, best[:, None])


class EmbeddedPromptsGraph(nn.Module):
    """The mask decoder alone: embeddings of image and prompts to all four masks. What `OnnxSamModel` runs."""

    def __init__(self, decoder: MaskDecoder):
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        is_padding: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """`pred_masks` (batch, prompts, 4, 4 h, 4 w) and `iou_scores` (batch, prompts, 4); see `MaskDecoder.forward`.

        The dense embedding is (batch, prompts, channels, h, w) here.
        """
        return self.decoder(
            image_embeddings,
            image_positional_embeddings,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            multimask_output=None,
            is_padding=is_padding,
        )


def _resize_weights(length: int, new_length: int) -> Tensor:
    """(new_length, length): what each new row is made of, as Pillow resizes."""
    every_row = torch.eye(length)[None, None]
    return F.interpolate(every_row, size=(new_length, length), mode="bilinear", antialias=True)[0, 0]


def _pick(logits: Tensor, best: Tensor) -> Tensor:
    """(1, masks, height, width) and (1,) to (1, 1, height, width)."""
    index = best[:, None, None, None].expand(-1, 1, logits.shape[2], logits.shape[3])
    return logits.gather(1, index)
