import numpy as np
import pytest
import torch

from anymask.geometry.coordinates import ResizeGeometry, resized_size_hw

GEOMETRY = ResizeGeometry((600, 800), (768, 1024), (1024, 1024))


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ((600, 800), (768, 1024)),
        ((800, 600), (1024, 768)),
        ((30000, 10), (1024, 1)),
        ((1, 1), (1024, 1024)),
        ((3, 7), (439, 1024)),
    ],
)
def test_longest_edge_keeps_the_ratio_and_at_least_one_pixel(original, expected):
    assert resized_size_hw(original, 1024) == expected


def test_sizes_below_one_pixel_are_refused():
    with pytest.raises(ValueError, match="at least 1 x 1 pixels, got 0 x 5"):
        resized_size_hw((0, 5), 1024)
    with pytest.raises(ValueError, match="`resized_size_hw` must be a height and a width"):
        ResizeGeometry((4, 5), (0, 5), (8, 8))
    with pytest.raises(ValueError, match=r"must hold the resized image, got \(8, 8\) for \(9, 5\)"):
        ResizeGeometry((4, 5), (9, 5), (8, 8))


def test_points_scale_by_the_resize_and_not_by_the_padding():
    assert GEOMETRY.points_to_model([[400, 300], [800, 600]]).tolist() == [[512, 384], [1024, 768]]
    assert GEOMETRY.boxes_to_model(np.array([0, 300, 400, 600])).tolist() == [0, 384, 512, 768]


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_there_and_back_in_float32(make):
    points = make([[[10.5, 20.25], [799.0, 1.0]]])
    boxes = make([[10.5, 20.25, 700.0, 599.0]])
    model = GEOMETRY.points_to_model(points)
    assert type(model) is type(points)
    assert str(model.dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(GEOMETRY.points_to_original(model)), np.asarray(points), rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(GEOMETRY.boxes_to_original(GEOMETRY.boxes_to_model(boxes))), np.asarray(boxes), rtol=1e-6
    )


def test_points_are_not_changed_in_place():
    points = torch.tensor([[10.0, 20.0]])
    GEOMETRY.points_to_model(points)
    assert points.tolist() == [[10.0, 20.0]]


def test_the_last_axis_is_checked():
    with pytest.raises(ValueError, match=r"points must have shape \(..., 2\), got \(1, 3\)"):
        GEOMETRY.points_to_model([[1, 2, 3]])
    with pytest.raises(ValueError, match=r"boxes must have shape \(..., 4\), got \(2,\)"):
        GEOMETRY.boxes_to_original(torch.zeros(2))
