"""The plain formula; that less work gives the same result is in fast/test_parity.py."""

import pytest
import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS, tiny_config, tiny_model

from anymask.modeling.two_way_transformer import DecoderAttention, TwoWayTransformer

TOKENS, PIXELS = 7, 20


def transformer(**decoder) -> TwoWayTransformer:
    return tiny_model(decoder=decoder).mask_decoder.transformer.requires_grad_(False)


def inputs(image_prompts=1):
    """Tokens, an image for all prompts or one for each, and its positions."""
    return (
        torch.randn(BATCH, PROMPTS, TOKENS, CHANNELS),
        torch.randn(BATCH, image_prompts, PIXELS, CHANNELS),
        torch.randn(1, 1, PIXELS, CHANNELS),
    )


def test_attention_by_pytorch():
    """`DecoderAttention.forward` is `torch.nn.MultiheadAttention` where it narrows nothing."""
    config = tiny_config().mask_decoder_config
    attention = DecoderAttention(config, downsample_rate=1).requires_grad_(False)
    theirs = torch.nn.MultiheadAttention(CHANNELS, config.num_attention_heads, batch_first=True).requires_grad_(False)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in projections]))
    theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in projections]))
    theirs.out_proj.load_state_dict(attention.out_proj.state_dict())
    query = torch.randn(BATCH, PROMPTS, TOKENS, CHANNELS)
    key, value = torch.randn(2, BATCH, PROMPTS, PIXELS, CHANNELS)
    actual, weights = attention(query, key, value)
    flat = (tensor.flatten(0, 1) for tensor in (query, key, value))
    expected, expected_weights = theirs(*flat, average_attn_weights=False)
    torch.testing.assert_close(actual.flatten(0, 1), expected)
    torch.testing.assert_close(weights.flatten(0, 1), expected_weights)


@pytest.mark.parametrize("layers", [1, 3])
def test_shapes(layers):
    tokens, image, position = inputs()
    attended, written, weights = transformer(num_hidden_layers=layers)(tokens, image, position)
    assert attended.shape == tokens.shape
    assert written.shape == (BATCH, PROMPTS, PIXELS, CHANNELS)
    assert [of_layer.shape for of_layer in weights] == [(BATCH, PROMPTS, 4, TOKENS, PIXELS)] * (layers + 1)
    for of_layer in weights:
        torch.testing.assert_close(of_layer.sum(dim=-1), torch.ones(of_layer.shape[:-1]))


def test_padding_changes_nothing(tolerances):
    module, (tokens, *image) = transformer(), inputs()
    is_padding = torch.zeros(BATCH, PROMPTS, TOKENS, dtype=torch.bool)
    is_padding[:, :, 5:] = True
    padded = module(tokens, *image, is_padding=is_padding)
    without = module(tokens[:, :, :5], *image)
    torch.testing.assert_close(padded[0][:, :, :5], without[0], **tolerances[torch.float32]._asdict())
    torch.testing.assert_close(padded[1], without[1], **tolerances[torch.float32]._asdict())


def test_an_image_of_its_own_for_each_prompt(tolerances):
    """The same image given to each prompt by itself, and prompts one by one."""
    module, (tokens, image, position) = transformer(), inputs()
    shared = module(tokens, image, position)
    own = module(tokens, image.expand(-1, PROMPTS, -1, -1), position)
    alone = module(tokens[:, 2:], image, position)
    for part in (0, 1):
        torch.testing.assert_close(own[part], shared[part], **tolerances[torch.float32]._asdict())
        torch.testing.assert_close(alone[part][:, 0], shared[part][:, 2], **tolerances[torch.float32]._asdict())
