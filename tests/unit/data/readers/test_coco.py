"""COCO data sets; the masks' oracle is pycocotools."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from anymask.data.readers.coco import read_coco_dataset


def coco_rle(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def document(shapes):
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": 20, "width": 30},
            {"id": 8, "file_name": "no_annotations.png", "height": 20, "width": 30},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "segmentation": coco_rle(shapes[0]), "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 2, "segmentation": [[15, 10, 28, 10, 28, 18, 15, 18]]},
            {"id": 3, "image_id": 7, "category_id": 2, "segmentation": coco_rle(shapes[0]), "iscrowd": 1},
        ],
        "categories": [{"id": 2, "name": "cup"}],
    }


@pytest.mark.parametrize(
    ("file", "images"), [("_annotations.json", "."), ("annotations.json", "images"), ("annotations/i.json", "val2017")]
)
def test_images_are_found_where_exports_put_them(tmp_path, photo, shapes, save, file, images):
    save(tmp_path / images / "a.png", photo)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(document(shapes)))
    (sample,) = read_coco_dataset(tmp_path / file).samples()
    assert np.array_equal(sample.image, photo) and np.array_equal(sample.masks, shapes)
    assert sample.labels == ["cup", "cup"] and sample.object_ids == [1, 2]
    assert (sample.targets[:, shapes[0]] == -1).all()  # a crowd is ignored


def test_what_is_wrong_is_said(tmp_path, photo, shapes, save):
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(document(shapes)))
    with pytest.raises(ValueError, match=r"a\.png is in neither; pass their folder as `images`"):
        read_coco_dataset(file)
    file.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match="must have annotations"):
        read_coco_dataset(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="must be COCO JSON"):
        read_coco_dataset(file)
