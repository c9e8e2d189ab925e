"""Folders of images and masks, written here file by file."""

import numpy as np
import pytest

from anymask.data.readers.folders import read_mask_folder


def numbers(shapes):
    return (shapes[0] * 3 + shapes[1] * 7).astype(np.uint8)


def test_binary_masks_in_their_own_folder(tmp_path, photo, shapes, save):
    save(tmp_path / "images/deep/a.png", photo)
    save(tmp_path / "masks/deep/a.png", shapes[0])
    save(tmp_path / "images/without.png", photo)
    (sample,) = read_mask_folder(tmp_path).samples()
    assert sample.name == "images/deep/a.png"
    assert np.array_equal(sample.image, photo) and np.array_equal(sample.masks, shapes[:1])
    assert sample.notes == ("masks/deep/a.png: the mask is 0 and 255 instead of 0 and 1",)


def test_label_map_beside_the_image(tmp_path, photo, shapes, save):
    save(tmp_path / "a.png", photo)
    save(tmp_path / "a_mask.png", numbers(shapes))
    (sample,) = read_mask_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, shapes) and sample.object_ids == [3, 7] and sample.notes == ()
    (as_one,) = read_mask_folder(tmp_path, kind="binary").samples()
    assert np.array_equal(as_one.masks, shapes.any(axis=0)[None])


def test_ignored_pixels_of_a_label_map(tmp_path, photo, shapes, save):
    label_map = numbers(shapes)
    label_map[:, -1] = 255
    save(tmp_path / "a.png", photo)
    save(tmp_path / "a_label.png", label_map)
    (sample,) = read_mask_folder(tmp_path, ignore_value=255).samples()
    assert np.array_equal(sample.masks, shapes)
    assert (sample.targets[:, :, -1] == -1).all() and (sample.targets[:, :, :-1] >= 0).all()


def test_one_file_for_each_object_may_overlap(tmp_path, photo, shapes, save):
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a/left.png", shapes[0])
    save(tmp_path / "masks/a/all.png", shapes.any(axis=0))
    (sample,) = read_mask_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, [shapes.any(axis=0), shapes[0]])
    assert sample.object_ids == ["all.png:1", "left.png:1"]


def test_colours_are_objects(tmp_path, photo, shapes, save):
    colours = np.zeros((*shapes.shape[1:], 3), np.uint8)
    colours[shapes[0]] = (0, 0, 200)
    colours[shapes[1]] = (10, 20, 30)
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "labels/a.png", colours)
    (sample,) = read_mask_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, shapes)


def test_lossy_masks_are_cut_and_said_so(tmp_path, photo, shapes, save):
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.jpg", shapes[1])
    (sample,) = read_mask_folder(tmp_path).samples()
    assert (sample.masks[0] == shapes[1]).mean() > 0.98
    assert "after lossy compression" in sample.notes[0]


def test_npz_of_masks(tmp_path, photo, shapes, save):
    save(tmp_path / "a.png", photo)
    np.savez_compressed(tmp_path / "a_masks.npz", shapes)
    (sample,) = read_mask_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, shapes)


def test_a_folder_for_each_patient(tmp_path, photo, shapes, save):
    for patient, mask in zip(("p1", "p2"), shapes, strict=False):
        save(tmp_path / patient / "scan.png", photo)
        save(tmp_path / patient / "scan_mask.png", mask)
    found = {sample.name: sample.masks for sample in read_mask_folder(tmp_path).samples()}
    assert list(found) == ["p1/scan.png", "p2/scan.png"]
    assert all(np.array_equal(masks[0], mask) for masks, mask in zip(found.values(), shapes, strict=False))


def test_masks_of_another_size_are_named(tmp_path, photo, shapes, save):
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.png", shapes[0][:, :-1])
    with pytest.raises(ValueError, match=r"images/a\.png of .*size of their image \(20, 30\), got \(20, 29\)"):
        read_mask_folder(tmp_path)[0]


def test_what_is_no_data_set_says_what_one_is(tmp_path, photo, save):
    save(tmp_path / "a.png", photo)
    with pytest.raises(ValueError, match=r"images with masks of the same stem.*found 1 images"):
        read_mask_folder(tmp_path)
    with pytest.raises(ValueError, match="`kind` must be one of 'auto', 'binary', 'label_map', got 'colour'"):
        read_mask_folder(tmp_path, kind="colour")
