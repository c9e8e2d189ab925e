"""Images to `pixel_values` with Pillow's resize, the one that SAM was trained with.

Pillow resizes 8-bit images in 8 bits, with antialiasing, and rounds between its two passes; `resize_torch.py` does the
same in torch. On the CPU the two differ by at most one 8-bit step, 0.018 after normalising, in a few pixels; see there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..geometry.coordinates import ResizeGeometry
from .load import image_size_hw, load_image, white_level
from .options import ImageOptions

_Loaded = Image.Image | np.ndarray  # as `load_image` returns it


class PillowResizer:
    """Resizes with Pillow and normalises with NumPy, image by image, on the CPU."""

    def load(self, source: Any, **reading: Any) -> _Loaded:
        """The image as `load_image` gives it."""
        return load_image(source, **reading)

    def size_hw(self, image: _Loaded) -> tuple[int, int]:
        """Height and width in pixels."""
        return image_size_hw(image)

    def pixel_values(
        self,
        images: list[_Loaded],
        geometries: list[ResizeGeometry],
        options: ImageOptions,
        device: str | torch.device | None,
    ) -> torch.Tensor:
        """Pixel values (B, 3, H, W) float32, zero in the padding; made on the CPU, then brought to the device."""
        padded_size_hw = geometries[0].padded_size_hw
        pixel_values = torch.zeros(len(images), 3, *padded_size_hw, dtype=torch.float32, device="cpu")
        for image, geometry, target in zip(images, geometries, pixel_values.numpy(), strict=True):
            height, width = geometry.resized_size_hw
            pixels, black, white = _resize(image, geometry, options)
            gains, offsets = options.affine(black, white)
            for channel in range(3):
                # Written in place, once per channel: the values are multiplied and added to, and never copied.
                plane = target[channel, :height, :width]
                np.multiply(pixels[..., channel], np.float32(gains[channel]), out=plane)
                plane += np.float32(offsets[channel])
        return pixel_values if device is None else pixel_values.to(device)

    def black_and_white(self, image: _Loaded, geometry: ResizeGeometry, options: ImageOptions) -> tuple[float, float]:
        """The values that stand for black and white."""
        _, black, white = _resize(image, geometry, options)
        return black, white


def _resize(image: _Loaded, geometry: ResizeGeometry, options: ImageOptions) -> tuple[np.ndarray, float, float]:
    """Pixels hxwx3 at the resized size, and which of their values stand for black and white."""
    if isinstance(options.value_range, tuple):
        black, white = options.value_range
        clipped = np.clip(np.asarray(image, dtype=np.float32), black, white)
        return _resize_array(clipped, geometry, options.resample), black, white
    if options.value_range == "min_max":
        pixels = _resize_array(image, geometry, options.resample)
        return pixels, float(pixels.min()), float(pixels.max())
    white = white_level(image)
    return _resize_array(image, geometry, options.resample), 0.0, white


def _resize_array(image: _Loaded, geometry: ResizeGeometry, resample: int) -> np.ndarray:
    """Pillow's resize; arrays whose channels lie apart, or have more than 8 bits, go through it channel by channel."""
    if geometry.resized_size_hw == geometry.original_size_hw:
        return np.asarray(image)
    height, width = geometry.resized_size_hw
    if not isinstance(image, Image.Image):
        if image.dtype != np.uint8 or image[..., 0].flags.c_contiguous:
            return _resize_planes(image, (width, height), resample)
        image = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(image.resize((width, height), resample))


def _resize_planes(image: np.ndarray, size_wh: tuple[int, int], resample: int) -> np.ndarray:
    # Pillow resizes one channel of either, with equal weights.
    dtype = np.uint8 if image.dtype == np.uint8 else np.float32
    is_grey = image.strides[2] == 0  # one channel seen three times, as `load_image` makes it
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image[..., channel], dtype=dtype)).resize(size_wh, resample))
        for channel in range(1 if is_grey else 3)
    ]
    return np.stack(planes * (3 // len(planes)), axis=-1)
