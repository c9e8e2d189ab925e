"""The model against `transformers.SamModel` with the same weights: embeddings, logits, scores, attention, files."""

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.tiny_sam import (
    BATCH,
    CHANNELS,
    GRID,
    POINTS,
    PROMPTS,
    boxes,
    draw_weights,
    images,
    labels,
    mask_prompts,
    points,
    relative_difference,
    tiny_config,
    tiny_model,
)

from anymask.configuration_sam import SamConfig
from anymask.modeling_sam import SamModel, SamVisionModel

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4  # relative, float32
IMPLEMENTATIONS = ["eager", "folded", "sdpa"]

VARIANTS = {
    "windows that do not divide the grid": {},
    "windows that divide the grid": dict(vision=dict(window_size=5)),
    "one window larger than the grid": dict(vision=dict(window_size=13)),
    "global attention only": dict(vision=dict(window_size=0, global_attn_indexes=[])),
    "no relative positions": dict(vision=dict(use_rel_pos=False)),
    "no absolute positions": dict(vision=dict(use_abs_pos=False)),
    "no bias": dict(vision=dict(qkv_bias=False)),
    "pruned like SlimSAM": dict(vision=dict(hidden_size=42, num_attention_heads=6, mlp_dim=29)),
    "patches of 4": dict(vision=dict(image_size=40, patch_size=4), prompt=dict(image_size=40, patch_size=4)),
    "grey images": dict(vision=dict(num_channels=1)),
    "other activations and epsilons": dict(
        vision=dict(hidden_act="relu", layer_norm_eps=1e-3),
        prompt=dict(hidden_act="silu", layer_norm_eps=1e-3),
        decoder=dict(hidden_act="gelu", layer_norm_eps=1e-5),
    ),
    "a deeper decoder": dict(decoder=dict(num_hidden_layers=3, num_attention_heads=2, iou_head_depth=4)),
    "a decoder of one block and two masks": dict(decoder=dict(num_hidden_layers=1, num_multimask_outputs=2)),
}

PROMPT_KINDS = {
    "points": lambda: dict(input_points=points(), input_labels=labels()),
    "points without labels": lambda: dict(input_points=points()),
    "points and not-a-points": lambda: dict(input_points=points(), input_labels=labels(among=(0, 1, -1))),
    "boxes": lambda: dict(input_boxes=boxes()),
    "points and boxes": lambda: dict(input_points=points(), input_labels=labels(), input_boxes=boxes()),
    "mask": lambda: dict(input_masks=mask_prompts()),
    "mask and points": lambda: dict(input_masks=mask_prompts(), input_points=points(), input_labels=labels()),
    "mask, points and boxes": lambda: dict(input_masks=mask_prompts(), input_points=points(), input_boxes=boxes()),
    "one mask": lambda: dict(input_points=points(), input_labels=labels(), multimask_output=False),
    "attention similarity": lambda: dict(
        input_points=points(), attention_similarity=torch.randn(BATCH * PROMPTS, 1, 1, GRID * GRID)
    ),
    "target embedding": lambda: dict(input_points=points(), target_embedding=torch.randn(BATCH, 1, 1, CHANNELS)),
    "similarity, target and mask": lambda: dict(
        input_points=points(),
        input_masks=mask_prompts(),
        attention_similarity=torch.randn(1, 1, 1, GRID * GRID),
        target_embedding=torch.randn(BATCH, PROMPTS, 1, CHANNELS),
    ),
}


def both(implementation="sdpa", their_implementation="sdpa", **parts):
    """Transformers' model, and ours with its weights."""
    their_config = tiny_config(**parts, config_class=transformers.SamConfig)
    their_config._attn_implementation = their_implementation
    theirs = draw_weights(transformers.SamModel(their_config)).eval()
    ours = SamModel(tiny_config(**parts)).eval()
    ours.load_state_dict(theirs.state_dict())
    ours.set_attn_implementation(implementation)
    return ours, theirs


def assert_agree(ours, theirs):
    assert relative_difference(ours.pred_masks, theirs.pred_masks) < TOLERANCE
    assert relative_difference(ours.iou_scores, theirs.iou_scores) < TOLERANCE
    assert 0.5 < theirs.pred_masks.std() < 50  # or the comparison would say little
    if theirs.pred_masks.shape[1] > 1:
        assert theirs.pred_masks.std(dim=1).mean() > 0.05  # prompts differ


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_configurations(variant, implementation):
    ours, theirs = both(implementation, **VARIANTS[variant])
    vision = ours.config.vision_config
    pixel_values = images(size_hw=(vision.image_size, vision.image_size), channels=vision.num_channels)
    embeddings = theirs.get_image_embeddings(pixel_values)
    assert relative_difference(ours.get_image_embeddings(pixel_values), embeddings) < TOLERANCE
    prompts = dict(input_points=points(), input_labels=labels(), input_boxes=boxes())
    assert_agree(ours(pixel_values, **prompts), theirs(pixel_values, **prompts))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", PROMPT_KINDS)
