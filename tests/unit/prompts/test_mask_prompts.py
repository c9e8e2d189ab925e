import numpy as np
import pytest
import torch
from PIL import Image

from anymask.geometry.coordinates import ResizeGeometry
from anymask.prompts.mask_prompts import (
    MASK_PROMPT_LOGIT,
    binary_mask_to_logits,
    mask_to_logits,
    prepare_mask_prompts,
)

# An image of 60 x 80 pixels, 12 x 16 of the 16 x 16 pixels of the low-resolution frame.
FRAME = ResizeGeometry((60, 80), (12, 16), (16, 16))
MASK = np.zeros((60, 80), bool)
MASK[:, 40:] = True


def logits(value: float = 2.5, *shape: int) -> torch.Tensor:
    return torch.full((*shape, 16, 16), value)


def test_the_logit_is_that_of_the_margin():
    assert pytest.approx(6.9068, abs=1e-4) == MASK_PROMPT_LOGIT


def test_a_binary_mask_becomes_logits_in_the_low_resolution_frame():
    result = binary_mask_to_logits(torch.from_numpy(MASK), FRAME)
    assert result.shape == (16, 16)
    assert result.dtype == torch.float32
    assert torch.allclose(result[:12, 9:], torch.tensor(MASK_PROMPT_LOGIT))
    assert torch.allclose(result[:12, :7], torch.tensor(-MASK_PROMPT_LOGIT))
    assert torch.allclose(result[12:], torch.tensor(-MASK_PROMPT_LOGIT))
    assert torch.allclose(result[0, 7], -result[0, 8])


def test_logits_are_those_of_what_the_mask_covers():
    mask = np.random.default_rng(0).random((60, 80)) > 0.5
    coverage = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((16, 12), Image.Resampling.BILINEAR))
    expected = np.log(coverage / (1 - coverage))
    np.testing.assert_allclose(binary_mask_to_logits(torch.from_numpy(mask), FRAME)[:12], expected, atol=1e-4)


def test_small_images_are_enlarged():
    frame = ResizeGeometry((3, 4), (12, 16), (16, 16))
    result = binary_mask_to_logits(torch.tensor([[True] * 4, [False] * 4, [False] * 4]), frame)
    assert (result[0] > 6).all()
    assert (result[8:] < -6).all()


@pytest.mark.parametrize(
    "mask",
    [MASK, MASK.astype(np.uint8), MASK * np.uint8(255), MASK.astype(np.float32), torch.from_numpy(MASK), MASK.tolist()],
)
def test_binary_masks_of_every_kind(mask):
    expected = binary_mask_to_logits(torch.from_numpy(MASK), FRAME)
    for masks in (mask, [mask]):
        assert torch.equal(prepare_mask_prompts(masks, [FRAME], [0]), expected[None, None])


def test_masks_of_the_other_byte_order():
    expected = prepare_mask_prompts(MASK, [FRAME], [1])
    assert torch.equal(prepare_mask_prompts(MASK.astype(">i4"), [FRAME], [1]), expected)


def test_empty_and_full_masks():
    for mask, sign in ((np.zeros((60, 80)), -1), (np.ones((60, 80)), 1)):
        result = prepare_mask_prompts(mask, [FRAME], [1])
        assert torch.allclose(result[0, 0, :12], torch.tensor(sign * MASK_PROMPT_LOGIT))


def test_logits_pass_straight():
    low = torch.randn(1, 3, 16, 16)
    assert torch.equal(prepare_mask_prompts(low, [FRAME], [3]), low)
    assert torch.equal(prepare_mask_prompts(low[0, :1].numpy(), [FRAME], [3]), low[:, :1])
    assert prepare_mask_prompts(low.half(), [FRAME], [3]).dtype == torch.float32


def test_where_both_sizes_are_one_the_values_decide():
    frame = ResizeGeometry((16, 16), (16, 16), (16, 16))
    low = torch.randn(16, 16)
    assert torch.equal(prepare_mask_prompts(low, [frame], [1])[0, 0], low)
    assert prepare_mask_prompts((low > 0).float(), [frame], [1]).max() == pytest.approx(MASK_PROMPT_LOGIT, abs=1e-4)


def test_every_nesting():
    two = [FRAME, FRAME]
    assert prepare_mask_prompts(np.stack([MASK] * 3), [FRAME], [3]).shape == (1, 3, 16, 16)
    assert prepare_mask_prompts([MASK] * 3, [FRAME], [3]).shape == (1, 3, 16, 16)
    assert prepare_mask_prompts(np.stack([MASK] * 2), two, [3, 3]).shape == (2, 1, 16, 16)
    assert prepare_mask_prompts([MASK, logits()], two, [3, 1]).shape == (2, 1, 16, 16)
    assert prepare_mask_prompts(logits(2.5, 2, 3), two, [3, 3]).shape == (2, 3, 16, 16)
    assert prepare_mask_prompts(logits(2.5, 2, 3, 1), two, [3, 3]).shape == (2, 3, 16, 16)  # as SamModel returns them
    assert prepare_mask_prompts([logits(2.5, 3), logits(2.5, 3, 1)], two, [3, 3]).shape == (2, 3, 16, 16)


