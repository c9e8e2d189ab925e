"""Images to `pixel_values` in torch, in batches, on the device that is asked for.

It differs from `resize_pillow.py` in the precision of the weights with which 8-bit pixels are resized. On the CPU
pixels of the two differ by at most one 8-bit step with the bilinear filter, two with the bicubic: a step is 1/255
before normalising and at most 0.018 after it. On photographs fewer than one pixel in a thousand differs. Other devices
compute in float32 and differ by up to two steps where a value lies halfway between two. Images of more than 8 bits are
resized in float32 by both and agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..geometry.coordinates import ResizeGeometry
from .load import array_layout, check_finite, check_has_values, load_image, white_level
from .options import ImageOptions

_FILTERS = {
    int(Image.Resampling.BILINEAR): "bilinear",
    int(Image.Resampling.BICUBIC): "bicubic",
}


class _Readable:
    """An array that does not say it is read-only, so that torch takes its memory without a warning or a copy.

    Decoded images are read-only, and copying one costs more than resizing it. Nothing in this file writes to its input.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array  # keeps the memory alive for as long as the tensor does
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


class TorchResizer:
    """Resizes and normalises in torch: tensors stay on their device, images of one size go through together there."""

    def load(self, source: Any, **reading: Any) -> torch.Tensor:
        """The image as a CHW tensor on its own device, with the values that came."""
        if isinstance(source, torch.Tensor) and source.device.type != "cpu" and reading.get("bands") is None:
            check_has_values(source)
            return _three_channels(source.detach(), reading.get("input_data_format"))
        image = np.asarray(load_image(source, **reading))
        if image.strides[2] == 0:
            image = image[..., :1]  # one channel seen three times, as `load_image` makes it
        return torch.from_numpy(np.asarray(_Readable(image))).permute(2, 0, 1).expand(3, -1, -1)

    def size_hw(self, image: torch.Tensor) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(image.shape[1]), int(image.shape[2])

    def pixel_values(
        self,
        images: list[torch.Tensor],
        geometries: list[ResizeGeometry],
        options: ImageOptions,
        device: str | torch.device | None,
    ) -> torch.Tensor:
        """Pixel values (B, 3, H, W) float32, zero in the padding, on the device or where the first image is.

        Raises:
            ValueError: If torch has no such filter.
        """
        if options.do_resize and options.resample not in _FILTERS:
            raise ValueError(
                f"`resample` of SamImageProcessorFast must be one of {sorted(_FILTERS)}, got {options.resample}. "
                "SamImageProcessor has all of Pillow's filters."
            )
        device = images[0].device if device is None else torch.device(device)
        padded_size_hw = geometries[0].padded_size_hw
        pixel_values = torch.zeros(len(images), 3, *padded_size_hw, dtype=torch.float32, device=device)
        for indices in _groups(images, device):
            height, width = geometries[indices[0]].resized_size_hw
            batch = [images[index].to(device) for index in indices]
            stacked = torch.stack(batch) if len(batch) > 1 else batch[0][None]
            pixels, black, white = _resize(stacked, (height, width), options)
            for row, index in enumerate(indices):
                gains, offsets = options.affine(black[row], white[row])
                target = pixel_values[index, :, :height, :width]
                target.copy_(pixels[row])
                target.mul_(_column(gains, device)).add_(_column(offsets, device))
        return pixel_values

    def black_and_white(
        self, image: torch.Tensor, geometry: ResizeGeometry, options: ImageOptions
    ) -> tuple[float, float]:
        """The values that stand for black and white."""
        _, (black,), (white,) = _resize(image[None], geometry.resized_size_hw, options)
        return black, white


def normalise_and_pad(pixels: torch.Tensor, size_hw: Sequence[int], options: ImageOptions) -> torch.Tensor:
    """Pixel values of images that are resized already, whose black is 0 and whose white 255, whatever their type.

    Args:
        pixels: (..., 3, h, w), of any type, on any device.
        size_hw: height and width of the model's input in pixels, no smaller than those of the images.
        options: say how pixels are rescaled and normalised.

    Returns:
        (..., 3, H, W) float32 of `size_hw`, zero in the padding at the right and at the bottom, on the same device.
    """
    gains, offsets = options.affine(0.0, 255.0)
    values = pixels.to(torch.float32) * _column(gains, pixels.device) + _column(offsets, pixels.device)
    return F.pad(values, (0, size_hw[1] - pixels.shape[-1], 0, size_hw[0] - pixels.shape[-2]))


def _groups(images: list[torch.Tensor], device: torch.device) -> list[list[int]]:
    """Indices of the images that go through together: those of one size and dtype, or each alone on the CPU."""
    if device.type == "cpu":
        return [[index] for index in range(len(images))]  # stacking costs more there than the resize itself
    groups: dict[tuple[torch.Size, torch.dtype], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault((image.shape, image.dtype), []).append(index)
    return list(groups.values())


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _three_channels(image: torch.Tensor, input_data_format: str | None) -> torch.Tensor:
    """What `load_image` does for arrays, for a tensor that stays on its device."""
    layout = array_layout(image.shape, True, input_data_format)
    check_finite(image)
    if layout == "HW":
        image = image[None]
    elif layout == "HWC":
        image = image.permute(2, 0, 1)
    if image.dtype == torch.bool:
        image = image.to(torch.uint8) * 255
    elif image.is_floating_point():
        image = image.float()
    return image.expand(3, -1, -1) if image.shape[0] == 1 else image[:3]


def _resize(
    images: torch.Tensor, size_hw: tuple[int, int], options: ImageOptions
) -> tuple[torch.Tensor, list[float], list[float]]:
    """Images (N, 3, H, W) at the resized size, and which of their values stand for black and white, per image."""
    n_images = len(images)
    if isinstance(options.value_range, tuple):
        black, white = options.value_range
        clipped = images.float().clamp(black, white)
        return _interpolate(clipped, size_hw, options.resample), [black] * n_images, [white] * n_images
    if options.value_range == "min_max":
        pixels = _interpolate(images, size_hw, options.resample)
        return pixels, pixels.flatten(1).amin(1).tolist(), pixels.flatten(1).amax(1).tolist()
    white_levels = [white_level(image) for image in images]
    return _interpolate(images, size_hw, options.resample), [0.0] * n_images, white_levels


def _interpolate(images: torch.Tensor, size_hw: tuple[int, int], resample: int) -> torch.Tensor:
    """Resize with antialiasing; 8-bit images to 8-bit values, as Pillow does."""
    if images.shape[-2:] == size_hw:
        return images
    mode = _FILTERS[resample]
    if images.dtype == torch.uint8 and images.device.type != "cpu":
        return _interpolate_8_bit(images, size_hw, mode)
    pixels = images if images.dtype == torch.uint8 else images.float()
    return F.interpolate(pixels, size_hw, mode=mode, align_corners=False, antialias=True)


def _interpolate_8_bit(images: torch.Tensor, size_hw: tuple[int, int], mode: str) -> torch.Tensor:
    """What torch does in 8 bits on the CPU alone: columns first, rounded, then rows, rounded; in float32."""
    pixels = images.float()
    for pass_size_hw in ((images.shape[-2], size_hw[1]), size_hw):
        pixels = F.interpolate(pixels, pass_size_hw, mode=mode, align_corners=False, antialias=True)
        # Halves go up, as in Pillow; `round` would take them to even numbers.
        pixels = pixels.add_(0.5).floor_().clamp_(0, 255)
    return pixels
