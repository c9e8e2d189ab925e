"""Agreement of masks, and its summary over many objects. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..masks.measures import mask_iou

SMALL_AREA_FRACTION = 0.01
LARGE_AREA_FRACTION = 0.1


def mask_dice(masks: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Twice the intersection over the sum of areas, of the same shapes as `mask_iou`."""
    iou = mask_iou(masks, targets)
    return 2 * iou / (1 + iou)


def size_bucket(area_fraction: float) -> str:
    """One of "small" below 1 % of the image, "large" from 10 % on, "medium" between."""
    if area_fraction < SMALL_AREA_FRACTION:
        return "small"
    return "large" if area_fraction >= LARGE_AREA_FRACTION else "medium"


def summarise(records: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean of every score over all objects and over each size bucket.

    Args:
        records: one mapping per object: "area_fraction" and scores; all with the same keys.

    Returns:
        `{"all": {"count": ..., score: mean}, "small": ..., "medium": ..., "large": ...}`; empty buckets are left out.
    """
    buckets: dict[str, list[Mapping[str, float]]] = {"all": [], "small": [], "medium": [], "large": []}
    for record in records:
        buckets["all"].append(record)
        buckets[size_bucket(record["area_fraction"])].append(record)
    summary = {}
    for bucket, members in buckets.items():
        if members:
            scores = [name for name in members[0] if name != "area_fraction"]
            means = {name: float(np.mean([member[name] for member in members])) for name in scores}
            summary[bucket] = {"count": len(members), **means}
    return summary
