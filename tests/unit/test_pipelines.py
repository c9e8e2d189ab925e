"""`anymask.pipeline` on a tiny model, and the pipeline's calling conventions on the stand-in model."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tests.colour_model import ColourModel, colour_processor, draw
from tests.tiny_sam import tiny_image_processor, tiny_model
from torch.utils.data import Dataset, IterableDataset
from transformers.pipelines.pt_utils import KeyDataset

from anymask import SamConfig, SamImageProcessor, SamImageProcessorFast, SamProcessor
from anymask.masks.rle import rle_to_coco, rle_to_mask
from anymask.pipelines import MaskGenerationPipeline, pipeline

PICTURE = draw((48, 64), (4, 8, 32, 40, 100, 240, 0), (40, 16, 60, 24, 200, 250, 0))
EMPTY = np.zeros((30, 20, 3), np.uint8)


class Pictures(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return {"image": PICTURE if index % 2 == 0 else EMPTY, "name": str(index)}


class Stream(IterableDataset):
    def __iter__(self):
        return iter([PICTURE, EMPTY, PICTURE])


@pytest.fixture
def pipe():
    return MaskGenerationPipeline(
        model=ColourModel(), image_processor=colour_processor(), points_per_crop=8, device="cpu"
    )


def counts(outputs):
    return [len(output["masks"]) for output in outputs]


def test_several_devices_give_what_one_gives_in_order():
    how = dict(image_processor=tiny_image_processor(), points_per_crop=3, pred_iou_thresh=0, stability_score_thresh=0)
    model = tiny_model()
    one = MaskGenerationPipeline(model=model, device="cpu", **how)
    two = MaskGenerationPipeline(model=model, devices=["cpu", "cpu"], **how)
    pictures = [PICTURE, EMPTY, PICTURE[::-1], PICTURE[:, ::-1], EMPTY]
    for of_one, of_two in zip(one(pictures, batch_size=2), two(pictures, batch_size=2), strict=True):
        assert [mask.tolist() for mask in of_two["masks"]] == [mask.tolist() for mask in of_one["masks"]]
        assert of_two["scores"].tolist() == of_one["scores"].tolist()
    assert [twin.model is not model for twin in two._copies] == [True]
    for devices, device in (([], None), ("cpu", None), (["cpu"], "cpu")):
        with pytest.raises(ValueError, match="`devices` must be a list with a device or more"):
            MaskGenerationPipeline(model=model, devices=devices, device=device, **how)


def test_output_of_one_image(pipe):
    output = pipe(PICTURE, points_per_batch=7)
    assert list(output) == ["masks", "scores"]
    assert isinstance(output["masks"], list)
    for mask in output["masks"]:
        assert mask.dtype == bool
        assert mask.shape == (48, 64)
        assert mask.flags.c_contiguous
    assert output["scores"].dtype == torch.float32
    assert output["scores"].tolist() == sorted(output["scores"].tolist(), reverse=True)
    assert output["masks"][0].sum() == 20 * 8


def test_output_on_request(pipe):
    output = pipe(PICTURE, output_rle_mask=True, output_bboxes_mask=True, output_records=True)
    assert list(output) == ["masks", "scores", "rle_mask", "bounding_boxes", "records"]
    assert output["bounding_boxes"].tolist() == [[40, 16, 59, 23], [4, 8, 31, 39]]
    for mask, score, rle, record in zip(
        *(output[key] for key in ("masks", "scores", "rle_mask", "records")), strict=True
    ):
        np.testing.assert_array_equal(rle_to_mask(rle), mask)
        assert record["segmentation"] is mask
        assert record["predicted_iou"] == score
        assert set(record) > {"area", "bbox", "point_coords", "stability_score", "crop_box"}
    assert "rle_mask" in pipe(PICTURE, output_rle_masks=True)  # the name in Transformers' documentation
    encoded = pipe(PICTURE, output_mode="coco_rle")["masks"]
    assert encoded == [rle_to_coco(rle) for rle in output["rle_mask"]]


def test_the_argument_has_the_name_that_transformers_gives_it(pipe):
    theirs = list(inspect.signature(transformers.MaskGenerationPipeline.__call__).parameters)
    assert theirs[:2] == ["self", "image"]
    assert len(pipe(image=PICTURE)["masks"]) == len(pipe(PICTURE)["masks"]) > 0


def test_nothing_found(pipe):
    output = pipe(EMPTY, output_rle_mask=True, output_bboxes_mask=True, output_records=True)
    assert output["masks"] == output["rle_mask"] == output["records"] == []
    assert output["scores"].shape == (0,)
    assert output["bounding_boxes"].shape == (0, 4)


def test_scores_are_sorted_over_all_crops(pipe):
    scores = pipe(np.repeat(np.repeat(PICTURE, 10, 0), 10, 1), crops_n_layers=1, stability_score_thresh=0)["scores"]
    assert len(scores) >= 2
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_kinds_of_input(pipe, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(PICTURE).save(path)
    for image in (path, str(path), Image.fromarray(PICTURE), torch.from_numpy(PICTURE).permute(2, 0, 1)):
        assert len(pipe(image)["masks"]) == 2


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3])
def test_several_images(pipe, batch_size):
    lists = [[PICTURE, EMPTY, PICTURE], (PICTURE, EMPTY, PICTURE)]
    for images in lists:
        outputs = pipe(images, batch_size=batch_size)
        assert isinstance(outputs, list)
        assert counts(outputs) == [2, 0, 2]
    streams = [(image for image in lists[0]), iter(lists[0]), map(np.asarray, lists[0]), Stream()]
    for images in streams:
        outputs = pipe(images, batch_size=batch_size)
        assert not isinstance(outputs, list)
        assert len(next(outputs)["masks"]) == 2
        assert counts(outputs) == [0, 2]
    outputs = pipe(KeyDataset(Pictures(), "image"), batch_size=batch_size)
    assert len(outputs) == 5
    assert counts(outputs) == [2, 0, 2, 0, 2]
    with pytest.raises(TypeError, match="stream of unknown length"):
        len(pipe(iter(lists[0])))


def test_empty_list(pipe):
    assert pipe([]) == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes_read_images(pipe):
    assert counts(pipe(KeyDataset(Pictures(), "image"), num_workers=2, batch_size=2)) == [2, 0, 2, 0, 2]
    assert counts(pipe((image for image in [PICTURE, EMPTY]), num_workers=1)) == [2, 0]


def test_a_stream_is_read_as_it_is_needed(pipe):
    read = []

    def images():
        for index in range(9):
            read.append(index)
            yield PICTURE

    next(pipe(images()))
    assert len(read) <= 3


def test_no_model_runs_before_the_forward_step(pipe):
    prepared = pipe.preprocess(PICTURE)
    assert pipe.model.encoded == []
    assert prepared.pixel_values.shape == (1, 3, 64, 64)
    pipe.forward([prepared])
    assert pipe.model.encoded == [1]


def test_options_at_construction_are_defaults():
    pipe = MaskGenerationPipeline(
        model=ColourModel(),
        image_processor=colour_processor(),
        device="cpu",
        points_per_side=8,
        pred_iou_thresh=0.97,
        output_bboxes_mask=True,
        batch_size=2,
    )
    assert len(pipe(PICTURE)["bounding_boxes"]) == 1
    assert len(pipe(PICTURE, pred_iou_thresh=0.5)["masks"]) == 2
    assert len(pipe(PICTURE)["masks"]) == 1
    assert len(pipe(PICTURE, pred_iou_thresh=0.5, point_grids=[[[0.3, 0.5]]])["masks"]) == 1
    assert len(pipe(PICTURE, pred_iou_thresh=0.5, points_per_crop=8)["masks"]) == 2


def test_every_documented_option_is_taken(pipe):
    theirs = {
        "points_per_batch": None,
        "points_per_crop": 8,
        "crops_n_layers": 1,
        "crop_overlap_ratio": 0.3,
        "crop_n_points_downscale_factor": 2,
        "timeout": 3.0,
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.5,
        "stability_score_offset": 1,
        "mask_threshold": 0,
        "max_hole_area": 4,
        "max_sprinkle_area": 4,
        "crops_nms_thresh": 0.7,
        "output_rle_mask": True,
        "output_bboxes_mask": True,
    }
    assert len(pipe(PICTURE, **theirs)["masks"]) == 2
    metas = {
        "points_per_side": 8,
        "points_per_batch": 5,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 1,
        "crop_nms_thresh": 0.7,
        "min_mask_region_area": 3,
        "output_mode": "coco_rle",
    }
    assert len(pipe(PICTURE, **metas)["masks"]) == 2


def test_unknown_options_are_errors(pipe):
    with pytest.raises(TypeError, match="no option 'point_per_batch'; did you mean 'points_per_batch'"):
        pipe(PICTURE, point_per_batch=3)
    with pytest.raises(TypeError, match="did you mean 'pred_iou_thresh'"):
        MaskGenerationPipeline(model=ColourModel(), image_processor=colour_processor(), iou_thresh=0.3, device="cpu")
    with pytest.raises(ValueError, match="`crops_n_layers` and `crop_n_layers` name one option"):
        pipe(PICTURE, crops_n_layers=1, crop_n_layers=2)
    with pytest.raises(ValueError, match="`output_mode` must be one of binary_mask"):
        pipe(PICTURE, output_mode="png")
    with pytest.raises(ValueError, match="`output_rle_masks` and `output_rle_mask` name one option"):
        pipe(PICTURE, output_rle_masks=True, output_rle_mask=False)
    with pytest.raises(ValueError, match="`points_per_batch` must be"):
        pipe(PICTURE, points_per_batch=0)


def test_the_task_and_the_parts():
    stranger = SimpleNamespace(device=torch.device("cpu"))
    with pytest.raises(TypeError, match=r"`model` must be an anymask\.SamModel"):
        MaskGenerationPipeline(model=stranger, image_processor=colour_processor(), device="cpu")
    with pytest.raises(TypeError, match=r"`processor` must be an anymask\.SamProcessor"):
        MaskGenerationPipeline(model=ColourModel(), device="cpu")


# By name


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
        framework="pt",
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
    "another framework": (dict(framework="tf"), ValueError, "`framework` must be 'pt' or None"),
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
    "devices and device map": (
        dict(devices=["cpu"], device_map="auto"),
        ValueError,
        "`devices` or `device_map` must be None",
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
