import numpy as np
import pytest
import torch
from PIL import Image

from anymask.images.options import ImageOptions
from anymask.images.segmentation_maps import pair_with_images, resize_map

OPTIONS = ImageOptions(size=64, pad_size=64, mask_size=16, mask_pad_size=16)
GEOMETRY = OPTIONS.geometry((40, 80))


def resized(labels):
    ((array, geometry),) = pair_with_images(labels, [GEOMETRY])
    return resize_map(array, geometry, OPTIONS)


def test_labels_keep_their_values_and_padding_is_zero():
    labels = np.full((40, 80), 70000)
    labels[:, 40:] = 3
    expected = np.zeros((16, 16), np.int64)
    expected[:8, :8], expected[:8, 8:] = 70000, 3
    assert (resized(labels) == expected).all()
    assert (resized(torch.from_numpy(labels)) == expected).all()
    assert (resized(labels.astype(np.float64)) == expected).all()


def test_a_palette_image_gives_its_indices():
    palette = Image.fromarray(np.full((40, 80), 3, np.uint8), "L").convert("P")
    palette.putpalette([200, 0, 0] * 256)
    assert resized(palette).max() == 3


def test_several_images():
    other = OPTIONS.geometry((20, 30))
    pairs = pair_with_images([np.zeros((40, 80)), np.ones((20, 30))], [GEOMETRY, other])
    assert [(array.shape, geometry) for array, geometry in pairs] == [((40, 80), GEOMETRY), ((20, 30), other)]
    assert len(pair_with_images(np.zeros((2, 40, 80)), [GEOMETRY, GEOMETRY])) == 2


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([np.zeros((40, 80), int)] * 2, "one segmentation map per image, got 2 for 1 images"),
        (np.zeros((80, 40), int), r"as large as its image, \(40, 80\) \(height x width\), got shape \(80, 40\)"),
        (np.zeros((40, 80, 3), int), r"must have shape HxW, HxWx1 or 1xHxW, got \(40, 80, 3\)"),
        (np.full((40, 80), 0.5), "must hold whole numbers"),
    ],
)
def test_maps_that_cannot_be(maps, message):
    with pytest.raises(ValueError, match=message):
        pair_with_images(maps, [GEOMETRY])
