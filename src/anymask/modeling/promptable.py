"""What the rooms above ask of a model, so that whatever has it can be used: `SamNetwork` and `SamModel` do."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .outputs import MaskProposals


@runtime_checkable
class MaskProposer(Protocol):
    """Encodes images and proposes masks for points: what segment-everything needs."""

    config: Any

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""

    def get_image_embeddings(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Encode images, (batch, channels, height, width), see `SamNetwork.get_image_embeddings`."""

    def prepare_image(self, image_embeddings: Any) -> Any:
        """Do what all prompts of an image share, see `SamNetwork.prepare_image`."""

    def decode_proposals(self, image: Any, input_points: Tensor, *, iou_threshold: float = 0.0) -> MaskProposals:
        """Decode prompts to masks above a threshold, see `SamNetwork.decode_proposals`."""


@runtime_checkable
class PromptableModel(MaskProposer, Protocol):
    """Answers prompts of every kind as well: what `SAM.predict` and `SamSession` need."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Segment, see `SamNetwork.forward`."""
