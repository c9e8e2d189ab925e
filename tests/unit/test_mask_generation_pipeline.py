"""The pipeline's calling conventions, on the stand-in model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.colour_model import ColourModel, colour_processor, draw
from torch.utils.data import Dataset, IterableDataset
from transformers.pipelines.pt_utils import KeyDataset

from anymask.mask_generation_pipeline import MaskGenerationPipeline
from anymask.masks.rle import rle_to_coco, rle_to_mask

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
