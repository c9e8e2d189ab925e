"""SamImageProcessor: images to `pixel_values` with Pillow's resize, for Transformers.

How it computes is in `image_preparation_pillow.py`.
"""

from __future__ import annotations

from .image_processing_base import SamImageProcessorBase
from .images.resize_pillow import PillowPreparation


class SamImageProcessor(SamImageProcessorBase, PillowPreparation):
    """Prepares images for SAM with Pillow and NumPy, on the CPU.

    Options are the fields of `anymask.images.options.ImageOptions`, with the names and defaults of Transformers'
    `SamImageProcessor`. MedSAM's preprocessing is `SamImageProcessor(size={"height": 1024, "width": 1024}, resample=3,
    value_range="min_max", do_normalize=False)`; add a window, `value_range=(-160, 240)` instead of "min_max", for CT
    slices in Hounsfield units.
    """
