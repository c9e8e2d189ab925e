"""Grids and crops against literals worked out by hand from Meta's description, and against each other."""

import numpy as np
import pytest
import torch

from anymask.geometry.crops import (
    boxes_near_crop_edge,
    build_point_grid,
    build_point_grids,
    crop_boxes_xyxy,
    uncrop_boxes_xyxy,
    uncrop_masks,
)


def test_grid_points_are_centres_row_by_row():
    assert build_point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    grid = build_point_grid(32)
    assert grid.shape == (1024, 2)
    assert grid[:2].tolist() == [[1 / 64, 1 / 64], [3 / 64, 1 / 64]]


def test_grids_shrink_with_the_layer_but_never_to_nothing():
    assert [len(grid) for grid in build_point_grids(9, 3, 2)] == [81, 16, 4, 1]
    assert [len(grid) for grid in build_point_grids(3, 3, 2)] == [9, 1, 1, 1]


def test_crop_boxes_of_one_layer():
    # overlap = int(0.25 * 60 * 2 / 2) = 15; width ceil((15 + 100) / 2) = 58, height ceil((15 + 60) / 2) = 38
    boxes, layers = crop_boxes_xyxy((60, 100), 1, 0.25)
    assert boxes == [[0, 0, 100, 60], [0, 0, 58, 38], [0, 23, 58, 60], [43, 0, 100, 38], [43, 23, 100, 60]]
    assert layers == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("size_hw", [(60, 100), (533, 800), (1, 1), (3, 2), (30, 3000)])
def test_crops_of_every_layer_cover_the_image_and_are_not_empty(size_hw):
    boxes, layers = crop_boxes_xyxy(size_hw, 3)
    for layer in range(4):
        covered = np.zeros(size_hw, bool)
        for (x0, y0, x1, y1), its_layer in zip(boxes, layers, strict=True):
            assert 0 <= x0 < x1 <= size_hw[1]
            assert 0 <= y0 < y1 <= size_hw[0]
            if its_layer == layer:
                covered[y0:y1, x0:x1] = True
        assert covered.all()


def test_uncrop():
    masks = torch.rand(2, 3, 4, 5) > 0.5
    whole = uncrop_masks(masks, [2, 1, 7, 5], (9, 8))
    assert whole.shape == (2, 3, 9, 8)
    assert torch.equal(whole[..., 1:5, 2:7], masks)
    assert whole.sum() == masks.sum()
    assert uncrop_boxes_xyxy(torch.tensor([[0, 1, 2, 3]]), [2, 1, 7, 5]).tolist() == [[2, 2, 4, 4]]
    with pytest.raises(ValueError, match=r"4 x 5 \(height x width\), got \(5, 4\)"):
        uncrop_masks(masks.mT, [2, 1, 7, 5], (9, 8))


def test_only_edges_inside_the_image_cut_objects_off():
    image_hw = (200, 300)
    crop = [0, 50, 150, 200]  # its left and lower edges are the image's
    boxes = torch.tensor(
        [
            [40, 40, 80, 80],  # well inside
            [0, 40, 80, 80],  # at the image's left edge
            [40, 40, 80, 149],  # at the image's lower edge
            [40, 20, 80, 80],  # 20 from the crop's upper edge: touches
            [40, 21, 80, 80],  # 21 from it: does not
            [40, 40, 130, 80],  # 20 from the crop's right edge
            [40, 40, 129, 80],
        ]
    )
    near = boxes_near_crop_edge(boxes, crop, image_hw)
    assert near.tolist() == [False, False, False, True, False, True, False]
    assert not boxes_near_crop_edge(boxes, [0, 0, 300, 200], image_hw).any()


def test_errors():
    with pytest.raises(ValueError, match="at least 1 point per side, got 0"):
        build_point_grid(0)
    with pytest.raises(ValueError, match=r"downscale_factor. must be at least 1, got 0\.5"):
        build_point_grids(4, 1, 0.5)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        crop_boxes_xyxy((5, 4), -1)
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1.5"):
        crop_boxes_xyxy((5, 4), 1, 1.5)
