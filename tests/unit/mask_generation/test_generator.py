"""The generator's semantics, on pictures whose masks are known; see `tests/colour_model.py`."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.colour_model import ColourModel, colour_processor, draw
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SamModel, SamProcessor, embed_image
from anymask.mask_generation.generator import SamMaskGenerator
from anymask.masks.rle import mask_to_rle, rle_to_coco, rle_to_mask

# Two objects of a 48 x 64 image, which the model sees as it is.
LARGE, SMALL = (4, 8, 32, 40), (40, 16, 60, 24)
PICTURE = draw((48, 64), (*LARGE, 100, 240, 0), (*SMALL, 200, 250, 0))


def generator(model=None, **options):
    options = {"points_per_side": 8, **options}
    return SamMaskGenerator(model or ColourModel(), colour_processor(), **options)


def pixels_of(rectangle, size_hw=(48, 64)):
    x0, y0, x1, y1 = rectangle
    mask = np.zeros(size_hw, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def boxes(records):
    return sorted(tuple(record["bbox"]) for record in records)


def test_records():
    records = generator().generate(PICTURE)
    assert [set(record) for record in records] == [
        {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}
    ] * 2
    small, large = records  # best predicted IoU first
    np.testing.assert_array_equal(small["segmentation"], pixels_of(SMALL))
    np.testing.assert_array_equal(large["segmentation"], pixels_of(LARGE))
    assert large["segmentation"].dtype == bool
    assert large["area"] == 28 * 32
    assert type(large["area"]) is int
    assert large["bbox"] == [4, 8, 27, 31]  # x, y, width, height between the outermost pixels
    assert large["crop_box"] == [0, 0, 64, 48]
    assert large["predicted_iou"] == pytest.approx(240 / 255)
    assert large["point_coords"] == [[4.0, 9.0]]  # the first point of the grid that hits it
    assert 0.9 < large["stability_score"] <= 1.0


def test_a_checkpoint_may_bring_defaults_of_its_own():
    model = ColourModel()
    model.config.mask_generation = {"pred_iou_thresh": 0.97, "points_per_crop": 9}
    options = SamMaskGenerator(model, colour_processor(), stability_score_thresh=0.5).options
    assert (options.pred_iou_thresh, options.points_per_side, options.stability_score_thresh) == (0.97, 9, 0.5)
    assert boxes(generator(model).generate(PICTURE)) == [(40, 16, 19, 7)]  # only the small one is above 0.97
    assert len(generator(model, pred_iou_thresh=0.9).generate(PICTURE)) == 2


def test_output_modes_hold_the_same_masks():
    binary = generator().generate(PICTURE)
    rles = generator(output_mode="uncompressed_rle").generate(PICTURE)
    cocos = generator().generate(PICTURE, output_mode="coco_rle")
    assert len(binary) == 2
    for mask, rle, coco in zip(binary, rles, cocos, strict=True):
        assert rle["segmentation"] == mask_to_rle(mask["segmentation"])
        assert coco["segmentation"] == rle_to_coco(rle["segmentation"])
        assert isinstance(coco["segmentation"]["counts"], str)
        assert {**rle, "segmentation": None} == {**mask, "segmentation": None}


def test_predicted_iou_must_be_above_its_threshold():
    at = generator().generate(PICTURE)[1]["predicted_iou"]
    assert len(generator(pred_iou_thresh=at).generate(PICTURE)) == 1
    assert len(generator(pred_iou_thresh=at - 1e-6).generate(PICTURE)) == 2


def test_stability_may_equal_its_threshold():
    picture = draw((48, 64), (*LARGE, 100, 240, 0), (*SMALL, 200, 250, 255))  # the small one is unstable
    assert boxes(generator().generate(picture)) == [(4, 8, 27, 31)]
    assert len(generator(stability_score_thresh=0).generate(picture)) == 2
    # Without an offset every score is exactly 1.
    assert len(generator(stability_score_thresh=1.0, stability_score_offset=0).generate(picture)) == 2


def test_thresholds_of_masks():
    # At a threshold of 9 the outermost pixels, mixed from 10 and -10, no longer belong to the mask.
    records = generator(mask_threshold=9.0, stability_score_thresh=0).generate(PICTURE)
    assert boxes(records) == [(5, 9, 25, 29), (41, 17, 17, 5)]


def test_no_masks_are_an_empty_result():
    assert generator().generate(np.zeros((48, 64, 3), np.uint8)) == []
    assert generator(crop_n_layers=1, min_mask_region_area=9).generate(np.zeros((48, 64, 3), np.uint8)) == []
    # Kept whatever their scores, masks without a pixel still are no masks.
    nothing = generator(pred_iou_thresh=0, stability_score_thresh=0)
    assert nothing.generate(np.zeros((48, 64, 3), np.uint8)) == []


def test_duplicates_in_a_crop_go():
    # Two objects of one box: their masks differ, their boxes do not, and the better one stays.
    left, right = draw((48, 64), (4, 8, 32, 40, 100, 240, 0)), (18, 8, 32, 40, 100, 240, 0)
    picture = left.copy()
    picture[8:40, 18:32] = (100, 250, 0)  # the same object, better seen from its right half
    records = generator().generate(picture)
    assert len(records) == 1
    assert records[0]["predicted_iou"] == pytest.approx(250 / 255)
    assert records[0]["point_coords"][0][0] >= right[0]


def test_box_nms_threshold():
    # Boxes of 28 x 32 and 28 x 16, one inside the other: their IoU is about one half.
    picture = draw((48, 64), (4, 8, 32, 40, 100, 240, 0), (4, 8, 32, 24, 200, 250, 0))
    picture[39, 4:32] = picture[38, 4:32] = (100, 240, 0)
    picture[8:10, 4:6] = (100, 240, 0)  # a corner keeps the first object's box tall
    assert len(generator(box_nms_thresh=0.6).generate(picture)) == 2
    assert len(generator(box_nms_thresh=0.4).generate(picture)) == 1
    assert len(generator(crop_nms_thresh=0.4).generate(picture)) == 2  # there is one crop only
    assert len(generator(crops_nms_thresh=0.4).generate(picture)) == 1  # Transformers' one threshold is for both


# An image ten times as large, so that a margin of 20 pixels is small.
BIG_HW = (480, 640)
OBJECT = (40, 60, 140, 160)  # inside the first crop of layer 1
CUT = (200, 200, 440, 280)  # across all crops of layer 1
AT_BORDER = (560, 0, 640, 60)
BIG = draw(BIG_HW, (*OBJECT, 100, 240, 0), (*CUT, 150, 245, 0), (*AT_BORDER, 200, 250, 0))


def crop_records():
    # Pixels as coarse as these make every mask a little unstable.
    wide = generator(crop_n_layers=1, crop_overlap_ratio=0.1, points_per_side=16, stability_score_thresh=0)
    return wide.generate(BIG)


def object_of(record):
    """Which object a mask shows most of."""
    shown = BIG[..., 0][record["segmentation"]]
    return {100: "object", 150: "cut", 200: "at border"}[int(np.median(shown))]


def test_smaller_crops_win_and_masks_that_they_cut_off_do_not_count():
    records = crop_records()
    assert sorted(object_of(record) for record in records) == ["at border", "cut", "object"]
    crops = {object_of(record): record["crop_box"] for record in records}
    assert crops["cut"] == [0, 0, 640, 480]  # every crop of layer 1 cuts it off, so only the whole image has it
    assert crops["object"] == [0, 0, 344, 264]  # seen whole by the image and by a crop: the crop's mask stays
    assert crops["at border"] == [296, 0, 344, 264]  # the image's border cuts nothing off
    # Of the order that Meta's NMS leaves, smaller crops come first.
    assert [object_of(record) for record in records][2] == "cut"


def test_masks_of_crops_lie_where_they_do_in_the_image():
    rectangles = {"object": OBJECT, "cut": CUT, "at border": AT_BORDER}
    for record in crop_records():
        x, y, width, height = record["bbox"]
        mask = record["segmentation"]
        rows, columns = np.nonzero(mask)
        assert [columns.min(), rows.min(), columns.max(), rows.max()] == [x, y, x + width, y + height]
        truth = pixels_of(rectangles[object_of(record)], BIG_HW)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.8
        point_x, point_y = record["point_coords"][0]
        assert x - 10 <= point_x <= x + width + 10
        assert y - 10 <= point_y <= y + height + 10


def test_downscaled_grids_ask_fewer_points():
    model = ColourModel()
    generator(model, crop_n_layers=1, crop_n_points_downscale_factor=2, points_per_side=6).generate(BIG)
    assert model.decoded == [36] + [9] * 4
    assert len(model.encoded) == 5


def test_own_grids_replace_the_sides():
    point = np.array([[0.3, 0.5]])
    records = generator().generate(PICTURE, point_grids=[point])
    assert boxes(records) == [(4, 8, 27, 31)]
    assert records[0]["point_coords"] == [[pytest.approx(0.3 * 64), 24.0]]
    assert len(SamMaskGenerator(ColourModel(), colour_processor(), point_grids=[point]).generate(PICTURE)) == 1


@pytest.mark.parametrize("points_per_batch", [1, 7, 64, 1000, None])
def test_points_per_batch_changes_no_mask(points_per_batch):
    expected = generator(output_mode="coco_rle").generate(PICTURE)
    assert generator(output_mode="coco_rle", points_per_batch=points_per_batch).generate(PICTURE) == expected


@pytest.mark.parametrize("points", ["grid", "adaptive"])
@pytest.mark.parametrize("most_prompts", [None, 5])
@pytest.mark.filterwarnings("ignore:Out of memory")
def test_threads_change_no_mask_and_no_order(points, most_prompts):
    options = dict(output_mode="coco_rle", points=points, points_per_batch=16)
    expected = generator(**options).generate(PICTURE)
    model = ColourModel(most_prompts)
    torch.set_num_threads(3)
    try:
        assert generator(model, **options).generate(PICTURE) == expected
    finally:
        torch.set_num_threads(1)
    assert sum(model.decoded) >= 9 and max(model.decoded) <= 16


def test_small_regions():
    # A hole of 4 x 4, and an island of 4 x 4 to the right of the object.
    picture = draw((48, 64), (*LARGE, 100, 240, 0), (12, 16, 16, 20, 0, 0, 0), (40, 8, 44, 12, 100, 240, 0))
    untouched = generator().generate(picture)[0]
    assert untouched["area"] == 28 * 32 - 16 + 16
    both = generator(min_mask_region_area=17).generate(picture)[0]
    np.testing.assert_array_equal(both["segmentation"], pixels_of(LARGE))
    assert both["bbox"] == [4, 8, 27, 31]
    assert both["area"] == 28 * 32
    assert generator(min_mask_region_area=16).generate(picture)[0]["area"] == untouched["area"]
    assert generator(max_hole_area=16).generate(picture)[0]["area"] == 28 * 32 + 16
    assert generator(max_sprinkle_area=16).generate(picture)[0]["area"] == 28 * 32 - 16
    of_mask = 16 / untouched["area"]  # what is smaller than a share goes, what is as large stays
    assert generator(hole_share=1.01 * of_mask).generate(picture)[0]["area"] == 28 * 32 + 16
    assert generator(island_share=1.01 * of_mask).generate(picture)[0]["area"] == 28 * 32 - 16
    assert generator(hole_share=of_mask, island_share=of_mask).generate(picture)[0]["area"] == untouched["area"]


def test_after_clean_up_masks_that_did_not_change_win():
    # Two interlocking shapes with nearly the same box, but for an island of the better one far off.
    picture = draw((48, 64), (4, 12, 18, 40, 100, 250, 0), (4, 36, 32, 40, 100, 250, 0), (60, 44, 62, 46, 100, 250, 0))
    picture[8:36, 18:32] = picture[8:12, 4:32] = (200, 240, 0)
    assert len(generator().generate(picture)) == 2
    cleaned = generator(min_mask_region_area=5).generate(picture)
    assert [record["predicted_iou"] for record in cleaned] == [pytest.approx(240 / 255)]


def test_out_of_memory_halves_the_points_and_says_so_once():
    expected = generator(output_mode="coco_rle").generate(PICTURE)
    model = ColourModel(most_prompts=5)
    tight = generator(model, output_mode="coco_rle")
    with pytest.warns(UserWarning, match="going on with 32 points at a time") as caught:
        assert tight.generate(PICTURE) == expected
    assert len(caught) == 1
    assert set(model.decoded) == {4}
    assert tight.generate(PICTURE) == expected  # and no second warning, which would be an error here


def test_out_of_memory_with_one_point_is_an_error():
    with pytest.warns(UserWarning, match="Out of memory"), pytest.raises(torch.OutOfMemoryError):
        generator(ColourModel(most_prompts=0)).generate(PICTURE)


def test_other_errors_are_not_taken_for_lack_of_memory():
    class Broken(ColourModel):
        def decode_proposals(self, *args, **kwargs):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        generator(Broken()).generate(PICTURE)


def test_many_images_keep_their_order():
    model = ColourModel()
    empty = np.zeros((30, 20, 3), np.uint8)
    pictures = [PICTURE, empty, PICTURE[:, ::-1].copy(), PICTURE]
    results = list(generator(model, output_mode="coco_rle").generate_many(iter(pictures)))
    assert model.encoded == [1] * 4
    assert results == [generator(output_mode="coco_rle").generate(picture) for picture in pictures]
    assert [len(records) for records in results] == [2, 0, 2, 2]


def test_images_are_read_one_after_another():
    read = []

    def pictures():
        for index in range(3):
            read.append(index)
            yield PICTURE

    results = generator().generate_many(pictures())
    for number in range(3):
        next(results)
        assert len(read) == number + 1


def test_one_image_is_not_taken_for_several(tmp_path):
    for one in (PICTURE, PICTURE[..., 0], torch.from_numpy(PICTURE), Image.fromarray(PICTURE), "a.png", tmp_path, b"x"):
        with pytest.raises(TypeError, match=r"`images` must be several images, got one .*; put it in a list"):
            generator().generate_many(one)
    assert len(list(generator().generate_many(PICTURE[None]))) == 1


def test_every_kind_of_image(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    kinds = [
        tmp_path / "picture.png",
        str(tmp_path / "picture.png"),
        Image.fromarray(PICTURE),
        torch.from_numpy(PICTURE).permute(2, 0, 1),
        (PICTURE / 255).astype(np.float32),
        (PICTURE.astype(np.uint16) * 257),
    ]
    expected = generator(output_mode="coco_rle").generate(PICTURE)
    for kind in kinds:
        records = generator(output_mode="coco_rle").generate(kind)
        assert [record["segmentation"] for record in records] == [record["segmentation"] for record in expected]


def test_a_dark_crop_of_a_float_image_is_read_as_its_image_is():
    # Values from 0 to 255 as floats; one crop has none above 1, and alone would be taken for 0 to 1.
    image = np.zeros((*BIG_HW, 3), np.float32)
    image[60:160, 40:140] = (100, 250, 0)
    image[300:400, 500:600] = (1, 1, 0)  # a predicted IoU of 1 if taken for white
    records = generator(crop_n_layers=1, points_per_side=16).generate(image)
    assert len(records) == 1


@pytest.mark.parametrize("to_image", [np.asarray, lambda image: image.astype(np.uint16) * 100, Image.fromarray])
def test_a_dark_crop_is_stretched_as_its_image_is(to_image):
    # With "min_max" the brightest value of the image is white; the crop with the dark object has no white of its own.
    image = np.zeros((*BIG_HW, 3), np.uint8)
    image[60:160, 40:140] = (100, 200, 0)
    image[300:400, 500:600] = (20, 40, 0)  # a predicted IoU of 0.2 in the whole image, of 1 in a crop of its own
    processor = colour_processor()
    processor.value_range = "min_max"
    options = dict(crop_n_layers=1, points_per_side=16, pred_iou_thresh=0.5)
    records = SamMaskGenerator(ColourModel(), processor, **options).generate(to_image(image))
    assert [record["bbox"] for record in records] == [pytest.approx([40, 60, 99, 99], abs=12)]


def test_progress_is_shown_where_asked_or_on_a_terminal(capfd, monkeypatch):
    generator().generate(PICTURE)
    assert capfd.readouterr() == ("", "")
    generator(progress=True).generate(PICTURE)
    assert "64" in capfd.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    generator().generate(PICTURE)
    assert "Segmenting everything" in capfd.readouterr().err
    generator(progress=False).generate(PICTURE)
    assert capfd.readouterr().err == ""


def test_nothing_of_the_callers_changes():
    picture = PICTURE.copy()
    grids = [np.array([[0.3, 0.5]])]
    generator().generate(picture, point_grids=grids)
    np.testing.assert_array_equal(picture, PICTURE)
    assert grids[0].tolist() == [[0.3, 0.5]]
    mine = generator()
    mine.generate(picture, points_per_side=2)
    assert mine.options.points_per_side == 8


def test_errors():
    with pytest.raises(
        TypeError, match=r"`model` must be an anymask\.SamModel, got torch\.nn\.modules\.linear\.Linear"
    ):
        SamMaskGenerator(torch.nn.Linear(1, 1), colour_processor())
    with pytest.raises(TypeError, match=r"`processor` must be an anymask\.SamProcessor"):
        SamMaskGenerator(ColourModel(), object())
    with pytest.raises(TypeError, match="did you mean 'points_per_side'"):
        generator(point_per_side=3)
    with pytest.raises(TypeError, match="did you mean 'crop_n_layers'"):
        generator().generate(PICTURE, crop_n_layer=3)
    with pytest.raises(ValueError, match="`output_mode` must be one of binary_mask"):
        generator().generate_many([PICTURE], output_mode="png")


def test_a_composite_processor_will_do():
    class Composite:
        image_processor = colour_processor()

    assert len(SamMaskGenerator(ColourModel(), Composite(), points_per_side=8).generate(PICTURE)) == 2


def test_rle_output_makes_no_full_size_array(monkeypatch):
    def forbidden(rle):
        raise AssertionError("a full-size mask was made")

    monkeypatch.setattr("anymask.masks.record.rle_to_mask", forbidden)
    records = generator(output_mode="coco_rle", min_mask_region_area=5).generate(PICTURE)
    assert rle_to_mask(records[0]["segmentation"]).shape == (48, 64)


# Image embeddings


@pytest.fixture(scope="module")
def nano():
    model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
    pixels = np.asarray(Image.fromarray(PICTURE).resize((128, 96)))
    return SamMaskGenerator(model, processor, points_per_side=4, output_mode="coco_rle"), pixels


def test_an_embedding_stands_for_its_image_also_among_images(nano):
    generator, pixels = nano
    embedding = embed_image(generator.model, generator.image_processor, pixels)
    options = dict(pred_iou_thresh=0.0, stability_score_thresh=0.0)
    expected, mirrored = (generator.generate(image, **options) for image in (pixels, pixels[:, ::-1].copy()))
    assert expected and expected != mirrored
    assert generator.generate(embedding, **options) == expected
    mixed = generator.generate_many([pixels, embedding, embedding, pixels[:, ::-1].copy(), embedding], **options)
    assert list(mixed) == [expected, expected, expected, mirrored, expected]


def test_an_embedding_of_another_model_or_preprocessing_or_with_crops_is_refused(nano):
    generator, pixels = nano
    embedding = embed_image(generator.model, generator.image_processor, pixels)
    with pytest.raises(ValueError, match="`crop_n_layers` must be 0 for an ImageEmbedding, got 1"):
        generator.generate(embedding, crop_n_layers=1)
    with pytest.raises(ValueError, match="must come from this model's image encoder"):
        generator.generate(replace(embedding, model_fingerprint="0" * 64))
    fast = SamMaskGenerator(generator.model, SamProcessor.from_pretrained("sam-vit-nano", use_fast=True))
    with pytest.raises(ValueError, match="image_processor_type was SamImageProcessor and is SamImageProcessorFast"):
        fast.generate(embedding)


# Many images


def test_an_image_that_cannot_be_read_comes_after_the_results_of_the_one_before(tmp_path):
    results = generator(crop_n_layers=1).generate_many([PICTURE, tmp_path / "missing.png", PICTURE])
    assert next(results)
    with pytest.raises(FileNotFoundError):
        next(results)
    assert list(results) == []


def test_a_compiled_model_is_compiled_once(monkeypatch):
    """No graph breaks (fullgraph) in the encoder, and no second compilation for other images."""
    generator = SamMaskGenerator(tiny_model(vision=dict(num_hidden_layers=2)), tiny_image_processor())
    images = [PICTURE, PICTURE[::-1].copy()]
    options = dict(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    expected = list(generator.generate_many(images, **options))
    compilations = []

    def backend(graph, example_inputs):
        compilations.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(generator.model.get_image_embeddings, fullgraph=True, backend=backend)
    monkeypatch.setattr(generator.model, "get_image_embeddings", compiled)
    mine = list(generator.generate_many(images, **options))
    assert [[record["bbox"] for record in image] for image in mine] == [
        [record["bbox"] for record in image] for image in expected
    ]
    assert len(compilations) == 1
    torch._dynamo.reset()


# Fewer points


def test_adaptive_points_find_the_same_objects_with_fewer_points():
    model, part = ColourModel(), (12, 16, 20, 24)
    picture = draw((48, 64), (*LARGE, 100, 240, 0), (*part, 150, 245, 0), (*SMALL, 200, 250, 0))
    expected = generator(points_per_side=24).generate(picture)
    assert len(expected) == 3
    found = generator(model, points_per_side=24, points="adaptive", points_per_batch=16).generate(picture)
    assert boxes(found) == boxes(expected)
    assert sum(model.decoded) < 24**2 / 2
    assert model.decoded[:4] == [16, 16, 16, 16]  # the coarse grid, 8 x 8


def test_adaptive_points_want_a_square_grid():
    with pytest.raises(ValueError, match="`points` must be 'grid' with `point_grids`"):
        generator(points="adaptive", points_per_side=None, point_grids=[np.array([[0.5, 0.5]])])
    with pytest.raises(ValueError, match="`points` must be one of grid, adaptive"):
        generator(points="few")
    assert len(generator(points="adaptive", points_per_side=1).generate(PICTURE)) <= 1
