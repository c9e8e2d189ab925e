from pathlib import Path, PurePosixPath

import pytest

from anymask.cli.files import Photo
from anymask.cli.outputs import ENDINGS, is_cutout, output_paths, owner_of, read_formats
from anymask.results.formats.registry import FORMATS


def test_formats_with_commas_or_one_by_one_each_once():
    assert read_formats(["yolo,overlay", "yolo", "sa1b coco"]) == ["overlay", "sa1b", "coco", "yolo"]
    assert read_formats(["label-map"]) == read_formats(["label_map"]) == ["label_map"]


def test_formats_are_those_of_results():
    assert set(ENDINGS) == set(FORMATS)


def test_unknown_formats():
    with pytest.raises(ValueError, match=r"--format must be of overlay, .*, got 'yoloo'; did you mean 'yolo'\?"):
        read_formats(["overlay,yoloo"])
    with pytest.raises(ValueError, match="got 'x'; several go with commas between"):
        read_formats(["x"])
    with pytest.raises(ValueError, match="--format must name at least one of overlay, "):
        read_formats([","])


def test_names():
    photo = Photo("in/a.b.jpg", PurePosixPath("sub/a.b"))
    assert output_paths(photo, Path("out"), ["overlay", "yolo"]) == {
        "overlay": Path("out/sub/a.b_overlay.png"),
        "yolo": Path("out/sub/a.b.txt"),
    }
    assert len(set(output_paths(photo, Path("out"), ENDINGS).values())) == len(ENDINGS)


def test_results_are_known_by_their_names():
    results = ["a_overlay.png", "sub/a_label_map.png", "a_cutouts/0001.png", "a_overlay.jpg"]
    assert [owner_of(name) for name in results] == ["a"] * 4
    assert not any(map(owner_of, ["a.png", "cutouts/a.png", "sub_overlay.png/a.png"]))


def test_cutouts_of_an_earlier_run_are_told_by_their_names():
    assert all(map(is_cutout, ["a_0001.png", "a_b_0012_coffee-cup.png", "a_12345.png"]))
    assert not any(map(is_cutout, ["notes.txt", "a.png", "a_01.png", "a_0001.jpg"]))
