import pytest
import torch
from tests.unit.modeling.losses.by_hand import by_hand

from anymask.modeling.losses import MASK_LOSSES


@pytest.mark.parametrize("name", MASK_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_loss_of_a_mask(name, weighted):
    logits, targets = 3 * torch.randn(2, 35, dtype=torch.float64), torch.rand(2, 35, dtype=torch.float64).round()
    targets[1, :5] = 0.3  # shares of pixels are targets too
    weights = torch.rand(2, 35, dtype=torch.float64) if weighted else torch.ones(2, 35, dtype=torch.float64)
    actual = MASK_LOSSES[name](logits, targets, weights if weighted else None)
    for i in range(2):
        expected = by_hand(name, logits[i].tolist(), targets[i].tolist(), weights[i].tolist())
        assert actual[i].item() == pytest.approx(expected, rel=1e-9)
