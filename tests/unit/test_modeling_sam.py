"""What holds of the model by itself; `tests/parity/test_model.py` compares it with Transformers."""

import copy
import logging

import numpy as np
import pytest
import torch
import transformers
from tests.hub_configs import HUB_CONFIGS
from tests.tiny_sam import (
    BATCH,
    CHANNELS,
    GRID,
    IMAGE_SIZE,
    PROMPTS,
    boxes,
    images,
    labels,
    mask_prompts,
    points,
    relative_difference,
    tiny_config,
    tiny_model,
)

from anymask import SamImageProcessor, embed_image
from anymask.configuration_sam import SamConfig
from anymask.modeling_sam import SamModel, SamVisionModel

IMPLEMENTATIONS = ["eager", "folded", "sdpa"]


@pytest.fixture(params=IMPLEMENTATIONS)
def model(request):
    model = tiny_model().requires_grad_(False)
    model.set_attn_implementation(request.param)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    return folder


def close(actual, expected, tolerance=1e-4):
    assert relative_difference(actual.pred_masks, expected.pred_masks) < tolerance
    assert relative_difference(actual.iou_scores, expected.iou_scores) < tolerance


def part(output, image, prompt):
    """One prompt of an output, as the output of that prompt alone."""
    return type(output)(
        iou_scores=output.iou_scores[image : image + 1, prompt : prompt + 1],
        pred_masks=output.pred_masks[image : image + 1, prompt : prompt + 1],
    )


# A batch is its members


def test_a_padded_batch_equals_its_members(model):
    """Prompts of 1 to 4 points, some with a box among them, padded to one tensor."""
    embeddings = model.get_image_embeddings(images())
    input_points = points()
    input_labels = torch.tensor(
        [
            [[1, -10, -10, -10], [1, 0, -10, -10], [2, 3, 1, 0]],
            [[2, 3, -10, -10], [0, 1, 1, -10], [1, -1, 0, 1]],
        ]
    )
    batch = model(image_embeddings=embeddings, input_points=input_points, input_labels=input_labels)
    for image in range(BATCH):
        for prompt in range(PROMPTS):
            real = input_labels[image, prompt] != -10
            alone = model(
                image_embeddings=embeddings[image : image + 1],
                input_points=input_points[image, prompt, real][None, None],
                input_labels=input_labels[image, prompt, real][None, None],
            )
            close(alone, part(batch, image, prompt))


def test_padding_wherever_it_stands_changes_nothing(model):
    embeddings, input_points, input_labels = model.get_image_embeddings(images()), points(), labels()
    expected = model(image_embeddings=embeddings, input_points=input_points, input_labels=input_labels)
    padded_points = torch.cat([1e4 * points(count=2), input_points, points(count=1)], dim=2)
    padded_labels = torch.nn.functional.pad(input_labels, (2, 1), value=-10)
    close(model(image_embeddings=embeddings, input_points=padded_points, input_labels=padded_labels), expected)
    with_box = dict(image_embeddings=embeddings, input_boxes=boxes())
    expected = model(input_points=input_points, input_labels=input_labels, **with_box)
    close(model(input_points=padded_points, input_labels=padded_labels, **with_box), expected)


def test_a_prompt_of_padding_alone_harms_no_other(model):
    embeddings, input_points, input_labels = model.get_image_embeddings(images()), points(), labels()
    expected = model(image_embeddings=embeddings, input_points=input_points, input_labels=input_labels)
    input_labels[0, 1] = -10
    output = model(image_embeddings=embeddings, input_points=input_points, input_labels=input_labels)
    close(part(output, 0, 2), part(expected, 0, 2))
    assert output.pred_masks.isfinite().all()


def test_corners_among_the_points_are_a_box(model):
    embeddings, input_boxes = model.get_image_embeddings(images()), boxes()
    expected = model(image_embeddings=embeddings, input_boxes=input_boxes)
    corners = dict(input_points=input_boxes.unflatten(-1, (2, 2)), input_labels=torch.tensor([2, 3]).expand(2, 3, 2))
    close(model(image_embeddings=embeddings, **corners), expected)


