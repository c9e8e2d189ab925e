"""Detections of supervision, against supervision's own ways of making them; classes; text tables."""

import sys
import warnings

import numpy as np
import pytest
import torch

from anymask.masks.rle import mask_to_rle
from anymask.results.results import Results

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that OpenCV would be quicker
    import supervision as sv

HEIGHT, WIDTH = 21, 34


@pytest.fixture
def results():
    """A small cup, a large dog, another cup: not in the order of their areas."""
    masks = np.zeros((3, HEIGHT, WIDTH), bool)
    masks[0, 2:5, 3:9] = masks[1, 4:20, 1:30] = masks[2, 10:14, 20:31] = True
    labels = ("cup", "dog", "cup")
    records = [
        {"segmentation": mask_to_rle(mask), "label": label, "predicted_iou": 0.5 + i / 10, "stability_score": 0.9}
        for i, (mask, label) in enumerate(zip(masks, labels, strict=True))
    ]
    return Results(records, (HEIGHT, WIDTH))


def test_detections_are_in_the_order_of_the_records(results):
    detections = results.to_supervision()
    assert isinstance(detections, sv.Detections)
    np.testing.assert_array_equal(detections.mask, results.masks)
    np.testing.assert_array_equal(detections.xyxy, sv.mask_to_xyxy(np.asarray(results.masks)))
    np.testing.assert_allclose(detections.confidence, [0.5, 0.6, 0.7])
    assert detections.class_id.tolist() == [0, 1, 0]
    assert detections.data["class_name"].tolist() == ["cup", "dog", "cup"]
    np.testing.assert_allclose(detections.data["stability_score"], 0.9)
    # supervision's own reader of such records sorts them by area: the same detections, in another order.
    dense = [{**record, "segmentation": mask} for record, mask in zip(results, np.asarray(results.masks), strict=True)]
    theirs = sv.Detections.from_sam(dense)
    np.testing.assert_array_equal(theirs.mask, detections.mask[[1, 2, 0]])
    np.testing.assert_array_equal(theirs.xyxy, detections.xyxy[[1, 2, 0]])
    # What is done with them keeps names and masks together.
    dogs = detections[detections.data["class_name"] == "dog"]
    np.testing.assert_array_equal(dogs.mask[0], results.masks[1])
    assert detections.area.tolist() == [record["area"] for record in results]


def test_classes_have_the_numbers_that_they_came_with(results):
    results[1]["category_id"] = 18
    assert results.to_supervision().class_id.tolist() == [0, 18, 0]
    assert results.names == {0: "cup", 18: "dog"}
    for record, label in zip(results, (3, 0, None), strict=True):
        record.pop("category_id", None)
        record["label"] = label
    assert results.to_supervision().class_id.tolist() == [3, 0, 1]
    assert results.names == {3: "3", 0: "0", 1: "object"}


def test_confidence_is_a_detectors_or_the_models_or_none(results):
    results[0]["score"] = 0.25
    np.testing.assert_allclose(results.to_supervision().confidence, [0.25, 0.6, 0.7])
    np.testing.assert_allclose(results.boxes.conf, [0.25, 0.6, 0.7])
    np.testing.assert_allclose(results.scores, [0.5, 0.6, 0.7])
    del results[1]["predicted_iou"]
    assert results.to_supervision().confidence is None


def test_no_masks(results):
    detections = results[:0].to_supervision()
    assert len(detections) == 0
    assert detections.mask.shape == (0, HEIGHT, WIDTH)


def test_without_supervision_the_extra_is_named(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install 'anymask\[supervision\]'"):
        results.to_supervision()


def test_text_table(results):
    assert str(results).splitlines() == [
        "Results(3 masks, 21 x 34)",
        "   label  area  box (x, y, width, height)    IoU  stability",
        "1    cup    18                 3, 2, 5, 2  0.500      0.900",
        "2    dog   464               1, 4, 28, 15  0.600      0.900",
        "3    cup    44              20, 10, 10, 3  0.700      0.900",
    ]
    many = Results([{"segmentation": np.ones((2, 3), bool)}] * 35, (2, 3))
    lines = str(many).splitlines()
    assert lines[1].split() == ["area", "box", "(x,", "y,", "width,", "height)"]
    assert (lines[31].split()[0], lines[32], len(lines)) == ("30", "... and 5 more", 33)


def test_names_of_ultralytics(results):
    boxes = results.boxes
    assert len(boxes) == 3
    np.testing.assert_array_equal(boxes.xyxy.cpu().numpy(), results.boxes_xyxy)
    assert boxes.xywh[1].tolist() == [15, 11.5, 28, 15]
    torch.testing.assert_close(boxes.xywhn * torch.tensor([34, 21, 34, 21]), boxes.xywh)
    torch.testing.assert_close(boxes.xyxyn * torch.tensor([34, 21, 34, 21]), boxes.xyxy)
    assert [results.names[int(number)] for number in boxes.cls] == ["cup", "dog", "cup"]
    assert boxes.data.shape == (3, 6)
    assert boxes.id is None
