"""The plain formula; that less work gives the same result is in test_two_way_transformer.py."""

import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS, tiny_config

from anymask.modeling.decoder_attention import DecoderAttention

TOKENS, PIXELS = 7, 20


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