def test_a_mask_for_each_prompt_and_a_mask_for_each_image(model):
    embeddings, input_points, input_masks = (
        model.get_image_embeddings(images()),
        points(),
        mask_prompts(prompts=PROMPTS),
    )
    output = model(image_embeddings=embeddings, input_points=input_points, input_masks=input_masks)
    assert output.pred_masks.shape == (BATCH, PROMPTS, 3, 4 * GRID, 4 * GRID)
    for prompt in range(PROMPTS):
        here = slice(prompt, prompt + 1)
        alone = model(image_embeddings=embeddings, input_points=input_points[:, here], input_masks=input_masks[:, here])
        assert relative_difference(alone.pred_masks[:, 0], output.pred_masks[:, prompt]) < 1e-4
    shared = model(image_embeddings=embeddings, input_points=input_points, input_masks=input_masks[:, :1])
    repeated = input_masks[:, :1].expand(-1, PROMPTS, -1, -1)
    close(model(image_embeddings=embeddings, input_points=input_points, input_masks=repeated), shared)
    masks_alone = model(image_embeddings=embeddings, input_masks=input_masks)
    assert masks_alone.pred_masks.shape == output.pred_masks.shape


def test_a_mask_for_some_prompts(model):
    """In one call, objects with and without a mask are what they are alone; on gradients nothing of NaN is left."""
    embeddings, input_points = model.get_image_embeddings(images()), points()
    input_masks = mask_prompts(prompts=PROMPTS)
    input_masks[0, 1], input_masks[1, 0], input_masks[1, 2] = torch.nan, torch.nan, torch.nan
    output = model(image_embeddings=embeddings, input_points=input_points, input_masks=input_masks)
    assert output.pred_masks.isfinite().all()
    for image in range(BATCH):
        for prompt in range(PROMPTS):
            here = slice(image, image + 1), slice(prompt, prompt + 1)
            mask = None if input_masks[image, prompt].isnan().all() else input_masks[here]
            alone = model(image_embeddings=embeddings[here[0]], input_points=input_points[here], input_masks=mask)
            assert relative_difference(alone.pred_masks[0, 0], output.pred_masks[image, prompt]) < 1e-4
    by_image = model(image_embeddings=embeddings, input_points=input_points, input_masks=input_masks[:, :1])
    alone = model(image_embeddings=embeddings[1:], input_points=input_points[1:])
    assert relative_difference(alone.pred_masks[0], by_image.pred_masks[1]) < 1e-4
    learning = tiny_model().train()
    output = learning(image_embeddings=embeddings, input_points=input_points, input_masks=input_masks)
    output.pred_masks.sum().backward()
    for part in (learning.prompt_encoder.mask_embed.conv1, learning.prompt_encoder.no_mask_embed):
        assert part.weight.grad.isfinite().all() and part.weight.grad.abs().max() > 0


def test_shapes_without_prompts(model):
    output = model(images())
    assert output.pred_masks.shape == (BATCH, 1, 3, 4 * GRID, 4 * GRID)
    assert output.iou_scores.shape == (BATCH, 1, 3)


def test_arguments_stay_what_they_are(model):
    prompts = dict(
        pixel_values=images(),
        input_points=points(),
        input_labels=labels(),
        input_boxes=boxes(),
        input_masks=mask_prompts(),
        attention_similarity=torch.randn(BATCH * PROMPTS, 1, 1, GRID**2),
        target_embedding=torch.randn(BATCH, 1, 1, CHANNELS),
    )
    copies = copy.deepcopy(prompts)
    model(**prompts, original_sizes=torch.tensor([[60, 80]] * 2), reshaped_input_sizes=torch.tensor([[60, 80]] * 2))
    assert all(torch.equal(prompts[name], value) for name, value in copies.items())


def test_rectangular_images(model):
    output = model(images(size_hw=(40, 56)), points(), labels(), interpolate_pos_encoding=True)
    assert output.pred_masks.shape == (BATCH, PROMPTS, 3, 20, 28)
    assert output.pred_masks.isfinite().all()


# Outputs


def test_return_dict_false():
    model, pixel_values = tiny_model().requires_grad_(False), images()
    masks = model(pixel_values, points(), return_dict=False)
    assert isinstance(masks, tuple)
    assert [tensor.shape for tensor in masks] == [(BATCH, PROMPTS, 3), (BATCH, PROMPTS, 3, 4 * GRID, 4 * GRID)]
    scores, _, hidden, vision, decoder = model(
        pixel_values, points(), return_dict=False, output_hidden_states=True, output_attentions=True
    )
    assert (scores.ndim, len(hidden), len(vision), len(decoder)) == (3, 4, 3, 3)
    vision = SamVisionModel(tiny_config().vision_config).eval()
    (last_hidden_state,) = vision(pixel_values, return_dict=False)
    assert last_hidden_state.shape == (BATCH, CHANNELS, GRID, GRID)
    assert vision(pixel_values).image_embeds.shape == (BATCH, CHANNELS, GRID, GRID)


