"""Answers from low-resolution logits against the plain formula: interpolate twice, then look."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.measures import masks_to_boxes_xyxy, stability_scores
from anymask.masks.rle import mask_to_rle, runs_to_rle
from anymask.masks.sparse_upsampling import SparseUpsampler

GEOMETRIES = [
    (ResizeGeometry((97, 61), (64, 40), (64, 64)), (16, 16)),
    (ResizeGeometry((30, 200), (10, 64), (64, 64)), (16, 16)),
    (ResizeGeometry((300, 200), (48, 32), (48, 32)), (12, 8)),
    (ResizeGeometry((41, 23), (64, 64), (64, 64)), (16, 16)),
    (ResizeGeometry((5, 7), (46, 64), (64, 64)), (16, 16)),
    (ResizeGeometry((1, 1), (64, 64), (64, 64)), (16, 16)),
    (ResizeGeometry((500, 3), (64, 1), (64, 64)), (16, 16)),
    (ResizeGeometry((40, 30), (6, 5), (6, 6)), (16, 16)),
]
THRESHOLD = 0.25


def masks_of_all_kinds(low_res):
    """Noise, smooth blobs, one pixel, nothing, everything: (6, h, w)."""
    height, width = low_res
    noise = torch.randn(2, height, width) * 2
    blobs = F.interpolate(torch.randn(1, 1, 3, 3) * 6, low_res, mode="bicubic")[0]
    spot = torch.full((1, height, width), -8.0)
    spot[0, height // 2, 0] = 9.0
    return torch.cat([noise, blobs, spot, torch.full((1, height, width), -3.0), torch.full((1, height, width), 3.0)])


def full_size(logits, geometry):
    in_model = F.interpolate(logits[None], geometry.padded_size_hw, mode="bilinear", align_corners=False)
    height, width = geometry.resized_size_hw
    return F.interpolate(
        in_model[..., :height, :width], geometry.original_size_hw, mode="bilinear", align_corners=False
    )[0]


@pytest.fixture(params=GEOMETRIES, ids=lambda pair: "x".join(map(str, pair[0].original_size_hw)))
def case(request):
    geometry, low_res = request.param
    logits = masks_of_all_kinds(low_res)
    return geometry, logits, SparseUpsampler.from_geometry(geometry, low_res), full_size(logits, geometry)


def test_stability(case):
    _, logits, upsampler, full = case
    for offset in (0.0, 1.0, 2.5):
        expected = stability_scores(full, THRESHOLD, offset)
        torch.testing.assert_close(upsampler.stability_scores(logits, THRESHOLD, offset), expected, rtol=0, atol=0)


def test_boxes(case):
    _, logits, upsampler, full = case
    boxes, exists = upsampler.boxes(logits, THRESHOLD)
    assert exists.tolist() == (full > THRESHOLD).any(dim=2).any(dim=1).tolist()
    assert boxes.tolist() == masks_to_boxes_xyxy(full > THRESHOLD).tolist()


def test_runs(case):
    geometry, logits, upsampler, full = case
    height, width = geometry.original_size_hw
    for mask_logits, mask in zip(logits, full > THRESHOLD, strict=True):
        runs = upsampler.runs(mask_logits, THRESHOLD, height)
        assert runs_to_rle(*runs, (height, width)) == mask_to_rle(mask)


def test_runs_in_a_larger_image(case):
    geometry, logits, upsampler, full = case
    height, width = geometry.original_size_hw
    for mask_logits, mask in zip(logits, full > THRESHOLD, strict=True):
        padded = F.pad(mask, (4, 2, 3, 5))
        runs = upsampler.runs(mask_logits, THRESHOLD, height + 8, origin_xy=(4, 3))
        assert runs_to_rle(*runs, (height + 8, width + 6)) == mask_to_rle(padded)


@pytest.mark.parametrize("masks_at_a_time", [1, 4, 100])
def test_runs_of_many_masks_are_those_of_each(case, masks_at_a_time):
    geometry, logits, upsampler, full = case
    flags = len(upsampler.rows) * len(upsampler.columns) * upsampler.columns.max_size
    upsampler = replace(upsampler, runs_bytes=masks_at_a_time * flags)
    height, width = geometry.original_size_hw
    runs = upsampler.runs_of_each(logits, THRESHOLD, height + 8, origin_xy=(4, 3))
    for (starts, ends), mask in zip(runs, full > THRESHOLD, strict=True):
        padded = F.pad(mask, (4, 2, 3, 5))
        assert runs_to_rle(starts, ends, (height + 8, width + 6)) == mask_to_rle(padded)
    assert upsampler.runs_of_each(logits[:0], THRESHOLD, height) == []


def test_a_box_of_logits_is_enough(case):
    geometry, logits, upsampler, _ = case
    height = geometry.original_size_hw[0]
    boxes, exists = upsampler.boxes(logits, THRESHOLD)
    for mask_logits, box, exist in zip(logits, boxes.tolist(), exists.tolist(), strict=True):
        if not exist:
            continue
        part_upsampler, part = upsampler.crop(mask_logits, box)
        for got, expected in zip(
            part_upsampler.runs(part, THRESHOLD, height), upsampler.runs(mask_logits, THRESHOLD, height), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


def test_a_small_mask_needs_few_logits():
    geometry = ResizeGeometry((1200, 1800), (683, 1024), (1024, 1024))
    upsampler = SparseUpsampler.from_geometry(geometry, (256, 256))
    logits = torch.full((256, 256), -10.0)
    logits[50:60, 80:100] = 10.0
    boxes, _ = upsampler.boxes(logits[None])
    _, part = upsampler.crop(logits, boxes[0].tolist())
    assert part.shape[0] <= 14
    assert part.shape[1] <= 24


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("pair", GEOMETRIES)
def test_where_blocks_are_cut_changes_nothing(pair, size):
    geometry, low_res = pair
    logits = masks_of_all_kinds(low_res)
    full = full_size(logits, geometry)
    upsampler = SparseUpsampler.from_geometry(geometry, low_res, block_size=size)
    assert max(upsampler.rows.max_size, upsampler.columns.max_size) <= size
    expected = stability_scores(full, THRESHOLD)
    torch.testing.assert_close(upsampler.stability_scores(logits, THRESHOLD), expected, rtol=0, atol=0)
    assert upsampler.boxes(logits, THRESHOLD)[0].tolist() == masks_to_boxes_xyxy(full > THRESHOLD).tolist()
    height = geometry.original_size_hw[0]
    for low, high in zip(logits, full, strict=True):
        rle = runs_to_rle(*upsampler.runs(low, THRESHOLD, height), geometry.original_size_hw)
        assert rle == mask_to_rle(high > THRESHOLD)


def test_chunks_change_nothing(case):
    geometry, logits, upsampler, _ = case
    expected = upsampler.stability_scores(logits), *upsampler.boxes(logits)
    expected_runs = upsampler.runs(logits[0], THRESHOLD, geometry.original_size_hw[0])
    upsampler = replace(upsampler, chunk_bytes=1)
    for got, wanted in zip((upsampler.stability_scores(logits), *upsampler.boxes(logits)), expected, strict=True):
        assert torch.equal(got, wanted)
    for got, wanted in zip(
        upsampler.runs(logits[0], THRESHOLD, geometry.original_size_hw[0]), expected_runs, strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_no_masks(case):
    _, logits, upsampler, _ = case
    assert upsampler.stability_scores(logits[:0]).shape == (0,)
    boxes, exists = upsampler.boxes(logits[:0])
    assert boxes.shape == (0, 4)
    assert exists.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_upsampled_in_float32(dtype):
    geometry, low_res = GEOMETRIES[0]
    logits = masks_of_all_kinds(low_res).to(dtype)
    upsampler = SparseUpsampler.from_geometry(geometry, low_res)
    full = full_size(logits.float(), geometry)
    assert upsampler.boxes(logits, THRESHOLD)[0].tolist() == masks_to_boxes_xyxy(full > THRESHOLD).tolist()
    for mask_logits, mask in zip(logits, full > THRESHOLD, strict=True):
        assert runs_to_rle(*upsampler.runs(mask_logits, THRESHOLD, 97), (97, 61)) == mask_to_rle(mask)


def test_outline_of_a_hundred_megapixels():
    """A half plane: box and runs follow from arithmetic, and nothing of the image's size is ever made."""
    geometry = ResizeGeometry((10_000, 10_000), (1024, 1024), (1024, 1024))
    upsampler = SparseUpsampler.from_geometry(geometry, (256, 256))
    logits = torch.where(torch.arange(256) < 128, 5.0, -5.0).expand(256, 256)  # left half
    boxes, _ = upsampler.boxes(logits[None])
    assert boxes.tolist() == [[0, 0, 4_999, 9_999]]
    assert upsampler.stability_scores(logits[None], 0.0, 0.0).tolist() == [1.0]
    rle = runs_to_rle(*upsampler.runs(logits, 0.0, 10_000), (10_000, 10_000))
    assert rle["counts"] == [0, 50_000_000, 50_000_000]
