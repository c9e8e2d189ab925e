import numpy as np
import pytest

from anymask.masks.polygons import polygons_to_rle
from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.results.formats.annotated_image import bbox_of, joined, polygons_of, record_of


def test_record_of_a_mask():
    mask = np.zeros((5, 9), bool)
    mask[1:4, 2:8] = True
    rle = mask_to_rle(mask)
    # Meta's box spans the centres of the outermost pixels: one less than the number of columns and rows.
    assert record_of(rle, label="cup") == {"segmentation": rle, "area": 18, "bbox": [2, 1, 5, 2], "label": "cup"}
    assert bbox_of(mask_to_rle(~np.ones((5, 9), bool))) == [0, 0, 0, 0]


@pytest.mark.parametrize("scale", [1, 1 / 31])
def test_a_joined_outline_encloses_the_same_pixels(annotated, masks, scale):
    for polygons, mask in zip(polygons_of(annotated, 0), masks, strict=True):
        line = joined(polygons) * scale / scale
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle([(line, [])], mask.shape)), mask)


def test_joining_one_ring_changes_nothing():
    ring = np.array([[0, 2], [0, 0], [3, 0]])
    assert joined([(ring, [])]) is ring
