"""Forms of a mask, and that a proposal keeps no more of its logits than its box needs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from anymask import MaskProposals
from anymask.geometry.coordinates import ResizeGeometry
from anymask.mask_generation.filters import filter_masks, make_records
from anymask.mask_generation.options import MaskGenerationOptions
from anymask.masks.record import to_form
from anymask.masks.rle import mask_to_rle, rle_to_coco
from anymask.masks.sparse_upsampling import SparseUpsampler

OPTIONS = MaskGenerationOptions(stability_score_thresh=0.0)


def decoded(*squares, size=32):
    """What the decoder would give: one mask per square (x0, y0, x1, y1) of the low-resolution grid."""
    logits = torch.full((len(squares), size, size), -10.0)
    for mask, (x0, y0, x1, y1) in zip(logits, squares, strict=True):
        mask[y0:y1, x0:x1] = 10.0
    scores = torch.linspace(0.9, 0.99, len(squares))
    return MaskProposals(logits, scores, torch.arange(len(squares)))


def proposals(*squares, crop_box=(0, 0, 64, 48), image_hw=(48, 64), options=OPTIONS, **how):
    x0, y0, x1, y1 = crop_box
    upsampler = SparseUpsampler.from_geometry(ResizeGeometry((y1 - y0, x1 - x0), (48, 64), (64, 64)), (32, 32))
    points = np.arange(2.0 * len(squares)).reshape(-1, 2)
    where = dict(crop_box_xyxy=list(crop_box), image_size_hw=image_hw)
    return list(filter_masks(decoded(*squares), upsampler, points, **where, options=options, **how))


def test_a_proposal_keeps_its_box_of_logits_only():
    (proposal,) = proposals((10, 5, 14, 9))
    assert max(proposal.low_res_logits.shape) <= 8
    assert proposal.low_res_logits.untyped_storage().nbytes() == proposal.low_res_logits.numel() * 4
    assert proposal.box_xyxy == [20, 10, 27, 17]


def test_boxes_and_points_are_moved_into_the_image():
    found = proposals((10, 5, 14, 9), (20, 12, 22, 20), crop_box=(100, 30, 164, 78), image_hw=(300, 400))
    # Within 20 pixels of edges of the crop that are not edges of the image.
    assert found == []
    found = proposals((13, 12, 18, 13), crop_box=(100, 30, 164, 78), image_hw=(300, 400))
    assert [proposal.box_xyxy for proposal in found] == [[126, 54, 135, 55]]
    assert found[0].point_xy == [100.0, 31.0]
    (record,) = make_records(found, (300, 400), OPTIONS)
    rows, columns = np.nonzero(record["segmentation"])
    assert [columns.min(), rows.min(), columns.max(), rows.max()] == [126, 54, 135, 55]
    assert record["crop_box"] == [100, 30, 64, 48]


def test_what_the_decoder_left_of_low_predicted_ious_goes():
    squares = (10, 5, 14, 9), (20, 12, 24, 20), (3, 4, 9, 9)  # 0.9, 0.945 and 0.99
    found = proposals(*squares, options=replace(OPTIONS, pred_iou_thresh=0.92))
    assert [proposal.point_xy for proposal in found] == [[2.0, 3.0], [4.0, 5.0]]
    assert len(proposals(*squares, options=replace(OPTIONS, pred_iou_thresh=0.0))) == 3


def test_masks_in_chunks():
    squares = (10, 5, 14, 9), (20, 12, 24, 20), (3, 4, 9, 9)
    together, one_by_one = proposals(*squares), proposals(*squares, masks_at_a_time=1)
    assert [proposal.box_xyxy for proposal in one_by_one] == [proposal.box_xyxy for proposal in together]


def test_which_points_of_the_grid_a_mask_covers():
    at = torch.tensor([6, 6, 20]), torch.tensor([11, 20, 11])
    (proposal,) = proposals((10, 5, 14, 9), grid_at=at)
    assert proposal.covers.tolist() == [True, False, False]


@pytest.mark.parametrize("measure", ["iou", "smaller"])
def test_of_masks_that_overlap_the_better_stays(measure):
    # The best of the four lies inside the second; the third overlaps the first by a quarter of their union.
    squares = (2, 2, 12, 12), (14, 2, 30, 20), (6, 2, 16, 12), (16, 4, 20, 8)
    found = proposals(*squares)
    everything = make_records(found, (48, 64), OPTIONS)
    masks = [record["segmentation"] for record in everything]
    for thresh in (0.0, 0.2, 0.3, 0.95):
        kept: list[int] = []
        for index in (3, 2, 1, 0):  # best first: `decoded` gives later ones higher scores
            common = [(masks[index] & masks[other]).sum() for other in kept]
            if measure == "iou":
                wholes = [(masks[index] | masks[other]).sum() for other in kept]
            else:
                wholes = [min(masks[index].sum(), masks[other].sum()) for other in kept]
            if all(both <= thresh * whole for both, whole in zip(common, wholes, strict=True)):
                kept.append(index)
        assert len(kept) < 4 or (thresh > 0.3 and measure == "iou")
        options = replace(OPTIONS, mask_nms_thresh=thresh, mask_nms_measure=measure)
        records = make_records(found, (48, 64), options)
        assert [record["point_coords"] for record in records] == [everything[i]["point_coords"] for i in sorted(kept)]


def test_masks_without_a_pixel_are_none():
    assert proposals((3, 3, 3, 3)) == []


def test_forms_of_a_mask():
    mask = np.eye(3, 5, dtype=bool)
    rle = mask_to_rle(mask)
    np.testing.assert_array_equal(to_form(rle, "binary_mask"), mask)
    assert to_form(rle, "uncompressed_rle") == rle
    assert to_form(rle, "coco_rle") == rle_to_coco(rle)