def test_different_numbers_of_prompts_are_padded_and_one_mask_is_for_all():
    result = prepare_mask_prompts([logits(1.0, 3), logits(2.0, 1)], [FRAME, FRAME], [3, 2])
    assert result[:, :, 0, 0].tolist() == [[1, 1, 1], [2, 2, 0]]


def test_a_channel_of_its_own_is_taken_off_beside_none():
    plain = prepare_mask_prompts([[None, logits()]], [FRAME], [2])
    with_channel = prepare_mask_prompts([[None, logits(2.5, 1)]], [FRAME], [2])
    torch.testing.assert_close(with_channel, plain, equal_nan=True)


def test_none_is_no_mask():
    nan = pytest.approx(float("nan"), nan_ok=True)
    for masks in ([None, MASK, logits(3.0)], [[None, MASK, logits(3.0)]]):  # of two kinds, as nothing is stacked before
        result = prepare_mask_prompts(masks, [FRAME], [3])
        assert result[0, :, 0, 0].tolist() == [nan, pytest.approx(-MASK_PROMPT_LOGIT), 3]
        assert result[0, 0].isnan().all() and result[0, 1:].isfinite().all()
    two = [FRAME, FRAME]
    assert prepare_mask_prompts([None, logits(3.0)], two, [1, 1])[:, 0, 0, 0].tolist() == [nan, 3]
    ragged = prepare_mask_prompts([None, [logits(3.0), None]], two, [3, 2])
    assert ragged[:, :, 0, 0].tolist() == [[nan] * 3, [3, nan, 0]]  # the last is padding, not an prompt


@pytest.mark.parametrize(
    ("masks", "n_prompts", "message"),
    [
        (logits(2.5, 2), [3], "image 0 has 2 masks for 3 prompts"),
        (
            np.zeros((80, 60), bool),
            [1],
            r"as high and wide as the image, \(60, 80\), or floating-point logits of size \(16, 16\)",
        ),
        (np.zeros((16, 16), bool), [1], "got torch.bool of size"),
        (
            np.arange(60 * 80).reshape(60, 80),
            [1],
            "must be binary: bool, 0 and 1, or 0 and 255; got values from 0 to 4799",
        ),
        (logits(float("nan")), [1], "given as logits must be finite"),
        (logits(2.5, 1, 1, 1, 1), [1], r"must have shape \(height, width\), .* got \(1, 1, 1, 1, 16, 16\) for 1 image"),
        (logits(2.5, 1, 1, 3), [1], r"or \(prompts, height, width\), got \(1, 3, 16, 16\)"),
        ([None], [1], "must have at least one mask, got None alone"),
        ([[None, None]], [2], "must have at least one mask, got None alone"),
        ([[None, torch.zeros(4, 4)]], [2], "got torch.float32 of size"),
        ([[None, logits()]], [3], "image 0 has 2 masks for 3 prompts"),
        ([[logits(), torch.zeros(4, 4)]], [1], "must all have one size"),
        ([np.zeros((2, 0, 80))], [1], "`input_masks` of an image must have shape"),
    ],
)
def test_masks_that_cannot_be(masks, n_prompts, message):
    with pytest.raises(ValueError, match=message):
        prepare_mask_prompts(masks, [FRAME], n_prompts)


LOW_RES = ResizeGeometry((50, 40), (16, 13), (16, 16))


def test_an_rle_of_another_size_is_refused_before_it_is_decoded():
    """Decoded it would take 3.6 GB."""
    with pytest.raises(ValueError, match=r"must have the image's size, \(50, 40\), got \(60000, 60000\)"):
        mask_to_logits({"size": [60_000, 60_000], "counts": [60_000**2]}, LOW_RES)
    logits = mask_to_logits({"size": [50, 40], "counts": [1000, 1000]}, LOW_RES)
    assert (logits[:, :6] < 0).all() and (logits[:, 7:13] > 0).all()


@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan"), -1e5])
def test_logits_that_no_model_gives_are_refused(value):
    logits = torch.zeros(16, 16)
    logits[3, 4] = value
    with pytest.raises(ValueError, match=r"must be finite and within \+-10000"):
        mask_to_logits(logits, LOW_RES)


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match=r"must hold real numbers, got torch\.complex64"):
        mask_to_logits(np.zeros((50, 40), np.complex64), LOW_RES)