def test_the_configuration_asks_for_hidden_states():
    model = tiny_model().requires_grad_(False)
    assert model(images(), points()).vision_hidden_states is None
    model.config.output_hidden_states = True
    assert len(model(images(), points()).vision_hidden_states) == 4
    assert model(images(), points(), output_hidden_states=False).vision_hidden_states is None


def test_images_that_are_no_tensor_are_refused():
    for model in (tiny_model(), SamVisionModel(tiny_config().vision_config)):
        with pytest.raises(TypeError, match="pixel_values must be a tensor, got ndarray"):
            model(pixel_values=images().numpy())


# Training


def test_gradients_reach_the_image():
    model, pixel_values = tiny_model(), images().requires_grad_(True)
    embeddings = model.get_image_embeddings(pixel_values)
    model(image_embeddings=embeddings, input_points=points()).pred_masks.square().mean().backward()
    through_embeddings, pixel_values.grad = pixel_values.grad, None
    assert through_embeddings.abs().max() > 0
    model(pixel_values, points()).iou_scores.sum().backward()
    assert pixel_values.grad.abs().max() > 0
    sparse, dense = model.get_prompt_embeddings(points(), input_masks=mask_prompts())
    assert sparse.requires_grad and dense.requires_grad


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_fresh_model_can_be_trained(implementation):
    """The signal passes, and gradients reach every weight."""
    model = SamModel(tiny_config()).train()
    model.set_attn_implementation(implementation)
    pixel_values = images()
    encoding = model.vision_encoder(pixel_values, output_hidden_states=True)
    for hidden_states in (*encoding.hidden_states, encoding.last_hidden_state):
        assert 0.2 < hidden_states.std() < 5
    assert (encoding.last_hidden_state[0] - encoding.last_hidden_state[1]).std() > 0.1
    assert model.shared_image_embedding.positional_embedding.std() > 0.5

    loss = torch.zeros(())
    for multimask_output in (True, False):
        everything = dict(input_points=points(), input_labels=labels(among=(0, 1, -1)), input_boxes=boxes())
        for masks in (mask_prompts(), None):
            output = model(pixel_values, **everything, input_masks=masks, multimask_output=multimask_output)
            loss = loss + output.pred_masks.square().mean() + output.iou_scores.square().mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        if "positional_embedding" in name:
            assert parameter.grad is None
        elif not name.endswith("k_proj.bias"):  # it moves all scores of a query alike, so softmax does not see it
            assert parameter.grad.norm() > 1e-8, name


def test_positions_are_never_trained(saved):
    for model in (tiny_model(), SamModel.from_pretrained(saved), SamModel.from_pretrained(saved, dtype=torch.bfloat16)):
        assert not any(p.requires_grad for name, p in model.named_parameters() if "positional_embedding" in name)
        model.requires_grad_(True)
        model(images(), points(), input_boxes=boxes()).pred_masks.sum().backward()
        assert model.shared_image_embedding.positional_embedding.grad is None
        assert model.prompt_encoder.shared_embedding.positional_embedding.grad is None
        assert model.prompt_encoder.no_mask_embed.weight.grad is not None


def test_positions_are_one_parameter(saved):
    for model in (SamModel(tiny_config()), SamModel.from_pretrained(saved)):
        shared = model.shared_image_embedding.positional_embedding
        assert model.prompt_encoder.shared_embedding.positional_embedding is shared
        assert {"shared_image_embedding.positional_embedding"} == {
            name for name, _ in model.named_parameters() if "positional" in name
        }


def test_positions_are_one_whatever_the_configuration_says_of_tying(tmp_path):
    config = tiny_config()
    config.tie_word_embeddings = False
    model = SamModel(config)
    model.save_pretrained(tmp_path)
    loaded, info = SamModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    for one in (model, loaded):
        assert (
            one.prompt_encoder.shared_embedding.positional_embedding is one.shared_image_embedding.positional_embedding
        )
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_checkpointed_gradients_are_equal():
    pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels())
    gradients = []
    for checkpointed in (False, True):
        model = tiny_model().train()
        if checkpointed:
            # The newer name, where Transformers has it: it warns of the older one.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()
            assert model.vision_encoder.gradient_checkpointing
        runs = []
        handle = model.vision_encoder.layers[1].register_forward_pre_hook(lambda *_, runs=runs: runs.append(1))
        model(pixel_values, **prompts).pred_masks.square().mean().backward()
        handle.remove()
        assert len(runs) == 1 + checkpointed
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


