"""Results against the masks that they were made of, pycocotools and hand-written values."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_masks
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SamMaskGenerator, draw_overlay
from anymask.masks.clean_up import CleanUp
from anymask.masks.polygons import polygons_to_rle
from anymask.masks.rle import mask_to_rle, rle_to_coco, rle_to_mask
from anymask.prompts.prompt import DrawnPrompts, Prompt, drawn_prompts
from anymask.results.results import Results

HEIGHT, WIDTH = 26, 37


@pytest.fixture
def masks():
    """(5, 26, 37): three overlapping rectangles of noise, an empty mask, the whole image."""
    rng = np.random.default_rng(0)
    masks = np.zeros((5, HEIGHT, WIDTH), bool)
    masks[0, 2:20, 5:30] = rng.random((18, 25)) < 0.9
    masks[1, 10:24, 20:36] = rng.random((14, 16)) < 0.8
    masks[2, 12:15, 8:28] = True
    masks[4] = True
    return masks


FORMS = {"dense": lambda mask: mask, "rle": mask_to_rle, "coco": lambda mask: rle_to_coco(mask_to_rle(mask))}


def records_of(masks, form="coco"):
    """Records as the generator makes them."""
    records = []
    for index, mask in enumerate(masks):
        rows, columns = np.nonzero(mask) if mask.any() else (np.zeros(1, int), np.zeros(1, int))
        records.append(
            {
                "segmentation": FORMS[form](mask),
                "area": int(mask.sum()),
                "bbox": [columns.min().item(), rows.min().item(), np.ptp(columns).item(), np.ptp(rows).item()],
                "predicted_iou": 0.9 - 0.1 * index,
                "point_coords": [[index + 0.5, 2.0]],
                "stability_score": 0.97,
                "crop_box": [0, 0, WIDTH, HEIGHT],
            }
        )
    return records


@pytest.fixture(params=FORMS)
def results(masks, request):
    return Results(records_of(masks, request.param), (HEIGHT, WIDTH), name="photo.jpg")


@pytest.fixture
def photo():
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_arrays(results, masks):
    np.testing.assert_array_equal(results.masks, masks)
    assert results.masks.dtype == bool
    assert results.masks is results.masks  # decoded once
    assert results.boxes_xyxy.dtype == results.scores.dtype == np.float32
    np.testing.assert_allclose(results.scores, [0.9, 0.8, 0.7, 0.6, 0.5])
    np.testing.assert_array_equal(results.boxes_xyxy[2:], [[8, 12, 27, 14], [0, 0, 0, 0], [0, 0, 36, 25]])


def test_a_sequence_of_records(masks):
    records = records_of(masks)
    results = Results(records, (HEIGHT, WIDTH), name="photo.jpg")
    assert len(results) == 5
    assert all(record is given for record, given in zip(results, records, strict=True))  # kept as given
    assert results[1] is records[1]
    assert results[np.int64(-1)] is records[-1]
    assert repr(results) == "Results(5 masks, 26 x 37, photo.jpg)"
    assert str(results).splitlines()[:2] == [repr(results), "   area  box (x, y, width, height)    IoU  stability"]
    assert str(results).splitlines()[5].split() == ["4", "0", "0,", "0,", "0,", "0", "0.600", "0.970"]
    assert str(results[:0]) == "Results(0 masks, 26 x 37, photo.jpg)"
    with pytest.raises(IndexError):
        results[5]


def test_parts_of_results(masks, photo):
    logits = torch.arange(5.0)[:, None, None].expand(5, 2, 3)
    prompts = DrawnPrompts(points_xy=np.array([[3, 4]]), labels=np.array([1]))
    results = Results(
        records_of(masks),
        (HEIGHT, WIDTH),
        image=photo,
        name="photo.jpg",
        prompts=prompts,
        timings={"encode": 0.25},
        low_res_logits=logits,
    )
    for index, expected in (
        (slice(1, 4, 2), [1, 3]),
        (slice(None, None, -1), [4, 3, 2, 1, 0]),
        ([4, 0], [4, 0]),
        ([], []),
        (np.array([-1, 1]), [4, 1]),
        (torch.tensor([2]), [2]),
        (results.scores > 0.65, [0, 1, 2]),
        ([True, False, False, True, False], [0, 3]),
        (torch.from_numpy(results.scores) < 0.75, [2, 3, 4]),
    ):
        part = results[index]
        assert [record is results[i] for record, i in zip(part, expected, strict=True)] == [True] * len(expected)
        assert part.low_res_logits[:, 0, 0].tolist() == expected
        assert (part.size_hw, part.name, part.timings) == ((HEIGHT, WIDTH), "photo.jpg", {"encode": 0.25})
        assert part.image is photo
        assert part.prompts is prompts
    for wrong in ([True, False], [7], 1.5, "a"):
        with pytest.raises(IndexError):
            results[wrong]


def test_sort(masks):
    records = records_of(masks)
    del records[0]["predicted_iou"]
    results = Results(records, (HEIGHT, WIDTH), low_res_logits=torch.arange(5.0)[:, None, None].expand(5, 2, 3))

    def order(sorted_results):
        assert sorted_results.low_res_logits[:, 0, 0].tolist() == sorted_results.prompt_numbers
        return sorted_results.prompt_numbers

    assert order(results.sort()) == np.argsort(-masks.sum(axis=(1, 2)), kind="stable").tolist()
    assert order(results.sort("predicted_iou")) == [1, 2, 3, 4, 0]
    assert order(results.sort("predicted_iou", descending=False)) == [4, 3, 2, 1, 0]
    assert (
        order(results.sort("stability_score"))
        == order(results.sort("stability_score", descending=False))
        == [0, 1, 2, 3, 4]
    )
    assert order(results.sort(lambda record: record["bbox"][0], descending=False)) == [3, 4, 0, 2, 1]
    assert len(results[:0].sort()) == 0
    with pytest.raises(ValueError, match=r"a field of the records, area, bbox, .*, got 'score'"):
        results.sort("score")


def test_results_of_one_image_are_added(masks, photo):
    first, second = (
        Results(
            records_of(part),
            (HEIGHT, WIDTH),
            image=photo,
            prompts=drawn_prompts([Prompt(((x, 4),), (1,)) for x in range(len(part))]),
            timings={"encode": 0.5, stage: 1.0},
            low_res_logits=torch.zeros(len(part), 2, 3),
        )
        for part, stage in ((masks[:2], "read"), (masks[2:], "masks"))
    )
    added = first + second
    np.testing.assert_array_equal(added.masks, masks)
    assert added.image is photo
    assert added.timings == {"encode": 1.0, "read": 1.0, "masks": 1.0}
    assert added.low_res_logits.shape == (5, 2, 3)
    assert added.prompt_numbers == added.prompts.point_prompts.tolist() == [0, 1, 2, 3, 4]
    assert (first + Results(records_of(masks), (HEIGHT, WIDTH))).low_res_logits is None
    with pytest.raises(ValueError, match="must have the image's size"):
        first + Results([{"segmentation": np.zeros((3, 4), bool)}], (3, 4))
    with pytest.raises(TypeError):
        first + [3]


def test_of_masks_that_overlap_the_better_is_kept(results, masks):
    iou = [[(a & b).sum() / max((a | b).sum(), 1) for b in masks] for a in masks]
    for most in (0.0, 0.1, 0.2, 0.3, 1.0):
        kept = []
        for index in (0, 1, 2, 3, 4):  # by falling scores
            if all(iou[index][other] <= most for other in kept):
                kept.append(index)
        assert results.without_overlaps(most).prompt_numbers == kept
    inside = np.zeros((3, HEIGHT, WIDTH), bool)
    inside[0, 2:20, 3:30] = inside[1, 5:8, 6:9] = inside[2, 1:3, 2:9] = True
    found = Results(records_of(inside), (HEIGHT, WIDTH))
    assert found.without_overlaps(0.5, "smaller").prompt_numbers == [0, 2]
    assert found.without_overlaps(0.5).prompt_numbers == [0, 1, 2]
    with pytest.raises(ValueError, match="`measure` must be one of 'iou', 'smaller', got 'ios'"):
        results.without_overlaps(0.5, "ios")
    with pytest.raises(ValueError, match="`max_overlap` must be between 0 and 1, got 70"):
        results.without_overlaps(70)


def test_area_and_box_are_filled_in_where_they_are_missing(masks):
    records = [{"segmentation": torch.from_numpy(mask), "label": "cup"} for mask in masks]
    results = Results(records, [HEIGHT, WIDTH])
    expected = records_of(masks)
    assert [record["area"] for record in results] == [record["area"] for record in expected]
    assert [record["bbox"] for record in results] == [record["bbox"] for record in expected]
    assert list(records[0]) == ["segmentation", "label"]  # the caller's stay as they are
    assert np.isnan(results.scores).all()


def test_rle_is_that_of_pycocotools(results, masks):
    rles = results.to_rle()
    theirs = coco_masks.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    assert [rle["counts"] for rle in rles] == [rle["counts"].decode() for rle in theirs]
    assert [list(rle["size"]) for rle in rles] == [rle["size"] for rle in theirs]
    np.testing.assert_array_equal(coco_masks.area(rles), masks.sum(axis=(1, 2)))
    boxes = coco_masks.toBbox(rles)
    np.testing.assert_array_equal(boxes[[0, 1, 2, 4], :2], results.boxes_xyxy[[0, 1, 2, 4], :2])
    # pycocotools counts columns and rows, Meta's boxes span their centres.
    np.testing.assert_array_equal(
        boxes[[0, 1, 2, 4], :2] + boxes[[0, 1, 2, 4], 2:], results.boxes_xyxy[[0, 1, 2, 4], 2:] + 1
    )
    back = Results([{"segmentation": rle} for rle in theirs], (HEIGHT, WIDTH))  # bytes, as pycocotools has them
    np.testing.assert_array_equal(back.masks, masks)
    assert back.to_rle() == rles


def test_polygons(results, masks):
    polygons = results.to_polygons()
    for parts, mask in zip(polygons, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(polygons_to_rle(parts, mask.shape)), mask)
    assert polygons[3] == []
    assert sum(len(part.outer_xy) for part in results.to_polygons(tolerance=2)[0]) < sum(
        len(part.outer_xy) for part in polygons[0]
    )
    assert all(part.holes_xy == [] for parts in results.to_polygons(holes=False) for part in parts)


@pytest.mark.parametrize(("priority", "bottom_to_top"), [("score", (4, 2, 1, 0)), ("small_first", (4, 0, 1, 2))])
def test_label_map(results, masks, priority, bottom_to_top):
    expected = np.zeros((HEIGHT, WIDTH), int)
    for index in bottom_to_top:
        expected[masks[index]] = index + 1
    np.testing.assert_array_equal(results.to_label_map(priority), expected)
    with pytest.warns(UserWarning, match=r"3 of 5 masks \(number 1, 2, 3\) are not in the label map, since"):
        assert np.unique(results.to_label_map("large_first")).tolist() == [5]


def test_label_map_of_every_pixel(masks):
    results = Results(records_of(masks[:3]), (HEIGHT, WIDTH))
    label_map = results.to_label_map(every_pixel=True)
    assert (label_map > 0).all()
    plain = results.to_label_map()
    np.testing.assert_array_equal(label_map[plain > 0], plain[plain > 0])


def test_dataframe(masks):
    records = records_of(masks)
    records[1] |= {"label": "cup", "point_coords": [[1, 2], [3, 4]]}
    records[2] = {key: records[2][key] for key in ("segmentation", "area", "bbox")}
    table = Results(records, (HEIGHT, WIDTH)).to_dataframe()
    # The header of Meta's metadata.csv, and the label.
    assert ",".join(table.columns) == (
        "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,stability_score,"
        "crop_box_x0,crop_box_y0,crop_box_w,crop_box_h,label"
    )
    assert table["id"].tolist() == [1, 2, 3, 4, 5]
    assert table["area"].tolist() == masks.sum(axis=(1, 2)).tolist()
    assert table["point_input_x"].isna().tolist() == [False, True, True, False, False]
    assert table["predicted_iou"].isna().tolist() == [False, False, True, False, False]
    assert table["label"][1] == "cup"


def test_without_pandas_the_extra_is_named(masks, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'anymask\[tables\]'"):
        Results(records_of(masks), (HEIGHT, WIDTH)).to_dataframe()


def test_clean_up(results, masks):
    before = [dict(record) for record in results]
    for cleaned, clean_up in (
        (results.without_specks(5), CleanUp(min_island_area=5)),
        (results.with_holes_filled(5), CleanUp(min_hole_area=6)),
    ):
        for record, old, mask in zip(cleaned, results, masks, strict=True):
            rle, changed = clean_up.apply(mask_to_rle(mask))
            expected = rle_to_mask(rle)
            (again,) = Results([record], (HEIGHT, WIDTH)).masks
            np.testing.assert_array_equal(again, expected)
            assert record["area"] == expected.sum()
            assert (record is old) == (not changed)
            assert type(record["segmentation"]) is type(old["segmentation"])
            assert record["predicted_iou"] == old["predicted_iou"]
    assert [set(record) for record in results] == [set(record) for record in before]
    assert results.without_specks(0).records == results.records
    assert results.with_holes_filled(0).records == results.records


def test_a_hole_of_exactly_the_area_is_filled_and_a_speck_of_it_stays():
    mask = np.zeros((9, 12), bool)
    mask[1:8, 1:8] = True
    mask[3, 3:5] = False
    mask[2:4, 10] = True
    results = Results([{"segmentation": mask}], mask.shape)
    assert results.with_holes_filled(1)[0]["area"] == results[0]["area"] == 49
    assert results.with_holes_filled(2)[0]["area"] == 51
    assert results.without_specks(2)[0]["area"] == 49
    assert results.without_specks(3)[0]["area"] == 47
    for call in (results.without_specks, results.with_holes_filled):
        with pytest.raises(ValueError, match="must be 0 or more pixels, got -1"):
            call(-1)


def test_plot_is_the_overlay_with_labels_and_prompts(masks, photo):
    records = records_of(masks)
    records[0]["label"] = "cup"
    prompts = DrawnPrompts(points_xy=np.array([[18, 12]]), labels=np.array([0]))
    results = Results(records, (HEIGHT, WIDTH), image=Image.fromarray(photo), prompts=prompts)

    def is_drawn(picture, **options):
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(draw_overlay(photo, masks, **options)))

    is_drawn(results.plot(), prompts=prompts)
    is_drawn(results.plot(prompts=False))
    is_drawn(results.plot(prompts=False, labels=True), labels=["cup", "2", "3", "4", "5"])
    is_drawn(results.plot(prompts=False, labels=["a", "", "", "", "e"]), labels=["a", "", "", "", "e"])
    assert np.abs(np.asarray(results.plot(np.zeros_like(photo))).astype(int) - np.asarray(results.plot())).max() > 0


def test_options_of_pictures(masks, photo, tmp_path):
    records = [{**record, "label": label} for record, label in zip(records_of(masks), "abacb", strict=True)]
    results = Results(records, (HEIGHT, WIDTH), image=photo)
    options = dict(alpha=0.8, boxes=True)
    expected = np.asarray(draw_overlay(photo, masks, colors=["red", "lime", "red", None, "lime"], **options))
    by_label = {"a": "red", "b": (0, 255, 0)}
    np.testing.assert_array_equal(np.asarray(results.plot(colors=by_label, **options)), expected)
    results.save(tmp_path / "a.png", colors=by_label, **options)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected)


def test_prompts_are_drawn_with_the_masks_that_they_asked_for(masks, photo):
    prompts = drawn_prompts([Prompt(((x, 4),), (1,), (x, 2, x + 5, 9)) for x in (3, 11, 19)])
    results = Results(records_of(masks[:3]), (HEIGHT, WIDTH), image=photo, prompts=prompts)
    some = results[[2, 0]]
    only = drawn_prompts([Prompt(((x, 4),), (1,), (x, 2, x + 5, 9)) for x in (19, 3)])
    expected = draw_overlay(photo, masks[[2, 0]], prompts=only)
    np.testing.assert_array_equal(np.asarray(some.plot()), np.asarray(expected))
    # Several masks of one prompt: it has the colour of the first.
    several = Results(
        [{**record, "prompt_index": 1} for record in records_of(masks[:3])], (HEIGHT, WIDTH), prompts=prompts
    )
    assert several.prompt_numbers == [1, 1, 1]
    assert several.plot(photo).size == (WIDTH, HEIGHT)


def test_labels_that_are_numbers_are_drawn(photo):
    mask = np.ones((HEIGHT, WIDTH), bool)
    results = Results([{"segmentation": mask, "label": 0}], (HEIGHT, WIDTH), image=photo)
    drawn = draw_overlay(photo, [mask], labels=["0"])
    np.testing.assert_array_equal(np.asarray(results.plot(labels=True)), np.asarray(drawn))


def test_notebooks_show_the_picture(masks, photo, tmp_path):
    results = Results(records_of(masks), (HEIGHT, WIDTH), image=photo)
    shown = Image.open(io.BytesIO(results._repr_png_()))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(results.plot()))
    large = Results(
        [{"segmentation": np.ones((400, 3000), bool)}], (400, 3000), image=np.zeros((400, 3000, 3), np.uint8)
    )
    assert Image.open(io.BytesIO(large._repr_png_())).size == (1024, 137)
    for image in (None, str(tmp_path / "gone.jpg"), photo[:-1]):
        assert Results(records_of(masks), (HEIGHT, WIDTH), image=image)._repr_png_() is None


def test_show_opens_the_picture(masks, photo, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda picture: shown.append(np.asarray(picture)))
    results = Results(records_of(masks), (HEIGHT, WIDTH), image=photo)
    results.show(labels=True)
    np.testing.assert_array_equal(shown, [np.asarray(results.plot(labels=True))])


def test_bad_input(masks, photo):
    records = records_of(masks)
    with pytest.raises(ValueError, match=r"height x width = \(37, 26\), but mask 0 has \(26, 37\)"):
        Results(records, (WIDTH, HEIGHT))
    with pytest.raises(ValueError, match='record 0 must be a dict with a mask as "segmentation"'):
        Results([{"area": 3}], (HEIGHT, WIDTH))
    for mask, came in (({"size": [HEIGHT, WIDTH]}, "dict"), ([[True]], "list")):
        with pytest.raises(ValueError, match=rf"record 0 must be .* array or RLE, got a {came} as its mask"):
            Results([{"segmentation": mask}], (HEIGHT, WIDTH))
    with pytest.raises(ValueError, match=r"record 1 must be a dict .* got ndarray"):
        Results([records[0], masks[0]], (HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="one entry per record, got 4 for 5"):
        Results(records, (HEIGHT, WIDTH), low_res_logits=torch.zeros(4, 2, 3))
    results = Results(records, (HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="these results hold none; pass `image`"):
        results.plot()
    with pytest.raises(ValueError, match="masks must have the size of the photo"):
        results.plot(photo[:-1])
    with pytest.raises(ValueError, match="one text per mask, got 2 for 5"):
        results.plot(photo, labels=["a", "b"])


def test_no_masks(photo):
    results = Results([], (HEIGHT, WIDTH), image=photo)
    assert len(results) == 0
    assert results.masks.shape == (0, HEIGHT, WIDTH)
    assert results.boxes_xyxy.shape == (0, 4)
    assert results.scores.shape == (0,)
    assert results.to_rle() == results.to_polygons() == results.to_polygons(2) == []
    assert results.to_coco()["annotations"] == []
    assert len(results.to_dataframe()) == 0
    assert not results.to_label_map().any()
    assert len(results.without_specks(9).with_holes_filled(9)[results.scores > 0.5][:1]) == 0
    np.testing.assert_array_equal(np.asarray(results.plot(labels=True)), photo)


@pytest.mark.parametrize("output_mode", ["binary_mask", "coco_rle", "uncompressed_rle"])
def test_records_of_the_generator(photo, output_mode):
    generator = SamMaskGenerator(tiny_model(), tiny_image_processor(), points_per_side=3)
    options = dict(pred_iou_thresh=-10.0, stability_score_thresh=0.0, output_mode=output_mode)
    records = generator.generate(photo, **options)
    results = Results(records, (HEIGHT, WIDTH), image=photo)
    assert len(results) == len(records) > 0
    assert results.masks.sum(axis=(1, 2)).tolist() == [record["area"] for record in records]
    # What the generator says is what the masks say.
    again = Results([{"segmentation": record["segmentation"]} for record in records], (HEIGHT, WIDTH))
    np.testing.assert_array_equal(again.boxes_xyxy, results.boxes_xyxy)
    assert results.plot().size == (WIDTH, HEIGHT)
