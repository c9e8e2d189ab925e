"""Proposals and instances: COCO's average recall and average precision, through faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...data.samples import Sample
from ...masks.measures import mask_iou
from ...masks.record import rle_of
from ...masks.rle import Rle, mask_to_rle, rle_area, rle_to_coco
from ...results.formats.annotated_image import UNLABELLED
from ..answers import SINGLE, ImagePrompts, Segmenter
from ..metrics import pairwise_iou
from .detections import DetectionFile
from .interactive import Row
from .protocols import Protocol

MAX_DETECTIONS = (10, 100, 1000)
INSTANCE_DETECTIONS = (1, 10, 100)


@dataclass(frozen=True)
class ScoredImage:
    """Truth and findings of one image: masks as COCO's RLE with labels, findings with scores."""

    size_hw: Sequence[int]
    truth: Sequence[Rle]
    truth_labels: Sequence[str | None]
    found: Sequence[Rle]
    found_labels: Sequence[str | None]
    scores: Sequence[float]


def proposal_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """Masks of everything, the best first by the mean of predicted IoU and stability, unfiltered but for duplicates.

    The first row holds all proposals; the others are one for each object: the IoU of its best proposal among the first
    10, 100 and 1000.
    """
    records = segmenter.propose(sample.image, protocol.points_per_side, protocol.proposal_nms)
    scores = np.array([(record["predicted_iou"] + record["stability_score"]) / 2 for record in records])
    order = np.argsort(-scores, kind="stable")[: protocol.max_proposals].tolist()
    found = [rle_to_coco(rle_of(records[index])) for index in order]
    truth = [rle_to_coco(rle) for rle in sample.rles]
    everything: Row = {
        "sample": sample.name,
        "size_hw": sample.size_hw,
        "found": found,
        "found_scores": [float(scores[index]) for index in order],
        "all_truth": truth,
        "scores": {},
    }
    ious = pairwise_iou(found, truth)
    rows = [everything]
    nothing = rle_to_coco(mask_to_rle(np.zeros(sample.size_hw, dtype=bool)))
    for index, rle in enumerate(truth):
        if rle_area(rle) == 0:
            continue
        best = {f"best_iou@{count}": float(ious[:count, index].max(initial=0.0)) for count in MAX_DETECTIONS}
        rows.append(
            {
                "sample": sample.name,
                "object": sample.object_ids[index],
                "label": sample.labels[index],
                "group": "proposals",
                "area_fraction": rle_area(rle) / (sample.size_hw[0] * sample.size_hw[1]),
                "scores": best,
                "mask": found[int(ious[:, index].argmax())] if found else nothing,
                "truth": rle,
            }
        )
    return rows


def instance_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """The box of each object, and its most confident mask once more with the box, scored by predicted IoU.

    The boxes are the truth's: what is measured is how well the scores sort the masks and how exact these are, not what
    a detector misses; for that see `detected_rows`.
    """
    kept = [index for index, rle in enumerate(sample.rles) if rle_area(rle)]
    if not kept:
        return []
    boxes = torch.from_numpy(sample.boxes_xyxy[kept])
    masks, predicted_iou = _masks_of_boxes(segmenter, sample, boxes, protocol)
    truth = sample.masks[kept]
    rows = []
    for position, (index, iou) in enumerate(zip(kept, mask_iou(masks, truth).tolist(), strict=True)):
        rows.append(
            {
                "sample": sample.name,
                "size_hw": sample.size_hw,
                "object": sample.object_ids[index],
                "label": sample.labels[index],
                "group": "instances",
                "area_fraction": float(truth[position].mean()),
                "scores": {"iou": iou},
                "predicted_iou": float(predicted_iou[position]),
                "mask": rle_to_coco(mask_to_rle(masks[position])),
                "truth": rle_to_coco(sample.rles[index]),
                "box_xyxy": boxes[position].tolist(),
            }
        )
    return rows


def detected_rows(
    detections: DetectionFile, segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int
) -> list[Row]:
    """The boxes that a detector found, asked as in `instance_rows`, scored by the detector: the paper's protocol.

    The first row holds all masks; the others are one for each object: the IoU of the best mask of its label, 0 where
    the detector found none.
    """
    found: list[Rle] = []
    labels: list[str] = []
    scores: list[float] = []
    if sample.name in detections.by_image:
        detected = detections.by_image[sample.name]
        masks, _ = _masks_of_boxes(segmenter, sample, torch.from_numpy(detected.boxes_xyxy), protocol)
        found = [rle_to_coco(mask_to_rle(mask)) for mask in masks]
        labels, scores = detected.labels, detected.scores.tolist()
    kept = [index for index, rle in enumerate(sample.rles) if rle_area(rle)]
    truth = [rle_to_coco(sample.rles[index]) for index in kept]
    rows: list[Row] = [
        {
            "sample": sample.name,
            "size_hw": sample.size_hw,
            "found": found,
            "found_labels": labels,
            "found_scores": scores,
            "all_truth": truth,
            "truth_labels": [sample.labels[index] for index in kept],
            "scores": {},
        }
    ]
    ious = pairwise_iou(found, truth)
    nothing = rle_to_coco(mask_to_rle(np.zeros(sample.size_hw, dtype=bool)))
    for position, index in enumerate(kept):
        is_alike = np.array([label == sample.labels[index] for label in labels], dtype=bool)
        of_label = np.where(is_alike, ious[:, position], 0.0)
        best = int(of_label.argmax()) if is_alike.any() else None
        rows.append(
            {
                "sample": sample.name,
                "object": sample.object_ids[index],
                "label": sample.labels[index],
                "group": "instances",
                "area_fraction": rle_area(truth[position]) / (sample.size_hw[0] * sample.size_hw[1]),
                "scores": {"iou": 0.0 if best is None else float(of_label[best])},
                "mask": nothing if best is None else found[best],
                "truth": truth[position],
            }
        )
    return rows


