import json

import numpy as np
import pytest
import torch
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.processing_sam import SamProcessor

SMALL = {"size": 64, "pad_size": 64, "mask_size": 16, "mask_pad_size": 16}
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
TALL = np.random.default_rng(1).integers(0, 255, (50, 25, 3), dtype=np.uint8)


@pytest.fixture(params=[SamImageProcessor, SamImageProcessorFast])
def processor(request):
    return SamProcessor(request.param(**SMALL))


def test_images_and_prompts_in_the_frame_of_the_model(processor):
    inputs = processor(
        [IMAGE, TALL], input_points=[[[40, 20]], [[5, 50]]], input_labels=[[1], [0]], return_tensors="pt"
    )
    assert list(inputs) == ["pixel_values", "original_sizes", "reshaped_input_sizes", "input_points", "input_labels"]
    assert inputs["input_points"].tolist() == [[[[32, 16]]], [[[pytest.approx(6.4), 64]]]]
    assert {value.dtype for value in inputs.values()} == {torch.float32, torch.int64}


def test_a_fixed_size_scales_both_axes():
    processor = SamProcessor(SamImageProcessor(size=(64, 64)))
    assert processor(IMAGE, input_boxes=[8, 10, 40, 20], return_tensors="pt")["input_boxes"].tolist() == [
        [[pytest.approx(6.4), 16, 32, 32]]
    ]


def test_the_published_notebooks(processor):
    box = np.array([5, 6, 70, 35])
    for boxes in ([box.tolist()], [[box.tolist()]], [box], [[5.0, 6.0, 70.0, 35.0]]):
        inputs = processor(IMAGE, input_boxes=boxes, return_tensors="pt").to("cpu")
        assert inputs["input_boxes"].shape == (1, 1, 4)
    item = {name: value.squeeze(0) for name, value in inputs.items()}
    assert item["input_boxes"].shape == (1, 4)
    assert item["pixel_values"].shape == (3, 64, 64)


def test_prompts_without_images(processor):
    prompts = {"input_points": [[[40, 20]]], "input_boxes": [[8, 10, 40, 20]]}
    expected = processor(IMAGE, **prompts, return_tensors="pt")
    for sizes in ([(40, 80)], (40, 80), torch.tensor([[40, 80]]), np.array([[40, 80]]), expected["original_sizes"]):
        alone = processor(original_sizes=sizes, **prompts, return_tensors="pt")
        assert set(alone) == set(expected) - {"pixel_values"}
        for name, value in alone.items():
            assert torch.equal(value, expected[name])


def test_mask_prompts(processor):
    mask = np.zeros((40, 80), bool)
    mask[:, 40:] = True
    inputs = processor(IMAGE, input_points=[[[60, 20]]], input_masks=mask, return_tensors="pt")
    assert inputs["input_masks"].shape == (1, 1, 16, 16)
    assert (inputs["input_masks"][0, 0, :8, 9:] > 6).all()
    assert (inputs["input_masks"][0, 0, 8:] < -6).all()
    for_one = processor(IMAGE, input_points=[[[[60, 20]], [[9, 7]]]], input_masks=[[None, mask]], return_tensors="pt")
    assert for_one["input_masks"][0, 0].isnan().all()
    assert torch.equal(for_one["input_masks"][:, 1:], inputs["input_masks"])
    ragged = processor(
        [IMAGE, TALL],
        input_boxes=[[[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4]]],
        input_masks=[torch.ones(2, 16, 16), torch.ones(1, 16, 16)],
        return_tensors="pt",
    )
    assert ragged["input_masks"][:, :, 0, 0].tolist() == [[1, 1], [1, 0]]


def test_segmentation_maps_for_training(processor):
    inputs = processor(IMAGE, segmentation_maps=IMAGE[..., 0], input_boxes=[1, 2, 3, 4], return_tensors="pt")
    assert inputs["labels"].shape == (1, 16, 16)


def test_kinds_of_tensors(processor):
    assert isinstance(processor(IMAGE, input_points=[[[1, 2]]], return_tensors="np")["input_points"], np.ndarray)
    assert isinstance(processor(IMAGE, input_points=[[[1, 2]]])["input_points"], np.ndarray)


def test_options_for_one_call(processor):
    inputs = processor(IMAGE, input_points=[[[40, 20]]], size=32, pad_size=32, return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 32, 32)
    assert inputs["input_points"].tolist() == [[[[16, 8]]]]
    same = processor(IMAGE, input_points=[[[40, 20]]], images_kwargs={"size": 32, "pad_size": 32}, return_tensors="pt")
    assert torch.equal(same["pixel_values"], inputs["pixel_values"])


def test_rectangular_batches():
    processor = SamProcessor(SamImageProcessor(size=64, pad_size=None, size_divisor=16))
    inputs = processor([IMAGE, TALL], input_masks=[IMAGE[..., 0] > 90, TALL[..., 0] > 90], return_tensors="pt")
    assert inputs["pixel_values"].shape == (2, 3, 64, 64)
    assert inputs["input_masks"].shape == (2, 1, 16, 16)
    assert processor(IMAGE, input_masks=IMAGE[..., 0] > 90, return_tensors="pt")["input_masks"].shape == (1, 1, 8, 16)


