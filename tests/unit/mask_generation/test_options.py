"""Names, values and contradictions of the options."""

import dataclasses

import numpy as np
import pytest

from anymask.mask_generation.options import (
    _RULES,
    ALIASES,
    OPTION_NAMES,
    EverythingOptions,
    MaskGenerationOptions,
    canonical_options,
)
from anymask.masks.clean_up import CleanUp

# Meta's SamAutomaticMaskGenerator, segment-anything 1.0.
META_DEFAULTS = {
    "points_per_side": 32,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "point_grids": None,
    "min_mask_region_area": 0,
    "output_mode": "binary_mask",
}


def test_defaults_are_those_of_meta():
    options = dataclasses.asdict(MaskGenerationOptions())
    assert {name: options[name] for name in META_DEFAULTS} == META_DEFAULTS
    assert options["mask_threshold"] == 0.0


def test_names_of_transformers():
    options = MaskGenerationOptions.from_kwargs(points_per_crop=7, crops_n_layers=2, crops_nms_thresh=0.4)
    assert options == MaskGenerationOptions(points_per_side=7, crop_n_layers=2, box_nms_thresh=0.4, crop_nms_thresh=0.4)
    # The same value twice is no contradiction.
    assert canonical_options({"points_per_crop": 7, "points_per_side": 7}) == {"points_per_side": 7}


@pytest.mark.parametrize(
    "contradiction",
    [
        {"points_per_crop": 7, "points_per_side": 8},
        {"crops_n_layers": 1, "crop_n_layers": 0},
        {"crops_nms_thresh": 0.5, "crop_nms_thresh": 0.7},
        {"crops_nms_thresh": 0.5, "box_nms_thresh": 0.7},
    ],
)
def test_two_names_must_agree(contradiction):
    first, second = contradiction.values()
    with pytest.raises(ValueError, match=f"name one option, but got {first} and {second}; pass one of them"):
        MaskGenerationOptions.from_kwargs(**contradiction)


def test_sides_and_grids_replace_each_other():
    grid = [[0.1, 0.2]]
    with_grids = MaskGenerationOptions.from_kwargs(point_grids=[grid])
    assert with_grids.points_per_side is None
    assert with_grids.grids()[0].tolist() == grid
    with_sides = with_grids.updated(points_per_side=2)
    assert with_sides.point_grids is None
    assert len(with_sides.grids()[0]) == 4
    assert MaskGenerationOptions.from_kwargs(points_per_side=None, point_grids=[grid]).points_per_side is None
    with pytest.raises(ValueError, match="must be given, got both"):
        MaskGenerationOptions.from_kwargs(points_per_side=3, point_grids=[grid])
    with pytest.raises(ValueError, match="must be given, got neither"):
        MaskGenerationOptions.from_kwargs(points_per_side=None)


def test_grids_fit_the_layers():
    grid = np.array([[0.1, 0.2]])
    with pytest.raises(ValueError, match="2 in all, got 1"):
        MaskGenerationOptions.from_kwargs(point_grids=[grid], crop_n_layers=1)
    with pytest.raises(ValueError, match=r"got shape \(1, 2\) with values from 0\.1 to 20"):
        MaskGenerationOptions.from_kwargs(point_grids=[grid * [1, 100]])
    with pytest.raises(ValueError, match=r"got shape \(2,\)"):
        MaskGenerationOptions.from_kwargs(point_grids=grid)
    with pytest.raises(ValueError, match=r"got shape \(0, 2\)\."):
        MaskGenerationOptions.from_kwargs(point_grids=[grid[:0]])


def test_areas_of_holes_and_islands():
    meta = MaskGenerationOptions(min_mask_region_area=9)
    assert meta.clean_up == CleanUp(9, 9)  # fewer than 9 pixels
    transformers = MaskGenerationOptions(max_hole_area=8)
    assert transformers.clean_up == CleanUp(9, 0)  # up to 8 pixels
    assert MaskGenerationOptions(max_sprinkle_area=0).clean_up == CleanUp(0, 1)
    with pytest.raises(ValueError, match=r"pass either it, or `max_hole_area` \(8\)"):
        MaskGenerationOptions(min_mask_region_area=9, max_hole_area=8)


