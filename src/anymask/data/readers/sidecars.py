"""Images with a file of annotations for each: SA-1B's JSON, LabelMe's JSON, YOLO's polygons, BSDS500's boundaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...masks.record import make_record, rle_of
from ...masks.rle import mask_to_rle
from ...results.formats.annotated_image import AnnotatedImage
from ...results.formats.labelme import read_labelme
from ...results.formats.sa1b import read_sa1b
from ...results.formats.yolo import read_yolo
from ..samples import Entry, MaskDataset, Sample
from .files import files_with, image_files, name_below, pair_by_stem, read_image

ReadAnnotations = Callable[[Path, np.ndarray], AnnotatedImage]


def read_sa1b_folder(folder: str | Path) -> MaskDataset:
    """Images of SA-1B, each with a JSON file of the same stem."""
    return _read_folder(Path(folder), ".json", "JSON of SA-1B", _sa1b)


def read_labelme_folder(folder: str | Path) -> MaskDataset:
    """Images that were annotated with LabelMe, each with a JSON file of the same stem."""
    return _read_folder(Path(folder), ".json", "JSON of LabelMe", _labelme)


def read_yolo_folder(folder: str | Path, class_names: Sequence[str] | None = None) -> MaskDataset:
    """Images and polygons of YOLO: `images/.../a.jpg` and `labels/.../a.txt`, or side by side.

    Args:
        folder: of the data set.
        class_names: in order; without them a label is the number of its class as text.
    """
    return _read_folder(Path(folder), ".txt", "text of YOLO", partial(_yolo, class_names=class_names))


def read_bsds_folder(folder: str | Path) -> MaskDataset:
    """Images of BSDS500 with the boundaries that each annotator drew, `groundTruth/test/12003.mat`.

    A mask here is one annotator's boundaries and no object; its label is "boundary".
    """
    return _read_folder(Path(folder), ".mat", "boundaries of BSDS500 in .mat", _bsds)


def _read_folder(folder: Path, suffix: str, what: str, read: ReadAnnotations) -> MaskDataset:
    pairs = pair_by_stem(image_files(folder), files_with(folder, [suffix]))
    entries = [
        Entry(name_below(folder, image), partial(_read, name_below(folder, image), image, found[0], read))
        for image, found in pairs.items()
        if found
    ]
    if not entries:
        raise ValueError(
            f"{folder} must hold images with {what} of the same stem, but none of {len(pairs)} images has it."
        )
    return MaskDataset(entries, str(folder))


def _read(name: str, image_path: Path, path: Path, read: ReadAnnotations) -> Sample:
    image = read_image(image_path)
    records = read(path, image).records
    return Sample(
        name,
        image,
        [rle_of(record) for record in records],
        [record.get("label") for record in records],
        object_ids=[record.get("id", number) for number, record in enumerate(records, start=1)],
    )


def _sa1b(path: Path, image: np.ndarray) -> AnnotatedImage:
    return read_sa1b(path)


def _labelme(path: Path, image: np.ndarray) -> AnnotatedImage:
    return read_labelme(path)


def _yolo(path: Path, image: np.ndarray, class_names: Sequence[str] | None) -> AnnotatedImage:
    return read_yolo(path, image.shape[:2], class_names=class_names)


def _bsds(path: Path, image: np.ndarray) -> AnnotatedImage:
    from scipy.io import loadmat

    drawn = loadmat(path)["groundTruth"][0]
    boundaries = [annotator["Boundaries"][0, 0].astype(bool) for annotator in drawn]
    height, width = image.shape[:2]
    return AnnotatedImage([make_record(mask_to_rle(one), label="boundary") for one in boundaries], (height, width))
