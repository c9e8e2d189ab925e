"""Stand-ins for SAM whose masks can be told from the picture, so that what is tested is the way through a volume.

A prompt's mask is the connected region of about the prompt's grey value, inside a box where there is one.
What is darker than 40 is background and has no mask.
"""

from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from anymask.masks.rle import mask_to_rle


class ColourSAM:
    def __init__(self, tolerance=30):
        self.tolerance = tolerance
        self.embedded = 0

    def embed(self, image):
        self.embedded += 1
        assert image.dtype == np.uint8
        return SimpleNamespace(image=image.astype(int))

    def predict(self, source, points=None, labels=None, boxes=None, masks=None, multimask_output=True):
        image = source.image
        inside = np.ones(image.shape, bool)
        if boxes is not None:
            left, top, right, bottom = np.array(boxes[0]).round().astype(int)
            inside = np.zeros(image.shape, bool)
            inside[top:bottom, left:right] = True
        if masks is not None:
            value = np.median(image[masks[0]])
        elif points is not None:
            (x, y), *_ = points[0]
            value = image[int(y), int(x)]
        else:
            value = image[(top + bottom) // 2, (left + right) // 2]
        mask = inside & (abs(image - value) <= self.tolerance) & (value >= 40)
        regions, count = ndimage.label(mask)
        if count:
            mask = regions == 1 + np.argmax(ndimage.sum_labels(mask, regions, range(1, count + 1)))
        return [[{"segmentation": mask_to_rle(mask)}]]


class ColourEverything:
    """Every connected region that is brighter than 40, by its grey value in steps of 40."""

    def generate(self, image, *, output_mode):
        assert output_mode == "uncompressed_rle"
        records = []
        for step in np.unique(image // 40):
            regions, count = ndimage.label((image // 40 == step) & (image >= 40))
            for number in range(1, count + 1):
                mask = regions == number
                if mask.sum() < 4:  # noise
                    continue
                records.append({"segmentation": mask_to_rle(mask), "area": int(mask.sum())})
        return records


def ellipsoid(shape, centre, radii):
    grid = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True)) <= 1


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def noisy(shape, *objects, seed=0):
    """(mask, value) pairs on black, in Hounsfield-like units from -1000, with noise."""
    volume = np.full(shape, -1000.0)
    for mask, value in objects:
        volume[mask] = value
    return (volume + np.random.default_rng(seed).normal(0, 15, shape)).astype(np.int16)
