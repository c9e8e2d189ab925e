import pytest
import torch

from anymask import attention
from anymask.attention import RelativePositionBias, attention_function, eager_attention, sdpa_attention

GROUPS, HEADS, QUERIES, KEYS_HW, CHANNELS = 2, 3, 7, (4, 5), 6
SCALE = 0.3


def inputs(dtype=torch.float32):
    keys = KEYS_HW[0] * KEYS_HW[1]
    return tuple(torch.randn(GROUPS, HEADS, count, CHANNELS, dtype=dtype) for count in (QUERIES, keys, keys))


def relative_position(dtype=torch.float32):
    return RelativePositionBias(*(2 * torch.randn(GROUPS, HEADS, QUERIES, side, dtype=dtype) for side in KEYS_HW))


def by_hand(query, key, value, bias=None):
    """One query at a time, in float64."""
    output = torch.zeros(query.shape, dtype=torch.float64)
    for group in range(GROUPS):
        for head in range(HEADS):
            for i in range(QUERIES):
                scores = []
                for j in range(key.shape[2]):
                    score = SCALE * (query[group, head, i].double() @ key[group, head, j].double())
                    if bias is not None:
                        y, x = divmod(j, KEYS_HW[1])
                        score = score + bias.rows[group, head, i, y] + bias.columns[group, head, i, x]
                    scores.append(score)
                weights = torch.stack(scores).exp()
                output[group, head, i] = (weights / weights.sum()) @ value[group, head].double()
    return output


@pytest.mark.parametrize("attend", [eager_attention, sdpa_attention])
@pytest.mark.parametrize("positions", [False, True])
def test_the_formula(attend, positions, tolerances):
    bias = relative_position() if positions else None
    query, key, value = inputs()
    attended, weights = attend(query, key, value, scale=SCALE, relative_position=bias)
    expected = by_hand(query, key, value, bias).float()
    torch.testing.assert_close(attended, expected, **tolerances[torch.float32]._asdict())
    if attend is eager_attention:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(GROUPS, HEADS, QUERIES))
    else:
        assert weights is None


@pytest.mark.parametrize("biases_at_a_time", [0, 1, 6, QUERIES, 2 * QUERIES, HEADS * QUERIES, 2 * HEADS * QUERIES])
def test_blocks_change_nothing(monkeypatch, biases_at_a_time):
    """Windows, heads and queries one after another; a query is the least."""
    bias, (query, key, value) = relative_position(), inputs()
    whole, _ = sdpa_attention(query, key, value, scale=SCALE, relative_position=bias)
    monkeypatch.setitem(attention.BIAS_BYTES, "cpu", biases_at_a_time * KEYS_HW[0] * KEYS_HW[1] * 4)
    sizes = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def counted(query, key, value, bias, *args, **kwargs):
        sizes.append(bias.shape[:3].numel())
        return fused(query, key, value, bias, *args, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counted)
    blocks, _ = sdpa_attention(query, key, value, scale=SCALE, relative_position=bias)
    torch.testing.assert_close(blocks, whole)
    assert max(sizes) == max(biases_at_a_time, 1) and sum(sizes) == GROUPS * HEADS * QUERIES


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tolerances):
    bias, (query, key, value) = relative_position(dtype), inputs(dtype)
    expected = by_hand(query, key, value, bias)
    for attend in (eager_attention, sdpa_attention):
        attended, _ = attend(query, key, value, scale=SCALE, relative_position=bias)
        assert attended.dtype == dtype
        torch.testing.assert_close(attended.double(), expected, **tolerances[dtype]._asdict())


def test_full_bias():
    bias = relative_position()
    full = bias.full()
    assert full.shape == (GROUPS, HEADS, QUERIES, KEYS_HW[0] * KEYS_HW[1])
    assert full[1, 2, 3, 1 * KEYS_HW[1] + 4] == bias.rows[1, 2, 3, 1] + bias.columns[1, 2, 3, 4]


@pytest.mark.parametrize("attend", [eager_attention, sdpa_attention])
def test_dropout_drops_weights(attend):
    query, key, value = inputs()
    kept, _ = attend(query, key, value, scale=SCALE)
    dropped, _ = attend(query, key, value, scale=SCALE, dropout=0.5)
    assert not torch.allclose(kept, dropped)


def test_choice_by_name():
    assert attention_function(None) is sdpa_attention
    assert attention_function("sdpa") is sdpa_attention
    assert attention_function("eager") is eager_attention
    assert attention_function("sdpa", output_attentions=True) is eager_attention
    with pytest.raises(ValueError, match=r"attn_implementation must be one of \['eager', 'sdpa'\], got 'flash'"):
        attention_function("flash")
    with pytest.raises(ValueError, match="got 'flash'"):
        attention_function("flash", output_attentions=True)