# Types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(model, dtype, tolerances):
    """Against the same rounded weights in float32; a few roundings of layers add up, so ten times the table's rows."""
    half = copy.deepcopy(model).to(dtype)
    model.load_state_dict(half.state_dict())
    prompts = dict(input_points=points(), input_labels=labels(among=(0, 1, -10)), input_boxes=boxes())
    prompts |= dict(
        input_masks=mask_prompts(),
        attention_similarity=torch.randn(BATCH * PROMPTS, 1, 1, GRID**2),
        target_embedding=torch.randn(BATCH, 1, 1, CHANNELS),
    )
    pixel_values = images()
    output, expected = half(pixel_values, **prompts), model(pixel_values, **prompts)
    assert output.iou_scores.dtype == torch.float32 and output.pred_masks.dtype == dtype
    close(output, expected, tolerance=10 * tolerances[dtype].atol)
    agree = ((output.pred_masks > 0) == (expected.pred_masks > 0)).float().mean()
    assert agree > 0.95


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(model, dtype, tolerances):
    pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels())
    expected = model(pixel_values, **prompts)
    with torch.autocast("cpu", dtype):
        output = model(pixel_values, **prompts)
    assert output.iou_scores.dtype == torch.float32
    close(output, expected, tolerance=10 * tolerances[dtype].atol)


def test_float64_points_are_fine(model):
    embeddings, input_points = model.get_image_embeddings(images()), points()
    expected = model(image_embeddings=embeddings, input_points=input_points)
    close(model(image_embeddings=embeddings.double(), input_points=input_points.double()), expected, 1e-6)


# Loading


def test_a_model_from_a_file_of_the_hub():
    """The oldest files, with a smaller image encoder so that it is quick."""
    literal = copy.deepcopy(HUB_CONFIGS["facebook/sam-vit-base"])
    literal["vision_config"] |= dict(hidden_size=24, mlp_dim=10, num_hidden_layers=1, global_attn_indexes=[])
    literal["mask_decoder_config"] |= dict(mlp_dim=10)
    with torch.device("meta"):
        model = SamModel(SamConfig(**literal))
    assert model.get_input_embeddings() is model.vision_encoder.patch_embed
    assert model.vision_encoder.pos_embed.shape == (1, 64, 64, 24)


# Compiling


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_compiles_whole_and_once(implementation):
    """No graph breaks (fullgraph), and no second compilation for other images and prompts of the same shape."""
    model = tiny_model(vision=dict(num_hidden_layers=2)).requires_grad_(False)
    model.set_attn_implementation(implementation)
    compilations = []

    def backend(graph, example_inputs):
        compilations.append(graph)
        return graph.forward

    torch._dynamo.reset()
    encode = torch.compile(model.get_image_embeddings, fullgraph=True, backend=backend)
    decode = torch.compile(model.forward, fullgraph=True, backend=backend)
    for _ in range(2):
        pixel_values, prompts = images(), dict(input_points=points(), input_labels=labels(among=(0, 1, -10)))
        with torch.no_grad():
            embeddings = encode(pixel_values)
            assert relative_difference(embeddings, model.get_image_embeddings(pixel_values)) < 1e-5
            close(decode(image_embeddings=embeddings, **prompts), model(image_embeddings=embeddings, **prompts), 1e-5)
    assert len(compilations) == 2
    torch._dynamo.reset()


# Errors

