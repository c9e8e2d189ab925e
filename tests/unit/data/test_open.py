"""What lies at a path is recognised."""

import json

import numpy as np
import pytest

from anymask import Results
from anymask.data import open_dataset


@pytest.mark.parametrize("format_name", ["sa1b", "labelme", "yolo", "coco"])
def test_formats_of_annotations(tmp_path, photo, shapes, save, format_name):
    save(tmp_path / "images/a.png", photo)
    (tmp_path / "labels").mkdir()
    results = Results([{"segmentation": mask} for mask in shapes], (20, 30), name="a.png")
    results.save(tmp_path / f"labels/a{'.txt' if format_name == 'yolo' else '.json'}", format=format_name)
    assert np.array_equal(open_dataset(tmp_path)[0].masks, shapes)


def test_folders_of_yolo_in_any_case(tmp_path, photo, save):
    save(tmp_path / "Images/a.png", photo)
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels/a.txt").write_text("4 0.1 0.1 0.5 0.1 0.5 0.5\n")
    assert open_dataset(tmp_path)[0].labels == ["4"]


def test_masks_and_files(tmp_path, photo, shapes, save):
    save(tmp_path / "m/images/a.png", photo)
    save(tmp_path / "m/labels/a.png", shapes[1])
    assert np.array_equal(open_dataset(tmp_path / "m")[0].masks, shapes[1:])
    np.savez(tmp_path / "s.npz", imgs=photo, gts=shapes[0])
    assert np.array_equal(open_dataset(tmp_path / "s.npz")[0].masks, shapes[:1])


def test_synthetic_scenes():
    dataset = open_dataset("synthetic:3")
    assert len(dataset) == 3 and dataset[1].name == "scene-1"
    with pytest.raises(ValueError, match="'synthetic:50', got 'synthetic:many'"):
        open_dataset("synthetic:many")


def test_several_coco_files_must_be_told_apart(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match=r"one file of COCO, got 2 JSON files, a\.json, b\.json; name one"):
        open_dataset(tmp_path)


def test_wrong_calls(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing"):
        open_dataset(tmp_path / "none")
    with pytest.raises(ValueError, match="did you mean 'coco'"):
        open_dataset(tmp_path, format="cocos")
    with pytest.raises(TypeError, match="'windows'; did you mean 'window'"):
        open_dataset(tmp_path, format="nifti", windows=(0, 1))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"a folder, a \.json of COCO or an \.npz"):
        open_dataset(tmp_path / "a.txt")
