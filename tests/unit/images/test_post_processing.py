import numpy as np
import pytest
import torch
import torch.nn.functional as F

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.post_processing import post_process_masks
from anymask.masks.rle import mask_to_rle

SMALL = {"size": 64, "pad_size": 64, "mask_size": 16, "mask_pad_size": 16}
SIZES, RESHAPED = [(40, 80), (90, 30)], [(32, 64), (64, 21)]


def two_resizes(masks, original_hw, reshaped_hw, padded_hw):
    """SAM's definition, in float64."""
    padded = F.interpolate(masks.double(), padded_hw, mode="bilinear", align_corners=False)
    unpadded = padded[..., : reshaped_hw[0], : reshaped_hw[1]]
    return F.interpolate(unpadded, original_hw, mode="bilinear", align_corners=False).float()


# post_process_masks


@pytest.mark.parametrize("kind", ["tensor", "list", "arrays", "half"])
def test_masks_come_back_at_the_size_of_their_images(kind):
    masks = torch.randn(2, 3, 4, 16, 16)
    masks = masks.half() if kind == "half" else masks
    passed = {"list": list(masks), "arrays": [mask.numpy() for mask in masks]}.get(kind, masks)
    logits = SamImageProcessor(**SMALL).post_process_masks(passed, SIZES, RESHAPED, binarize=False)
    for index, result in enumerate(logits):
        assert result.dtype == torch.float32
        expected = two_resizes(masks[index], SIZES[index], RESHAPED[index], (64, 64))
        assert result.shape == (3, 4, *SIZES[index])
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=2e-5)
    binary = SamImageProcessor(**SMALL).post_process_masks(passed, torch.tensor(SIZES), np.array(RESHAPED), 0.5)
    for mask, logit in zip(binary, logits, strict=True):
        assert mask.dtype == torch.bool
        assert torch.equal(mask, logit > 0.5)


def test_masks_of_another_kind_are_said_before_their_number_is():
    with pytest.raises(TypeError, match="masks of an image must be a tensor or an array, got list"):
        SamImageProcessor(**SMALL).post_process_masks([[1, 0], [0, 1]], SIZES[:1], RESHAPED[:1])


def test_chunks_change_nothing():
    arguments, options = (torch.randn(1, 5, 2, 16, 16), SIZES[:1], RESHAPED[:1]), SamImageProcessor(**SMALL).options()
    whole = post_process_masks(*arguments, options=options, binarize=False)[0]
    for n_bytes in (4 * 16 * 80 * 7, 4 * 16 * 80 * 3, 1):
        in_chunks = post_process_masks(*arguments, options=options, binarize=False, chunk_bytes=n_bytes)[0]
        torch.testing.assert_close(in_chunks, whole)


def test_rectangles_are_inverted_as_they_were_made():
    processor = SamImageProcessor(size=64, pad_size=None, size_divisor=16)
    sizes = processor(np.zeros((50, 80, 3), np.uint8), return_tensors="pt")
    assert sizes["pixel_values"].shape[-2:] == (48, 64)
    masks = torch.randn(1, 3, 2, 12, 16)
    result = processor.post_process_masks(masks, sizes["original_sizes"], sizes["reshaped_input_sizes"], binarize=False)
    expected = two_resizes(masks[0], (50, 80), (40, 64), (48, 64))
    torch.testing.assert_close(result[0], expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "pad_size", "padded"),
    [
        ({"size": (48, 64)}, None, (48, 64)),
        ({"size": 64, "do_pad": False}, None, (32, 64)),
        ({"size": 64, "pad_size": None}, None, (32, 64)),
        (SMALL, {"height": 80, "width": 96}, (80, 96)),
        (SMALL, (80, 96), (80, 96)),
        (SMALL, 96, (96, 96)),
    ],
)
def test_what_the_image_was_padded_to(options, pad_size, padded):
    processor = SamImageProcessor(**options)
    reshaped = processor.geometry((40, 80)).resized_size_hw
    masks = torch.randn(1, 3, 2, 12, 16)
    result = processor.post_process_masks(masks, [(40, 80)], [reshaped], binarize=False, pad_size=pad_size)
    torch.testing.assert_close(result[0], two_resizes(masks[0], (40, 80), reshaped, padded), rtol=1e-5, atol=2e-5)


def test_masks_and_lists_are_not_changed_and_gradients_pass():
    masks = [torch.randn(1, 2, 16, 16, requires_grad=True).numpy(force=True)]
    SamImageProcessor(**SMALL).post_process_masks(masks, SIZES[:1], RESHAPED[:1])
    assert isinstance(masks[0], np.ndarray)
    logits = torch.randn(1, 1, 2, 16, 16, requires_grad=True)
    SamImageProcessor(**SMALL).post_process_masks(logits, SIZES[:1], RESHAPED[:1], binarize=False)[0].sum().backward()
    assert logits.grad.abs().sum() > 0


def test_no_prompts_are_no_masks():
    result = SamImageProcessor(**SMALL).post_process_masks(torch.zeros(1, 0, 3, 16, 16), SIZES[:1], RESHAPED[:1])
    assert result[0].shape == (0, 3, 40, 80)


