"""SamImageProcessor: images to `pixel_values` with Pillow's resize, and masks back, as one of Transformers' classes.

What it computes is in `images/`: `preparation.py` on the way in, `post_processing.py` on the way back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import ImagesKwargs

from .checkpoints import CheckpointError, explained_errors, is_checkpoint_file, processor_options, processor_source
from .images import post_processing
from .images.preparation import ImagePreprocessor
from .masks.rle import Rle
from .weights.hub import options_for_hub
from .weights.names import resolve_checkpoint

# Arguments of `from_pretrained` that say where a checkpoint's files lie; pointless for a single file of weights.
HUB_OPTIONS = ("cache_dir", "force_download", "proxies", "token", "local_files_only", "revision", "subfolder")
_FILE_OPTIONS = (*HUB_OPTIONS, "image_processor_filename", "_from_auto", "_from_pipeline")


class SamImageProcessorKwargs(ImagesKwargs, total=False):  # type: ignore[call-arg]  # a TypedDict, unseen
    """The options of SAM's image processors beside those that all image processors have, for Transformers' code."""

    mask_size: dict[str, int]
    mask_pad_size: dict[str, int]
    size_divisor: int | None
    value_range: Any


class SamImageProcessorBase(ImagePreprocessor, BaseImageProcessor):
    """An `ImagePreprocessor` that loads and saves as Transformers' image processors do, and takes masks back too."""

    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    valid_kwargs: ClassVar[type] = SamImageProcessorKwargs

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Load `preprocessor_config.json` of a packaged checkpoint, a local folder or file, or a hub id.

        For a file of weights, which says nothing of preprocessing, it is SAM's own at the size of the file's model.
        MedSAM's files cannot be told from it: pass its options, see docs/medical.md.

        Args:
            pretrained_model_name_or_path: name, path or hub id.
            **kwargs: options that override the file's, and those of the hub (`revision`, `token`, `cache_dir`, ...).

        Raises:
            OSError: If there is no such file, or the hub does not answer.
            TypeError: If an option is unknown.
            ValueError: If an option has a value that it cannot have, or the file holds no options.
        """
        # Transformers' Auto classes and pipelines hand one set of arguments to every part of a model, so what they call
        # with cannot be checked here.
        is_shared = "_from_auto" in kwargs or "_from_pipeline" in kwargs
        if is_shared and not kwargs.get("return_unused_kwargs"):
            return super().from_pretrained(
                resolve_checkpoint(pretrained_model_name_or_path), **kwargs, return_unused_kwargs=True
            )[0]
        return super().from_pretrained(resolve_checkpoint(pretrained_model_name_or_path), **kwargs)

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The saved options, and those of `kwargs` that say nothing about where they are; see `from_pretrained`.

        Raises:
            OSError: If there are none.
            CheckpointError: If what is there is no JSON object.
        """
        source = processor_source(pretrained_model_name_or_path)
        if is_checkpoint_file(source):
            options = {name: value for name, value in kwargs.items() if name not in _FILE_OPTIONS}
            return processor_options(source), options
        try:
            with explained_errors(source):
                saved, options = super().get_image_processor_dict(source, **options_for_hub(source, kwargs))
            return {**saved}, options
        except (AttributeError, TypeError) as error:
            raise CheckpointError(
                f"The preprocessor_config.json of {source} must hold a JSON object of options, but: {error}; take the "
                f"file that came with the weights."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The options and the class name, as they are written to `preprocessor_config.json`."""
        return {**super().to_dict(), "image_processor_type": type(self).__name__}

    def post_process_masks(
        self,
        masks: Any,
        original_sizes: Any,
        reshaped_input_sizes: Any,
        mask_threshold: float = 0.0,
        binarize: bool = True,
        pad_size: Mapping[str, int] | Sequence[int] | int | None = None,
    ) -> list[torch.Tensor]:
        """Remove the padding of masks and bring them to the size of the original images.

        Args:
            masks: `pred_masks` of the model, (B, P, M, h, w), or a list of (P, M, h, w), one per image; tensors or
                arrays.
            original_sizes: (B, 2), height and width of the images, as the processor returned them.
            reshaped_input_sizes: (B, 2), height and width after resizing, likewise.
            mask_threshold: logits above it are foreground.
            binarize: whether to return masks or logits.
            pad_size: height and width of the model's input in pixels, where it is not this processor's own.

        Returns:
            For each image (P, M, H, W) bool, or float32 logits with `binarize=False`, on the device of its masks.

        Raises:
            ValueError: If the numbers of masks and sizes differ, or the sizes cannot be.
        """
        return post_processing.post_process_masks(
            masks,
            original_sizes,
            reshaped_input_sizes,
            options=self.options(),
            pad_size=pad_size,
            mask_threshold=mask_threshold,
            binarize=binarize,
        )

    def generate_crop_boxes(
        self,
        image: Any,
        target_size: int | None = None,
        crop_n_layers: int = 0,
        overlap_ratio: float = 512 / 1500,
        points_per_crop: int = 32,
        crop_n_points_downscale_factor: int = 1,
        device: str | torch.device | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, list[Any], torch.Tensor]:
        """Cut an image into layers of overlapping crops, each with a grid of points.

        Args:
            image: any image that `preprocess` takes.
            target_size: longest edge of a resized crop in pixels; by default this processor's own resize.
            crop_n_layers: layers beyond the whole image; layer i has 2^i x 2^i crops.
            overlap_ratio: how much crops of the first layer overlap, as a part of the image's shorter side.
            points_per_crop: points along each side of the grid.
            crop_n_points_downscale_factor: in layer i the grid's side is divided by this to the power of i.
            device: where the tensors lie; by default the CPU.

        Returns:
            Crop boxes (C, 4) float32 x0, y0, x1, y1 in pixels of the image; points (1, N, C, 2) float32 in pixels of
            each resized crop; the crops, 3 x height x width; labels (1, N, C) int64. Smaller grids are filled up with
            padding.
        """
        pixels = self.channels_first(image)
        boxes, points, labels = post_processing.generate_crop_boxes(
            (int(pixels.shape[1]), int(pixels.shape[2])),
            options=self.options()
            if target_size is None
            else self.options(do_resize=True, size=target_size, do_pad=False),
            crop_n_layers=crop_n_layers,
            overlap_ratio=overlap_ratio,
            points_per_crop=points_per_crop,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
        )
        crops = [pixels[:, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes.int().tolist()]
        return boxes.to(device), points.to(device), crops, labels.to(device)

    def filter_masks(
        self,
        masks: torch.Tensor,
        iou_scores: torch.Tensor,
        original_size: Sequence[int],
        cropped_box_image: Sequence[float],
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        mask_threshold: float = 0.0,
        stability_score_offset: float = 1.0,
    ) -> tuple[list[Rle], torch.Tensor, torch.Tensor]:
        """Keep the masks of a crop that are good, stable and not cut off by the crop's edge.

        Args:
            masks: (P, M, h, w) logits at the size of the crop.
            iou_scores: (P, M) predicted by the model.
            original_size: height and width of the image in pixels.
            cropped_box_image: the crop, x0, y0, x1, y1 in pixels of the image.
            pred_iou_thresh: masks with a predicted IoU above it are kept; 0 keeps all.
            stability_score_thresh: masks at least as stable are kept; 0 keeps all.
            mask_threshold: logits above it are foreground.
            stability_score_offset: by how much the threshold moves each way to see how stable a mask is.

        Returns:
            RLEs of the whole image, scores (n,), and boxes (n, 4) int64 in pixels of the image.
        """
        return post_processing.filter_masks(
            masks,
            iou_scores,
            original_size,
            cropped_box_image,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            mask_threshold=mask_threshold,
            stability_score_offset=stability_score_offset,
        )

    def post_process_for_mask_generation(
        self, all_masks: Sequence[Rle], all_scores: torch.Tensor, all_boxes: torch.Tensor, crops_nms_thresh: float
    ) -> tuple[list[np.ndarray], torch.Tensor, list[Rle], torch.Tensor]:
        """Drop masks whose boxes repeat those of better ones.

        Args:
            all_masks: RLEs of all crops.
            all_scores: (N,) predicted IoU.
            all_boxes: (N, 4), x0, y0, x1, y1 in pixels of the image.
            crops_nms_thresh: boxes that overlap a better one with a larger IoU are dropped.

        Returns:
            Masks (H, W) bool, scores, RLEs and boxes of what was kept, best first.
        """
        return post_processing.post_process_for_mask_generation(all_masks, all_scores, all_boxes, crops_nms_thresh)


class SamImageProcessor(SamImageProcessorBase):
    """Prepares images for SAM with Pillow and NumPy, on the CPU: the resize that SAM was trained with.

    Options are the fields of `anymask.images.options.ImageOptions`, with the names and defaults of Transformers'
    `SamImageProcessor`. MedSAM's preprocessing is `SamImageProcessor(size={"height": 1024, "width": 1024}, resample=3,
    value_range="min_max", do_normalize=False)`; add a window, `value_range=(-160, 240)` instead of "min_max", for CT
    slices in Hounsfield units.

    Examples:
        >>> import numpy as np
        >>> from anymask import SamImageProcessor
        >>> inputs = SamImageProcessor()(np.zeros((40, 60, 3), dtype=np.uint8), return_tensors="pt")
        >>> inputs["pixel_values"].shape, inputs["reshaped_input_sizes"]
        (torch.Size([1, 3, 1024, 1024]), tensor([[ 683, 1024]]))
    """


SamImageProcessorPil = SamImageProcessor
"""Transformers' name of the one that resizes with Pillow; see docs/decisions/0013-image-processors.md."""
