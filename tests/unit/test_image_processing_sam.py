import copy
import pickle

import numpy as np
import torch

from anymask.image_processing_sam import SamImageProcessor
from anymask.images.resize_pillow import PillowPreparation

OPTIONS = dict(size=64, pad_size=80, mask_size=16, mask_pad_size=20, value_range="min_max", resample=3)


def test_it_is_the_preparation_that_transformers_knows():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    processor, preparation = SamImageProcessor(**OPTIONS), PillowPreparation(**OPTIONS)
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
