"""The models that are evaluated, anymask's and Transformers', behind the interface of `answers.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..checkpoints.formats.key_map import TIED_KEY
from ..embeddings.encoding import encode_image
from ..embeddings.fingerprints import weights_digest
from ..geometry.coordinates import ResizeGeometry
from ..geometry.crops import build_point_grid
from ..mask_generation.generator import SamMaskGenerator
from ..masks.measures import masks_to_boxes_xyxy, nms, stability_scores
from ..masks.resize import resize_to_masks
from ..masks.rle import mask_to_rle
from ..sam import SAM
from ..support.devices import usable_device
from ..support.unknown_names import check_known_name
from ..weights.names import resolve_checkpoint
from .answers import Answers, Encoded, ImagePrompts, Segmenter, answer_in_parts, join_answers, make_inputs


class AnymaskSegmenter:
    """anymask's own model."""

    implementation = "anymask"

    def __init__(self, name: str, device: str = "auto", dtype: str = "float32") -> None:
        """Take what `anymask.SAM` takes."""
        sam = SAM(name, device=device, dtype=dtype)
        self.name = name
        self.model, self._image_processor = sam.model.eval(), sam.processor.image_processor

    def encode(self, image: np.ndarray) -> Encoded:  # noqa: D102
        encoded = encode_image(self.model, self._image_processor, image)
        return Encoded(encoded.tensor, encoded.geometry)

    def answer(self, encoded: Encoded, prompts: ImagePrompts, mask_threshold: float = 0.0) -> Answers:  # noqa: D102
        return answer_in_parts(encoded, prompts, lambda some: self._answer(encoded, some, mask_threshold))

    @torch.no_grad()
    def _answer(self, encoded: Encoded, prompts: ImagePrompts, mask_threshold: float) -> Answers:
        inputs = make_inputs(encoded, prompts, self.model.device)
        if prompts.mask_logits is not None:
            inputs["input_masks"] = prompts.mask_logits[None].to(self.model.device)
        output = self.model(image_embeddings=encoded.embedding, multimask_output=None, **inputs)
        logits = output.pred_masks[0].float()
        masks = resize_to_masks(logits, encoded.geometry, mask_threshold)
        return Answers(masks.cpu().numpy(), output.iou_scores[0].float().cpu().numpy(), logits.cpu())

    def propose(  # noqa: D102
        self, image: np.ndarray, points_per_side: int, nms_threshold: float
    ) -> list[dict[str, Any]]:
        generator = SamMaskGenerator(
            self.model,
            self._image_processor,
            points_per_side=points_per_side,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
            box_nms_thresh=nms_threshold,
            min_mask_region_area=0,
            output_mode="coco_rle",
            progress=False,
        )
        return [dict(record) for record in generator.generate(image)]

    def digest(self) -> str:  # noqa: D102
        return weights_digest(self.model, without=(TIED_KEY,))  # not every implementation lists it


