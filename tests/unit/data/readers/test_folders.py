"""Folders of images and masks, written here file by file."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from anymask.data.readers.folders import read_mask_folder
from anymask.masks.rle import rle_to_mask


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


def test_soft_edges_are_cut_and_a_map_of_numbers_is_not(tmp_path, photo, shapes, save):
    soft = Image.fromarray(shapes[0].astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.png", np.asarray(soft))
    (sample,) = read_mask_folder(tmp_path).samples()
    assert len(sample.rles) == 1 and (sample.masks[0] == shapes[0]).mean() > 0.98
    (note,) = sample.notes
    assert "values at soft edges and was cut at half" in note

    objects = shapes[0] * 40 + shapes[1] * 255  # white, and other numbers, but whole objects
    save(tmp_path / "masks/a.png", objects.astype(np.uint8))
    (sample,) = read_mask_folder(tmp_path).samples()
    assert sample.object_ids == [40, 255] and np.array_equal(sample.masks, shapes)
    assert "255 counts as an object; ignore_value=255" in sample.notes[0]


def test_colours_in_a_lossy_file_are_refused_unless_they_are_one(tmp_path, photo, shapes, save):
    colours = np.zeros((*shapes.shape[1:], 3), np.uint8)
    colours[shapes[0]] = (0, 0, 250)
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.jpg", colours)
    (sample,) = read_mask_folder(tmp_path).samples()
    assert (sample.masks[0] == shapes[0]).mean() > 0.95
    colours[shapes[1]] = (250, 0, 0)
    save(tmp_path / "masks/a.jpg", colours)
    with pytest.raises(ValueError, match="several colours must be kept without loss, as PNG"):
        read_mask_folder(tmp_path)[0]


def test_a_mask_that_is_cut_out_of_one_colour(tmp_path, photo, shapes, save):
    cut_out = np.full((*shapes.shape[1:], 4), 255, np.uint8)
    cut_out[..., 3] = shapes[1] * 255
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.png", cut_out)
    (sample,) = read_mask_folder(tmp_path).samples()
    assert np.array_equal(sample.masks, shapes[1:])


def test_numbers_below_zero_are_refused_unless_ignored(tmp_path, photo, shapes, save):
    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.tif", shapes[0].astype(np.int32) - shapes[1])
    with pytest.raises(ValueError, match="0 or more, got -1; ignore_value=-1 says"):
        read_mask_folder(tmp_path)[0]
    sample = read_mask_folder(tmp_path, ignore_value=-1)[0]
    assert np.array_equal(sample.masks, shapes[:1]) and np.array_equal(rle_to_mask(sample.ignored), shapes[1])


def test_a_folder_for_each_image_with_images_and_masks(tmp_path, photo, shapes, save):
    for name in ("c1", "c2"):  # as Kaggle's nuclei have it
        save(tmp_path / name / "images" / f"{name}.png", photo)
        save(tmp_path / name / "masks/9ab.png", shapes[0])
        save(tmp_path / name / "masks/12f.png", shapes[1])
    first, second = read_mask_folder(tmp_path).samples()
    assert (first.name, second.name) == ("c1/images/c1.png", "c2/images/c2.png")
    assert np.array_equal(second.masks, shapes[::-1])


def test_accents_are_one_however_they_are_written(tmp_path, photo, shapes, save):
    save(tmp_path / "images/zell\u00e9.png", photo)
    save(tmp_path / "masks/zelle\u0301.png", shapes[0])
    assert np.array_equal(read_mask_folder(tmp_path)[0].masks, shapes[:1])


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
