"""The decoder with less work against the plain one: prompts, types, gradients, hooks, adapters, changes, threads."""

import copy
from concurrent.futures import ThreadPoolExecutor

import peft
import pytest
import torch
from tests.tiny_sam import (
    BATCH,
    CHANNELS,
    GRID,
    PROMPTS,
    boxes,
    images,
    labels,
    mask_prompts,
    points,
    relative_difference,
    tiny_model,
)
from torch import nn
from torch.nn.utils import parametrizations, prune

from anymask.modeling import decoders
from anymask.modeling.fast.images import OwnImage
from anymask.modeling.fast.shared_image import SharedImage
from anymask.modeling.fast.untouched import is_untouched


def some_missing(masks):
    masks[0, -1] = torch.nan
    return masks


PROMPT_KINDS = {
    "points": lambda batch, prompts: dict(input_points=points(batch, prompts)),
    "one point": lambda batch, prompts: dict(input_points=points(batch, prompts, 1)),
    "no points": lambda batch, prompts: dict(
        input_points=points(batch, prompts, 0), input_labels=labels(batch, prompts, 0)
    ),
    "ragged": lambda batch, prompts: dict(
        input_points=points(batch, prompts), input_labels=labels(batch, prompts, among=(0, 1, -1, -10))
    ),
    "boxes": lambda batch, prompts: dict(input_boxes=boxes(batch, prompts)),
    "corners, some with points": lambda batch, prompts: dict(
        input_points=points(batch, prompts), input_labels=labels(batch, prompts, among=(1, 2, 3, -10))
    ),
    "ragged points and boxes": lambda batch, prompts: dict(
        input_points=points(batch, prompts),
        input_labels=labels(batch, prompts, among=(0, 1, -10)),
        input_boxes=boxes(batch, prompts),
    ),
    "more tokens than are worth while": lambda batch, prompts: dict(input_points=points(batch, prompts, 12)),
    "a mask": lambda batch, prompts: dict(input_points=points(batch, prompts), input_masks=mask_prompts(batch, 1)),
    "a mask for each, some missing": lambda batch, prompts: dict(
        input_points=points(batch, prompts), input_masks=some_missing(mask_prompts(batch, prompts))
    ),
    "masks alone": lambda batch, prompts: dict(input_masks=mask_prompts(batch, prompts)),
}


def outputs(model, implementation, image, multimask_output=True, **prompts):
    model.set_attn_implementation(implementation)
    output = model(image_embeddings=image, multimask_output=multimask_output, **prompts)
    return output.pred_masks, output.iou_scores


def assert_same(actual, expected, dtype=torch.float32, tolerance=None):
    for mine, their in zip(actual, expected, strict=True):
        assert relative_difference(mine, their) < (tolerance or {torch.float64: 1e-9, torch.float32: 1e-5}[dtype])


@pytest.fixture
def model():
    return tiny_model().requires_grad_(False)


@pytest.mark.parametrize("prompts", [1, PROMPTS])
@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("kind", PROMPT_KINDS)
@torch.no_grad()
def test_prompts(model, kind, batch, prompts):
    embeddings, arguments = model.get_image_embeddings(images(batch)), PROMPT_KINDS[kind](batch, prompts)
    for multimask_output in (True, False, None):
        plain = outputs(model, "eager", embeddings, multimask_output, **arguments)
        assert_same(outputs(model, "sdpa", embeddings, multimask_output, **arguments), plain)
        assert_same(outputs(model, "sdpa", model.prepare_image(embeddings), multimask_output, **arguments), plain)


