import json

import pytest
import yaml
from huggingface_hub import ModelCard
from tests.tiny_sam import tiny_config, tiny_model

from anymask import SamModel
from anymask.checkpoints.model_card import UNKNOWN, make_model_card, write_model_card

TRAINED = {
    "options": {
        "data": "/home/somebody/cells",
        "model": "facebook/sam-vit-base",
        "learn": "decoder",
        "recipe": "short",
        "validation": 0.25,
    },
    "before": {"objects": 32, "box_dice": 0.8, "box_iou": 0.7, "click_dice": 0.3, "click_iou": 0.2},
    "after": {"objects": 32, "box_dice": 0.92, "box_iou": 0.85, "click_dice": 0.82, "click_iou": 0.71},
}
EVALUATED = {
    "settings": {"task": "boxes", "data": "/data/held out", "protocol": "paper", "model": "run/model"},
    "samples": 20,
    "objects": 33,
    "summary": {"AR@100": 0.61},
    "groups": {
        "box": {
            "iou_answer": {"mean": 0.8512, "low": 0.801, "high": 0.893, "median": 0.9, "total": 28.0, "count": 33},
            "hausdorff95": {"mean": 4.0, "low": None, "high": None, "median": 3.0, "total": 132.0, "count": 33},
        }
    },
}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def headings(card):
    return [line.removeprefix("## ") for line in card.text.splitlines() if line.startswith("## ")]


def test_what_is_not_known_is_said_to_be_unknown():
    card = make_model_card(tiny_config(), name="me/cells")
    assert headings(card) == ["Model", "Intended use", "Training data", "Scores", "Usage", "Citation"]
    assert UNKNOWN in card.text
    assert "Not measured" in card.text
    assert 'SAM("me/cells")' in card.text
    assert "3 blocks of 36 channels, for images of 80 x 80 pixels in patches of 8" in card.text.replace("\n", " ")
    assert card.data.base_model is None
    assert card.data.tags == ["segment-anything", "sam"]


def test_reports_become_tables_and_the_hubs_metadata(tmp_path):
    training, evaluation = write(tmp_path / "training.json", TRAINED), write(tmp_path / "evaluation.json", EVALUATED)
    card = make_model_card(
        tiny_config(), name="me/cells", training=training, evaluations=[evaluation], data="2 000 cells", tags=["cells"]
    )
    assert "| Dice, one click | 0.300 | 0.820 |" in card.text
    assert "| box | iou_answer | 0.851 | 0.801 to 0.893 |" in card.text
    assert "| all | AR@100 | 0.610 | |" in card.text
    assert "hausdorff95" not in card.text
    assert "2 000 cells" in card.text
    metadata = yaml.safe_load(str(card).split("---")[1])
    assert metadata["base_model"] == "facebook/sam-vit-base"
    assert metadata["tags"] == ["segment-anything", "sam", "cells"]
    [result] = metadata["model-index"][0]["results"]
    assert result["dataset"] == {"name": "held out", "type": "held-out"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("iou_answer", 0.8512),
        ("AR@100", 0.61),
    ]


def test_data_of_a_run_are_named_without_their_folder(tmp_path):
    card = make_model_card(tiny_config(), training=write(tmp_path / "report.json", TRAINED))
    assert "`cells`, of which a share of 0.25 was held out" in card.text
    assert "somebody" not in str(card)


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"must be report\.json of `anymask evaluate`"):
        make_model_card(tiny_config(), evaluations=[path])


def test_saving_writes_a_card_where_there_is_none(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path / "cells")
    card = ModelCard((tmp_path / "cells" / "README.md").read_text())
    assert card.data.library_name == "anymask"
    assert "# cells" in card.text
    (tmp_path / "cells" / "README.md").write_text("my own")
    model.save_pretrained(tmp_path / "cells")
    assert (tmp_path / "cells" / "README.md").read_text() == "my own"
    model.save_pretrained(tmp_path / "second", is_main_process=False)
    assert not (tmp_path / "second" / "README.md").exists()


def test_a_packaged_base_is_named(tmp_path):
    model = SamModel.from_pretrained("sam-vit-nano")
    path = write_model_card(tmp_path, model.config, name="mine")
    assert "Made from `sam-vit-nano`." in path.read_text()
