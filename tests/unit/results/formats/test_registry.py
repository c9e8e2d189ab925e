"""Formats by name and suffix, through `Results.save` and `Results.load`, which are these functions' only callers."""

import json
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from anymask.results.formats.registry import FORMATS
from anymask.results.formats.sa1b import write_sa1b
from anymask.results.results import Results


@pytest.fixture
def results(annotated):
    photo = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    return Results(annotated.records[:2], annotated.size_hw, image=photo, name="photo.jpg")


OPTIONS = {"yolo": {"class_names": ["dog", "cup"]}, "labelme": {"tolerance": 0, "min_area": 0}}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_and_what_can_be_read_is(results, name, tmp_path):
    suffix = {"label_map": ".png", "yolo": ".txt", "overlay": ".png", "cutouts": ""}.get(name, ".json")
    path = tmp_path / f"a{suffix}"
    results = results[:1] if name == "label_map" else results  # masks overlap, which a label map cannot say
    results.save(path, name, **OPTIONS.get(name, {}))
    if FORMATS[name].reader is None:
        with pytest.raises(ValueError, match=f"can be read, sa1b, .*, got '{name}'"):
            Results.load(path, name)
        return
    # By name, and by what the file looks like.
    for read in (Results.load(path, name, image=results.image), Results.load(path, image=results.image)):
        assert read.image is results.image
        assert read.size_hw == results.size_hw
        np.testing.assert_array_equal(read.masks, results.masks)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "cutouts"])
def test_no_masks(results, name, tmp_path):
    results[:0].save(tmp_path / "a", name)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_suffixes(results, tmp_path):
    for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")):
        results.save(tmp_path / f"a{suffix}", labels=True)
        with Image.open(tmp_path / f"a{suffix}") as picture:
            assert (picture.format, picture.size) == (kind, (31, 23))
    results.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["image"]["file_name"] == "photo.jpg"


def test_unknown_names_suffixes_and_options(results, tmp_path):
    with pytest.raises(ValueError, match=r"a\.xml must end in \.png, .*, or `format` be one of overlay, sa1b, coco"):
        results.save(tmp_path / "a.xml")
    with pytest.raises(ValueError, match="got 'cocco'; did you mean 'coco'"):
        results.save(tmp_path / "a.json", "cocco")
    with pytest.raises(TypeError, match="the format 'yolo' has no option 'tolerence'; did you mean 'tolerance'"):
        results.save(tmp_path / "a.txt", tolerence=1)
    with pytest.raises(ValueError, match="got 'highest'"):
        results.save(tmp_path / "a.png", "label_map", priority="highest")
    with pytest.raises(FileNotFoundError, match=r"there is no such folder\. Nothing was written"):
        results.save(tmp_path / "missing" / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_needs_an_image(annotated, tmp_path):
    results = Results(annotated.records, annotated.size_hw)
    for name in ("overlay", "cutouts"):
        with pytest.raises(ValueError, match="there must be an image to draw on"):
            results.save(tmp_path / "a.png", name)
        results.save(tmp_path / name, name, image=np.zeros((23, 31, 3), np.uint8))


def test_yolo_needs_a_size(results, tmp_path):
    results.save(tmp_path / "a.txt", class_names=["cup"])
    with pytest.raises(ValueError, match="does not say the image's size; pass `image`, or `size_hw`"):
        Results.load(tmp_path / "a.txt")
    assert Results.load(tmp_path / "a.txt", size_hw=(23, 31)).size_hw == (23, 31)


def test_one_image_of_a_data_set(results, annotated, tmp_path):
    document = results.to_coco()
    document["images"].append({"id": 2, "height": 4, "width": 5, "file_name": "other.jpg"})
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="must hold one image, got 2 of 2; pass the `name`"):
        Results.load(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"must hold one image named 'x\.jpg', got 0 of 2"):
        Results.load(tmp_path / "a.json", name="x.jpg")
    assert Results.load(tmp_path / "a.json", name="other.jpg").size_hw == (4, 5)


def test_files_that_look_like_nothing(tmp_path, annotated):
    (tmp_path / "a.json").write_text('{"some": "thing"}')
    with pytest.raises(ValueError, match=r"must be JSON of SA-1B, COCO, LabelMe or .* looks like none"):
        Results.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="must be a whole JSON file"):
        Results.load(tmp_path / "a.json")
    write_sa1b(tmp_path / "a.dat", annotated)
    with pytest.raises(ValueError, match="looks like none; pass `format`"):
        Results.load(tmp_path / "a.dat")
    assert len(Results.load(tmp_path / "a.dat", "sa1b")) == 4
    with pytest.raises(FileNotFoundError):
        Results.load(tmp_path / "missing.json")
    with pytest.raises(TypeError, match="the format 'sa1b' has no option 'size'"):
        Results.load(tmp_path / "a.dat", "sa1b", size=3)


def test_rows_name_functions_that_are_there():
    for row in FORMATS.values():
        for place in (row.writer, row.reader):
            if place is not None:
                file, function = place.split(":")
                module = import_module(f"anymask.results.formats.{file}")
                assert callable(getattr(module, function))


def test_the_table_is_quick():
    code = "import sys, anymask.results.formats.registry; print({'numpy', 'torch', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


def test_the_image_that_a_labelme_file_names_is_drawn_on(results, tmp_path):
    Image.new("RGB", (31, 23), (9, 9, 9)).save(tmp_path / "photo.png")
    results.save(tmp_path / "a.json", "labelme", image=tmp_path / "photo.png")
    assert Results.load(tmp_path / "a.json").plot(prompts=False).size == (31, 23)
