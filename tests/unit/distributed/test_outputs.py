import json
import tarfile

import numpy as np
import pyarrow.parquet as parquet
import pytest

from anymask.distributed.inputs import list_images
from anymask.distributed.outputs import FORMATS, Segmented, write_shard
from anymask.masks.rle import mask_to_rle, rle_to_coco, rle_to_mask
from anymask.results.results import Results

RECORD = {
    "segmentation": rle_to_coco(mask_to_rle(np.eye(60, 90))),
    "area": 60,
    "bbox": [0, 0, 59, 59],
    "predicted_iou": 0.5,
    "point_coords": [[3.0, 4.0]],
    "stability_score": 0.25,
    "crop_box": [0, 0, 90, 60],
}


@pytest.fixture
def pairs(photos):
    rows = []
    for number, image in enumerate(list_images(photos)):
        bad = image.name == "broken.jpg"
        rows.append(
            {
                "name": image.name,
                "height": 0 if bad else 60,
                "width": 0 if bad else 90,
                "masks": [] if bad else [RECORD] * number,
                "error": "ValueError: no picture" if bad else None,
            }
        )
    return [Segmented(image.name, image.read(), row) for image, row in zip(list_images(photos), rows, strict=True)]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_give_the_same_bytes_and_are_counted(tmp_path, pairs, name):
    for run in ("a", "b"):
        write_shard(tmp_path / run, tmp_path / "counts", name, pairs)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "counts").read_text()) == {"images": 6, "masks": 15, "errors": 1}


def test_sa1b(tmp_path, pairs, photos):
    write_shard(tmp_path / "s.tar", tmp_path / "c", "sa1b", pairs)
    with tarfile.open(tmp_path / "s.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["broken.json", "part0/p0.png", "part0/p0.json"]
        assert tar.extractfile("part0/p0.png").read() == (photos / "part0/p0.png").read_bytes()
        assert json.load(tar.extractfile("broken.json"))["error"] == "ValueError: no picture"
        tar.extract("part0/p2.json", tmp_path, filter="data")
    document = json.loads((tmp_path / "part0/p2.json").read_text())
    assert document["annotations"] == [{"id": 0, **RECORD}, {"id": 1, **RECORD}]
    assert len(Results.load(tmp_path / "part0/p2.json")) == 2


def test_two_images_of_one_stem_have_a_json_each(tmp_path):
    row = {"name": "", "height": 60, "width": 90, "masks": [RECORD], "error": None}
    images = [Segmented("a/cup.jpg", b"1", row), Segmented("a/cup.png", b"2", row), Segmented("cup.jpg", b"3", row)]
    write_shard(tmp_path / "s.tar", tmp_path / "c", "sa1b", images)
    with tarfile.open(tmp_path / "s.tar") as tar:
        names = tar.getnames()
    assert names == ["a/cup.jpg", "a/cup.json", "a/cup.png", "a/cup.png.json", "cup.jpg", "cup.json"]


def test_coco(tmp_path, pairs):
    write_shard(tmp_path / "s.json", tmp_path / "c", "coco", pairs)
    document = json.loads((tmp_path / "s.json").read_text())
    assert [image["id"] for image in document["images"]] == [1, 2, 3, 4, 5, 6]
    assert document["images"][0]["error"] == "ValueError: no picture"
    assert [annotation["id"] for annotation in document["annotations"]] == list(range(1, 16))
    assert rle_to_mask(document["annotations"][0]["segmentation"]).shape == (60, 90)


def test_parquet(tmp_path, pairs):
    write_shard(tmp_path / "s.parquet", tmp_path / "c", "parquet", pairs)
    rows = parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert rows == [image.row for image in pairs]
