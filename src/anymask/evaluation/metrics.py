"""How well a mask agrees with the truth: overlap, outline, distance of surfaces; and what is summed up over many masks.

Masks are bool arrays (H, W) or RLE. IoU itself is `anymask.masks.measures.mask_iou`. Two empty masks agree fully, in
every measure; where one of two is empty, overlap is 0 and a distance is the diagonal of the image, so that a mask that
was missed altogether counts as the worst there is, instead of being left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..masks.measures import find_window, iou_to_dice, mask_iou
from ..masks.rle import Rle, rle_to_box_xyxy, rle_to_runs

BOUNDARY_FRACTION = 0.02  # of the image's diagonal, as in the paper of boundary IoU
SURFACE_PERCENTILE = 95
CALIBRATION_BINS = 15
SMALL_AREA_FRACTION = 0.01
LARGE_AREA_FRACTION = 0.1

# Overlap


def mask_dice(masks: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Twice the intersection over the sum of areas.

    Args:
        masks: (..., H, W) bool.
        targets: (..., H, W) bool, of a shape that broadcasts with that of the masks.

    Returns:
        (...,) float32 in [0, 1]; two empty masks agree, so their Dice is 1.
    """
    return iou_to_dice(mask_iou(masks, targets))


def boundary_iou(masks: np.ndarray, targets: np.ndarray, fraction: float = BOUNDARY_FRACTION) -> np.ndarray:
    """IoU of the inner rims of masks and targets: of their pixels that lie near their outline.

    Args:
        masks: (N, H, W) bool.
        targets: (N, H, W) bool.
        fraction: how wide the rim is, as a part of the image's diagonal; at least one pixel. What is left when the mask
            is eroded that often by a square of 3 x 3 pixels is not rim. The image's frame is outline too.

    Returns:
        (N,) float32 in [0, 1].

    Source: B. Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation" (2021).
    """
    width = max(1, round(fraction * float(np.hypot(*masks.shape[-2:]))))
    return mask_iou(_inner_rims(masks, width), _inner_rims(targets, width))


def _inner_rims(masks: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import minimum_filter

    # Eroding so often by 3 x 3 is eroding once by a larger square.
    eroded = [minimum_filter(mask, size=2 * width + 1, mode="constant", cval=0) for mask in masks]
    return masks & ~np.stack(eroded) if len(masks) else masks


def pairwise_iou(rles: Sequence[Rle], targets: Sequence[Rle]) -> np.ndarray:
    """IoU of every mask with every target, from run lengths: (N, M) float32.

    For each target one table says how many of its pixels come before each position, so that a run overlaps it by the
    difference of two entries. Only runs of masks whose boxes meet the target's are looked up.

    Args:
        rles: N masks of one size, compressed or not.
        targets: M masks of the same size.

    Raises:
        ValueError: If masks differ in size.
    """
    ious = np.zeros((len(rles), len(targets)), dtype=np.float32)
    if not len(rles) or not len(targets):
        return ious
    if len(sizes := {tuple(rle["size"]) for rle in (*rles, *targets)}) > 1:
        raise ValueError(f"masks and targets must have one size, got {sorted(sizes)}.")
    height = rles[0]["size"][0]
    runs = [rle_to_runs(rle) for rle in rles]
    areas = np.array([int((ends - starts).sum()) for starts, ends in runs])
    lengths = np.array([len(starts) for starts, _ in runs])
    first_runs = np.cumsum(lengths) - lengths
    starts, ends = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    boxes = np.array([rle_to_box_xyxy(rle) for rle in rles])
    for index, target in enumerate(targets):
        x0, y0, x1, y1 = rle_to_box_xyxy(target)
        target_starts, target_ends = rle_to_runs(target)
        target_area = int((target_ends - target_starts).sum())
        meets = (boxes[:, 0] <= x1) & (boxes[:, 2] >= x0) & (boxes[:, 1] <= y1) & (boxes[:, 3] >= y0)
        near = np.flatnonzero(meets & (lengths > 0))
        intersections = np.zeros(len(rles), dtype=np.int64)
        if len(near):
            # Positions from the first column of the target on; what lies before or behind its columns overlaps nothing.
            begin, length = x0 * height, (x1 + 1 - x0) * height
            inside = np.zeros(length + 1, dtype=np.int32)
            inside[target_starts - begin + 1] = 1
            np.subtract.at(inside, target_ends[target_ends - begin < length] - begin + 1, 1)
            before = np.cumsum(np.cumsum(inside, dtype=np.int32), dtype=np.int32)
            offsets = np.cumsum(lengths[near]) - lengths[near]
            which = np.arange(lengths[near].sum()) + np.repeat(first_runs[near] - offsets, lengths[near])
            overlaps = before[(ends[which] - begin).clip(0, length)] - before[(starts[which] - begin).clip(0, length)]
            intersections[near] = np.add.reduceat(overlaps, offsets)
        unions = areas + target_area - intersections
        ious[:, index] = np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)
    return ious


