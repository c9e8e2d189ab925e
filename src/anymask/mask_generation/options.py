"""The options of "segment everything": Meta's names and defaults, Transformers' names as aliases, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict

import numpy as np

from ..geometry.crops import build_point_grids
from ..masks.clean_up import CleanUp
from ..masks.measures import OVERLAPS
from ..masks.record import SEGMENTATION_FORMS
from ..support.unknown_names import check_known_options
from ..support.values import Rule, is_number, is_whole

POINT_CHOICES = ("grid", "adaptive")

# A day of work on a server; what is beyond is a slip of the keyboard.
MAX_CROPS = 4**6
MAX_POINTS = 10_000_000

# Names in Transformers' pipeline, and what they stand for. Its one NMS over everything is Meta's two with one
# threshold.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "points_per_crop": ("points_per_side",),
    "crops_n_layers": ("crop_n_layers",),
    "crops_nms_thresh": ("box_nms_thresh", "crop_nms_thresh"),
}

_COUNT_OR_NONE: Rule = ("a whole number of at least 1, or None", lambda value: value is None or is_whole(value, 1))
_AREA_OR_NONE: Rule = ("a whole number of at least 0, or None", lambda value: value is None or is_whole(value, 0))
_WHOLE: Rule = ("a whole number of at least 0", lambda value: is_whole(value, 0))
_FINITE: Rule = ("a finite number", lambda value: is_number(value))
_FRACTION: Rule = ("a number in [0, 1]", lambda value: is_number(value, 0, 1))

# What each option must be, in words and as a test.
_RULES: dict[str, Rule] = {
    "points_per_side": _COUNT_OR_NONE,
    "points_per_batch": _COUNT_OR_NONE,
    "pred_iou_thresh": _FINITE,
    "stability_score_thresh": _FINITE,
    "stability_score_offset": ("a number of at least 0", lambda value: is_number(value, 0)),
    "mask_threshold": _FINITE,
    "box_nms_thresh": _FRACTION,
    "mask_nms_thresh": ("a number in [0, 1], or None", lambda value: value is None or is_number(value, 0, 1)),
    "mask_nms_measure": (f"one of {', '.join(OVERLAPS)}", lambda value: value in OVERLAPS),
    "crop_n_layers": _WHOLE,
    "crop_nms_thresh": _FRACTION,
    "crop_overlap_ratio": ("a number in [0, 1)", lambda value: is_number(value, 0, 1) and value < 1),
    "crop_n_points_downscale_factor": ("a number of at least 1", lambda value: is_number(value, 1)),
    "min_mask_region_area": _WHOLE,
    "max_hole_area": _AREA_OR_NONE,
    "max_sprinkle_area": _AREA_OR_NONE,
    "hole_share": _FRACTION,
    "island_share": _FRACTION,
    "output_mode": (f"one of {', '.join(SEGMENTATION_FORMS)}", lambda value: value in SEGMENTATION_FORMS),
    "points": (f"one of {', '.join(POINT_CHOICES)}", lambda value: value in POINT_CHOICES),
    "progress": ("True, False or None", lambda value: value is None or isinstance(value, bool)),
}


@dataclass(frozen=True)
class MaskGenerationOptions:
    """Options of `SamMaskGenerator`; areas and coordinates are in pixels of the original image.

    Attributes:
        points_per_side: the grid has this many points along each side of a crop (`points_per_crop` in Transformers).
        points_per_batch: how many points are decoded and filtered at a time; None takes all at once. It bounds memory
            and changes no mask. Out of memory halves it.
        pred_iou_thresh: a mask's predicted IoU must be above this; 0 keeps all.
        stability_score_thresh: a mask's stability score must reach this; 0 keeps all.
        stability_score_offset: by how much the threshold moves each way to measure stability.
        mask_threshold: logits above this are foreground.
        box_nms_thresh: of two masks of one crop whose boxes' IoU is above this, the one with the lower predicted IoU
            goes.
        mask_nms_thresh: of two masks that overlap more than this, whatever their boxes and crops, the one with the
            lower predicted IoU goes; None compares no masks. It comes last, after the clean-up of small regions.
        mask_nms_measure: how `mask_nms_thresh` measures overlap: "iou", intersection over union; "smaller",
            intersection over the smaller mask, so that of an object and its part one stays.
        crop_n_layers: layers of crops beyond the whole image (`crops_n_layers`); layer i has 2^i x 2^i crops.
        crop_nms_thresh: the IoU above which a box goes, as `box_nms_thresh`, but between crops; the mask of the larger
            crop goes. (`crops_nms_thresh` sets both.)
        crop_overlap_ratio: how much crops overlap, as a part of the image's shorter side, in the first layer.
        crop_n_points_downscale_factor: in layer i the side of the grid is divided by this to the power of i.
        point_grids: one array (N, 2) of points in [0, 1] x [0, 1] per layer, the whole image first, in place of
            `points_per_side`.
        min_mask_region_area: holes and islands of fewer pixels than this are filled and removed; then duplicates go
            again.
        max_hole_area: holes of up to this many pixels are filled, in place of `min_mask_region_area`.
        max_sprinkle_area: islands of up to this many pixels are removed, in place of `min_mask_region_area`.
        hole_share: holes of less than this part of their mask's area are filled, whatever the size of the image.
        island_share: islands of less than this part of their mask's area are removed.
        output_mode: "binary_mask" for NumPy arrays of bool, "uncompressed_rle", or "coco_rle" as pycocotools reads it.
        points: "grid" asks all points. "adaptive" asks a coarse grid first, and then those of the rest that may find
            something new: fewer than half, at the price of some masks (see docs/lab-book.md).
        progress: whether to show a progress bar; None shows one if stderr is a terminal.

    Raises:
        ValueError: If a value cannot be, two contradict each other, or there are too many crops or points.

    Examples:
        >>> from anymask import MaskGenerationOptions
        >>> options = MaskGenerationOptions.from_kwargs(points_per_crop=16, crops_nms_thresh=0.5)
        >>> options.points_per_side, options.box_nms_thresh, options.crop_nms_thresh
        (16, 0.5, 0.5)
    """

    points_per_side: int | None = 32
    points_per_batch: int | None = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    mask_nms_thresh: float | None = None
    mask_nms_measure: str = "iou"
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: tuple[np.ndarray, ...] | None = field(default=None, compare=False)
    min_mask_region_area: int = 0
    max_hole_area: int | None = None
    max_sprinkle_area: int | None = None
    hole_share: float = 0.0
    island_share: float = 0.0
    output_mode: str = "binary_mask"
    points: str = "grid"
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, (wanted, is_right) in _RULES.items():
            value = getattr(self, name)
            if not is_right(value):
                raise ValueError(f"`{name}` must be {wanted}, got {value!r}.")
        if self.min_mask_region_area > 0 and (self.max_hole_area is not None or self.max_sprinkle_area is not None):
            raise ValueError(
                f"`min_mask_region_area` ({self.min_mask_region_area}) speaks of holes and islands alike; pass either "
                f"it, or `max_hole_area` ({self.max_hole_area}) and `max_sprinkle_area` ({self.max_sprinkle_area})."
            )
        self._check_points()
        self._check_amount()

    def _check_points(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            both = "both" if self.point_grids is not None else "neither"
            raise ValueError(f"Either `points_per_side` or `point_grids` must be given, got {both}.")
        if self.point_grids is None:
            return
        if self.points == "adaptive":
            raise ValueError("`points` must be 'grid' with `point_grids`: 'adaptive' chooses from a square grid.")
        grids = tuple(np.asarray(grid, dtype=np.float64) for grid in self.point_grids)
        if len(grids) != self.crop_n_layers + 1:
            raise ValueError(
                "`point_grids` must have one grid per crop layer and one for the whole image, "
                f"{self.crop_n_layers + 1} in all, got {len(grids)}."
            )
        for grid in grids:
            if grid.ndim != 2 or grid.shape[1] != 2 or len(grid) == 0 or not ((grid >= 0) & (grid <= 1)).all():
                raise ValueError(
                    "Each of `point_grids` must have shape (N, 2), x and y from 0 to 1 relative to the crop, got shape "
                    f"{grid.shape}" + (f" with values from {grid.min():g} to {grid.max():g}." if grid.size else ".")
                )
        object.__setattr__(self, "point_grids", grids)

    def _check_amount(self) -> None:
        """Refuse numbers of crops and points that no machine could go through, before anything is made of them."""
        n_crops = sum(4**layer for layer in range(min(self.crop_n_layers, 16) + 1))
        if n_crops > MAX_CROPS:
            raise ValueError(
                f"`crop_n_layers` must make at most {MAX_CROPS} crops, got {self.crop_n_layers}, layer i has 4^i crops."
            )
        if self.points_per_side is None:
            return
        n_points = sum(
            4**layer * max(int(self.points_per_side / self.crop_n_points_downscale_factor**layer), 1) ** 2
            for layer in range(self.crop_n_layers + 1)
        )
        if n_points > MAX_POINTS:
            raise ValueError(
                f"`points_per_side` must make at most {MAX_POINTS} points of an image, got {self.points_per_side} with "
                f"{n_crops} crop(s), {n_points} points; SAM's default is 32 per side, 1024 in all."
            )

    def grids(self) -> Sequence[np.ndarray]:
        """Points (N, 2) of each crop layer, x and y from 0 to 1 relative to the crop, the whole image first."""
        if self.points_per_side is None:
            return self.point_grids or ()
        return build_point_grids(self.points_per_side, self.crop_n_layers, self.crop_n_points_downscale_factor)

    @property
    def clean_up(self) -> CleanUp:
        """Which holes and islands of a mask go."""
        return CleanUp(
            min_hole_area=self.min_mask_region_area if self.max_hole_area is None else self.max_hole_area + 1,
            min_island_area=self.min_mask_region_area if self.max_sprinkle_area is None else self.max_sprinkle_area + 1,
            hole_share=self.hole_share,
            island_share=self.island_share,
        )

    @classmethod
    def from_kwargs(cls, **kwargs: Any) -> MaskGenerationOptions:
        """Options by Meta's names or Transformers'; see `updated`."""
        return cls().updated(**kwargs)

    def updated(self, **kwargs: Any) -> MaskGenerationOptions:
        """These options with some replaced, by Meta's names or Transformers'.

        `point_grids` replaces `points_per_side` and the other way round, unless both are given here; and so do
        `min_mask_region_area`, the pair of `max_hole_area` and `max_sprinkle_area`, and that of `hole_share` and
        `island_share`.

        Raises:
            TypeError: If an option is unknown; the message names the nearest one.
            ValueError: If a value is not possible, or two names of one option have different values.
        """
        changes = canonical_options(kwargs)
        for ways in _WAYS_TO_CLEAN_UP:
            if any(changes.get(name) is not None for name in ways):
                others = {name: none for way in _WAYS_TO_CLEAN_UP if way is not ways for name, none in way.items()}
                changes = {**others, **changes}
        if changes.get("point_grids") is not None:
            changes.setdefault("points_per_side", None)
        elif changes.get("points_per_side") is not None:
            changes.setdefault("point_grids", None)
        return replace(self, **changes)


OPTION_NAMES = tuple(option.name for option in fields(MaskGenerationOptions))


class EverythingOptions(TypedDict, total=False):
    """The names of `MaskGenerationOptions` and their aliases, as type checkers and editors show them."""

    points_per_side: int | None
    points_per_batch: int | None
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    mask_threshold: float
    box_nms_thresh: float
    mask_nms_thresh: float | None
    mask_nms_measure: str
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    point_grids: Sequence[Any] | None
    min_mask_region_area: int
    max_hole_area: int | None
    max_sprinkle_area: int | None
    hole_share: float
    island_share: float
    output_mode: str
    points: str
    progress: bool | None
    points_per_crop: int | None
    crops_n_layers: int
    crops_nms_thresh: float


# Of ways to say which small regions go a later one replaces an earlier one: their options, and what switches them off.
_WAYS_TO_CLEAN_UP: tuple[dict[str, Any], ...] = (
    {"min_mask_region_area": 0},
    {"max_hole_area": None, "max_sprinkle_area": None},
    {"hole_share": 0.0, "island_share": 0.0},
)
AREA_OPTIONS = tuple(name for way in _WAYS_TO_CLEAN_UP for name in way)
"""Those that say something of masks of prompts, too."""


def canonical_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names of `MaskGenerationOptions`, from those and their aliases.

    Raises:
        TypeError: If an option is unknown.
        ValueError: If two names of one option have different values.
    """
    check_known_options(given, (*OPTION_NAMES, *ALIASES), "Mask generation")
    canonical = {name: value for name, value in given.items() if name in OPTION_NAMES}
    for alias in (name for name in given if name in ALIASES):
        for name in ALIASES[alias]:
            if name in canonical and canonical[name] != given[alias]:
                raise ValueError(
                    f"`{alias}` and `{name}` name one option, but got {given[alias]!r} and {canonical[name]!r}; "
                    "pass one of them."
                )
            canonical[name] = given[alias]
    return canonical
