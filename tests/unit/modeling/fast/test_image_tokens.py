"""The pieces; that all ways give the same result is in test_two_way_transformer.py."""

import pytest
import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS

from anymask.modeling.fast.image_tokens import PlainImageTokens, matmul_shared, plus_product

HEADS, INNER, PIXELS, ROWS = 4, 12, 20, 7


@pytest.mark.parametrize("batch", [1, BATCH])
def test_a_product_with_what_prompts_share(batch):
    rows, shared = torch.randn(BATCH, PROMPTS, HEADS, ROWS, INNER), torch.randn(batch, 1, HEADS, INNER, PIXELS)
    torch.testing.assert_close(matmul_shared(rows, shared), rows @ shared)


@pytest.mark.parametrize("image_prompts", [1, PROMPTS])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_sum_with_a_product(autocast, image_prompts):
    left, right = torch.randn(BATCH, PROMPTS, PIXELS, ROWS), torch.randn(BATCH, PROMPTS, ROWS, CHANNELS)
    summand = torch.randn(BATCH, image_prompts, PIXELS, CHANNELS)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        actual = plus_product(summand, left, right)
    tolerance = dict(rtol=1e-2, atol=5e-2) if autocast else dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual, summand + left @ right, **tolerance)


def test_the_formula_leaves_its_input_alone():
    image, position = torch.randn(BATCH, PROMPTS, PIXELS, CHANNELS), torch.zeros(1, 1, PIXELS, CHANNELS)
    tokens = PlainImageTokens(image, position)
    chosen = tokens.of_prompts(torch.tensor([1]))
    assert torch.equal(tokens.image, image) and torch.equal(chosen.image, image[:, [1]])
    assert PlainImageTokens(image[:, :1], position).of_prompts(slice(1, 3)).image.shape[1] == 1