WRONG = {
    "neither image nor embedding": (
        lambda: dict(input_points=points()),
        "Exactly one of pixel_values and image_embeddings must be given, got neither",
    ),
    "both": (
        lambda: dict(pixel_values=images(), image_embeddings=torch.zeros(BATCH, CHANNELS, GRID, GRID)),
        "Exactly one of pixel_values and image_embeddings must be given, got both",
    ),
    "image of another size": (lambda: dict(pixel_values=images(size_hw=(72, 80))), "must be 80 x 80"),
    "embedding of another model": (
        lambda: dict(image_embeddings=torch.zeros(BATCH, 7, GRID, GRID)),
        r"image_embeddings must have shape \(batch, 32, height, width\), got \(2, 7, 10, 10\)",
    ),
    "embedding without batch": (
        lambda: dict(image_embeddings=torch.zeros(CHANNELS, GRID, GRID)),
        r"image_embeddings must have shape .* got \(32, 10, 10\)",
    ),
    "points for other images": (
        lambda: dict(pixel_values=images(), input_points=points(batch=1)),
        r"input_points must have one entry for each of the 2 image\(s\), got shape \(1, 3, 4, 2\)",
    ),
    "boxes for other images": (
        lambda: dict(pixel_values=images(), input_boxes=boxes(batch=3)),
        r"input_boxes must have one entry for each of the 2 image\(s\)",
    ),
    "masks for other images": (
        lambda: dict(pixel_values=images(), input_masks=mask_prompts(batch=1)),
        r"input_masks must have one entry for each of the 2 image\(s\)",
    ),
    "prompts that do not fit, see unit/prompts/test_checks.py": (
        lambda: dict(pixel_values=images(), input_points=points(), input_labels=labels(count=3)),
        r"one label per point, \(2, 3, 4\), got \(2, 3, 3\)",
    ),
    "masks of another size": (
        lambda: dict(pixel_values=images(), input_masks=mask_prompts(side=80)),
        r"input_masks must be logits of shape \(batch, 1 or prompts, 40, 40\), got \(2, 1, 80, 80\)",
    ),
    "similarity of another shape": (
        lambda: dict(pixel_values=images(), input_points=points(), attention_similarity=torch.zeros(3, 1, 1, GRID**2)),
        r"attention_similarity must broadcast to \(batch \* prompts, .* batch of 2, got \(3, 1, 1, 100\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        tiny_model()(**arguments())


def test_candidates_of_one_image_only():
    with pytest.raises(ValueError, match="one image at a time, got a batch of 2"):
        tiny_model().decode_proposals(torch.zeros(BATCH, CHANNELS, GRID, GRID), points())
    with pytest.raises(ValueError, match="input_points must have shape"):
        tiny_model().decode_proposals(torch.zeros(1, CHANNELS, GRID, GRID), points(batch=1)[0])


def test_the_longest_side_is_the_frame_of_rectangles(model):
    """Points of a half-size rectangle refer to its own pixels: coordinates beyond its longer side are outside."""
    embeddings = model.get_image_embeddings(images(1, size_hw=(IMAGE_SIZE // 2, 24)), interpolate_pos_encoding=True)
    position = model.get_image_wide_positional_embeddings((5, 3))
    square = model.get_image_wide_positional_embeddings((5, 5))
    assert embeddings.shape[2:] == (5, 3)
    assert torch.equal(position, square[..., :3])


# Image embeddings


def encoded(model, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    return embed_image(model, SamImageProcessor(size=80, pad_size=80), pixels)


def test_image_embeddings_stand_for_their_tensors():
    model = tiny_model()
    first, second = encoded(model, 1), encoded(model, 2)
    prompts = dict(input_points=points(), input_labels=labels())
    tensors = torch.cat([first.tensor, second.tensor])
    with torch.no_grad():
        expected = model(image_embeddings=tensors, **prompts).pred_masks
        assert torch.equal(model(image_embeddings=[first, second], **prompts).pred_masks, expected)
        alone = model(image_embeddings=second, input_points=prompts["input_points"][1:]).pred_masks
        assert torch.equal(
            alone, model(image_embeddings=tensors[1:], input_points=prompts["input_points"][1:]).pred_masks
        )


def test_the_decoder_trains_on_an_image_embedding():
    model = tiny_model()
    model(image_embeddings=encoded(model, 1), input_points=points(batch=1)).pred_masks.sum().backward()
    assert model.mask_decoder.iou_token.weight.grad is not None
    assert model.vision_encoder.patch_embed.projection.weight.grad is None


def test_image_embeddings_that_do_not_fit_are_refused():
    model = tiny_model()
    embedding, prompts = encoded(model, 1), dict(input_points=points())
    with pytest.raises(ValueError, match="must come from this model's image encoder"):
        tiny_model(seed=3)(image_embeddings=embedding, **prompts)
    with pytest.raises(TypeError, match=r"a tensor, an anymask\.ImageEmbedding or a list of these, got Tensor; stack"):
        model(image_embeddings=[embedding.tensor], **prompts)
    with pytest.raises(ValueError, match=r"at least one member and one shape, got \[\]"):
        model(image_embeddings=[], **prompts)


# Under PreTrainedModel


def test_dtype_auto_keeps_the_file_s(saved, tmp_path):
    assert SamModel.from_pretrained(saved, dtype="auto").dtype == torch.float32
    SamModel.from_pretrained(saved).to(torch.float16).save_pretrained(tmp_path)
    assert SamModel.from_pretrained(tmp_path, dtype="auto").dtype == torch.float16
    assert SamModel.from_pretrained(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert SamModel.from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32


def test_a_part_of_a_whole_has_its_dtype():
    whole, part = SamModel.from_pretrained("sam-vit-nano"), SamVisionModel.from_pretrained("sam-vit-nano")
    assert whole.dtype == part.dtype == torch.float32  # though the file's weights are float16
    assert all(map(torch.equal, whole.vision_encoder.parameters(), part.vision_encoder.parameters()))
    assert SamVisionModel.from_pretrained("sam-vit-nano", dtype=torch.bfloat16).dtype == torch.bfloat16


PARTS = ("vision_encoder", "prompt_encoder", "mask_decoder", "shared_image_embedding")


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}, dict.fromkeys(PARTS, "cpu")], ids=str)
def test_device_map(saved, device_map):
    """Parts go where Transformers' own SAM puts them."""
    model = SamModel.from_pretrained(saved, device_map=device_map).eval()
    theirs = transformers.SamModel.from_pretrained(saved, device_map=device_map)
    assert getattr(model, "hf_device_map", None) == getattr(theirs, "hf_device_map", None)
    pixel_values, prompts = images(), dict(input_points=points())
    with torch.no_grad():
        masks, expected = model(pixel_values, **prompts), tiny_model()(pixel_values, **prompts)
    assert relative_difference(masks.pred_masks, expected.pred_masks) < 1e-6
    assert relative_difference(masks.iou_scores, expected.iou_scores) < 1e-6


def test_offloading_is_refused(saved, tmp_path):
    parts = dict.fromkeys(["vision_encoder", "shared_image_embedding", "prompt_encoder"], "cpu")
    with pytest.raises(ValueError, match="but offloads mask_decoder; load it on one device"):
        SamModel.from_pretrained(saved, device_map={**parts, "mask_decoder": "disk"}, offload_folder=tmp_path)
    with pytest.raises(ValueError, match="but offloads vision_encoder; load it on one device"):
        SamModel.from_pretrained(saved, device_map={"": "cpu", "vision_encoder": "disk"})


def test_attention_implementations(saved):
    assert SamModel.from_pretrained(saved).config._attn_implementation == "sdpa"
    for name in ("eager", "folded", "sdpa"):
        model = SamModel.from_pretrained(saved, attn_implementation=name)
        assert model.vision_encoder.config._attn_implementation == name
        assert model.mask_decoder.config._attn_implementation == name
    model = SamModel.from_pretrained(saved, attn_implementation={"vision_config": "eager"})
    assert model.vision_encoder.config._attn_implementation == "eager"
    for name in ("flash_attention_2", "flex_attention", "flash"):
        with pytest.raises((ValueError, ImportError), match=r"(?i)flash|flex"):
            SamModel.from_pretrained(saved, attn_implementation=name)
    with pytest.raises(ValueError, match=r"one of \['eager', 'folded', 'sdpa'\], got 'paged\|eager'"):
        SamModel.from_pretrained(saved, attn_implementation="paged|eager")


def test_attention_is_changed_without_a_warning(saved, caplog, monkeypatch):
    model = SamModel.from_pretrained(saved)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        model.set_attn_implementation("eager")
        assert model.vision_encoder.config._attn_implementation == "eager"
        assert model.mask_decoder.config._attn_implementation == "eager"
        model.set_attn_implementation({"vision_config": "sdpa"})
        assert model.vision_encoder.config._attn_implementation == "sdpa"
        assert model.mask_decoder.config._attn_implementation == "eager"
        vision = SamVisionModel(tiny_config().vision_config)
        vision.set_attn_implementation("eager")
        assert vision.vision_encoder.config._attn_implementation == "eager"
    assert not caplog.records
    with pytest.raises(ValueError, match=r"one of \['eager', 'folded', 'sdpa'\], got 'flash_attention_2'"):
        model.set_attn_implementation("flash_attention_2")
    with pytest.raises(ValueError, match="got 'flex'"):
        model.set_attn_implementation({"vision_config": "flex"})
    assert model.vision_encoder.config._attn_implementation == "sdpa"