def test_masks_back_through_the_processor(processor):
    inputs = processor(IMAGE, input_points=[[[40, 20]]], return_tensors="pt")
    masks = processor.post_process_masks(
        torch.ones(1, 1, 3, 16, 16), inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    assert masks[0].shape == (1, 3, 40, 80)


def test_names_and_sizes(processor):
    assert processor.model_input_names == ["pixel_values", "original_sizes", "reshaped_input_sizes"]
    assert processor.target_size == 64
    assert processor.point_pad_value == -10


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"images": IMAGE, "input_point": [1, 2]},
            TypeError,
            "SamProcessor has no option 'input_point'; did you mean 'input_points'",
        ),
        ({"images": IMAGE, "text": "a cat"}, ValueError, "`text` must be None"),
        ({"images": IMAGE, "point_pad_value": 0}, ValueError, "`point_pad_value` must be -10"),
        ({"images": IMAGE, "original_sizes": [(40, 80)]}, ValueError, "`images` or `original_sizes`, not both"),
        ({"input_points": [1, 2]}, ValueError, "There must be `images`, or `original_sizes`"),
        ({"original_sizes": [(40, 80, 3)]}, ValueError, r"must be \(height, width\) in pixels of each image"),
        ({"original_sizes": [(40.5, 80)]}, ValueError, r"must be \(height, width\) in pixels of each image"),
        ({"original_sizes": [(0, 80)]}, ValueError, r"must be \(height, width\) in pixels of each image"),
        ({"original_sizes": [(40, 80)], "return_tensors": "tf"}, ValueError, "`return_tensors` must be"),
        (
            {"original_sizes": [(40, 80)], "segmentation_maps": [IMAGE]},
            ValueError,
            "`segmentation_maps` must come with `images`",
        ),
    ],
)
def test_calls_that_cannot_be(processor, arguments, error, message):
    with pytest.raises(error, match=message):
        processor(**arguments)


# With the model


