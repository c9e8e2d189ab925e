import pytest
import torch
from tests.tiny_sam import IMAGE_SIZE, boxes, images, labels, mask_prompts, points, tiny_image_processor, tiny_model

from anymask.processing_sam import SamProcessor
from anymask.training import SamDataCollator

SIDE = 40


def sample(objects, point_count=None, with_boxes=False, **more):
    made = {"pixel_values": images(batch=1)[0], "labels": torch.rand(objects, SIDE, SIDE) < 0.4, **more}
    if point_count:
        made["input_points"] = points(1, objects, point_count)[0]
        made["input_labels"] = labels(1, objects, point_count)[0]
    if with_boxes:
        made["input_boxes"] = boxes(1, objects)[0]
    return made


def test_ragged_samples_cost_what_they_cost_one_by_one():
    model = tiny_model().requires_grad_(False)
    samples = [sample(3, 4), sample(1, 2), sample(2, 1)]
    batch = SamDataCollator()(samples)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "pixel_values": (3, 3, IMAGE_SIZE, IMAGE_SIZE),
        "labels": (3, 3, SIDE, SIDE),
        "input_points": (3, 3, 4, 2),
        "input_labels": (3, 3, 4),
    }
    alone = [model(**SamDataCollator()([one])).loss * len(one["labels"]) for one in samples]
    torch.testing.assert_close(model(**batch).loss, sum(alone) / 6)


@pytest.mark.parametrize("kind", ["boxes", "points and boxes", "some have boxes", "masks"])
def test_other_prompts_cost_what_they_cost_one_by_one(kind):
    model = tiny_model().requires_grad_(False)
    samples = {
        "boxes": lambda: [sample(3, with_boxes=True), sample(2, with_boxes=True)],
        "points and boxes": lambda: [sample(3, 2, with_boxes=True), sample(2, 4, with_boxes=True)],
        "some have boxes": lambda: [sample(3, 2, with_boxes=True), sample(2, 1), sample(1, with_boxes=True)],
        "masks": lambda: [sample(n, 1, input_masks=mask_prompts(1, n)[0]) for n in (1, 3)],
    }[kind]()
    alone = [model(**SamDataCollator()([one])).loss * len(one["labels"]) for one in samples]
    count = sum(len(one["labels"]) for one in samples)
    torch.testing.assert_close(model(**SamDataCollator()(samples)).loss, sum(alone) / count)


def test_what_the_processor_gives_is_collated():
    processor = SamProcessor(tiny_image_processor())
    rows = []
    for count in (1, 2):
        image = torch.randint(0, 255, (50, 70, 3), dtype=torch.uint8).numpy()
        row = processor(image, input_points=[[[[5, 6]]] * count], return_tensors="pt")
        rows.append({**row, "labels": torch.zeros(1, count, SIDE, SIDE, dtype=torch.uint8)})
    batch = SamDataCollator()(rows)
    assert batch["input_points"].shape == (2, 2, 1, 2) and batch["original_sizes"].tolist() == [[50, 70]] * 2
    assert batch["input_labels"].tolist() == [[[1], [-10]], [[1], [1]]]
    assert batch["labels"].dtype == torch.int8 and (batch["labels"][0, 1] == -100).all()
    assert tiny_model()(**batch).loss.isfinite()


def test_without_labels_it_is_a_batch_for_inference():
    rows = [{"image_embeddings": torch.rand(4, 3, 3), "input_points": points(1, n, 2)[0]} for n in (1, 2)]
    batch = SamDataCollator()(rows)
    assert batch["input_labels"].tolist() == [[[1, 1], [-10, -10]], [[1, 1], [1, 1]]]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (lambda: [{**sample(2, 1), "labels": torch.zeros(3, SIDE, SIDE)}], "one prompt and one mask per object"),
        (lambda: [sample(1, 1), {**sample(1, 1), "labels": torch.zeros(1, 20, 20)}], "must have one size"),
        (lambda: [sample(1, 1), sample(1, 1, sample_seed=torch.tensor(3))], "or none, got it in 1"),
        (lambda: [{"pixel_values": images()}], "of one image, got 2"),
        (lambda: [sample(1, 1, labels=torch.full((1, SIDE, SIDE), 255).byte())], "compare them with 0"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        SamDataCollator()(samples())
