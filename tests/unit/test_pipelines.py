"""`anymask.pipeline` on a tiny model."""

import inspect

import numpy as np
import pytest
import torch
import transformers
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SamConfig, SamImageProcessor, SamImageProcessorFast, SamProcessor
from anymask.pipelines import MaskGenerationPipeline, pipeline


@pytest.fixture
def checkpoint(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_image_processor().save_pretrained(tmp_path)
    return tmp_path


ANYTHING = dict(points_per_side=3, pred_iou_thresh=-1, stability_score_thresh=0, output_mode="coco_rle")


def test_from_a_folder(checkpoint):
    photo = np.random.randint(0, 256, (45, 60, 3), dtype=np.uint8)
    pipe = pipeline(task="mask-generation", model=str(checkpoint), points_per_batch=256, dtype="auto")
    assert pipe.model.dtype == torch.float32
    output = pipe(photo, **ANYTHING)
    assert len(output["masks"]) >= 1
    passed = pipeline("mask-generation", model=pipe.model, image_processor=tiny_image_processor())
    assert passed(photo, **ANYTHING)["masks"] == output["masks"]
    by_name = pipeline(model=pipe.model)  # the model remembers where it came from
    assert by_name(photo, **ANYTHING)["masks"] == output["masks"]


def test_in_half_precision(checkpoint):
    photo = np.random.randint(0, 256, (45, 60, 3), dtype=np.uint8)
    pipe = pipeline(model=checkpoint, dtype=torch.bfloat16, model_kwargs={"attn_implementation": "eager"})
    assert pipe.model.dtype == torch.bfloat16
    output = pipe(photo, **ANYTHING)
    assert output["scores"].dtype == torch.float32
    assert len(output["masks"]) >= 1


def test_a_model_made_from_scratch_needs_its_processor():
    with pytest.raises(ValueError, match="`image_processor` must be given"):
        pipeline(model=tiny_model())


def test_rectangles_without_padding():
    processor = SamImageProcessor(size={"longest_edge": 64}, pad_size=None, size_divisor=8)
    pipe = pipeline(model=tiny_model(), image_processor=processor)
    photo = np.random.randint(0, 256, (30, 60, 3), dtype=np.uint8)
    output = pipe([photo, photo.transpose(1, 0, 2)], batch_size=2, output_bboxes_mask=True, **ANYTHING)
    assert [result["masks"][0]["size"] for result in output] == [[30, 60], [60, 30]]


def test_signature_is_that_of_transformers():
    """Those that transformers has no keyword for, but takes, come after: they are given by name alone."""
    ours, theirs = (
        list(inspect.signature(function).parameters.values()) for function in (pipeline, transformers.pipeline)
    )
    positional = [parameter.name for parameter in ours if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert positional == [parameter.name for parameter in theirs if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]


def test_by_position(checkpoint):
    config = SamConfig.from_pretrained(checkpoint)
    config.mask_generation = {"points_per_side": 2}
    pipe = pipeline("mask-generation", checkpoint, config, None, None, tiny_image_processor(resample=3))
    assert pipe.image_processor.resample == 3
    assert pipe.model.config.mask_generation == {"points_per_side": 2}
    assert pipeline(None, checkpoint, str(checkpoint)).task == "mask-generation"


@pytest.mark.parametrize("name", ["image_processor", "feature_extractor", "processor"])
def test_names_of_the_processor(checkpoint, name):
    image_processor = tiny_image_processor(resample=3)
    given = SamProcessor(image_processor) if name == "processor" else image_processor
    assert pipeline(model=checkpoint, **{name: given}).image_processor is image_processor
    assert pipeline(model=checkpoint, **{name: str(checkpoint)}).image_processor.resample == 2


def test_use_fast(checkpoint):
    assert type(pipeline(model=checkpoint).image_processor) is SamImageProcessor
    assert type(pipeline(model=checkpoint, use_fast=True).image_processor) is SamImageProcessorFast
    tiny_image_processor(processor_class=SamImageProcessorFast).save_pretrained(checkpoint)
    assert type(pipeline(model=checkpoint).image_processor) is SamImageProcessorFast
    assert type(pipeline(model=checkpoint, use_fast=False).image_processor) is SamImageProcessor


def test_what_transformers_takes_beside(checkpoint):
    class Ours(MaskGenerationPipeline):
        pass

    pipe = pipeline(
        model=checkpoint,
        torch_dtype=torch.bfloat16,
        revision="main",
        trust_remote_code=True,
        local_files_only=True,
        pipeline_class=Ours,
        model_kwargs={"attn_implementation": "eager", "torch_dtype": torch.bfloat16},
        batch_size=2,
    )
    assert type(pipe) is Ours
    assert pipe.model.dtype == torch.bfloat16
    assert pipe.model.config._attn_implementation == "eager"
    assert pipeline(model=pipe.model, dtype="auto").model is pipe.model


WRONG = {
    "another task": (dict(task="image-segmentation"), ValueError, "`task` must be 'mask-generation'"),
    "a tokenizer": (dict(tokenizer="bert-base-uncased"), ValueError, "`tokenizer` and `video_processor` must be None"),
    "an unknown option": (dict(crops_layers=1), TypeError, "pipeline has no option 'crops_layers'; did you mean"),
    "two types": (
        dict(dtype=torch.float32, torch_dtype=torch.float16),
        ValueError,
        "`dtype` must be given once, got torch.float16 and torch.float32",
    ),
    "two revisions": (
        dict(revision="a", model_kwargs={"revision": "b"}),
        ValueError,
        "`revision` must be given once, got 'b' and 'a'",
    ),
    "device and device map": (
        dict(device="cpu", device_map="auto"),
        ValueError,
        "`device` or `device_map` must be None",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case):
    """Before anything is loaded: there is no such checkpoint."""
    arguments, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        pipeline(**{"model": "nowhere/nothing", **arguments})


def test_a_model_that_is_loaded_already_is_not_loaded_again():
    for arguments in (dict(dtype=torch.bfloat16), dict(config=SamConfig()), dict(model_kwargs={"device_map": "auto"})):
        with pytest.raises(ValueError, match="must come with the name of a checkpoint, got a model that is loaded"):
            pipeline(model=tiny_model(), image_processor=tiny_image_processor(), **arguments)
