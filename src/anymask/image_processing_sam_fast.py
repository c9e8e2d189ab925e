"""SamImageProcessorFast: images to `pixel_values` with torch's resize, in batches, on the device that is asked for.

How it computes, and by how little it differs from `SamImageProcessor`, is in `images/resize_torch.py`.
"""

from __future__ import annotations

from .image_processing_sam import SamImageProcessorBase


class SamImageProcessorFast(SamImageProcessorBase):
    """Prepares images for SAM in torch: tensors stay on their device, images of one size go through together.

    Options are those of `SamImageProcessor`; of the filters `resample` takes bilinear (2) and bicubic (3).

    Examples:
        >>> import torch
        >>> from anymask import SamImageProcessorFast
        >>> frames = torch.zeros(2, 3, 40, 60, dtype=torch.uint8)
        >>> SamImageProcessorFast()(list(frames), return_tensors="pt")["pixel_values"].shape
        torch.Size([2, 3, 1024, 1024])
    """

    backend = "torch"
