"""Registration changes a whole process, so it is tried in one of its own, once, and the tests read what came of it."""

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SamImageProcessorFast, SamProcessor

# Prints, for a folder, which package each class comes from that Transformers gives for it.
GIVEN = """
import json, sys
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForMaskGeneration, AutoProcessor, pipeline
from transformers.models.auto.image_processing_auto import AutoImageProcessor
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

def given(folder):
    makers = {
        "config": lambda: AutoConfig.from_pretrained(folder),
        "model": lambda: AutoModel.from_pretrained(folder),
        "mask model": lambda: AutoModelForMaskGeneration.from_pretrained(folder),
        "processor": lambda: AutoProcessor.from_pretrained(folder),
        "processor's image processor": lambda: AutoProcessor.from_pretrained(folder).image_processor,
        "image processor": lambda: AutoImageProcessor.from_pretrained(folder),
        "pil": lambda: AutoImageProcessor.from_pretrained(folder, backend="pil"),
        "torchvision": lambda: AutoImageProcessor.from_pretrained(folder, backend="torchvision"),
        "pipeline": lambda: pipeline("mask-generation", model=folder),
        "pipeline's model": lambda: pipeline("mask-generation", model=folder).model,
        "pipeline's image processor": lambda: pipeline("mask-generation", model=folder).image_processor,
    }
    return {name: class_of(make) for name, make in makers.items()}

def class_of(make):
    try:
        value = make()
    except (ImportError, ValueError) as error:  # some versions of Transformers cannot do without torchvision
        return type(error).__name__
    return package(value) + "." + type(value).__name__

def package(value):
    return type(value).__module__.partition(".")[0]
"""

REGISTERED = """
import numpy as np
from anymask import SamVisionConfig, SamVisionModel, register_with_transformers
from transformers.models.sam.modeling_sam import SamModel as TheirModel

from transformers import SamHQConfig, SamHQProcessor, SamImageProcessorPil

folder, vision_folder, hq_folder, fast_folder = sys.argv[1:]
image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)

def given_for_hq():
    processor = AutoProcessor.from_pretrained(hq_folder)
    inputs = processor(image, input_points=[[[10, 15]]], return_tensors="pt")
    return {
        "processor": class_of(lambda: processor),
        "its image processor": class_of(lambda: processor.image_processor),
        "image processor": class_of(lambda: AutoImageProcessor.from_pretrained(hq_folder)),
        "torchvision": class_of(lambda: AutoImageProcessor.from_pretrained(hq_folder, backend="torchvision")),
        "pil": class_of(lambda: AutoImageProcessor.from_pretrained(hq_folder, backend="pil")),
        "points": inputs["input_points"].tolist(),
        "pixels": inputs["pixel_values"].sum().item(),
    }

small = dict(size={"longest_edge": 32}, pad_size={"height": 32, "width": 32})
SamHQProcessor(SamImageProcessorPil(**small)).save_pretrained(hq_folder)
SamHQConfig().save_pretrained(hq_folder)
hq_before = given_for_hq()
register_with_transformers()
hq_after = given_for_hq()
once = given(folder)
fast = given(fast_folder)
register_with_transformers()
twice = given(folder)

config = SamVisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=4,
                         window_size=4, global_attn_indexes=(0,), output_channels=16)
SamVisionModel(config).save_pretrained(vision_folder)

their_processor = transformers.SamImageProcessorPil.from_pretrained(folder)
theirs = pipeline("mask-generation", model=TheirModel.from_pretrained(folder), image_processor=their_processor)

found = pipeline("mask-generation", model=folder)(
    image, points_per_crop=3, pred_iou_thresh=-99, stability_score_thresh=0
)
print(json.dumps({
    "hq before": hq_before,
    "hq after": hq_after,
    "fast": fast,
    "once": once,
    "twice": twice,
    "vision": package(AutoModel.from_pretrained(vision_folder)),
    "theirs": package(theirs),
    "shapes": sorted({mask.shape for mask in found["masks"]}),
    "counts": [len(found["masks"]), len(found["scores"])],
}))
"""

OURS = {
    "config": "anymask.SamConfig",
    "model": "anymask.SamModel",
    "mask model": "anymask.SamModel",
    "processor": "anymask.SamProcessor",
    "image processor": "anymask.SamImageProcessor",
    "pil": "anymask.SamImageProcessor",
    "torchvision": "anymask.SamImageProcessor",
    "pipeline's image processor": "anymask.SamImageProcessor",
    "processor's image processor": "anymask.SamImageProcessor",
    "pipeline": "anymask.MaskGenerationPipeline",
    "pipeline's model": "anymask.SamModel",
}


def run_python(code: str, *arguments: str) -> Any:
    """The JSON that a fresh process prints; a warning there is an error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """A folder with a small random SAM and its processor."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model().save_pretrained(folder)
    SamProcessor(tiny_image_processor()).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def registered(checkpoint, tmp_path_factory) -> dict:
    fast = tmp_path_factory.mktemp("fast")
    tiny_model().save_pretrained(fast)
    options = {**tiny_image_processor().to_dict(), "image_processor_type": "SamImageProcessorFast"}
    SamProcessor(SamImageProcessorFast.from_dict(options)).save_pretrained(fast)
    folders = (checkpoint, tmp_path_factory.mktemp("vision"), tmp_path_factory.mktemp("hq"), fast)
    return run_python(GIVEN + REGISTERED, *map(str, folders))


def test_importing_everything_changes_nothing(checkpoint):
    code = GIVEN + (
        "before = given(sys.argv[1])\n"
        "import anymask, anymask.registration\n"
        "for name in anymask.__all__: getattr(anymask, name)\n"
        "print(json.dumps([before, given(sys.argv[1])]))\n"
    )
    before, after = run_python(code, checkpoint)
    assert after == before
    assert before["model"] == "transformers.SamModel"


def test_registering_gives_our_classes(registered):
    assert registered["once"] == OURS


def test_a_checkpoint_has_one_preprocessing_whatever_loads_it(registered):
    names = [name for name in OURS if "image processor" in name or name in ("pil", "torchvision")]
    assert {registered["once"][name] for name in names} == {"anymask.SamImageProcessor"}
    assert {registered["fast"][name] for name in names} == {"anymask.SamImageProcessorFast"}


def test_sam_hq_is_left_alone(registered):
    assert registered["hq after"] == registered["hq before"]
    assert registered["hq after"]["processor"] == "transformers.SamHQProcessor"


def test_registering_twice_is_registering_once(registered):
    assert registered["twice"] == registered["once"]


def test_vision_checkpoint_gives_the_vision_model(registered):
    assert registered["vision"] == "anymask"


def test_other_models_keep_their_pipeline(registered):
    assert registered["theirs"] == "transformers"


def test_registered_pipeline_segments(registered):
    assert registered["shapes"] == [[20, 30]]
    assert registered["counts"][0] == registered["counts"][1] > 0
