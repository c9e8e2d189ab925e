import json

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from anymask import Results
from anymask.masks.rle import rle_to_mask
from anymask.results.formats.sa1b import read_amg, read_sa1b, write_amg, write_sa1b


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
        assert {**before, "segmentation": None, "id": after["id"]} == {**after, "segmentation": None}
    assert [record["id"] for record in read.records] == [1, 2, 3, 4]


@pytest.mark.parametrize("format_name", ["sa1b", "amg", "coco"])
def test_no_number_is_none_that_json_lacks(tmp_path, format_name):
    mask = np.eye(3, 4, dtype=bool)
    record = {"segmentation": mask, "predicted_iou": float("nan"), "stability_score": np.float32("inf")}
    Results([record], (3, 4)).save(tmp_path / "a.json", format_name)
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    read = Results.load(tmp_path / "a.json", format_name)
    assert np.array_equal(read.masks[0], mask) and np.isnan(read.scores).all()


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
        ({"image": {"height": 2, "width": "3.5"}}, "whole numbers above 0, got 2 and '3.5'"),
        ({"image": IMAGE, "annotations": 3}, "the file is not understood"),
    ],
)
def test_foreign_files(document, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        read_sa1b(path)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({}, "annotation 1 has no 'segmentation'"),
        ({"segmentation": {"size": [3, 2], "counts": "6"}}, r"= \(2, 3\), got \(3, 2\)"),
        ({"segmentation": {"size": [60000, 60000], "counts": [3600000000]}}, r"= \(2, 3\), got \(60000, 60000\)"),
        ({"segmentation": {"size": [2, 3], "counts": "5"}}, "add up .* = 6, got 5"),
        ({"segmentation": {"size": [2, 3], "counts": [2, None]}}, "annotation 1"),
        ({"segmentation": {"size": [2, 3], "counts": "é"}}, "annotation 1"),
        ("text", "annotation 1"),
    ],
)
def test_a_bad_annotation_does_not_cost_the_file(annotation, message, tmp_path):
    whole = {"id": 80, "segmentation": {"size": [2, 3], "counts": "132"}}
    (tmp_path / "a.json").write_text(json.dumps({"image": IMAGE, "annotations": [annotation, whole]}))
    with pytest.warns(UserWarning, match=rf"1 of 2 annotations were passed over: .*{message}"):
        read = read_sa1b(tmp_path / "a.json")
    assert [(record["id"], record["area"]) for record in read.records] == [(80, 3)]
    write_sa1b(tmp_path / "b.json", read)
    assert json.loads((tmp_path / "b.json").read_text())["annotations"][0]["id"] == 80


def test_lists_of_metas_script(annotated, masks, tmp_path):
    write_amg(tmp_path / "a.json", annotated)
    document = json.loads((tmp_path / "a.json").read_text())
    # What `amg.py --convert-to-rle` writes: the generator's records and nothing else.
    keys = {"segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"}
    assert set(document[0]) == keys
    np.testing.assert_array_equal([rle_to_mask(record["segmentation"]) for record in document], masks)
    read = read_amg(tmp_path / "a.json")
    assert read.size_hw == annotated.size_hw
    for before, after, mask in zip(annotated.records, read.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(after["segmentation"]), mask)
        assert {**before, "segmentation": None} == {**after, "segmentation": None}


def test_an_empty_list_needs_a_size(nothing, tmp_path):
    write_amg(tmp_path / "a.json", nothing)
    with pytest.raises(ValueError, match="does not say the image's size; pass `image`, or `size_hw`"):
        read_amg(tmp_path / "a.json")
    assert read_amg(tmp_path / "a.json", (4, 6)).size_hw == (4, 6)
    assert read_amg(tmp_path / "a.json", image=np.zeros((5, 7, 3), np.uint8)).size_hw == (5, 7)
    (tmp_path / "b.json").write_text('[{"segmentation": {}}]')
    with pytest.raises(ValueError, match="record 1 has no 'size'"):
        read_amg(tmp_path / "b.json")
