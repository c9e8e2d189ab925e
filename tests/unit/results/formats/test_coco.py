"""COCO JSON against pycocotools, which reads the files, and hand-written documents."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.results.formats.annotated_image import AnnotatedImage
from anymask.results.formats.coco import coco_document, read_coco, write_coco


@pytest.fixture
def other():
    return AnnotatedImage([make_record(mask_to_rle(np.ones((4, 6), bool)), label="cup")], (4, 6), "other.png")


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_pycocotools_reads_the_same_masks_and_boxes(annotated, masks, other, segmentation, tmp_path, capsys):
    write_coco(tmp_path / "a.json", [annotated, other], segmentation=segmentation)
    data = COCO(tmp_path / "a.json")
    assert [image["file_name"] for image in data.imgs.values()] == ["photo.jpg", "other.png"]
    assert [category["name"] for category in data.cats.values()] == ["object", "cup", "sea lion"]
    annotations = data.imgToAnns[1]
    for annotation, mask in zip(annotations, masks, strict=True):
        rle = data.annToRLE(annotation)
        np.testing.assert_array_equal(rle_to_mask(rle), mask)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert annotation["area"] == mask.sum()
    assert [annotation["category_id"] for annotation in annotations] == [1, 2, 3, 1]
    assert annotations[1]["score"] == pytest.approx(0.8)
    capsys.readouterr()  # pycocotools prints


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_round_trip(annotated, masks, other, nothing, segmentation, tmp_path):
    write_coco(tmp_path / "a.json", [annotated, nothing, other], segmentation=segmentation)
    first, second, third = read_coco(tmp_path / "a.json")
    assert (first.size_hw, first.name) == (annotated.size_hw, annotated.name)
    assert (second.records, second.size_hw, second.name) == ([], nothing.size_hw, nothing.name)
    assert third.records[0]["label"] == "cup"
    assert [image.image_info for image in (first, second, third)] == [{"id": 1}, {"id": 2}, {"id": 3}]
    facts = [{key: record[key] for key in ("id", "category_id", "iscrowd")} for record in first.records]
    assert facts == [{"id": i, "category_id": c, "iscrowd": 0} for i, c in ((1, 1), (2, 2), (3, 3), (4, 1))]
    for before, after, mask in zip(annotated.records, first.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(after["segmentation"]), mask)
        assert {"label": "object", **before, "segmentation": None}.items() <= {**after, "segmentation": None}.items()


def test_empty_mask(empty_mask, tmp_path):
    for segmentation in ("rle", "polygons"):
        (annotation,) = coco_document([empty_mask], segmentation=segmentation)["annotations"]
        assert (annotation["area"], annotation["bbox"]) == (0, [0, 0, 0, 0])
        write_coco(tmp_path / "a.json", [empty_mask], segmentation=segmentation)
        assert read_coco(tmp_path / "a.json")[0].records[0]["area"] == 0


def test_class_names_are_the_categories_in_order(annotated):
    names = ["sea lion", "dog", "object", "cup"]
    document = coco_document([annotated], class_names=names)
    assert [category["name"] for category in document["categories"]] == names
    assert [annotation["category_id"] for annotation in document["annotations"]] == [3, 4, 1, 3]
    with pytest.raises(ValueError, match="must hold every label, but 'object' is missing"):
        coco_document([annotated], class_names=["cup", "sea lion"])


def test_polygons_of_others_are_united_and_filled_by_pixel_centres(tmp_path):
    document = {
        "images": [{"id": "x", "height": 5, "width": 8, "file_name": "a.jpg"}],
        "annotations": [
            {"image_id": "x", "segmentation": [[0.6, 0.2, 3.4, 0.2, 3.4, 2.9, 0.6, 2.9], [2, 1, 6, 1, 6, 3, 2, 3]]}
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    ((record,),) = [image.records for image in read_coco(tmp_path / "a.json")]
    expected = np.zeros((5, 8), bool)
    expected[0:3, 1:3] = True
    expected[1:3, 2:6] = True
    np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), expected)
    assert "label" not in record


def test_unknown_kind_of_segmentation(nothing):
    with pytest.raises(ValueError, match='must be "rle" or "polygons", got \'polygon\''):
        coco_document([nothing], segmentation="polygon")


IMAGE = {"id": 7, "height": 2, "width": 3}


SQUARE = {"image_id": 7, "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]}


def read(document, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(document))
    return read_coco(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"annotations": []}, "the file has no 'images'"),
        ({"images": 3}, "the file is not understood"),
        ({"images": [IMAGE], "annotations": 3}, "the file is not understood"),
    ],
)
def test_foreign_files(document, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(document, tmp_path)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 8}, "annotation 1 .* its image_id 8"),
        ({}, "annotation 1 has no 'image_id'"),
        ("text", "annotation 1 is not understood"),
        ({"image_id": 7}, "annotation 1 has no 'segmentation'"),
        ({"image_id": 7, "segmentation": [[1, 2, 3]]}, "annotation 1 is not understood"),
        ({"image_id": 7, "segmentation": [["a", 2]]}, "annotation 1 is not understood"),
        ({"image_id": 7, "segmentation": [[0, 0, 2, 2]]}, "3 vertices, got 2"),
        ({"image_id": 7, "segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "finite"),
        ({"image_id": 7, "bbox": [1, 0, None, 2]}, "annotation 1 is not understood"),
        ({"image_id": 7, "segmentation": {"size": [60000, 60000], "counts": [3600000000]}}, r"image's size.*\(2, 3\)"),
        ({"image_id": 7, "segmentation": {"size": [2, 3]}}, "annotation 1 has no 'counts'"),
    ],
)
def test_a_bad_annotation_does_not_cost_the_file(annotation, message, tmp_path):
    document = {"images": [IMAGE], "annotations": [annotation, SQUARE]}
    with pytest.warns(UserWarning, match=rf"a\.json: 1 of 2 annotations were passed over: .*{message}"):
        (image,) = read(document, tmp_path)
    assert [record["area"] for record in image.records] == [4]


def test_bad_images_and_categories_do_not_cost_the_file(tmp_path):
    images = [{"id": 5, "height": 2, "width": 0}, IMAGE, IMAGE]
    document = {"images": images, "annotations": [SQUARE], "categories": [{}]}
    with pytest.warns(UserWarning, match="passed over") as warned:
        (image,) = read(document, tmp_path)
    assert len(image.records) == 1
    texts = [str(warning.message) for warning in warned]
    assert any("2 of 3 images" in text and "above 0, got 2 and 0" in text and "earlier image" in text for text in texts)
    assert any("1 of 1 categories" in text for text in texts)


def test_dialects(tmp_path):
    image = {"id": "7", "height": "5", "width": 8.0, "file_name": "a.jpg", "license": 3}
    forms = {
        "flat": {"segmentation": [2, 1, 5, 1, 5, 4, 2, 4]},
        "box": {"bbox": [2, 1, 3, 3]},
        "box as text": {"bbox": ["2", "1", "3.0", 3], "segmentation": []},
        "null": {"bbox": [2, 1, 3, 3], "segmentation": None},
        "degenerate part": {"segmentation": [[0, 0, 1, 1], [2, 1, 5, 1, 5, 4, 2, 4]]},
    }
    annotations = [{"image_id": 7, **form} for form in forms.values()]
    with pytest.warns(UserWarning, match="3 of 5 annotations have a box and no mask; their masks are their boxes"):
        (found,) = read({"images": [image], "annotations": annotations}, tmp_path)
    assert (found.size_hw, found.image_info) == ((5, 8), {"id": "7", "license": 3})
    expected = np.zeros((5, 8), bool)
    expected[1:4, 2:5] = True
    for name, record in zip(forms, found.records, strict=True):
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), expected, err_msg=name)
    # Lists that are missing or null are empty.
    assert read({"images": [image]}, tmp_path)[0].records == []
    assert read({"images": [image], "annotations": None, "categories": None}, tmp_path)[0].records == []


def test_ids_crowds_and_groups_of_others_survive(tmp_path):
    document = {
        "images": [
            {**IMAGE, "id": 4711, "file_name": "a.jpg", "license": 3},
            {**IMAGE, "id": "b", "file_name": "b.jpg"},
        ],
        "annotations": [
            {**SQUARE, "id": 90, "image_id": 4711, "category_id": 18, "iscrowd": 1, "attributes": {"occluded": True}},
            {
                **SQUARE,
                "id": 12,
                "image_id": "b",
                "category_id": 44,
                "iscrowd": 0,
                "score": 0.25,
                "predicted_iou": 0.75,
            },
        ],
        "categories": [{"id": 44, "name": "cup", "supercategory": "kitchen"}, {"id": 18, "name": "dog"}],
    }
    again = coco_document(read(document, tmp_path), segmentation="polygons")
    assert again["images"] == document["images"]
    for before, after in zip(document["annotations"], again["annotations"], strict=True):
        assert {**before, "segmentation": None}.items() <= {**after, "segmentation": None}.items()
    assert sorted(again["categories"], key=lambda category: -category["id"]) == document["categories"]


def test_ids_are_only_ones(annotated, masks):
    annotated.records[1]["id"] = annotated.records[2]["id"] = 2
    annotated.records[0]["category_id"] = annotated.records[1]["category_id"] = 5
    document = coco_document([annotated, annotated])
    assert [annotation["id"] for annotation in document["annotations"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [image["id"] for image in document["images"]] == [1, 2]
    assert [(category["id"], category["name"]) for category in document["categories"]] == [
        (5, "5"), (1, "cup"), (2, "sea lion"), (3, "object"),
    ]  # fmt: skip


def test_labels_that_are_numbers(annotated):
    for record, label in zip(annotated.records, (3, 0, np.int64(3), "3"), strict=True):
        record["label"] = label
    document = coco_document([annotated])
    assert [category["name"] for category in document["categories"]] == ["3", "0"]
    assert [annotation["category_id"] for annotation in document["annotations"]] == [3, 0, 3, 3]


def test_class_names_by_number(annotated):
    document = coco_document([annotated], class_names={7: "cup", 2: "object", 9: "sea lion"})
    assert [annotation["category_id"] for annotation in document["annotations"]] == [2, 7, 9, 2]
