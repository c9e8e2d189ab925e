"""Segment everything against Transformers' own model and image processor, on the same weights.

Transformers' last step, NMS, needs torchvision; here it is a plain loop.
"""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tests.plain_nms import plain_nms
from tests.tiny_sam import tiny_config
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from anymask import SamImageProcessor, SamModel
from anymask.geometry.crops import build_point_grid, crop_boxes_xyxy
from anymask.mask_generation.generator import SamMaskGenerator
from anymask.masks.rle import mask_to_rle

pytestmark = pytest.mark.parity

SIZES = dict(
    size={"longest_edge": 64},
    pad_size={"height": 64, "width": 64},
    mask_size={"longest_edge": 32},
    mask_pad_size={"height": 32, "width": 32},
)


@pytest.fixture(scope="module")
def models():
    """Our model and Transformers', with the same weights, large enough that masks and scores differ between prompts."""
    torch.manual_seed(1)
    sizes = dict(vision=dict(image_size=64), prompt=dict(image_size=64))
    ours = SamModel(tiny_config(**sizes)).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if parameter.ndim > 1 and "shared" not in name:
                parameter.normal_(std=1.3 / parameter[0].numel() ** 0.5)
        ours.shared_image_embedding.positional_embedding.normal_()
        ours.mask_decoder.iou_prediction_head.proj_out.bias.add_(1.0)
    theirs = transformers.SamModel(tiny_config(**sizes, config_class=transformers.SamConfig)).eval()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    return ours, theirs


def photo(size_hw):
    """Smooth blobs of colour."""
    small = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size_hw[::-1], Image.Resampling.BICUBIC)


def theirs_per_crop(model, image, filters, n_layers=0, points_per_crop=6):
    """Masks (RLE), scores and boxes that Transformers' own steps keep in each crop, before NMS.

    The points are placed here: up to version 5.17 at least, Transformers scales those of crops by the image.
    """
    processor = SamImageProcessorPil(**SIZES)
    centres = (np.arange(points_per_crop) + 0.5) / points_per_crop
    for box in crop_boxes_xyxy((image.height, image.width), n_layers)[0]:
        crop = image.crop(box)
        inputs = processor(images=crop, return_tensors="pt")
        height, width = inputs["reshaped_input_sizes"][0].tolist()
        points = [[[x * width, y * height]] for y in centres for x in centres]
        with torch.no_grad():
            output = model(pixel_values=inputs["pixel_values"], input_points=torch.tensor([points]).float())
        sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        masks = processor.post_process_masks(output.pred_masks, *sizes, binarize=False)[0]
        yield processor.filter_masks(masks, output.iou_scores[0], (image.height, image.width), box, **filters)


def unpack(rle):
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(rle["size"][::-1]).T


def mean_iou(ours, theirs):
    return np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(ours, theirs, strict=True)])


@pytest.mark.parametrize("size_hw", [(90, 61), (40, 150)])
@pytest.mark.parametrize("nms_threshold", [1.0, 0.7])
def test_masks_of_one_crop(models, size_hw, nms_threshold):
    ours, theirs = models
    image = photo(size_hw)
    filters = dict(pred_iou_thresh=0.2, stability_score_thresh=0.4, stability_score_offset=0.05, mask_threshold=0.7)
    rles, scores, boxes = next(theirs_per_crop(theirs, image, filters))
    kept = plain_nms(boxes.tolist(), scores.tolist(), nms_threshold)
    assert len(rles) > 10
    assert nms_threshold == 1.0 or len(kept) < len(rles)

    generator = SamMaskGenerator(ours, SamImageProcessor(**SIZES), points_per_side=6, points_per_batch=5)
    records = generator.generate(image, **filters, box_nms_thresh=nms_threshold)
    assert len(records) == len(kept)
    np.testing.assert_allclose([record["predicted_iou"] for record in records], scores[kept], rtol=1e-4, atol=1e-5)
    masks = [record["segmentation"] for record in records]
    assert mean_iou(masks, [unpack(rles[index]) for index in kept]) > 0.999
    ours_xyxy = [[x, y, x + width, y + height] for x, y, width, height in (record["bbox"] for record in records)]
    assert np.abs(np.array(ours_xyxy) - boxes[kept].numpy()).max() <= 1
    for record in records:
        assert record["area"] == record["segmentation"].sum()


def test_masks_of_crops(models):
    ours, theirs = models
    image = photo((460, 620))
    # Small masks, since large ones touch the edges of their crops.
    filters = dict(pred_iou_thresh=0.2, stability_score_thresh=0.0, mask_threshold=1.2)
    expected = {}
    for box, (rles, scores, _) in zip(
        crop_boxes_xyxy((460, 620), 1)[0], theirs_per_crop(theirs, image, filters, n_layers=1), strict=True
    ):
        masks = [(unpack(rle), float(score)) for rle, score in zip(rles, scores, strict=True)]
        expected[tuple(box)] = [(mask, score) for mask, score in masks if mask.any()]  # we drop empty masks
    generator = SamMaskGenerator(ours, SamImageProcessor(**SIZES), points_per_side=6, crop_n_layers=1)
    records = generator.generate(image, **filters, crops_nms_thresh=1.0)
    assert len(records) == sum(map(len, expected.values())) > 20
    assert len({tuple(record["crop_box"]) for record in records}) > 2
    for record in records:
        x, y, width, height = record["crop_box"]
        candidates = expected[(x, y, x + width, y + height)]
        mask, score = min(candidates, key=lambda pair: abs(pair[1] - record["predicted_iou"]))
        assert score == pytest.approx(record["predicted_iou"], abs=1e-4)
        assert mean_iou([record["segmentation"]], [mask]) > 0.999


@pytest.mark.parametrize(("n_layers", "points"), [(0, 5), (1, 4), (2, 3)])
def test_crop_boxes_and_points(n_layers, points):
    boxes, input_points, crops, _ = SamImageProcessorPil(**SIZES).generate_crop_boxes(
        photo((97, 150)), 64, n_layers, points_per_crop=points
    )
    ours, _ = crop_boxes_xyxy((97, 150), n_layers)
    np.testing.assert_array_equal(ours, boxes)
    assert [np.asarray(crop).shape[1:] for crop in crops] == [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in ours]
    in_model = SamImageProcessor(**SIZES).geometry((97, 150)).points_to_model(build_point_grid(points) * [150, 97])
    np.testing.assert_allclose(in_model, np.asarray(input_points)[0, :, 0], rtol=1e-5)


def test_rle_counts():
    from transformers.models.sam.image_processing_pil_sam import _mask_to_rle

    masks = torch.rand(4, 23, 31) > torch.tensor([0.5, 0.99, -1.0, 2.0])[:, None, None]
    assert [mask_to_rle(mask) for mask in masks] == _mask_to_rle(masks)
