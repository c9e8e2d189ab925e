"""The evaluation of a model, with a model that knows the answers, and its command line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anymask.evaluation.nano.evaluate import evaluate, main, parse_arguments, table
from anymask.evaluation.nano.examples import Example
from anymask.evaluation.nano.predict import score_example
from anymask.training.nano.model import nano_image_processor


class KnowingModel:
    """Answers each prompt with the square of its mask: candidate 1 is right, and 2 is what it believes in."""

    def get_image_embeddings(self, pixel_values, interpolate_pos_encoding):
        assert pixel_values.shape == (1, 3, 64, 64) and interpolate_pos_encoding
        return torch.zeros(1, 4, 8, 8)

    def __call__(self, image_embeddings, input_points, input_labels, multimask_output):
        assert input_labels.shape == input_points.shape[:3]
        prompts = input_points.shape[1]
        masks = torch.full((1, prompts, 3, 32, 32), -5.0)
        # In the model frame the 80 x 40 image is 64 x 32; low-resolution pixels are 2 model pixels.
        masks[:, 0, 1, 4:12, 4:8] = 5.0
        masks[:, 1, 1, 2:8, 10:14] = 5.0
        masks[:, :, 2] = 5.0
        scores = torch.tensor([0.1, 0.2, 0.3]).expand(1, prompts, 3)
        if not multimask_output:
            masks, scores = masks[:, :, 1:2], scores[:, :, 1:2]
        return SimpleNamespace(pred_masks=masks, iou_scores=scores)


def example():
    masks = np.zeros((2, 80, 40), dtype=bool)
    masks[0, 10:30, 10:20] = True
    masks[1, 5:20, 25:35] = True
    return Example("two", np.zeros((80, 40, 3), dtype=np.uint8), masks)


def test_scores_of_a_model_that_knows():
    records = score_example(KnowingModel(), nano_image_processor(64), example())
    assert [record["area_fraction"] for record in records] == [200 / 3200, 150 / 3200]
    for record, area in zip(records, (200, 150), strict=True):
        for prompt in ("click", "box"):
            assert record[f"{prompt}_best"] > 0.9
            assert record[f"{prompt}_single"] == record[f"{prompt}_best"]
            assert record[f"{prompt}_chosen"] == pytest.approx(area / 3200)


def test_model_and_baselines_side_by_side():
    summary = evaluate(KnowingModel(), nano_image_processor(64), [example()], baselines=True)
    assert summary["all"]["count"] == 2
    assert summary["all"]["box_filled"] == 1.0
    text = table(summary).splitlines()
    assert text[1].split() == ["masks", "2", "2"]
    assert len({len(line) for line in text}) == 1


def test_command_line_writes_json(tmp_path, capsys):
    main(["--baselines", "--scenes", "2", "--json", str(tmp_path / "scores.json")])
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["model"] is None and report["examples"] == "2 held-out scenes"
    assert 0 < report["mean_iou"]["all"]["box_ellipse"] < 1
    assert "click_felzenszwalb_fine" in capsys.readouterr().out


def test_nothing_to_score_is_an_error(capsys):
    with pytest.raises(SystemExit):
        parse_arguments([])
    assert "give --model, --baselines or both" in capsys.readouterr().err
