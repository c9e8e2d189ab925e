"""`anymask embed`: what the image encoder makes of each photo, kept in a file for prompts that come later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..batch import Outputs, Report, Work, work_through
from ..files import Photo, check_is_photo, check_outputs, prepare_folder
from ..start import load_sam

ENDING = ".safetensors"


def embed_photos(
    photos: Sequence[Photo], folder: Path, half: bool, *, model: str, device: str, dtype: str, resume: bool
) -> Iterator[Report]:
    """Encode photos one by one and yield what became of each.

    Args:
        photos: to read.
        folder: to write to; created if needed.
        half: store float16, whatever was computed in.
        model: packaged name, folder, file of weights or hub id.
        device: a torch device, or "auto" for a GPU where there is one.
        dtype: name of a torch dtype.
        resume: skip photos whose embedding is there.

    Raises:
        OSError: If the output folder is not to be had.
        ValueError: If the model is not to be had, or embeddings would overwrite each other.
    """
    outputs = {photo: {"embedding": folder / f"{photo.stem}{ENDING}"} for photo in photos}
    check_outputs({photo: paths.values() for photo, paths in outputs.items()})
    prepare_folder(folder)

    def get_work() -> Work:
        sam = load_sam(model, device, dtype)
        return lambda photo, paths: _embed(sam, photo, paths, half)

    yield from work_through(outputs, get_work, resume)


def _embed(sam: Any, photo: Photo, outputs: Outputs, half: bool) -> dict[str, Any]:
    from ...images.load import load_image

    check_is_photo(photo.source)
    embedding = replace(sam.embed(load_image(photo.source)), name=Path(photo.source).name)
    embedding.save(outputs["embedding"], dtype="float16" if half else None)
    return {"shape": list(embedding.tensor.shape[1:])}