class TransformersSegmenter:
    """`transformers.SamModel` on the same files, with Transformers' own image processor and resizing of masks."""

    implementation = "transformers"

    def __init__(self, name: str, device: str = "auto", dtype: str = "float32") -> None:
        """Take a packaged name, a folder or a hub id; Transformers reads no file in Meta's layout."""
        import transformers
        from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

        source = resolve_checkpoint(name)
        self.name = name
        self.model = transformers.SamModel.from_pretrained(source, dtype=dtype).to(usable_device(device)).eval()
        self._image_processor = SamImageProcessorPil.from_pretrained(source)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Encoded:  # noqa: D102
        inputs = self._image_processor(image, return_tensors="pt")
        pixel_values = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        original, resized = (_pair(inputs[name]) for name in ("original_sizes", "reshaped_input_sizes"))
        geometry = ResizeGeometry(original, resized, _pair([pixel_values.shape[-2:]]))
        return Encoded(self.model.get_image_embeddings(pixel_values), geometry)

    def answer(self, encoded: Encoded, prompts: ImagePrompts, mask_threshold: float = 0.0) -> Answers:  # noqa: D102
        if prompts.mask_logits is None:
            return answer_in_parts(encoded, prompts, lambda some: self._answer(encoded, some, mask_threshold))
        # There one mask prompt is for all prompts of an image, so each goes alone.
        alone = [self._answer(encoded, prompts[index : index + 1], mask_threshold) for index in range(len(prompts))]
        return join_answers(alone)

    @torch.no_grad()
    def _answer(self, encoded: Encoded, prompts: ImagePrompts, mask_threshold: float) -> Answers:
        inputs = make_inputs(encoded, prompts, self.model.device)
        if prompts.mask_logits is not None:
            inputs["input_masks"] = prompts.mask_logits[None].to(self.model.device, self.model.dtype)
        outputs = [
            self.model(image_embeddings=encoded.embedding, multimask_output=several, **inputs)
            for several in (False, True)
        ]
        logits = torch.cat([output.pred_masks[0] for output in outputs], dim=1).float()
        scores = torch.cat([output.iou_scores[0] for output in outputs], dim=1).float()
        geometry = encoded.geometry
        padded = {"height": geometry.padded_size_hw[0], "width": geometry.padded_size_hw[1]}
        masks = self._image_processor.post_process_masks(
            [logits], [geometry.original_size_hw], [geometry.resized_size_hw], mask_threshold, pad_size=padded
        )[0]
        return Answers(masks.cpu().numpy(), scores.cpu().numpy(), logits.cpu())

    def propose(  # noqa: D102
        self, image: np.ndarray, points_per_side: int, nms_threshold: float
    ) -> list[dict[str, Any]]:
        encoded = self.encode(image)
        height, width = encoded.geometry.original_size_hw
        points = torch.from_numpy(build_point_grid(points_per_side) * (width, height)).float()[:, None]
        found = []
        for some in torch.split(points, 64):
            answers = self.answer(encoded, ImagePrompts(some, torch.ones(some.shape[:2], dtype=torch.int64)))
            found += _proposals(answers, encoded.geometry)
        boxes = torch.tensor([record["box_xyxy"] for record in found]).reshape(-1, 4)
        kept = nms(boxes, torch.tensor([record["predicted_iou"] for record in found]), nms_threshold)
        return [found[index] for index in kept.tolist()]

    def digest(self) -> str:  # noqa: D102
        return weights_digest(self.model, without=(TIED_KEY,))  # not every implementation lists it


IMPLEMENTATIONS: dict[str, type[AnymaskSegmenter] | type[TransformersSegmenter]] = {
    "anymask": AnymaskSegmenter,
    "transformers": TransformersSegmenter,
}


def load_segmenter(
    name: str, implementation: str = "anymask", device: str = "auto", dtype: str = "float32"
) -> Segmenter:
    """A model to evaluate.

    Args:
        name: packaged name, folder, file of weights or hub id.
        implementation: "anymask", or "transformers" for Transformers' `SamModel` on the same files.
        device: a torch device, or "auto".
        dtype: name of a torch dtype.

    Raises:
        OSError: If there is no such checkpoint.
        ValueError: If the implementation is unknown.
    """
    check_known_name(implementation, IMPLEMENTATIONS, "`implementation` must be one that is known")
    return IMPLEMENTATIONS[implementation](name, device, dtype)


def _proposals(answers: Answers, geometry: ResizeGeometry) -> list[dict[str, Any]]:
    """The three masks of each prompt that are not empty, as records."""
    from torch.nn.functional import interpolate

    masks = torch.from_numpy(answers.masks[:, 1:])
    boxes = masks_to_boxes_xyxy(masks)
    exists = masks.flatten(2).any(dim=2)
    full = interpolate(answers.low_res_logits[:, 1:], geometry.padded_size_hw, mode="bilinear", align_corners=False)[
        ..., : geometry.resized_size_hw[0], : geometry.resized_size_hw[1]
    ]
    stability = stability_scores(interpolate(full, geometry.original_size_hw, mode="bilinear", align_corners=False))
    return [
        {
            "segmentation": mask_to_rle(masks[prompt, which]),
            "predicted_iou": float(answers.predicted_iou[prompt, 1 + which]),
            "stability_score": float(stability[prompt, which]),
            "box_xyxy": boxes[prompt, which].tolist(),
        }
        for prompt, which in exists.nonzero().tolist()
    ]


def _pair(sizes: Any) -> tuple[int, int]:
    height, width = (int(side) for side in sizes[0])
    return height, width
