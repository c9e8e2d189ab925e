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
    assert second == nothing
    assert third.records[0]["label"] == "cup"
    for before, after, mask in zip(annotated.records, first.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(after["segmentation"]), mask)
        assert {"label": "object", **before, "segmentation": None} == {**after, "segmentation": None}


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


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"annotations": []}, "the file has no 'images'"),
        ({"images": [IMAGE]}, "the file has no 'annotations'"),
        ({"images": [IMAGE, IMAGE], "annotations": []}, "image 2 .* an earlier image has it"),
        ({"images": [{"id": 7, "height": 2, "width": 0}], "annotations": []}, "image 1 .* above 0, got 2 and 0"),
        ({"images": [IMAGE], "annotations": [{"image_id": 8}]}, "annotation 1 .* its image_id 8"),
        ({"images": [IMAGE], "annotations": [{"image_id": 7}]}, "annotation 1 has no 'segmentation'"),
        ({"images": [IMAGE], "annotations": [{"image_id": 7, "segmentation": [[1, 2, 3]]}]}, "annotation 1 is not"),
        ({"images": [IMAGE], "annotations": [{"image_id": 7, "segmentation": [["a", 2]]}]}, "annotation 1 is not"),
        ({"images": [IMAGE], "annotations": [{"image_id": 7, "segmentation": [[0, 0, 2, 2]]}]}, "3 vertices, got 2"),
        (
            {"images": [IMAGE], "annotations": [{"image_id": 7, "segmentation": [[1, 2, 3, 4, 5, float("nan")]]}]},
            "finite",
        ),
        ({"images": [IMAGE], "annotations": [], "categories": [{}]}, "the file has no 'id'"),
    ],
)
def test_foreign_files(document, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        read_coco(tmp_path / "a.json")
