"""Rows as the library `datasets` has them, in the forms that people's columns have."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from anymask.data.readers.columns import read_columns
from anymask.data.samples import BrokenSampleError

FORMS = {
    "stack": lambda masks: masks,
    "tensor": torch.from_numpy,
    "list of arrays": list,
    "list of lists": lambda masks: masks.astype(int).tolist(),
    "list of pictures": lambda masks: [Image.fromarray(mask.astype(np.uint8) * 255) for mask in masks],
    "masks last": lambda masks: np.moveaxis(masks, 0, 2),
    "list of floats": lambda masks: masks.astype(float).tolist(),
    "label map": lambda masks: Image.fromarray((masks[0] + masks[1] * 2).astype(np.uint8)),
    "rles": lambda masks: [coco_mask.encode(np.asfortranarray(mask)) for mask in masks],
    "polygons": lambda masks: [[[3, 2, 12, 2, 12, 9, 3, 9]], [[15, 10, 28, 10, 28, 18, 15, 18]]],
    "objects": lambda masks: {"segmentation": [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]},
    "list of objects": lambda masks: [{"mask": mask, "category": 3} for mask in masks],
}


@pytest.mark.parametrize("form", FORMS)
def test_masks_in_every_form(form, photo, shapes):
    rows = [{"image": Image.fromarray(photo), "masks": FORMS[form](shapes)}]
    (sample,) = read_columns(rows).samples()
    assert np.array_equal(sample.image, photo) and np.array_equal(sample.masks, shapes)


def test_images_that_were_not_decoded(photo, shapes):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    rows = [{"image": {"bytes": file.getvalue(), "path": None}, "label": Image.fromarray(shapes[0])}]
    (sample,) = read_columns(rows).samples()
    assert np.array_equal(sample.image, photo) and np.array_equal(sample.masks, shapes[:1])


def test_masks_that_were_not_decoded_and_what_is_ignored(tmp_path, photo, shapes):
    label_map = Image.fromarray((shapes[0] * 1 + shapes[1] * 255).astype(np.uint8))
    file = io.BytesIO()
    label_map.save(file, "PNG")
    label_map.save(tmp_path / "a.png")
    for cell in ({"bytes": file.getvalue(), "path": None}, {"bytes": None, "path": str(tmp_path / "a.png")}):
        (sample,) = read_columns([{"image": photo, "label": cell}], ignore_value=255).samples()
        assert np.array_equal(sample.masks, shapes[:1])
        assert np.array_equal(sample.targets[0] == -1, shapes[1])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "a cell of masks must be an array, a picture or a list of masks, got NoneType"),
        ({"bbox": [[1, 2, 3, 4]]}, "a cell of masks must be .* got NoneType"),
        (np.full((2, 20, 30), -1.5), "must be binary, got floats from -1.5"),
    ],
)
def test_what_is_no_mask(photo, cell, message):
    with pytest.raises(BrokenSampleError, match=message):
        read_columns([{"image": photo, "masks": cell}])[0]


def test_columns_by_name(photo, shapes):
    rows = [{"photo": photo, "truth": shapes, "other": 1}]
    assert len(read_columns(rows, masks="truth")[0].rles) == 2
    with pytest.raises(
        ValueError, match="`masks` must name a column of photo, truth, other, and none has a usual name"
    ):
        read_columns(rows)
    with pytest.raises(ValueError, match="`image` must name a column of photo, truth, other, got 'picture'"):
        read_columns(rows, image="picture", masks="truth")
    with pytest.raises(ValueError, match="at least one row"):
        read_columns([])
