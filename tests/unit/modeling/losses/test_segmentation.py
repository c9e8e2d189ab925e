"""The loss against plain float64 arithmetic on one pixel at a time, and against what must not change it."""

import pytest
import torch
from tests.unit.modeling.losses.by_hand import BATCH, HEIGHT, MASKS, WIDTH, by_hand, random_batch

from anymask.modeling.losses import LOSSES, LossOptions, masks_iou, segmentation_loss


@pytest.mark.parametrize("loss", [*LOSSES, LossOptions(supervise_all_iou=False)])
def test_the_sum_with_its_weights_the_best_mask_and_the_iou(loss):
    options = LossOptions.read(loss)
    logits, scores, labels = random_batch()
    labels = labels.int()
    labels[1, 2] = -100
    labels[0, 1, :2] = -1
    loss = segmentation_loss(logits, scores, labels, options)
    totals = []
    for b, p in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        known = (labels[b, p] != -1).flatten()
        target = labels[b, p].flatten()[known].tolist()
        masks = [logits[b, p, m].flatten()[known].tolist() for m in range(MASKS)]
        weights = options.mask_weights
        each = [sum(w * by_hand(n, mask, target, [1] * len(target)) for n, w in weights.items()) for mask in masks]
        best = min(range(MASKS), key=each.__getitem__)
        assert loss.parts["best"][b, p] == best
        iou_losses = []
        for mask, score in zip(masks, scores[b, p].tolist(), strict=True):
            both = sum(x > 0 and t == 1 for x, t in zip(mask, target, strict=True))
            either = sum(x > 0 or t == 1 for x, t in zip(mask, target, strict=True))
            difference = abs(score - both / either)
            iou_losses.append(difference if options.iou_loss == "l1" else difference**2)
        iou = sum(iou_losses) / MASKS if options.supervise_all_iou else iou_losses[best]
        totals.append(each[best] + options.iou * iou)
    assert loss.total.item() == pytest.approx(sum(totals) / 5, rel=1e-9)
    assert loss.parts["best"][1, 2] == -1


def test_gradient_is_that_of_finite_differences():
    logits, scores, labels = random_batch()
    logits.requires_grad_(), scores.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y: segmentation_loss(x, y, labels, LossOptions()).total, (logits, scores), eps=1e-6
    )


def test_padding_has_no_influence_even_where_its_masks_are_not_numbers():
    logits, scores, labels = random_batch(torch.float32)
    loss = segmentation_loss(logits, scores, labels, LossOptions()).total
    more = torch.cat([logits, torch.full_like(logits[:, :1], float("nan"))], dim=1).requires_grad_()
    padded = torch.cat([labels.int(), torch.full_like(labels[:, :1].int(), -100)], dim=1)
    more_scores = torch.cat([scores, scores[:, :1]], dim=1)
    with_padding = segmentation_loss(more, more_scores, padded, LossOptions()).total
    torch.testing.assert_close(with_padding, loss)
    with_padding.backward()
    assert more.grad[:, -1].count_nonzero() == 0 and more.grad.isfinite().all()


def test_ignored_pixels_have_no_influence():
    logits, scores, labels = random_batch()
    labels = labels.double()
    labels[..., :4, :] = -1
    other = logits.clone()
    other[..., :4, :] = torch.randn_like(other[..., :4, :])
    first, second = (segmentation_loss(x, scores, labels, LossOptions()).total for x in (logits, other))
    torch.testing.assert_close(first, second)


def test_objects_of_other_batches_of_the_step_count():
    logits, scores, labels = random_batch()
    parts = [segmentation_loss(logits[i : i + 1], scores[i : i + 1], labels[i : i + 1], LossOptions(), None, 900)
             for i in range(BATCH)]  # fmt: skip
    whole = segmentation_loss(logits, scores, labels, LossOptions())
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)  # 900 = 2 * 3 objects of 10 x 15


def test_a_batch_of_nothing_but_padding_costs_nothing():
    logits, scores, labels = random_batch(torch.float32)
    logits.requires_grad_()
    loss = segmentation_loss(logits, scores, torch.full_like(labels.int(), -100), LossOptions())
    loss.total.backward()
    assert loss.total == 0 and logits.grad.count_nonzero() == 0


def test_larger_labels_are_met_at_their_size_or_at_the_largest_allowed():
    logits, scores, labels = random_batch()
    large = labels.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    up = torch.nn.functional.interpolate(logits.flatten(0, 1), scale_factor=4, mode="bilinear").unflatten(0, (2, 3))
    expected = segmentation_loss(up, scores, large, LossOptions()).total
    torch.testing.assert_close(segmentation_loss(logits, scores, large, LossOptions()).total, expected)
    limited = segmentation_loss(logits, scores, large, LossOptions(), (HEIGHT, WIDTH)).total
    torch.testing.assert_close(limited, segmentation_loss(logits, scores, labels, LossOptions()).total)
    at_decoder = segmentation_loss(logits, scores, large, LossOptions(resolution="decoder")).total
    torch.testing.assert_close(at_decoder, limited)


def test_labels_come_down_to_the_decoder_as_shares_of_what_is_known():
    logits = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64)
    labels = torch.tensor([[[[1.0, -1.0], [0.0, 1.0]]]], dtype=torch.float64)  # two of three known pixels
    loss = segmentation_loss(
        logits, torch.zeros(1, 1, 1), labels, LossOptions.read({"resolution": "decoder", "iou": 0})
    )
    assert loss.parts["dice"].item() == pytest.approx(1 - (2 * 0.75 * 0.5 * 2 / 3 + 1) / (0.75 * (0.5 + 2 / 3) + 1))


def test_points_estimate_what_all_pixels_give():
    logits, scores, _ = random_batch(torch.float32)
    smooth = torch.nn.functional.interpolate(logits.flatten(0, 1), size=(80, 120), mode="bilinear").unflatten(0, (2, 3))
    large = smooth[:, :, 0] > 0.5
    everywhere = segmentation_loss(smooth, scores, large, LossOptions(focal=0)).total
    few = segmentation_loss(smooth.requires_grad_(), scores, large, LossOptions(focal=0, points=3000))
    few.total.backward()
    assert smooth.grad.abs().sum() > 0
    assert few.total.item() == pytest.approx(everywhere.item(), abs=0.15)  # more of them lie where it is uncertain


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, scores, labels = random_batch(torch.float32)
    logits = (20 * logits).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = segmentation_loss(logits, scores, labels, LossOptions()).total
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, segmentation_loss(logits.float(), scores, labels, LossOptions()).total)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float32, torch.bfloat16])
def test_kinds_of_labels(dtype):
    logits, scores, labels = random_batch()
    expected = segmentation_loss(logits, scores, labels, LossOptions()).total
    torch.testing.assert_close(segmentation_loss(logits, scores, labels.to(dtype), LossOptions()).total, expected)


def test_iou_of_empty_masks():
    nothing = -torch.ones(1, 1, 2, 3)
    assert masks_iou(nothing, torch.zeros(1, 2, 3)) == 1
    assert masks_iou(-nothing, torch.zeros(1, 2, 3)) == 0
