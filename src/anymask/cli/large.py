"""Photos too large for one look: `anymask segment` cuts them into tiles by itself. An adapter over `anymask.tiling`."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..support.atomic_files import check_work_folder, keep_settings
from .files import Photo
from .outputs import LARGE_ENDINGS

if TYPE_CHECKING:
    from ..prompts.prompt import Prompt
    from ..sam import SAM
    from ..tiling.outputs import SavedObjects
    from ..tiling.sources import LargeImage


@dataclass(frozen=True)
class _Header:
    """What the head of a file says.

    Attributes:
        megapixels: Millions of pixels; infinite where Pillow refuses to open so many.
        is_turned: Whether the camera was held another way, so that rows of the file are not those of the photo.
    """

    megapixels: float
    is_turned: bool


def find_large(photos: Iterable[Photo], above: float, prompted: bool = False) -> list[Photo]:
    """Find the photos that are to be segmented in tiles, and say of each in one line that they will be.

    Args:
        photos: Those at URLs and those that cannot be opened are none.
        above: Millions of pixels.
        prompted: Whether prompts are asked, each in a window around it, in place of tiles.
    """
    how = "prompts are answered in windows around them" if prompted else "it is segmented in tiles"
    large = []
    for photo in photos:
        header = _read_header(photo.source)
        if header is None or header.megapixels <= above:
            continue
        is_known = header.megapixels != float("inf")
        size = f"{header.megapixels:.4g} megapixels" if is_known else "more pixels than Pillow opens"
        if find_spec("rasterio") is None:
            typer.echo(f"anymask: {photo.source}: {size}; pip install 'anymask[geo]' segments it in tiles", err=True)
            continue
        large.append(photo)
        typer.echo(
            f"anymask: {photo.source}: {size}, so {how}, to COCO, outlines, a raster of labels and a table; "
            f"--tiles-above says from which size on (now {above:g})",
            err=True,
        )
    return large


def large_paths(photo: Photo, folder: Path) -> dict[str, Path]:
    """Say where the results of a large photo go; outlines as GeoPackage where GeoJSON cannot say where they lie."""
    crs = open_large(photo.source).crs
    without = "geopackage" if crs is None or crs.startswith("EPSG:") else "geojson"
    return {name: folder / f"{photo.stem}{ending}" for name, ending in LARGE_ENDINGS.items() if name != without}


def segment_in_tiles(
    sam: SAM,
    photo: Photo,
    outputs: Mapping[str, Path],
    *,
    options: Mapping[str, Any],
    images: Mapping[str, Any],
    settings: Mapping[str, Any],
    resume: bool,
    tile: int = 1024,
    halo: int = 256,
) -> dict[str, Any]:
    """Write the results of a large photo; what tiles show lies in a folder beside them until all is written.

    Args:
        sam: Segments each tile.
        photo: To read.
        outputs: Of `large_paths`.
        options: Of `MaskGenerationOptions`.
        images: `value_range` or `window`.
        settings: What else the masks follow from, such as the model's name.
        resume: Go on with the tiles of an earlier run that was stopped.
        tile: See `TiledGenerator`.
        halo: Likewise.
    """
    from ..mask_generation.generator import SamMaskGenerator
    from ..sam import SAM
    from ..tiling.generator import TiledGenerator
    from ..tiling.outputs import save_objects

    of_values = SAM(sam.model, processor=sam.processor, **images)
    generator = SamMaskGenerator(of_values.model, of_values.processor, **{**options, "progress": False})
    work = _work_folder(photo, outputs, clear=not resume)
    image = open_large(photo.source)
    tiled = TiledGenerator(generator, tile=tile, halo=halo)
    of_masks = {**settings, "options": dict(options), "images": {name: str(value) for name, value in images.items()}}
    objects = save_objects(
        work, tiled.generate(image, work_folder=work, settings=of_masks, progress=sys.stderr.isatty())
    )
    _write(outputs, work, objects, image, file_name=Path(photo.source).name)
    return {"mask_count": len(objects)}


def answer_in_windows(
    sam: SAM,
    photo: Photo,
    outputs: Mapping[str, Path],
    *,
    prompts: Sequence[Prompt],
    options: Mapping[str, Any],
    images: Mapping[str, Any],
    crs: str | None,
    window: int = 1024,
) -> dict[str, Any]:
    """Write what prompts point at in a large photo; prompts near each other share a window and its embedding.

    Args:
        sam: Answers in each window.
        photo: To read.
        outputs: Of `large_paths`.
        prompts: Points and boxes, in pixels of the photo or places on the map.
        options: Of `SAM.predict`.
        images: `value_range` or `window`.
        crs: Reference system of prompts that are places on the map.
        window: See `LargeImagePredictor`.
    """
    from ..sam import SAM
    from ..tiling.outputs import save_objects
    from ..tiling.predictor import LargeImagePredictor

    of_values = SAM(sam.model, processor=sam.processor, **images)
    image = open_large(photo.source)
    predictor = LargeImagePredictor(of_values, image, window=window)
    work = _work_folder(photo, outputs, clear=True)
    keep_settings(work, {"photo": photo.source})
    objects = save_objects(work, predictor.predict(prompts=prompts, crs=crs, **options))
    _write(outputs, work, objects, image, file_name=Path(photo.source).name)
    return {"mask_count": len(objects)}


def _work_folder(photo: Photo, outputs: Mapping[str, Path], clear: bool) -> Path:
    """The folder beside the results that is kept until they are written; what an earlier run left goes on request."""
    work = outputs["table"].with_name(f"{Path(photo.stem).name}_tiles")
    check_work_folder(work)
    if clear:
        shutil.rmtree(work, ignore_errors=True)
    return work


def _write(outputs: Mapping[str, Path], work: Path, objects: SavedObjects, image: LargeImage, file_name: str) -> None:
    """Write all results in the folder for work, where a kill may leave them unfinished, then move them out of it."""
    from ..tiling.outputs import write_coco, write_geojson, write_geopackage, write_label_raster, write_table

    made = {name: work / path.name for name, path in outputs.items()}
    write_coco(made["coco"], objects, image, file_name)
    if "geojson" in made:
        write_geojson(made["geojson"], objects, image)
    else:
        write_geopackage(made["geopackage"], objects, image)
    write_label_raster(made["label_raster"], objects, image)
    write_table(made["table"], objects, image)
    for name, path in outputs.items():
        os.replace(made[name], path)
    shutil.rmtree(work)


def open_large(source: str) -> LargeImage:
    """A photo as an image that is read in windows; one that was turned is read whole, to be turned back."""
    import numpy as np

    from ..images.load import load_image
    from ..tiling.sources import LargeImage, open_raster

    header = _read_header(source)
    if header is not None and header.is_turned:
        return LargeImage(np.asarray(load_image(source)))
    return open_raster(source)


def _read_header(source: str) -> _Header | None:
    """What the head of a file says, or None where there is no such file, or none that Pillow and rasterio know."""
    from PIL import Image

    from ..images.deep_files import orientation_of

    if not Path(source).is_file():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(source) as opened:
                width, height = opened.size
                return _Header(width * height / 1e6, orientation_of(opened) != 1)
        except Image.DecompressionBombError:
            return _Header(float("inf"), False)
        except (OSError, SyntaxError, ValueError):
            pass
    if Path(source).suffix.lower() not in (".tif", ".tiff") or find_spec("rasterio") is None:
        return None  # Pillow does not know TIFF of many bands, or of 16 bits in colours
    from ..tiling.sources import raster_size_hw

    try:
        height, width = raster_size_hw(source)
    except OSError:
        return None
    return _Header(width * height / 1e6, False)
