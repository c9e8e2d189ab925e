"""From images to crops and their embeddings: what `generator.py` begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..embeddings.encoding import EncodedImage, encode_pixel_values
from ..embeddings.image_embedding import check_embedding
from ..geometry.crops import crop_boxes_xyxy
from ..images.load import image_size_hw, load_image
from ..images.preparation import ImagePreprocessor
from ..modeling.outputs import MaskProposer
from ..support.chunks import encoder_batch_size, run_within_memory
from .options import MaskGenerationOptions


@dataclass(frozen=True)
class PreprocessedImage:
    """An image that is read and made ready for the encoder; `SamMaskGenerator.preprocess` makes it.

    Attributes:
        image: the whole image, as `load_image` gives it.
        pixel_values: (1, 3, H, W) float32, of the whole image.
    """

    image: Any
    pixel_values: torch.Tensor


@dataclass(frozen=True)
class Crop:
    """One crop on its way: where in its image it lies, what the model gets: pixel values, or an embedding of them."""

    size_hw: tuple[int, int]
    box_xyxy: list[int]
    layer: int
    is_last: bool
    model_input: torch.Tensor
    is_embedding: bool = False


class CropEncoder:
    """Reads images, cuts them into crops, and has these encoded, as they are needed."""

    def __init__(
        self,
        model: MaskProposer,
        image_processor: ImagePreprocessor,
        warn_of_memory: Callable[[str], None],
        batch_size: int | None = None,
    ) -> None:
        """Take what encodes.

        Args:
            model: A `SamModel`.
            image_processor: Its image processor.
            warn_of_memory: Is told how it goes on without enough memory.
            batch_size: Crops that are encoded together at most; by default what the device has memory for.
        """
        self.model = model
        self.image_processor = image_processor
        self._warn_of_memory = warn_of_memory
        self._batch_size = batch_size

    def preprocess(self, image: Any, timeout: float | None = None) -> PreprocessedImage:
        """See `SamMaskGenerator.preprocess`."""
        loaded = load_image(image, timeout)
        return PreprocessedImage(loaded, self._pixel_values(loaded))

    def embeddings(self, images: Iterable[Any], options: MaskGenerationOptions) -> Iterator[tuple[Crop, torch.Tensor]]:
        """Encode each crop of each image, in order, into its embedding (1, C, h, w).

        Crops of one shape go through the encoder together, also those of several images.
        """
        waiting: list[Crop] = []
        limit = 1
        for crop in self._crops(images, options):
            is_odd = bool(waiting) and crop.model_input.shape != waiting[0].model_input.shape
            if crop.is_embedding or is_odd:
                yield from self._encode(waiting)
                waiting = []
            if crop.is_embedding:
                yield crop, crop.model_input
                continue
            if not waiting:
                limit = self._batch_size or encoder_batch_size(self.model, crop.model_input.shape)
            waiting.append(crop)
            if len(waiting) >= limit:
                yield from self._encode(waiting)
                waiting = []
        yield from self._encode(waiting)

    def _crops(self, images: Iterable[Any], options: MaskGenerationOptions) -> Iterator[Crop]:
        for image in images:
            if isinstance(image, EncodedImage):
                yield self._embedded(image, options)
                continue
            prepared = image if isinstance(image, PreprocessedImage) else self.preprocess(image)
            size_hw = image_size_hw(prepared.image)
            boxes, layers = crop_boxes_xyxy(size_hw, options.crop_n_layers, options.crop_overlap_ratio)
            seen_as = self._value_range(prepared.image) if len(boxes) > 1 else {}
            for number, (box, layer) in enumerate(zip(boxes, layers, strict=True)):
                pixel_values = (
                    prepared.pixel_values if number == 0 else self._pixel_values(_cut(prepared.image, box), **seen_as)
                )
                yield Crop(size_hw, box, layer, number == len(boxes) - 1, model_input=pixel_values)

    def _embedded(self, embedding: EncodedImage, options: MaskGenerationOptions) -> Crop:
        """An image that was encoded before, as the only crop of itself."""
        if options.crop_n_layers:
            raise ValueError(
                f"`crop_n_layers` must be 0 for an ImageEmbedding, got {options.crop_n_layers}: crops of the image "
                "have embeddings of their own. Pass the image."
            )
        check_embedding(self.model, self.image_processor, embedding)
        height, width = embedding.original_size_hw
        tensor = embedding.tensor.to(self.model.device)
        return Crop((height, width), [0, 0, width, height], 0, True, model_input=tensor, is_embedding=True)

    def _value_range(self, image: Any) -> dict[str, Any]:
        """The option under which a crop is seen as it is in its image, where a value range follows from the values."""
        processor = self.image_processor
        is_float = isinstance(image, np.ndarray) and image.dtype.kind == "f"
        if processor.value_range == "min_max" or (
            processor.value_range == "auto" and processor.do_rescale and is_float
        ):
            black, white = processor.black_and_white(image)
            return {"value_range": (black, white)} if black < white else {}  # an image of one value has crops of one
        return {}

    def _pixel_values(self, image: Any, **overrides: Any) -> torch.Tensor:
        # A worker process of a data loader must not touch an accelerator.
        device = None if torch.utils.data.get_worker_info() is not None else self.model.device
        return self.image_processor(image, return_tensors="pt", device=device, **overrides)["pixel_values"]

    def _encode(self, crops: list[Crop]) -> Iterator[tuple[Crop, torch.Tensor]]:
        def warn(batch: int) -> None:
            self._warn_of_memory(f"the encoder goes on with {batch} crops at a time")

        batches = run_within_memory(self._run_encoder, crops, len(crops), warn)
        embeddings = (embedding for batch in batches for embedding in batch.split(1))
        yield from zip(crops, embeddings, strict=True)

    @torch.inference_mode()
    def _run_encoder(self, crops: Sequence[Crop]) -> torch.Tensor:
        return encode_pixel_values(self.model, torch.cat([crop.model_input for crop in crops]))


def _cut(image: Any, box_xyxy: Sequence[int]) -> Any:
    """A part of a Pillow image, or of an array (H, W, 3)."""
    x0, y0, x1, y1 = box_xyxy
    return image[y0:y1, x0:x1] if isinstance(image, np.ndarray) else image.crop((x0, y0, x1, y1))
