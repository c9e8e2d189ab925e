"""One object through a volume: from slices where it is given, its mask is the prompt of the next slice.

From the first and the last seed the walk goes on until the object ends: its mask is empty, or agrees too little with
the one before. Between two seeds both walks meet in the middle, and the slice where they meet holds what either found.

Source: the way of micro-sam (https://doi.org/10.1038/s41592-024-02580-4) to segment an object in a volume.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..evaluation.tasks.clicks import innermost_pixel_xy
from ..images.windows import Window
from ..masks.measures import mask_iou, widened_box_xyxy
from ..masks.rle import rle_to_mask
from .slices import SliceStore
from .volume import Volume, Windowing

PROJECTIONS = ("box", "mask", "box+mask", "point", "box+point")


class SliceModel(Protocol):
    """What embeds a slice and answers prompts on it; `anymask.SAM` does."""

    def embed(self, image: Any) -> Any:
        """The embedding of a slice."""

    @property
    def predict(self) -> Callable[..., Any]:
        """Take an embedding and prompts; return a list with the `Results` of the slice, a record for each prompt."""


@dataclass(frozen=True)
class Seed:
    """What is known of the object in one slice: one of the three.

    Attributes:
        mask: (height, width), taken as it is.
        box_xyxy: Left, top, right, bottom in pixels of the slice.
        points_xy: (N, 2) in pixels of the slice.
        labels: 1 or 0 for each point; 1 by default.

    Raises:
        ValueError: If there is none of the three, or more than one.
    """

    mask: np.ndarray | None = None
    box_xyxy: Sequence[float] | None = None
    points_xy: Sequence[Sequence[float]] | None = None
    labels: Sequence[int] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("mask", "box_xyxy", "points_xy") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"A seed must be a mask, a box or points, got {' and '.join(given) or 'none of them'}.")


class VolumePredictor:
    """Follows objects through a volume; slices are embedded once, however many objects are followed.

    Args:
        sam: `anymask.SAM`.
        volume: A `Volume`, or an array (I, J, K), which is walked along its first axis.
        window: See `Windowing`.
        value_range: Likewise.
        slices_kept: How many embeddings are kept, those used last.
        work_folder: Where answers are kept, so that a call after a stop goes on; None keeps nothing.
        settings: What else the masks follow from, such as the model's name: a folder made with others is refused.

    Examples:
        >>> import numpy as np
        >>> from anymask import SAM
        >>> from anymask.volumes.propagate import Seed, VolumePredictor
        >>> volume = np.zeros((5, 64, 48), dtype=np.int16)
        >>> volume[:, 20:40, 10:30] = 500
        >>> predictor = VolumePredictor(SAM("sam-vit-nano"), volume)
        >>> predictor.propagate({2: Seed(box_xyxy=(10, 20, 30, 40))}).shape
        (5, 64, 48)
    """

    def __init__(
        self,
        sam: SliceModel,
        volume: Volume | np.ndarray,
        *,
        window: Window | None = None,
        value_range: Sequence[float] | None = None,
        slices_kept: int = 1024,
        work_folder: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        self.volume = volume if isinstance(volume, Volume) else Volume(volume)
        self.windowing = Windowing(self.volume, window, value_range)
        self._store = SliceStore(work_folder, self.volume, self.windowing, settings)
        self._sam = sam
        self._embed = lru_cache(maxsize=slices_kept)(partial(_embed_slice, sam, self.volume, self.windowing))

    def propagate(
        self,
        seeds: Mapping[int, Seed],
        *,
        projection: str = "box+mask",
        iou_threshold: float = 0.8,
        box_extension: float = 0.025,
    ) -> np.ndarray:
        """The object that seeds show, in all slices.

        Args:
            seeds: What is known, by the position of its slice along the volume's axis.
            projection: What of a slice's mask prompts the next: one of `PROJECTIONS`.
            iou_threshold: The walk ends where the IoU of a slice's mask with the one before is below this.
            box_extension: By how much the box of a mask is widened on each side, as a part of its sides.

        Returns:
            (I, J, K) bool.

        Raises:
            ValueError: If there are no seeds, one lies outside, or an option has a value that it cannot have.
        """
        if not seeds:
            raise ValueError("There must be at least one seed, got none; pass {slice: Seed(box_xyxy=...)}, say.")
        if projection not in PROJECTIONS:
            raise ValueError(f"`projection` must be one of {', '.join(PROJECTIONS)}, got {projection!r}.")
        if not 0 <= iou_threshold <= 1 or box_extension < 0:
            raise ValueError(
                "`iou_threshold` must lie in [0, 1] and `box_extension` be at least 0, got "
                f"{iou_threshold} and {box_extension}."
            )
        outside = sorted(position for position in seeds if not 0 <= position < len(self.volume))
        if outside:
            raise ValueError(f"Seeds must lie in slices 0 to {len(self.volume) - 1}, got {outside[0]}.")
        walk = _Walk(self, projection, iou_threshold, box_extension)
        found = np.zeros(self.volume.shape, dtype=bool)

        def add(position: int, mask: np.ndarray) -> None:
            found[self.volume.index(position)] |= mask

        positions = sorted(seeds)
        masks = {position: self.seed_mask(position, seeds[position]) for position in positions}
        for position, mask in masks.items():
            add(position, mask)
        for first, second in pairwise(positions):
            middle = (first + second) // 2
            is_even = (second - first) % 2 == 0
            for position, mask in walk.steps(masks[first], range(first + 1, middle + 1)):
                add(position, mask)
            for position, mask in walk.steps(masks[second], range(second - 1, middle - is_even, -1)):
                add(position, mask)
        for position, mask in walk.steps(masks[positions[0]], range(positions[0] - 1, -1, -1)):
            add(position, mask)
        for position, mask in walk.steps(masks[positions[-1]], range(positions[-1] + 1, len(self.volume))):
            add(position, mask)
        return found

    def seed_mask(self, position: int, seed: Seed) -> np.ndarray:
        """The mask (height, width) of bool that a seed stands for.

        Args:
            position: Of the slice along the axis that is walked.
            seed: What is given there.

        Raises:
            ValueError: If the mask has another size than the slice.
        """
        if seed.mask is not None:
            mask = np.asarray(seed.mask).astype(bool)
            if mask.shape != self.volume.slice_size_hw:
                raise ValueError(
                    f"The mask of slice {position} must be as large as it, {self.volume.slice_size_hw}, got "
                    f"{mask.shape}."
                )
            return mask
        if seed.box_xyxy is not None:
            return self.answer(position, boxes=[list(seed.box_xyxy)])
        points = [[list(point) for point in seed.points_xy or ()]]
        return self.answer(position, points=points, labels=[list(seed.labels or [1] * len(points[0]))])

    def answer(self, position: int, **prompts: Any) -> np.ndarray:
        """The mask (height, width) of bool of one prompt in one slice; prompts as in `SAM.predict`."""
        name = f"slice_{position:05d}_{_digest(prompts)}"
        [mask] = self._store.masks(
            name, lambda: [self._sam.predict(self._embed(position), **prompts)[0][0]["segmentation"]]
        )
        return rle_to_mask(mask) if isinstance(mask, dict) else np.asarray(mask)


class _Walk:
    """Slice after slice, each prompted by the mask of the one before."""

    def __init__(self, predictor: VolumePredictor, projection: str, iou_threshold: float, box_extension: float):
        self._predictor, self._iou_threshold, self._box_extension = predictor, iou_threshold, box_extension
        self._kinds = projection.split("+")

    def steps(self, mask: np.ndarray, positions: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield position and mask of each slice until the object ends."""
        for position in positions:
            if not mask.any():
                return
            found = self._predictor.answer(position, **self._prompts(mask))
            if mask_iou(mask, found) < self._iou_threshold or not found.any():
                return
            yield position, found
            mask = found

    def _prompts(self, mask: np.ndarray) -> dict[str, Any]:
        prompts: dict[str, Any] = {"multimask_output": False}
        if "box" in self._kinds:
            prompts["boxes"] = [list(widened_box_xyxy(mask, self._box_extension))]
        if "mask" in self._kinds:
            prompts["masks"] = mask[None]
        if "point" in self._kinds:
            prompts["points"] = [[innermost_pixel_xy(mask).tolist()]]
            prompts["labels"] = [[1]]
        return prompts


def _embed_slice(sam: SliceModel, volume: Volume, windowing: Windowing, position: int) -> Any:
    return sam.embed(windowing(volume.read(position)))


def _digest(prompts: Mapping[str, Any]) -> str:
    """A name for prompts: the same for the same numbers."""
    digest = hashlib.sha256()
    for name, value in sorted(prompts.items()):
        digest.update(f"{name} {value.shape if isinstance(value, np.ndarray) else value}".encode())
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else b"")
    return digest.hexdigest()[:16]
