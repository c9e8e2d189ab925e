"""The processors against those of Transformers: pixels, sizes, prompts, labels and masks."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SamProcessor as TheirProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil as TheirImageProcessor

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.processing_sam import SamProcessor

pytestmark = pytest.mark.parity

SMALL = {
    "size": {"longest_edge": 128},
    "pad_size": {"height": 128, "width": 128},
    "mask_size": {"longest_edge": 32},
    "mask_pad_size": {"height": 32, "width": 32},
}


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (29, 31, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def same(ours, theirs, atol=0.0):
    assert set(ours) == set(theirs)
    for name in theirs:
        assert ours[name].shape == theirs[name].shape, name
        torch.testing.assert_close(ours[name].double(), theirs[name].double(), rtol=1e-6, atol=atol, msg=name)


@pytest.mark.parametrize(
    "options", [{}, SMALL, {**SMALL, "resample": 3}, {**SMALL, "do_normalize": False}, {**SMALL, "do_rescale": False}]
)
def test_pixels_and_sizes(options):
    images = [photo(200, 150), photo(90, 140, 1), photo(128, 128, 2)]
    theirs = TheirImageProcessor(**options)(images, return_tensors="pt")
    same(
        SamImageProcessor(**options)(images, return_tensors="pt"),
        theirs,
        atol=1e-4 if "do_rescale" in options else 2e-6,
    )
    fast = SamImageProcessorFast(**options)(images, return_tensors="pt")
    step = (1 / 255 if options.get("do_rescale", True) else 1) / (0.224 if options.get("do_normalize", True) else 1)
    steps = 2 if options.get("resample") == 3 else 1
    assert (fast["pixel_values"] - theirs["pixel_values"]).abs().max() < (steps + 0.01) * step


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_modes(mode):
    image = photo(200, 150).convert(mode)
    same(
        SamImageProcessor(**SMALL)(image, return_tensors="pt"),
        TheirImageProcessor(**SMALL)(image, return_tensors="pt"),
        2e-6,
    )


def test_segmentation_maps():
    labels = np.random.default_rng(0).integers(0, 200, (200, 150), dtype=np.uint8)
    arguments = (photo(200, 150), labels)
    theirs = TheirImageProcessor(**SMALL)(*arguments, return_tensors="pt")
    for make in (SamImageProcessor, SamImageProcessorFast):
        assert torch.equal(make(**SMALL)(*arguments, return_tensors="pt")["labels"], theirs["labels"])


@pytest.mark.parametrize(
    "prompts",
    [
        {"input_points": [[[45, 60]]]},
        {"input_points": [[[45, 60], [100, 199]]], "input_labels": [[1, 0]]},
        {"input_points": [[[[45, 60]], [[100, 190]], [[3, 4]]]], "input_labels": [[[1], [0], [1]]]},
        {"input_boxes": [[[45, 60, 70, 90]]]},
        {"input_boxes": [[[45.5, 60.25, 70, 90], [0, 0, 150, 200]]]},
        {"input_boxes": [[[[45, 60, 70, 90]]]]},
        {"input_boxes": [[[[45, 60, 70, 90]], [[0, 0, 150, 200]]]]},
        {"input_boxes": [[[[45, 60, 70, 90], [0, 0, 150, 200]]]]},
        {"input_points": [[[45, 60]]], "input_labels": [[0]], "input_boxes": [[[45, 60, 70, 90]]]},
    ],
)
def test_prompts_of_one_image(prompts):
    theirs = TheirProcessor(TheirImageProcessor(**SMALL))(photo(200, 150), **prompts, return_tensors="pt")
    same(SamProcessor(SamImageProcessor(**SMALL))(photo(200, 150), **prompts, return_tensors="pt"), theirs, 2e-6)


@pytest.mark.parametrize(
    "prompts",
    [
        {"input_points": [[[45, 60]], [[100, 10]]], "input_labels": [[1], [0]]},
        {"input_points": [[[[45, 60]], [[1, 2]]], [[[100, 10]], [[3, 4]]]]},
        {"input_boxes": [[[45, 60, 70, 90]], [[4, 6, 7, 9]]]},
        # One point more or less is the only raggedness that Transformers takes.
        {"input_points": [[[45, 60], [1, 2]], [[100, 10]]], "input_labels": [[1, 0], [1]]},
    ],
)
def test_prompts_of_two_images(prompts):
    images = [photo(200, 150), photo(90, 140, 1)]
    theirs = TheirProcessor(TheirImageProcessor(**SMALL))(images, **prompts, return_tensors="pt", point_pad_value=-10)
    same(SamProcessor(SamImageProcessor(**SMALL))(images, **prompts, return_tensors="pt"), theirs, 2e-6)


@pytest.mark.parametrize("binarize", [True, False])
def test_masks_back(binarize):
    masks = torch.nn.functional.interpolate(torch.randn(6, 1, 5, 6), (32, 32), mode="bicubic").view(2, 3, 1, 32, 32) * 4
    sizes, reshaped = torch.tensor([[200, 150], [90, 140]]), torch.tensor([[128, 96], [82, 128]])
    theirs = TheirImageProcessor(**SMALL).post_process_masks(list(masks), sizes, reshaped, binarize=binarize)
    for make in (SamImageProcessor, SamImageProcessorFast):
        ours = make(**SMALL).post_process_masks(masks, sizes, reshaped, binarize=binarize)
        for our, their in zip(ours, theirs, strict=True):
            assert our.dtype == their.dtype
            if binarize:
                assert (our != their).float().mean() < 1e-4  # logits within rounding of the threshold
            else:
                torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-5 * float(masks.abs().max()))


@pytest.mark.parametrize("layers", [0, 2])
def test_crops(layers):
    image = photo(200, 150)
    theirs = TheirImageProcessor(**SMALL).generate_crop_boxes(image, 128, layers, points_per_crop=5)
    ours = SamImageProcessor(**SMALL).generate_crop_boxes(image, 128, layers, points_per_crop=5)
    for index in (0, 1, 3):
        assert ours[index].shape == theirs[index].shape
    order = [ours[0].tolist().index(box) for box in theirs[0].tolist()]
    # Older versions of Transformers scale points of a crop like those of the image: only the latter compare.
    torch.testing.assert_close(ours[1][:, :, 0].double(), theirs[1][:, :, 0].double(), rtol=1e-6, atol=1e-5)
    assert torch.equal(ours[3], theirs[3])
    for index, crop in zip(order, theirs[2], strict=True):
        assert (ours[2][index] == crop).all()


def test_filtered_masks():
    masks = torch.nn.functional.interpolate(torch.randn(9, 1, 4, 5), (100, 90), mode="bicubic").view(3, 3, 100, 90) * 8
    scores = torch.rand(3, 3)
    arguments = (masks, scores, (200, 150), [30, 50, 120, 150], 0.3, 0.6)
    theirs = TheirImageProcessor().filter_masks(*arguments)
    ours = SamImageProcessor().filter_masks(*arguments)
    assert ours[0] == theirs[0]
    assert torch.equal(ours[1], theirs[1])
    assert torch.equal(ours[2], theirs[2])


def test_configurations_load_both_ways(tmp_path):
    TheirProcessor(TheirImageProcessor(**SMALL)).save_pretrained(tmp_path / "theirs")
    ours = SamProcessor.from_pretrained(tmp_path / "theirs")
    assert type(ours.image_processor) is SamImageProcessor
    assert ours.image_processor.size == SMALL["size"]
    ours.save_pretrained(tmp_path / "ours")
    back = TheirProcessor.from_pretrained(tmp_path / "ours")
    assert dict(back.image_processor.pad_size)["height"] == 128
    image = photo(200, 150)
    torch.testing.assert_close(
        back(image, return_tensors="pt")["pixel_values"],
        ours(image, return_tensors="pt")["pixel_values"],
        rtol=0,
        atol=2e-6,
    )
