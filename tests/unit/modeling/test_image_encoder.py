import pytest
import torch
import torch.nn.functional as F
from tests.tiny_sam import BATCH, GRID, IMAGE_SIZE, VISION, images, tiny_config, tiny_model
from torch import nn

from anymask.modeling import image_encoder
from anymask.modeling.image_encoder import (
    LayerNorm2d,
    PatchEmbedding,
    VisionAttention,
    VisionEncoder,
    _relative_position_table,
    _window_partition,
    _window_unpartition,
    resize_position_embedding,
)


def vision_config(**fields):
    return tiny_config(vision=fields).vision_config


def test_windows_are_cut_row_by_row():
    features = torch.randn(2, 6, 9, 5)
    windows = _window_partition(features, 3)
    assert windows.shape == (2 * 2 * 3, 3, 3, 5)
    assert torch.equal(windows[0], features[0, :3, :3])
    assert torch.equal(windows[2], features[0, :3, 6:])
    assert torch.equal(windows[3], features[0, 3:, :3])
    assert torch.equal(windows[6 + 4], features[1, 3:, 3:6])


@pytest.mark.parametrize("size_hw", [(6, 9), (5, 7), (4, 9), (1, 2)])
def test_windows_come_back_without_padding(size_hw):
    height, width = size_hw
    features = torch.randn(2, height, width, 5)
    padded = F.pad(features, (0, 0, 0, -width % 3, 0, -height % 3))
    assert torch.equal(_window_unpartition(_window_partition(padded, 3), 3, size_hw, 2), features)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size_hw", [(7, 10), (8, 4), (9, 9)])
def test_padding_with_the_bias_is_padding_before_the_projection(bias, size_hw):
    attention = VisionAttention(vision_config(qkv_bias=bias, window_size=4), window_size=4)
    height, width = size_hw
    hidden_states = torch.randn(2, height, width, 36)
    expected = attention.qkv(F.pad(hidden_states, (0, 0, 0, -width % 4, 0, -height % 4)))
    torch.testing.assert_close(attention._pad_to_windows(attention.qkv(hidden_states)), expected)


def test_relative_position_table_at_native_size():
    rel_pos = torch.randn(2 * 5 - 1, 3)
    table = _relative_position_table(rel_pos, 5, 5)
    assert table.shape == (5, 5, 3)
    for query in range(5):
        for key in range(5):
            assert torch.equal(table[query, key], rel_pos[query - key + 4])


def test_relative_position_table_of_a_corner_is_cropped():
    rel_pos = torch.randn(2 * 5 - 1, 3)
    assert torch.equal(_relative_position_table(rel_pos, 3, 5), _relative_position_table(rel_pos, 5, 5)[:3, :3])


def test_relative_position_table_at_another_size_is_interpolated():
    rel_pos = torch.randn(2 * 3 - 1, 4)  # distances -2 to 2
    table = _relative_position_table(rel_pos, 6, 6)  # distances -5 to 5
    for query in range(6):
        for key in range(6):
            position = (query - key + 5 + 0.5) * 5 / 11 - 0.5  # in rel_pos, pixel centres at halves
            low = min(max(position, 0), 4)
            below, share = int(low), low - int(low)
            expected = (1 - share) * rel_pos[below] + share * rel_pos[min(below + 1, 4)]
            torch.testing.assert_close(table[query, key], expected)


def test_position_embedding_is_resized_for_the_longer_side_and_cropped():
    pos_embed = torch.randn(1, 6, 6, 5)
    assert torch.equal(resize_position_embedding(pos_embed, (6, 6)), pos_embed)
    assert torch.equal(resize_position_embedding(pos_embed, (6, 4)), pos_embed[:, :, :4])
    assert torch.equal(resize_position_embedding(pos_embed, (3, 6)), pos_embed[:, :3])
    square = F.interpolate(pos_embed.permute(0, 3, 1, 2), size=(9, 9), mode="bicubic").permute(0, 2, 3, 1)
    torch.testing.assert_close(resize_position_embedding(pos_embed, (9, 7)), square[:, :, :7])


def test_patches_are_projected_one_by_one():
    embedding = PatchEmbedding(vision_config())
    pixel_values = images(size_hw=(16, 24))
    embedded = embedding(pixel_values)
    assert embedded.shape == (2, 2, 3, 36)
    patch = pixel_values[1, :, 8:16, 16:24]
    expected = (embedding.projection.weight * patch).sum(dim=(1, 2, 3)) + embedding.projection.bias
    torch.testing.assert_close(embedded[1, 1, 2], expected, rtol=1e-5, atol=1e-5)


