"""A SAM that plays a whole session with a person in each training step: `PromptedSamModel`.

Its forward takes images (or their embeddings) with labels, encodes the image once, shows the prompts of a
`PromptRecipe` round by round, and returns the mean of the rounds' losses. As that is one forward pass,
`transformers.Trainer`, DistributedDataParallel and accelerate handle it as any model; saved, it is a plain `SamModel`.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from ..masks.measures import masks_to_boxes_xyxy
from ..modeling.network import SamImageSegmentationOutput
from ..modeling_sam import SamModel
from .recipes import PromptedRounds, PromptRecipe


class PromptedSamModel(SamModel):
    """A `SamModel` that in training prompts itself. In evaluation, `model.eval()`, it is the model as it is."""

    recipe = PromptRecipe()

    @classmethod
    def of(cls, model: SamModel, recipe: PromptRecipe | str = "short") -> Self:
        """The same parts and weights, not copies of them, with a recipe of prompts.

        Args:
            model: to be trained.
            recipe: a recipe or the name of one of `anymask.training.recipes.RECIPES`.
        """
        prompted = cls.from_network(model)
        prompted.recipe = PromptRecipe.named(recipe) if isinstance(recipe, str) else recipe
        return prompted

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        sample_seed: Tensor | None = None,
        **others: Any,
    ) -> SamImageSegmentationOutput | tuple:
        """Loss of a session for each object in training; `SamModel.forward` otherwise.

        Args:
            pixel_values: See `SamModel.forward`, as all that is not named here.
            input_points: Not used in training.
            input_labels: Likewise.
            input_boxes: (batch, prompts, 4), in pixels of the model's input: in training the exact boxes, of which
                noisy ones are made; by default those of the labels.
            image_embeddings: See `SamModel.forward`.
            labels: Likewise; with one mask per image that is its one object.
            num_items_in_batch: Likewise.
            sample_seed: (batch,), decides the prompts of each sample; by default drawn from torch's generator.
            **others: As in `SamModel.forward`.

        Raises:
            ValueError: If neither `pixel_values` nor `image_embeddings` are given, or both.
        """
        if not self.training or labels is None:
            return super().forward(
                pixel_values,
                input_points,
                input_labels,
                input_boxes,
                image_embeddings=image_embeddings,
                labels=labels,
                num_items_in_batch=num_items_in_batch,
                **others,
            )
        if labels.ndim == 3:
            labels = labels.unsqueeze(1)
        if image_embeddings is None:
            if pixel_values is None:
                raise ValueError("Exactly one of pixel_values and image_embeddings must be given, got neither.")
            image_embeddings = self.get_image_embeddings(
                pixel_values, interpolate_pos_encoding=others.get("interpolate_pos_encoding", True)
            )
        rounds = PromptedRounds(
            self.recipe,
            labels,
            self._boxes_of(labels, image_embeddings) if input_boxes is None else input_boxes,
            self._frame_hw(image_embeddings),
            torch.randint(2**62, (len(labels),)) if sample_seed is None else sample_seed,
        )
        prompts, shown = rounds.first(), None
        outputs: list[SamImageSegmentationOutput] = []
        for index in range(-1, len(rounds.keeps_mask)):
            if outputs:
                shown = _most_confident(outputs[-1].pred_masks.detach(), outputs[-1].iou_scores.detach())
                prompts = rounds.next(index, prompts, shown)
            output = super().forward(
                image_embeddings=image_embeddings,
                input_points=prompts.points,
                input_labels=prompts.labels,
                input_masks=shown if outputs and rounds.keeps_mask[index] else None,
                multimask_output=not outputs and rounds.asks_several,
                return_dict=True,
            )
            loss = self.loss_function(
                pred_masks=output.pred_masks,
                iou_scores=output.iou_scores,
                labels=labels,
                num_items_in_batch=num_items_in_batch,
                **({"learning": rounds.learning_masks(output.pred_masks.shape[2])} if self.recipe.exploration else {}),
            )
            output.loss, output.loss_parts = getattr(loss, "total", loss), getattr(loss, "parts", None)
            outputs.append(output)
        outputs[-1].loss = torch.stack([output.loss for output in outputs]).mean()
        return outputs[-1]

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write a plain `SamModel`; see there."""
        SamModel.from_network(self).save_pretrained(save_directory, *args, **kwargs)

    def _frame_hw(self, image_embeddings: Tensor) -> tuple[int, int]:
        patch = self.config.vision_config.patch_size
        return image_embeddings.shape[2] * patch, image_embeddings.shape[3] * patch

    def _boxes_of(self, labels: Tensor, image_embeddings: Tensor) -> Tensor:
        """Outer edges of the labels' masks in pixels of the model's input."""
        boxes = masks_to_boxes_xyxy(labels == 1).float()
        boxes[..., 2:] += 1
        height, width = self._frame_hw(image_embeddings)
        scale_xy = (width / labels.shape[3], height / labels.shape[2])
        return boxes * torch.tensor(scale_xy * 2, device=boxes.device)


def _most_confident(logits: Tensor, iou_scores: Tensor) -> Tensor:
    """The mask with the highest predicted IoU of each prompt, (batch, prompts, h, w)."""
    index = iou_scores.argmax(dim=-1)[..., None, None, None]
    return logits.take_along_dim(index, dim=2).squeeze(2)
