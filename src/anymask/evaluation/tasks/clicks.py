"""Where a person would click next: the rule by which interactive segmentation is measured, and trained.

The error of a mask has two parts: pixels of the object that it misses (a foreground click corrects those) and pixels
that it takes too much (a background click). "center" clicks the pixel that lies farthest inside the larger of the two,
where size is how deep that pixel lies; "random" clicks any pixel of either.

Source: K. Sofiiuk, I. Petrov and A. Konushin, "Reviving Iterative Training with Mask Guidance for Interactive
Segmentation" (2021), whose rule the field reports by. As there, the frame of the image bounds a region, pixels that
were clicked before are not clicked again, and a click is a foreground click only if the missed part lies strictly
deeper. Distances here are exact; ties go to the first pixel, row by row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ...geometry.coordinates import IGNORED_PIXEL, LABEL_BACKGROUND, LABEL_FOREGROUND
from ...masks.measures import find_window
from ...support.chunks import slices
from ...support.devices import is_accelerator

PLACES = ("center", "random")
PIXELS_AT_A_TIME = 2**19
"""Pixels of masks that a CPU looks at at a time, so that they stay in its cache."""


class Clicks(NamedTuple):
    """One click for each object.

    Attributes:
        points_xy: (N, 2) float32, the column and the row of the pixel.
        labels: (N,) int64, 1 foreground, 0 background.
    """

    points_xy: torch.Tensor
    labels: torch.Tensor


def next_click(
    predicted: torch.Tensor | np.ndarray | None,
    truth: torch.Tensor | np.ndarray,
    where: str = "center",
    *,
    ignore: int = IGNORED_PIXEL,
    exclude: torch.Tensor | np.ndarray | None = None,
    generator: torch.Generator | None = None,
) -> Clicks:
    """The click that corrects each mask next; the first click where nothing is predicted yet.

    Where nothing is wrong any more, the click confirms: a background click in the background as it would be chosen in
    an error, or, where the object fills the image, a foreground click. SAM 2 is trained on such clicks.

    Args:
        predicted: (N, H, W) bool, or None before the first click.
        truth: (N, H, W), the objects: bool, or numbers of which 0 is background, `ignore` says nothing, and all others
            are the object.
        where: "center" or "random".
        ignore: value of pixels that are neither right nor wrong, and are not clicked.
        exclude: (N, K, 2) pixels as x and y that are not clicked again.
        generator: for "random"; on the device of the masks.

    Returns:
        The clicks, on the device of `truth`.

    Raises:
        ValueError: If shapes do not fit, `where` is unknown, or every pixel of an object is ignored or excluded.
    """
    if where not in PLACES:
        raise ValueError(f"`where` must be 'center' or 'random', got {where!r}.")
    truth = torch.as_tensor(truth)
    if truth.ndim != 3 or 0 in truth.shape[1:]:
        raise ValueError(f"`truth` must have shape (objects, height, width), got {tuple(truth.shape)}.")
    predicted = torch.zeros_like(truth, dtype=torch.bool) if predicted is None else torch.as_tensor(predicted).bool()
    if predicted.shape != truth.shape:
        raise ValueError(
            f"`predicted` must have the shape of `truth`, {tuple(truth.shape)}, got {tuple(predicted.shape)}."
        )
    exclude = None if exclude is None else _checked_pixels(exclude, truth)
    at_a_time = len(truth) if is_accelerator(truth.device) else PIXELS_AT_A_TIME // (truth.shape[1] * truth.shape[2])
    found = [
        _click_some(
            predicted[some],
            truth[some],
            where,
            ignore,
            exclude=None if exclude is None else exclude[some],
            generator=generator,
        )
        for some in slices(len(truth), max(at_a_time, 1))
    ]
    return Clicks(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _click_some(
    predicted: torch.Tensor,
    truth: torch.Tensor,
    where: str,
    ignore: int,
    exclude: torch.Tensor | None,
    generator: torch.Generator | None,
) -> Clicks:
    counts = torch.ones_like(predicted) if truth.dtype == torch.bool else truth != ignore
    is_object = truth.bool() & counts
    regions = torch.stack((is_object & ~predicted, ~is_object & counts & predicted), dim=1)
    is_left = _clickable(regions, exclude).flatten(1).any(dim=1)
    # Where nothing is wrong, the background takes the place of the error, and then the object.
    for confirmed, kind in ((~is_object & counts, 1), (is_object, 0)):
        if is_left.all():
            break
        regions[~is_left, kind] |= confirmed[~is_left]
        is_left = _clickable(regions, exclude).flatten(1).any(dim=1)
    if not is_left.all():
        raise ValueError("Every object must have a pixel that can be clicked, but all of one are ignored or excluded.")
    choose = _innermost if where == "center" else _anywhere
    flat, is_foreground = choose(regions, exclude, generator)
    width = truth.shape[-1]
    points_xy = torch.stack((flat % width, flat // width), dim=-1).float()
    return Clicks(points_xy, torch.where(is_foreground, LABEL_FOREGROUND, LABEL_BACKGROUND))


def distance_inside(region: np.ndarray) -> np.ndarray:
    """How far each pixel of a region (H, W) lies from the nearest outside of it, the frame of the image included.

    Returns:
        (H, W) float64, in pixels; 0 outside of the region, 1 at its edge.
    """
    from scipy.ndimage import distance_transform_edt

    distances = np.zeros(region.shape)
    window = find_window(region)
    if window is None:
        return distances
    # What is nearest to a pixel of the region lies in its box or right beside it: the rest of the image says nothing.
    distances[window] = distance_transform_edt(np.pad(region[window], 1))[1:-1, 1:-1]
    return distances


def innermost_pixel_xy(mask: np.ndarray) -> np.ndarray:
    """Find the pixel of a mask (H, W), not empty, that lies farthest from its border and the frame: (2,) as x, y."""
    row, column = np.unravel_index(distance_inside(mask).argmax(), mask.shape)
    return np.array([column, row], dtype=np.float32)


def _checked_pixels(exclude: torch.Tensor | np.ndarray, truth: torch.Tensor) -> torch.Tensor:
    pixels = torch.as_tensor(exclude, device=truth.device).long()
    if pixels.ndim != 3 or pixels.shape[0] != len(truth) or pixels.shape[2] != 2:
        raise ValueError(f"`exclude` must have shape ({len(truth)}, K, 2), got {tuple(pixels.shape)}.")
    return pixels


def _clickable(regions: torch.Tensor, exclude: torch.Tensor | None) -> torch.Tensor:
    """The regions (N, 2, H, W) without the pixels (N, K, 2) that are not to be clicked."""
    if exclude is None:
        return regions
    clickable = regions.clone()
    objects = torch.arange(len(regions), device=regions.device)[:, None]
    clickable[objects, :, exclude[..., 1], exclude[..., 0]] = False
    return clickable


def _innermost(
    regions: torch.Tensor, exclude: torch.Tensor | None, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat index (N,) of the deepest pixel of either region, and whether it lies in the first."""
    clickable = _clickable(regions, exclude).cpu().numpy()
    flat = np.zeros(len(regions), dtype=np.int64)
    is_foreground = np.zeros(len(regions), dtype=bool)
    for index, both in enumerate(regions.cpu().numpy()):
        missed, too_much = (distance_inside(region) * free for region, free in zip(both, clickable[index], strict=True))
        is_foreground[index] = missed.max() > too_much.max()
        flat[index] = (missed if is_foreground[index] else too_much).argmax()
    return torch.from_numpy(flat).to(regions.device), torch.from_numpy(is_foreground).to(regions.device)


def _anywhere(
    regions: torch.Tensor, exclude: torch.Tensor | None, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat index (N,) of a pixel drawn uniformly from both regions, and whether it lies in the first."""
    clickable = _clickable(regions, exclude).flatten(2)
    either = clickable.any(dim=1)
    # The n-th pixel of the region, where n is drawn: exact for any size, and one number per object from the generator.
    places = either.nonzero()
    counts = torch.bincount(places[:, 0], minlength=len(either))
    draws = torch.rand(len(either), dtype=torch.float64, device=either.device, generator=generator)
    wanted = torch.minimum((draws * counts).long(), counts - 1)
    flat = places[counts.cumsum(dim=0) - counts + wanted, 1]
    return flat, clickable[torch.arange(len(flat), device=flat.device), 0, flat]
