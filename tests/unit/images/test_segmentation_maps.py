import numpy as np
import pytest
import torch
from PIL import Image

from anymask.images.options import ImageOptions
from anymask.images.segmentation_maps import prepare_segmentation_maps

OPTIONS = ImageOptions(size=64, pad_size=64, mask_size=16, mask_pad_size=16)
GEOMETRY = OPTIONS.geometry((40, 80))
OTHER = OPTIONS.geometry((20, 30))


def resized(labels):
    (array,) = prepare_segmentation_maps(labels, [GEOMETRY], OPTIONS)
    return array


def one(value, size_hw=(40, 80)):
    return np.full(size_hw, value, np.uint8)


def values(maps, geometries, n_prompts=None):
    """The number in the first pixel of each label; lists by prompts, where there are any."""
    labels = prepare_segmentation_maps(maps, geometries, OPTIONS, n_prompts)
    assert {array.shape[-2:] for array in labels} == {(16, 16)} and {array.dtype.name for array in labels} == {"int64"}
    return [array[..., 0, 0].tolist() for array in labels]


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


@pytest.mark.parametrize(
    "maps",
    [
        [one(3), one(4, (20, 30))],
        [one(3)[None], one(4, (20, 30))[..., None]],
        [[one(3)], [one(4, (20, 30))]],
        [[one(3), one(4, (20, 30))]],
        (torch.from_numpy(one(3)), Image.fromarray(one(4, (20, 30)))),
    ],
)
def test_one_map_of_each_image(maps):
    assert values(maps, [GEOMETRY, OTHER]) == [3, 4]
    assert values(maps, [GEOMETRY, OTHER], [2, 3]) == [3, 4]


def test_an_array_of_maps_is_of_the_images():
    assert values(np.stack([one(3), one(5)]), [GEOMETRY, GEOMETRY]) == [3, 5]
    assert values(np.stack([one(3), one(5)])[:, None], [GEOMETRY, GEOMETRY]) == [3, 5]
    assert values(np.stack([one(3), one(5)])[None], [GEOMETRY]) == [[3, 5]]
    several = np.stack([np.stack([one(3), one(5), one(7)]), np.stack([one(4), one(6), one(8)])])
    assert values(several, [GEOMETRY, GEOMETRY], [3, 3]) == [[3, 5, 7], [4, 6, 8]]


@pytest.mark.parametrize(
    "maps",
    [
        np.stack([one(3), one(5)]),
        torch.from_numpy(np.stack([one(3), one(5)])),
        [one(3), one(5)],
        [[one(3), one(5)]],
        [one(3)[None], Image.fromarray(one(5))],
    ],
)
def test_several_maps_of_one_image(maps):
    assert values(maps, [GEOMETRY]) == [[3, 5]]
    assert values(maps, [GEOMETRY], [2]) == [[3, 5]]


def test_images_with_fewer_prompts_are_filled_up_and_one_map_belongs_to_all_prompts():
    maps = [np.stack([one(3), one(5), one(7)]), one(4, (20, 30))]
    assert values(maps, [GEOMETRY, OTHER], [3, 2]) == [[3, 5, 7], [4, 4, -100]]
    assert values(maps, [GEOMETRY, OTHER], [3, 1]) == [[3, 5, 7], [4, -100, -100]]
    assert values([one(3), [one(4, (20, 30))] * 2], [GEOMETRY, OTHER], [3, 2]) == [[3, 3, 3], [4, 4, -100]]
    assert values(maps, [GEOMETRY, OTHER]) == [[3, 5, 7], [4, -100, -100]]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([one(1)] * 3, "one map for an image, or one for each of its prompts; image 0 has 3 maps and 2 prompts"),
        (one(1, (80, 40)), r"as large as its image, \(40, 80\) \(height x width\).* got shape \(80, 40\)"),
        (np.zeros((2, 80, 40), int), r"or several as \(maps, H, W\); got shape \(2, 80, 40\)"),
        (np.zeros((40, 80, 3), int), r"HxW, HxWx1.* got shape \(40, 80, 3\)"),
        (np.zeros((0, 40, 80), int), r"got shape \(0, 40, 80\)"),
        (np.full((40, 80), 0.5), "must hold whole numbers"),
        ([], "at least one"),
        (3, r"got shape \(\)"),
    ],
)
def test_maps_that_cannot_be(maps, message):
    with pytest.raises(ValueError, match=message):
        prepare_segmentation_maps(maps, [GEOMETRY], OPTIONS, [2])


def test_maps_of_another_number_of_images():
    with pytest.raises(ValueError, match="one entry per image, got 3 for 2 images"):
        prepare_segmentation_maps([one(1)] * 3, [GEOMETRY] * 2, OPTIONS)
    with pytest.raises(ValueError, match="one entry per image, got 1 for 2 images"):
        prepare_segmentation_maps(one(1), [GEOMETRY] * 2, OPTIONS)
