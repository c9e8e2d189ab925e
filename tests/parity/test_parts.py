"""The parts of the model, called as Transformers' are, with the same weights: arguments, results, their order."""

import pytest
import torch
import transformers
from tests.tiny_sam import (
    BATCH,
    boxes,
    draw_weights,
    images,
    labels,
    mask_prompts,
    points,
    relative_difference,
    tiny_config,
)

from anymask.modeling_sam import SamModel, SamVisionModel

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4  # relative, float32


@pytest.fixture(scope="module")
def both():
    """Ours, and Transformers' with the same weights."""
    theirs = draw_weights(transformers.SamModel(tiny_config(config_class=transformers.SamConfig))).eval()
    ours = SamModel(tiny_config()).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def assert_agree(ours, theirs):
    """Tensors, None, and tuples of these, to any depth."""
    if theirs is None or isinstance(theirs, torch.Tensor):
        assert (ours is None) == (theirs is None)
        assert theirs is None or relative_difference(ours, theirs) < TOLERANCE
        return
    assert isinstance(ours, tuple) and len(ours) == len(theirs)
    for mine, their in zip(ours, theirs, strict=True):
        assert_agree(mine, their)


@torch.no_grad()
def test_image_encoder(both):
    pixel_values = images()
    ours, theirs = (model.vision_encoder(pixel_values, return_dict=True) for model in both)
    assert_agree(ours.last_hidden_state, theirs.last_hidden_state)
    ours, theirs = (model.vision_encoder(pixel_values, return_dict=False) for model in both)
    assert_agree(ours, theirs)


@pytest.mark.parametrize("wanted", [True, False, [0, 2], [-1], [1, 9], 2])
@torch.no_grad()
def test_hidden_states(both, wanted):
    pixel_values = images()
    ours, theirs = (model.vision_encoder(pixel_values, output_hidden_states=wanted) for model in both)
    assert_agree(ours.hidden_states, theirs.hidden_states)
    ours, theirs = (model(pixel_values, points(), output_hidden_states=wanted) for model in both)
    assert_agree(ours.vision_hidden_states, theirs.vision_hidden_states)


@torch.no_grad()
def test_order_of_the_image_encoders_tuple(both):
    theirs = transformers.SamVisionModel(tiny_config(config_class=transformers.SamConfig).vision_config).eval()
    ours = SamVisionModel(tiny_config().vision_config).eval()
    ours.load_state_dict(theirs.state_dict())
    pixel_values = images()
    ours, theirs = (
        model(pixel_values, output_hidden_states=True, output_attentions=True, return_dict=False)
        for model in (ours, theirs)
    )
    assert len(ours) == len(theirs) == 3
    assert_agree(ours[:2], theirs[:2])  # the third are attention weights, which theirs does not always give


@pytest.mark.parametrize(
    "prompts",
    [
        dict(input_points=points(), input_labels=labels(), input_boxes=None, input_masks=None),
        dict(input_points=points(), input_labels=labels(), input_boxes=boxes(), input_masks=mask_prompts()),
        dict(input_points=None, input_labels=None, input_boxes=boxes(), input_masks=None),
        dict(input_points=torch.zeros(BATCH, 3, 0, 2), input_labels=torch.zeros(BATCH, 3, 0), input_boxes=None),
    ],
)
@torch.no_grad()
def test_prompt_encoder_and_mask_decoder(both, prompts):
    prompts = {"input_masks": None, **prompts}
    embeddings = both[1].get_image_embeddings(images(), output_attentions=None)
    assert both[0].get_image_embeddings(images(), output_attentions=None).shape == embeddings.shape
    results = []
    for model in both:
        sparse, dense = model.prompt_encoder(**prompts)
        masks, iou_scores = model.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(BATCH, 1, 1, 1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            attention_similarity=None,
            target_embedding=None,
        )
        results.append((sparse, dense.expand(BATCH, -1, -1, -1), masks, iou_scores))
    assert_agree(*results)


@torch.no_grad()
def test_a_prompt_without_points(both):
    nothing = dict(input_points=torch.zeros(BATCH, 1, 0, 2), input_labels=torch.zeros(BATCH, 1, 0))
    embeddings = both[1].get_image_embeddings(images())
    ours, theirs = (model(image_embeddings=embeddings, **nothing) for model in both)
    assert_agree((ours.pred_masks, ours.iou_scores), (theirs.pred_masks, theirs.iou_scores))


@torch.no_grad()
def test_parts_of_transformers_in_the_place_of_ours(both):
    """Of the mask decoder only one that broadcasts an image over its prompts."""
    _, theirs = both
    pixel_values, prompts = images(), dict(input_points=points())
    expected = theirs(pixel_values, **prompts)
    for name in ("vision_encoder", "shared_image_embedding"):
        mixed = SamModel(tiny_config()).eval()
        mixed.load_state_dict(theirs.state_dict())
        setattr(mixed, name, getattr(theirs, name))
        output = mixed(pixel_values, **prompts)
        assert_agree((output.pred_masks, output.iou_scores), (expected.pred_masks, expected.iou_scores))


def test_parameters_are_enumerated_in_the_same_order(both):
    """So that the states of optimizers carry over."""
    ours, theirs = ([name for name, _ in model.named_parameters()] for model in both)
    assert ours == theirs
