"""How a person is played in training: what is shown first, and what is corrected in how many rounds.

The rounds are those of the Segment Anything paper, appendix A, "Training algorithm": a point or a noisy box; then
clicks where the last mask was wrong, with its logits as a prompt; and rounds in which nothing but the logits is new.
Everything is drawn from one generator per sample, so that a sample meets the same prompts in whichever batch it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evaluation.tasks.clicks import PLACES, Clicks, next_click
from ..geometry.coordinates import (
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_PADDING,
)
from ..modeling.losses import find_objects
from ..support.unknown_names import check_known_name
from .samples import pixels_in_frame

POINTS = (*PLACES, "either")
BOX_NOISES = ("gaussian", "uniform", "outward")
NOISE_FRAME = 1024
"""Limits of noise in pixels are of a frame of this side, and smaller in a smaller one."""


@dataclass(frozen=True)
class PromptRecipe:
    """Prompts of an object over the rounds of a training step.

    Attributes:
        box_share: share of objects whose first prompt is a box; the others begin with a point.
        first_point: "random" anywhere inside, "center", the innermost pixel, or "either", half of each.
        box_noise: standard deviation ("gaussian") or largest shift ("uniform") of each coordinate, as a share of the
            box's side.
        box_noise_max: the largest shift in pixels of a frame of 1024; of "outward", the largest shift itself.
        box_noise_kind: "gaussian", "uniform", or "outward", which enlarges a box as MedSAM does.
        points: rounds with a click that corrects the last mask.
        mask_only_rounds: rounds without a new click: the last one, and others at random places before it.
        error_point: "random" anywhere in the error, "center", the innermost pixel of the larger error, or "either".
        truth_point_share: share of clicks that are placed in the object, whatever the mask is.
        previous_mask_share: share of later rounds that have the logits of the round before as a prompt.
        multimask_share: share of steps in which several masks answer the first prompt; one answers all later rounds.
        round_shares: how often a step has 0, 1, 2 ... later rounds, as shares of any sum; empty plays all of them.
        exploration: share of objects of which a mask learns that is drawn at random, rather than the best of several.
            From random weights one mask wins every prompt at first, and the others would never learn to compete.

    Raises:
        ValueError: If a share is not from 0 to 1, a number is negative, or a name is unknown.
    """

    box_share: float = 0.5
    first_point: str = "random"
    box_noise: float = 0.1
    box_noise_max: float = 20.0
    box_noise_kind: str = "gaussian"
    points: int = 2
    mask_only_rounds: int = 0
    error_point: str = "random"
    truth_point_share: float = 0.0
    previous_mask_share: float = 1.0
    multimask_share: float = 1.0
    round_shares: tuple[float, ...] = ()
    exploration: float = 0.0

    def __post_init__(self) -> None:
        for name in ("box_share", "truth_point_share", "previous_mask_share", "multimask_share", "exploration"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be a share from 0 to 1, got {getattr(self, name)}.")
        for name, known in (("first_point", POINTS), ("error_point", POINTS), ("box_noise_kind", BOX_NOISES)):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if min(self.box_noise, self.box_noise_max, self.points, self.mask_only_rounds) < 0:
            raise ValueError(f"Noise and numbers of rounds must be 0 or more, got {self}.")
        later = self.points + self.mask_only_rounds
        if self.round_shares and (len(self.round_shares) != 1 + later or min(self.round_shares) < 0):
            raise ValueError(
                f"`round_shares` must have a share for each of 0 to {later} later rounds, got {self.round_shares}."
            )

    @classmethod
    def named(cls, name: str) -> PromptRecipe:
        """One of `RECIPES`.

        Raises:
            ValueError: If there is no such recipe.
        """
        check_known_name(name, RECIPES, "The prompt recipe must be one of anymask's")
        return RECIPES[name]


RECIPES: dict[str, PromptRecipe] = {
    "short": PromptRecipe(),  # for fine-tuning on a CPU: a third of the paper's rounds
    "box": PromptRecipe(box_share=1.0, points=0),
    "paper": PromptRecipe(points=8, mask_only_rounds=2),
    "sam2": PromptRecipe(points=7, box_noise_kind="uniform", truth_point_share=0.1),
    "medsam": PromptRecipe(box_share=1.0, box_noise_kind="outward", points=0, multimask_share=0.0),
    # micro-sam asks for one mask after a box; here the kind of answer is the same for all prompts of a round.
    "micro-sam": PromptRecipe(box_noise=0.025, box_noise_kind="uniform", points=7, previous_mask_share=0.5),
    "nano": PromptRecipe(  # sam-vit-nano's, from random weights: docs/decisions/0007-training-nano.md
        first_point="either",
        error_point="either",
        previous_mask_share=0.75,
        multimask_share=0.75,
        round_shares=(0.6, 0.3, 0.1),
        exploration=0.1,
    ),
}
"""Recipes of the field, and short ones. See docs/fine-tuning.md for where the numbers are from."""


@dataclass
class PointPrompts:
    """Points (batch, prompts, K, 2) in pixels of the model's input, and their labels (batch, prompts, K)."""

    points: Tensor
    labels: Tensor

    def with_clicks(self, points: Tensor, labels: Tensor) -> PointPrompts:
        """One point (batch, prompts, 2) with its label (batch, prompts) more."""
        return PointPrompts(
            torch.cat([self.points, points[:, :, None]], dim=2), torch.cat([self.labels, labels[..., None]], 2)
        )


