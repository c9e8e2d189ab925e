"""From prompts to masks: one record for each prompt, in the order of the prompts, whatever kinds of prompts they are.

`SAM.predict` and `SamSession` are the callers. Prompts are decoded some at a time, and full-size masks are made as run
lengths from low-resolution logits (`sparse_upsampling.py`), so that memory follows neither the number of prompts,
unless these logits are kept, nor the size of the image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..embeddings.image_embedding import EncodedImage
from ..geometry.coordinates import MASK_PIXELS_PER_PATCH, ResizeGeometry
from ..masks.record import MaskRecord, make_record
from ..masks.rle import runs_to_rle
from ..masks.sparse_upsampling import SparseUpsampler
from ..prompts.mask_prompts import prepare_mask_prompts
from ..prompts.short_forms import Prompt, check_inside
from ..prompts.tensors import prepare_prompts
from .choice import choose_masks, masks_wanted

PROMPTS_AT_A_TIME = 64  # as many as the points that the generator decodes at a time
STABILITY_OFFSET = 1.0  # of the stability score in records, as in Meta's generator


@dataclass(frozen=True)
class PromptedMasks:
    """The answers to prompts.

    Attributes:
        records: one per prompt, as `SamMaskGenerator` makes them, the segmentation as uncompressed RLE.
        low_res_logits: (prompts, h, w) float32 on the CPU; as mask prompts they say what these masks are. (0, h, w)
            where they were not to be kept.
    """

    records: list[MaskRecord]
    low_res_logits: torch.Tensor


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that the model takes together.

    Attributes:
        indices: which prompts they are.
        inputs: arguments of `SamModel.forward`, in pixels of the model's input.
    """

    indices: list[int]
    inputs: dict[str, torch.Tensor]


class StageTimes(dict[str, float]):
    """Seconds per stage. Work on an accelerator is waited for, so that it counts where it belongs."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self[name] = self.get(name, 0.0) + time.perf_counter() - start


def prepare_batches(prompts: Sequence[Prompt], geometry: ResizeGeometry, image_processor: Any) -> list[PromptBatch]:
    """Checks prompts and brings them to the model's frame; runs no model, so that mistakes show before it is run.

    Args:
        prompts: in pixels of the original image.
        geometry: how that image is brought to the model's input.
        image_processor: one of anymask's.

    Raises:
        ValueError: a point or a box lies outside the image, or a mask has another size.
    """
    # Prompts with masks of their own share less of the decoder's work, those with nothing but a mask have no tokens.
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for index, prompt in enumerate(prompts):
        check_inside(prompt, geometry.original_size_hw, f" of object {index}")
        is_mask_alone = not prompt.points_xy and prompt.box_xyxy is None
        kinds.setdefault((is_mask_alone, prompt.mask is not None), []).append(index)
    batches = []
    for indices in kinds.values():
        for first in range(0, len(indices), PROMPTS_AT_A_TIME):
            some = indices[first : first + PROMPTS_AT_A_TIME]
            batches.append(PromptBatch(some, _inputs([prompts[index] for index in some], geometry, image_processor)))
    return batches


def mask_to_logits(mask: Any, geometry: ResizeGeometry, image_processor: Any) -> torch.Tensor:
    """Logits (h, w) of the model's low-resolution masks from a mask prompt; see `mask_prompts.py`.

    Raises:
        ValueError: the mask is neither binary and of the image's size nor logits of the model's.
    """
    low_res_geometry = image_processor.options().mask_geometry(geometry)
    return prepare_mask_prompts(mask, [low_res_geometry], [0])[0, 0]


def _inputs(prompts: Sequence[Prompt], geometry: ResizeGeometry, image_processor: Any) -> dict[str, torch.Tensor]:
    points = [list(prompt.points_xy) or None for prompt in prompts]
    labels = [list(prompt.labels) or None for prompt in prompts]
    boxes = [prompt.box_xyxy for prompt in prompts]
    has_points, has_boxes = any(points), any(boxes)
    inputs = prepare_prompts(
        [points] if has_points else None,
        [labels] if has_points else None,
        [boxes] if has_boxes else None,
        [geometry],
    )
    if prompts[0].mask is not None:
        masks = [mask_to_logits(prompt.mask, geometry, image_processor) for prompt in prompts]
        inputs["input_masks"] = torch.stack(masks)[None]
    return inputs


@torch.no_grad()  # not inference_mode: logits may be prompts of a model that is trained
def decode_prompts(
    model: Any,
    embedding: EncodedImage,
    prompts: Sequence[Prompt],
    batches: Sequence[PromptBatch],
    times: StageTimes,
    multimask_output: bool = True,
    choice: str = "best",
    keep_logits: bool = True,
) -> PromptedMasks:
    """One mask for each prompt, in the order of the prompts; an empty one too.

    Args:
        model: a `SamModel`.
        embedding: made by it.
        prompts: in pixels of the original image.
        batches: what `prepare_batches` made of them.
        times: takes the stages "decode" and "masks".
        multimask_output: whether the mask is chosen from several, or is the one for prompts that leave no doubt.
        choice: "best" or "stable"; see `mask_choice.py`.
        keep_logits: whether to return low-resolution logits too.
    """
    image_embedding = embedding.tensor.to(model.device)
    low_res_hw = tuple(MASK_PIXELS_PER_PATCH * side for side in image_embedding.shape[-2:])
    upsampler = SparseUpsampler.from_geometry(embedding.geometry, low_res_hw, model.device)
    records: dict[int, MaskRecord] = {}
    low_res_logits = torch.empty(len(prompts) if keep_logits else 0, *low_res_hw)
    for batch in batches:
        with times.stage("decode"):
            output = model(
                image_embeddings=image_embedding,
                multimask_output=masks_wanted(choice, multimask_output),
                **{name: value.to(model.device) for name, value in batch.inputs.items()},
            )
        with times.stage("masks"):
            logits, iou_scores = choose_masks(output.pred_masks[0], output.iou_scores[0], choice, upsampler)
            if keep_logits:
                low_res_logits[batch.indices] = logits.float().cpu()
            answers = _records(logits, iou_scores, upsampler, embedding.original_size_hw)
            for index, record in zip(batch.indices, answers, strict=True):
                record["point_coords"] = [list(point) for point in prompts[index].points_xy]
                records[index] = record
    return PromptedMasks([records[index] for index in range(len(prompts))], low_res_logits)


def _records(
    logits: torch.Tensor, iou_scores: torch.Tensor, upsampler: SparseUpsampler, size_hw: tuple[int, int]
) -> Iterator[MaskRecord]:
    """A record without points for each of the logits (N, h, w)."""
    height, width = size_hw
    stability = upsampler.stability_scores(logits, stability_score_offset=STABILITY_OFFSET).tolist()
    scores = iou_scores.tolist()
    boxes, exists = upsampler.boxes(logits)
    for index, (box, is_mask) in enumerate(zip(boxes.tolist(), exists.tolist(), strict=True)):
        starts = ends = np.zeros(0, dtype=np.int64)
        if is_mask:
            box_upsampler, box_logits = upsampler.crop(logits[index], box)
            starts, ends = box_upsampler.runs(box_logits, 0.0, height)
        yield make_record(
            runs_to_rle(starts, ends, size_hw),
            box_xyxy=box,
            predicted_iou=scores[index],
            point_coords=[],
            stability_score=stability[index],
            crop_box=[0, 0, width, height],
        )
