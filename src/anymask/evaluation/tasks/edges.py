"""Edges from masks, and how they are scored: the zero-shot edge detection of the paper, on BSDS500 or any masks.

A model that segments everything knows where things end: the edges of the masks of a grid of points, each as strong as
its probability falls off, make an edge map. It is scored as BSDS500 is: thinned at 99 thresholds, every edge pixel
matched to at most one of an annotator's that lies near enough.

Sources: A. Kirillov et al., "Segment Anything" (2023), appendix D.2; P. Arbelaez et al., "Contour Detection and
Hierarchical Image Segmentation" (2011) for the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.samples import Sample
from ...geometry.crops import build_point_grid
from ...masks.measures import masks_to_boxes_xyxy, nms
from ...masks.resize import resize_logits
from ...masks.rle import rle_to_mask
from ..answers import SINGLE, ImagePrompts, Segmenter
from .interactive import Row
from .protocols import Protocol

BOUNDARY_LABEL = "boundary"
"""Label of a mask that is one annotator's boundaries and no object, as the reader of BSDS500 gives them."""

MAX_DISTANCE = 0.0075  # of the image's diagonal, between pixels that match
THRESHOLDS = np.linspace(1 / 100, 99 / 100, 99)
POINTS_AT_A_TIME = 16


def edge_rows(segmenter: Segmenter, sample: Sample, protocol: Protocol, seed: int) -> list[Row]:
    """The counts of one image, from which the scores of all are made."""
    annotators = boundaries_of(sample)
    if not len(annotators):
        return []
    edges = edge_map(segmenter, sample.image, protocol)
    return [{"sample": sample.name, "size_hw": sample.size_hw, "scores": {}, "counts": edge_counts(edges, annotators)}]


def boundaries_of(sample: Sample) -> np.ndarray:
    """(A, H, W) bool: what each annotator drew; of masks of objects the outlines of all, as one annotator's."""
    if sample.labels and all(label == BOUNDARY_LABEL for label in sample.labels):
        return sample.masks
    outlines = np.zeros(sample.size_hw, dtype=bool)
    for rle in sample.rles:
        outlines |= _inner_outline(rle_to_mask(rle))
    return outlines[None][: len(sample.rles)]


