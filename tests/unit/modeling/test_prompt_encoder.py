import math
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from tests.tiny_sam import BATCH, CHANNELS, GRID, PROMPTS, boxes, mask_prompts, points, tiny_model

from anymask.geometry.coordinates import (
    LABEL_BACKGROUND,
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_FOREGROUND,
    LABEL_NOT_A_POINT,
    LABEL_PADDING,
)
from anymask.modeling.prompt_encoder import PositionalEmbedding, find_padding, grid_centres_xy

SQUARE = (GRID, GRID)


class Encoded(NamedTuple):
    sparse: torch.Tensor | None
    dense: torch.Tensor
    is_padding: torch.Tensor | None


def encode(encoder, input_points, input_labels, input_boxes, input_masks, grid_hw):
    sparse, dense = encoder(input_points, input_labels, input_boxes, input_masks, grid_hw)
    return Encoded(sparse, dense, find_padding(input_points, input_labels, input_boxes))


@pytest.fixture(scope="module")
def encoder():
    return tiny_model().prompt_encoder.requires_grad_(False)


def code(encoder, x, y, input_side=80):
    """The positional encoding of a pixel, with the standard library."""
    frequencies = encoder.shared_embedding.positional_embedding.tolist()
    x, y = (2 * (pixel + 0.5) / input_side - 1 for pixel in (x, y))
    angles = [2 * math.pi * (x * fx + y * fy) for fx, fy in zip(*frequencies, strict=True)]
    return torch.tensor([math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles])


def test_each_label_is_its_own_token(encoder):
    input_points = torch.tensor([[[[3.0, 41.0]] * 6]])
    labels = [
        LABEL_BACKGROUND,
        LABEL_FOREGROUND,
        LABEL_BOX_TOP_LEFT,
        LABEL_BOX_BOTTOM_RIGHT,
        LABEL_NOT_A_POINT,
        LABEL_PADDING,
    ]
    sparse, dense, is_padding = encode(encoder, input_points, torch.tensor([[labels]]), None, None, SQUARE)
    place = code(encoder, 3, 41)
    expected = [place + encoder.point_embed[index].weight[0] for index in range(4)]
    expected += [encoder.not_a_point_embed.weight[0], torch.zeros(CHANNELS)]
    torch.testing.assert_close(sparse[0, 0, :6], torch.stack(expected), rtol=1e-4, atol=1e-4)
    # It has box corners, so the token that is added to prompts without a box is padding here.
    assert is_padding.tolist() == [[[False] * 5 + [True, True]]]
    assert dense.shape == (1, CHANNELS, *SQUARE)


def test_a_prompt_without_box_gets_one_token_that_is_not_a_point(encoder):
    input_points = points()
    sparse, _, is_padding = encode(encoder, input_points, None, None, None, SQUARE)
    assert sparse.shape == (BATCH, PROMPTS, 4 + 1, CHANNELS)
    assert is_padding is None
    torch.testing.assert_close(sparse[:, :, -1], encoder.not_a_point_embed.weight[0].expand(BATCH, PROMPTS, -1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int16, torch.float32])
def test_types_of_labels(encoder, dtype):
    input_points, labels = points(), torch.randint(0, 2, (BATCH, PROMPTS, 4))
    expected = encode(encoder, input_points, labels, None, None, SQUARE).sparse
    assert torch.equal(encode(encoder, input_points, labels.to(dtype), None, None, SQUARE).sparse, expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.float16])
def test_types_of_points(encoder, dtype):
    input_points = torch.randint(0, 80, (BATCH, PROMPTS, 4, 2))
    expected = encode(encoder, input_points.float(), None, None, None, SQUARE).sparse
    assert torch.equal(encode(encoder, input_points.to(dtype), None, None, None, SQUARE).sparse, expected)


def test_a_box_is_two_labelled_points(encoder):
    input_boxes = boxes()
    corners = input_boxes.unflatten(-1, (2, 2))
    labels = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]).expand(BATCH, PROMPTS, 2)
    as_boxes = encode(encoder, None, None, input_boxes, None, SQUARE)
    as_points = encode(encoder, corners, labels, None, None, SQUARE)
    assert torch.equal(as_points.sparse[:, :, :2], as_boxes.sparse)
    assert as_boxes.is_padding is None
    assert as_points.is_padding[:, :, 2].all() and not as_points.is_padding[:, :, :2].any()


def test_points_come_before_boxes(encoder):
    input_points, input_boxes = points(), boxes()
    labels = torch.full((BATCH, PROMPTS, 4), LABEL_FOREGROUND)
    labels[:, 1, 3] = LABEL_PADDING
    sparse, _, is_padding = encode(encoder, input_points, labels, input_boxes, None, SQUARE)
    assert sparse.shape == (BATCH, PROMPTS, 4 + 2, CHANNELS)
    assert torch.equal(sparse[:, :, 4:], encode(encoder, None, None, input_boxes, None, SQUARE).sparse)
    assert is_padding.nonzero().tolist() == [[0, 1, 3], [1, 1, 3]]


