import numpy as np
import pytest
import torch

from anymask.masks.polygons import polygons_to_rle
from anymask.masks.rle import rle_to_mask
from anymask.results.views import Boxes, Masks


@pytest.fixture
def masks():
    masks = np.zeros((3, 9, 13), bool)
    masks[0, 2:7, 1:6] = masks[1, 0:3, 0:4] = masks[1, 5:9, 7:13] = True
    return masks


def test_outlines_enclose_the_masks(masks):
    outlines = masks.view(Masks).xy
    assert [outline.dtype for outline in outlines] == [np.float32] * 3
    assert outlines[2].shape == (0, 2)
    for outline, mask in zip(outlines[:2], masks, strict=False):
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle([(outline, [])], (9, 13))), mask)
    for outline, fractions in zip(outlines, masks.view(Masks).xyn, strict=True):
        np.testing.assert_allclose(fractions * (13, 9), outline, rtol=1e-6)


def test_holes_are_filled_in_outlines(masks):
    masks[0, 4, 3] = False
    assert len(masks.view(Masks).xy[0]) == 4


def test_masks_are_an_array(masks):
    view = masks.view(Masks)
    assert isinstance(view, np.ndarray)
    assert view.sum(axis=(1, 2)).tolist() == [25, 36, 0]
    assert (view[0] & view[1]).any() == (masks[0] & masks[1]).any()
    assert len(view[1:].xy) == 2  # of what is left of them
    assert torch.equal(view.data, torch.from_numpy(masks))
    view.data[2, 0, 0] = True
    assert masks[2, 0, 0]  # shared


def test_boxes():
    boxes = Boxes(torch.tensor([[1.0, 2, 5, 4]]), torch.tensor([0.5]), torch.tensor([7.0]), (8, 10))
    assert boxes.xywh.tolist() == [[3, 3, 4, 2]]
    assert boxes.xyxyn.tolist() == [pytest.approx([0.1, 0.25, 0.5, 0.5])]
    assert boxes.data.tolist() == [[1, 2, 5, 4, 0.5, 7]]
