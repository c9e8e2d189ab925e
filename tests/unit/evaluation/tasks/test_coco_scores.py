"""AR and AP: pycocotools computes them from the same masks."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.unit.evaluation.drawn import KnowingSegmenter, cut, iou, sample

from anymask.evaluation.tasks.coco_scores import (
    ScoredImage,
    coco_scores,
    detected_rows,
    detected_summary,
    instance_rows,
    instance_summary,
    proposal_rows,
    proposal_summary,
)
from anymask.evaluation.tasks.detections import DetectionFile, Detections
from anymask.evaluation.tasks.protocols import PROTOCOLS
from anymask.masks.rle import mask_to_rle, rle_area, rle_to_coco

PAPER = PROTOCOLS["paper"]


def random_images(count, seed=0):
    """Images of random discs, found more or less exactly, some twice and some not, in two classes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:120, :160]
    images = []
    for _ in range(count):
        circles = [(*rng.uniform((0, 0), (160, 120)), rng.uniform(5, 55)) for _ in range(rng.integers(2, 6))]
        found = [(x + rng.normal(0, 3), y + rng.normal(0, 3), r) for x, y, r in circles for _ in range(rng.integers(3))]

        def discs(some):
            return [rle_to_coco(mask_to_rle(np.hypot(rows - y, columns - x) <= r)) for x, y, r in some]

        images.append(
            ScoredImage(
                (120, 160),
                discs(circles),
                rng.choice(["cat", "dog"], len(circles)).tolist(),
                discs(found),
                rng.choice(["cat", "dog"], len(found)).tolist(),
                rng.random(len(found)).tolist(),
            )
        )
    return images


def in_pycocotools(images, max_detections):
    numbers = {"cat": 1, "dog": 2}
    truth, found = [], []
    for image_id, image in enumerate(images, start=1):
        for rle, label in zip(image.truth, image.truth_labels, strict=True):
            shape = {"segmentation": rle, "area": rle_area(rle), "bbox": [0, 0, 1, 1], "iscrowd": 0}
            truth.append({"id": len(truth) + 1, "image_id": image_id, "category_id": numbers[label], **shape})
        for rle, label, score in zip(image.found, image.found_labels, image.scores, strict=True):
            found.append({"image_id": image_id, "category_id": numbers[label], "segmentation": rle, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i, "height": 120, "width": 160} for i in range(1, len(images) + 1)],
            "annotations": truth,
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "segm")
        evaluation.params.maxDets = list(max_detections)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def image_of_extremes():
    """The whole image, one pixel, and what the border cuts; found exactly, moved by a pixel, and as an empty mask."""
    masks = np.zeros((3, 120, 160), dtype=bool)
    masks[0], masks[1, 50, 60], masks[2, :40, 100:] = True, True, True
    found = np.concatenate([masks, np.roll(masks[1:], 1, axis=2), np.zeros((1, 120, 160), dtype=bool)])
    truth, shown = ([rle_to_coco(mask_to_rle(mask)) for mask in some] for some in (masks, found))
    return ScoredImage(
        (120, 160),
        truth,
        ["cat", "dog", "dog"],
        shown,
        ["cat", "dog", "dog", "dog", "dog", "cat"],
        [0.9, 0.4, 0.6, 0.8, 0.7, 1.0],
    )


@pytest.mark.parametrize("most", [(1, 10, 100), (10, 100, 1000)])
@pytest.mark.parametrize("images", [random_images(12), [image_of_extremes()], [*random_images(3), image_of_extremes()]])
def test_as_in_pycocotools(images, most):
    scores = coco_scores(images, most)
    expected = in_pycocotools(images, most)
    names = ["AP", "AP50", "AP75", "AP small", "AP medium", "AP large", *(f"AR@{count}" for count in most)]
    names += [f"AR@{most[-1]} {size}" for size in ("small", "medium", "large")]
    for name, value in zip(names, expected, strict=True):
        if most[-1] == 100 or not name.startswith("AP"):  # its AP is of the first 100 detections
            assert scores.get(name, -1) == pytest.approx(value, abs=1e-6), name


def test_nothing_found_has_no_scores():
    (image,) = random_images(1)
    assert coco_scores([ScoredImage((120, 160), image.truth, image.truth_labels, [], [], [])], (1, 10, 100)) == {}


def test_proposals():
    one = sample()
    everything, *rows = proposal_rows(KnowingSegmenter(one), one, PAPER, 0)
    assert len(everything["found"]) == 4 and everything["found_scores"] == pytest.approx([0.9, 0.9, 0.85, 0.85])
    assert [row["scores"]["best_iou@10"] for row in rows] == [1, 1]
    summary = proposal_summary([everything, *rows])
    assert summary["AR@10"] == summary["AR@1000"] == 1
    assert set(summary) == {"AR@10", "AR@100", "AR@1000", "AR@1000 small"}


def test_instances_are_refined_and_scored_by_class():
    one = sample(labels=["cat", "dog"])
    segmenter = KnowingSegmenter(one)
    rows = instance_rows(segmenter, one, PAPER, 0)
    assert [asked.has_mask for asked in segmenter.asked] == [False, True]
    for row, mask in zip(rows, one.masks, strict=True):
        assert row["scores"]["iou"] == pytest.approx(iou(cut(mask, 4), mask))
    summary = instance_summary(rows)
    thresholds = np.linspace(0.5, 0.95, 10)
    per_class = [(row["scores"]["iou"] >= thresholds - 1e-9).mean() for row in rows]
    assert summary["AP"] == pytest.approx(np.mean(per_class))


def test_boxes_of_a_detector_miss_and_invent():
    one = sample(labels=["cat", "dog"])
    boxes = np.concatenate([one.boxes_xyxy[:1], one.boxes_xyxy[:1] + [1, 2, -1, -2]])  # the dog is missed
    found = Detections(boxes.astype(np.float32), ["cat", "dog"], np.array([0.9, 0.3], np.float32))
    rows = detected_rows(DetectionFile("boxes.json", {one.name: found}), KnowingSegmenter(one), one, PAPER, 0)
    everything, cat, dog = rows
    assert everything["found_scores"] == pytest.approx([0.9, 0.3]) and everything["found_labels"] == ["cat", "dog"]
    assert cat["scores"]["iou"] == pytest.approx(iou(cut(one.masks[0], 4), one.masks[0]))
    assert dog["scores"]["iou"] == 0  # that mask lies on the cat
    passed = (cat["scores"]["iou"] >= np.linspace(0.5, 0.95, 10) - 1e-9).mean()
    assert detected_summary(rows)["AP"] == pytest.approx(passed / 2)


def test_an_image_without_a_detection():
    one = sample(labels=["cat", "dog"])
    everything, *objects = detected_rows(DetectionFile("boxes.json", {}), KnowingSegmenter(one), one, PAPER, 0)
    assert everything["found"] == [] and [row["scores"]["iou"] for row in objects] == [0, 0]
