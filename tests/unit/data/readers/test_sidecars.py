"""A file of annotations for each image, in the formats that Results writes."""

import numpy as np
import pytest

from anymask import Results
from anymask.data.readers.sidecars import read_bsds_folder, read_labelme_folder, read_sa1b_folder, read_yolo_folder


def results(shapes):
    return Results([{"segmentation": mask, "label": label} for mask, label in zip(shapes, "12", strict=True)], (20, 30))


@pytest.mark.parametrize(
    ("read", "format_name", "suffix"),
    [
        (read_sa1b_folder, "sa1b", ".json"),
        (read_labelme_folder, "labelme", ".json"),
        (read_yolo_folder, "yolo", ".txt"),
    ],
)
def test_round_trip(tmp_path, photo, shapes, save, read, format_name, suffix):
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "images/without.png", photo)
    (tmp_path / "labels").mkdir()
    results(shapes).save(tmp_path / f"labels/a{suffix}", format=format_name)
    (sample,) = read(tmp_path).samples()
    assert sample.name == "images/a.png"
    assert np.array_equal(sample.image, photo) and np.array_equal(sample.masks, shapes)
    assert list(sample.labels) == ["1", "2"] and list(sample.object_ids) == [1, 2]


def test_class_names_of_yolo(tmp_path, photo, shapes, save):
    save(tmp_path / "a.png", photo)
    results(shapes).save(tmp_path / "a.txt")
    (sample,) = read_yolo_folder(tmp_path, ["cat", "dog", "cup"]).samples()
    assert sample.labels == ["dog", "cup"]


def test_folder_without_annotations(tmp_path, photo, save):
    save(tmp_path / "a.png", photo)
    with pytest.raises(ValueError, match=r"must hold images with text of YOLO of the same stem, but none of 1 images"):
        read_yolo_folder(tmp_path)


def test_boundaries_of_bsds(tmp_path, photo, shapes, save):
    from scipy.io import savemat

    save(tmp_path / "images/test/12003.png", photo)
    (tmp_path / "groundTruth/test").mkdir(parents=True)
    annotators = np.empty((1, 2), dtype=object)
    for index, mask in enumerate(shapes):
        annotators[0, index] = {"Segmentation": mask.astype(np.uint16), "Boundaries": mask.astype(np.uint8)}
    savemat(tmp_path / "groundTruth/test/12003.mat", {"groundTruth": annotators})
    (sample,) = read_bsds_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, shapes) and sample.labels == ["boundary", "boundary"]