@torch.no_grad()
def test_prompts(kind, implementation):
    ours, theirs = both(implementation)
    embeddings = theirs.get_image_embeddings(images())
    prompts = PROMPT_KINDS[kind]()
    # Transformers adds to its arguments in place.
    copies = {name: value.clone() if torch.is_tensor(value) else value for name, value in prompts.items()}
    actual = ours(image_embeddings=embeddings.clone(), **prompts)
    if "target_embedding" in prompts or "attention_similarity" in prompts:
        assert torch.equal(prompts["input_points"], copies["input_points"])
    assert_agree(actual, theirs(image_embeddings=embeddings, **copies))


@torch.no_grad()
def test_embeddings_of_prompts_and_positions():
    ours, theirs = both()
    prompts = dict(input_points=points(), input_labels=labels(), input_boxes=boxes(), input_masks=mask_prompts())
    for actual, expected in zip(
        ours.get_prompt_embeddings(**prompts), theirs.get_prompt_embeddings(**prompts), strict=True
    ):
        assert relative_difference(actual, expected) < TOLERANCE
    for some in (dict(input_points=points(), input_labels=labels()), dict(input_boxes=boxes())):  # of each image
        dense, expected = (model.get_prompt_embeddings(**some)[1] for model in (ours, theirs))
        assert dense.shape == expected.shape
        assert relative_difference(dense, expected) < TOLERANCE
    nothing = ours.get_prompt_embeddings(input_masks=mask_prompts())[0]
    assert nothing is None
    expected = theirs.get_image_wide_positional_embeddings()
    assert relative_difference(ours.get_image_wide_positional_embeddings(), expected) < TOLERANCE


@torch.no_grad()
def test_every_module_of_theirs_is_here_and_is_called():
    called = []
    for model in both():
        called.append(set())
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name, names=called[-1]: names.add(name))
        model(images(), input_points=points(), input_labels=labels(), input_boxes=boxes(), input_masks=mask_prompts())
    assert called[1] <= called[0]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@torch.no_grad()
def test_hidden_states_and_attention_weights(implementation):
    ours, theirs = both(implementation, their_implementation="eager")
    their_attentions = []
    for layer in theirs.vision_encoder.layers:
        layer.attn.register_forward_hook(lambda module, inputs, output: their_attentions.append(output[1]))
    pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels())
    actual = ours(pixel_values, **prompts, output_hidden_states=True, output_attentions=True)
    expected = theirs(pixel_values, **prompts, output_hidden_states=True)
    assert_agree(actual, expected)

    layers = ours.config.vision_config.num_hidden_layers
    assert len(actual.vision_hidden_states) == layers + 1
    for mine, their in zip(actual.vision_hidden_states, expected.vision_hidden_states, strict=True):
        assert relative_difference(mine, their) < TOLERANCE

    windows, heads = BATCH * 9, ours.config.vision_config.num_attention_heads
    shapes = [(windows, heads, 16, 16), (BATCH, heads, GRID**2, GRID**2), (windows, heads, 16, 16)]
    assert [tuple(weights.shape) for weights in actual.vision_attentions] == shapes
    for mine, their in zip(actual.vision_attentions, their_attentions, strict=True):
        torch.testing.assert_close(mine.sum(dim=-1), torch.ones(mine.shape[:-1]))
        assert relative_difference(mine, their.reshape(mine.shape)) < TOLERANCE

    decoder = ours.config.mask_decoder_config
    tokens = 1 + 4 + POINTS + 1  # IoU, masks, points, not-a-point
    assert len(actual.mask_decoder_attentions) == decoder.num_hidden_layers + 1
    for weights in actual.mask_decoder_attentions:
        assert weights.shape == (BATCH, PROMPTS, decoder.num_attention_heads, tokens, GRID**2)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