@pytest.mark.parametrize("size_hw", [(80, 56), (24, 80), (104, 104), (8, 16)])
@torch.no_grad()
def test_rectangles_and_other_sizes(model, size_hw):
    embeddings = model.get_image_embeddings(images(1, size_hw), interpolate_pos_encoding=True)
    height, width = (side // 8 for side in size_hw)
    for prompts in (1, PROMPTS):
        arguments = dict(input_points=points(1, prompts), input_labels=labels(1, prompts))
        plain = outputs(model, "eager", embeddings, **arguments)
        assert plain[0].shape == (1, prompts, 3, 4 * height, 4 * width)
        assert_same(outputs(model, "sdpa", model.prepare_image(embeddings), **arguments), plain)
        arguments["input_masks"] = torch.randn(1, prompts, 4 * height, 4 * width)
        plain = outputs(model, "eager", embeddings, **arguments)
        assert_same(outputs(model, "sdpa", model.prepare_image(embeddings), **arguments), plain)


@pytest.mark.parametrize(
    "decoder",
    [dict(num_hidden_layers=1), dict(num_hidden_layers=3), dict(num_multimask_outputs=1), dict(iou_head_depth=4)],
)
@torch.no_grad()
def test_decoders(decoder):
    model = tiny_model(decoder=decoder)
    embeddings, arguments = model.get_image_embeddings(images(1)), dict(input_points=points(1))
    plain = outputs(model, "eager", embeddings, **arguments)
    assert_same(outputs(model, "sdpa", model.prepare_image(embeddings), **arguments), plain)


@torch.no_grad()
def test_types(model):
    """In half precision nothing is lost but what the plain formula loses too, against float64."""
    embeddings = model.get_image_embeddings(images(1))
    for kind in ("ragged", "a mask for each, some missing"):
        arguments = PROMPT_KINDS[kind](1, 50)
        exact = outputs(copy.deepcopy(model).double(), "eager", embeddings.double(), **arguments)
        for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            typed = copy.deepcopy(model).to(dtype)
            plain = outputs(typed, "eager", embeddings.to(dtype), **arguments)
            fast = outputs(typed, "sdpa", typed.prepare_image(embeddings.to(dtype)), **arguments)
            assert fast[0].dtype == plain[0].dtype == dtype
            assert fast[1].dtype == plain[1].dtype == torch.promote_types(dtype, torch.float32)
            for mine, their, best in zip(fast, plain, exact, strict=True):
                assert (mine - best).norm() < 1.5 * (their - best).norm() + 1e-9


@torch.no_grad()
def test_autocast(model):
    embeddings, arguments = model.get_image_embeddings(images(1)), PROMPT_KINDS["ragged"](1, PROMPTS)
    exact = outputs(model, "eager", embeddings, **arguments)
    with torch.autocast("cpu", torch.bfloat16):
        plain = outputs(model, "eager", embeddings, **arguments)
        prepared = model.prepare_image(embeddings)
        inside = outputs(model, "sdpa", prepared, **arguments)
    for fast in (inside, outputs(model, "sdpa", prepared, **arguments)):
        for mine, their, best in zip(fast, plain, exact, strict=True):
            assert (mine.float() - best).norm() < 1.5 * (their.float() - best).norm()


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("kind", ["ragged points and boxes", "a mask for each, some missing"])
def test_gradients(kind, multimask_output):
    """Of every weight and of the image; zeros for masks that are not asked for, so that distributed training runs."""
    model, arguments = tiny_model().double(), PROMPT_KINDS[kind](BATCH, PROMPTS)
    embeddings = torch.randn(BATCH, CHANNELS, GRID, GRID, dtype=torch.float64)
    gradients = []
    for implementation in ("eager", "sdpa"):
        model.zero_grad()
        image = embeddings.clone().requires_grad_(True)
        masks, scores = outputs(model, implementation, image, multimask_output, **arguments)
        (masks.square().mean() + scores.square().mean()).backward()
        gradients.append({"image": image.grad} | {name: weight.grad for name, weight in model.named_parameters()})
    plain, fast = gradients
    assert all(plain[name] is not None for name in plain if name.startswith("mask_decoder"))
    for name, gradient in plain.items():
        assert (gradient is None) == (fast[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(fast[name], gradient, rtol=1e-7, atol=1e-8)


def test_what_was_prepared_does_not_stand_in_the_way_of_gradients():
    model, arguments = tiny_model(), dict(input_points=points(1))
    embeddings = model.get_image_embeddings(images(1)).detach()
    gradients = []
    for image in (embeddings, model.prepare_image(embeddings)):
        model.zero_grad()
        model(image_embeddings=image, **arguments).pred_masks.square().mean().backward()
        gradients.append([weight.grad for weight in model.mask_decoder.transformer.parameters()])
    for plain, prepared in zip(*gradients, strict=True):
        assert torch.equal(plain, prepared)


# When it may serve


def way(model, wishes=None, **prompts):
    sparse, dense = model.prompt_encoder(**prompts)
    return decoders.choose_decoder(model.mask_decoder, decoders.PromptEmbeddings(sparse, dense), wishes or {})


def test_which_way_is_taken(model):
    assert way(model, input_points=points()) == "fast"
    assert way(model, input_points=points(count=10)) == "fast"
    assert way(model, input_points=points(count=11)) == "plain"
    assert way(model, {"output_attentions": True}, input_points=points()) == "plain"
    model.set_attn_implementation("eager")
    assert way(model, input_points=points()) == "plain"


NAMES = [name for name, part in tiny_model().mask_decoder.named_modules() if type(part) is not nn.ModuleList]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_hook_on_any_module_is_called(model, name):
    embeddings, arguments, calls = model.get_image_embeddings(images(1)), dict(input_points=points(1)), []
    expected = outputs(model, "sdpa", embeddings, **arguments)
    hook = model.mask_decoder.get_submodule(name).register_forward_hook(lambda *_: calls.append(name))
    assert_same(outputs(model, "sdpa", embeddings, **arguments), expected)
    assert calls
    hook.remove()
    assert way(model, **arguments) == "fast"
    before = model.mask_decoder.get_submodule(name).register_forward_pre_hook(lambda *_: calls.append(name))
    assert way(model, **arguments) == "plain"
    before.remove()
    hook = model.mask_decoder.get_submodule(name).register_full_backward_hook(lambda *_: None)
    assert way(model, **arguments) == "plain"
    hook.remove()


@torch.no_grad()
def test_another_activation_is_computed_with(model):
    model.mask_decoder.activation = nn.SiLU()
    model.mask_decoder.iou_prediction_head.activation = nn.GELU()
    embeddings, arguments = model.get_image_embeddings(images(1)), dict(input_points=points(1))
    assert_same(outputs(model, "sdpa", embeddings, **arguments), outputs(model, "eager", embeddings, **arguments))


def test_hooks_of_the_whole_program(model):
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not is_untouched(model.mask_decoder)
    finally:
        handle.remove()


class Wrapped(nn.Module):
    """Adds something to what a module gives, and shows its weights, as adapters do."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    weight = property(lambda self: self.module.weight)
    bias = property(lambda self: self.module.bias)

    def forward(self, *args, **kwargs):
        output = self.module(*args, **kwargs)
        if isinstance(output, tuple):
            return (output[0] + 0.3 * output[0].abs(), *output[1:])
        return output + 0.3 * output.abs()


@pytest.mark.parametrize("name", [name for name in NAMES if name])
@torch.no_grad()
def test_any_wrapped_module_has_its_say(model, name):
    parent, _, attribute = name.rpartition(".")
    module = model.mask_decoder.get_submodule(name)
    embeddings = model.get_image_embeddings(images(1))
    arguments = dict(input_points=points(1), multimask_output=None)
    before = outputs(model, "sdpa", embeddings, **arguments)
    setattr(model.mask_decoder.get_submodule(parent), attribute, Wrapped(module))
    after = outputs(model, "sdpa", embeddings, **arguments)
    assert way(model, input_points=points(1)) == "plain"
    assert max(relative_difference(mine, their) for mine, their in zip(after, before, strict=True)) > 1e-3
    assert_same(after, outputs(model, "eager", embeddings, **arguments))


def give_forward(layer):
    layer.forward = lambda features: type(layer).forward(layer, features).abs()


@pytest.mark.parametrize(
    "targets",
    [["q_proj", "v_proj"], ["lin1", "lin2"], ["conv2", "projection"], ["upscale_conv1"], ["proj_in", "proj_out"]],
)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@torch.no_grad()
def test_adapters_of_peft(model, targets):
    """An adapter has its say, and says the same when it is merged into the weights."""
    if targets == ["upscale_conv1"]:  # peft has no adapter for transposed convolutions, but trains copies of them
        config = peft.LoraConfig(target_modules=["lin1"], modules_to_save=targets, init_lora_weights=False)
    else:
        config = peft.LoraConfig(target_modules=targets, init_lora_weights=False, r=2)
    pixel_values, arguments = images(1), dict(input_points=points(1), input_masks=mask_prompts(1))
    before = model(pixel_values, **arguments).pred_masks
    adapted = peft.get_peft_model(model, config)
    if targets == ["upscale_conv1"]:
        adapted.base_model.model.mask_decoder.upscale_conv1.modules_to_save["default"].weight.add_(0.1)
    output = adapted(pixel_values, **arguments).pred_masks
    assert relative_difference(output, before) > 1e-3
    merged = adapted.merge_and_unload()(pixel_values, **arguments).pred_masks
    assert relative_difference(merged, output) < 1e-4


def test_the_program_s_default_type_and_device(model):
    """Tensors take these from what they belong to."""
    embeddings, arguments = model.get_image_embeddings(images(1)), PROMPT_KINDS["ragged"](1, PROMPTS)
    for implementation in ("eager", "sdpa"):
        with torch.no_grad():
            expected = outputs(model, implementation, embeddings, **arguments)
            torch.set_default_dtype(torch.float64)
            try:
                actual = outputs(model, implementation, model.prepare_image(embeddings), **arguments)
            finally:
                torch.set_default_dtype(torch.float32)
            assert [part.dtype for part in actual] == [torch.float32] * 2
            assert_same(actual, expected)
            with torch.device("meta"):
                actual = outputs(model, implementation, model.prepare_image(embeddings), **arguments)
            assert_same(actual, expected)


TOUCHES = {
    "pruned": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "a forward of its own": give_forward,
    "without a bias": lambda layer: setattr(layer, "bias", None),
}


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize(
    "name", ["upscale_conv1", "upscale_conv2", "transformer.layers.1.cross_attn_image_to_token.out_proj"]
)
def test_touched_layers(model, name, touch):
    embeddings, arguments = model.get_image_embeddings(images(1)), dict(input_points=points(1))
    before = outputs(model, "sdpa", embeddings, **arguments)
    TOUCHES[touch](model.mask_decoder.get_submodule(name))
    assert way(model, **arguments) == "plain"
    after = outputs(model, "sdpa", embeddings, **arguments)
    assert torch.equal(after[0], outputs(model, "eager", embeddings, **arguments)[0])
    if touch != "weight norm":
        assert relative_difference(after[0], before[0]) > 1e-3


def test_weights_of_a_type_of_their_own(model):
    class OwnProducts(torch.Tensor):
        pass

    layer = model.mask_decoder.upscale_conv2
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(OwnProducts))
    assert not is_untouched(model.mask_decoder)


# Weights that change


def fused_step(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()


def write_data(model):
    for weight in model.mask_decoder.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))


def swap_average(model):
    """As libraries of moving averages do before they evaluate."""
    average = [weight.detach() + 0.05 * torch.randn_like(weight) for weight in model.parameters()]
    torch._foreach_copy_([weight.data for weight in model.parameters()], average)


def write_through_numpy(model):
    model.mask_decoder.transformer.layers[1].cross_attn_image_to_token.out_proj.weight.detach().numpy()[2, 3] += 7.0


def write_no_mask(model):
    model.prompt_encoder.no_mask_embed.weight.data += 0.3


def write_frequencies(model):
    model.shared_image_embedding.positional_embedding.data *= 1.2


CHANGES = [fused_step, write_data, swap_average, write_through_numpy, write_no_mask, write_frequencies]


@pytest.mark.parametrize("prompts", [1, PROMPTS])
@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_weights_that_change_are_noticed(change, prompts):
    model, arguments = tiny_model(), dict(input_points=points(1, prompts), input_labels=labels(1, prompts))
    embeddings = model.get_image_embeddings(images(1))
    prepared = model.prepare_image(embeddings)
    before = outputs(model, "sdpa", prepared, **arguments)
    change(model)
    fresh = tiny_model()
    fresh.load_state_dict(model.state_dict())
    expected = outputs(fresh, "eager", embeddings, **arguments)
    assert relative_difference(expected[0], before[0]) > 1e-3
    assert_same(outputs(model, "sdpa", prepared, **arguments), expected)
    assert_same(outputs(model, "sdpa", embeddings, **arguments), expected)
    proposals = model.decode_proposals(prepared, **arguments)
    assert_same([proposals.low_res_logits], [expected[0][0].flatten(0, 1)])


@torch.no_grad()
def test_a_model_that_changes_its_type(model):
    prepared, arguments = model.prepare_image(model.get_image_embeddings(images(1))), dict(input_points=points(1))
    assert outputs(model.bfloat16(), "sdpa", prepared, **arguments)[0].dtype == torch.bfloat16


@torch.no_grad()
def test_what_was_prepared_is_used(model):
    """Nothing of the image is projected again: another base gives other masks."""
    prepared = model.prepare_image(model.get_image_embeddings(images(1)))
    other = model.prepare_image(model.get_image_embeddings(images(1)))
    mixed = type(prepared)(**{**vars(prepared), "sharing": other.sharing})
    arguments = dict(input_points=points(1))
    assert torch.equal(outputs(model, "sdpa", mixed, **arguments)[0], outputs(model, "sdpa", other, **arguments)[0])


def test_one_model_in_many_threads(model):
    """Different images and prompts at once: every result is that of a serial run."""
    embeddings = model.get_image_embeddings(images(4))
    tasks = []
    for number in range(24):
        image = embeddings[number % 4][None]
        image = model.prepare_image(image) if number % 3 else image
        kind = list(PROMPT_KINDS)[number % len(PROMPT_KINDS)]
        tasks.append((image, PROMPT_KINDS[kind](1, 1 + number % 5)))
    model.set_attn_implementation("sdpa")

    def run(task):
        image, arguments = task
        with torch.no_grad():
            return model(image_embeddings=image, **arguments).pred_masks

    serial = [run(task) for task in tasks]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for expected, actual in zip(serial, pool.map(run, tasks), strict=True):
                assert torch.equal(actual, expected)


@pytest.mark.parametrize("kind", ["ragged", "a mask for each, some missing"])
@torch.inference_mode()
def test_prompts_go_to_all_cores(model, kind):
    """Some on each core: the same masks, and torch's number of threads is left as it was."""
    image, arguments = model.prepare_image(model.get_image_embeddings(images(1))), PROMPT_KINDS[kind](1, 7)
    expected = outputs(model, "sdpa", image, **arguments)
    points_alone = dict(input_points=arguments["input_points"], iou_threshold=0.3)
    proposals = model.decode_proposals(image, **points_alone)
    torch.set_num_threads(3)
    try:
        assert_same(outputs(model, "sdpa", image, **arguments), expected)
        for mine, their in zip(model.decode_proposals(image, **points_alone), proposals, strict=True):
            torch.testing.assert_close(mine, their, rtol=1e-4, atol=1e-4)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


# Both ways by themselves


@pytest.mark.parametrize("kind", [OwnImage, SharedImage])
def test_the_image_of_some_prompts_and_pixels(model, kind):
    from anymask.modeling.fast.decoder import PreparedImage, _begin, _transform

    decoder = model.mask_decoder
    dense = torch.randn(1, CHANNELS, 1, 1).expand(-1, -1, 4, 5)
    dense = dense[:, None].expand(-1, PROMPTS, -1, -1, -1) if kind is OwnImage else dense
    image = PreparedImage(torch.randn(BATCH, CHANNELS, 4, 5), torch.randn(1, CHANNELS, 4, 5), torch.zeros(2, 16))
    start = _begin(decoder, image, dense, PROMPTS)
    assert type(start) is kind
    _, written = _transform(decoder, torch.randn(BATCH, PROMPTS, 7, CHANNELS), start, None)
    weight = decoder.upscale_conv1.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = decoder.upscale_conv1.bias.repeat(4)
    whole = written.features(weight, bias)(slice(None), slice(None))
    assert whole.shape == (BATCH, PROMPTS, 20, CHANNELS)
    part = written.features(weight, bias)(slice(1, 3), slice(4, 17))
    torch.testing.assert_close(part, whole[:, 1:3, 4:17])
    chosen = written.of_prompts(torch.tensor([2, 0])).features(weight, bias)(slice(None), slice(None))
    torch.testing.assert_close(chosen, whole[:, [2, 0]])
