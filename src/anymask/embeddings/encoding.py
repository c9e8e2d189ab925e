"""Encoding images for those who use the result at once, with the model that made it: no fingerprints, nothing kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..geometry.coordinates import ResizeGeometry
from ..images.preparation import ImagePreprocessor
from ..modeling.outputs import EncodingModel


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """The image encoder's output for one image, to be used at once.

    Attributes:
        tensor: (1, channels, height, width), height and width in patches of the model's input, on any device.
        geometry: how the image was brought to the model's input; all three sizes in pixels, height first.
    """

    tensor: Tensor
    geometry: ResizeGeometry

    def __post_init__(self) -> None:
        if self.tensor.ndim != 4 or self.tensor.shape[0] != 1 or not self.tensor.is_floating_point():
            raise ValueError(
                "The tensor of an image embedding must be floating, of shape (1, channels, height, width), got "
                f"{self.tensor.dtype} of shape {tuple(self.tensor.shape)}; embed images one by one."
            )

    @property
    def original_size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels; what `SamProcessor` takes as `original_sizes`."""
        return self.geometry.original_size_hw


def encode_pixel_values(model: EncodingModel, pixel_values: Tensor) -> Tensor:
    """Image embeddings (N, C, h, w) of images (N, 3, H, W), square ones of the model's size or others."""
    pixel_values = pixel_values.to(model.device, model.dtype)
    native = model.config.vision_config.image_size
    is_native = tuple(pixel_values.shape[-2:]) == (native, native)
    return model.get_image_embeddings(pixel_values, interpolate_pos_encoding=not is_native)


@torch.no_grad()  # not inference_mode: the decoder may be trained on the result
def encode_image(model: EncodingModel, image_processor: ImagePreprocessor, image: Any) -> EncodedImage:
    """Run the image encoder on one image, for use at once; the arguments are those of `embed_image`.

    Raises:
        ValueError: If `image` is several images.
    """
    inputs = image_processor(image, return_tensors="pt", device=model.device)
    original_sizes_hw = inputs["original_sizes"].tolist()
    if len(original_sizes_hw) != 1:
        raise ValueError(f"`image` must be one image, got {len(original_sizes_hw)}; call embed_image for each.")
    tensor = encode_pixel_values(model, inputs["pixel_values"])
    return EncodedImage(tensor, image_processor.geometry(original_sizes_hw[0]))
