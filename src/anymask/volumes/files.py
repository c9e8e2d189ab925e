"""Volumes from NIfTI files and DICOM folders, and labels to NIfTI with the same place in space."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .volume import Volume

_INSTALL = "which is not installed; run pip install 'anymask[medical]'"


_PLACE_TAGS = ("SeriesInstanceUID", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")


def open_volume(path: str | os.PathLike[str], axis: int | None = None) -> Volume:
    """Open a volume: a NIfTI file, a folder with one DICOM series, or an array in a .npy file.

    Args:
        path: The file or folder.
        axis: The axis to walk along; by default the last of NIfTI (axial in most files), the first of others.

    Raises:
        FileNotFoundError: If there is no such path.
        ImportError: If nibabel or pydicom is needed and not installed.
        OSError: If it is none of these.
        ValueError: If it is no single volume.
    """
    path = Path(path)
    if path.is_dir():
        return _open_dicom(path, 0 if axis is None else axis)
    if not path.exists():
        raise FileNotFoundError(f"A volume must be a file or a folder, but there is no {path}.")
    if path.suffix == ".npy":
        return Volume(np.load(path, mmap_mode="r", allow_pickle=False), axis=0 if axis is None else axis)
    return _open_nifti(path, 2 if axis is None else axis)


def save_labels(path: str | os.PathLike[str], labels: np.ndarray, volume: Volume) -> None:
    """Write labels as NIfTI, with the affine and the header of the volume's own file kept to the bit.

    Args:
        path: Ends in .nii or .nii.gz.
        labels: (I, J, K) of bool or whole numbers, of the volume's shape; written as uint8, or wider where needed.
        volume: What they are labels of.

    Raises:
        ImportError: If nibabel is not installed.
        ValueError: If shapes differ, or the name ends otherwise.
    """
    nibabel = _nibabel()
    path = Path(path)
    check_labels_path(path)
    if labels.shape != volume.shape:
        raise ValueError(f"Labels must have the volume's shape {volume.shape}, got {labels.shape}.")
    dtype = np.min_scalar_type(int(labels.max(initial=0)))
    header = volume.header.copy() if isinstance(volume.header, nibabel.Nifti1Header) else None
    affine = np.diag([*volume.spacing, 1.0]) if volume.affine is None else volume.affine
    image = nibabel.Nifti1Image(labels.astype(dtype), affine, header)
    image.set_data_dtype(dtype)
    image.header.set_slope_inter(1, 0)
    # nibabel chooses the format by the name's ending, so the unfinished file has the same.
    ending = ".nii.gz" if path.name.endswith(".gz") else ".nii"
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.", suffix=ending)
    os.close(handle)
    try:
        nibabel.save(image, unfinished)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise


def check_labels_path(path: Path) -> None:
    """Refuse a file for labels whose name says another format.

    Raises:
        ValueError: If it ends neither in .nii nor in .nii.gz.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"Labels must be written to a file that ends in .nii or .nii.gz, got {path.name!r}.")


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(f"NIfTI needs nibabel, {_INSTALL}.") from error
    return nibabel


def _open_nifti(path: Path, axis: int) -> Volume:
    nibabel = _nibabel()
    try:
        image = nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as error:
        raise OSError(f"{path} must be a NIfTI file, a DICOM folder or a .npy file, but: {error}.") from error
    while len(image.shape) > 3 and image.shape[-1] == 1:  # one time or channel, written with an axis of its own
        image = image.slicer[..., 0]
    if len(image.shape) != 3:
        raise ValueError(
            f"{path} must hold one volume (I, J, K), got shape {image.shape}; cut out one time or channel."
        )
    i_mm, j_mm, k_mm = (float(size) for size in image.header.get_zooms()[:3])
    return Volume(image.dataobj, axis, (i_mm, j_mm, k_mm), image.affine, header=image.header)


def _open_dicom(folder: Path, axis: int) -> Volume:
    """The one series of a folder, its slices in the order of their places, its values in the modality's units."""
    try:
        import pydicom
    except ImportError as error:
        raise ImportError(f"DICOM needs pydicom, {_INSTALL}.") from error
    slices = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            slices.append(pydicom.dcmread(path))
        except pydicom.errors.InvalidDicomError:
            continue
    slices = [one for one in slices if "PixelData" in one]
    if not slices:
        raise OSError(f"{folder} must hold DICOM slices, but none of its files is one.")
    for tag in _PLACE_TAGS:
        if lacking := [one for one in slices if one.get(tag) is None]:
            name = Path(str(lacking[0].filename)).name
            raise ValueError(
                f"DICOM slices must say where they lie, but {name} in {folder} has no {tag}; "
                "save the voxels as .npy, or convert the series to NIfTI."
            )
    sizes = sorted({(int(one.Rows), int(one.Columns)) for one in slices})
    if len(sizes) > 1:
        raise ValueError(f"The slices of {folder} must have one size, got {sizes[0]} and {sizes[1]} pixels.")
    series = sorted({str(one.SeriesInstanceUID) for one in slices})
    if len(series) > 1:
        raise ValueError(f"{folder} must hold one DICOM series, got {len(series)}; put each into a folder of its own.")
    orientation = np.array(slices[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    normal = np.cross(*orientation)
    slices.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, dtype=float)))
    origins = np.array([one.ImagePositionPatient for one in slices], dtype=float)
    steps = np.diff(origins @ normal)
    if len(steps) and (steps.min() <= 0 or not np.allclose(steps, steps.mean(), rtol=0.02, atol=1e-3)):
        raise ValueError(
            f"The slices of {folder} must lie at equal distances, got {steps.min():g} to {steps.max():g} mm; a "
            "slice is missing or there twice."
        )
    rows_mm, columns_mm = (float(size) for size in slices[0].PixelSpacing)
    step = float(steps.mean()) if len(steps) else float(slices[0].get("SliceThickness") or 1)
    voxels = np.stack([_in_units(one) for one in slices])
    affine = np.eye(4)
    # Axes are slice, row, column; DICOM's millimetres go to the left and back, NIfTI's to the right and front.
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, orientation[1] * rows_mm, orientation[0] * columns_mm
    affine[:3, 3] = origins[0]
    affine[:2] *= -1
    return Volume(voxels, axis, (step, rows_mm, columns_mm), affine)


def _in_units(one: Any) -> np.ndarray:
    slope, intercept = float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))
    values = one.pixel_array * slope + intercept
    return values.astype(np.float32)
