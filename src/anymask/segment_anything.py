"""The names of Meta's `segment_anything` package, for code that is being moved: thin adapters over this package.

Arguments, shapes and types are those of the original; the work is done by `SamModel`, `SamImageProcessor` and
`SamMaskGenerator`. Coordinates are x, y in pixels: of the image that `set_image` got where NumPy arrays are taken, of
the resized image in the methods whose names end in `_torch`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .checkpoints import default_processor_options
from .configuration_sam import SamConfig
from .embeddings.encoding import encode_pixel_values
from .geometry.coordinates import ResizeGeometry, resized_size_hw
from .image_processing_sam import SamImageProcessor
from .images.post_processing import post_process_masks
from .images.resize_torch import normalise_and_pad
from .mask_generation.generator import SamMaskGenerator
from .masks.record import MaskRecord
from .modeling.fast.decoder import PreparedImage
from .modeling_sam import SamModel

IMAGE_FORMATS = ("RGB", "BGR")


class Sam(SamModel):
    """A `SamModel` that is called as Meta's `Sam` too: with a list of images, each with its prompts.

    Attributes:
        mask_threshold: logits above it are foreground.
        image_format: order of the channels of images.
    """

    mask_threshold = 0.0
    image_format = "RGB"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer Meta's `batched_input` as `predict_batch` does, and everything else as `SamModel` does."""
        if "batched_input" in kwargs or (args and isinstance(args[0], list)):
            return self.predict_batch(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    @torch.no_grad()
    def predict_batch(self, batched_input: list[dict[str, Any]], multimask_output: bool) -> list[dict[str, Tensor]]:
        """Masks for prompts on several images, which are encoded together.

        Args:
            batched_input: For each image a dictionary with `image` (3, H, W), resized by `ResizeLongestSide`, 0 to 255;
                `original_size`, its height and width before; and as far as there are prompts, in pixels of the resized
                image, `point_coords` (B, N, 2) with `point_labels` (B, N), `boxes` (B, 4), `mask_inputs` (B, 1, h, w).
            multimask_output: Three masks for each prompt, or one.

        Returns:
            For each image `masks` (B, C, H, W) bool, as large as the original; `iou_predictions` (B, C);
            `low_res_logits` (B, C, h, w).
        """
        pixel_values = torch.stack([self.preprocess(record["image"]) for record in batched_input])
        answers = []
        for record, features in zip(batched_input, encode_pixel_values(self, pixel_values), strict=True):
            logits, scores = _decode(
                self,
                features[None],
                record.get("point_coords"),
                record.get("point_labels"),
                boxes=record.get("boxes"),
                mask_input=record.get("mask_inputs"),
                multimask_output=multimask_output,
            )
            masks = self.postprocess_masks(logits, record["image"].shape[-2:], record["original_size"])
            answers.append({"masks": masks > self.mask_threshold, "iou_predictions": scores, "low_res_logits": logits})
        return answers

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalise and pad images (..., 3, H, W) of 0 to 255, no larger than the model's input, to its square."""
        return _pixel_values(self, x)

    def postprocess_masks(self, masks: Tensor, input_size: Sequence[int], original_size: Sequence[int]) -> Tensor:
        """Remove the padding of logits (B, C, h, w) and bring them to the size of the image: (B, C, H, W) float32.

        Args:
            masks: (B, C, h, w), low-resolution logits.
            input_size: Height and width of the image after resizing, in pixels.
            original_size: The same before resizing, in pixels.
        """
        options = _image_processor(self).options()
        (logits,) = post_process_masks([masks], [original_size], [input_size], options=options, binarize=False)
        return logits


def _builder(preset: str) -> Callable[..., Sam]:
    def build(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
        if checkpoint is not None:
            return Sam.from_pretrained(checkpoint)
        return Sam(SamConfig.from_preset(preset)).eval()

    build.__doc__ = f"""Make a `Sam` in evaluation mode.

    Args:
        checkpoint: A file of weights in Meta's layout, or anything else that `SamModel.from_pretrained` takes; it says
            itself which size it is. None gives a {preset} with fresh weights.
    """
    return build


build_sam_vit_h, build_sam_vit_l, build_sam_vit_b = _builder("vit_h"), _builder("vit_l"), _builder("vit_b")
build_sam = build_sam_vit_h

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
}
"""Makes a model, by the name of Meta's size: `sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")`.

Examples:
    >>> from anymask import sam_model_registry
    >>> sam_model_registry["vit_b"]("sam-vit-nano").mask_threshold
    0.0
"""


class ResizeLongestSide:
    """Images, points and boxes to the model's input, whose longer side has a fixed length.

    Sizes are (height, width), `original_size` that of the image before resizing. What is given is never changed.
    """

    def __init__(self, target_length: int) -> None:
        """Take the longer side of resized images, in pixels."""
        self.target_length = target_length

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, 3) of uint8, resized, in the same form."""
        height, width = resized_size_hw(image.shape[:2], self.target_length)
        pillow = Image.fromarray(np.ascontiguousarray(image))
        return np.array(pillow.resize((width, height), Image.Resampling.BILINEAR))

    def apply_coords(self, coords: np.ndarray, original_size: Sequence[int]) -> np.ndarray:
        """Points (..., 2) of the original image to float64 points of the resized one."""
        return np.asarray(coords, dtype=np.float64) * self._scale_xy(original_size)

    def apply_boxes(self, boxes: np.ndarray, original_size: Sequence[int]) -> np.ndarray:
        """Boxes x0, y0, x1, y1 (N, 4) of the original image to float64 boxes of the resized one."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) of a floating type, resized with antialiasing; close to `apply_image`, not equal."""
        size_hw = resized_size_hw(image.shape[-2:], self.target_length)
        return F.interpolate(image, size_hw, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords_torch(self, coords: Tensor, original_size: Sequence[int]) -> Tensor:
        """Points (..., 2) of the original image to float32 points of the resized one."""
        scale_xy = torch.tensor(self._scale_xy(original_size), dtype=torch.float32, device=coords.device)
        return coords.to(torch.float32) * scale_xy

    def apply_boxes_torch(self, boxes: Tensor, original_size: Sequence[int]) -> Tensor:
        """Boxes x0, y0, x1, y1 (N, 4) of the original image to float32 boxes of the resized one."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """Height and width of an image of `oldh` x `oldw` pixels after resizing."""
        return resized_size_hw((oldh, oldw), long_side_length)

    def _scale_xy(self, original_size: Sequence[int]) -> tuple[float, float]:
        resized = resized_size_hw(original_size, self.target_length)
        height, width = original_size
        return ResizeGeometry((height, width), resized, resized).scale_xy


class SamPredictor:
    """Masks for prompts: the image is encoded once, by `set_image`, and prompted any number of times.

    Images are prepared as SAM was trained: resized so that the longer side fits, padded, with ImageNet's mean and
    deviation. A model that takes other preprocessing, such as MedSAM, needs anymask's own `SAM` or `SamProcessor`.

    Attributes:
        model: the `SamModel`.
        transform: brings images, points and boxes to the model's input.
        is_image_set: whether there is an image to prompt.
        features: the image embedding (1, C, h, w), or None without an image.
        original_size: height and width of the image in pixels, or None.
        input_size: height and width of the image in pixels after resizing, or None.

    Examples:
        >>> import numpy as np
        >>> from anymask import SamModel, SamPredictor, load_image
        >>> predictor = SamPredictor(SamModel.from_pretrained("sam-vit-nano"))
        >>> predictor.set_image(np.asarray(load_image("photo.jpg")))
        >>> masks, scores, logits = predictor.predict(np.array([[300, 200]]), np.array([1]))
        >>> masks.shape, scores.shape
        ((3, 400, 600), (3,))
    """

    mask_threshold = 0.0

    def __init__(self, sam_model: SamModel) -> None:
        """Take a model, on any device."""
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.config.vision_config.image_size)
        self._image_processor = _image_processor(sam_model)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def reset_image(self) -> None:
        """Forget the image."""
        self.is_image_set = False
        self.features: Tensor | None = None
        self._prepared: PreparedImage | None = None  # with the first prompt, and kept for all that follow
        self.original_size: tuple[int, int] | None = None
        self.input_size: tuple[int, int] | None = None

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Encode an image, to be prompted.

        Args:
            image: (H, W, 3), uint8, 0 to 255.
            image_format: order of its channels, "RGB", or "BGR" as OpenCV reads files.

        Raises:
            ValueError: If the format is another, or the array is not such an image.
        """
        if image_format not in IMAGE_FORMATS:
            raise ValueError(f"`image_format` must be one of {IMAGE_FORMATS}, got {image_format!r}.")
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            what = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(
                f"`image` must be an array (H, W, 3) of uint8, got {what}; anymask.load_image reads other images."
            )
        rgb = image[..., ::-1] if image_format == "BGR" else image
        inputs = self._image_processor(rgb, return_tensors="pt", input_data_format="channels_last")
        height, width = image.shape[:2]
        self._encode(inputs["pixel_values"], (height, width), tuple(inputs["reshaped_input_sizes"][0].tolist()))

    def set_torch_image(self, transformed_image: Tensor, original_image_size: Sequence[int]) -> None:
        """Encode an image that `transform.apply_image_torch` has resized.

        Args:
            transformed_image: (1, 3, H, W), RGB, 0 to 255, its longer side as the model takes it.
            original_image_size: height and width before resizing, in pixels.

        Raises:
            ValueError: If the shape is another.
        """
        shape, side = tuple(transformed_image.shape), self.transform.target_length
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != side:
            raise ValueError(
                f"`transformed_image` must have shape (1, 3, H, W) with a longer side of {side} pixels, got {shape}; "
                "resize it with transform.apply_image_torch."
            )
        pixel_values = _pixel_values(self.model, transformed_image)
        height, width = original_image_size
        self._encode(pixel_values, (int(height), int(width)), (shape[2], shape[3]))

    def get_image_embedding(self) -> Tensor:
        """The image embedding, (1, C, h, w)."""
        return self._image()[0]

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of one object.

        Args:
            point_coords: (N, 2), x and y in pixels of the image.
            point_labels: (N,), 1 foreground, 0 background.
            box: (4,), x0, y0, x1, y1 in pixels of the image.
            mask_input: (1, h, w), logits of an earlier prediction.
            multimask_output: three masks, for prompts that leave a choice, or one.
            return_logits: masks as logits, not bool.

        Returns:
            Masks (C, H, W) as large as the image, bool or float32; predicted IoU (C,) float32; low-resolution logits
            (C, h, w) float32, for `mask_input`.

        Raises:
            RuntimeError: If there is no image.
            ValueError: If points come without labels, or shapes do not fit.
        """
        _, original_size, _ = self._image()
        points = labels = boxes = masks = None
        if point_coords is not None:
            if point_labels is None:
                raise ValueError("`point_labels` must come with `point_coords`: 1 for foreground, 0 for background.")
            if np.ndim(point_coords) != 2 or np.shape(point_coords)[-1] != 2:
                raise ValueError(f"`point_coords` must have shape (N, 2), x and y, got {np.shape(point_coords)}.")
            coords = self.transform.apply_coords(point_coords, original_size)
            points = torch.as_tensor(coords, dtype=torch.float32, device=self.device)[None]
            labels = torch.as_tensor(np.asarray(point_labels), dtype=torch.int64, device=self.device)[None]
        if box is not None:
            if np.shape(box) not in ((4,), (1, 4)):
                raise ValueError(f"`box` must be x0, y0, x1, y1, got shape {np.shape(box)}; predict_torch takes more.")
            boxes = torch.as_tensor(
                self.transform.apply_boxes(box, original_size), dtype=torch.float32, device=self.device
            )
        if mask_input is not None:
            masks = torch.as_tensor(np.asarray(mask_input), dtype=torch.float32, device=self.device)[None]
        results = self.predict_torch(
            points, labels, boxes, masks, multimask_output=multimask_output, return_logits=return_logits
        )
        decoded, scores, logits = (result[0].cpu().numpy() for result in results)
        return decoded, scores, logits

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of several objects at once.

        Args:
            point_coords: (B, N, 2), x and y in pixels of the resized image; see `transform.apply_coords_torch`.
            point_labels: (B, N), 1 foreground, 0 background, -1 not a point.
            boxes: (B, 4), x0, y0, x1, y1 in pixels of the resized image.
            mask_input: (B, 1, h, w), logits of an earlier prediction.
            multimask_output: three masks, for prompts that leave a choice, or one.
            return_logits: masks as logits, not bool.

        Returns:
            Masks (B, C, H, W) as large as the image, bool or float32; predicted IoU (B, C) float32; low-resolution
            logits (B, C, h, w) float32, for `mask_input`. All on the model's device.

        Raises:
            RuntimeError: If there is no image.
            ValueError: If shapes do not fit.
        """
        features, original_size, input_size = self._image()
        if self._prepared is None or self._prepared.image_embeddings is not features:  # someone may set `features`
            self._prepared = self.model.prepare_image(features)
        logits, scores = _decode(
            self.model,
            self._prepared,
            point_coords,
            point_labels,
            boxes=boxes,
            mask_input=mask_input,
            multimask_output=multimask_output,
        )
        (masks,) = self._image_processor.post_process_masks(
            [logits], [original_size], [input_size], self.mask_threshold, binarize=not return_logits
        )
        return masks, scores, logits

    @torch.no_grad()
    def _encode(self, pixel_values: Tensor, original_size: tuple[int, int], input_size: tuple[int, int]) -> None:
        self.reset_image()
        self.features = encode_pixel_values(self.model, pixel_values)
        self.original_size, self.input_size, self.is_image_set = original_size, input_size, True

    def _image(self) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """Embedding, size and resized size of the image."""
        if self.features is None or self.original_size is None or self.input_size is None:
            raise RuntimeError("There must be an image to prompt, got none; call set_image first.")
        return self.features, self.original_size, self.input_size


class SamAutomaticMaskGenerator:
    """Masks of everything in an image, with Meta's arguments and defaults; see `SamMaskGenerator` and its options.

    Defaults are Meta's for every model. `sam-vit-nano`, whose predicted IoU is lower, needs lower thresholds;
    `SamMaskGenerator` takes those that a checkpoint brings.

    Attributes:
        predictor: A `SamPredictor` of the same model, for prompts.

    Examples:
        >>> import numpy as np
        >>> from anymask import SamAutomaticMaskGenerator, SamModel, load_image
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> lower = dict(pred_iou_thresh=0.4, stability_score_thresh=0.5)
        >>> generator = SamAutomaticMaskGenerator(model, points_per_side=8, **lower)
        >>> records = generator.generate(np.asarray(load_image("photo.jpg")))
        >>> sorted(records[0])[:3]
        ['area', 'bbox', 'crop_box']
    """

    def __init__(
        self,
        model: SamModel,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        """Take a model and the options; see `MaskGenerationOptions`."""
        self.predictor = SamPredictor(model)
        self._generator = SamMaskGenerator(
            model,
            _image_processor(model),
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=point_grids,
            min_mask_region_area=min_mask_region_area,
            output_mode=output_mode,
        )

    def generate(self, image: np.ndarray) -> list[MaskRecord]:
        """Masks of everything in an image (H, W, 3) of uint8 RGB; records as `SamMaskGenerator.generate` gives them."""
        return self._generator.generate(image)


def _decode(
    model: SamModel,
    image: Tensor | PreparedImage,
    point_coords: Tensor | None,
    point_labels: Tensor | None,
    boxes: Tensor | None,
    mask_input: Tensor | None,
    multimask_output: bool,
) -> tuple[Tensor, Tensor]:
    """Low-resolution logits (B, C, h, w) and predicted IoU (B, C), float32, of prompts on one image."""
    output = model(
        image_embeddings=image,
        input_points=None if point_coords is None else point_coords[None],
        input_labels=None if point_labels is None else point_labels[None],
        input_boxes=None if boxes is None else boxes[None],
        input_masks=None if mask_input is None else mask_input.transpose(0, 1),
        multimask_output=multimask_output,
        return_dict=True,
    )
    return output.pred_masks[0].float(), output.iou_scores[0].float()


def _pixel_values(model: SamModel, resized: Tensor) -> Tensor:
    """Resized images (..., 3, H, W), 0 to 255, as the model takes them: float32, on its device, its input's square."""
    side = model.config.vision_config.image_size
    return normalise_and_pad(resized.to(model.device), (side, side), _image_processor(model).options())


def _image_processor(model: SamModel) -> SamImageProcessor:
    vision = model.config.vision_config
    return SamImageProcessor(**default_processor_options(vision.image_size, vision.patch_size))
