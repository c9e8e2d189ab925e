"""Points, clicks, boxes and coarse masks as prompts: one row for each object, with everything that was measured.

Four numbers stand side by side for every prompt: the IoU of the *answer*, which a user of the model sees; of the mask
*chosen* from three by its predicted IoU; of the best of the three, the *oracle*; and of the *single* mask, which the
model has for prompts that leave no doubt. The answer to one point is the chosen one, to all else it is the single one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from ...data.samples import Sample
from ...geometry.coordinates import MASK_PIXELS_PER_PATCH, ResizeGeometry
from ...masks.measures import mask_iou, outer_box_xyxy
from ...masks.rle import mask_to_rle, rle_to_coco
from ...prompts.mask_prompts import mask_to_logits
from ..answers import SINGLE, Answers, Encoded, ImagePrompts, Segmenter
from ..metrics import boundary_iou, mask_dice, surface_distances
from .clicks import next_click
from .protocols import Protocol

SURFACE_TOLERANCE = 2.0  # of the normalised surface distance, in the unit of a sample's spacing
COARSE_CELLS = 32  # along the image's longer side, of the masks that stand for drawing by hand

Row = dict[str, Any]


class _Round(NamedTuple):
    """One answer for one object: IoU and predicted IoU of the four masks, which is the answer, which is chosen."""

    ious: np.ndarray
    predicted: np.ndarray
    answer: int
    chosen: int

    def scores(self, after: str = "") -> dict[str, float]:
        return {
            f"iou_answer{after}": float(self.ious[self.answer]),
            f"iou_chosen{after}": float(self.ious[self.chosen]),
            f"iou_oracle{after}": float(self.ious[SINGLE + 1 :].max()),
            f"iou_single{after}": float(self.ious[SINGLE]),
        }


class _Objects(NamedTuple):
    """The objects of a sample that can be prompted for, those with a pixel that counts.

    Attributes:
        indices: which of the sample's objects they are.
        targets: (N, H, W) int8: 1 object, 0 background, -1 ignored.
    """

    sample: Sample
    indices: list[int]
    targets: np.ndarray

    def ious(self, masks: np.ndarray, some: np.ndarray) -> np.ndarray:
        """IoU (n, M) of masks (n, M, H, W) with some of the objects, on the pixels that count."""
        targets = self.targets[some]
        return mask_iou(masks & (targets >= 0)[:, None], (targets > 0)[:, None])

    def row(self, index: int, group: str, first: _Round, answer: np.ndarray, scores: dict[str, float]) -> Row:
        """What is written down of one object: its first round, and all that there is to say of the answer (H, W)."""
        sample, which = self.sample, self.indices[index]
        counts, truth = self.targets[index] >= 0, self.targets[index] > 0
        return {
            "sample": sample.name,
            "object": sample.object_ids[which],
            "label": sample.labels[which],
            "group": group,
            "area_fraction": float(truth.mean()),
            "scores": {**scores, **_quality(answer & counts, truth, sample.spacing_hw)},
            "tokens": {"predicted": first.predicted.tolist(), "real": first.ious.tolist(), "chosen": first.chosen},
            "mask": rle_to_coco(mask_to_rle(answer)),
            "truth": rle_to_coco(sample.rles[which]),
        }


def point_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """One point for each object, in its middle and at random."""
    return click_rows(segmenter, sample, replace(protocol, report_after=(1,), max_clicks=1, targets=()), seed)


def click_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """Clicks that correct the mask of each object again and again, its logits going in with them."""
    objects = _objects(sample)
    if not objects.indices:
        return []
    encoded = segmenter.encode(sample.image)
    return [
        row
        for first in protocol.firsts
        for row in _clicked(segmenter, encoded, objects, protocol, first=first, seed=seed)
    ]


def box_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """The tight box of each object."""
    objects = _objects(sample)
    if not objects.indices:
        return []
    prompts = ImagePrompts(boxes_xyxy=torch.from_numpy(sample.boxes_xyxy[objects.indices]))
    return _answered_once(segmenter, segmenter.encode(sample.image), objects, prompts, protocol=protocol, group="box")


def mask_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """A coarse mask of each object, on a grid of a few cells, as someone draws by hand, and its box.

    The IoU of what was drawn is "iou_input": what the model adds is the difference.
    """
    objects = _objects(sample)
    if not objects.indices:
        return []
    encoded = segmenter.encode(sample.image)
    coarse = np.stack([coarse_mask(target > 0) for target in objects.targets])
    boxes = torch.from_numpy(np.stack([outer_box_xyxy(mask) for mask in coarse]))
    prompts = ImagePrompts(boxes_xyxy=boxes, mask_logits=_as_logits(coarse, encoded))
    rows = _answered_once(segmenter, encoded, objects, prompts, protocol=protocol, group="mask")
    for row, iou in zip(rows, objects.ious(coarse[:, None], np.arange(len(coarse)))[:, 0], strict=True):
        row["scores"]["iou_input"] = float(iou)
    return rows


def coarse_mask(mask: np.ndarray, cells: int = COARSE_CELLS) -> np.ndarray:
    """The mask on a grid: cells of which at least half is object, or, where there is none, those that meet it."""
    side = max(round(max(mask.shape) / cells), 1)
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % side), (0, -width % side)))
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    shares = blocks.mean(axis=(1, 3))
    full = shares >= 0.5 if (shares >= 0.5).any() else shares > 0
    return full.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]


def _answered_once(
    segmenter: Segmenter, encoded: Encoded, objects: _Objects, prompts: ImagePrompts, protocol: Protocol, group: str
) -> list[Row]:
    """Rows of prompts with a box, which leave no doubt: the single mask answers."""
    answers = segmenter.answer(encoded, prompts, protocol.mask_threshold)
    everyone = np.arange(len(objects.indices))
    rounds = _rounds(answers, np.full(len(everyone), SINGLE), objects, everyone)
    rows = [
        objects.row(index, group, one, answers.masks[index, SINGLE], scores=one.scores())
        for index, one in enumerate(rounds)
    ]
    for row, box in zip(rows, (prompts.boxes_xyxy if prompts.boxes_xyxy is not None else ()), strict=True):
        row["box_xyxy"] = box.tolist()
    return rows


def _clicked(
    segmenter: Segmenter, encoded: Encoded, objects: _Objects, protocol: Protocol, first: str, seed: int
) -> list[Row]:
    """Rows of one run of clicks: an object is left alone once its best target is reached and all is reported."""
    count, size_hw = len(objects.indices), objects.sample.size_hw
    last_report, best_target = max(protocol.report_after), max(protocol.targets, default=0.0)
    generator = torch.Generator().manual_seed(_seed_of(seed, objects.sample.name))
    points, labels = torch.zeros(count, protocol.max_clicks, 2), torch.zeros(count, protocol.max_clicks).long()
    answered = np.zeros((count, *size_hw), dtype=bool)
    reported = answered
    logits: torch.Tensor | None = None
    history: list[list[_Round]] = [[] for _ in range(count)]
    active = np.arange(count)
    for number in range(1, protocol.max_clicks + 1):
        before = points[active, : number - 1]
        where = first if number == 1 else "center"
        clicks = next_click(answered[active], objects.targets[active], where, exclude=before, generator=generator)
        points[active, number - 1], labels[active, number - 1] = clicks
        fed_back = None if logits is None else logits[active]
        prompts = ImagePrompts(points[active, :number], labels[active, :number], mask_logits=fed_back)
        answers = segmenter.answer(encoded, prompts, protocol.mask_threshold)
        places = answers.chosen if number == 1 else np.full(len(active), SINGLE)
        if logits is None:
            logits = torch.zeros(count, *answers.low_res_logits.shape[-2:])
        logits[active] = answers.low_res_logits[np.arange(len(active)), places]
        answered[active] = answers.masks[np.arange(len(active)), places]
        if number == last_report:
            reported = answered.copy()
        for index, one in zip(active.tolist(), _rounds(answers, places, objects, active), strict=True):
            history[index].append(one)
        if number >= last_report:
            active = np.array([i for i in active.tolist() if _iou(history[i][-1]) < best_target], dtype=np.int64)
        if not len(active):
            break
    rows = []
    for index, rounds in enumerate(history):
        scores: dict[str, float] = {}
        for number in protocol.report_after:
            scores |= rounds[number - 1].scores(f"@{number}")
        scores |= _counts_of_clicks([_iou(one) for one in rounds], protocol.targets, protocol.max_clicks)
        row = objects.row(index, first, rounds[0], reported[index], scores=scores)
        row["mask_after"] = last_report
        pixels = points[index, : len(rounds)].int().tolist()
        row["clicks"] = [[*pixel, label] for pixel, label in zip(pixels, labels[index].tolist(), strict=False)]
        rows.append(row)
    return rows


def _rounds(answers: Answers, places: np.ndarray, objects: _Objects, some: np.ndarray) -> list[_Round]:
    """One round of some of the objects, of whose four masks `places` says which is the answer."""
    columns = objects.ious(answers.masks, some), answers.predicted_iou, places.tolist(), answers.chosen.tolist()
    return [_Round(*values) for values in zip(*columns, strict=True)]


def _iou(one: _Round) -> float:
    return float(one.ious[one.answer])


def _counts_of_clicks(ious: Sequence[float], targets: Sequence[float], max_clicks: int) -> dict[str, float]:
    """For each target how many clicks it took, the most there are where it was not reached, and whether that was so."""
    scores = {}
    for target in targets:
        reached = next((number for number, iou in enumerate(ious, start=1) if iou >= target), None)
        scores[f"noc{target * 100:.0f}"] = float(max_clicks if reached is None else reached)
        scores[f"failed{target * 100:.0f}"] = float(reached is None)
    return scores


def _quality(answer: np.ndarray, truth: np.ndarray, spacing_hw: tuple[float, float]) -> dict[str, float]:
    """What else there is to say of an answer."""
    distances = surface_distances(answer, truth, spacing_hw)
    return {
        "dice": float(mask_dice(answer, truth)),
        "boundary_iou": float(boundary_iou(answer[None], truth[None])[0]),
        "hausdorff95": distances.hausdorff(),
        "surface_dice": distances.dice(SURFACE_TOLERANCE),
    }


def _objects(sample: Sample) -> _Objects:
    targets = sample.targets
    indices = np.flatnonzero((targets > 0).any(axis=(1, 2)))
    return _Objects(sample, indices.tolist(), targets[indices])


def _as_logits(masks: np.ndarray, encoded: Encoded) -> torch.Tensor:
    """Masks (N, H, W) as logits (N, h, w) of the decoder's size."""
    geometry = encoded.geometry
    low_h, low_w = (MASK_PIXELS_PER_PATCH * side for side in encoded.embedding.shape[-2:])
    (resized_h, resized_w), (padded_h, padded_w) = geometry.resized_size_hw, geometry.padded_size_hw
    resized_hw = max(round(resized_h * low_h / padded_h), 1), max(round(resized_w * low_w / padded_w), 1)
    low_res_geometry = ResizeGeometry(geometry.original_size_hw, resized_hw, (low_h, low_w))
    return torch.stack([mask_to_logits(mask, low_res_geometry) for mask in masks])


def _seed_of(seed: int, name: str) -> int:
    """Of one sample: the same whatever was evaluated before it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