def edge_map(segmenter: Segmenter, image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """How strong an edge runs through each pixel, (H, W) float32 in [0, 1], thin across."""
    from scipy.ndimage import binary_dilation

    encoded = segmenter.encode(image)
    height, width = encoded.geometry.original_size_hw
    points = torch.from_numpy(build_point_grid(protocol.edge_points_per_side) * (width, height)).float()[:, None]
    low_res, scores, boxes = [], [], []
    for some in torch.split(points, POINTS_AT_A_TIME):
        labels = torch.ones(some.shape[:2], dtype=torch.int64)
        answers = segmenter.answer(encoded, ImagePrompts(some, labels), protocol.mask_threshold)
        masks = torch.from_numpy(answers.masks[:, SINGLE + 1 :])
        exists = masks.flatten(2).any(dim=2)
        low_res.append(answers.low_res_logits[:, SINGLE + 1 :][exists])
        scores.append(torch.from_numpy(answers.predicted_iou[:, SINGLE + 1 :])[exists])
        boxes.append(masks_to_boxes_xyxy(masks)[exists])
    strongest = np.zeros((height, width), dtype=np.float32)
    candidates = torch.cat(low_res)
    for index in nms(torch.cat(boxes), torch.cat(scores), protocol.edge_nms).tolist():
        logits = resize_logits(candidates[index], encoded.geometry)
        mask = (logits > protocol.mask_threshold).numpy()
        outer = binary_dilation(mask) & ~mask
        strongest = np.maximum(strongest, np.where(outer, _slope(logits.sigmoid().numpy()), 0))
    low, high = strongest.min(), strongest.max()
    return thin_across((strongest - low) / (high - low) if high > low else strongest)


def thin_across(edges: np.ndarray) -> np.ndarray:
    """The edge map (H, W) with zeros where a neighbour across the edge is stronger: non-maximum suppression."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    # Across an edge the smoothed map curves most: of the eigenvectors of its second derivatives that of the eigenvalue
    # with the greater magnitude, which is the higher one where their sum is positive.
    xx, yy, xy = (gaussian_filter(edges, 2, order=order) for order in ((0, 2), (2, 0), (1, 1)))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.where(xx + yy < 0, np.pi / 2, 0)
    rows, columns = np.mgrid[: edges.shape[0], : edges.shape[1]].astype(float)
    step_y, step_x = np.sin(angle), np.cos(angle)
    kept = np.ones(edges.shape, dtype=bool)
    for direction in (-1, 1):
        beside = [rows + direction * step_y, columns + direction * step_x]
        kept &= edges >= map_coordinates(edges, beside, order=1, mode="nearest") - 1e-6
    return np.where(kept, edges, 0).astype(np.float32)


def edge_counts(edges: np.ndarray, annotators: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> dict[str, Any]:
    """What matches at each threshold.

    Args:
        edges: (H, W) in [0, 1].
        annotators: (A, H, W) bool.
        thresholds: (T,).

    Returns:
        "found" (T,), edge pixels; "correct" (T,), those that match a pixel of at least one annotator; "matched" (T,),
        pixels of annotators that are matched; "wanted", pixels of annotators; both summed over annotators.
    """
    from skimage.morphology import thin

    reach = MAX_DISTANCE * float(np.hypot(*edges.shape))
    found, correct, matched = [], [], []
    for threshold in thresholds:
        pixels = np.argwhere(thin(edges >= threshold))
        is_correct = np.zeros(len(pixels), dtype=bool)
        hits = 0
        for annotator in annotators:
            pairs = match(pixels, np.argwhere(annotator), reach)
            is_correct[pairs] = True
            hits += len(pairs)
        found.append(len(pixels))
        correct.append(int(is_correct.sum()))
        matched.append(hits)
    return {"found": found, "correct": correct, "matched": matched, "wanted": int(annotators.sum())}


def match(pixels: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """Which pixels (N, 2) have a partner among the others (M, 2) when as many as possible have one each.

    A pair lies at most `reach` apart. BSDS500 looks for the cheapest matching, but prices an unmatched pixel at a
    hundred times the reach, so that the number of pairs is the greatest there is. Which pixels those are is free: where
    annotators are several, pixels that match any of them may be some percent fewer or more than with its matching.

    Returns:
        Indices of matched pixels.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import cKDTree

    if not len(pixels) or not len(others):
        return np.zeros(0, dtype=np.int64)
    near = cKDTree(pixels).sparse_distance_matrix(cKDTree(others), reach, output_type="coo_matrix")
    graph = csr_array((np.ones(near.nnz, dtype=np.int8), (near.row, near.col)), shape=near.shape)
    return np.flatnonzero(maximum_bipartite_matching(graph, perm_type="column") >= 0)


def edge_summary(rows: Sequence[Row]) -> dict[str, float]:
    """BSDS500's scores of all images.

    Returns:
        "ODS", the best F at one threshold for all images; "OIS", F with each image at its own best threshold, counts
        added up before; "AP", precision averaged over recall from 0 to 1; "R50", recall at a precision of 50 %. How
        curves are read between thresholds follows P. Dollar's evaluation of BSDS500.
    """
    counts = [row["counts"] for row in rows if "counts" in row]
    if not counts:
        return {}
    found, correct, matched = (
        np.array([count[name] for count in counts], dtype=float) for name in ("found", "correct", "matched")
    )
    wanted = np.array([count["wanted"] for count in counts], dtype=float)
    recall, precision = _shares(matched.sum(axis=0), wanted.sum()), _shares(correct.sum(axis=0), found.sum(axis=0))
    own = np.arange(len(counts)), _f_measure(_shares(matched, wanted[:, None]), _shares(correct, found)).argmax(axis=1)
    own_recall, own_precision = (
        _shares(matched[own].sum(), wanted.sum()),
        _shares(correct[own].sum(), found[own].sum()),
    )
    return {
        "ODS": _best_f_measure(recall, precision),
        "OIS": float(_f_measure(own_recall, own_precision)),
        "AP": _average_precision(recall, precision),
        "R50": _recall_at_half(recall, precision),
    }


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _best_f_measure(recall: np.ndarray, precision: np.ndarray) -> float:
    """The best F on the curve, which runs straight between thresholds."""
    steps = np.linspace(0, 1, 100)[:, None]
    between = [steps * values[1:] + (1 - steps) * values[:-1] for values in (recall, precision)]
    return float(_f_measure(*between).max())


def _average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Precision at recalls 0, 0.01, ..., 1, straight between measured ones and 0 beyond, summed over 100."""
    recalls, first = np.unique(recall, return_index=True)
    at = np.arange(101) / 100
    return float(np.interp(at, recalls, precision[first], left=0, right=0).sum() / 100)


def _recall_at_half(recall: np.ndarray, precision: np.ndarray) -> float:
    """The recall where precision is one half, or at the lowest precision that there is; 0 where all are below."""
    precisions, first = np.unique(precision, return_index=True)
    if precisions[-1] < 0.5:
        return 0.0
    return float(np.interp(max(0.5, precisions[0]), precisions, recall[first]))


def _f_measure(recall: Any, precision: Any) -> Any:
    return 2 * recall * precision / np.maximum(recall + precision, 1e-12)


def _slope(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import sobel

    return np.hypot(sobel(values, axis=0), sobel(values, axis=1))


def _inner_outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that touch what is not mask; the image's frame is no boundary."""
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask, border_value=1)