def test_a_ragged_batch_gives_the_masks_of_its_prompts_one_by_one(processor):
    sizes = dict(image_size=64, patch_size=16)
    model = tiny_model(vision=sizes, prompt=sizes)
    mixed = {
        "input_points": [[[[1, 2]], None, [[3, 4], [5, 6]]], None],
        "input_labels": [[[0], None, [1, 0]], None],
        "input_boxes": [[None, [1, 2, 30, 40], [5, 6, 70, 38]], [[1, 2, 20, 40]]],
    }
    alone = [
        (0, 0, {"images": IMAGE, "input_points": [[1, 2]], "input_labels": [0]}),
        (0, 1, {"images": IMAGE, "input_boxes": [1, 2, 30, 40]}),
        (
            0,
            2,
            {"images": IMAGE, "input_points": [[3, 4], [5, 6]], "input_labels": [1, 0], "input_boxes": [5, 6, 70, 38]},
        ),
        (1, 0, {"images": TALL, "input_boxes": [1, 2, 20, 40]}),
    ]
    with torch.inference_mode():
        together = model(**processor([IMAGE, TALL], **mixed, return_tensors="pt"))
        for image, number, prompts in alone:
            one = model(**processor(**prompts, return_tensors="pt"))
            torch.testing.assert_close(together.pred_masks[image, number], one.pred_masks[0, 0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.iou_scores[image, number], one.iou_scores[0, 0], rtol=1e-4, atol=1e-5)


# Saving and loading


def test_saved_and_loaded_again(processor, tmp_path):
    files = processor.save_pretrained(tmp_path)
    assert files == [str(tmp_path / name) for name in ("processor_config.json", "preprocessor_config.json")]
    loaded = SamProcessor.from_pretrained(tmp_path)
    assert type(loaded.image_processor) is type(processor.image_processor)
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    assert type(SamProcessor.from_pretrained(tmp_path, use_fast=True).image_processor) is SamImageProcessorFast
    assert type(SamProcessor.from_pretrained(tmp_path, use_fast=False).image_processor) is SamImageProcessor
    assert SamProcessor.from_pretrained(str(tmp_path), size=32).target_size == 32


def test_a_folder_with_the_image_processor_alone(tmp_path):
    config = {**SamImageProcessor(**SMALL).to_dict(), "processor_class": "SamProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    assert SamProcessor.from_pretrained(tmp_path).image_processor.to_dict() == SamImageProcessor(**SMALL).to_dict()


def test_unknown_options_are_errors_when_loading(tmp_path):
    SamProcessor(SamImageProcessor()).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="has no option 'do_normalise'; did you mean 'do_normalize'"):
        SamProcessor.from_pretrained(tmp_path, do_normalise=False)


def rectangle(size_hw, x0, y0, x1, y1):
    drawn = np.zeros(size_hw, np.uint8)
    drawn[y0:y1, x0:x1] = 1
    return drawn


def test_segmentation_maps_give_a_loss():
    processor, model = SamProcessor(tiny_image_processor()), tiny_model()
    maps = rectangle((40, 80), 20, 10, 60, 30)
    inputs = processor(IMAGE, input_points=[[[40, 20]]], segmentation_maps=maps, return_tensors="pt")
    loss = model(**inputs).loss
    loss.backward()
    labels = inputs.pop("labels")
    assert labels.shape == (1, 40, 40)
    torch.testing.assert_close(model(**inputs, labels=labels[:, None]).loss, loss)


def test_one_segmentation_map_is_the_mask_of_all_prompts_of_its_image():
    processor, model = SamProcessor(tiny_image_processor()), tiny_model()
    maps = [rectangle((40, 80), 20, 10, 60, 30), rectangle((50, 25), 3, 4, 20, 40)]
    points = [[[[40, 20]], [[30, 12]], [[4, 2]]], [[[9, 20]], [[11, 30]], [[24, 49]]]]
    inputs = processor([IMAGE, TALL], input_points=points, segmentation_maps=maps, return_tensors="pt")
    loss = model(**inputs).loss
    labels = inputs.pop("labels")
    assert labels.shape == (2, 40, 40)
    torch.testing.assert_close(model(**inputs, labels=labels.unsqueeze(1).repeat(1, 3, 1, 1)).loss, loss)
    several = [[one] * 3 for one in maps]
    by_prompt = processor([IMAGE, TALL], input_points=points, segmentation_maps=several, return_tensors="pt")
    assert by_prompt["labels"].shape == (2, 3, 40, 40)
    torch.testing.assert_close(model(**by_prompt).loss, loss)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
def test_prompts_that_fill_up_a_batch_have_no_part_in_the_loss(dtype):
    processor, model = SamProcessor(tiny_image_processor()), tiny_model()
    maps = [rectangle((40, 80), 20, 10, 60, 30), rectangle((50, 25), 3, 4, 20, 40)]
    boxes = [[[20, 10, 60, 30], [18, 8, 62, 32], [10, 5, 70, 35]], [[3, 4, 20, 40]]]
    inputs = processor([IMAGE, TALL], input_boxes=boxes, segmentation_maps=maps, return_tensors="pt")
    inputs["labels"] = inputs["labels"].to(dtype)
    alone = [
        model(**processor(image, input_boxes=[prompts], segmentation_maps=one, return_tensors="pt")).loss
        for image, prompts, one in zip((IMAGE, TALL), boxes, maps, strict=True)
    ]
    torch.testing.assert_close(model(**inputs).loss, (3 * alone[0] + alone[1]) / 4)


def test_each_prompt_has_its_own_segmentation_map_in_a_ragged_batch():
    processor, model = SamProcessor(tiny_image_processor()), tiny_model()
    maps = [
        [rectangle((40, 80), 20, 10, 60, 30), rectangle((40, 80), 0, 0, 9, 15)],
        rectangle((50, 25), 3, 4, 20, 40),
    ]
    points = [[[[40, 20]], [[4, 5]]], [[[9, 20]]]]
    inputs = processor([IMAGE, TALL], input_points=points, segmentation_maps=maps, return_tensors="pt")
    assert inputs["labels"].shape == (2, 2, 40, 40) and (inputs["labels"][1, 1] == -100).all()
    alone = [
        model(**processor(image, input_points=[[[point]]], segmentation_maps=one, return_tensors="pt")).loss
        for image, point, one in ((IMAGE, [40, 20], maps[0][0]), (IMAGE, [4, 5], maps[0][1]), (TALL, [9, 20], maps[1]))
    ]
    torch.testing.assert_close(model(**inputs).loss, sum(alone) / 3)


def test_segmentation_maps_of_another_number_than_the_prompts():
    processor = SamProcessor(tiny_image_processor())
    with pytest.raises(ValueError, match="one for each of its prompts; image 0 has 3 maps and 2 prompts"):
        processor(IMAGE, segmentation_maps=np.zeros((3, 40, 80), int), input_points=[[[[4, 2]], [[9, 8]]]])


@pytest.mark.parametrize("kind", [None, "np"])
def test_segmentation_maps_of_prompts_in_other_tensors(kind):
    processor = SamProcessor(tiny_image_processor())
    maps = np.stack([rectangle((40, 80), 20, 10, 60, 30), rectangle((40, 80), 0, 0, 9, 15)])
    points = [[[[40, 20]], [[4, 5]]]]
    expected = processor(IMAGE, input_points=points, segmentation_maps=maps, return_tensors="pt")["labels"]
    labels = processor(IMAGE, input_points=points, segmentation_maps=maps, return_tensors=kind)["labels"]
    assert (np.stack(labels) == expected.numpy()).all()
