"""From the decoder's masks to records: filters, duplicates, clean-up, output.

The second half of `generator.py`, which says what happens when. Nothing here knows a model. A mask is kept as its part
of the low-resolution logits, and is worked on in its own box, so memory and time follow its outline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..geometry.crops import boxes_near_crop_edge
from ..masks.clean_up import CleanUp
from ..masks.measures import kept_of_overlapping, nms
from ..masks.record import MaskRecord, make_record, xyxy_to_xywh
from ..masks.rle import Rle, rle_to_box_xyxy, runs_to_rle
from ..masks.sparse_upsampling import SparseUpsampler
from ..modeling.outputs import MaskProposals
from ..support.chunks import masks_per_chunk
from .options import MaskGenerationOptions


@dataclass(frozen=True)
class Proposal:
    """One mask that passed the filters of its crop.

    Attributes:
        low_res_logits: (h, w), those that pixels of its box are made from.
        upsampler: Of these logits.
        crop_box_xyxy: Where its crop lies in the image.
        box_xyxy: Its box, last pixels included, in pixels of the image.
        predicted_iou: By the model.
        stability_score: See `measures.stability_scores`.
        point_xy: The point that asked for it, in pixels of the image.
        covers: (N,) bool, which points of the crop's grid it covers, to a low-resolution pixel; of none if nobody asks.
    """

    low_res_logits: torch.Tensor
    upsampler: SparseUpsampler
    crop_box_xyxy: list[int]
    box_xyxy: list[int]
    predicted_iou: float
    stability_score: float
    point_xy: list[float]
    covers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))


def filter_masks(
    masks: MaskProposals,
    upsampler: SparseUpsampler,
    points_xy: np.ndarray,
    *,
    crop_box_xyxy: list[int],
    image_size_hw: tuple[int, int],
    options: MaskGenerationOptions,
    grid_at: tuple[torch.Tensor, torch.Tensor] | None = None,
    masks_at_a_time: int | None = None,
) -> Iterator[Proposal]:
    """Keep those masks of some points of a crop that are good, stable, and not cut off by the crop's edge.

    Args:
        masks: What the model proposes; those with a low predicted IoU may be left out already.
        upsampler: Of the crop.
        points_xy: (P, 2), in pixels of the crop.
        crop_box_xyxy: Where the crop lies in the image.
        image_size_hw: Height and width of the image in pixels.
        options: Thresholds.
        grid_at: Rows and columns (N,) of the low-resolution logits at which `Proposal.covers` looks.
        masks_at_a_time: How many to look at together; by default as many as the processor's cache holds.
    """
    left, top = crop_box_xyxy[:2]
    if options.pred_iou_thresh > 0:
        good = (masks.iou_scores > options.pred_iou_thresh).nonzero()[:, 0]
        if len(good) < len(masks.iou_scores):
            masks = MaskProposals(*(tensor[good] for tensor in masks))
    chunk = masks_at_a_time or masks_per_chunk(masks.low_res_logits)
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
        covers = None if grid_at is None else (logits[:, grid_at[0], grid_at[1]] > options.mask_threshold).cpu().numpy()
        table = torch.stack([column.float() for column in columns], dim=1)
        for index, (keep, iou, stable_score, prompt, *box) in enumerate(table.tolist()):
            if not keep:
                continue
            x0, y0, x1, y1 = (int(edge) for edge in box)
            of_box, box_logits = upsampler.crop(logits[index], (x0, y0, x1, y1))
            x, y = points_xy[int(prompt)].tolist()
            yield Proposal(
                low_res_logits=box_logits.clone(),  # without those of the masks that go
                upsampler=of_box,
                crop_box_xyxy=crop_box_xyxy,
                box_xyxy=[x0 + left, y0 + top, x1 + left, y1 + top],
                predicted_iou=iou,
                stability_score=stable_score,
                point_xy=[x + left, y + top],
                **({} if covers is None else {"covers": covers[index]}),
            )


def remove_duplicates(proposals: list[Proposal], scores: Sequence[float], iou_threshold: float) -> list[Proposal]:
    """Keep proposals that none with a higher score overlaps too much, highest score first; see `measures.nms`."""
    boxes = torch.tensor([proposal.box_xyxy for proposal in proposals], device="cpu").reshape(-1, 4)
    kept = nms(boxes, torch.tensor(scores, dtype=torch.float64, device="cpu"), iou_threshold)
    return [proposals[index] for index in kept.tolist()]


@torch.inference_mode()
def proposal_to_rle(proposal: Proposal, size_hw: tuple[int, int], mask_threshold: float) -> Rle:
    """Make the uncompressed RLE, of an image of `size_hw`, of a proposal."""
    left, top = proposal.crop_box_xyxy[:2]
    starts, ends = proposal.upsampler.runs(proposal.low_res_logits, mask_threshold, size_hw[0], (left, top))
    return runs_to_rle(starts, ends, size_hw)


def make_records(
    proposals: list[Proposal], size_hw: tuple[int, int], options: MaskGenerationOptions
) -> list[MaskRecord]:
    """Make the records of an image of `size_hw` from proposals of all its crops, duplicates between them dropped."""
    if options.crop_n_layers > 0:
        scores = [1 / _box_area(proposal.crop_box_xyxy) for proposal in proposals]
        proposals = remove_duplicates(proposals, scores, options.crop_nms_thresh)
    rles = [proposal_to_rle(proposal, size_hw, options.mask_threshold) for proposal in proposals]
    if options.clean_up != CleanUp():
        proposals, rles = _clean_up(proposals, rles, options)
    if options.mask_nms_thresh is not None:
        ranks = np.array([proposal.predicted_iou for proposal in proposals])
        kept = kept_of_overlapping(rles, ranks, options.mask_nms_thresh, options.mask_nms_measure)
        proposals, rles = [proposals[index] for index in kept], [rles[index] for index in kept]
    return [_record(proposal, rle, options) for proposal, rle in zip(proposals, rles, strict=True)]


def _clean_up(
    proposals: list[Proposal], rles: list[Rle], options: MaskGenerationOptions
) -> tuple[list[Proposal], list[Rle]]:
    """Fill small holes and remove small islands, then drop duplicates, masks that did not change winning."""
    cleaned = []
    for proposal, rle in zip(proposals, rles, strict=True):
        clean, changed = options.clean_up.apply(rle)
        box = rle_to_box_xyxy(clean) if changed else proposal.box_xyxy
        cleaned.append((replace(proposal, box_xyxy=box), clean, changed))
    boxes = torch.tensor([proposal.box_xyxy for proposal, _, _ in cleaned], device="cpu").reshape(-1, 4)
    scores = torch.tensor([0.0 if changed else 1.0 for _, _, changed in cleaned], dtype=torch.float32, device="cpu")
    kept = nms(boxes, scores, max(options.box_nms_thresh, options.crop_nms_thresh)).tolist()
    return [cleaned[index][0] for index in kept], [cleaned[index][1] for index in kept]


def _record(proposal: Proposal, rle: Rle, options: MaskGenerationOptions) -> MaskRecord:
    return make_record(
        rle,
        box_xyxy=proposal.box_xyxy,
        form=options.output_mode,
        predicted_iou=proposal.predicted_iou,
        point_coords=[proposal.point_xy],
        stability_score=proposal.stability_score,
        crop_box=xyxy_to_xywh(proposal.crop_box_xyxy),
    )


def _box_area(box_xyxy: Sequence[int]) -> int:
    x0, y0, x1, y1 = box_xyxy
    return (x1 - x0) * (y1 - y0)
