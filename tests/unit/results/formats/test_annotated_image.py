import numpy as np
import pytest

from anymask.masks.polygons import polygons_to_rle
from anymask.masks.rle import rle_to_mask
from anymask.results.formats.annotated_image import join_outlines, polygons_of


@pytest.mark.parametrize("scale", [1, 1 / 31])
def test_a_joined_outline_encloses_the_same_pixels(annotated, masks, scale):
    for polygons, mask in zip(polygons_of(annotated, 0), masks, strict=True):
        line = join_outlines(polygons) * scale / scale
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle([(line, [])], mask.shape)), mask)


def test_joining_one_ring_changes_nothing():
    ring = np.array([[0, 2], [0, 0], [3, 0]])
    assert join_outlines([(ring, [])]) is ring
