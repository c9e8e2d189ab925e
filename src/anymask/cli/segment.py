"""`anymask segment`: every object of each photo, as an overlay to look at and as COCO RLE to compute with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..atomic_files import write_whole
from ..pretrained import PACKAGED_CHECKPOINTS
from .files import output_paths

if TYPE_CHECKING:
    from ..mask_generation import SamMaskGenerator


@dataclass(frozen=True)
class Finished:
    """A photo that was segmented: what was written, how many masks, how long it took."""

    photo: Path
    overlay: Path
    masks: Path
    mask_count: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The line that `--json` prints."""
        return {
            "photo": str(self.photo),
            "overlay": str(self.overlay),
            "masks": str(self.masks),
            "mask_count": self.mask_count,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class PhotoFailed:
    """A photo that could not be segmented, and why."""

    photo: Path
    error: Exception

    def as_dict(self) -> dict[str, Any]:
        """The line that `--json` prints."""
        return {"photo": str(self.photo), "error": str(self.error) or type(self.error).__name__}


def segment_photos(
    photos: Sequence[Path],
    output: Path,
    *,
    model_name: str,
    points_per_side: int | None,
    device: str,
    dtype: str,
) -> Iterator[Finished | PhotoFailed]:
    """Segments photos one by one and yields what became of each, so that memory does not grow with their number.

    Args:
        photos: Files to read.
        output: Folder to write to; created if needed. Each photo's results are named after it.
        model_name: Packaged name, folder, file of weights or hub id.
        points_per_side: Size of the grid of prompts; None takes the checkpoint's own, or 32.
        device: A torch device, or "auto" for a GPU where there is one.
        dtype: Name of a torch dtype.

    Raises:
        OSError: If the model or the output folder is not to be had.
        ValueError: If the device or an option is not valid, or results would overwrite each other or a photo.
    """
    _check_outputs(photos, output)
    output.mkdir(parents=True, exist_ok=True)
    generator = _load_generator(model_name, points_per_side, device, dtype)
    for photo in photos:
        try:
            yield _segment_photo(generator, photo, output, model_name)
        except Exception as error:  # whatever is wrong with one photo, the others are still done
            yield PhotoFailed(photo, error)


def _check_outputs(photos: Sequence[Path], output: Path) -> None:
    """Results replace results of earlier runs, but never a photo of this run nor each other."""
    owners = {photo.resolve(): photo for photo in photos}
    for photo in photos:
        for path in output_paths(photo, output):
            owner = owners.setdefault(path.resolve(), photo)
            if owner is not photo:
                raise ValueError(
                    f"each photo must have results of its own, but those of {photo} would overwrite {path}, which "
                    f"belongs to {owner}; segment the two into different folders with --output"
                )


def _load_generator(model_name: str, points_per_side: int | None, device: str, dtype: str) -> SamMaskGenerator:
    import torch
    from transformers.utils import logging

    from ..mask_generation import SamMaskGenerator
    from ..modeling_sam import SamModel
    from ..processing_sam import SamProcessor

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        target = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device must be one that torch can use here, got {device!r}: {error}") from error
    logging.disable_progress_bar()  # of loading weights: a blink, and noise where output is kept
    try:
        model = SamModel.from_pretrained(model_name, dtype=getattr(torch, dtype)).to(target).eval()
        processor = SamProcessor.from_pretrained(model_name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--model must be {' or '.join(PACKAGED_CHECKPOINTS)}, a folder, a file of weights or a hub id that can "
            f"be reached, got {model_name!r}: {error}"
        ) from error
    options = {} if points_per_side is None else {"points_per_side": points_per_side}
    return SamMaskGenerator(model, processor, output_mode="coco_rle", **options)


def _segment_photo(generator: SamMaskGenerator, photo: Path, output: Path, model_name: str) -> Finished:
    from ..images import as_rgb_uint8
    from ..overlay import draw_overlay

    start = time.perf_counter()
    pixels = as_rgb_uint8(photo)
    records = generator.generate(pixels)
    picture = draw_overlay(pixels, records)
    document = _document(photo, pixels.shape[:2], records, model_name)
    overlay_path, masks_path = output_paths(photo, output)
    write_whole(overlay_path, lambda file: picture.save(file, format="PNG", compress_level=3))
    write_whole(masks_path, lambda file: _write_json(file, document))
    return Finished(photo, overlay_path, masks_path, len(records), time.perf_counter() - start)


def _document(
    photo: Path, size_hw: tuple[int, ...], records: Sequence[dict[str, Any]], model_name: str
) -> dict[str, Any]:
    """The masks file, in the layout of SA-1B: one image, one annotation per mask, boxes as x, y, width, height."""
    return {
        "info": {"model": model_name, "anymask": __version__},
        "image": {"file_name": photo.name, "height": size_hw[0], "width": size_hw[1]},
        "annotations": [{"id": number, **record} for number, record in enumerate(records, start=1)],
    }


def _write_json(file: Any, document: dict[str, Any]) -> None:
    file.write(json.dumps(document).encode())
