import copy
import json
import pickle

import numpy as np
import pytest
import torch
from transformers.image_processing_utils import BaseImageProcessor

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.options import OPTION_NAMES
from anymask.images.preparation import ImagePreprocessor

BOTH = pytest.mark.parametrize("make", [SamImageProcessor, SamImageProcessorFast])
SMALL = {"size": 64, "pad_size": 64, "mask_size": 16, "mask_pad_size": 16}
OPTIONS = dict(size=64, pad_size=80, mask_size=16, mask_pad_size=20, value_range="min_max", resample=3)


@BOTH
def test_they_are_transformers_image_processors(make):
    assert isinstance(make(), BaseImageProcessor)
    assert issubclass(make, BaseImageProcessor)


@BOTH
def test_unknown_options_are_errors_everywhere(make, tmp_path):
    name = make.__name__
    with pytest.raises(TypeError, match=f"{name} has no option 'resampel'; did you mean 'resample'"):
        make(resampel=2)
    with pytest.raises(TypeError, match=f"{name} has no option 'do_normalise'; did you mean 'do_normalize'"):
        make()(np.zeros((4, 8)), do_normalise=False)
    make().save_pretrained(tmp_path)
    with pytest.raises(TypeError, match=f"{name} has no option 'pad_sise'"):
        make.from_pretrained(tmp_path, pad_sise=5)
    with pytest.raises(ValueError, match="`do_center_crop` must be False"):
        make(do_center_crop=True)


@BOTH
def test_saved_and_loaded_again(make, tmp_path):
    processor = make(size=(64, 48), value_range=(-160, 240), image_mean=0.5, pad_size=None, size_divisor=16)
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["image_processor_type"] == make.__name__
    loaded = make.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.pad_size is None
    assert make.from_pretrained(tmp_path, resample=3).resample == 3
    loaded, unused = make.from_pretrained(tmp_path, foo=1, return_unused_kwargs=True)
    assert unused["foo"] == 1


@BOTH
def test_options_at_loading_are_those_of_a_call(make, tmp_path):
    make(**SMALL).save_pretrained(tmp_path)
    for options in ({"size_divisor": 16}, {"size": {"height": 32, "width": 48}}, {"size_divisor": 16, "pad_size": 64}):
        loaded, called = make.from_pretrained(tmp_path, **options), make.from_pretrained(tmp_path)
        assert loaded.options() == called.options(**options)
    image = np.zeros((40, 80), np.uint8)
    assert make.from_pretrained(tmp_path, size_divisor=16)(image)["pixel_values"][0].shape == (3, 32, 64)


@BOTH
def test_the_hubs_configuration_loads_unchanged(make, tmp_path, caplog):
    config = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "SamImageProcessor",
        "image_std": [0.229, 0.224, 0.225],
        "pad_size": {"height": 1024, "width": 1024},
        "processor_class": "SamProcessor",
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": 1024},
    }
    later = {
        "crop_size": None,
        "data_format": "channels_first",
        "device": None,
        "mask_size": None,
        "do_center_crop": None,
    }
    for extra in ({}, later):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({**config, **extra}))
        assert make.from_pretrained(tmp_path).to_dict() == make().to_dict()
    assert not caplog.records
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**config, "shear": 3}))
    assert make.from_pretrained(tmp_path).to_dict() == make().to_dict()
    assert "leaves out what it does not know in its configuration: ['shear']" in caplog.text


@BOTH
def test_what_an_auto_class_passes_along_is_not_an_option(make, tmp_path):
    make().save_pretrained(tmp_path)
    assert isinstance(make.from_pretrained(tmp_path, _from_auto=True, trust_remote_code=False), make)


def test_it_is_the_preparation_that_transformers_knows():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    processor, preparation = SamImageProcessor(**OPTIONS), ImagePreprocessor(**OPTIONS)
    assert processor.to_dict() == preparation.to_dict()
    assert SamImageProcessor.from_dict(preparation.to_dict()).to_dict() == processor.to_dict()
    ours, theirs = processor(image, return_tensors="pt"), preparation(image, return_tensors="pt")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for copied in (copy.deepcopy(processor), pickle.loads(pickle.dumps(processor))):
        assert type(copied) is SamImageProcessor
        assert copied.to_dict() == processor.to_dict()


def test_a_class_built_on_it_is_saved_under_its_own_name():
    class Mine(SamImageProcessor):
        """Someone's own."""

    assert Mine().to_dict()["image_processor_type"] == "Mine"


def test_transformers_finds_the_names_of_all_options():
    assert set(OPTION_NAMES) <= set(SamImageProcessor.valid_kwargs.__annotations__)
