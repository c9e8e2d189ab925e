import copy

import pytest
import torch
from tests.tiny_sam import PROMPTS, boxes, images, labels, points, relative_difference, tiny_config, tiny_model
from torch import nn
from transformers import PreTrainedModel

from anymask.modeling.network import SamNetwork, SegmentAnything


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
    assert isinstance(model, SegmentAnything) and isinstance(network, SegmentAnything)
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


class Adapted(nn.Module):
    """A linear layer with an addition of low rank, that shows the weights of the layer below, as PEFT's do."""

    def __init__(self, layer):
        super().__init__()
        self.base_layer = layer
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    weight = property(lambda self: self.base_layer.weight)
    bias = property(lambda self: self.base_layer.bias)

    def forward(self, features):
        return self.base_layer(features) + self.up(self.down(features))


def with_adapted_layers(model):
    """Two models that compute the same: one with adapted layers, one with these merged into the weights."""
    adapted, merged = copy.deepcopy(model), copy.deepcopy(model)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            parent, _, attribute = name.rpartition(".")
            adapter = Adapted(adapted.get_submodule(name))
            setattr(adapted.get_submodule(parent), attribute, adapter)
            with torch.no_grad():
                merged.get_submodule(name).weight += adapter.up.weight @ adapter.down.weight
    return adapted, merged


@pytest.mark.parametrize("prompts", [1, PROMPTS])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_adapted_layers_have_their_say_everywhere(model, implementation, prompts, tolerances):
    adapted, merged = with_adapted_layers(model)
    adapted.set_attn_implementation(implementation)
    inputs = dict(pixel_values=images(), input_points=points(prompts=prompts), input_boxes=boxes(prompts=prompts))
    output, expected, before = adapted(**inputs), merged(**inputs), model(**inputs)
    for name in ("pred_masks", "iou_scores"):
        torch.testing.assert_close(output[name], expected[name], **tolerances[torch.float32]._asdict())
        assert relative_difference(before[name], expected[name]) > 0.05
    output.pred_masks.square().sum().backward()
    used = [name for name, weight in adapted.mask_decoder.named_parameters() if weight.grad is not None]
    # The mask for clear prompts was not asked for, nor was the predicted IoU trained.
    unused = [
        name
        for name, module in adapted.mask_decoder.named_modules()
        if isinstance(module, Adapted) and f"{name}.up.weight" not in used
    ]
    assert all(name.startswith(("iou_prediction_head", "output_hypernetworks_mlps.0")) for name in unused)


def test_adapted_layers_in_half_precision(model):
    adapted, merged = (variant.to(torch.bfloat16) for variant in with_adapted_layers(model))
    inputs = dict(pixel_values=images(), input_points=points())
    output, expected = adapted(**inputs), merged(**inputs)
    assert relative_difference(output.pred_masks.float(), expected.pred_masks.float()) < 0.1
    assert output.iou_scores.dtype == torch.float32


@pytest.mark.parametrize(
    "name",
    [
        "layers.0.cross_attn_token_to_image.k_proj",
        "layers.1.cross_attn_image_to_token.out_proj",
        "layers.1.layer_norm4",
        "final_attn_token_to_image",
    ],
)
@torch.no_grad()
def test_a_hook_is_called(model, name, tolerances):
    inputs = dict(pixel_values=images(), input_points=points())
    expected, shapes = model(**inputs), []
    hook = model.mask_decoder.transformer.get_submodule(name).register_forward_hook(
        lambda _, __, output: shapes.append(getattr(output, "shape", None))
    )
    torch.testing.assert_close(model(**inputs).pred_masks, expected.pred_masks, **tolerances[torch.float32]._asdict())
    assert shapes
    hook.remove()


@pytest.mark.parametrize("name", ["k_proj", "v_proj", "out_proj"])
@torch.no_grad()
def test_layers_without_a_bias(model, name, tolerances):
    attention = model.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    layer = getattr(attention, name)
    layer.bias.zero_()
    inputs = dict(pixel_values=images(), input_points=points())
    expected = model(**inputs).pred_masks
    without = nn.Linear(layer.in_features, layer.out_features, bias=False)
    without.weight = layer.weight
    setattr(attention, name, without)
    torch.testing.assert_close(model(**inputs).pred_masks, expected, **tolerances[torch.float32]._asdict())


def test_prompt_embeddings_of_labels_that_mean_nothing(model):
    with pytest.raises(ValueError, match=r"input_labels must be 1 .* got \[4\]"):
        model.get_prompt_embeddings(points(), torch.full(points().shape[:3], 4))


# Losses and training
