"""What training asks of SAM: parts that stay as they are, and the loss of its masks."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from typing_extensions import Self

from ...configuration_sam import SamConfig
from ...geometry.coordinates import MASK_PIXELS_PER_PATCH
from ...support.unknown_names import did_you_mean
from ..prompt_encoder import find_filling
from .labels import spread_over_prompts
from .options import LossOptions
from .segmentation import SegmentationLoss, segmentation_loss, total_and_parts


class Trainable(ABC):
    """The part of `SegmentAnything` that knows of losses."""

    config: SamConfig

    def freeze(self, *parts: str) -> Self:
        """Keep parts of the model as they are in training: they get no gradients, and no optimizer changes them.

        Args:
            *parts: names of modules, such as "vision_encoder", "prompt_encoder" or "mask_decoder.transformer".

        Returns:
            The model itself.

        Raises:
            ValueError: If no name is given, or there is no such part.
        """
        module = cast(nn.Module, self)
        names = [name for name, _ in module.named_children()]
        if not parts:
            raise ValueError(f"freeze must be given what to freeze, such as {names}, got nothing.")
        modules = dict(module.named_modules())
        for part in parts:
            if part not in modules:
                hint = did_you_mean(part, names, otherwise=f"its parts are {names} and what is inside of them.")
                raise ValueError(f"The model has no part {part!r} to freeze; {hint}")
            modules[part].requires_grad_(False)
        return self

    @property
    def loss_function(self) -> Callable[..., SegmentationLoss | Tensor]:
        """What `forward` computes with `labels`; may be replaced by a function of the same arguments.

        It is called with `pred_masks`, `iou_scores`, `labels` and `num_items_in_batch` by name, as `segmentation_loss`
        has them, and returns a scalar, or a `SegmentationLoss`.
        """
        modules = cast(nn.Module, self)._modules  # a module sets itself there
        return modules.get("loss_function") or self.__dict__.get("_loss_function") or self._segmentation_loss

    @loss_function.setter
    def loss_function(self, function: Callable[..., SegmentationLoss | Tensor] | None) -> None:
        self.__dict__["_loss_function"] = function

    def _compute_loss(
        self,
        pred_masks: Tensor,
        iou_scores: Tensor,
        labels: Tensor,
        *,
        input_labels: Tensor | None,
        input_boxes: Tensor | None,
        num_items_in_batch: Tensor | int | None,
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """The loss of a batch, and its parts where the loss function tells them; arguments as in `forward`."""
        if labels.ndim == 3 and len(labels) == len(pred_masks):
            filling = find_filling(input_labels, input_boxes)
            labels, num_items_in_batch = spread_over_prompts(labels, pred_masks.shape[1], filling, num_items_in_batch)
        return total_and_parts(
            self.loss_function(
                pred_masks=pred_masks, iou_scores=iou_scores, labels=labels, num_items_in_batch=num_items_in_batch
            )
        )

    def _segmentation_loss(self, **batch: Any) -> SegmentationLoss:
        options = LossOptions.read(getattr(self.config, "loss", None))
        patch = self.config.vision_config.patch_size
        height, width = (side // MASK_PIXELS_PER_PATCH * patch for side in batch["pred_masks"].shape[-2:])
        return segmentation_loss(options=options, max_size_hw=(height, width), **batch)
