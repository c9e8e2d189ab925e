from pathlib import Path, PurePosixPath

import pytest

from anymask.cli.files import Photo
from anymask.cli.outputs import ENDINGS, is_result, output_paths, read_formats
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
    assert [is_result(name) for name in results] == [True] * 4
    assert not any(is_result(name) for name in ["a.png", "cutouts/a.png", "sub_overlay.png/a.png"])
