"""What settings keep, and recall and precision by hand."""

import json

import numpy as np
import pytest
import torch

from anymask.evaluation.nano.thresholds import Found, Setting, judge, main

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]])
SCORES, STABILITIES = torch.tensor([0.9, 0.8, 0.6]), torch.tensor([0.95, 0.9, 0.7])
# Rows are candidates, columns the two given masks.
IOUS = np.array([[0.76, 0.0], [0.93, 0.0], [0.0, 0.3]], dtype=np.float32)
FACADE = Found("facades", IOUS, BOXES, SCORES, STABILITIES)


def test_duplicates_and_weak_masks_go():
    assert FACADE.kept(Setting(0.5, 0.5, 0.7)).tolist() == [0, 2]
    assert FACADE.kept(Setting(0.5, 0.5, 0.95)).tolist() == [0, 1, 2]
    assert FACADE.kept(Setting(0.7, 0.5, 0.7)).tolist() == [0]
    assert FACADE.kept(Setting(0.5, 0.8, 0.95)).tolist() == [0, 1]


def test_recall_and_precision():
    scores = judge([FACADE], Setting(0.5, 0.5, 0.7))
    # IoU 0.76 passes 0.5, 0.55 ... 0.75: six of ten; the other mask is not found.
    assert scores["recall"] == pytest.approx(0.6 / 2)
    assert scores["precision"] == 0.5 and scores["masks"] == 2
    assert scores["f"] == pytest.approx(5 * 0.3 * 0.5 / (4 * 0.5 + 0.3))


def test_precision_is_not_asked_where_masks_are_missing():
    flower = Found("flowers", np.full((3, 1), 0.2, np.float32), BOXES, SCORES, STABILITIES)
    scores = judge([FACADE, flower], Setting(0.5, 0.5, 0.7))
    assert scores["precision"] == 0.5 and scores["recall"] == pytest.approx((0.3 + 0) / 2)


def test_the_command_writes_settings_best_first(data_folder, tmp_path):
    out = tmp_path / "thresholds.json"
    arguments = ["--data", str(data_folder), "--model", "sam-vit-nano", "--per-source", "1", "--points-per-side", "3"]
    main([*arguments, "--json", str(out)])
    settings = json.loads(out.read_text())["settings"]
    assert [row["f"] for row in settings] == sorted((row["f"] for row in settings), reverse=True)
