"""From the decoder's masks to records: filters, duplicates, clean-up, output.

The second half of `mask_generation.py`, which says what happens when. Nothing here knows a model.

On a CPU each mask is worked on by itself, in its own box. On an accelerator, where starting a step costs more than a
small step, masks stay whole and go together: what comes to the host is a table of all masks of a crop, from which
duplicates are told, and the edges of all runs of those that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch

from ..geometry.crops import boxes_near_crop_edge
from ..masks.measures import nms
from ..masks.record import MaskRecord, make_record, xyxy_to_xywh
from ..masks.rle import Rle, remove_small_regions_of_both_kinds, rle_to_box_xyxy, runs_to_rle
from ..masks.sparse_upsampling import SparseUpsampler
from ..support.chunks import is_accelerator, masks_per_chunk
from .options import MaskGenerationOptions


@dataclass(frozen=True)
class Candidate:
    """One mask that passed the filters of its crop."""

    low_res_logits: torch.Tensor  # on a CPU the part that can be foreground; on an accelerator all
    upsampler: SparseUpsampler  # of these logits; candidates of a crop share them where they have all
    crop_box_xyxy: list[int]
    box_xyxy: list[int]  # in pixels of the image
    predicted_iou: float
    stability_score: float
    point_xy: list[float]  # in pixels of the image


def filtered(
    masks: Any,
    upsampler: SparseUpsampler,
    points_xy: np.ndarray,
    crop_box_xyxy: list[int],
    image_size_hw: tuple[int, int],
    options: MaskGenerationOptions,
) -> Iterator[Candidate]:
    """Candidates among the masks that the decoder gave for some points of a crop.

    Args:
        masks: a `MaskProposals`; those with a low predicted IoU may be left out already.
        upsampler: of the crop.
        points_xy: (P, 2), in pixels of the crop.
        crop_box_xyxy: where the crop lies in the image.
        image_size_hw: height and width of the image.
        options: thresholds.
    """
    left, top = crop_box_xyxy[:2]
    if options.pred_iou_thresh > 0:
        good = (masks.iou_scores > options.pred_iou_thresh).nonzero()[:, 0]
        if len(good) < len(masks.iou_scores):
            masks = masks._make(tensor[good] for tensor in masks)
    chunk = masks_per_chunk(masks.low_res_logits)
    for first in range(0, len(masks.iou_scores), chunk):
        part = slice(first, first + chunk)
        logits, ious, prompts = masks.low_res_logits[part], masks.iou_scores[part], masks.prompt_index[part]
        stability = upsampler.stability_scores(logits, options.mask_threshold, options.stability_score_offset)
        if options.stability_score_thresh > 0:
            stable = (stability >= options.stability_score_thresh).nonzero()[:, 0]
            logits, ious, prompts, stability = logits[stable], ious[stable], prompts[stable], stability[stable]
        boxes, exists = upsampler.boxes(logits, options.mask_threshold)
        is_whole = exists & ~boxes_near_crop_edge(boxes, crop_box_xyxy, image_size_hw)
        # One copy to the host for all that Python needs to know; its whole numbers are far below 2^24.
        columns = [is_whole, ious, stability, prompts, *boxes.T]
        table = torch.stack([column.float() for column in columns], dim=1)
        for index, (keep, iou, stable_score, prompt, *box) in enumerate(table.tolist()):
            if not keep:
                continue
            x0, y0, x1, y1 = (int(edge) for edge in box)
            mask_upsampler, mask_logits = upsampler, logits[index]
            if not is_accelerator(logits.device):
                mask_upsampler, mask_logits = upsampler.crop(mask_logits, (x0, y0, x1, y1))
            x, y = points_xy[int(prompt)].tolist()
            yield Candidate(
                low_res_logits=mask_logits.clone(),  # without those of the masks that go
                upsampler=mask_upsampler,
                crop_box_xyxy=crop_box_xyxy,
                box_xyxy=[x0 + left, y0 + top, x1 + left, y1 + top],
                predicted_iou=iou,
                stability_score=stable_score,
                point_xy=[x + left, y + top],
            )


def without_duplicates(candidates: list[Candidate], scores: Sequence[float], iou_threshold: float) -> list[Candidate]:
    """Candidates that no candidate with a higher score overlaps too much, highest score first; see `masks.nms`."""
    boxes = torch.tensor([candidate.box_xyxy for candidate in candidates]).reshape(-1, 4)
    kept = nms(boxes, torch.tensor(scores, dtype=torch.float64), iou_threshold)
    return [candidates[index] for index in kept.tolist()]


def to_records(
    candidates: list[Candidate], size_hw: tuple[int, int], options: MaskGenerationOptions
) -> list[MaskRecord]:
    """Records of an image of `size_hw` from the candidates of all its crops, duplicates between crops dropped."""
    if options.crop_n_layers > 0:
        scores = [1 / _box_area(candidate.crop_box_xyxy) for candidate in candidates]
        candidates = without_duplicates(candidates, scores, options.crop_nms_thresh)
    rles = _to_rles(candidates, size_hw, options.mask_threshold)
    if options.min_hole_area > 0 or options.min_island_area > 0:
        candidates, rles = _cleaned_up(candidates, rles, options)
    return [_record(candidate, rle, options) for candidate, rle in zip(candidates, rles, strict=True)]


@torch.inference_mode()
def _to_rles(candidates: Sequence[Candidate], size_hw: tuple[int, int], mask_threshold: float) -> list[Rle]:
    """RLEs of the whole image; neighbours that share their upsampler, which come from one crop, are found together."""
    rles = []
    for _, neighbours in groupby(candidates, key=lambda candidate: id(candidate.upsampler)):
        group = list(neighbours)
        logits = torch.stack([candidate.low_res_logits for candidate in group])
        runs = group[0].upsampler.runs_of_each(logits, mask_threshold, size_hw[0], group[0].crop_box_xyxy[:2])
        rles += [runs_to_rle(starts, ends, size_hw) for starts, ends in runs]
    return rles


def _cleaned_up(
    candidates: list[Candidate], rles: list[Rle], options: MaskGenerationOptions
) -> tuple[list[Candidate], list[Rle]]:
    """Small holes filled and small islands removed, then duplicates dropped, masks that did not change winning."""
    cleaned = []
    for candidate, rle in zip(candidates, rles, strict=True):
        clean, changed = remove_small_regions_of_both_kinds(rle, options.min_hole_area, options.min_island_area)
        box = rle_to_box_xyxy(clean) if changed else candidate.box_xyxy
        cleaned.append((replace(candidate, box_xyxy=box), clean, changed))
    boxes = torch.tensor([candidate.box_xyxy for candidate, _, _ in cleaned]).reshape(-1, 4)
    scores = torch.tensor([0.0 if changed else 1.0 for _, _, changed in cleaned])
    kept = nms(boxes, scores, max(options.box_nms_thresh, options.crop_nms_thresh)).tolist()
    return [cleaned[index][0] for index in kept], [cleaned[index][1] for index in kept]


def _record(candidate: Candidate, rle: Rle, options: MaskGenerationOptions) -> MaskRecord:
    return make_record(
        rle,
        box_xyxy=candidate.box_xyxy,
        form=options.output_mode,
        predicted_iou=candidate.predicted_iou,
        point_coords=[candidate.point_xy],
        stability_score=candidate.stability_score,
        crop_box=xyxy_to_xywh(candidate.crop_box_xyxy),
    )


def _box_area(box_xyxy: Sequence[int]) -> int:
    x0, y0, x1, y1 = box_xyxy
    return (x1 - x0) * (y1 - y0)
