import pytest

from anymask.modeling.losses import LossOptions


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("focal_dise", ValueError, "did you mean 'focal_dice'"),
        ({"type": "bce_dice", "focus": 1}, TypeError, "did you mean 'focal'"),
        ({"iou_loss": "mae"}, ValueError, "'mse' or 'l1'"),
        ({"resolution": "image"}, ValueError, "'labels' or 'decoder'"),
        ({"focal": 0, "dice": 0}, ValueError, "at least one"),
        ({"dice": -1}, ValueError, "0 or more"),
        ({"points": 0}, ValueError, "number of points"),
    ],
)
def test_options_that_cannot_be_are_refused(loss, error, message):
    with pytest.raises(error, match=message):
        LossOptions.read(loss)


def test_what_config_loss_may_be():
    assert LossOptions.read(None) == LossOptions.read("focal_dice") == LossOptions()
    assert LossOptions.read({"type": "bce_dice", "iou": 0.5}) == LossOptions(0, 0, 1, 1, 0.5)
    assert LossOptions.read(LossOptions(dice=3)).dice == 3
