"""Boundary IoU and calibration against literals; the report counts every source once."""

import json

import numpy as np
import pytest
from tests.made_up_photographs import disc

from anymask.evaluation.nano.photographs import boundary_iou, calibration, main, read_photograph_examples, report


def test_boundary_iou_sees_the_rim_alone():
    target = np.zeros((1, 120, 160), bool)  # diagonal 200: a rim of 4 pixels
    target[0, 20:80, 30:110] = True
    hollow = target.copy()
    hollow[0, 40:60, 50:90] = False
    assert boundary_iou(target, target) == 1
    rim = 60 * 80 - 52 * 72
    hole_rim = 28 * 48 - 20 * 40
    assert boundary_iou(hollow, target)[0] == pytest.approx(rim / (rim + hole_rim))


def test_calibration_of_a_confident_model():
    numbers = calibration(np.array([0.95, 0.95, 0.15, 0.15]), np.array([0.85, 0.65, 0.15, 0.35]))
    assert numbers["bias"] == pytest.approx(0.05)
    assert numbers["mean_absolute_error"] == pytest.approx(0.15)
    assert numbers["expected_error"] == pytest.approx((2 * 0.2 + 2 * 0.1) / 4)
    assert [bin_["count"] for bin_ in numbers["bins"]] == [2, 2]


def test_every_source_counts_once():
    few, many = [{"area_fraction": 0.005, "iou": 1.0}], [{"area_fraction": 0.5, "iou": 0.0}] * 9
    result = report({"few": few, "many": many})
    assert result["mean_of_sources"]["iou"] == 0.5 and result["sizes"]["all"]["iou"] == 0.1


def test_the_command_scores_a_model(data_folder, tmp_path, capsys):
    out = tmp_path / "scores.json"
    main(["--data", str(data_folder), "--model", "sam-vit-nano", "--per-source", "1", "--json", str(out)])
    assert "mean of sources" in capsys.readouterr().out
    scores = json.loads(out.read_text())
    assert set(scores["sources"]) == {"street", "yard"} and scores["sizes"]["all"]["count"] == 3
    assert {"click", "box"} == set(scores["calibration"])


def test_photographs_of_the_training_part_in_another_frame(data_folder, tmp_path):
    numbers = []
    for side in ("160", "256"):
        out = tmp_path / f"{side}.json"
        options = ["--model", "sam-vit-nano", "--trained-on", "--per-source", "2", "--image-size", side]
        main(["--data", str(data_folder), *options, "--json", str(out)])
        numbers.append(json.loads(out.read_text())["sizes"]["all"])
    assert numbers[0]["count"] == numbers[1]["count"]
    assert numbers[0]["click_best"] != numbers[1]["click_best"]


def test_model_or_baselines(data_folder):
    with pytest.raises(SystemExit):
        main(["--data", str(data_folder)])


def test_examples_hold_the_largest_and_the_smallest_masks(data_folder):
    examples = read_photograph_examples(data_folder, per_source=2, masks_each=2)
    assert {source: len(members) for source, members in examples.items()} == {"street": 2, "yard": 2}
    areas = [mask.sum() for mask in examples["yard"][0].masks]
    assert areas == [disc((60, 80), (30, 25), 18).sum(), disc((60, 80), (20, 60), 9).sum()]


def test_the_two_parts_share_no_photograph(data_folder):
    parts = [read_photograph_examples(data_folder, trained_on=trained_on) for trained_on in (False, True)]
    for source in ("street", "yard"):
        held_out, training = ({example.name for example in part[source]} for part in parts)
        assert held_out and training and not held_out & training
