import pytest
import torch

from anymask.modeling import attention
from anymask.modeling.attention import (
    ATTENTION_FUNCTIONS,
    RelativePositionBias,
    attention_function,
    eager_attention,
    folded_attention,
    sdpa_attention,
)

GROUPS, HEADS, QUERIES, KEYS_HW, CHANNELS = 2, 3, 7, (4, 5), 6
SCALE = 0.3
FUNCTIONS = list(ATTENTION_FUNCTIONS.values())


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


@pytest.mark.parametrize("attend", FUNCTIONS)
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
    for attend in FUNCTIONS:
        attended, _ = attend(query, key, value, scale=SCALE, relative_position=bias)
        assert attended.dtype == dtype
        torch.testing.assert_close(attended.double(), expected, **tolerances[dtype]._asdict())


def test_full_bias():
    bias = relative_position()
    full = bias.full()
    assert full.shape == (GROUPS, HEADS, QUERIES, KEYS_HW[0] * KEYS_HW[1])
    assert full[1, 2, 3, 1 * KEYS_HW[1] + 4] == bias.rows[1, 2, 3, 1] + bias.columns[1, 2, 3, 4]


@pytest.mark.parametrize("attend", FUNCTIONS)
@pytest.mark.parametrize("positions", [False, True])
def test_dropout_drops_weights(attend, positions):
    bias, (query, key, _) = relative_position() if positions else None, inputs()
    value = torch.ones(GROUPS, HEADS, key.shape[2], CHANNELS)
    rest = [attend(query, key, value, scale=SCALE, relative_position=bias, dropout=0.5)[0] for _ in range(400)]
    assert not torch.allclose(rest[0], rest[1])
    assert (torch.stack(rest).mean(dim=0) - 1).abs().max() < 0.25  # what is kept is scaled up


@pytest.mark.parametrize("attend", [sdpa_attention, folded_attention])
def test_gradients_are_those_of_the_plain_formula(attend, tolerances):
    tensors = [tensor.requires_grad_() for tensor in (*inputs(torch.float64), *relative_position(torch.float64))]
    gradients = []
    for function in (eager_attention, attend):
        *heads, rows, columns = tensors
        attended, _ = function(*heads, scale=SCALE, relative_position=RelativePositionBias(rows, columns))
        gradients.append(torch.autograd.grad(attended.sin().sum(), tensors))
    for expected, mine in zip(*gradients, strict=True):
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(mine, expected, **tolerances[torch.float32]._asdict())


# Positions folded into the product


def heads_of(channels, dtype, side=5):
    """Query, key, value and positions of heads of a model's size, at SAM's scale: (1, 2, side * side, channels)."""
    tensors = [torch.randn(1, 2, side**2, channels).to(dtype) for _ in range(3)]
    bias = RelativePositionBias(*(3 * torch.randn(1, 2, side**2, side).to(dtype) for _ in range(2)))
    return tensors, dict(scale=channels**-0.5, relative_position=bias)


def error(attend, tensors, options):
    """Root mean square of the difference to the plain formula in float64."""
    bias = RelativePositionBias(*(part.double() for part in options["relative_position"]))
    exact, _ = eager_attention(*(tensor.double() for tensor in tensors), scale=options["scale"], relative_position=bias)
    return (attend(*tensors, **options)[0].double() - exact).square().mean().sqrt().item()


@pytest.mark.parametrize("channels", [64, 80])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_folding_rounds_less_than_a_bias_does(channels, dtype):
    tensors, options = heads_of(channels, dtype)
    assert error(folded_attention, tensors, options) < 0.5 * error(sdpa_attention, tensors, options)


def test_folded_positions_stay_in_the_range_of_float16():
    tensors, options = heads_of(80, torch.float16)
    rows, columns = options["relative_position"]
    options["relative_position"] = RelativePositionBias(rows / rows.abs().max() * 60_000, columns)
    assert error(folded_attention, tensors, options) < 1e-3


@pytest.fixture
def calls(monkeypatch):
    """The positional arguments of each call of PyTorch's fused attention."""
    fused, calls = torch.nn.functional.scaled_dot_product_attention, []

    def recorded(*args, **kwargs):
        calls.append(args)
        return fused(*args, **kwargs)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", recorded)
    return calls


def test_kernels_without_a_bias_get_one_width_that_is_a_multiple_of_8(calls):
    tensors, options = heads_of(64, torch.float32, side=14)
    attended, _ = folded_attention(*tensors, **options)
    ((query, key, value, mask, _),) = calls
    assert query.shape[-1] == key.shape[-1] == value.shape[-1] == 96  # 64 + 2 * 14, filled up
    assert mask is None
    assert attended.shape == tensors[2].shape


@pytest.mark.parametrize(
    ("devices", "dtype", "side", "is_folded"),
    [
        (("cpu",), torch.bfloat16, 5, True),
        (("cpu",), torch.float16, 96, True),  # 64 + 2 * 96 = 256 channels
        (("cpu",), torch.bfloat16, 97, False),
        (("cpu",), torch.float32, 5, False),
        (("cuda",), torch.bfloat16, 5, False),
    ],
)
def test_sdpa_folds_in_half_precision_where_it_pays(monkeypatch, calls, devices, dtype, side, is_folded):
    query = torch.randn(1, 1, 2, 64).to(dtype)
    key = value = torch.randn(1, 1, side**2, 64).to(dtype)
    bias = RelativePositionBias(*(torch.randn(1, 1, 2, side).to(dtype) for _ in range(2)))
    expected, _ = sdpa_attention(query, key, value, scale=0.125, relative_position=bias)
    monkeypatch.setattr(attention, "FOLDING_DEVICES", devices)
    attended, _ = sdpa_attention(query, key, value, scale=0.125, relative_position=bias)
    *_, mask, _ = calls[-1]
    assert (mask is None) == is_folded
    torch.testing.assert_close(attended, expected, rtol=6e-2, atol=2e-2)


def test_choice_by_name():
    assert attention_function(None) is sdpa_attention
    assert attention_function("sdpa") is sdpa_attention
    assert attention_function("eager") is eager_attention
    assert attention_function("folded") is folded_attention
    assert attention_function("sdpa", output_attentions=True) is eager_attention
    with pytest.raises(ValueError, match=r"must be one of \['eager', 'folded', 'sdpa'\], got 'flash'"):
        attention_function("flash")
    with pytest.raises(ValueError, match="got 'flash'"):
        attention_function("flash", output_attentions=True)
