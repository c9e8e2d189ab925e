"""COCO data sets; the masks' oracle is pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from anymask.data import open_dataset
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


def test_files_of_other_programs(tmp_path, photo, shapes, save):
    save(tmp_path / "train/größe.png", photo)
    written = {
        "images": [{"id": "7", "file_name": "train\\größe.png"}],  # Windows' slash, no size, an id as text
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 0, "segmentation": coco_rle(shapes[0])},
            {"id": 2, "image_id": 99, "category_id": 0, "segmentation": coco_rle(shapes[1])},
        ],
        "categories": [{"id": 0, "name": "cup"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(written), encoding="utf-8-sig")  # with a byte-order mark
    dataset = open_dataset(tmp_path)
    (sample,) = dataset.samples()
    assert sample.name == "train/größe.png" and sample.labels == ["cup"]
    assert np.array_equal(sample.masks, shapes[:1])
    assert dataset.alone == ["image_id 99"]


def test_masks_of_a_photo_that_is_not_turned(tmp_path, photo, shapes):
    image = Image.fromarray(photo)
    exif = image.getexif()
    exif[274] = 6  # turned by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    (tmp_path / "coco.json").write_text(json.dumps(document(shapes)))
    with pytest.raises(ValueError, match="turned upright by their EXIF orientation; masks must be, too"):
        read_coco_dataset(tmp_path / "coco.json")[0]


def test_what_is_wrong_is_said(tmp_path, photo, shapes, save):
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(document(shapes)))
    with pytest.raises(ValueError, match=r"a\.png is in neither; pass their folder as `images`"):
        read_coco_dataset(file)
    file.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match="must have annotations"):
        read_coco_dataset(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="must be a whole file of COCO JSON"):
        read_coco_dataset(file)
    file.write_text(json.dumps({"images": [{"id": 1}], "annotations": [{"image_id": 1}]}))
    with pytest.raises(ValueError, match="the file has no 'file_name'"):
        read_coco_dataset(file)
