"""Under "eager" the transformer is the plain formula; otherwise it does less work for the same result."""

from typing import NamedTuple

import pytest
import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS, tiny_model

from anymask.modeling.fast.image_tokens import OwnImageTokens, PlainImageTokens
from anymask.modeling.fast.shared_image import SharedImageTokens
from anymask.modeling.two_way_transformer import TwoWayTransformer

TOKENS, PIXELS = 7, 20


def transformer(**decoder) -> TwoWayTransformer:
    return tiny_model(decoder=decoder).mask_decoder.transformer.requires_grad_(False)


GRID_HW = (4, 5)
LAST_WEIGHT = torch.randn(11, CHANNELS, generator=torch.Generator().manual_seed(1)) / CHANNELS**0.5
LAST_BIAS = torch.randn(11, generator=torch.Generator().manual_seed(2))
EVERYTHING = (slice(None), slice(None))


class Image(NamedTuple):
    embeddings: torch.Tensor
    dense: torch.Tensor
    position: torch.Tensor


def image_tokens(module, implementation, image, prompts=PROMPTS, tokens=TOKENS):
    module.config._attn_implementation = implementation
    tokens = torch.empty(BATCH, prompts, tokens, CHANNELS)
    return module.image_tokens(*image, tokens, LAST_WEIGHT.to(image.position.dtype))


def run(module, implementation, tokens, image, **optional):
    """Tokens, a projection of the image, weights."""
    tokens, written, weights = module(tokens, image_tokens(module, implementation, image, tokens.shape[1]), **optional)
    return tokens, written.projection(LAST_WEIGHT, LAST_BIAS)(*EVERYTHING), weights


def inputs(image_prompts=1):
    """Tokens and an image: one for all prompts, or through the dense prompt one for each."""
    own = (image_prompts,) if image_prompts > 1 else ()
    image = Image(
        torch.randn(BATCH, CHANNELS, *GRID_HW),
        torch.randn(BATCH, *own, CHANNELS, *GRID_HW),
        torch.randn(1, 1, PIXELS, CHANNELS),
    )
    return torch.randn(BATCH, PROMPTS, TOKENS, CHANNELS), image


def some_padding():
    is_padding = torch.zeros(BATCH, PROMPTS, TOKENS, dtype=torch.bool)
    is_padding[0, 1, 5:] = True
    is_padding[1, 2, 6] = True
    return is_padding


OPTIONAL = {
    "nothing": dict,
    "padding": lambda: dict(is_padding=some_padding()),
    "similarity": lambda: dict(similarity=torch.randn(BATCH, PROMPTS, 1, 1, PIXELS)),
    "one similarity": lambda: dict(similarity=torch.randn(1, 1, 1, 1, PIXELS)),
    "target": lambda: dict(target_embedding=torch.randn(BATCH, 1, 1, CHANNELS)),
    "all": lambda: dict(
        is_padding=some_padding(),
        similarity=torch.randn(BATCH, PROMPTS, 4, 1, PIXELS),
        target_embedding=torch.randn(BATCH, PROMPTS, 1, CHANNELS),
    ),
}


@pytest.mark.parametrize("image_prompts", [1, PROMPTS])
@pytest.mark.parametrize("optional", OPTIONAL)
@pytest.mark.parametrize("layers", [1, 3])
def test_less_work_gives_the_same_result(image_prompts, optional, layers, tolerances):
    module = transformer(num_hidden_layers=layers)
    for norm in (module.layers[0].layer_norm4, module.layers[-1].layer_norm4):  # as they are after training
        norm.weight += torch.randn(CHANNELS) / 4
        norm.bias += torch.randn(CHANNELS) / 4
    arguments, optional = inputs(image_prompts), OPTIONAL[optional]()
    plain = run(module, "eager", *arguments, **optional)
    less = run(module, "sdpa", *arguments, **optional)
    tolerance = tolerances[torch.float32]._asdict()
    torch.testing.assert_close(less[0], plain[0], **tolerance)
    torch.testing.assert_close(less[1], plain[1], **tolerance)
    assert less[0].shape == (BATCH, PROMPTS, TOKENS, CHANNELS)
    assert less[1].shape == (BATCH, PROMPTS, PIXELS, len(LAST_BIAS))
    assert len(less[2]) == layers + 1
    for mine, their in zip(less[2], plain[2], strict=True):
        assert mine.shape == (BATCH, PROMPTS, 4, TOKENS, PIXELS)
        torch.testing.assert_close(mine, their, **tolerance)
        torch.testing.assert_close(mine.sum(dim=-1), torch.ones(mine.shape[:-1]))


