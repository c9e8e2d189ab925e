"""SamProcessor: images and prompts of any nesting in, everything that `SamModel.forward` takes out, and masks back.

Prompts are read, checked, scaled and padded in `prompts/`; images go through the image processor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import ProcessorMixin

from .geometry.coordinates import LABEL_PADDING
from .image_processing_sam import SamImageProcessor, SamImageProcessorBase
from .image_processing_sam_fast import SamImageProcessorFast
from .images.options import INERT_CONFIG_KEYS, OPTION_NAMES, batch_geometries
from .images.preparation import ImagePreprocessor, SamInputs, check_tensor_type, to_inputs
from .images.segmentation_maps import prepare_segmentation_maps
from .prompts.mask_prompts import prepare_mask_prompts
from .prompts.tensors import count_prompts, prepare_prompts
from .support.unknown_names import check_known_options
from .weights.names import resolve_checkpoint

_CALL_OPTIONS = ("return_tensors", "device", "input_data_format", "timeout", "bands", "page", *OPTION_NAMES)
_PROMPTS = ("segmentation_maps", "input_points", "input_labels", "input_boxes")
# What Transformers' processors take, and what changes nothing for SAM.
_WITHOUT_EFFECT = ("padding", "return_dict", "text_kwargs")
_OF_ALL_PARTS = ("trust_remote_code", "torch_dtype", "dtype")


class SamProcessor(ProcessorMixin):
    """Prepares images and prompts for `SamModel`, and brings its masks back to the size of the images.

    Coordinates are pixels of the original image, x to the right and y down; boxes are x0, y0, x1, y1. Prompts may be
    nested lists, tuples, arrays or tensors. What may be left out of the nesting:

    | prompt         | nesting                                | meaning                                              |
    |----------------|----------------------------------------|------------------------------------------------------|
    | `input_points` | `[image][prompt][point][x, y]`         | everything said                                      |
    |                | `[image][point][x, y]`                 | the points of one prompt in each image               |
    |                | `[point][x, y]`                        | one image: the points of one prompt                  |
    |                | `[image][x, y]`                        | several images: one point in each                    |
    |                | `[x, y]`                               | one point in one image                               |
    | `input_labels` | like `input_points` without `[x, y]`   | 1 foreground, 0 background; all 1 if left out        |
    | `input_boxes`  | `[image][prompt][x0, y0, x1, y1]`      | everything said                                      |
    |                | `[prompt][x0, y0, x1, y1]`             | one image: one prompt per box                        |
    |                | `[image][x0, y0, x1, y1]`              | several images: one box in each                      |
    |                | `[x0, y0, x1, y1]`                     | one box in one image                                 |
    | `input_masks`  | `(image, prompt, height, width)`       | a mask per prompt                                    |
    |                | `(image, height, width)`               | several images: one mask in each                     |
    |                | `(prompt, height, width)`              | one image: a mask per prompt, or one for all         |
    |                | `(height, width)`                      | one mask in one image                                |

    Labels may leave out other levels than their points do. Numbers of prompts, points and boxes may differ between
    images and prompts; None stands for what a prompt or an image does not have:
    `input_points=[[[[450, 600]], None]], input_boxes=[[None, [75, 275, 1725, 850]]]` is a prompt with a point and one
    with a box. `input_masks=[[None, mask]]` gives the second of them a mask too.

    Examples:
        >>> from anymask import SamProcessor
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> inputs = processor("photo.jpg", input_points=[[[300, 200]]], return_tensors="pt")
        >>> inputs["pixel_values"].shape, inputs["input_points"].shape
        (torch.Size([1, 3, 320, 320]), torch.Size([1, 1, 1, 2]))
    """

    point_pad_value = LABEL_PADDING

    def __init__(self, image_processor: Any) -> None:
        """Take an image processor.

        Args:
            image_processor: a `SamImageProcessor` or a `SamImageProcessorFast`. What has the options of one, such as
                Transformers' image processors of SAM, becomes the one that resizes like it.

        Raises:
            TypeError: If it is no image processor of SAM.
        """
        super().__init__(_as_ours(image_processor))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        use_fast: bool | None = None,
        backend: str | None = None,
        image_processor: Any = None,
        **kwargs: Any,
    ) -> SamProcessor:
        """Load the processor of a packaged checkpoint, a local folder, a file of weights, or a hub id.

        Args:
            pretrained_model_name_or_path: name, folder, file or hub id.
            use_fast: True for `SamImageProcessorFast`, False for `SamImageProcessor`. By default the one that was
                saved, and `SamImageProcessor`, with the resize that SAM was trained with, for what Transformers saved.
            backend: the same in Transformers 5: "torchvision" or "pil".
            image_processor: stands in for the one of the checkpoint.
            **kwargs: options of the image processor that override the saved ones, and those of the hub.
                `trust_remote_code` and `torch_dtype`, which Transformers hands to every part of a model, have no
                meaning here.

        Raises:
            OSError: If there is no such checkpoint, or the hub does not answer.
            TypeError: If an option is unknown.
            ValueError: If the backend is another, or an option has a value that it cannot have.
        """
        if backend not in (None, "pil", "torchvision"):
            raise ValueError(f"`backend` must be 'pil', 'torchvision' or None, got {backend!r}.")
        if image_processor is not None:
            return cls(image_processor)
        kwargs = {name: value for name, value in kwargs.items() if name not in _OF_ALL_PARTS}
        checkpoint = resolve_checkpoint(pretrained_model_name_or_path)
        if backend is not None:
            use_fast = backend == "torchvision"
        if use_fast is None:
            image_processor_class = saved_image_processor_class(checkpoint, **kwargs)
        else:
            image_processor_class = SamImageProcessorFast if use_fast else SamImageProcessor
        return cls(image_processor_class.from_pretrained(checkpoint, **kwargs))

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> list[str]:
        """Write `processor_config.json`, and `preprocessor_config.json`, where Transformers 4 and transformers.js look.

        Args:
            save_directory: folder; made where there is none.
            push_to_hub: whether to upload it too.
            **kwargs: of the upload, `repo_id` among them; by default the folder's name.

        Returns:
            The files that were written.
        """
        folder = os.fspath(save_directory)
        files = [*super().save_pretrained(folder), *self.image_processor.save_pretrained(folder)]
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(os.path.abspath(save_directory))), **kwargs)
        return files

    @property
    def target_size(self) -> int:
        """The longer side of resized images in pixels."""
        return max(self.image_processor.size.values())

    @property
    def model_input_names(self) -> list[str]:
        """Names of what the processor returns for an image without prompts."""
        return [*self.image_processor.model_input_names, "original_sizes", "reshaped_input_sizes"]

    def __call__(
        self,
        images: Any = None,
        text: None = None,
        segmentation_maps: Any = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        input_masks: Any = None,
        original_sizes: Any = None,
        point_pad_value: int | None = None,
        images_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> SamInputs:
        """Prepare images with their prompts, or prompts alone for images that were encoded before.

        Args:
            images: see `SamImageProcessor.preprocess`. May be left out where `original_sizes` is given.
            text: must be None, SAM takes none; it is here because every processor has it second.
            segmentation_maps: for training, as high and wide as the images, whole numbers; come back as `labels`. One
                for each image, which all its prompts mean: HxW, a list of them, or (images, H, W). Or one for each
                prompt: (prompts, H, W) of one image, (images, prompts, H, W), or a list with an array or a list of maps
                for each image.
            input_points: see the table above.
            input_labels: see the table above.
            input_boxes: see the table above.
            input_masks: a binary mask as large as its image, or the low-resolution logits of an earlier prediction.
            original_sizes: (B, 2), height and width of each image; stands in for `images`.
            point_pad_value: only -10, the label of padding.
            images_kwargs: options of the image processor, and prompts, as Transformers' processors take them; they go
                before the others.
            **kwargs: `return_tensors`, `device`, `input_data_format`, `timeout`, `bands`, `page`, and options of the
                image processor. `padding`, `data_format` and `return_dict` are taken, as in Transformers, and change
                nothing: prompts are always padded, channels always first.

        Returns:
            What the image processor returns, and the prompts in float32 pixels of the model's input: `input_points` (B,
            P, K, 2), `input_labels` (B, P, K) int64, `input_boxes` (B, P, 4) and `input_masks` (B, 1 or P, h, w), as
            far as given. Where numbers differ between prompts or images, points, labels and boxes come back as
            `input_points` and `input_labels` alone: boxes as two points with labels 2 and 3, padding with label -10. A
            padding prompt, whose labels are all -10, gives a mask that means nothing. Segmentation maps come back as
            `labels` int64 of the size of the model's masks: (B, h, w) where each image has one, else (B, P, h, w), with
            -100 throughout for a padding prompt.

        Raises:
            TypeError: If an option is unknown.
            ValueError: If an image or a prompt cannot be used; the message says what came and what was expected.
        """
        if text is not None:
            raise ValueError("`text` must be None: SAM takes points, boxes and masks as prompts.")
        if point_pad_value not in (None, LABEL_PADDING):
            raise ValueError(
                f"`point_pad_value` must be {LABEL_PADDING}, which the model masks out, got {point_pad_value}."
            )
        kwargs = {**(kwargs.pop("common_kwargs", None) or {}), **kwargs, **(images_kwargs or {})}
        segmentation_maps, input_points, input_labels, input_boxes = (
            kwargs.pop(name, value)
            for name, value in zip(_PROMPTS, (segmentation_maps, input_points, input_labels, input_boxes), strict=True)
        )
        overrides, kwargs = _split_options(kwargs)
        return_tensors, device = kwargs.get("return_tensors"), kwargs.get("device")
        options = self.image_processor.options(**overrides)
        if images is not None:
            if original_sizes is not None:
                raise ValueError("Pass `images` or `original_sizes`, not both: images bring their sizes.")
            data = self.image_processor(images, **kwargs)
            sizes_hw = _sizes(data["original_sizes"])
        else:
            check_tensor_type(return_tensors)
            if segmentation_maps is not None:
                raise ValueError("`segmentation_maps` must come with `images`, got `original_sizes` alone.")
            sizes_hw = _sizes(original_sizes)
            data = {"original_sizes": sizes_hw}
        geometries = batch_geometries(sizes_hw, options)
        if images is None:
            data["reshaped_input_sizes"] = [geometry.resized_size_hw for geometry in geometries]
        prompts = prepare_prompts(input_points, input_labels, input_boxes, geometries)
        if input_masks is not None:
            mask_geometries = [options.mask_geometry(geometry) for geometry in geometries]
            n_prompts = count_prompts(prompts, len(geometries))
            prompts["input_masks"] = prepare_mask_prompts(input_masks, mask_geometries, n_prompts)
        if segmentation_maps is not None:
            n_prompts = count_prompts(prompts, len(geometries))
            data["labels"] = prepare_segmentation_maps(segmentation_maps, geometries, options, n_prompts)
        if device is not None:
            prompts = {name: value.to(device) for name, value in prompts.items()}
        return to_inputs({**data, **prompts}, return_tensors)

    def post_process_masks(self, *args: Any, **kwargs: Any) -> list[torch.Tensor]:
        """Same as `SamImageProcessor.post_process_masks`."""
        return self.image_processor.post_process_masks(*args, **kwargs)


def saved_image_processor_class(checkpoint: str | os.PathLike[str], **kwargs: Any) -> type[SamImageProcessorBase]:
    """The image processor that a checkpoint names; Pillow's where that is one of Transformers without "Fast".

    Args:
        checkpoint: name, folder, file or hub id.
        **kwargs: options of the hub, and others.
    """
    saved, _ = SamImageProcessor.get_image_processor_dict(checkpoint, **kwargs)
    return SamImageProcessorFast if str(saved.get("image_processor_type")).endswith("Fast") else SamImageProcessor


def _as_ours(image_processor: Any) -> SamImageProcessorBase:
    if isinstance(image_processor, SamImageProcessorBase):
        return image_processor
    name = type(image_processor).__name__
    if isinstance(image_processor, ImagePreprocessor):
        is_fast = image_processor.backend == "torch"
    elif isinstance(image_processor, BaseImageProcessor) and name.startswith("SamImageProcessor"):
        is_fast = not name.endswith("Pil")  # Transformers' other one resizes with torchvision
    else:
        raise TypeError(
            f"`image_processor` must be a SamImageProcessor or a SamImageProcessorFast, got {name}. "
            "SamProcessor.from_pretrained loads the processor of a checkpoint."
        )
    return (SamImageProcessorFast if is_fast else SamImageProcessor).from_dict(image_processor.to_dict())


def _split_options(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the image processor, and all keywords of its call, without those that change nothing.

    Raises:
        TypeError: If one is unknown.
    """
    overrides = {name: value for name, value in given.items() if name in (*OPTION_NAMES, "do_center_crop")}
    call = {
        name: value
        for name, value in given.items()
        if name in _CALL_OPTIONS or name not in (*_WITHOUT_EFFECT, *INERT_CONFIG_KEYS)
    }
    check_known_options(call, (*_CALL_OPTIONS, *_PROMPTS, "input_masks", "original_sizes"), "SamProcessor")
    return overrides, call


def _sizes(original_sizes: Any) -> list[tuple[int, int]]:
    """Sizes of images given as numbers, as a list of (height, width)."""
    if original_sizes is None:
        raise ValueError(
            "There must be `images`, or `original_sizes` for images that were encoded before; got neither."
        )
    if isinstance(original_sizes, torch.Tensor):
        original_sizes = original_sizes.tolist()
    array = np.asarray(original_sizes)
    if array.ndim == 1 and array.size == 2:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu" or array.min(initial=1) < 1:
        raise ValueError(
            f"`original_sizes` must be (height, width) in pixels of each image, shape (images, 2); got {original_sizes}"
        )
    return [(int(height), int(width)) for height, width in array]
