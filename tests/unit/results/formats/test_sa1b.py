import json

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from anymask.masks.rle import rle_to_mask
from anymask.results.formats.sa1b import read_sa1b, write_sa1b


def test_round_trip_keeps_everything(annotated, masks, tmp_path):
    path = tmp_path / "a.json"
    write_sa1b(path, annotated, info={"model": "nano"})
    document = json.loads(path.read_text())
    assert document["info"] == {"model": "nano"}
    assert document["image"] == {"file_name": "photo.jpg", "height": 23, "width": 31}
    assert [annotation["id"] for annotation in document["annotations"]] == [1, 2, 3, 4]
    assert [coco_masks.area(annotation["segmentation"]) for annotation in document["annotations"]] == [
        mask.sum() for mask in masks
    ]
    read = read_sa1b(path)
    assert (read.size_hw, read.name) == (annotated.size_hw, annotated.name)
    for before, after, mask in zip(annotated.records, read.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(after["segmentation"]), mask)
        assert {**before, "segmentation": None} == {**after, "segmentation": None}


def test_nothing_and_empty_masks(nothing, empty_mask, tmp_path):
    write_sa1b(tmp_path / "a.json", nothing)
    assert read_sa1b(tmp_path / "a.json") == nothing
    write_sa1b(tmp_path / "b.json", empty_mask)
    (record,) = read_sa1b(tmp_path / "b.json").records
    assert (record["area"], record["bbox"]) == (0, [0, 0, 0, 0])


IMAGE = {"height": 2, "width": 3, "file_name": "a.jpg"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "its image has no 'image'"),
        ({"image": {"height": 2}, "annotations": []}, "its image has no 'width'"),
        ({"image": {"height": 2, "width": "3"}}, "whole numbers above 0, got 2 and '3'"),
        ({"image": IMAGE}, "the file has no 'annotations'"),
        ({"image": IMAGE, "annotations": [{}]}, "annotation 1 has no 'segmentation'"),
        (
            {"image": IMAGE, "annotations": [{"segmentation": {"size": [3, 2], "counts": "6"}}]},
            r"annotation 1 is not understood: .* = \(2, 3\), got \(3, 2\)",
        ),
        ({"image": IMAGE, "annotations": [{"segmentation": {"size": [2, 3], "counts": "5"}}]}, "add up .* = 6, got 5"),
        ({"image": IMAGE, "annotations": [{"segmentation": {"size": [2, 3], "counts": [2, None]}}]}, "annotation 1"),
        ({"image": IMAGE, "annotations": [{"segmentation": {"size": [2, 3], "counts": "é"}}]}, "annotation 1"),
        ({"image": IMAGE, "annotations": ["text"]}, "annotation 1"),
    ],
)
def test_foreign_files(document, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        read_sa1b(path)
