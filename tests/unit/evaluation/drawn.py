"""A segmenter that knows the truth, for tests of what is measured, and a data set of drawn shapes."""

from typing import NamedTuple

import numpy as np
import torch

from anymask.data.samples import Entry, MaskDataset, sample_of_masks
from anymask.evaluation.answers import Answers, Encoded
from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.rle import rle_to_mask

SIZE_HW = (48, 64)


def discs(*circles):
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return np.stack([np.hypot(rows - y, columns - x) <= radius for x, y, radius in circles])


def sample(name="two", circles=((20, 24, 12), (50, 20, 8)), **more):
    masks = discs(*circles)
    image = np.full((*SIZE_HW, 3), 90, dtype=np.uint8)
    image[masks.any(axis=0)] = (200, 60, 40)
    return sample_of_masks(name, image, masks, **more)


def dataset(*samples):
    return MaskDataset([Entry(one.name, lambda one=one: one) for one in samples], "drawn discs")


class Asked(NamedTuple):
    points: int
    has_mask: bool


class KnowingSegmenter:
    """Finds the object under the first point, or of the nearest box, and is better the more points it gets.

    With k points the single mask lacks the object's lowest 4 / k rows. Of the three others the second is right, and the
    first has the highest predicted IoU and lacks 2 rows more than the single one.
    """

    name, implementation = "knowing", "test"

    def __init__(self, *samples):
        self._samples = samples
        self.asked = []
        self.encoded = 0

    def digest(self):
        return "0" * 64

    def encode(self, image):
        self.encoded += 1
        self._masks = next(one.masks for one in self._samples if np.array_equal(one.image, image))
        return Encoded(torch.zeros(1, 4, 6, 8), ResizeGeometry(SIZE_HW, SIZE_HW, SIZE_HW))

    def answer(self, encoded, prompts, mask_threshold=0.0):
        count = 1 if prompts.points_xy is None else prompts.points_xy.shape[1]
        self.asked.append(Asked(count, prompts.mask_logits is not None))
        masks = np.zeros((len(prompts), 4, *SIZE_HW), dtype=bool)
        for index in range(len(prompts)):
            found = self._find(prompts, index)
            masks[index] = [cut(found, 4 // count), cut(found, 4 // count + 2), found, found & False]
        predicted = np.tile(np.array([0.8, 0.9, 0.7, 0.1], dtype=np.float32), (len(prompts), 1))
        logits = torch.nn.functional.interpolate(torch.from_numpy(masks).float() * 8 - 4, (24, 32))
        return Answers(masks, predicted, logits)

    def propose(self, image, points_per_side, nms_threshold):
        self.encode(image)
        wholes = [{"segmentation": mask, "predicted_iou": 0.8, "stability_score": 0.9} for mask in self._masks]
        halves = [{"segmentation": cut(m, 9), "predicted_iou": 0.9, "stability_score": 0.9} for m in self._masks]
        return wholes + halves

    def _find(self, prompts, index):
        if prompts.points_xy is None:
            x0, y0, x1, y1 = prompts.boxes_xyxy[index].tolist()
            x, y = int((x0 + x1) / 2), int((y0 + y1) / 2)
        else:
            x, y = prompts.points_xy[index, 0].int().tolist()
        under = [mask for mask in self._masks if mask[y, x]]
        return under[0] if under else np.zeros(SIZE_HW, bool)


def cut(mask, rows):
    """The mask without its lowest rows."""
    lowest = np.flatnonzero(mask.any(axis=1))
    result = mask.copy()
    if rows and len(lowest):
        result[lowest[-rows:]] = False
    return result


def iou(one, other):
    one, other = (mask if isinstance(mask, np.ndarray) else rle_to_mask(mask) for mask in (one, other))
    return (one & other).sum() / max((one | other).sum(), 1)
