import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from anymask.distributed.inputs import ImageReference, list_images

NAMES = ["broken.jpg", "part0/p0.png", "part0/p2.png", "part0/p4.png", "part1/p1.png", "part1/p3.png"]


def test_folders_globs_and_lists(photos, tmp_path):
    listed = list_images(photos)
    assert [image.name for image in listed] == NAMES
    assert listed[1].read() == str(photos / "part0/p0.png")
    assert [image.source for image in list_images(f"{photos}/**/p*.png")] == [
        str(photos / name) for name in NAMES if name.endswith("png")
    ]
    listing = tmp_path / "list.txt"
    listing.write_text("\ufeffhttps://example.org/é.jpg\n\nsub/a.png\n", encoding="utf-8")
    assert list_images(listing) == [
        ImageReference("https://example.org/é.jpg", "https://example.org/é.jpg"),
        ImageReference("sub/a.png", str(tmp_path / "sub/a.png")),
    ]


def test_tars_are_read_in_place(photos, tmp_path):
    with tarfile.open(tmp_path / "sa_000.tar", "w") as tar:
        tar.add(photos / "part0/p0.png", "./sa_1.png")
        tar.add(photos / "part1/p1.png", "./sa_2.png")
        tar.addfile(tarfile.TarInfo("./sa_1.json"), io.BytesIO())
    listed = list_images(tmp_path)
    assert [image.name for image in listed] == ["sa_1.png", "sa_2.png"]
    assert listed[1].read() == (photos / "part1/p1.png").read_bytes()


@pytest.mark.parametrize("form", [bytes, dict])
def test_parquet(photos, tmp_path, form):
    images = [(photos / name).read_bytes() for name in NAMES[1:]]
    column = images if form is bytes else [{"bytes": image, "path": "x.png"} for image in images]
    parquet.write_table(pa.table({"image": column}), tmp_path / "d.parquet", row_group_size=2)
    listed = list_images(tmp_path / "d.parquet")
    assert [image.read() for image in listed] == images
    assert [listed[index].read() for index in (4, 0)] == [images[4], images[0]]
    parquet.write_table(pa.table({"picture": images}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="must have a column 'image' of bytes, but its columns are picture"):
        list_images(tmp_path / "other.parquet")[0].read()


def test_nothing_and_two_of_a_name(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="must be images to segment"):
        list_images(tmp_path)
    with pytest.raises(ValueError, match=r"are both called 'p0\.png'"):
        list_images([str(photos / "part0"), str(photos / "part0")])
    assert len(np.unique([image.name for image in list_images([str(photos)])])) == 6