@pytest.mark.parametrize(
    ("masks", "sizes", "message"),
    [
        (torch.zeros(1, 1, 1, 16, 16), SIZES, "for each image, got 1, 2 and 1"),
        (torch.zeros(1, 1, 1, 16, 16), (30, 40), r"`original_sizes` must be \(height, width\) .* got \(30, 40\)"),
        (torch.zeros(1, 1, 1, 16, 16), [(1, 2, 3)], r"`original_sizes` must be \(height, width\) for each image"),
        (torch.zeros(1, 1, 1, 16, 16, dtype=torch.bool), SIZES[:1], "must be logits of shape .* got torch.bool"),
    ],
)
def test_masks_and_sizes_that_cannot_be(masks, sizes, message):
    with pytest.raises(ValueError, match=message):
        SamImageProcessor(**SMALL).post_process_masks(masks, sizes, RESHAPED[:1])


# Segment everything, step by step


@pytest.mark.parametrize("make", [SamImageProcessor, SamImageProcessorFast])
def test_crops_and_their_grids(make):
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    boxes, points, crops, labels = make(**SMALL).generate_crop_boxes(image, 64, 1, 0.5, 4, 2)
    assert boxes.dtype == points.dtype == torch.float32
    assert boxes[0].tolist() == [0, 0, 40, 30]
    assert points.shape == (1, 16, 5, 2)
    assert labels.shape == (1, 16, 5)
    assert labels.dtype == torch.int64
    assert (labels[0, :, 0] == 1).all()
    assert labels[0, :, 1].tolist() == [1] * 4 + [-10] * 12  # half the grid in the first layer, the rest padding
    assert points[0, 0, 0].tolist() == [8, 6]
    for index, (x0, y0, x1, y1) in enumerate(boxes[1:].tolist(), start=1):
        resized_h, resized_w = make(**SMALL).geometry((y1 - y0, x1 - x0)).resized_size_hw
        quarters = [[x * resized_w, y * resized_h] for y in (0.25, 0.75) for x in (0.25, 0.75)]
        assert points[0, :4, index].tolist() == [pytest.approx(point) for point in quarters]
    for crop, (x0, y0, x1, y1) in zip(crops, boxes.int().tolist(), strict=True):
        assert (np.asarray(crop) == image[y0:y1, x0:x1].transpose(2, 0, 1)).all()
    own = make(**SMALL).generate_crop_boxes(image, crop_n_layers=1, overlap_ratio=0.5, points_per_crop=4)[1]
    assert torch.equal(own[:, :, 0], points[:, :, 0])


def blobs() -> torch.Tensor:
    """Logits (1, 5, 30, 40): good, good but cut off, of a poor score, unstable, empty."""
    masks = torch.full((5, 30, 40), -10.0)
    masks[0, 8:20, 8:30] = 10
    masks[1, 8:20, 30:] = 10
    masks[2, 8:20, 8:30] = 10
    masks[3, 8:20, 8:30] = 0.5
    return masks[None]


def test_filters_of_a_crop():
    scores = torch.tensor([[0.9, 0.95, 0.5, 0.93, 0.99]])
    rles, kept, boxes = SamImageProcessor().filter_masks(blobs(), scores, (100, 120), [60, 30, 100, 60], 0.88, 0.95)
    # Edges within 20 pixels of the crop's count as cut off, so a crop of 30 x 40 pixels keeps nothing.
    assert rles == []
    rles, kept, boxes = SamImageProcessor().filter_masks(blobs(), scores, (30, 40), [0, 0, 40, 30])
    assert kept.tolist() == pytest.approx([0.9, 0.95])
    assert boxes.tolist() == [[8, 8, 29, 19], [30, 8, 39, 19]]
    assert rles[0] == mask_to_rle(blobs()[0, 0] > 0)


def test_masks_of_a_crop_are_put_into_the_image():
    masks = torch.full((1, 1, 90, 90), -10.0)
    masks[0, 0, 40:50, 45:55] = 10
    rles, _, boxes = SamImageProcessor().filter_masks(masks, torch.ones(1, 1), (200, 300), [100, 50, 190, 140])
    assert boxes.tolist() == [[145, 90, 154, 99]]
    assert rles[0]["size"] == [200, 300]
    assert sum(rles[0]["counts"][1::2]) == 100


def test_thresholds_of_zero_keep_all():
    rles, _, boxes = SamImageProcessor().filter_masks(blobs(), torch.zeros(1, 5), (30, 40), [0, 0, 40, 30], 0, 0)
    assert len(rles) == len(boxes) == 5


def test_scores_that_do_not_match():
    with pytest.raises(ValueError, match="one IoU score per mask, got 4 for 5 masks"):
        SamImageProcessor().filter_masks(blobs(), torch.zeros(1, 4), (30, 40), [0, 0, 40, 30])


def test_overlapping_masks_are_dropped():
    masks = blobs()[0, :3] > 0
    boxes = torch.tensor([[8, 8, 29, 19], [30, 8, 39, 19], [8, 8, 29, 19]])
    kept_masks, scores, rles, kept_boxes = SamImageProcessor().post_process_for_mask_generation(
        [mask_to_rle(mask) for mask in masks], torch.tensor([0.5, 0.6, 0.7]), boxes, 0.7
    )
    assert scores.tolist() == pytest.approx([0.7, 0.6])
    assert kept_boxes.tolist() == boxes[[2, 1]].tolist()
    assert (kept_masks[0] == masks[2].numpy()).all()
    assert rles[1] == mask_to_rle(masks[1])


def test_masks_of_another_shape_than_the_padding_are_refused():
    with pytest.raises(ValueError, match=r"padded to 64 x 64 .* got masks of 12 x 16; pass the `pad_size`"):
        SamImageProcessor(**SMALL).post_process_masks(torch.zeros(1, 2, 1, 12, 16), SIZES[:1], RESHAPED[:1])
