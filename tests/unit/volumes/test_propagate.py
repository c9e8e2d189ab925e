import numpy as np
import pytest
from tests.tiny_sam import tiny_image_processor, tiny_model
from tests.unit.volumes.colour_sam import ColourSAM, dice, ellipsoid, noisy

from anymask.processing_sam import SamProcessor
from anymask.sam import SAM
from anymask.volumes.propagate import Seed, VolumePredictor, mask_iou
from anymask.volumes.volume import Volume

SHAPE = (40, 60, 72)
ORGAN = ellipsoid(SHAPE, (18, 30, 36), (13, 18, 22))
OTHER = ellipsoid(SHAPE, (34, 12, 60), (4, 8, 8))
CT = noisy(SHAPE, (ORGAN, 60), (OTHER, 200))
VALUE_RANGE = (-1000, 400)


def predictor(sam=None, axis=0, voxels=CT):
    return VolumePredictor(sam or ColourSAM(), Volume(voxels, axis), value_range=VALUE_RANGE)


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("projection", ["box", "mask", "box+mask", "point", "box+point"])
def test_an_ellipsoid_from_one_slice(projection):
    found = predictor().propagate(
        {18: Seed(box_xyxy=box_of(ORGAN[18]))}, projection=projection, iou_threshold=0.3, box_extension=0.1
    )
    assert dice(found, ORGAN) > 0.95
    assert not found[OTHER].any()


@pytest.mark.parametrize("axis", [1, 2])
def test_along_any_axis(axis):
    centre = (18, 30, 36)[axis]
    seed = np.take(ORGAN, centre, axis=axis)
    sam = ColourSAM()
    found = predictor(sam, axis).propagate({centre: Seed(mask=seed)}, iou_threshold=0.3, box_extension=0.1)
    assert found.shape == SHAPE and dice(found, ORGAN) > 0.95
    np.testing.assert_array_equal(np.take(found, centre, axis=axis), seed)


def test_a_spine_from_seeds_at_both_ends_and_points():
    """Vertebrae of one column that winds through the volume; between seeds the halves meet."""
    z = np.arange(SHAPE[0])
    spine = np.zeros(SHAPE, bool)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    for position in z:
        centre = (30 + 8 * np.sin(position / 9), 36 + 10 * np.cos(position / 11))
        spine[position] = np.hypot(y - centre[0], x - centre[1]) <= 6 + (position % 6 < 4)
    voxels = noisy(SHAPE, (spine, 300))
    seeds = {0: Seed(mask=spine[0]), 39: Seed(points_xy=[[36 + 10 * np.cos(39 / 11), 30 + 8 * np.sin(39 / 9)]])}
    found = predictor(voxels=voxels).propagate(seeds, iou_threshold=0.3, box_extension=0.2)
    assert dice(found, spine) > 0.95 and found.any(axis=(1, 2)).all()


def test_slices_are_embedded_once_for_all_objects():
    sam = ColourSAM()
    several = predictor(sam)
    for seed, mask in ((18, ORGAN), (34, OTHER)):
        found = several.propagate({seed: Seed(mask=mask[seed])}, iou_threshold=0.3, box_extension=0.1)
        assert dice(found, mask) > 0.9
    assert sam.embedded <= SHAPE[0]


def test_halves_meet_and_the_middle_is_their_union():
    """Seeds whose walks find different things: each half is its own seed's, the slice between both."""

    class Shifts(ColourSAM):
        def predict(self, source, masks=None, **prompts):
            return [[{"segmentation": masks[0]}]]

    left, right = np.zeros(SHAPE[1:], bool), np.zeros(SHAPE[1:], bool)
    left[5:20, 5:20], right[10:25, 10:25] = True, True
    found = predictor(Shifts()).propagate({10: Seed(mask=left), 14: Seed(mask=right)}, projection="mask")
    for position, expected in {9: left, 10: left, 11: left, 12: left | right, 13: right, 14: right, 15: right}.items():
        np.testing.assert_array_equal(found[position], expected)
    odd = predictor(Shifts()).propagate({10: Seed(mask=left), 13: Seed(mask=right)}, projection="mask")
    np.testing.assert_array_equal(odd[11], left)
    np.testing.assert_array_equal(odd[12], right)


def test_the_walk_stops_where_masks_disagree():
    voxels = noisy(SHAPE, (ellipsoid(SHAPE, (20, 30, 36), (100, 10, 10)), 60))
    voxels[26:] = -1000
    voxels[26:, 24:26, 30:32] = 60  # a speck that remains
    found = predictor(voxels=voxels).propagate({15: Seed(box_xyxy=[24, 18, 49, 43])}, iou_threshold=0.5)
    assert found[25].any() and not found[26:].any()


def test_it_runs_on_sam_itself():
    sam = SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))
    found = predictor(sam, voxels=CT[:5]).propagate({2: Seed(box_xyxy=[10, 10, 50, 40])}, iou_threshold=0.0)
    assert found.shape == (5, 60, 72) and found.dtype == bool and found[2].any()


def test_iou_of_nothing():
    nothing = np.zeros((3, 4), bool)
    assert mask_iou(nothing, nothing) == 1 and mask_iou(nothing, ~nothing) == 0


@pytest.mark.parametrize(
    ("seeds", "options", "message"),
    [
        ({}, {}, "at least one seed"),
        ({40: Seed(box_xyxy=[1, 2, 3, 4])}, {}, "must lie in slices 0 to 39, got 40"),
        ({4: Seed(box_xyxy=[1, 2, 3, 4])}, dict(projection="line"), "must be one of box, mask, .*, got 'line'"),
        ({4: Seed(box_xyxy=[1, 2, 3, 4])}, dict(iou_threshold=2), r"must lie in \[0, 1\]"),
        ({4: Seed(mask=np.ones((3, 4)))}, {}, r"must be as large as it, \(60, 72\), got \(3, 4\)"),
    ],
)
def test_what_cannot_be(seeds, options, message):
    with pytest.raises(ValueError, match=message):
        predictor().propagate(seeds, **options)


def test_a_seed_is_one_thing():
    with pytest.raises(ValueError, match="got mask and box_xyxy"):
        Seed(mask=np.ones((3, 4)), box_xyxy=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="got none of them"):
        Seed()
