"""What `config.loss` may say: `LossOptions`, and the losses of the field by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...support.unknown_names import check_known_options, did_you_mean
from .mask_losses import MASK_LOSSES


@dataclass(frozen=True)
class LossOptions:
    """What is minimised; the fields are those of `config.loss`.

    Attributes:
        focal: weight of `focal_loss`.
        dice: weight of `dice_loss`.
        bce: weight of `cross_entropy_loss`.
        squared_dice: weight of `squared_dice_loss`.
        iou: weight of the loss of the predicted IoU.
        iou_loss: "mse", as in SAM, or "l1", as in SAM 2.
        supervise_all_iou: whether the predicted IoU of every mask learns, or that of the best alone.
        resolution: "labels" brings logits to the size of the labels, at most the model's input; "decoder" brings
            labels to the size of the logits, as shares of covered area.
        points: compute the mask losses on so many points where the mask is least certain (12544 is usual), for large
            labels; None takes all pixels.
    """

    focal: float = 20.0
    dice: float = 1.0
    bce: float = 0.0
    squared_dice: float = 0.0
    iou: float = 1.0
    iou_loss: str = "mse"
    supervise_all_iou: bool = True
    resolution: str = "labels"
    points: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("iou_loss", self.iou_loss, ("mse", "l1")),
            ("resolution", self.resolution, ("labels", "decoder")),
        ):
            if value not in known:
                raise ValueError(f"`{name}` of the loss must be {' or '.join(map(repr, known))}, got {value!r}.")
        weights = [*self.mask_weights.values(), self.iou]
        if min(weights) < 0 or not self.mask_weights:
            raise ValueError(
                f"Weights of the loss must be 0 or more, at least one of {list(MASK_LOSSES)} above 0, got {self}."
            )
        if self.points is not None and self.points < 1:
            raise ValueError(f"`points` of the loss must be a number of points, or None for all, got {self.points}.")

    @property
    def mask_weights(self) -> dict[str, float]:
        """Weights of the losses of `MASK_LOSSES` that count."""
        return {name: getattr(self, name) for name in MASK_LOSSES if getattr(self, name)}

    @classmethod
    def read(cls, loss: LossOptions | Mapping[str, Any] | str | None) -> LossOptions:
        """Options from what `config.loss` may be: None, a name of `LOSSES`, or fields, over those of their "type".

        Raises:
            TypeError: If a field is unknown.
            ValueError: If there is no such type, or a value cannot be.
        """
        if isinstance(loss, LossOptions):
            return loss
        given = {"type": loss} if isinstance(loss, str) else dict(loss or {})
        name = given.pop("type", DEFAULT_LOSS)
        if name not in LOSSES:
            raise ValueError(f"The type of the loss must be one of {list(LOSSES)}, got {name!r}; {_near(name)}")
        check_known_options(given, [field.name for field in fields(cls)], "`config.loss`")
        return replace(LOSSES[name], **given)


LOSSES: dict[str, LossOptions] = {
    "focal_dice": LossOptions(),  # the SAM paper's
    "sam2": LossOptions(iou_loss="l1"),  # as in SAM 2's training code
    "bce_dice": LossOptions(focal=0, dice=0, bce=1, squared_dice=1, iou=0),  # MedSAM's
}
"""Losses by the name that `config.loss` may have, or the "type" in it."""

DEFAULT_LOSS = "focal_dice"


def _near(name: Any) -> str:
    return did_you_mean(str(name), LOSSES, otherwise="or give weights by name, as in {'focal': 20, 'dice': 1}.")
