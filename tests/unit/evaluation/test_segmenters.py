"""anymask and Transformers behind one interface, on the packaged checkpoint: the same answers, the same digest."""

import numpy as np
import pytest
import torch
from PIL import Image

from anymask.evaluation.answers import ImagePrompts
from anymask.evaluation.segmenters import AnymaskSegmenter, TransformersSegmenter, load_segmenter


@pytest.fixture(scope="module")
def both():
    return AnymaskSegmenter("sam-vit-nano", "cpu"), TransformersSegmenter("sam-vit-nano", "cpu")


@pytest.fixture(scope="module")
def image():
    return np.asarray(Image.open("examples/coffee.jpg").reduce(4))


@pytest.mark.parity
def test_same_answers(both, image):
    height, width = image.shape[:2]
    points = torch.tensor([[[0.3 * width, 0.5 * height]], [[0.7 * width, 0.6 * height]]])
    labels = torch.ones(2, 1, dtype=torch.int64)
    boxes = torch.tensor([[0.1 * width, 0.2 * height, 0.8 * width, 0.9 * height]] * 2)
    ours, theirs = both
    encoded = ours.encode(image), theirs.encode(image)
    assert encoded[0].geometry == encoded[1].geometry
    first = ours.answer(encoded[0], ImagePrompts(points, labels))
    assert first.masks.shape == (2, 4, height, width)
    assert first.chosen.tolist() == (1 + first.predicted_iou[:, 1:].argmax(axis=1)).tolist()
    for prompts in (
        ImagePrompts(points, labels),
        ImagePrompts(boxes_xyxy=boxes),
        ImagePrompts(points, labels, mask_logits=first.low_res_logits[:, 0]),
    ):
        a, b = (one.answer(own, prompts) for one, own in zip(both, encoded, strict=True))
        assert (a.masks != b.masks).mean() < 1e-4
        np.testing.assert_allclose(a.predicted_iou, b.predicted_iou, atol=1e-4)
    assert ours.digest() == theirs.digest()


@pytest.mark.parity
def test_same_proposals(both, image):
    ours, theirs = (one.propose(image, points_per_side=3, nms_threshold=0.9) for one in both)
    assert len(ours) == len(theirs) > 3
    for name in ("predicted_iou", "stability_score"):
        np.testing.assert_allclose([one[name] for one in ours], [one[name] for one in theirs], atol=1e-3)


def test_unknown_implementation():
    with pytest.raises(ValueError, match="got 'transformer'; did you mean 'transformers'"):
        load_segmenter("sam-vit-nano", "transformer")
