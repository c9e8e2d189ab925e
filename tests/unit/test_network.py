import copy

import pytest
import torch
from tests.tiny_sam import boxes, images, labels, points, tiny_config, tiny_model
from transformers import PreTrainedModel

from anymask.network import SamNetwork


@pytest.fixture
def model():
    return tiny_model().requires_grad_(False)


@pytest.fixture
def network(model):
    config = copy.deepcopy(model.config)
    network = SamNetwork(config).eval()
    network.load_state_dict(model.state_dict())
    return network.requires_grad_(False)


def test_it_is_a_plain_module(network, model):
    assert not isinstance(network, PreTrainedModel)
    assert isinstance(model, SamNetwork)
    assert (network.device, network.dtype) == (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert network.to(torch.bfloat16).dtype == torch.bfloat16


def test_it_computes_what_the_model_computes(network, model):
    inputs = dict(pixel_values=images(), input_points=points(), input_labels=labels(), input_boxes=boxes())
    ours, expected = network(**inputs, output_hidden_states=True), model(**inputs, output_hidden_states=True)
    assert type(ours) is type(expected)
    assert ours.keys() == expected.keys()
    assert torch.equal(ours.pred_masks, expected.pred_masks)
    assert torch.equal(ours.iou_scores, expected.iou_scores)


def test_its_configuration_says_what_is_returned():
    config = tiny_config()
    config.return_dict, config._attn_implementation = False, "eager"
    masks_and_scores = SamNetwork(config).eval()(images(), points())
    assert isinstance(masks_and_scores, tuple)
