import numpy as np
import pytest
from tests.unit.volumes.colour_sam import ColourEverything, dice, ellipsoid, noisy

from anymask.volumes.everything import segment_volume
from anymask.volumes.volume import Volume

SHAPE = (30, 50, 64)
LARGE = ellipsoid(SHAPE, (12, 25, 30), (9, 14, 18))
SMALL = ellipsoid(SHAPE, (22, 40, 55), (6, 6, 6))
THIN = ellipsoid(SHAPE, (3, 8, 8), (0.5, 5, 5))
VALUE_RANGE = (-1000, 400)


def label_of(labels, truth):
    return np.bincount(labels[truth]).argmax()


def segment(*objects, axis=0, **options):
    options = {"link_iou": 0.2, **options}
    return segment_volume(ColourEverything(), Volume(noisy(SHAPE, *objects), axis), value_range=VALUE_RANGE, **options)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_objects_are_linked_through_slices(axis):
    labels = segment((LARGE, 0), (SMALL, 250), axis=axis)
    for truth in (LARGE, SMALL):
        assert dice(labels == label_of(labels, truth), truth) > 0.95
    assert set(np.unique(labels)) == {0, 1, 2}


def test_thin_things_go_and_come_back_on_request():
    assert set(np.unique(segment((LARGE, 0), (THIN, 200)))) == {0, 1}
    labels = segment((LARGE, 0), (THIN, 200), min_extent=1)
    assert labels[3, 8, 8] == 1 and label_of(labels, LARGE) == 2 and labels.max() == 2


def test_gaps_are_closed_and_filled():
    broken = LARGE.copy()
    broken[11] = broken[12] = False
    apart = segment((broken, 0), gap_closing=1)
    assert set(np.unique(apart)) == {0, 1, 2} and not apart[11:13].any()
    closed = segment((broken, 0), gap_closing=2)
    assert set(np.unique(closed)) == {0, 1} and dice(closed == 1, LARGE) > 0.95


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match=r"`link_iou` must lie in \(0, 1\]"):
        segment((LARGE, 0), link_iou=0)


def test_a_stopped_run_goes_on(tmp_path):
    class Stops(ColourEverything):
        def __init__(self, after):
            self.left = after

        def generate(self, image, *, output_mode):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return super().generate(image, output_mode=output_mode)

    volume = Volume(noisy(SHAPE, (LARGE, 0), (SMALL, 250)))
    how = dict(value_range=VALUE_RANGE, link_iou=0.2)
    with pytest.raises(KeyboardInterrupt):
        segment_volume(Stops(11), volume, work_folder=tmp_path, **how)
    again = Stops(SHAPE[0] - 11)
    resumed = segment_volume(again, volume, work_folder=tmp_path, **how)
    assert again.left == 0
    np.testing.assert_array_equal(resumed, segment_volume(ColourEverything(), volume, **how))
    with pytest.raises(ValueError, match="was made with another shown"):
        segment_volume(again, volume, work_folder=tmp_path, value_range=(-1000, 500))