class PromptedRounds:
    """The rounds of one batch: what is asked in each.

    Args:
        recipe: what is done in which round.
        labels: (batch, prompts, label height, label width), as the loss takes them.
        boxes_xyxy: (batch, prompts, 4), the exact boxes in pixels of the model's input.
        frame_hw: height and width of the model's input.
        seeds: (batch,), one of each sample.
    """

    def __init__(
        self, recipe: PromptRecipe, labels: Tensor, boxes_xyxy: Tensor, frame_hw: tuple[int, int], seeds: Tensor
    ) -> None:
        self.recipe = recipe
        self.labels = labels.to(torch.int8) if labels.dtype in (torch.bool, torch.uint8) else labels
        self.boxes_xyxy = boxes_xyxy.float()
        self.frame_hw = frame_hw
        self.is_object = find_objects(labels)
        self._generators = [torch.Generator(labels.device).manual_seed(int(seed)) for seed in seeds.tolist()]
        # The kinds of rounds are one for all samples of a batch, as the seed of the first has it.
        self.is_mask_only, self.keeps_mask, self.asks_several = self._plan(torch.Generator().manual_seed(int(seeds[0])))

    def _plan(self, generator: torch.Generator) -> tuple[list[bool], list[bool], bool]:
        """Which later rounds have no new click, which get the last mask, and whether the first asks for several."""
        recipe = self.recipe
        rounds = recipe.points + recipe.mask_only_rounds
        is_mask_only = [False] * recipe.points
        for _ in range(recipe.mask_only_rounds - 1):
            is_mask_only.insert(int(torch.randint(len(is_mask_only) + 1, (1,), generator=generator)), True)
        is_mask_only += [True] * min(recipe.mask_only_rounds, 1)
        draws = torch.rand(rounds, generator=generator)
        keeps = [only or draw < recipe.previous_mask_share for only, draw in zip(is_mask_only, draws, strict=True)]
        asks_several = bool(torch.rand(1, generator=generator) < recipe.multimask_share)
        if recipe.round_shares:
            rounds = int(torch.multinomial(torch.tensor(recipe.round_shares), 1, generator=generator))
        return is_mask_only[:rounds], [bool(keep) for keep in keeps[:rounds]], asks_several

    def first(self) -> PointPrompts:
        """The first prompts: a box as two points of labels 2 and 3, or a point and padding."""
        points, labels = self._clicks(None, self.recipe.first_point, truth_share=0.0)
        boxes = self._noisy_boxes()
        is_box = self._draw(torch.rand) < self.recipe.box_share
        corners = boxes.unflatten(-1, (2, 2))
        pair = torch.stack([points, torch.zeros_like(points)], dim=2)
        pair_labels = torch.stack([labels, torch.full_like(labels, LABEL_PADDING)], dim=-1)
        corner_labels = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT], device=labels.device)
        corner_labels = torch.where(self.is_object[..., None], corner_labels, LABEL_PADDING)
        return PointPrompts(
            torch.where(is_box[..., None, None], corners, pair),
            torch.where(is_box[..., None], corner_labels, pair_labels),
        )

    def next(self, round_index: int, prompts: PointPrompts, shown: Tensor) -> PointPrompts:
        """The prompts of a later round, from 0.

        Args:
            round_index: among the later rounds.
            prompts: those of the round before.
            shown: (batch, prompts, h, w), logits of the mask that is looked at.
        """
        if self.is_mask_only[round_index]:
            return prompts
        predicted = torch.nn.functional.interpolate(
            shown.float(), size=self.labels.shape[-2:], mode="bilinear", align_corners=False
        )
        return prompts.with_clicks(*self._clicks(predicted > 0, self.recipe.error_point, self.recipe.truth_point_share))

    def _clicks(self, predicted: Tensor | None, where: str, truth_share: float) -> tuple[Tensor, Tensor]:
        """A click for each object: points (batch, prompts, 2) in the model's frame, labels (batch, prompts)."""
        batch, prompts, *label_hw = self.labels.shape
        points = torch.zeros(batch, prompts, 2, device=self.labels.device)
        labels = torch.full((batch, prompts), LABEL_PADDING, device=self.labels.device)
        for image, generator in enumerate(self._generators):
            real = self.is_object[image]
            if not real.any():
                continue
            shown = None if predicted is None else predicted[image][real].clone()
            if shown is not None and truth_share:
                shown[torch.rand(len(shown), generator=generator, device=shown.device) < truth_share] = False
            clicks = _choose_clicks(shown, self.labels[image][real], where, generator)
            points[image, real] = pixels_in_frame(clicks.points_xy, label_hw, self.frame_hw)
            labels[image, real] = clicks.labels.to(labels)
        return points, labels

    def learning_masks(self, count: int) -> Tensor:
        """Which of `count` masks learns of each object, (batch, prompts) int64: one that is drawn, or -1, the best."""
        explores = self._draw(torch.rand) < self.recipe.exploration
        drawn = (self._draw(torch.rand) * count).long().clamp(max=count - 1)
        return torch.where(explores, drawn, -1)

    def _noisy_boxes(self) -> Tensor:
        recipe = self.recipe
        height, width = self.frame_hw
        limit = recipe.box_noise_max * max(height, width) / NOISE_FRAME
        boxes = self.boxes_xyxy
        sides = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2)
        if recipe.box_noise_kind == "gaussian":
            noise = self._draw(torch.randn, 4)
            noise = (noise * recipe.box_noise * sides).clamp(-limit, limit)
        else:
            noise = self._draw(torch.rand, 4)
            if recipe.box_noise_kind == "outward":
                noise = noise * limit * torch.tensor([-1.0, -1.0, 1.0, 1.0], device=noise.device)
            else:
                noise = (2 * noise - 1) * (recipe.box_noise * sides).clamp(max=limit)
        frame = torch.tensor([width, height, width, height], device=boxes.device)
        noisy = torch.minimum((boxes + noise).clamp(min=0), frame)
        is_box = (noisy[..., 2:] - noisy[..., :2] >= 0.5).repeat(1, 1, 2)  # a thin one may turn inside out
        return torch.where(is_box, noisy, boxes)

    def _draw(self, draw: Callable[..., Tensor], *size: int) -> Tensor:
        """(batch, prompts, *size) numbers, each row from the generator of its sample, 0 for padding."""
        drawn = torch.zeros(*self.is_object.shape, *size, device=self.labels.device)
        for image, generator in enumerate(self._generators):
            count = int(self.is_object[image].sum())
            drawn[image, self.is_object[image]] = draw(count, *size, generator=generator, device=drawn.device)
        return drawn


def _choose_clicks(shown: Tensor | None, labels: Tensor, where: str, generator: torch.Generator) -> Clicks:
    """`next_click` for the objects (N, h, w) of an image; "either" draws for each which of the two it is."""
    if where != "either":
        return next_click(shown, labels, where, generator=generator)
    is_center = torch.rand(len(labels), generator=generator, device=labels.device) < 0.5
    clicks = Clicks(torch.zeros(len(labels), 2, device=labels.device), labels.new_zeros(len(labels), dtype=torch.long))
    for place, members in (("center", is_center), ("random", ~is_center)):
        if members.any():
            part = None if shown is None else shown[members]
            for into, found in zip(clicks, next_click(part, labels[members], place, generator=generator), strict=True):
                into[members] = found
    return clicks