def test_of_two_ways_to_say_areas_the_later_holds():
    """A checkpoint may bring the one, and a call the other."""
    of_checkpoint = MaskGenerationOptions.from_kwargs(min_mask_region_area=250)
    holes = of_checkpoint.updated(max_hole_area=50)
    assert holes.clean_up == CleanUp(51, 0)
    again = holes.updated(min_mask_region_area=7)
    assert again.clean_up == CleanUp(7, 7)
    assert of_checkpoint.updated(points_per_side=3).clean_up == CleanUp(250, 250)
    shares = again.updated(island_share=0.1)
    assert shares.clean_up == CleanUp(island_share=0.1)
    assert shares.updated(min_mask_region_area=0).clean_up == CleanUp()
    assert shares.updated(hole_share=0.2, max_hole_area=3).clean_up == CleanUp(4, 0, 0.2, 0.0)
    with pytest.raises(ValueError, match="pass either it"):
        of_checkpoint.updated(min_mask_region_area=7, max_hole_area=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(crop_n_layers=12), "`crop_n_layers` must make at most 4096 crops, got 12"),
        (dict(crop_n_layers=10**9), "`crop_n_layers` must make at most"),
        (dict(points_per_side=100_000), "`points_per_side` must make at most 10000000 points"),
        (dict(points_per_side=1000, crop_n_layers=3), r"85 crop\(s\), 85000000 points"),
    ],
)
def test_amounts_are_checked_before_anything_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        MaskGenerationOptions.from_kwargs(**options)


def test_names_for_type_checkers():
    assert set(EverythingOptions.__annotations__) == set(OPTION_NAMES) | set(ALIASES)


def test_every_option_has_a_rule():
    assert {*_RULES, "point_grids"} == set(OPTION_NAMES)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("points_per_side", 0, "a whole number of at least 1, or None"),
        ("points_per_side", 2.5, "a whole number of at least 1, or None"),
        ("points_per_batch", True, "a whole number of at least 1, or None"),
        ("points_per_batch", 0, "a whole number of at least 1, or None"),
        ("pred_iou_thresh", "high", "a finite number"),
        ("stability_score_thresh", float("nan"), "a finite number"),
        ("stability_score_offset", -1, "a number of at least 0"),
        ("mask_threshold", None, "a finite number"),
        ("box_nms_thresh", 1.1, r"a number in \[0, 1\]"),
        ("mask_nms_thresh", "0.5", r"a number in \[0, 1\], or None"),
        ("mask_nms_measure", "ios", "one of iou, smaller"),
        ("crop_nms_thresh", -0.1, r"a number in \[0, 1\]"),
        ("crop_n_layers", -1, "a whole number of at least 0"),
        ("crop_overlap_ratio", 1, r"a number in \[0, 1\)"),
        ("crop_n_points_downscale_factor", 0, "a number of at least 1"),
        ("min_mask_region_area", 0.5, "a whole number of at least 0"),
        ("max_hole_area", -1, "a whole number of at least 0, or None"),
        ("output_mode", "rle", "one of binary_mask, uncompressed_rle, coco_rle"),
        ("progress", 1, "True, False or None"),
    ],
)
def test_values_that_cannot_be(name, value, wanted):
    with pytest.raises(ValueError, match=f"`{name}` must be {wanted}, got {value!r}"):
        MaskGenerationOptions.from_kwargs(**{name: value})


def test_numpy_numbers_are_numbers():
    options = MaskGenerationOptions.from_kwargs(points_per_side=np.int64(4), pred_iou_thresh=np.float32(0.5))
    assert len(options.grids()[0]) == 16
