"""What SAM learns from: read `segmentation`; then `mask_losses`, `options`, `labels`, and `trainable` for the model."""

from .labels import check_mask_labels, find_objects, spread_over_prompts
from .mask_losses import MASK_LOSSES
from .options import DEFAULT_LOSS, LOSSES, LossOptions
from .segmentation import SegmentationLoss, masks_iou, segmentation_loss, total_and_parts

__all__ = [
    "DEFAULT_LOSS",
    "LOSSES",
    "MASK_LOSSES",
    "LossOptions",
    "SegmentationLoss",
    "check_mask_labels",
    "find_objects",
    "masks_iou",
    "segmentation_loss",
    "spread_over_prompts",
    "total_and_parts",
]