def kind(module, image, prompts):
    return type(image_tokens(module, "sdpa", image, prompts))


def one_image():
    """An image by itself, without a mask prompt."""
    image = inputs()[1]
    no_mask = torch.randn(1, CHANNELS, 1, 1).expand(-1, -1, *GRID_HW)
    return Image(image.embeddings[:1], no_mask, image.position)


def test_which_way_is_taken():
    module, image, (_, images), (_, images_of_each) = transformer(), one_image(), inputs(), inputs(PROMPTS)
    assert type(image_tokens(module, "eager", image)) is PlainImageTokens
    assert kind(module, images, prompts=2) is SharedImageTokens
    assert kind(module, images_of_each, prompts=PROMPTS) is OwnImageTokens
    assert type(image_tokens(module, "sdpa", images, tokens=16)) is SharedImageTokens
    assert type(image_tokens(module, "sdpa", images, tokens=17)) is PlainImageTokens
    assert type(image_tokens(module, "sdpa", images_of_each, tokens=17)) is PlainImageTokens

    assert kind(module, image, prompts=1) is OwnImageTokens
    with torch.no_grad():  # then the image is kept
        assert kind(module, image, prompts=1) is SharedImageTokens
        with_mask = image._replace(dense=torch.randn(1, CHANNELS, *GRID_HW))
        assert kind(module, with_mask, prompts=1) is OwnImageTokens
        assert kind(module, images, prompts=1) is OwnImageTokens
        with torch.autocast("cpu", torch.bfloat16):
            assert kind(module, image, prompts=1) is OwnImageTokens


@torch.no_grad()
def test_an_image_is_prepared_once(tolerances):
    module, image, tokens = transformer(), one_image(), torch.randn(1, PROMPTS, TOKENS, CHANNELS)
    first = image_tokens(module, "sdpa", image)
    again = image_tokens(module, "sdpa", image._replace(embeddings=image.embeddings.clone()), prompts=1)
    assert first.shared is again.shared
    changes = [
        lambda: image.embeddings[0, 0, 0, 0].add_(1),  # in place, which nothing tells of tensors made in inference mode
        lambda: image.dense[:, :, :1, :1].add_(1),
        lambda: module.layers[0].cross_attn_token_to_image.k_proj.weight.mul_(2),
        lambda: module.layers[1].layer_norm4.weight.mul_(2),
    ]
    for change in changes:
        change()
        plain = run(module, "eager", tokens, image)
        less = run(module, "sdpa", tokens, image)
        for part in (0, 1):
            torch.testing.assert_close(less[part], plain[part], **tolerances[torch.float32]._asdict())


@torch.no_grad()
def test_a_batch_after_its_member():
    module, image = transformer(), one_image()
    tokens = torch.randn(1, PROMPTS, TOKENS, CHANNELS)
    of_two = Image(image.embeddings.expand(2, -1, -1, -1), image.dense, image.position)
    assert run(module, "sdpa", tokens.expand(2, -1, -1, -1), of_two)[0].shape[0] == 2
    assert run(module, "sdpa", tokens, image)[0].shape[0] == 1


