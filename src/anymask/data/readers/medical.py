"""Medical data: what MedSAM's scripts write (npy and npz), and volumes in NIfTI, slice by slice.

A slice of a volume is an image like any other: its rows are y and its columns x, as SimpleITK's arrays have them, and
its samples say how far apart rows and columns are. NIfTI needs nibabel: `pip install 'anymask[medical]'`.

Sources: https://github.com/bowang-lab/MedSAM for the two layouts of arrays; https://nifti.nimh.nih.gov for NIfTI.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...images.load import load_image
from ...images.windows import Window, shown_range
from ..samples import Entry, MaskDataset, Sample
from .files import IMAGE_FOLDERS, MASK_FOLDERS, files_with, name_below, pair_by_stem, stem_of, subfolder
from .folders import objects_of_map

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_NIFTI_IMAGE_FOLDERS = ("imagestr", "imagests", *IMAGE_FOLDERS)
_NIFTI_MASK_FOLDERS = ("labelstr", "labelsts", *MASK_FOLDERS)


def read_medsam_npy(folder: str | Path) -> MaskDataset:
    """Slices as MedSAM's `pre_CT_MR.py` writes them: `imgs/NAME.npy` (H, W, 3), `gts/NAME.npy` (H, W) numbers.

    Raises:
        ValueError: If a folder is missing, or no image has a mask.
    """
    folder = Path(folder)
    images, masks = subfolder(folder, ["imgs"]), subfolder(folder, ["gts"])
    if images is None or masks is None:
        raise ValueError(f"{folder} must hold the folders imgs/ and gts/ with .npy files.")
    pairs = {path: masks / path.name for path in files_with(images, [".npy"]) if (masks / path.name).is_file()}
    return MaskDataset(
        [Entry(stem_of(path), partial(_read_npy, path, mask)) for path, mask in pairs.items()], str(folder)
    )


def read_medsam_npz(path: str | Path) -> MaskDataset:
    """Files with the arrays `imgs` and `gts`: slices (H, W) or (H, W, 3), or volumes (D, H, W).

    A volume gives its slices that have objects. An array `spacing`, x, y and z, is taken over.

    Args:
        path: of a file, or of a folder of them.

    Raises:
        ValueError: If a file lacks an array, or there are no slices.
    """
    path = Path(path)
    files = [path] if path.is_file() else files_with(path, [".npz"])
    folder = path.parent if path.is_file() else path
    entries = []
    for file in files:
        name = name_below(folder, file).removesuffix(".npz")
        with np.load(file) as arrays:
            if not {"imgs", "gts"} <= set(arrays.files):
                raise ValueError(f"{file} must hold the arrays imgs and gts, got {', '.join(arrays.files)}.")
            labels = arrays["gts"]
        if labels.ndim == 2:
            entries.append(Entry(name, partial(_read_npz, file, name, None)))
            continue
        entries += [
            Entry(f"{name}:{index:04d}", partial(_read_npz, file, f"{name}:{index:04d}", int(index)))
            for index in np.flatnonzero(labels.any(axis=(1, 2)))
        ]
    return MaskDataset(entries, str(path))


def read_nifti_folder(
    folder: str | Path,
    window: Window | None = None,
    axis: int = 2,
    min_pixels: int = 1,
    value_range: Sequence[float] | None = None,
) -> MaskDataset:
    """Slices of volumes that have objects: `images/NAME.nii.gz` and `labels/NAME.nii.gz`, or `imagesTr` and `labelsTr`.

    Label volumes are read once here, to know which slices to offer; images when a slice is asked for.

    Args:
        folder: of the data set. In one folder a label is called `NAME_seg.nii.gz` or the like.
        window: level and width of a CT window, or the name of one of `images.windows.CT_WINDOWS`.
        axis: across which the volume is cut: 2 gives axial slices of volumes in the usual orientation.
        min_pixels: slices whose objects cover less are left out.
        value_range: the values that become black and white, in the place of a window; by default the darkest and the
            brightest of each slice.

    Raises:
        ImportError: If nibabel is not installed.
        ValueError: If no volume has a label of its name, or a window or range cannot be.
    """
    folder, shown = Path(folder), shown_range(window, value_range)
    if axis not in (0, 1, 2):
        raise ValueError(f"`axis` must be 0, 1 or 2, got {axis!r}.")
    image_folder, label_folder = subfolder(folder, _NIFTI_IMAGE_FOLDERS), subfolder(folder, _NIFTI_MASK_FOLDERS)
    labels = files_with(label_folder or folder, NIFTI_SUFFIXES)
    images = files_with(image_folder or folder, NIFTI_SUFFIXES)
    pairs = pair_by_stem(images, labels, _case_of)
    entries = []
    for image, found in pairs.items():
        if not found:
            continue
        volume = np.asanyarray(_open_nifti(found[0]).dataobj)
        covered = (volume != 0).sum(axis=tuple(other for other in range(3) if other != axis))
        for index in np.flatnonzero(covered >= max(min_pixels, 1)).tolist():
            name = f"{name_below(folder, image)}:{index:04d}"
            entries.append(Entry(name, partial(_read_nifti, name, image, found[0], index, shown=shown, axis=axis)))
    if not entries:
        raise ValueError(
            f"{folder} must hold volumes and labels of the same name, as images/a.nii.gz, labels/a.nii.gz."
        )
    return MaskDataset(entries, str(folder))


def _case_of(path: Path) -> str:
    """The name of a volume without the number of its channel: nnU-Net's NAME_0000 has the label NAME."""
    return stem_of(path).removesuffix("_0000")


