import functools
import io
import json
import shutil
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from anymask.distributed.generate import generate
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


@pytest.fixture
def served(photos):
    """Address of the photos on this machine."""
    handler = functools.partial(QuietHandler, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_urls_are_read_once_and_what_is_missing_is_a_row(photos, options, served, tmp_path):
    (tmp_path / "urls.txt").write_text(f"{served}/part0/p0.png\n{served}/gone.jpg\n")
    manifest = generate(tmp_path / "urls.txt", tmp_path / "out", options=options)
    assert manifest["totals"]["images"] == 2 and manifest["totals"]["errors"] == 1
    host = served.removeprefix("http://")
    with tarfile.open(tmp_path / "out/shard_00000.tar") as tar:
        assert tar.getnames() == [f"{host}/gone.json", f"{host}/part0/p0.png", f"{host}/part0/p0.json"]
        assert tar.extractfile(f"{host}/part0/p0.png").read() == (photos / "part0/p0.png").read_bytes()
        assert "must be reachable, but: HTTP Error 404" in json.load(tar.extractfile(f"{host}/gone.json"))["error"]


def test_every_input_gives_the_same_masks(photos, options, tmp_path):
    """A folder, a glob, a list, an SA-1B tar, a webdataset and Parquet hold the same two pictures."""
    paths = [photos / "part0/p0.png", photos / "part0/p2.png"]
    (tmp_path / "folder").mkdir()
    for path in paths:
        shutil.copy(path, tmp_path / "folder" / path.name)
    (tmp_path / "list.txt").write_text("folder/p0.png\nfolder/p2.png\n")
    with tarfile.open(tmp_path / "sa_000000.tar", "w") as tar:
        for path in paths:
            tar.add(path, f"./{path.name}")
            tar.addfile(tarfile.TarInfo(f"./{path.stem}.json"), io.BytesIO())
    with tarfile.open(tmp_path / "web-000000.tar", "w") as tar:
        for path in paths:
            tar.addfile(tarfile.TarInfo(f"{path.stem}.cls"), io.BytesIO())
            tar.add(path, path.name)
    table = pa.table({"image": [{"bytes": path.read_bytes(), "path": path.name} for path in paths]})
    parquet.write_table(table, tmp_path / "images.parquet")
    masks = []
    for number, source in enumerate(
        ("folder", "folder/*.png", "list.txt", "sa_000000.tar", "web-*.tar", "images.parquet")
    ):
        generate(f"{tmp_path}/{source}", tmp_path / f"out{number}", options=options, format_name="parquet")
        masks.append(parquet.read_table(tmp_path / f"out{number}/shard_00000.parquet")["masks"].to_pylist())
    assert len(masks[0]) == 2 and masks[0][0] and all(one == masks[0] for one in masks)


def test_nothing_and_two_of_a_name(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="must be images to segment"):
        list_images(tmp_path)
    with pytest.raises(ValueError, match=r"are both called 'p0\.png'"):
        list_images([str(photos / "part0"), str(photos / "part0")])
    assert len(np.unique([image.name for image in list_images([str(photos)])])) == 6
