"""What labels may not be; how one mask of an image becomes one for each prompt is in `../test_network.py`."""

import pytest
import torch
from tests.unit.modeling.losses.by_hand import random_batch

from anymask.modeling.losses import LossOptions, segmentation_loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.byte() * 255, r"values from 255 to 255; compare them with 0 \(masks > 0\)"),
        (lambda x: x.float() * 255, "compare them with 0"),
        (lambda x: x.int() - 3, "use -1 for pixels to ignore"),
        (lambda x: x[:, :2], r"one mask per prompt, shape \(2, 3, height, width\), or .* got \(2, 2, 10, 15\)"),
        (lambda x: x[:, 0], "one mask per prompt"),
        (lambda x: x[..., :7], "same frame as the masks, 10 x 15 or any size of that shape"),
        (lambda x: x.int().index_fill(3, torch.tensor([0]), -100), "mark pixels to ignore by -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(change, message):
    logits, scores, labels = random_batch()
    with pytest.raises(ValueError, match=message):
        segmentation_loss(logits, scores, change(labels), LossOptions())