def _open_nifti(path: Path) -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            "NIfTI must be read with nibabel, which is missing: pip install 'anymask[medical]'."
        ) from error
    return nibabel.load(path)


def _read_nifti(
    name: str, image: Path, label: Path, index: int, shown: tuple[float, float] | None, axis: int
) -> Sample:
    where: list[Any] = [slice(None)] * 3
    where[axis] = index
    volume, labels = _open_nifti(image), _open_nifti(label)
    if volume.shape[:3] != labels.shape[:3]:
        raise ValueError(f"image and label must have one size, got {volume.shape} and {labels.shape}.")
    # Voxels are [x, y, z]; an image is [y, x].
    pixels = np.asarray(volume.dataobj[tuple(where)], dtype=np.float32).T
    numbers = np.asarray(labels.dataobj[tuple(where)]).T
    zooms = [float(zoom) for other, zoom in enumerate(volume.header.get_zooms()[:3]) if other != axis]
    return _sample(name, _in_range(pixels, shown), numbers, (zooms[1], zooms[0]))


def _in_range(pixels: np.ndarray, shown: tuple[float, float] | None) -> np.ndarray:
    """(H, W) uint8 of which the values of black and white are 0 and 255."""
    black, white = shown or (float(pixels.min()), float(pixels.max()))
    scaled = (pixels - black) / max(white - black, 1e-8)
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8)


def _read_npy(image: Path, mask: Path) -> Sample:
    return _sample(stem_of(image), np.load(image), np.load(mask))


def _read_npz(path: Path, name: str, index: int | None) -> Sample:
    with np.load(path) as arrays:
        images, labels = arrays["imgs"], arrays["gts"]
        spacing = tuple(float(value) for value in arrays["spacing"]) if "spacing" in arrays.files else (1.0, 1.0, 1.0)
    if index is not None:
        images, labels = images[index], labels[index]
    return _sample(name, images, labels, (spacing[1], spacing[0]))


def _sample(name: str, pixels: np.ndarray, numbers: np.ndarray, spacing_hw: tuple[float, float] = (1.0, 1.0)) -> Sample:
    objects, _, _ = objects_of_map(numbers, "label_map")
    image = np.asarray(load_image(np.ascontiguousarray(pixels)))
    labels = [str(number) for number in objects]
    return Sample(name, image, list(objects.values()), labels, object_ids=list(objects), spacing_hw=spacing_hw)
