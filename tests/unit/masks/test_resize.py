"""Logits of the original size against torch's interpolation, in two steps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.resize import axis_taps, resize_logits, resize_to_masks

GEOMETRIES = [
    (ResizeGeometry((97, 61), (64, 40), (64, 64)), (16, 16)),  # enlarged, padded at the right
    (ResizeGeometry((30, 200), (10, 64), (64, 64)), (16, 16)),  # reduced one way only
    (ResizeGeometry((300, 200), (48, 32), (48, 32)), (12, 8)),  # rectangular, no padding
    (ResizeGeometry((41, 23), (64, 64), (64, 64)), (16, 16)),  # square resize
    (ResizeGeometry((5, 7), (46, 64), (64, 64)), (16, 16)),  # image smaller than the grid
    (ResizeGeometry((1, 1), (64, 64), (64, 64)), (16, 16)),
    (ResizeGeometry((500, 3), (64, 1), (64, 64)), (16, 16)),
    (ResizeGeometry((40, 30), (6, 5), (6, 6)), (16, 16)),  # grid larger than the model's input
]


def interpolate_twice(logits, geometry):
    in_model = F.interpolate(logits, geometry.padded_size_hw, mode="bilinear", align_corners=False)
    height, width = geometry.resized_size_hw
    return F.interpolate(
        in_model[..., :height, :width], geometry.original_size_hw, mode="bilinear", align_corners=False
    )


@pytest.mark.parametrize(("geometry", "low_res"), GEOMETRIES)
def test_resize_is_two_interpolations(geometry, low_res):
    logits = torch.randn(2, 3, *low_res) * 5
    resized = resize_logits(logits, geometry)
    # In double precision, since torch computes positions in the precision of the values, which costs it 2e-5 here.
    torch.testing.assert_close(resized, interpolate_twice(logits.double(), geometry).float(), atol=5e-6, rtol=1e-6)
    torch.testing.assert_close(resized, interpolate_twice(logits, geometry), atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_masks_of_what_is_not_finite(value):
    geometry = ResizeGeometry((300, 700), (110, 256), (256, 256))
    logits = torch.full((1, 2, 64, 64), 3.0)
    logits[0, 1] = -3.0
    logits[..., 9, 11] = value
    logits[..., :3] = value
    masks, expected = resize_to_masks(logits, geometry), interpolate_twice(logits, geometry)
    is_known = ~expected.isnan()  # 0 * inf, and all that a NaN comes near
    assert is_known.float().mean() > 0.8
    assert torch.equal(masks[is_known], (expected > 0)[is_known])


def test_masks_are_written_where_they_belong_or_not_at_all():
    geometry = ResizeGeometry((30, 40), (48, 64), (64, 64))
    logits = torch.randn(3, 16, 16)
    out = torch.zeros(5, 30, 40, dtype=torch.bool)
    assert resize_to_masks(logits, geometry, torch.tensor(0.5), out=out[1:4]).data_ptr() == out[1:4].data_ptr()
    assert torch.equal(out[1:4], resize_logits(logits, geometry) > 0.5) and not out[[0, 4]].any()
    for wrong in (out[:2], out[:3, :29], out[:3].byte()):
        with pytest.raises(ValueError, match=r"`out` must be bool and of shape \(3, 30, 40\), got"):
            resize_to_masks(logits, geometry, out=wrong)


@pytest.mark.parametrize(("geometry", "low_res"), GEOMETRIES)
def test_resize_to_masks_is_resize_and_threshold(geometry, low_res):
    logits = torch.randn(2, 3, *low_res)
    assert torch.equal(resize_to_masks(logits, geometry, 0.25), resize_logits(logits, geometry) > 0.25)
    assert resize_to_masks(logits[:0], geometry).shape == (0, 3, *geometry.original_size_hw)


def test_resize_of_a_box_is_a_part_of_the_whole():
    geometry, low_res = GEOMETRIES[0]
    logits = torch.randn(2, *low_res)
    whole = resize_logits(logits, geometry)
    torch.testing.assert_close(resize_logits(logits, geometry, (7, 70, 59, 97)), whole[:, 70:97, 7:59])
    assert resize_logits(logits, geometry, (5, 5, 5, 9)).shape == (2, 4, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_resize_computes_in_float32(dtype):
    geometry, low_res = GEOMETRIES[0]
    logits = torch.randn(3, *low_res).to(dtype)
    expected = resize_logits(logits.float(), geometry)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resized = resize_logits(logits, geometry)
    assert resized.dtype == torch.float32
    torch.testing.assert_close(resized, expected)


def test_resize_has_gradients():
    geometry, low_res = GEOMETRIES[2]
    logits = torch.randn(1, 2, *low_res, requires_grad=True)
    twin = logits.detach().clone().requires_grad_()
    weight = torch.randn(geometry.original_size_hw)
    (resize_logits(logits, geometry) * weight).sum().backward()
    (interpolate_twice(twin, geometry) * weight).sum().backward()
    torch.testing.assert_close(logits.grad, twin.grad, atol=1e-3, rtol=1e-4)


def test_resize_refuses_a_box_outside():
    geometry, low_res = GEOMETRIES[0]
    with pytest.raises(ValueError, match=r"61 x 97 pixels, got \[0, 0, 62, 5\]"):
        resize_logits(torch.zeros(low_res), geometry, (0, 0, 62, 5))


def test_taps_are_weights_of_a_mean():
    for low, padded, resized, original in ((256, 1024, 683, 1200), (16, 64, 64, 5), (8, 32, 20, 400)):
        starts, weights = axis_taps(low, padded, resized, original)
        assert weights.shape[1] == 3
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert (np.diff(starts) >= 0).all()
        assert starts.max() + 3 <= low