def test_layer_norm_2d_is_over_channels():
    norm, features = LayerNorm2d(5, eps=1e-6), torch.randn(2, 5, 3, 4)
    normalised = norm(features)
    assert normalised.shape == features.shape
    torch.testing.assert_close(normalised.mean(dim=1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(normalised.var(dim=1, unbiased=False), torch.ones(2, 3, 4), atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_projection_may_be_any_module():
    """One that has no bias of its own to look at, as quantised layers."""
    attention = VisionAttention(vision_config(), window_size=4)
    hidden_states = torch.randn(1, GRID, GRID, 36)
    expected, _ = attention(hidden_states)
    attention.qkv = nn.Sequential(attention.qkv)
    torch.testing.assert_close(attention(hidden_states)[0], expected)


@torch.no_grad()
def test_a_block_of_windows_sees_its_window_only():
    attention = VisionAttention(vision_config(), window_size=4)
    hidden_states = torch.randn(1, GRID, GRID, 36)
    other = hidden_states.clone()
    other[0, 5, 6] += 1  # in the second window of the second row
    changed = (attention(hidden_states)[0] != attention(other)[0]).any(dim=-1)[0]
    assert changed[4:8, 4:8].all()
    changed[4:8, 4:8] = False
    assert not changed.any()


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 9])
@torch.no_grad()
def test_strips_change_nothing(monkeypatch, rows_at_a_time):
    """A layer goes through its rows of windows one after another, the MLP of a global layer through any rows."""
    encoder = tiny_model().vision_encoder
    pixel_values = images(size_hw=(56, 80))
    whole = encoder(pixel_values, interpolate_pos_encoding=True, output_hidden_states=True)
    bytes_per_row = BATCH * GRID * VISION["mlp_dim"] * 4
    monkeypatch.setattr(image_encoder, "STRIP_BYTES", rows_at_a_time * bytes_per_row)
    rows = {index: [] for index in range(3)}
    for index, layer in enumerate(encoder.layers):
        layer.mlp.register_forward_hook(lambda _, inputs, __, index=index: rows[index].append(inputs[0].shape[1]))
    strips = encoder(pixel_values, interpolate_pos_encoding=True, output_hidden_states=True)
    for mine, expected in zip(strips.hidden_states, whole.hidden_states, strict=True):
        torch.testing.assert_close(mine, expected)
    of_windows, of_any = {1: ([4, 3], [1] * 7), 4: ([4, 3], [4, 3]), 9: ([7], [7])}[rows_at_a_time]
    assert rows == {0: of_windows, 1: of_any, 2: of_windows}


@torch.no_grad()
def test_weights_of_windows_are_in_order_whatever_the_strips(monkeypatch):
    encoder, pixel_values = tiny_model().vision_encoder, images()
    whole = encoder(pixel_values, output_attentions=True)
    monkeypatch.setattr(image_encoder, "STRIP_BYTES", 1)
    strips = encoder(pixel_values, output_attentions=True)
    for mine, expected in zip(strips.attentions, whole.attentions, strict=True):
        torch.testing.assert_close(mine, expected)


@torch.no_grad()
def test_the_native_size_needs_no_interpolation():
    model, pixel_values = tiny_model(), images()
    plain = model.get_image_embeddings(pixel_values)
    assert torch.equal(model.get_image_embeddings(pixel_values, interpolate_pos_encoding=True), plain)


@pytest.mark.parametrize("size_hw", [(40, 80), (80, 56), (48, 32), (120, 88), (8, 16)])
@pytest.mark.parametrize("implementation", ["eager", "folded", "sdpa"])
@torch.no_grad()
def test_rectangles(size_hw, implementation):
    model = tiny_model()
    model.set_attn_implementation(implementation)
    height, width = size_hw
    embeddings = model.get_image_embeddings(images(size_hw=size_hw), interpolate_pos_encoding=True)
    assert embeddings.shape == (2, 32, height // 8, width // 8)
    assert embeddings.isfinite().all()


@torch.no_grad()
def test_a_rectangle_of_native_longest_side_has_the_positions_of_the_square():
    """With one block of windows that do not mix image and padding, it is the padded square, cropped."""
    model = tiny_model(vision=dict(num_hidden_layers=1, window_size=5, global_attn_indexes=[]))
    pixel_values = images(size_hw=(IMAGE_SIZE // 2, IMAGE_SIZE))
    square = F.pad(pixel_values, (0, 0, 0, IMAGE_SIZE // 2))
    encoder = model.vision_encoder
    rectangle = encoder(pixel_values, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
    whole = encoder(square, output_hidden_states=True).hidden_states
    for mine, their in zip(rectangle, whole, strict=True):
        assert mine.shape[1:3] == (GRID // 2, GRID)
        torch.testing.assert_close(mine, their[:, : GRID // 2])
    hidden = encoder.patch_embed(pixel_values) + encoder.pos_embed[:, : GRID // 2]
    assert torch.equal(rectangle[0], hidden)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 80, 80), r"must have shape \(batch, 3, height, width\), got \(3, 80, 80\)"),
        ((2, 1, 80, 80), r"must have shape \(batch, 3, height, width\), got \(2, 1, 80, 80\)"),
        ((2, 3, 72, 80), r"must be 80 x 80 \(height x width\), got 72 x 80; pass interpolate_pos_encoding=True"),
    ],
)
def test_wrong_shapes(shape, message):
    with pytest.raises(ValueError, match=message):
        VisionEncoder(vision_config())(torch.zeros(shape))


def test_sizes_must_be_whole_patches():
    with pytest.raises(ValueError, match="multiples of the patch size 8, got 72 x 84; pad the image"):
        VisionEncoder(vision_config())(torch.zeros(2, 3, 72, 84), interpolate_pos_encoding=True)
