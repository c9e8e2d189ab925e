"""Images to what the model takes: what both image processors compute, without what makes them Transformers' classes.

Options and sizes are in `options.py`, reading of images in `load.py`, and how pixels are resized and normalised in
`resize_pillow.py` and `resize_torch.py`: `RESIZERS` is the one place where one of the two is chosen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from transformers.image_processing_base import BatchFeature

from ..geometry.coordinates import ResizeGeometry
from ..prompts.nested import flat_list
from ..support.unknown_names import check_known_options
from .options import INERT_CONFIG_KEYS, OPTION_NAMES, ImageOptions, batch_geometries, implied_options
from .resize_pillow import PillowResizer
from .resize_torch import TorchResizer
from .segmentation_maps import prepare_segmentation_maps

logger = logging.getLogger(__name__)

_OURS_ALONE = ("size_divisor", "value_range")  # written to a config file only where they say something


class SamInputs(BatchFeature):
    """What the processors return: a dictionary of tensors whose `to` casts the pixels and nothing else.

    In half precision a coordinate beyond 2048 falls on even pixels, so prompts stay float32 whatever the model's dtype.
    """

    def to(self, *args: Any, **kwargs: Any) -> SamInputs:
        """Move all tensors to a device, cast `pixel_values` to a dtype, as `torch.Tensor.to` does; return itself."""
        exact = {name: value for name, value in self.items() if name != "pixel_values"}
        super().to(*args, **kwargs)
        for name, value in exact.items():
            if isinstance(value, torch.Tensor):
                self[name] = value.to(self[name].device)
        return self


class Resizer(Protocol):
    """How images are read into memory, resized and normalised. What it loads, nobody else looks into."""

    def load(self, source: Any, **reading: Any) -> Any:
        """One image of any kind that `load_image` takes, with its options; checked, with the values that came."""

    def size_hw(self, image: Any) -> tuple[int, int]:
        """Height and width of a loaded image in pixels."""

    def pixel_values(
        self,
        images: list[Any],
        geometries: list[ResizeGeometry],
        options: ImageOptions,
        device: str | torch.device | None,
    ) -> torch.Tensor:
        """Pixel values (B, 3, H, W) float32 of loaded images, resized and normalised, zero in the padding."""

    def black_and_white(self, image: Any, geometry: ResizeGeometry, options: ImageOptions) -> tuple[float, float]:
        """The values of a loaded image that stand for black and white."""


RESIZERS: dict[str, Resizer] = {"pil": PillowResizer(), "torch": TorchResizer()}
"""By the name of the backend, as Transformers calls it."""

# Under which name a configuration file says which backend it was written by.
_TYPE_OF_BACKEND = {"pil": "SamImageProcessor", "torch": "SamImageProcessorFast"}


class ImagePreprocessor:
    """Images of any kind in, `pixel_values` and the sizes that lead back out.

    The fields of `ImageOptions` are attributes too, to be read and to be set.
    """

    backend: ClassVar[str] = "pil"

    def __init__(self, **options: Any) -> None:
        """Take the fields of `ImageOptions` by name.

        Raises:
            TypeError: If an option is unknown; the message names the nearest one.
            ValueError: If an option has a value that it cannot have.
        """
        super().__init__()
        self._options = ImageOptions.complete(self._known(options))

    def __getattr__(self, name: str) -> Any:
        if name not in OPTION_NAMES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = getattr(self._options, name)
        return list(value) if isinstance(value, tuple) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTION_NAMES:
            self._options = replace(self._options, **{name: value})
        else:
            super().__setattr__(name, value)

    @classmethod
    def from_dict(cls, image_processor_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Make one from the contents of `preprocessor_config.json`.

        Args:
            image_processor_dict: as `to_dict` gives it; keys that no SAM processor knows are named in the log and left
                out.
            **kwargs: options that override it; with `return_unused_kwargs=True` unknown ones come back as a second
                value.
        """
        return_unused = kwargs.pop("return_unused_kwargs", False)
        known = {name: value for name, value in image_processor_dict.items() if name in OPTION_NAMES}
        unknown = sorted(set(image_processor_dict) - set(known) - set(INERT_CONFIG_KEYS))
        if unknown:
            logger.warning("%s leaves out what it does not know in its configuration: %s.", cls.__name__, unknown)
        unused = {name: kwargs.pop(name) for name in list(kwargs) if name not in OPTION_NAMES} if return_unused else {}
        processor = cls(**{**known, **implied_options(kwargs), **kwargs})
        return (processor, unused) if return_unused else processor

    def to_dict(self) -> dict[str, Any]:
        """The options, as they are written to `preprocessor_config.json`."""
        options = {name: _plain(getattr(self._options, name)) for name in OPTION_NAMES}
        for name in _OURS_ALONE:
            if options[name] == getattr(ImageOptions, name):
                del options[name]
        names = {"image_processor_type": _TYPE_OF_BACKEND[self.backend], "processor_class": "SamProcessor"}
        return {**options, **names}

    # Sizes

    def options(self, **overrides: Any) -> ImageOptions:
        """The options of this preprocessor, with some overridden for one call."""
        overrides = self._known(overrides)
        return ImageOptions.complete(overrides, vars(self._options)) if overrides else self._options

    def _known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the options that have an effect.

        Raises:
            TypeError: If one is unknown.
            ValueError: If one asks for what SAM does not do.
        """
        if options.get("do_center_crop"):
            raise ValueError("`do_center_crop` must be False: SAM sees the whole image. Crop the image before.")
        known = {name: value for name, value in options.items() if name not in INERT_CONFIG_KEYS}
        check_known_options(known, OPTION_NAMES, type(self).__name__)
        return known

    def geometry(self, original_size_hw: Sequence[int], **overrides: Any) -> ResizeGeometry:
        """How an image is brought to the size of the model's input.

        Args:
            original_size_hw: height and width of the image in pixels.
            **overrides: options of this processor, for this call.
        """
        return self.options(**overrides).geometry(original_size_hw)

    def black_and_white(self, image: Any) -> tuple[float, float]:
        """Which values of this image stand for black and white.

        As `value_range` of a call they let a part of the image be seen as it is in the whole, where the range follows
        from the values.

        Args:
            image: as `load_image` takes it.
        """
        loaded = self._resizer.load(image)
        geometry = self._options.geometry(self._resizer.size_hw(loaded))
        return self._resizer.black_and_white(loaded, geometry, self._options)

    # Images

    def channels_first(self, image: Any) -> np.ndarray | torch.Tensor:
        """An image of any kind as (3, height, width), with the values that came; a view, where it can be one."""
        loaded = self._resizer.load(image)
        return loaded if isinstance(loaded, torch.Tensor) else np.asarray(loaded).transpose(2, 0, 1)

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> SamInputs:
        """Same as `preprocess`."""
        return self.preprocess(images, *args, **kwargs)

    def preprocess(
        self,
        images: Any,
        segmentation_maps: Any = None,
        *,
        return_tensors: str | None = None,
        device: str | torch.device | None = None,
        input_data_format: str | None = None,
        timeout: float | None = None,
        bands: Sequence[int] | None = None,
        page: int | None = None,
        **overrides: Any,
    ) -> SamInputs:
        """Resize, rescale, normalise and pad images.

        Args:
            images: one image or several (a list or tuple, nested or not, or an array of four axes), each of any kind
                that `anymask.images.load.load_image` takes.
            segmentation_maps: for training, one integer map per image, as high and wide as the image, or several: see
                `SamProcessor`.
            return_tensors: "pt" for torch, "np" for NumPy, None for lists of NumPy arrays and of sizes.
            device: where the result lies; with torch's resize also where it is computed.
            input_data_format: "channels_first" or "channels_last", for arrays whose shape allows both.
            timeout: seconds for each URL.
            bands: which bands of each image are red, green and blue, as `load_image` has it.
            page: of each image file, likewise.
            **overrides: options of this processor, for this call.

        Returns:
            `pixel_values` (B, 3, H, W) float32; `original_sizes` and `reshaped_input_sizes` (B, 2) int64, height and
            width before and after resizing; with segmentation maps, `labels` (B, h, w) int64, or (B, maps, h, w) where
            an image has several, -100 throughout where another has fewer.

        Raises:
            TypeError: If an option or the kind of an image is unknown.
            ValueError: If an image or a segmentation map cannot be used; the message says why.
        """
        check_tensor_type(return_tensors)
        options = self.options(**overrides)
        resizer = self._resizer
        reading = {"timeout": timeout, "input_data_format": input_data_format, "bands": bands, "page": page}
        loaded = [resizer.load(source, **reading) for source in flat_list(images)]
        geometries = batch_geometries([resizer.size_hw(image) for image in loaded], options)
        pixel_values = resizer.pixel_values(loaded, geometries, options, device)
        data: dict[str, Any] = {
            "pixel_values": pixel_values,
            "original_sizes": [geometry.original_size_hw for geometry in geometries],
            "reshaped_input_sizes": [geometry.resized_size_hw for geometry in geometries],
        }
        if segmentation_maps is not None:
            data["labels"] = prepare_segmentation_maps(segmentation_maps, geometries, options)
        return to_inputs(data, return_tensors)

    @property
    def _resizer(self) -> Resizer:
        return RESIZERS[self.backend]


class HasImageProcessor(Protocol):
    """What holds an image processor, as `SamProcessor` does."""

    @property
    def image_processor(self) -> ImagePreprocessor:
        """Of images of any kind."""


Processor = ImagePreprocessor | HasImageProcessor
"""A `SamProcessor`, or its image processor: what is asked for where images are prepared."""


def image_processor_of(processor: Processor) -> ImagePreprocessor:
    """The image processor of a `SamProcessor`; an image processor itself, or nothing, as it is."""
    found: Any = getattr(processor, "image_processor", processor)
    return found


def check_processor(processor: Any) -> ImagePreprocessor:
    """The image processor of a processor, which may be one itself.

    Raises:
        TypeError: If it is none of this package's.
    """
    image_processor = image_processor_of(processor)
    if not isinstance(image_processor, ImagePreprocessor):
        raise TypeError(
            "`processor` must be an anymask.SamProcessor or one of anymask's image processors, got "
            f"{type(processor).__module__}.{type(processor).__name__}; load it with anymask's from_pretrained."
        )
    return image_processor


def to_inputs(data: Mapping[str, Any], return_tensors: str | None) -> SamInputs:
    """Pixels, sizes, labels and prompts in the kind of tensor that was asked for."""
    converted: dict[str, Any] = {}
    for name, value in data.items():
        if return_tensors is None:
            array = value.numpy(force=True) if isinstance(value, torch.Tensor) else value
            converted[name] = list(array) if name == "pixel_values" else array
            continue
        if not isinstance(value, torch.Tensor):
            array = np.asarray(value)
            value = torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array)
        converted[name] = value if return_tensors == "pt" else value.numpy(force=True)
    return SamInputs(converted)


def check_tensor_type(return_tensors: str | None) -> None:
    """Raise ValueError for a kind of tensor that is not made here."""
    if return_tensors not in (None, "pt", "np"):
        raise ValueError(f"`return_tensors` must be 'pt', 'np' or None, got {return_tensors!r}.")


def _plain(value: Any) -> Any:
    """Tuples as lists, and copies of what is mutable, as JSON would bring them back."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | list) else value