@torch.no_grad()
def test_their_files_load_here_and_ours_there(tmp_path):
    ours, theirs = both()
    pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels())
    expected = theirs(pixel_values, **prompts)
    nothing = dict(missing_keys=set(), unexpected_keys=set(), mismatched_keys=set())

    theirs.save_pretrained(tmp_path / "theirs")
    loaded, info = SamModel.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert {name: set(info[name]) for name in nothing} == nothing
    assert_agree(loaded.eval()(pixel_values, **prompts), expected)

    ours.save_pretrained(tmp_path / "ours")
    loaded, info = transformers.SamModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert {name: set(info[name]) for name in nothing} == nothing
    assert_agree(loaded.eval()(pixel_values, **prompts), expected)
    assert (
        load_file(tmp_path / "ours/model.safetensors").keys() == load_file(tmp_path / "theirs/model.safetensors").keys()
    )


@torch.no_grad()
def test_a_sam_checkpoint_loads_as_an_image_encoder(tmp_path):
    theirs = both()[1]
    theirs.save_pretrained(tmp_path)
    vision, info = SamVisionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    pixel_values = images()
    output = vision.eval()(pixel_values, output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state is output.image_embeds
    assert relative_difference(output.image_embeds, theirs.get_image_embeddings(pixel_values)) < TOLERANCE
    assert len(output.hidden_states) == 4 and len(output.attentions) == 3

    vision.save_pretrained(tmp_path / "vision")
    again, info = transformers.SamVisionModel.from_pretrained(tmp_path / "vision", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert relative_difference(output.image_embeds, again.eval()(pixel_values).last_hidden_state) < TOLERANCE
    back, info = SamVisionModel.from_pretrained(tmp_path / "vision", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert relative_difference(back.eval()(pixel_values).image_embeds, output.image_embeds) < TOLERANCE


SHARED = "shared_image_embedding.positional_embedding"
IN_PROMPT_ENCODER = "prompt_encoder.shared_embedding.positional_embedding"


@pytest.mark.parametrize("stored", [(SHARED,), (IN_PROMPT_ENCODER,), (SHARED, IN_PROMPT_ENCODER)])
def test_the_positional_embedding_may_be_stored_under_either_name(tmp_path, stored):
    ours = tiny_model()
    weights = {
        name: value.clone() for name, value in ours.state_dict().items() if name not in (SHARED, IN_PROMPT_ENCODER)
    }
    frequencies = ours.shared_image_embedding.positional_embedding.detach()
    ours.config.save_pretrained(tmp_path)
    save_file(
        weights | {name: frequencies.clone() for name in stored},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    for model_class in (SamModel, transformers.SamModel):
        model, info = model_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert torch.equal(model.shared_image_embedding.positional_embedding, frequencies)
        assert torch.equal(model.prompt_encoder.shared_embedding.positional_embedding, frequencies)


def test_state_dicts_have_the_same_keys_and_shapes():
    ours, theirs = both()
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in ours.state_dict().items()} == shapes


def test_gradients():
    """Those of every weight and of the image, through masks and scores; in float64, for they are ill-conditioned."""
    pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels(), input_masks=mask_prompts())
    gradients = []
    for model in both():
        model.double()
        image = pixel_values.double().requires_grad_(True)
        output = model(image, **{name: value.double() for name, value in prompts.items()})
        (output.pred_masks.square().mean() + output.iou_scores.square().mean()).backward()
        gradients.append(
            {name: parameter.grad for name, parameter in model.named_parameters() if "positional" not in name}
            | {"image": image.grad}
        )
    for name, expected in gradients[1].items():
        # What has no part in this gets no gradient or zeros, zeros where Transformers gives them. The bias of keys has
        # no influence on softmax, so its gradient is rounding and no more.
        if expected is None or not expected.any():
            assert gradients[0][name] is None or not gradients[0][name].any(), name
            assert expected is None or gradients[0][name] is not None, name
        elif not name.endswith("k_proj.bias"):
            assert relative_difference(gradients[0][name], expected) < TOLERANCE, name


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_at_1024_pixels():
    theirs = draw_weights(transformers.SamModel(transformers.SamConfig())).eval()
    ours = SamModel(SamConfig()).eval()
    ours.load_state_dict(theirs.state_dict())
    pixel_values = torch.randn(1, 3, 1024, 1024)
    expected = theirs.get_image_embeddings(pixel_values)
    prompts = dict(input_points=torch.rand(1, PROMPTS, POINTS, 2) * 1024, input_labels=labels(batch=1))
    for implementation in IMPLEMENTATIONS:
        ours.set_attn_implementation(implementation)
        embeddings = ours.get_image_embeddings(pixel_values)
        assert relative_difference(embeddings, expected) < TOLERANCE
        assert_agree(ours(image_embeddings=embeddings, **prompts), theirs(image_embeddings=expected, **prompts))