def _masks_of_boxes(
    segmenter: Segmenter, sample: Sample, boxes_xyxy: torch.Tensor, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, H, W) of boxes (N, 4), with their predicted IoU (N,)."""
    encoded = segmenter.encode(sample.image)
    answers = segmenter.answer(encoded, ImagePrompts(boxes_xyxy=boxes_xyxy), protocol.mask_threshold)
    places = answers.predicted_iou.argmax(axis=1)
    everyone = np.arange(len(boxes_xyxy))
    if protocol.refine_instances:
        confident = answers.low_res_logits[everyone, places]
        prompts = ImagePrompts(boxes_xyxy=boxes_xyxy, mask_logits=confident)
        answers = segmenter.answer(encoded, prompts, protocol.mask_threshold)
        places = np.full(len(boxes_xyxy), SINGLE)
    return answers.masks[everyone, places], answers.predicted_iou[everyone, places]


def proposal_summary(rows: Sequence[Row]) -> dict[str, float]:
    """Average recall of proposals, without regard to classes: over IoUs from 0.5 to 0.95."""
    images = [
        ScoredImage(
            row["size_hw"],
            row["all_truth"],
            [None] * len(row["all_truth"]),
            row["found"],
            found_labels=[None] * len(row["found"]),
            scores=row["found_scores"],
        )
        for row in rows
        if "found" in row
    ]
    return {name: value for name, value in coco_scores(images, MAX_DETECTIONS).items() if name.startswith("AR")}


def instance_summary(rows: Sequence[Row]) -> dict[str, float]:
    """Average precision of instances by their labels; objects without a label are one class."""
    by_sample: dict[str, list[Row]] = {}
    for row in rows:
        by_sample.setdefault(row["sample"], []).append(row)
    images = [
        ScoredImage(
            some[0]["size_hw"],
            [row["truth"] for row in some],
            [row["label"] for row in some],
            [row["mask"] for row in some],
            found_labels=[row["label"] for row in some],
            scores=[row["predicted_iou"] for row in some],
        )
        for some in by_sample.values()
    ]
    return coco_scores(images, INSTANCE_DETECTIONS)


def detected_summary(rows: Sequence[Row]) -> dict[str, float]:
    """Average precision of a detector's boxes turned into masks."""
    images = [
        ScoredImage(
            row["size_hw"],
            row["all_truth"],
            row["truth_labels"],
            row["found"],
            found_labels=row["found_labels"],
            scores=row["found_scores"],
        )
        for row in rows
        if "found" in row
    ]
    return coco_scores(images, INSTANCE_DETECTIONS)


def coco_scores(images: Sequence[ScoredImage], max_detections: Sequence[int]) -> dict[str, float]:
    """COCO's summary: "AP", "AP50", "AP75", by size, and "AR@N" for each N, by size for the last.

    Sizes are COCO's: small below 32 x 32 pixels, large from 96 x 96 on. What cannot be said, such as the recall of
    small objects where there are none, is left out.

    Raises:
        ImportError: If faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ImportError(
            "COCO's scores need faster-coco-eval, which is not installed: pip install 'anymask[evaluation]'."
        ) from error
    names = sorted({label or UNLABELLED for image in images for label in image.truth_labels})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    truth, found = [], []
    for image_id, image in enumerate(images, start=1):
        for rle, label in zip(image.truth, image.truth_labels, strict=True):
            category = numbers[label or UNLABELLED]
            truth.append({"image_id": image_id, "category_id": category, **_shape(rle), "iscrowd": 0})
        for rle, label, score in zip(image.found, image.found_labels, image.scores, strict=True):
            if (name := label or UNLABELLED) in numbers:
                found.append({"image_id": image_id, "category_id": numbers[name], **_shape(rle), "score": float(score)})
    if not truth or not found:
        return {}
    document = {
        "images": [
            {"id": image_id, "height": int(image.size_hw[0]), "width": int(image.size_hw[1])}
            for image_id, image in enumerate(images, start=1)
        ],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(truth, start=1)],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    expected = COCO(document)
    evaluation = COCOeval_faster(expected, expected.loadRes(found), iouType="segm", print_function=_say_nothing)
    evaluation.params.maxDets = list(max_detections)
    evaluation.run()
    sizes = ("small", "medium", "large")
    keys = ["AP", "AP50", "AP75", *(f"AP {size}" for size in sizes), *(f"AR@{count}" for count in max_detections)]
    keys += [f"AR@{max_detections[-1]} {size}" for size in sizes]
    return {key: float(value) for key, value in zip(keys, evaluation.stats, strict=False) if value >= 0}


def _shape(rle: Rle) -> dict[str, Any]:
    return {"segmentation": rle, "area": rle_area(rle)}


def _say_nothing(*words: Any) -> None:
    """In place of the library's table on standard output."""
