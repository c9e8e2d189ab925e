"""Which mask answers, for logits whose stability and scores are known."""

import pytest
import torch

from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.sparse_upsampling import SparseUpsampler
from anymask.predictor.choice import check_choice, choose_masks, masks_wanted

SIZE_HW = (6, 9)
UPSAMPLER = SparseUpsampler.from_geometry(ResizeGeometry(SIZE_HW, SIZE_HW, SIZE_HW), SIZE_HW)  # a pixel is a logit


def logits_with(*pixels_and_values):
    """Logits of -5 with the first so many pixels at some value, one pair after another."""
    flat = torch.full((SIZE_HW[0] * SIZE_HW[1],), -5.0)
    first = 0
    for count, value in pixels_and_values:
        flat[first : first + count] = value
        first += count
    return flat.reshape(SIZE_HW)


STABLE = logits_with((49, 3.0), (1, 0.01))  # 49 of 50 pixels stay: 0.98
UNSTABLE = logits_with((48, 3.0), (1, 0.01))  # 48 of 49: 0.9796
EMPTY = logits_with()
OTHERS = [logits_with((count, 2.0)) for count in (5, 7, 11)]


def chosen(choice, singles, scores):
    """How many pixels the chosen mask of each prompt has, and its score."""
    first = 0 if choice == "stable" else 1
    logits = torch.stack([torch.stack([single, *OTHERS][first:]) for single in singles])
    masks, ious = choose_masks(logits, torch.tensor(scores)[:, first:], choice, UPSAMPLER)
    return (masks > 0).sum(dim=(2, 3))[:, 0].tolist(), [round(iou, 3) for iou in ious[:, 0].tolist()]


def test_best_has_the_highest_predicted_iou_of_three():
    scores = [[0.9, 0.1, 0.3, 0.2], [0.9, 0.4, 0.3, 0.2], [0.1, 0.2, 0.2, 0.1]]
    assert chosen("best", [STABLE] * 3, scores) == ([7, 5, 5], [0.3, 0.4, 0.2])


def test_stable_takes_the_single_mask_if_it_hardly_changes():
    scores = [[0.1, 0.2, 0.3, 0.2]] * 3
    assert chosen("stable", [STABLE, UNSTABLE, EMPTY], scores) == ([50, 7, 7], [0.1, 0.3, 0.3])


def test_all_are_all():
    logits, scores = torch.stack(OTHERS)[None], torch.tensor([[0.1, 0.3, 0.2]])
    masks, ious = choose_masks(logits, scores, "all", UPSAMPLER)
    assert torch.equal(masks, logits) and torch.equal(ious, scores)


def test_padding_does_not_count():
    """What the model says of pixels outside the image makes no mask unstable."""
    wide = (SIZE_HW[0], SIZE_HW[1] + 4)
    upsampler = SparseUpsampler.from_geometry(ResizeGeometry(SIZE_HW, SIZE_HW, wide), wide)
    logits = torch.full((1, 4, *wide), 0.01)
    logits[0, :, :, : SIZE_HW[1] + 1] = 3.0
    masks, _ = choose_masks(logits, torch.tensor([[0.1, 0.2, 0.3, 0.2]]), "stable", upsampler)
    torch.testing.assert_close(masks[0, 0], logits[0, 0])
    assert choose_masks(logits, torch.tensor([[0.1, 0.2, 0.3, 0.2]]), "stable", upsampler)[1].item() == pytest.approx(
        0.1
    )


def test_what_the_model_is_asked_for():
    assert masks_wanted("stable", True) is None
    assert masks_wanted("best", True) is True
    assert masks_wanted("best", False) is False


def test_choices_that_are_none():
    check_choice("best", False)
    check_choice("all", False)
    check_choice("stable")
    with pytest.raises(ValueError, match="`choice` must be one of 'best', 'stable', 'all', got 'bst'"):
        check_choice("bst")
    with pytest.raises(ValueError, match="which leaves one mask"):
        check_choice("stable", False)