def test_masks(encoder):
    no_mask = encode(encoder, None, None, None, None, SQUARE)
    assert no_mask.sparse is None
    assert torch.equal(no_mask.dense[0, :, 3, 7], encoder.no_mask_embed.weight[0])
    per_image = mask_prompts()
    assert encode(encoder, None, None, None, per_image, SQUARE).dense.shape == (BATCH, CHANNELS, *SQUARE)
    per_prompt = mask_prompts(prompts=PROMPTS)
    dense = encode(encoder, None, None, None, per_prompt, SQUARE).dense
    assert dense.shape == (BATCH, PROMPTS, CHANNELS, *SQUARE)
    alone = encode(encoder, None, None, None, per_prompt[:, 2:], SQUARE).dense
    torch.testing.assert_close(dense[:, 2], alone)
    # A cell of the embedding sees its own 4 x 4 logits only.
    changed = per_image.clone()
    changed[0, 0, 4 * 3, 4 * 7 + 3] += 5
    difference = (
        encode(encoder, None, None, None, changed, SQUARE).dense
        != encode(encoder, None, None, None, per_image, SQUARE).dense
    )
    assert difference.any(dim=1).nonzero().tolist() == [[0, 3, 7]]


def test_a_mask_of_another_size_is_refused(encoder):
    message = r"input_masks must be logits of shape \(batch, 1 or prompts, 40, 40\), got \(2, 1, 40, 36\)"
    with pytest.raises(ValueError, match=message):
        encode(encoder, None, None, None, torch.zeros(2, 1, 40, 36), SQUARE)
    with pytest.raises(ValueError, match=r"got \(2, 40, 40\)"):
        encode(encoder, None, None, None, torch.zeros(2, 40, 40), SQUARE)


def test_positions_of_a_rectangle_are_those_of_its_square():
    embedding = PositionalEmbedding(6)
    torch.nn.init.normal_(embedding.positional_embedding)
    square = embedding(grid_centres_xy((5, 5), "cpu"))
    assert square.shape == (5, 5, 12)
    assert torch.equal(embedding(grid_centres_xy((5, 3), "cpu")), square[:, :3])
    assert torch.equal(embedding(grid_centres_xy((2, 5), "cpu")), square[:2])
    centre = torch.tensor([(3 + 0.5) / 5, (1 + 0.5) / 5])  # x, y of row 1, column 3
    torch.testing.assert_close(square[1, 3], embedding(centre))


def test_points_of_a_rectangle_refer_to_the_longer_side(encoder):
    input_points = torch.tensor([[[[3.0, 41.0]]]])
    sparse = encode(encoder, input_points, None, None, None, (7, 13)).sparse
    expected = code(encoder, 3, 41, input_side=13 * 8) + encoder.point_embed[1].weight[0]
    torch.testing.assert_close(sparse[0, 0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_neighbouring_pixels_differ_in_half_precision(dtype):
    """Positions are computed in float32, so that even bfloat16 tells pixels apart; under autocast too."""
    encoder = tiny_model().prompt_encoder.requires_grad_(False)
    frequencies = encoder.shared_embedding.positional_embedding
    input_points = torch.tensor([[[[70.0, 9.0], [71.0, 9.0]]]])
    expected = encode(encoder, input_points, None, None, None, SQUARE).sparse
    with torch.autocast("cpu", dtype):
        assert torch.equal(encode(encoder, input_points, None, None, None, SQUARE).sparse, expected)
    frequencies.data = frequencies.data.to(dtype).float()
    expected = encode(encoder, input_points, None, None, None, SQUARE).sparse
    half = encode(encoder.to(dtype), input_points, None, None, None, SQUARE).sparse
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), expected, rtol=2e-2, atol=3e-2)
    assert not torch.equal(half[0, 0, 0], half[0, 0, 1])


def test_mask_embedding_by_plain_functions(encoder):
    masks = mask_prompts(prompts=1)
    embed = encoder.mask_embed
    features = masks
    for conv, norm in ((embed.conv1, embed.layer_norm1), (embed.conv2, embed.layer_norm2)):
        features = F.conv2d(features, conv.weight, conv.bias, stride=2)
        mean, variance = features.mean(dim=1, keepdim=True), features.var(dim=1, keepdim=True, unbiased=False)
        features = (features - mean) / (variance + norm.eps).sqrt()
        features = F.gelu(features * norm.weight[:, None, None] + norm.bias[:, None, None])
    expected = F.conv2d(features, embed.conv3.weight, embed.conv3.bias)
    torch.testing.assert_close(embed(masks), expected, rtol=1e-4, atol=1e-4)


def test_a_prompt_of_no_points_is_no_point(encoder):
    """A prompt without points keeps the token that stands for a missing box, as in Transformers."""
    nothing = encode(encoder, torch.zeros(1, 2, 0, 2), torch.zeros(1, 2, 0), None, None, SQUARE)
    assert torch.equal(nothing.sparse, encoder.not_a_point_embed.weight.expand(1, 2, 1, -1))
    assert not nothing.is_padding.any()
