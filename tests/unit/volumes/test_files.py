import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from anymask.volumes.files import open_volume, save_labels

AFFINE = np.array([[-0.75, 0.1, 0, 30], [0, 0.8, 0.05, -20], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])
VOXELS = np.random.default_rng(0).integers(-1000, 1000, (7, 9, 5)).astype(np.int16)


def write_nifti(path):
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.header["descrip"] = b"from a test"
    image.header.set_sform(AFFINE, 1)
    nibabel.save(image, path)


def test_one_time_in_an_axis_of_its_own(tmp_path):
    nibabel.save(nibabel.Nifti1Image(VOXELS[..., None, None], AFFINE), tmp_path / "a.nii")
    volume = open_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.read(3), VOXELS[:, :, 3])
    save_labels(tmp_path / "l.nii.gz", VOXELS > 0, volume)
    written = nibabel.load(tmp_path / "l.nii.gz")
    assert written.shape == VOXELS.shape and np.array_equal(written.affine, nibabel.load(tmp_path / "a.nii").affine)


def write_dicom(folder, skip=None, series=None, n_slices=4):
    series = series or generate_uid()
    for position in range(n_slices):
        if position == skip:
            continue
        one = pydicom.Dataset()
        one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = CTImageStorage, generate_uid(), series
        one.Rows, one.Columns, one.PixelSpacing = 6, 8, [0.5, 0.7]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [-10.0, 5.0, 3.0 * position]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.RescaleSlope, one.RescaleIntercept = 2, -1024
        one.PixelData = np.full((6, 8), position, np.int16).tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = (
            CTImageStorage,
            one.SOPInstanceUID,
        )
        # Names in another order than places.
        one.save_as(folder / f"{(position * 3) % n_slices}_{position}.dcm", enforce_file_format=True)


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_dicom_that_says_not_where_it_lies(tmp_path, tag):
    write_dicom(tmp_path)
    changed = tmp_path / "2_2.dcm"
    one = pydicom.dcmread(changed)
    delattr(one, tag)
    one.save_as(changed)
    with pytest.raises(ValueError, match=rf"2_2\.dcm in .* has no {tag}; save the voxels as \.npy"):
        open_volume(tmp_path)


def test_dicom_of_several_sizes(tmp_path):
    write_dicom(tmp_path)
    one = pydicom.dcmread(tmp_path / "2_2.dcm")
    one.Rows, one.PixelData = 7, np.zeros((7, 8), np.int16).tobytes()
    one.save_as(tmp_path / "2_2.dcm")
    with pytest.raises(ValueError, match=r"must have one size, got \(6, 8\) and \(7, 8\)"):
        open_volume(tmp_path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_there_and_back(tmp_path, ending):
    write_nifti(tmp_path / f"ct{ending}")
    volume = open_volume(tmp_path / f"ct{ending}")
    assert (volume.axis, volume.shape) == (2, (7, 9, 5))
    np.testing.assert_array_equal(volume.read(3), VOXELS[:, :, 3])
    labels = (VOXELS > 0).astype(np.int32) * 300
    save_labels(tmp_path / "labels.nii.gz", labels, volume)
    written, source = nibabel.load(tmp_path / "labels.nii.gz"), nibabel.load(tmp_path / f"ct{ending}")
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)
    assert written.get_data_dtype() == np.uint16
    assert written.affine.tobytes() == source.affine.tobytes()
    for field in ("pixdim", "srow_x", "srow_y", "srow_z", "qform_code", "sform_code", "descrip", "xyzt_units"):
        assert written.header[field].tobytes() == source.header[field].tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"ct{ending}", "labels.nii.gz"]


def test_dicom_is_sorted_by_place_and_in_hounsfield_units(tmp_path):
    write_dicom(tmp_path)
    (tmp_path / "README").write_text("no slice")
    volume = open_volume(tmp_path)
    assert (volume.axis, volume.shape, volume.spacing) == (0, (4, 6, 8), (3.0, 0.5, 0.7))
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], [-1024, -1022, -1020, -1018])
    # Of the voxel (slice 2, row 1, column 4) in NIfTI's frame, right and front positive.
    np.testing.assert_allclose(volume.affine @ [2, 1, 4, 1], [10 - 4 * 0.7, -5 - 0.5, 6, 1])
    save_labels(tmp_path / "out.nii.gz", np.ones((4, 6, 8), bool), volume)
    written = nibabel.load(tmp_path / "out.nii.gz")
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_allclose(written.affine, volume.affine)


def test_arrays(tmp_path):
    np.save(tmp_path / "v.npy", VOXELS)
    volume = open_volume(tmp_path / "v.npy", axis=1)
    assert isinstance(volume.voxels, np.memmap) and volume.axis == 1
    save_labels(tmp_path / "v.nii", np.zeros(VOXELS.shape, np.uint8), volume)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "v.nii").affine, np.eye(4))


def test_what_is_no_volume(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*none\.nii"):
        open_volume(tmp_path / "none.nii")
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(OSError, match=r"must be a NIfTI file, a DICOM folder or a \.npy file"):
        open_volume(tmp_path / "text.txt")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.uint8), np.eye(4)), tmp_path / "time.nii")
    with pytest.raises(ValueError, match=r"one volume \(I, J, K\), got shape \(3, 4, 5, 2\)"):
        open_volume(tmp_path / "time.nii")
    empty, missing, two = tmp_path / "empty", tmp_path / "missing", tmp_path / "two"
    for folder in (empty, missing, two):
        folder.mkdir()
    write_dicom(missing, skip=2, n_slices=5)
    write_dicom(two)
    write_dicom(two, n_slices=5)
    for folder, error, message in (
        (empty, OSError, "must hold DICOM slices"),
        (missing, ValueError, "equal distances, got 3 to 6 mm"),
        (two, ValueError, "must hold one DICOM series, got 2"),
    ):
        with pytest.raises(error, match=message):
            open_volume(folder)


def test_labels_that_do_not_fit(tmp_path):
    np.save(tmp_path / "v.npy", VOXELS)
    volume = open_volume(tmp_path / "v.npy")
    with pytest.raises(ValueError, match=r"ends in \.nii or \.nii\.gz, got 'v.png'"):
        save_labels(tmp_path / "v.png", VOXELS > 0, volume)
    with pytest.raises(ValueError, match="must have the volume's shape"):
        save_labels(tmp_path / "v.nii", VOXELS[:3] > 0, volume)
