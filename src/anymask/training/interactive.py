"""A SAM that plays a whole session with a person in each training step: `PromptedSamModel`.

Its forward takes images (or their embeddings) with labels, encodes the image once, shows the prompts of a
`PromptRecipe` round by round, and returns the mean of the rounds' losses. As that is one forward pass,
`transformers.Trainer`, DistributedDataParallel and accelerate handle it as any model; saved, it is a plain `SamModel`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from ..masks.measures import masks_to_boxes_xyxy
from ..modeling.fast.decoder import PreparedImage
from ..modeling.losses import total_and_parts
from ..modeling.outputs import CheckedEmbedding, SamImageSegmentationOutput
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
        input_masks: Tensor | None = None,
        image_embeddings: Tensor | CheckedEmbedding | Sequence[CheckedEmbedding] | PreparedImage | None = None,
        multimask_output: bool | None = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        interpolate_pos_encoding: bool = True,
        original_sizes: Tensor | None = None,
        reshaped_input_sizes: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | int | Sequence[int] | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        sample_seed: Tensor | None = None,
    ) -> SamImageSegmentationOutput | tuple:
        """Loss of a session for each object in training; `SamModel.forward` otherwise.

        In training the prompts are those of the recipe, and of the arguments the images or their embeddings count, the
        labels, exact boxes and seeds.

        Args:
            pixel_values: See `SamModel.forward`, as all that is not explained here.
            input_points: See there.
            input_labels: See there.
            input_boxes: (batch, prompts, 4), in pixels of the model's input: in training the exact boxes, of which
                noisy ones are made; by default those of the labels.
            input_masks: See there.
            image_embeddings: See there.
            multimask_output: See there.
            attention_similarity: See there.
            target_embedding: See there.
            interpolate_pos_encoding: See there; True by default, as training images may have any size.
            original_sizes: See there.
            reshaped_input_sizes: See there.
            output_attentions: See there.
            output_hidden_states: See there.
            return_dict: See there; in training the output is never a tuple.
            labels: See there; with one mask per image that is its one object.
            num_items_in_batch: See there.
            sample_seed: (batch,), decides the prompts of each sample; by default drawn from torch's generator.

        Raises:
            ValueError: If neither `pixel_values` nor `image_embeddings` are given, or both.
        """
        if not self.training or labels is None:
            return super().forward(
                pixel_values,
                input_points,
                input_labels,
                input_boxes,
                input_masks=input_masks,
                image_embeddings=image_embeddings,
                multimask_output=multimask_output,
                attention_similarity=attention_similarity,
                target_embedding=target_embedding,
                interpolate_pos_encoding=interpolate_pos_encoding,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                return_dict=return_dict,
                labels=labels,
                num_items_in_batch=num_items_in_batch,
            )
        if labels.ndim == 3:
            labels = labels.unsqueeze(1)
        if image_embeddings is None:
            if pixel_values is None:
                raise ValueError("Exactly one of pixel_values and image_embeddings must be given, got neither.")
            image_embeddings = self.get_image_embeddings(pixel_values, interpolate_pos_encoding)
        image = self._as_prepared(image_embeddings)
        rounds = PromptedRounds(
            self.recipe,
            labels,
            self._boxes_of(labels, image.image_embeddings) if input_boxes is None else input_boxes,
            self._frame_hw(image.image_embeddings),
            seeds=torch.randint(2**62, (len(labels),)) if sample_seed is None else sample_seed,
        )
        return self._play(rounds, image, labels, num_items_in_batch)

    def _play(
        self, rounds: PromptedRounds, image: PreparedImage, labels: Tensor, num_items_in_batch: Tensor | int | None
    ) -> SamImageSegmentationOutput:
        """The last round's output, with the mean of all losses."""
        prompts, shown = rounds.first(), None
        losses: list[Tensor] = []
        last = SamImageSegmentationOutput()
        for index in range(-1, len(rounds.keeps_mask)):
            if shown is not None:
                prompts = rounds.next(index, prompts, shown)
            output = super().forward(
                image_embeddings=image,
                input_points=prompts.points,
                input_labels=prompts.labels,
                input_masks=shown if shown is not None and rounds.keeps_mask[index] else None,
                multimask_output=shown is None and rounds.asks_several,
                return_dict=True,
            )
            assert isinstance(output, SamImageSegmentationOutput)
            last, logits, scores = output, output.pred_masks, output.iou_scores
            assert logits is not None and scores is not None
            loss = self.loss_function(
                pred_masks=logits,
                iou_scores=scores,
                labels=labels,
                num_items_in_batch=num_items_in_batch,
                **({"learning": rounds.learning_masks(logits.shape[2])} if self.recipe.exploration else {}),
            )
            total, last.loss_parts = total_and_parts(loss)
            losses.append(total)
            shown = _most_confident(logits.detach(), scores.detach())
        last.loss = torch.stack(losses).mean()
        return last

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
