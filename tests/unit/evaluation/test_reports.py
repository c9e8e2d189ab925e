"""Statistics of a report against NumPy, and what its text says."""

import numpy as np
import pytest

from anymask.evaluation.reports import EXPLANATIONS, statistics


def rows_of(values, samples):
    return [{"sample": name, "scores": {"iou": value}} for value, name in zip(values, samples, strict=True)]


def test_mean_median_total():
    row = statistics(rows_of([0.1, 0.5, 0.9, 0.9], "abcd"), seed=0)["iou"]
    assert (row["count"], row["mean"], row["median"], row["total"]) == (4, pytest.approx(0.6), 0.7, pytest.approx(2.4))


def test_interval_is_that_of_the_mean():
    """With one object per image and many images the interval is mean +- 1.96 standard errors."""
    values = np.random.default_rng(1).normal(0.6, 0.2, 900)
    row = statistics(rows_of(values, map(str, range(900))), seed=0)["iou"]
    error = values.std() / 30
    assert row["low"] == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert row["high"] == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert row == statistics(rows_of(values, map(str, range(900))), seed=0)["iou"]
    assert row["low"] != statistics(rows_of(values, map(str, range(900))), seed=1)["iou"]["low"]


def test_objects_of_one_image_are_not_independent():
    values = np.repeat(np.random.default_rng(1).random(20), 30)
    apart = statistics(rows_of(values, map(str, range(600))), seed=0)["iou"]
    together = statistics(rows_of(values, [str(index // 30) for index in range(600)]), seed=0)["iou"]
    assert together["high"] - together["low"] > 3 * (apart["high"] - apart["low"])


def test_one_image_has_no_interval():
    row = statistics(rows_of([0.2, 0.4], "aa"), seed=0)["iou"]
    assert row["low"] is row["high"] is None and row["mean"] == pytest.approx(0.3)
    assert statistics([], seed=0) == {}


def test_every_score_is_explained():
    from tests.unit.evaluation.drawn import KnowingSegmenter, sample

    from anymask.evaluation.tasks.coco_scores import instance_rows, proposal_rows
    from anymask.evaluation.tasks.interactive import click_rows, mask_rows
    from anymask.evaluation.tasks.protocols import PROTOCOLS

    one = sample()
    names = {
        name.split("@")[0]
        for function, protocol in (
            (click_rows, "segnext"),
            (mask_rows, "paper"),
            (instance_rows, "paper"),
            (proposal_rows, "paper"),
        )
        for row in function(KnowingSegmenter(one), one, PROTOCOLS[protocol], 0)
        for name in row["scores"]
    }
    unknown = {name for name in names if name not in EXPLANATIONS and name.rstrip("0123456789") not in EXPLANATIONS}
    assert not unknown
