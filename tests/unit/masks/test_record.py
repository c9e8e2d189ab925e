import numpy as np
import pytest

from anymask.masks.record import (
    SEGMENTATION_FORMS,
    complete_record,
    form_of,
    make_record,
    rle_of,
    to_form,
    xywh_to_xyxy,
    xyxy_to_xywh,
)
from anymask.masks.rle import mask_to_rle, rle_to_coco

MASK = np.zeros((5, 9), bool)
MASK[1:4, 2:8] = True
RLE = mask_to_rle(MASK)


def test_record_of_a_mask():
    # Meta's box spans the centres of the outermost pixels: one less than the number of columns and rows.
    assert make_record(RLE, label="cup") == {"segmentation": RLE, "area": 18, "bbox": [2, 1, 5, 2], "label": "cup"}
    assert make_record(rle_to_coco(RLE))["area"] == 18
    assert make_record(RLE, box_xyxy=[2, 1, 7, 3]) == make_record(RLE)
    assert make_record(mask_to_rle(~np.ones((5, 9), bool)))["bbox"] == [0, 0, 0, 0]


def test_a_record_is_completed():
    for mask in (MASK, RLE, rle_to_coco(RLE)):
        record = complete_record({"segmentation": mask, "label": "cup"}, 0, (5, 9))
        assert record["segmentation"] is mask
        assert (record["area"], record["bbox"], record["label"]) == (18, [2, 1, 5, 2], "cup")
    known = {"segmentation": MASK, "area": 17, "bbox": [0, 0, 1, 1]}
    assert complete_record(known, 0, (5, 9)) is known
    with pytest.raises(ValueError, match=r"height x width = \(9, 5\), but mask 3 has \(5, 9\)"):
        complete_record({"segmentation": RLE}, 3, (9, 5))


@pytest.mark.parametrize("form", SEGMENTATION_FORMS)
def test_forms_hold_the_same_mask(form):
    segmentation = make_record(RLE, form=form)["segmentation"]
    assert form_of(segmentation) == form
    np.testing.assert_array_equal(to_form(rle_of({"segmentation": segmentation}), "binary_mask"), MASK)


def test_corners_and_sizes():
    assert xyxy_to_xywh([2, 1, 7, 3]) == [2, 1, 5, 2]
    assert xywh_to_xyxy([2, 1, 5, 2]) == [2, 1, 7, 3]
