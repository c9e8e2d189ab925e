"""The README's table of features: what our column says is there, and has tests.

The other columns were read, see docs/decisions/0034-feature-table.md; what can be said of Transformers by running it is
tested here.
"""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tests.tiny_sam import tiny_config
from transformers.models.sam.modeling_sam import SamModel as TheirModel

import anymask
from anymask.cli.main import app

REPOSITORY = Path(__file__).parents[2]

# Row of the table: what does it ("module:name", "module:name.attribute", "anymask COMMAND"), and what shows it.
EVIDENCE = {
    "points and boxes": ["anymask:SamProcessor", "anymask:SAM.predict", "tests/parity/test_model.py"],
    "any mix of prompts, prompts of different numbers, in one batch": [
        "anymask.prompts.nested:read_nested_prompts",
        "tests/unit/test_processing_sam.py",
        "tests/parity/test_differences.py",
    ],
    "a mask of its own for each prompt to start from": [
        "anymask.prompts.mask_prompts:mask_to_logits",
        "tests/unit/modeling/test_network.py",
    ],
    "segment everything": ["anymask:SamMaskGenerator", "anymask:pipeline", "tests/parity/test_mask_generation.py"],
    "its records: area, stability, point, crop": [
        "anymask.masks.record:make_record",
        "tests/unit/mask_generation/test_generator.py",
    ],
    "results as": [
        *(f"anymask:Results.{name}" for name in ("to_rle", "to_polygons", "to_label_map", "to_coco")),
        "anymask.results.formats.yolo",
        "anymask.results.formats.labelme",
        "tests/unit/results",
    ],
    "image embeddings": ["anymask:ImageEmbedding.save", "anymask:ImageEmbedding.load", "anymask:EmbeddingCache"],
    "input sizes other than 1024": ["tests/unit/modeling/test_image_encoder.py", "docs/inputs.md#rectangles"],
    "a loss from `labels`, `Trainer`": [
        "anymask:SamModel.forward",
        "anymask.training:SamDataCollator",
        "tests/unit/training/test_trainer.py",
    ],
    "adapters (LoRA)": ["anymask.training:add_adapter", "tests/unit/training/test_adapters.py"],
    "evaluation by the papers' protocols": [
        "anymask evaluate",
        "anymask.evaluation.tasks.protocols:PROTOCOLS",
        "tests/unit/evaluation/tasks/test_protocols.py",
    ],
    "ONNX, encoder and decoder apart, and a class that runs them": [
        "anymask export",
        "anymask.export.runtime:OnnxSamModel",
        "tests/unit/export/test_runtime.py",
    ],
    "tiles of large images, joined again": [
        "anymask.tiling.generator:TiledGenerator",
        "tests/unit/tiling/test_stitch.py",
    ],
    "annotating": [
        "anymask demo",
        "anymask serve",
        "anymask.integrations.cvat",
        "tests/browser/test_page.py",
        "tests/unit/integrations",
    ],
    "CT and MR volumes": ["anymask volume", "anymask.volumes.propagate:VolumePredictor", "tests/unit/volumes"],
    "loads files": [
        "anymask convert",
        "anymask.checkpoints:save_meta_checkpoint",
        "tests/unit/checkpoints/formats/test_containers.py",
        "tests/unit/checkpoints/test_saving.py",
    ],
    "command line": ["anymask segment", "anymask train", "anymask export", "tests/unit/cli/test_segment.py"],
    "text as a prompt": ["anymask:SAM.predict", "tests/unit/test_sam.py"],
    "SAM 2, tracking through videos": [],
    "small checkpoint inside": ["anymask.weights.names:WEIGHTS_FOLDER", "tests/unit/checkpoints/test_packaged.py"],
    "licence": ["LICENSE"],
}


def rows() -> list[list[str]]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = text.split("\n## What it does, and what others do\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+) \|$", table, re.MULTILINE)
    return [line.split(" | ") for line in lines if not set(line) <= set("-| ")]


def test_every_row_has_evidence():
    header, *features = rows()
    assert header[0].split("| ")[-1] == "anymask"
    assert [row[0] for row in features] == list(EVIDENCE)
    for name, own, *_ in features:
        assert (own == "no") == (EVIDENCE[name] == []), name


@pytest.mark.parametrize("evidence", sorted({item for items in EVIDENCE.values() for item in items}))
def test_evidence_is_there(evidence):
    path, _, anchor = evidence.partition("#")
    if evidence.startswith("anymask "):
        assert evidence.split()[1] in {command.name or command.callback.__name__ for command in app.registered_commands}
    elif evidence.startswith("anymask"):
        module, _, name = evidence.partition(":")
        thing = importlib.import_module(module)
        for part in filter(None, name.split(".")):
            thing = getattr(thing, part)
    elif anchor:
        assert f"\n## {anchor.capitalize()}\n" in (REPOSITORY / path).read_text(encoding="utf-8")
    else:
        assert (REPOSITORY / path).exists()


def test_the_licence():
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def test_a_class_for_a_detectors_boxes_and_names():
    assert {"boxes", "names"} <= set(inspect.signature(anymask.SAM.predict).parameters)


@pytest.mark.parity
def test_transformers_has_no_loss_and_no_other_input_sizes():
    assert "labels" not in inspect.signature(TheirModel.forward).parameters
    config = tiny_config(config_class=transformers.SamConfig)
    side = config.vision_config.image_size
    with pytest.raises(ValueError):
        TheirModel(config)(pixel_values=torch.zeros(1, 3, side, side // 2), input_points=torch.zeros(1, 1, 1, 2))
    assert not hasattr(transformers, "TFSamModel")


@pytest.mark.parity
def test_transformers_refuses_a_downscale_factor():
    from transformers import SamImageProcessor

    with pytest.raises((TypeError, ValueError)):
        SamImageProcessor().generate_crop_boxes(
            np.zeros((64, 48, 3), dtype=np.uint8), 64, crop_n_layers=1, crop_n_points_downscale_factor=2
        )
