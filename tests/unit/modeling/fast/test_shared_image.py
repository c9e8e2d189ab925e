"""What is made once of an image; that masks are those of the formula is in test_two_way_transformer.py."""

import pytest
import torch
from tests.tiny_sam import BATCH, CHANNELS, PROMPTS

from anymask.modeling.fast.image_tokens import Reader, Writer
from anymask.modeling.fast.shared_image import _add_product_, shared_image

HEADS, PIXELS, ROWS = 4, 20, 7


@torch.no_grad()
def test_what_is_made_of_a_shared_image():
    """Before the first block the image projected; after it, with nothing written, its layer norm without the bias."""
    image, position = torch.randn(BATCH, 1, PIXELS, CHANNELS), torch.randn(1, 1, PIXELS, CHANNELS)
    readers = [Reader([torch.nn.Linear(CHANNELS, HEADS * 3)], torch.nn.Linear(CHANNELS, HEADS * 3)) for _ in range(2)]
    norm = torch.nn.LayerNorm(CHANNELS)
    norm.weight.copy_(torch.randn(CHANNELS))
    writer = Writer(torch.nn.Linear(HEADS * 3, CHANNELS), norm)
    last_weight = torch.randn(5, CHANNELS)
    shared = shared_image(image, position, readers, [writer], last_weight, HEADS)

    def joined(features):
        return features.transpose(2, 3).flatten(3)

    first = shared.products[0]
    torch.testing.assert_close(joined(first[readers[0].placed[0]]), readers[0].placed[0](image + position))
    torch.testing.assert_close(joined(first[readers[0].values]), readers[0].values(image))
    factor = (shared.squares[0] / CHANNELS + norm.eps).rsqrt()[..., None]
    normed = torch.nn.functional.layer_norm(image, (CHANNELS,), norm.weight, eps=norm.eps)
    torch.testing.assert_close(factor * shared.last, normed @ last_weight.T, rtol=1e-4, atol=1e-4)
    values = readers[1].values
    torch.testing.assert_close(
        factor * joined(shared.products[1][values]), normed @ values.weight.T, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("autocast", [False, True])
def test_a_product_is_added(autocast):
    left, right = torch.randn(BATCH, PROMPTS, ROWS, CHANNELS), torch.randn(BATCH, PROMPTS, CHANNELS, PIXELS)
    summand = torch.randn(BATCH, PROMPTS, ROWS, PIXELS)
    expected = summand + left @ right
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        _add_product_(summand, left, right)
    tolerance = dict(rtol=1e-2, atol=1e-1) if autocast else dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(summand, expected, **tolerance)
