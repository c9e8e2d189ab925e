"""The options of the image processors: checked once, and what follows from them, sizes and value ranges.

Names and defaults are those of Transformers' `SamImageProcessor`, so its `preprocessor_config.json` files load
unchanged. Ours beyond them: `size` as a height and a width, `size_divisor` and `value_range`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from PIL import Image

from ..geometry.coordinates import MASK_PIXELS_PER_PATCH, ResizeGeometry, resized_size_hw

# Stored by some versions of Transformers beside the options; none of them changes what a SAM processor does.
INERT_CONFIG_KEYS = (
    *("processor_class", "image_processor_type", "feature_extractor_type", "auto_map", "crop_size", "data_format"),
    *("default_to_square", "device", "disable_grouping", "do_center_crop", "image_seq_length", "input_data_format"),
    *("return_tensors", "_processor_class", "_valid_processor_keys", "_valid_kwargs_names", "_commit_hash"),
)
_NONE_HAS_A_MEANING = ("pad_size", "mask_pad_size", "size_divisor")


@dataclass(frozen=True)
class ImageOptions:
    """Options of `SamImageProcessor` and `SamImageProcessorFast`, checked when it is made.

    Attributes:
        do_resize: bring images to `size`; otherwise they keep theirs.
        size: {"longest_edge": n} keeps the aspect ratio, as SAM was trained; {"height": h, "width": w} does not, as
            MedSAM was.
        resample: Pillow's code of the filter; 2 is bilinear, with antialiasing when shrinking.
        do_rescale: bring values from black .. white (see `value_range`) to 0 .. 255 x `rescale_factor`; otherwise they
            stay as they came.
        rescale_factor: what one step of an 8-bit image becomes.
        do_normalize: subtract `image_mean` and divide by `image_std`, after rescaling.
        image_mean: per channel.
        image_std: per channel.
        do_pad: pad with zeros, after normalising, at the right and at the bottom.
        pad_size: {"height": h, "width": w} to pad to. None pads no further than `size_divisor` and the largest image
            of the batch ask for.
        mask_size: what `size` is, for segmentation maps and mask prompts: that of the model's low-resolution masks,
            which have four pixels per patch.
        mask_pad_size: what `pad_size` is, for them. Where `size_divisor` decides, both follow from the image's.
        do_convert_rgb: without effect, as files have it; SAM takes three channels, so a grey image always becomes three
            equal ones.
        size_divisor: without `pad_size`, pad to a multiple of this: the model's patch size. Rectangular images then
            reach the model without a square's padding; call it with `interpolate_pos_encoding=True`.
        value_range: which values stand for black and white. "auto": by dtype, by the table of `load.py`. (black,
            white): these values, what lies outside is clipped; a CT window of level 40 and width 400 is (-160, 240).
            "min_max": the darkest and the brightest value of each image, after resizing, as MedSAM has it.
    """

    do_convert_rgb: bool = True
    do_resize: bool = True
    size: Any = 1024
    resample: int = int(Image.Resampling.BILINEAR)
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: Any = (0.485, 0.456, 0.406)
    image_std: Any = (0.229, 0.224, 0.225)
    do_pad: bool = True
    pad_size: Any = 1024
    mask_size: Any = 256
    mask_pad_size: Any = 256
    size_divisor: int | None = None
    value_range: Any = "auto"

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name in ("size", "mask_size"):
            set_field(self, name, _size(name, getattr(self, name), allow_longest_edge=True))
        for name in ("pad_size", "mask_pad_size"):
            if getattr(self, name) is not None:
                set_field(self, name, _size(name, getattr(self, name), allow_longest_edge=False))
        for name in ("image_mean", "image_std"):
            set_field(self, name, _per_channel(name, getattr(self, name)))
        if 0.0 in self.image_std:
            raise ValueError(f"`image_std` must not hold zero, got {self.image_std}.")
        if self.size_divisor is not None and self.size_divisor < 1:
            raise ValueError(f"`size_divisor` must be the model's patch size or None, got {self.size_divisor}.")
        set_field(self, "resample", _filter_code(self.resample))
        set_field(self, "value_range", _value_range(self.value_range))

    @classmethod
    def complete(cls, given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> ImageOptions:
        """Options from those given, those of `base`, and the defaults, in this order."""
        given = {name: value for name, value in given.items() if value is not None or name in _NONE_HAS_A_MEANING}
        return cls(**{**(base or {}), **implied_options(given), **given})

    def geometry(self, original_size_hw: Sequence[int]) -> ResizeGeometry:
        """The way of an image of this height and width to the model's input, when it is alone in its batch."""
        height, width = (int(side) for side in original_size_hw)
        resized = _resized((height, width), self.size) if self.do_resize else (height, width)
        if not self.do_pad:
            padded = resized
        elif self.pad_size is not None:
            padded = (self.pad_size["height"], self.pad_size["width"])
        else:
            divisor = self.size_divisor or 1
            padded = (_round_up(resized[0], divisor), _round_up(resized[1], divisor))
        return ResizeGeometry((height, width), resized, padded)

    def mask_geometry(self, geometry: ResizeGeometry) -> ResizeGeometry:
        """The way of a segmentation map or mask prompt, as large as its image, to the model's low-resolution frame.

        Args:
            geometry: of the image; where its padding depends on the batch, so does that of the mask.

        Raises:
            ValueError: If one of `size` and `mask_size` is a longest edge, and the other is not.
        """
        if ("longest_edge" in self.size) != ("longest_edge" in self.mask_size):
            raise ValueError(
                "`size` and `mask_size` must both be a longest edge or both a height and a width, "
                f"got {self.size} and {self.mask_size}."
            )
        resized = _resized(geometry.original_size_hw, self.mask_size)
        if self.pad_size is None and self.size_divisor is not None:
            stride = self.size_divisor / MASK_PIXELS_PER_PATCH  # the divisor is the patch size
            resized, padded = (
                (max(int(height / stride + 0.5), 1), max(int(width / stride + 0.5), 1))
                for height, width in (geometry.resized_size_hw, geometry.padded_size_hw)
            )
        elif self.mask_pad_size is not None:
            padded = (self.mask_pad_size["height"], self.mask_pad_size["width"])
        else:
            padded = resized
        return ResizeGeometry(geometry.original_size_hw, resized, padded)

    def affine(self, black: float, white: float) -> tuple[list[float], list[float]]:
        """Gain and offset per channel that rescale and normalise pixels in one step: value x gain + offset.

        Args:
            black: the value that stands for black.
            white: the value that stands for white.
        """
        if self.value_range == "auto" and not self.do_rescale:
            gain, offset = 1.0, 0.0
        else:
            gain = (255.0 * self.rescale_factor if self.do_rescale else 1.0) / max(white - black, 1e-8)
            offset = -black * gain
        if not self.do_normalize:
            return [gain] * 3, [offset] * 3
        gains = [gain / std for std in self.image_std]
        offsets = [(offset - mean) / std for mean, std in zip(self.image_mean, self.image_std, strict=True)]
        return gains, offsets


