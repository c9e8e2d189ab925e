import numpy as np
import pytest

from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle
from anymask.results.formats.annotated_image import AnnotatedImage

HEIGHT, WIDTH = 23, 31


@pytest.fixture
def masks():
    """(4, 23, 31): a frame with an island in its hole, two parts and a hole, noise, one pixel in the last corner."""
    masks = np.zeros((4, HEIGHT, WIDTH), bool)
    masks[0, 2:21, 3:29] = True
    masks[0, 5:18, 6:26] = False
    masks[0, 9:13, 10:15] = True
    masks[1, 0:8, 0:9] = True
    masks[1, 3:5, 4:6] = False
    masks[1, 12:20, 20:31] = True
    masks[2] = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5
    masks[3, -1, -1] = True
    return masks


@pytest.fixture
def annotated(masks):
    """The masks as an image's records, all with what a model says, two of them with a label."""
    records = [
        make_record(
            mask_to_rle(mask),
            predicted_iou=0.9 - index / 10,
            stability_score=0.95,
            point_coords=[[index + 0.5, 2.0]],
            crop_box=[0, 0, WIDTH, HEIGHT],
        )
        for index, mask in enumerate(masks)
    ]
    records[1]["label"] = "cup"
    records[2]["label"] = "sea lion"
    return AnnotatedImage(records, (HEIGHT, WIDTH), "photo.jpg")


@pytest.fixture
def empty_mask():
    return AnnotatedImage([make_record(mask_to_rle(np.zeros((HEIGHT, WIDTH), bool)))], (HEIGHT, WIDTH), "photo.jpg")


@pytest.fixture
def nothing():
    return AnnotatedImage([], (HEIGHT, WIDTH), "photo.jpg")
