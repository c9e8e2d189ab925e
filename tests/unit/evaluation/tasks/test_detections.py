"""COCO's list of results as boxes by image; what is wrong with a list is told."""

import json

import numpy as np
import pytest

from anymask.evaluation.tasks.detections import MOST_IN_AN_IMAGE, read_detections

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
}


def written(tmp_path, results):
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    (tmp_path / "boxes.json").write_text(json.dumps(results))
    return tmp_path / "boxes.json", tmp_path / "coco.json"


def result(**more):
    return {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 5], "score": 0.5, **more}


def test_boxes_by_image_the_surest_first(tmp_path):
    results = [result(), result(category_id=5, bbox=[1.5, 2, 3, 4], score=0.9), result(image_id=9)]
    found = read_detections(*written(tmp_path, results)).by_image
    assert set(found) == {"a.jpg", "b.jpg"} and found["a.jpg"].labels == ["dog", "cat"]
    np.testing.assert_array_equal(found["a.jpg"].boxes_xyxy, np.float32([[1.5, 2, 4.5, 6], [10, 20, 40, 25]]))
    assert found["a.jpg"].scores.tolist() == pytest.approx([0.9, 0.5])


def test_no_more_than_coco_counts(tmp_path):
    results = [result(score=place / 200) for place in range(150)]
    scores = read_detections(*written(tmp_path, results)).by_image["a.jpg"].scores
    assert len(scores) == MOST_IN_AN_IMAGE and scores.min() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"image_id": 7, "category_id": 3, "score": 1}], "list of results, each with .* KeyError"),
        ([result(bbox=[1, 2, 3])], "list of results"),
        ([result(image_id=8)], "result 0 has image_id 8"),
        ([result(), result(category_id=4)], "result 1 has .* category_id 4"),
        ([result(bbox=[1, 2, 0, 4])], "boxes with an area"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, results, message):
    with pytest.raises(ValueError, match=message):
        read_detections(*written(tmp_path, results))


def test_other_data_than_coco(tmp_path):
    boxes, coco = written(tmp_path, [result()])
    coco.write_text("[]")
    with pytest.raises(ValueError, match="must come with data in COCO JSON"):
        read_detections(boxes, coco)
