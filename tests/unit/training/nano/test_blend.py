"""Blended weights are means; models of other shapes are refused."""

import pytest
import torch
from tests.tiny_sam import tiny_config, tiny_model

from anymask.modeling_sam import SamModel
from anymask.training.nano.blend import blend


def test_blended_weights_are_means():
    torch.manual_seed(1)
    model, start = SamModel(tiny_config()), SamModel(tiny_config())
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    blend(model, start, 0.75)
    for name, weight in start.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], 0.75 * before[name] + 0.25 * weight)


def test_what_cannot_be_blended_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        blend(tiny_model(), tiny_model(), 1.5)
    with pytest.raises(ValueError, match="same parameters"):
        blend(tiny_model(), SamModel.from_pretrained("sam-vit-nano"), 0.5)