@pytest.mark.parametrize("image_prompts", [1, PROMPTS])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_image_of_some_prompts_and_pixels(implementation, image_prompts):
    module, (tokens, image) = transformer(), inputs(image_prompts)
    _, written, _ = module(tokens, image_tokens(module, implementation, image))
    whole = written.projection(LAST_WEIGHT, LAST_BIAS)(*EVERYTHING)
    part = written.projection(LAST_WEIGHT, LAST_BIAS)(slice(1, 3), slice(4, 17))
    torch.testing.assert_close(part, whole[:, 1:3, 4:17])
    chosen = written.of_prompts(torch.tensor([2, 0])).projection(LAST_WEIGHT, LAST_BIAS)(*EVERYTHING)
    torch.testing.assert_close(chosen, whole[:, [2, 0]])
    none = written.of_prompts(torch.tensor([], dtype=torch.int64)).projection(LAST_WEIGHT, LAST_BIAS)(*EVERYTHING)
    assert none.shape == (BATCH, 0, PIXELS, len(LAST_BIAS))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_padding_changes_nothing(implementation, tolerances):
    module, (tokens, image) = transformer(), inputs()
    is_padding = torch.zeros(BATCH, PROMPTS, TOKENS, dtype=torch.bool)
    is_padding[:, :, 5:] = True
    padded = run(module, implementation, tokens, image, is_padding=is_padding)
    without = run(module, implementation, tokens[:, :, :5], image)
    torch.testing.assert_close(padded[0][:, :, :5], without[0], **tolerances[torch.float32]._asdict())
    torch.testing.assert_close(padded[1], without[1], **tolerances[torch.float32]._asdict())


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_an_image_of_its_own_for_each_prompt(implementation, tolerances):
    """The same image given to each prompt by itself, and prompts one by one."""
    module, (tokens, image) = transformer(), inputs()
    shared = run(module, implementation, tokens, image)
    dense_of_each = image.dense[:, None].expand(-1, PROMPTS, -1, -1, -1)
    own = run(module, implementation, tokens, image._replace(dense=dense_of_each))
    alone = run(module, implementation, tokens[:, 2:], image)
    for part in (0, 1):
        torch.testing.assert_close(own[part], shared[part], **tolerances[torch.float32]._asdict())
        torch.testing.assert_close(alone[part][:, 0], shared[part][:, 2], **tolerances[torch.float32]._asdict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_loses_no_more_than_the_formula(dtype):
    module, (tokens, image) = transformer(num_hidden_layers=2), inputs()
    exact = run(module, "eager", tokens, image)
    module, tokens = module.to(dtype), tokens.to(dtype)
    image = Image(*(tensor.to(dtype) for tensor in image))
    losses = {}
    for implementation in ("eager", "sdpa"):
        attended, written, _ = module(tokens, image_tokens(module, implementation, image))
        written = written.projection(LAST_WEIGHT.to(dtype), LAST_BIAS.to(dtype))(*EVERYTHING)
        losses[implementation] = [(attended - exact[0]).norm(), (written - exact[1]).norm()]
    for plain, less in zip(losses["eager"], losses["sdpa"], strict=True):
        assert less < 1.5 * plain


@pytest.mark.parametrize("image_prompts", [1, PROMPTS])
def test_a_gradient_goes_both_ways(image_prompts):
    module, (tokens, image) = tiny_model().mask_decoder.transformer, inputs(image_prompts)
    gradients = []
    for implementation in ("eager", "sdpa"):
        leaves = [tensor.clone().requires_grad_(True) for tensor in (tokens, *image)]
        module.zero_grad()
        attended, written, _ = run(module, implementation, leaves[0], Image(*leaves[1:]))
        (attended.square().sum() + written.square().sum()).backward()
        gradients.append([*(leaf.grad for leaf in leaves), *(parameter.grad for parameter in module.parameters())])
    assert all(gradient.abs().max() > 1e-3 for gradient in gradients[0][:3])
    for plain, less in zip(*gradients, strict=True):
        torch.testing.assert_close(less, plain, rtol=1e-3, atol=1e-3)
