"""Classical segmentation as the floor: what clicks and boxes give without any learning.

Each function answers one prompt with one mask. The settings are fixed, one set for all images; `CLICK_BASELINES` has a
fine and a coarse one of each method, so that the floor is not lowered by an unlucky choice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...masks.measures import mask_iou, outer_box_xyxy
from ..tasks.clicks import innermost_pixel_xy
from .examples import Example

COLOUR_MODEL_ROUNDS = 3
# CIELAB in cells of 6 units: L from 0 to 100, a and b within -110 .. 110.
COLOUR_ORIGIN = np.array([0.0, -110.0, -110.0])
COLOUR_CELL = 6.0
COLOUR_CELLS = (17, 37, 37)
BOX_MARGIN = 0.3


def felzenszwalb_segments(image: np.ndarray, scale: float) -> np.ndarray:
    """Segments of Felzenszwalb and Huttenlocher's graph method, int (H, W); a larger scale gives larger ones."""
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(image, scale=scale, sigma=0.8, min_size=max(20, image.shape[0] * image.shape[1] // 2000))


def merged_superpixels(image: np.ndarray, threshold: float) -> np.ndarray:
    """SLIC superpixels, neighbours merged while their mean colours differ by less than `threshold` (CIELAB units)."""
    from skimage.color import rgb2lab
    from skimage.segmentation import slic

    lab = rgb2lab(image)
    labels = slic(image, n_segments=300, compactness=10, start_label=0)
    sizes = np.bincount(labels.ravel()).astype(float)
    means = np.stack([np.bincount(labels.ravel(), lab[..., channel].ravel()) / sizes for channel in range(3)], axis=1)
    group, neighbours = np.arange(len(sizes)), _adjacent_pairs(labels)
    while True:
        pairs = group[neighbours]
        distances = np.linalg.norm(means[pairs[:, 0]] - means[pairs[:, 1]], axis=1)
        distances[pairs[:, 0] == pairs[:, 1]] = np.inf
        if not (distances < threshold).any():
            return group[labels]
        kept, gone = pairs[distances.argmin()]
        means[kept] = (sizes[kept] * means[kept] + sizes[gone] * means[gone]) / (sizes[kept] + sizes[gone])
        sizes[kept] += sizes[gone]
        group[group == gone] = kept


def filled_box(box: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The box itself as a mask (H, W)."""
    mask = np.zeros(size_hw, dtype=bool)
    x0, y0, x1, y1 = np.round(box).astype(int)
    mask[y0:y1, x0:x1] = True
    return mask


def inscribed_ellipse(box: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The ellipse that touches the box's four sides, as a mask (H, W)."""
    x0, y0, x1, y1 = box
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    return ((columns - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2 + ((rows - (y0 + y1) / 2) / ((y1 - y0) / 2)) ** 2 <= 1


def colour_model_in_box(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Two colour histograms, of the mask and of the rest, fitted in turns with the mask. GrabCut without its graph cut.

    Around the box is background for certain; inside it, the evidence of the pixels is smoothed.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.color import rgb2lab

    size_hw = image.shape[:2]
    inside = filled_box(box, size_hw)
    width, height = box[2] - box[0], box[3] - box[1]
    margin = BOX_MARGIN * np.array([width, height, width, height]) * (-1, -1, 1, 1)
    around = filled_box(np.clip(box + margin, 0, np.array(size_hw[::-1] * 2)), size_hw) & ~inside
    if not around.any():
        return inscribed_ellipse(box, size_hw)
    cells = ((rgb2lab(image) - COLOUR_ORIGIN) / COLOUR_CELL).astype(int)
    mask = inscribed_ellipse(box, size_hw)
    for _ in range(COLOUR_MODEL_ROUNDS):
        foreground = _colour_density(cells[mask])
        background = _colour_density(cells[around | (inside & ~mask)])
        evidence = np.where(inside, np.log(foreground / background)[tuple(np.moveaxis(cells, 2, 0))], 0.0)
        evidence = gaussian_filter(np.clip(evidence, -5, 5), sigma=max(1.0, 0.02 * max(width, height)))
        mask = inside & (evidence > 0)
        if not mask.any():
            return inscribed_ellipse(box, size_hw)
    return mask


CLICK_BASELINES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "felzenszwalb_fine": partial(felzenszwalb_segments, scale=100),
    "felzenszwalb_coarse": partial(felzenszwalb_segments, scale=400),
    "superpixels_fine": partial(merged_superpixels, threshold=8),
    "superpixels_coarse": partial(merged_superpixels, threshold=14),
}


def score_baselines(example: Example) -> list[dict[str, float]]:
    """IoU of every baseline for every mask: one record per mask, named `click_METHOD` and `box_METHOD`."""
    size_hw = example.image.shape[:2]
    segments = {name: method(example.image) for name, method in CLICK_BASELINES.items()} if len(example.masks) else {}
    records = []
    for mask in example.masks:
        column, row = innermost_pixel_xy(mask).astype(int)
        box = outer_box_xyxy(mask)
        answers = {f"click_{name}": labels == labels[row, column] for name, labels in segments.items()}
        answers["box_filled"] = filled_box(box, size_hw)
        answers["box_ellipse"] = inscribed_ellipse(box, size_hw)
        answers["box_colour_model"] = colour_model_in_box(example.image, box)
        scores = {name: float(mask_iou(answer, mask)) for name, answer in answers.items()}
        records.append({"area_fraction": float(mask.mean()), **scores})
    return records


def _adjacent_pairs(labels: np.ndarray) -> np.ndarray:
    """Pairs of labels that touch, (N, 2), the smaller one first, each once."""
    across = np.stack((labels[:, :-1].ravel(), labels[:, 1:].ravel()), axis=1)
    down = np.stack((labels[:-1].ravel(), labels[1:].ravel()), axis=1)
    pairs = np.concatenate((across, down))
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def _colour_density(cells: np.ndarray) -> np.ndarray:
    """Smoothed histogram of colour cells (N, 3), positive everywhere, summing to 1."""
    from scipy.ndimage import gaussian_filter

    counts = np.zeros(COLOUR_CELLS)
    np.add.at(counts, tuple(cells.T), 1.0)
    density = gaussian_filter(counts, sigma=1.0) + 1e-3
    return density / density.sum()
