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


@pytest.mark.parametrize("queries_at_a_time", [1, 2, 6, 7])
def test_blocks_change_nothing(monkeypatch, queries_at_a_time):
    bias, (query, key, value) = relative_position(), inputs()
    whole, _ = sdpa_attention(query, key, value, scale=SCALE, relative_position=bias)
    bytes_per_query = GROUPS * HEADS * KEYS_HW[0] * KEYS_HW[1] * 4
    monkeypatch.setattr(attention, "BIAS_BLOCK_BYTES", queries_at_a_time * bytes_per_query)
    sizes = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def counted(query, *args, **kwargs):
        sizes.append(query.shape[2])
        return fused(query, *args, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", counted)
    blocks, _ = sdpa_attention(query, key, value, scale=SCALE, relative_position=bias)
    torch.testing.assert_close(blocks, whole)
    assert max(sizes) == queries_at_a_time and sum(sizes) == QUERIES


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tolerances):
    bias, (query, key, value) = relative_position(dtype), inputs(dtype)
    expected = by_hand(query, key, value, bias)
    for attend in (eager_attention, sdpa_attention):
        attended, _ = attend(query, key, value, scale=SCALE, relative_position=bias)
        assert attended.dtype == dtype
        torch.testing.assert_close(attended.double(), expected, **tolerances[dtype]._asdict())


def test_full_bias_of_some_queries():
    bias = relative_position()
    full = bias.full()
    assert full.shape == (GROUPS, HEADS, QUERIES, KEYS_HW[0] * KEYS_HW[1])
    assert full[1, 2, 3, 1 * KEYS_HW[1] + 4] == bias.rows[1, 2, 3, 1] + bias.columns[1, 2, 3, 4]
    assert torch.equal(bias.full(2, 5), full[:, :, 2:5])


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
