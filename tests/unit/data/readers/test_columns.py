"""Rows as the library `datasets` has them, in the forms that people's columns have."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from anymask.data.readers.columns import read_columns

FORMS = {
    "stack": lambda masks: masks,
    "tensor": torch.from_numpy,
    "list of arrays": list,
    "list of lists": lambda masks: masks.astype(int).tolist(),
    "list of pictures": lambda masks: [Image.fromarray(mask.astype(np.uint8) * 255) for mask in masks],
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
