"""Ways of calling the processor that Transformers' documentation, notebooks, tests and exporters use."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import SamProcessor as TheirProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil as TheirImageProcessor
from transformers.utils import TensorType

from anymask import SamImageProcessor, SamImageProcessorFast, SamProcessor

pytestmark = pytest.mark.parity

SMALL = {
    "size": {"longest_edge": 128},
    "pad_size": {"height": 128, "width": 128},
    "mask_size": {"longest_edge": 32},
    "mask_pad_size": {"height": 32, "width": 32},
}
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
LABELS = np.random.default_rng(1).integers(0, 3, (90, 120), dtype=np.uint8)


def both():
    return SamProcessor(SamImageProcessor(**SMALL)), TheirProcessor(TheirImageProcessor(**SMALL))


@pytest.mark.parametrize(
    "call",
    [
        {"images": PHOTO, "return_tensors": "pt"},
        {"images": [PHOTO, PHOTO], "return_tensors": "pt"},
        {"images": np.asarray(PHOTO), "return_tensors": "pt"},
        {"images": np.asarray(PHOTO).transpose(2, 0, 1), "return_tensors": "pt"},
        {"images": torch.from_numpy(np.array(PHOTO)).permute(2, 0, 1), "return_tensors": "pt"},
        {"images": PHOTO, "return_tensors": TensorType.PYTORCH, "input_points": [[[60, 45]]]},
        # the promptable-segmentation notebook
        {"images": PHOTO, "input_points": [[[60, 45]]], "return_tensors": "pt"},
        {"images": PHOTO, "input_boxes": [[[30, 20, 90, 70]]], "return_tensors": "pt"},
        {"images": PHOTO, "input_boxes": [[[[30, 20, 90, 70]]]], "return_tensors": "pt"},
        {
            "images": PHOTO,
            "input_boxes": [[[30, 20, 90, 70]]],
            "input_points": [[[[60, 45]]]],
            "input_labels": [[[0]]],
            "return_tensors": "pt",
        },
        # the conversion script: the prompts of an image left out in labels alone, or in points alone
        {"images": PHOTO, "input_points": [[[[60, 45], [9, 8]]]], "input_labels": [[1, 0]], "return_tensors": "pt"},
        {"images": PHOTO, "input_points": [[[60, 45], [9, 8]]], "input_labels": [[[1, 0]]], "return_tensors": "pt"},
        {
            "images": [PHOTO, PHOTO],
            "input_points": [[[60, 45]], [[9, 8]]],
            "input_labels": [[[1]], [[0]]],
            "return_tensors": "pt",
        },
        # the fine-tuning notebook and the task guide
        {"images": PHOTO, "input_boxes": [[[30.0, 20.0, 90.0, 70.0]]], "return_tensors": "pt"},
        {"images": PHOTO, "segmentation_maps": LABELS, "input_points": [[[60, 45]]], "return_tensors": "pt"},
        {"images": [PHOTO, PHOTO], "segmentation_maps": [LABELS, 2 - LABELS], "return_tensors": "pt"},
        # what is taken, and changes nothing
        {"images": PHOTO, "padding": True, "return_tensors": "pt"},
        {"images": PHOTO, "data_format": "channels_last", "return_tensors": "pt"},
        {"images": PHOTO, "return_dict": True, "return_tensors": "pt"},
        {"images": PHOTO, "do_convert_rgb": False, "return_tensors": "pt"},
        {"images": PHOTO, "disable_grouping": True, "return_tensors": "pt"},
        {"images": PHOTO, "text_kwargs": {"padding": True}, "return_tensors": "pt"},
        {"images": PHOTO, "crop_size": 50, "do_center_crop": False, "return_tensors": "pt"},
        # options in groups
        {"images": PHOTO, "images_kwargs": {"do_normalize": False}, "return_tensors": "pt"},
        {"images": PHOTO, "common_kwargs": {"return_tensors": "pt"}},
        {"images": PHOTO, "images_kwargs": {"input_points": [[[60, 45]]]}, "return_tensors": "pt"},
        {"images": PHOTO, "images_kwargs": {"segmentation_maps": LABELS}, "return_tensors": "pt"},
    ],
)
def test_calls_give_the_same(call):
    ours, theirs = (processor(**call) for processor in both())
    assert set(ours) == set(theirs)
    for name in theirs:
        assert ours[name].shape == theirs[name].shape, name
        torch.testing.assert_close(ours[name].double(), theirs[name].double(), rtol=1e-6, atol=2e-6, msg=name)


@pytest.mark.parametrize("name", ["size", "pad_size", "mask_size", "mask_pad_size"])
def test_sizes_are_read_as_items_and_as_attributes(name):
    ours, theirs = (getattr(processor.image_processor, name) for processor in both())
    for side in ("longest_edge", "height", "width"):
        assert getattr(ours, side) == getattr(theirs, side)
    for side in SMALL[name]:
        assert ours[side] == theirs[side]


def test_parts_that_users_read():
    ours, theirs = both()
    assert ours.target_size == theirs.target_size
    assert ours.model_input_names == theirs.model_input_names
    assert ours.point_pad_value == theirs.point_pad_value


def test_their_image_processors_become_ours():
    for processor in (TheirImageProcessor(**SMALL), SamProcessor(SamImageProcessor(**SMALL)).image_processor):
        made = SamProcessor(processor)
        assert type(made.image_processor) is SamImageProcessor
        assert made.image_processor.to_dict() == SamImageProcessor(**SMALL).to_dict()
    with pytest.raises(
        TypeError, match="must be a SamImageProcessor or a SamImageProcessorFast, got ViTImageProcessorPil"
    ):
        SamProcessor(transformers.ViTImageProcessorPil())


def test_how_a_processor_is_loaded(tmp_path):
    both()[1].save_pretrained(tmp_path)
    for options, expected in [
        ({}, SamImageProcessor),
        ({"backend": "pil"}, SamImageProcessor),
        ({"backend": "torchvision"}, SamImageProcessorFast),
        ({"use_fast": True}, SamImageProcessorFast),
        ({"trust_remote_code": False, "torch_dtype": torch.float16}, SamImageProcessor),
        ({"image_processor": SamImageProcessorFast(size=64)}, SamImageProcessorFast),
    ]:
        assert type(SamProcessor.from_pretrained(tmp_path, **options).image_processor) is expected
    own = SamImageProcessor(size=64)
    assert SamProcessor.from_pretrained(tmp_path, image_processor=own).image_processor is own
    with pytest.raises(ValueError, match="`backend` must be 'pil', 'torchvision' or None, got 'cv2'"):
        SamProcessor.from_pretrained(tmp_path, backend="cv2")


def test_saved_files_are_those_that_transformers_4_and_5_and_javascript_read(tmp_path):
    both()[0].save_pretrained(tmp_path)
    for name in ("processor_config.json", "preprocessor_config.json"):
        saved = json.loads((tmp_path / name).read_text())
        assert saved["processor_class"] == "SamProcessor"
        assert saved.get("image_processor", saved)["image_processor_type"] == "SamImageProcessor"
    (tmp_path / "processor_config.json").unlink()
    again = TheirProcessor(TheirImageProcessor.from_pretrained(tmp_path))
    call = {"images": PHOTO, "input_points": [[[60, 45]]], "return_tensors": "pt"}
    torch.testing.assert_close(again(**call)["pixel_values"], both()[1](**call)["pixel_values"])
