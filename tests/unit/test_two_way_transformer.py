"""Under "eager" the transformer is the plain formula; otherwise it does less work for the same result."""

import pytest
import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS, tiny_model

from anymask import decoder_attention
from anymask.two_way_transformer import TwoWayTransformer

TOKENS, PIXELS = 7, 20


def transformer(**decoder) -> TwoWayTransformer:
    return tiny_model(decoder=decoder).mask_decoder.transformer.requires_grad_(False)


def run(module, implementation, tokens, image, position, **optional):
    module.config._attn_implementation = implementation
    return module(tokens, image, position, module.share(image, position, tokens.shape[1]), **optional)


def inputs(image_prompts=1):
    return (
        torch.randn(BATCH, PROMPTS, TOKENS, CHANNELS),
        torch.randn(BATCH, image_prompts, PIXELS, CHANNELS),
        torch.randn(1, 1, PIXELS, CHANNELS),
    )


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
    module, arguments, optional = transformer(num_hidden_layers=layers), inputs(image_prompts), OPTIONAL[optional]()
    plain = run(module, "eager", *arguments, **optional)
    less = run(module, "sdpa", *arguments, **optional)
    tolerance = tolerances[torch.float32]._asdict()
    torch.testing.assert_close(less[0], plain[0], **tolerance)
    torch.testing.assert_close(less[1], plain[1], **tolerance)
    assert less[0].shape == (BATCH, PROMPTS, TOKENS, CHANNELS)
    assert less[1].shape == (BATCH, PROMPTS, PIXELS, CHANNELS)
    assert len(less[2]) == layers + 1
    for mine, their in zip(less[2], plain[2], strict=True):
        assert mine.shape == (BATCH, PROMPTS, 4, TOKENS, PIXELS)
        torch.testing.assert_close(mine, their, **tolerance)
        torch.testing.assert_close(mine.sum(dim=-1), torch.ones(mine.shape[:-1]))


@pytest.mark.parametrize("pixels_at_a_time", [1, 6, PIXELS - 1, PIXELS, 2 * PIXELS])
@pytest.mark.parametrize("image_prompts", [1, PROMPTS])
@torch.no_grad()
def test_parts_of_the_image_change_nothing(monkeypatch, image_prompts, pixels_at_a_time, tolerances):
    module, arguments, optional = transformer(), inputs(image_prompts), OPTIONAL["all"]()
    before = [argument.clone() for argument in arguments]
    plain = run(module, "eager", *arguments, **optional)
    monkeypatch.setattr(decoder_attention, "STRIP_BYTES", pixels_at_a_time * BATCH * CHANNELS * 4)
    sizes = []
    module.layers[0].layer_norm4.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[1:3].numel()))
    less = run(module, "sdpa", *arguments, **optional)
    for part in (0, 1):
        torch.testing.assert_close(less[part], plain[part], **tolerances[torch.float32]._asdict())
    assert max(sizes) == pixels_at_a_time and sum(sizes) == PROMPTS * PIXELS
    written = torch.empty(BATCH, PROMPTS, PIXELS, CHANNELS)
    in_place = run(module, "sdpa", *arguments, **optional, written=written)
    for part in (0, 1):
        torch.testing.assert_close(in_place[part], plain[part], **tolerances[torch.float32]._asdict())
    assert (in_place[1] is written) == (pixels_at_a_time < PROMPTS * PIXELS)
    assert all(torch.equal(argument, was) for argument, was in zip(arguments, before, strict=True))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_padding_changes_nothing(implementation, tolerances):
    module, (tokens, image, position) = transformer(), inputs()
    is_padding = torch.zeros(BATCH, PROMPTS, TOKENS, dtype=torch.bool)
    is_padding[:, :, 5:] = True
    padded = run(module, implementation, tokens, image, position, is_padding=is_padding)
    without = run(module, implementation, tokens[:, :, :5], image, position)
    torch.testing.assert_close(padded[0][:, :, :5], without[0], **tolerances[torch.float32]._asdict())
    torch.testing.assert_close(padded[1], without[1], **tolerances[torch.float32]._asdict())


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_an_image_of_its_own_for_each_prompt(implementation, tolerances):
    """The same image given to each prompt by itself, and prompts one by one."""
    module, (tokens, image, position) = transformer(), inputs()
    shared = run(module, implementation, tokens, image, position)
    own = run(module, implementation, tokens, image.expand(-1, PROMPTS, -1, -1).contiguous(), position)
    alone = run(module, implementation, tokens[:, 2:], image, position)
    for part in (0, 1):
        torch.testing.assert_close(own[part], shared[part], **tolerances[torch.float32]._asdict())
        torch.testing.assert_close(alone[part][:, 0], shared[part][:, 2], **tolerances[torch.float32]._asdict())


def test_a_gradient_goes_both_ways():
    module, (tokens, image, position) = tiny_model().mask_decoder.transformer, inputs()
    gradients = []
    for implementation in ("eager", "sdpa"):
        leaves = [tensor.clone().requires_grad_(True) for tensor in (tokens, image)]
        attended, written, _ = run(module, implementation, *leaves, position)
        (attended.square().sum() + written.square().sum()).backward()
        gradients.append([leaf.grad for leaf in leaves])
    for plain, less in zip(*gradients, strict=True):
        assert plain.abs().max() > 1e-3
        torch.testing.assert_close(less, plain, rtol=1e-3, atol=1e-3)