# Distances between surfaces


@dataclass(frozen=True)
class SurfaceDistances:
    """How far the edge pixels of two masks lie from the other mask's nearest edge pixel.

    Attributes:
        to_target: (A,) of the mask's edge pixels.
        to_mask: (B,) of the target's.
        farthest: the image's diagonal, which stands for a distance that there is none of.
    """

    to_target: np.ndarray
    to_mask: np.ndarray
    farthest: float

    def hausdorff(self, percentile: float = SURFACE_PERCENTILE, definition: str = "directed") -> float:
        """Hausdorff distance up to a percentile.

        Args:
            percentile: 95 leaves out the farthest twentieth; 100 is the Hausdorff distance itself.
            definition: "directed" takes the greater of the two percentiles, one in each direction, as MONAI does;
                "pooled" one percentile of all distances together, as MedPy does. The two give different numbers.

        Raises:
            ValueError: If there is no such definition.
        """
        if definition not in ("directed", "pooled"):
            raise ValueError(f"`definition` must be 'directed' or 'pooled', got {definition!r}.")
        if not len(self.to_target) or not len(self.to_mask):
            return 0.0 if len(self.to_target) == len(self.to_mask) else self.farthest
        if definition == "pooled":
            return float(np.percentile(np.concatenate([self.to_target, self.to_mask]), percentile))
        return float(max(np.percentile(self.to_target, percentile), np.percentile(self.to_mask, percentile)))

    def dice(self, tolerance: float) -> float:
        """Normalised surface distance: the part of both edges that lies within a tolerance of the other, in [0, 1]."""
        count = len(self.to_target) + len(self.to_mask)
        if not len(self.to_target) or not len(self.to_mask):
            return 1.0 if count == 0 else 0.0
        return float(((self.to_target <= tolerance).sum() + (self.to_mask <= tolerance).sum()) / count)


def surface_distances(
    mask: np.ndarray, target: np.ndarray, spacing_hw: tuple[float, float] = (1.0, 1.0)
) -> SurfaceDistances:
    """Distances between the edges of two masks.

    An edge pixel has a neighbour above, below, left or right that is not in the mask; beyond the frame nothing is. Each
    counts once, however long its piece of outline (DeepMind's surface distances weigh it, and give other numbers).

    Args:
        mask: (H, W) bool.
        target: (H, W) bool.
        spacing_hw: distance of the centres of two rows and of two columns, e.g. in millimetres.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    farthest = float(np.hypot(mask.shape[0] * spacing_hw[0], mask.shape[1] * spacing_hw[1]))
    window = find_window(mask | target)
    if window is None:
        return SurfaceDistances(np.zeros(0), np.zeros(0), farthest)
    edges = [part & ~binary_erosion(part) for part in (mask[window], target[window])]
    if not all(edge.any() for edge in edges):
        to_target, to_mask = (np.full(int(edge.sum()), farthest) for edge in edges)
        return SurfaceDistances(to_target, to_mask, farthest)
    to_mask, to_target = (distance_transform_edt(~edge, sampling=spacing_hw) for edge in edges)
    return SurfaceDistances(to_target[edges[0]], to_mask[edges[1]], farthest)


def calibration(predicted: np.ndarray, real: np.ndarray, bins: int = CALIBRATION_BINS) -> dict[str, Any]:
    """How well a model knows its own IoU.

    The masks matter: where each is the one of three that the model believes in most, its prediction is biased upwards.

    Args:
        predicted: (N,) IoU as predicted, with N of at least 1.
        real: (N,) IoU as measured.
        bins: how many parts [0, 1] is cut into; predictions beyond it count in the outer ones.

    Returns:
        "count"; "bias", mean of predicted - real; "mean_absolute_error"; "expected_error", the expected calibration
        error: the mean over masks of how far the means of predicted and real lie apart in their bin; "pearson" and
        "spearman" correlation, None where either does not vary; and the "bins" that are not empty, each with its
        "count" and mean "predicted" and "real".
    """
    predicted, real = np.asarray(predicted, dtype=np.float64), np.asarray(real, dtype=np.float64)
    places = np.clip((predicted * bins).astype(int), 0, bins - 1)
    table = []
    for place in np.unique(places):
        members = places == place
        means = {"predicted": float(predicted[members].mean()), "real": float(real[members].mean())}
        table.append({"count": int(members.sum()), **means})
    return {
        "count": len(real),
        "bias": float((predicted - real).mean()),
        "mean_absolute_error": float(np.abs(predicted - real).mean()),
        "expected_error": sum(row["count"] * abs(row["predicted"] - row["real"]) for row in table) / len(real),
        "pearson": _correlation(predicted, real),
        "spearman": _correlation(_ranks(predicted), _ranks(real)),
        "bins": table,
    }


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    if x.std() == 0 or y.std() == 0:
        return None
    return float(((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std()))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in order; equal values share the mean of their places."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


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
