"""Shapes and types by literals, values by our own processor and model called by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.tiny_sam import CHANNELS, GRID, IMAGE_SIZE, draw_weights, tiny_config, tiny_model

from anymask import (
    SamAutomaticMaskGenerator,
    SamImageProcessor,
    SamMaskGenerator,
    SamModel,
    SamPredictor,
    SamProcessor,
    segment_anything,
)
from anymask import sam_model_registry as registry
from anymask.segment_anything import ResizeLongestSide, Sam

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
POINTS, LABELS = np.array([[10.0, 5.0], [40.0, 20.0]]), np.array([1, 0])
BOX = np.array([5.0, 3.0, 45.0, 28.0])
SIDE = 4 * GRID


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def processor():
    options = dict(size=IMAGE_SIZE, pad_size=IMAGE_SIZE, mask_size=SIDE, mask_pad_size=SIDE)
    return SamProcessor(SamImageProcessor(**options))


@pytest.fixture
def predictor(model):
    predictor = SamPredictor(model)
    predictor.set_image(IMAGE)
    return predictor


def by_hand(model, processor, multimask_output=True, **prompts):
    """Logits at the size of the image, scores, low-resolution logits of one object."""
    inputs = processor(IMAGE, return_tensors="pt", **prompts)
    with torch.no_grad():
        output = model(**inputs, multimask_output=multimask_output)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    (logits,) = processor.post_process_masks(output.pred_masks, *sizes, binarize=False)
    return logits[0].numpy(), output.iou_scores[0, 0].numpy(), output.pred_masks[0, 0].numpy()


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("with_points", [True, False])
@pytest.mark.parametrize("with_box", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_predict(predictor, model, processor, multimask_output, with_points, with_box, with_mask):
    mask = np.random.default_rng(1).normal(size=(1, SIDE, SIDE)).astype(np.float32)
    ours = dict(
        **(dict(input_points=[[POINTS.tolist()]], input_labels=[[LABELS.tolist()]]) if with_points else {}),
        **(dict(input_boxes=[[BOX.tolist()]]) if with_box else {}),
        **(dict(input_masks=mask[None]) if with_mask else {}),
    )
    metas = dict(
        **(dict(point_coords=POINTS, point_labels=LABELS) if with_points else {}),
        **(dict(box=BOX) if with_box else {}),
        **(dict(mask_input=mask) if with_mask else {}),
    )
    expected = by_hand(model, processor, multimask_output, **ours)
    logits = predictor.predict(**metas, multimask_output=multimask_output, return_logits=True)
    for actual, wanted in zip(logits, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    masks, scores, low = predictor.predict(**metas, multimask_output=multimask_output)
    count = 3 if multimask_output else 1
    assert [(array.shape, array.dtype) for array in (masks, scores, low)] == [
        ((count, 30, 50), np.dtype(bool)),
        ((count,), np.dtype(np.float32)),
        ((count, SIDE, SIDE), np.dtype(np.float32)),
    ]
    np.testing.assert_array_equal(masks, logits[0] > 0)


def test_predict_torch_answers_each_of_several(predictor):
    points = torch.tensor([[[16.0, 8.0], [64.0, 32.0]], [[50.0, 40.0], [5.0, 5.0]]])
    labels = torch.tensor([[1, 0], [1, 1]])
    boxes = torch.tensor([[8.0, 5.0, 72.0, 45.0], [1.0, 2.0, 30.0, 40.0]])
    mask_input = torch.randn(2, 1, SIDE, SIDE)
    masks, scores, low = predictor.predict_torch(points, labels, boxes, mask_input)
    assert [(tuple(tensor.shape), tensor.dtype) for tensor in (masks, scores, low)] == [
        ((2, 3, 30, 50), torch.bool),
        ((2, 3), torch.float32),
        ((2, 3, SIDE, SIDE), torch.float32),
    ]
    assert not masks.requires_grad
    for index in range(2):
        of_one = slice(index, index + 1)
        alone = predictor.predict_torch(points[of_one], labels[of_one], boxes[of_one], mask_input[of_one])
        torch.testing.assert_close(alone[2][0], low[index], rtol=1e-4, atol=1e-4)


def test_the_state_of_the_predictor(model):
    predictor = SamPredictor(model)
    assert (predictor.is_image_set, predictor.features, predictor.device) == (False, None, torch.device("cpu"))
    for ask in (predictor.predict, predictor.get_image_embedding, lambda: predictor.predict_torch(None, None)):
        with pytest.raises(RuntimeError, match="There must be an image to prompt, got none; call set_image first"):
            ask()
    predictor.set_image(IMAGE)
    assert predictor.is_image_set
    assert predictor.get_image_embedding().shape == (1, CHANNELS, GRID, GRID)
    assert predictor.get_image_embedding() is predictor.features
    assert (predictor.original_size, predictor.input_size) == ((30, 50), (48, 80))
    predictor.reset_image()
    assert (predictor.is_image_set, predictor.original_size, predictor.input_size) == (False, None, None)


def test_bgr_images_are_turned(model, predictor):
    other = SamPredictor(model)
    other.set_image(np.ascontiguousarray(IMAGE[..., ::-1]), image_format="BGR")
    assert torch.equal(other.features, predictor.features)
    with pytest.raises(ValueError, match=r"`image_format` must be one of \('RGB', 'BGR'\), got 'GBR'"):
        predictor.set_image(IMAGE, "GBR")


@pytest.mark.parametrize("image", [IMAGE[..., 0], IMAGE.astype(float), torch.from_numpy(IMAGE), IMAGE[..., :2]])
def test_other_images_are_refused(predictor, image):
    with pytest.raises(
        ValueError, match=r"`image` must be an array \(H, W, 3\) of uint8, got .*load_image reads other"
    ):
        predictor.set_image(image)
    assert predictor.is_image_set  # the one before


def test_set_torch_image_is_set_image_on_what_was_resized(model, predictor):
    other = SamPredictor(model)
    resized = torch.from_numpy(other.transform.apply_image(IMAGE)).permute(2, 0, 1)[None].float()
    other.set_torch_image(resized, (30, 50))
    torch.testing.assert_close(other.features, predictor.features, rtol=1e-4, atol=1e-4)
    assert (other.original_size, other.input_size) == ((30, 50), (48, 80))
    with pytest.raises(ValueError, match=r"\(1, 3, H, W\) with a longer side of 80 pixels, got \(1, 3, 30, 50\)"):
        other.set_torch_image(torch.zeros(1, 3, 30, 50), (30, 50))


def test_points_need_labels(predictor):
    with pytest.raises(ValueError, match="`point_labels` must come with `point_coords`: 1 for foreground"):
        predictor.predict(POINTS)


def test_shapes_of_prompts(predictor):
    predictor.set_image(IMAGE)
    with pytest.raises(ValueError, match=r"`point_coords` must have shape \(N, 2\), x and y, got \(1, 3\)"):
        predictor.predict(np.zeros((1, 3)), np.ones(1))
    with pytest.raises(ValueError, match=r"`box` must be x0, y0, x1, y1, got shape \(2, 4\)"):
        predictor.predict(box=np.zeros((2, 4)))


def test_transform():
    transform = ResizeLongestSide(80)
    expected = np.array(Image.fromarray(IMAGE).resize((80, 48), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(transform.apply_image(IMAGE), expected)
    as_tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float()
    resized = transform.apply_image_torch(as_tensor)
    assert resized.shape == (1, 3, 48, 80)
    assert (resized[0].permute(1, 2, 0) - torch.from_numpy(expected)).abs().max() <= 1.5
    assert transform.get_preprocess_shape(30, 50, 80) == (48, 80)

    points = np.array([[10, 5], [50, 30]])
    moved = transform.apply_coords(points, (30, 50))
    np.testing.assert_allclose(moved, [[16, 8], [80, 48]])
    assert (moved.dtype, points.tolist()) == (np.float64, [[10, 5], [50, 30]])
    boxes = transform.apply_boxes(np.array([[10, 5, 50, 30]]), (30, 50))
    np.testing.assert_allclose(boxes, [[16, 8, 80, 48]])
    torch_points = transform.apply_coords_torch(torch.tensor([[[10, 5], [50, 30]]]), (30, 50))
    torch.testing.assert_close(torch_points, torch.tensor([[[16.0, 8.0], [80.0, 48.0]]]))
    torch_boxes = transform.apply_boxes_torch(torch.tensor([[10.0, 5.0, 50.0, 30.0]]), (30, 50))
    torch.testing.assert_close(torch_boxes, torch.tensor([[16.0, 8.0, 80.0, 48.0]]))


def test_automatic_masks_are_those_of_the_generator(model, processor):
    options = dict(points_per_side=4, pred_iou_thresh=-100.0, stability_score_thresh=0.0, output_mode="coco_rle")
    records = SamAutomaticMaskGenerator(model, **options).generate(IMAGE)
    assert records == SamMaskGenerator(model, processor, **options).generate(IMAGE)
    assert set(records[0]) == {
        *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"),
    }


def test_defaults_of_the_generator_are_metas_for_every_model():
    nano = SamModel.from_pretrained("sam-vit-nano")
    options = SamAutomaticMaskGenerator(nano)._generator.options
    assert (options.points_per_side, options.pred_iou_thresh, options.stability_score_thresh) == (32, 0.88, 0.95)
    assert (options.min_mask_region_area, options.output_mode) == (0, "binary_mask")
    points = np.array([[0.5, 0.5]])
    assert SamAutomaticMaskGenerator(nano, None, point_grids=[points])._generator.options.points_per_side is None


def test_registry(monkeypatch):
    assert list(registry) == ["default", "vit_h", "vit_l", "vit_b"]
    model = registry["vit_b"](checkpoint="sam-vit-nano")  # what is loaded says what it is
    assert model.config.vision_config.hidden_size == 160
    assert not model.training
    with torch.device("meta"):
        sizes = {name: build().config.vision_config.hidden_size for name, build in registry.items()}
        assert not registry["vit_l"]().training
    assert sizes == {"default": 1280, "vit_h": 1280, "vit_l": 1024, "vit_b": 768}


# Meta's Sam


@pytest.fixture(scope="module")
def sam():
    return draw_weights(Sam(tiny_config())).eval()


def resized(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(ResizeLongestSide(IMAGE_SIZE).apply_image(image)).permute(2, 0, 1)


@pytest.mark.parametrize("multimask_output", [True, False])
def test_a_batch_gives_each_image_what_the_predictor_gives_it(sam, multimask_output):
    """The images of a batch differ in size and in the kinds and numbers of their prompts."""
    tall = np.random.default_rng(1).integers(0, 256, (70, 40, 3), dtype=np.uint8)
    points = torch.tensor([[[20.0, 10.0], [50.0, 30.0]], [[5.0, 6.0], [70.0, 40.0]]])
    prompts = [
        (IMAGE, {"point_coords": points, "point_labels": torch.tensor([[1, 0], [1, 1]])}),
        (tall, {"boxes": torch.tensor([[3.0, 4.0, 40.0, 60.0], [1.0, 1.0, 20.0, 70.0], [0.0, 0.0, 40.0, 40.0]])}),
        (IMAGE, {"boxes": torch.tensor([[3.0, 4.0, 40.0, 30.0]]), "mask_inputs": torch.randn(1, 1, SIDE, SIDE)}),
        (tall, {}),
    ]
    batch = [{"image": resized(image), "original_size": image.shape[:2], **given} for image, given in prompts]
    answers = sam(batch, multimask_output=multimask_output)
    assert [sorted(answer) for answer in answers] == [["iou_predictions", "low_res_logits", "masks"]] * 4
    predictor = SamPredictor(sam)
    for (image, given), answer in zip(prompts, answers, strict=True):
        predictor.set_image(image)
        names = {"mask_inputs": "mask_input"}
        arguments = {"point_coords": None, "point_labels": None, **{names.get(n, n): v for n, v in given.items()}}
        masks, scores, logits = predictor.predict_torch(**arguments, multimask_output=multimask_output)
        torch.testing.assert_close(answer["low_res_logits"], logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(answer["iou_predictions"], scores, rtol=1e-4, atol=1e-4)
        assert answer["masks"].dtype == torch.bool
        assert answer["masks"].shape == masks.shape == (len(scores), 3 if multimask_output else 1, *image.shape[:2])
        assert (answer["masks"] != masks).float().mean() < 1e-3
    assert all(
        torch.equal(a["masks"], b["masks"])
        for a, b in zip(sam(batched_input=batch, multimask_output=multimask_output), answers, strict=True)
    )


def test_preprocess_is_the_image_processors_work(sam, processor):
    expected = processor(IMAGE, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(sam.preprocess(resized(IMAGE)), expected[0], rtol=0, atol=2e-6)
    torch.testing.assert_close(sam.preprocess(resized(IMAGE)[None].float()), expected, rtol=0, atol=2e-6)


def test_postprocess_masks_are_two_resizes(sam):
    logits = torch.randn(2, 3, SIDE, SIDE)
    square = F.interpolate(logits, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    expected = F.interpolate(square[..., :48, :], (30, 50), mode="bilinear", align_corners=False)
    torch.testing.assert_close(sam.postprocess_masks(logits, (48, 80), (30, 50)), expected, rtol=1e-5, atol=2e-5)


def test_a_sam_is_a_sam_model_in_everything_else(sam, processor, tmp_path):
    inputs = processor(IMAGE, input_points=[[10, 5]], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(sam(**inputs).pred_masks, SamModel.__call__(sam, **inputs).pred_masks)
    sam.save_pretrained(tmp_path)
    again = SamModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in sam.state_dict().items())
    assert type(registry["vit_b"](checkpoint=tmp_path)) is Sam
    assert (sam.mask_threshold, sam.image_format) == (0.0, "RGB")


def test_metas_functions_are_those_of_the_registry():
    for size in ("vit_h", "vit_l", "vit_b"):
        assert getattr(segment_anything, f"build_sam_{size}") is registry[size]
    assert segment_anything.build_sam is registry["default"] is registry["vit_h"]


def test_no_points_beside_a_box_are_no_points(predictor):
    empty = predictor.predict(np.zeros((0, 2)), np.zeros(0), box=BOX, return_logits=True)
    for actual, expected in zip(empty, predictor.predict(box=BOX, return_logits=True), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_no_points_alone_are_no_error(predictor):
    """Meta's package answers them by the token that says that there is no point."""
    masks, scores, _ = predictor.predict(np.zeros((0, 2)), np.zeros(0), return_logits=True)
    assert masks.shape == (3, 30, 50) and np.isfinite(masks).all() and np.isfinite(scores).all()


def test_a_generator_has_a_predictor(model):
    generator = SamAutomaticMaskGenerator(model, points_per_side=2)
    generator.predictor.set_image(IMAGE)
    assert generator.predictor.model is model
    assert generator.predictor.predict(POINTS, LABELS)[0].shape == (3, 30, 50)