class Size(dict[str, int]):
    """A size as files write it, {"longest_edge": n} or {"height": h, "width": w}, with its sides as attributes too.

    As an attribute a side that it does not have is None, as in Transformers' `SizeDict`.
    """

    def __getattr__(self, name: str) -> int | None:
        if name not in ("longest_edge", "height", "width"):
            raise AttributeError(f"a size has no side {name!r}")
        return self.get(name)


OPTION_NAMES = tuple(option.name for option in fields(ImageOptions))


def implied_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from options that are given, for those that are not, before what was saved or is the default.

    A fixed `size` has no padding beyond it, and masks of a quarter of its sides. A `size_divisor` goes before the
    `pad_size`.
    """
    implied: dict[str, Any] = {}
    if given.get("size") is not None:
        size = _size("size", given["size"], allow_longest_edge=True)
        if "longest_edge" not in size:
            quarter = {name: math.ceil(length / MASK_PIXELS_PER_PATCH) for name, length in size.items()}
            implied = {"pad_size": size, "mask_size": quarter, "mask_pad_size": quarter}
    if given.get("size_divisor") is not None:
        implied["pad_size"] = None
    return implied


def batch_geometries(sizes_hw: Iterable[Sequence[int]], options: ImageOptions) -> list[ResizeGeometry]:
    """The geometry of each image of a batch; what is padded without a fixed size is padded to the largest.

    Raises:
        ValueError: If sizes differ after resizing, and nothing is padded.
    """
    geometries = [options.geometry(size_hw) for size_hw in sizes_hw]
    padded = {geometry.padded_size_hw for geometry in geometries}
    if len(padded) <= 1:
        return geometries
    if not options.do_pad:
        raise ValueError(
            f"Images of a batch must have one size, got {sorted(padded)} (height x width) after resizing. "
            "Set do_pad=True, or process them one by one."
        )
    largest = (max(height for height, _ in padded), max(width for _, width in padded))
    return [replace(geometry, padded_size_hw=largest) for geometry in geometries]


def _resized(original_size_hw: Sequence[int], size: Mapping[str, int]) -> tuple[int, int]:
    if "longest_edge" in size:
        return resized_size_hw(original_size_hw, size["longest_edge"])
    return size["height"], size["width"]


def _round_up(length: int, divisor: int) -> int:
    return -(-length // divisor) * divisor


def _size(name: str, value: Any, allow_longest_edge: bool) -> Size:
    """A size in its one form: a dict of positive ints."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"longest_edge": value} if allow_longest_edge else {"height": value, "width": value}
    elif isinstance(value, Sequence) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    forms = ({"height", "width"}, {"longest_edge"}) if allow_longest_edge else ({"height", "width"},)
    # Transformers' own size objects have every key, unused ones as None.
    size = {key: side for key, side in dict(value).items() if side is not None} if hasattr(value, "keys") else {}
    if set(size) not in forms or not all(float(side).is_integer() and side >= 1 for side in size.values()):
        accepted = ("{'longest_edge': n} or " if allow_longest_edge else "") + "{'height': h, 'width': w}"
        raise ValueError(f"`{name}` must be {accepted} in whole pixels, got {value!r}.")
    return Size({key: int(side) for key, side in size.items()})


def _per_channel(name: str, value: Any) -> tuple[float, ...]:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(channel) for channel in value]
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"`{name}` must be one finite number or three, one per channel, got {value!r}.")
    return tuple(values)


def _filter_code(value: Any) -> int:
    try:
        return int(Image.Resampling(value))
    except ValueError as error:
        names = ", ".join(f"{int(code)} ({code.name.lower()})" for code in Image.Resampling)
        raise ValueError(f"`resample` must be one of Pillow's filters {names}, got {value!r}.") from error


def _value_range(value: Any) -> str | tuple[float, float]:
    if value in ("auto", "min_max"):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        black, white = float(value[0]), float(value[1])
        if black < white:
            return black, white
    raise ValueError(f"`value_range` must be 'auto', 'min_max' or (black, white) with black < white, got {value!r}.")
