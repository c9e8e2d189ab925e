"""Losses against hand-written values."""

import math

import pytest
import torch
import torch.nn.functional as F

from anymask.training.losses import (
    ambiguity_aware_loss,
    best_mask_index,
    dice_loss,
    focal_loss,
    mask_loss,
    select_mask,
    thresholded_iou,
)


def test_focal_loss_of_one_undecided_pixel_per_class():
    logits = torch.zeros(1, 2)  # probability one half everywhere
    per_pixel = 0.25 * math.log(2)  # (1 - p_t)^2 = 1/4, -log p_t = log 2
    assert focal_loss(logits, torch.ones(1, 2)).item() == pytest.approx(0.25 * per_pixel)
    assert focal_loss(logits, torch.zeros(1, 2)).item() == pytest.approx(0.75 * per_pixel)


def test_focal_loss_is_the_textbook_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    targets = torch.rand(2, 3, 5, 7, generator=generator) < 0.3
    probabilities = logits.sigmoid()
    p_t = torch.where(targets, probabilities, 1 - probabilities)
    alpha_t = torch.where(targets, 0.25, 0.75)
    expected = (-alpha_t * (1 - p_t) ** 2 * p_t.log()).mean(dim=(2, 3))
    torch.testing.assert_close(focal_loss(logits, targets), expected)


def test_dice_loss_by_hand():
    logits = torch.tensor([[100.0, 100.0, -100.0, -100.0]])
    targets = torch.tensor([[True, False, True, False]])
    assert dice_loss(logits, targets).item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))
    assert dice_loss(logits, logits > 0).item() == pytest.approx(0.0)


def test_mask_loss_weighs_focal_four_to_one():
    logits, targets = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)), torch.ones(4, 6)
    torch.testing.assert_close(mask_loss(logits, targets), 4 * focal_loss(logits, targets) + dice_loss(logits, targets))


def test_thresholded_iou_by_hand():
    logits = torch.tensor([[[1.0, 1.0, -1.0, -1.0]], [[-1.0, -1.0, -1.0, -1.0]]])
    targets = torch.tensor([[[True, False, True, False]], [[False, False, False, False]]])
    assert thresholded_iou(logits, targets).tolist() == pytest.approx([1 / 3, 0.0])


def masks_of_rising_quality():
    """Targets (2, 3, 4, 6) and candidates (2, 3, 3, 4, 6) whose best one is number (image + prompt) % 3."""
    targets = torch.zeros(2, 3, 4, 6, dtype=torch.bool)
    targets[..., 1:3, 2:5] = True
    perfect = torch.where(targets, 4.0, -4.0)
    logits = torch.zeros(2, 3, 3, 4, 6)
    best = (torch.arange(2)[:, None] + torch.arange(3)) % 3
    for image in range(2):
        for prompt in range(3):
            logits[image, prompt, best[image, prompt]] = perfect[image, prompt]
    return logits, targets, best


def test_best_mask_is_the_one_with_the_lowest_loss():
    logits, targets, best = masks_of_rising_quality()
    assert torch.equal(best_mask_index(logits, targets), best)
    assert torch.equal(select_mask(logits, best) > 0, targets)


def test_only_the_best_mask_learns_and_every_iou_does():
    logits, targets, best = masks_of_rising_quality()
    logits.requires_grad_()
    iou_scores = torch.full((2, 3, 3), 0.5, requires_grad=True)
    loss, iou_loss, real_iou = ambiguity_aware_loss(logits, iou_scores, targets, 0.0, torch.Generator())
    (loss + iou_loss).backward()
    learns = logits.grad.abs().sum(dim=(-2, -1)) > 0
    assert torch.equal(learns, F.one_hot(best, 3).bool())
    assert torch.equal(real_iou, F.one_hot(best, 3).float())  # logits of 0 are background
    torch.testing.assert_close(iou_loss, torch.tensor(0.25))
    assert (iou_scores.grad != 0).all()


def test_exploration_lets_every_candidate_learn():
    targets = torch.zeros(1, 300, 2, 3, dtype=torch.bool)
    logits = torch.zeros(1, 300, 3, 2, 3)
    logits[:, :, 1] = -4.0  # the best one everywhere
    logits.requires_grad_()
    generator = torch.Generator().manual_seed(0)
    loss, _, _ = ambiguity_aware_loss(logits, torch.zeros(1, 300, 3), targets, 0.3, generator)
    loss.backward()
    shares = (logits.grad.abs().sum(dim=(-2, -1)) > 0).float().mean(dim=(0, 1))
    assert shares.tolist() == pytest.approx([0.1, 0.8, 0.1], abs=0.05)
