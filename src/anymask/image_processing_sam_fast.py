"""SamImageProcessorFast: images to `pixel_values` with torch's resize, in batches, on the device that is asked for.

How it computes, and by how little it differs from `SamImageProcessor`, is in `images/resize_torch.py`.
"""

from __future__ import annotations

from .image_processing_sam import SamImageProcessorBase


class SamImageProcessorFast(SamImageProcessorBase):
    """Prepares images for SAM in torch: tensors stay on their device, images of one size go through together.

    Options are those of `SamImageProcessor`; of the filters `resample` takes bilinear (2) and bicubic (3).
    """

    backend = "torch"
