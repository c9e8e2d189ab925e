"""MedSAM's arrays and NIfTI volumes; nibabel writes what is read."""

import nibabel
import numpy as np
import pytest

from anymask.data.readers.medical import read_medsam_npy, read_medsam_npz, read_nifti_folder

SIZE_XYZ = (9, 7, 5)


def volumes():
    """A volume of different values and labels in its slices 1 and 3, indexed x, y, z."""
    values = np.arange(np.prod(SIZE_XYZ), dtype=np.int16).reshape(SIZE_XYZ) - 100
    labels = np.zeros(SIZE_XYZ, dtype=np.uint8)
    labels[2:5, 1:4, 1] = 1
    labels[6:8, 2:6, 3] = 2
    return values, labels


def write(folder, image_name, label_name, affine=None):
    values, labels = volumes()
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    for name, array in ((image_name, values), (label_name, labels)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, affine), path)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.nii.gz", "labels/a.nii.gz"),
        ("imagesTr/a_0000.nii", "labelsTr/a.nii"),
        ("a.nii.gz", "a_seg.nii.gz"),
    ],
)
def test_slices_with_objects(tmp_path, image, label):
    write(tmp_path, image, label)
    first, second = read_nifti_folder(tmp_path, value_range=(-100, 155)).samples()
    values, labels = volumes()
    assert first.name == f"{image}:0001" and second.name == f"{image}:0003"
    assert first.size_hw == (7, 9) and first.spacing_hw == (0.75, 0.5)
    assert np.array_equal(first.masks[0], labels[:, :, 1].T == 1)
    assert second.object_ids == [2]
    assert np.array_equal(second.image[:, :, 0], np.clip(values[:, :, 3].T + 100, 0, 255))


def test_other_axis_and_own_range(tmp_path):
    write(tmp_path, "images/a.nii", "labels/a.nii")
    dataset = read_nifti_folder(tmp_path, axis=0)
    assert [entry.name[-4:] for entry in dataset.entries] == ["0002", "0003", "0004", "0006", "0007"]
    assert dataset[0].size_hw == (5, 7) and dataset[0].spacing_hw == (3.0, 0.75)
    assert (dataset[0].image.min(), dataset[0].image.max()) == (0, 255)
    assert len(read_nifti_folder(tmp_path, axis=0, min_pixels=4)) == 2


def test_medsam_npy(tmp_path, shapes):
    (tmp_path / "imgs").mkdir()
    (tmp_path / "gts").mkdir()
    image = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    np.save(tmp_path / "imgs/CT_a-001.npy", image)
    np.save(tmp_path / "gts/CT_a-001.npy", (shapes[0] + shapes[1] * 4).astype(np.uint8))
    (sample,) = read_medsam_npy(tmp_path).samples()
    assert np.array_equal(sample.image, image) and np.array_equal(sample.masks, shapes)
    assert sample.name == "CT_a-001" and sample.labels == ["1", "4"]


def test_medsam_npz(tmp_path, shapes):
    labels = np.zeros((3, 20, 30), np.uint8)
    labels[1] = shapes[0]
    np.savez(tmp_path / "v.npz", imgs=np.full((3, 20, 30), 9, np.uint8), gts=labels, spacing=np.array([0.5, 0.75, 3]))
    np.savez(tmp_path / "flat.npz", imgs=np.zeros((20, 30, 3), np.uint8), gts=labels[1])
    flat, sliced = read_medsam_npz(tmp_path).samples()
    assert (flat.name, sliced.name) == ("flat", "v:0001")
    assert np.array_equal(flat.masks, shapes[:1]) and np.array_equal(sliced.masks, shapes[:1])
    assert sliced.spacing_hw == (0.75, 0.5)


def test_what_is_wrong_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.zeros(3))
    with pytest.raises(ValueError, match="must hold the arrays imgs and gts, got image"):
        read_medsam_npz(tmp_path)
    with pytest.raises(ValueError, match="volumes and labels of the same name"):
        read_nifti_folder(tmp_path)
    with pytest.raises(ValueError, match="a level and a width above 0"):
        read_nifti_folder(tmp_path, window=(1, 0))
