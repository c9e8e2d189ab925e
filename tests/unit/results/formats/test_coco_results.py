"""Lists of results against pycocotools, which loads them beside their data set."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from anymask.masks.rle import rle_to_mask
from anymask.results.formats.coco import read_coco, write_coco
from anymask.results.formats.coco_results import (
    coco_results_of,
    read_coco_results,
    read_coco_results_of,
    write_coco_results,
)


@pytest.fixture
def dataset(annotated, tmp_path):
    """A data set of one image, with ids of its own."""
    annotated.image_info["id"] = 4711
    annotated.records[1]["category_id"] = 44
    write_coco(tmp_path / "dataset.json", [annotated])
    return tmp_path / "dataset.json"


def test_pycocotools_loads_them(dataset, masks, tmp_path, capsys):
    write_coco_results(tmp_path / "a.json", read_coco(dataset))
    loaded = COCO(dataset).loadRes(str(tmp_path / "a.json"))
    results = loaded.imgToAnns[4711]
    assert [result["score"] for result in results] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert [loaded.cats[result["category_id"]]["name"] for result in results] == ["object", "cup", "sea lion", "object"]
    for result, mask in zip(results, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(loaded.annToRLE(result)), mask)
    capsys.readouterr()  # pycocotools prints


def test_round_trip(dataset, masks, tmp_path):
    write_coco_results(tmp_path / "a.json", read_coco(dataset))
    (image,) = read_coco_results(tmp_path / "a.json", dataset)
    assert (image.name, image.size_hw, image.image_info) == ("photo.jpg", (23, 31), {"id": 4711})
    assert [record["label"] for record in image.records] == ["object", "cup", "sea lion", "object"]
    assert [record["predicted_iou"] for record in image.records] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    for record, mask in zip(image.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), mask)
    # Without the data set the masks say the size, and numbers are names.
    alone = read_coco_results_of(tmp_path / "a.json")
    assert (alone.name, alone.size_hw, alone.image_info) == (None, (23, 31), {"id": 4711})
    assert [record["category_id"] for record in alone.records] == [1, 44, 2, 1]
    assert coco_results_of([alone]) == coco_results_of([image])


def test_boxes_and_bad_results(dataset, tmp_path):
    results = [{"image_id": 4711, "category_id": 44, "bbox": [2, 3, 4, 5], "score": 0.5}, {"image_id": 3}, "text"]
    (tmp_path / "a.json").write_text(json.dumps(results))
    with pytest.warns(UserWarning, match="of 3 results") as warned:
        image = read_coco_results_of(tmp_path / "a.json", dataset=dataset)
    assert [(record["area"], record["label"]) for record in image.records] == [(20, "cup")]
    texts = " ".join(str(warning.message) for warning in warned)
    assert "2 of 3 results were passed over: result 2 is not understood: its image_id 3 must be" in texts
    assert "1 of 3 results have a box and no mask" in texts
    with pytest.warns(UserWarning, match=r"3 of 3 results .* result 1 has no 'segmentation'"):
        assert read_coco_results(tmp_path / "a.json") == []


def test_one_image_of_several(annotated, tmp_path):
    write_coco_results(tmp_path / "a.json", [annotated, annotated])
    with pytest.raises(ValueError, match=r"must hold results of one image, got them for \[1, 2\]; pass the `image_id`"):
        read_coco_results_of(tmp_path / "a.json")
    assert read_coco_results_of(tmp_path / "a.json", image_id=2).image_info == {"id": 2}


def test_scores_are_needed(annotated):
    del annotated.records[2]["predicted_iou"]
    with pytest.raises(ValueError, match="a score for every mask, but mask 3 has none"):
        coco_results_of([annotated])


def test_an_object_is_no_list(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="a list of COCO results, a list in brackets, got a dict"):
        read_coco_results(tmp_path / "a.json")
