import numpy as np
import pytest
import torch
from tests.tiny_sam import images, relative_difference

from anymask.export import export as module
from anymask.export.checks import clicks_on
from anymask.export.export import ExportError, export
from anymask.export.fewer_bits import smoothed

PHOTOS = list(np.random.default_rng(0).integers(0, 256, (3, 61, 83, 3), dtype=np.uint8))


@torch.no_grad()
def test_smoothed_computes_the_same(model):
    """And channels after a norm are nearer to each other: the largest peak over the median one."""
    network, pixels = smoothed(model, [images(2)]), images(3)
    assert network is not model
    expected, found = model.get_image_embeddings(pixels), network.get_image_embeddings(pixels)
    assert relative_difference(found, expected) < 1e-4
    before, after = (_peaks(owner, pixels) for owner in (model, network))
    assert after.max() / after.median() < before.max() / before.median()


def _peaks(owner, pixels):
    """The largest value of each channel after a norm."""
    peaks = []
    norm = owner.vision_encoder.layers[0].layer_norm2
    hook = norm.register_forward_hook(lambda norm, inputs, output: peaks.append(output.abs().flatten(0, -2).amax(0)))
    owner.get_image_embeddings(pixels)
    hook.remove()
    return peaks[0]


@pytest.mark.slow
def test_static_ranges_come_from_samples(model, preprocessor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_MASK_IOU", 0.5)  # weights are random
    options = dict(preprocessor=preprocessor, precision="int8-static", samples=PHOTOS)
    report = export(model, tmp_path / "out", **options)
    agreement = report["masks"]["encoder.onnx"]
    assert 0 <= agreement["lowest_iou"] <= agreement["mean_iou"] <= 1
    assert agreement["masks"] == 16 * len(PHOTOS)


@pytest.mark.slow
def test_clicks_lie_on_the_photo():
    clicks = clicks_on((30, 200))
    assert clicks.shape == (1, 16, 1, 2)
    assert clicks.amin(dim=(0, 1, 2)).tolist() == [25, 3.75] and clicks.amax(dim=(0, 1, 2)).tolist() == [175, 26.25]


def test_masks_that_differ_are_refused(model, preprocessor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_MASK_IOU", 1.01)
    with pytest.raises(ExportError, match=r"Masks of encoder\.onnx in fp32 must agree .* mean IoU of 1\.01, but 48 on"):
        export(model, tmp_path / "out", preprocessor=preprocessor, samples=PHOTOS)
    assert list(tmp_path.iterdir()) == []
