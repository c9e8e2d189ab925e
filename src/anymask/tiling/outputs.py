"""Objects of a large image as files: COCO, GeoJSON and GeoPackage, a table, and a raster of labels.

All but the GeoPackage are written as the objects come, so that memory does not grow with their number. Each file
appears whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..masks.polygons import rle_to_polygons
from ..masks.rle import rle_to_coco, rle_to_part, runs_to_rle
from ..support.atomic_files import write_whole
from .grid import boxes_that_meet, make_grid, overlap_xyxy
from .pieces import place_runs
from .sources import LargeImage, bounded_cache, map_xy, no_place_is_needed
from .stitch import StitchedObject

LABEL_BLOCK = 512
"""Side of the blocks of a raster of labels, and of what is painted at a time."""

_PathLike = str | os.PathLike[str]


def save_objects(folder: _PathLike, objects: Iterable[StitchedObject]) -> SavedObjects:
    """Write objects to `objects.jsonl` in a folder as they come, to be read again any number of times.

    Args:
        folder: Made if it is not there.
        objects: Of `TiledGenerator.generate`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def write(file: BinaryIO) -> None:
        for found in objects:
            file.write(json.dumps(found._asdict()).encode() + b"\n")

    write_whole(folder / "objects.jsonl", write)
    return SavedObjects(folder / "objects.jsonl")


class SavedObjects(Iterable[StitchedObject]):
    """Objects in a file, one line each; memory holds their boxes and areas and where their lines begin."""

    def __init__(self, path: _PathLike):
        self.path = Path(path)
        offsets, boxes, areas = [], [], []
        with self.path.open("rb") as file:
            while line := file.readline():
                found = json.loads(line)
                offsets.append(file.tell() - len(line))
                boxes.append(found["box_xyxy"])
                areas.append(found["area"])
        self._offsets = offsets
        self.boxes_xyxy = np.array(boxes, dtype=np.int64).reshape(-1, 4)
        self.areas = np.array(areas, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[StitchedObject]:
        return self.take(range(len(self)))

    def take(self, indices: Iterable[int]) -> Iterator[StitchedObject]:
        """Yield some of the objects, by their numbers."""
        with self.path.open("rb") as file:
            for index in indices:
                file.seek(self._offsets[index])
                found = json.loads(file.readline())
                points = tuple((float(x), float(y)) for x, y in found["points_xy"])
                yield StitchedObject(**{**found, "box_xyxy": tuple(found["box_xyxy"]), "points_xy": points})


def write_coco(path: _PathLike, objects: Iterable[StitchedObject], image: LargeImage, file_name: str) -> None:
    """Write COCO JSON with one image; masks are COCO's compressed RLE of the whole image.

    Args:
        path: The file.
        objects: In the order of their ids, which begin with 1.
        image: Whose size the masks have.
        file_name: What the file says the image is called.
    """
    height, width = image.size_hw

    def write(file: BinaryIO) -> None:
        head = {"id": 1, "file_name": file_name, "height": height, "width": width}
        file.write(f'{{"images": [{json.dumps(head)}], "categories": [{{"id": 1, "name": "object"}}],\n'.encode())
        file.write(b'"annotations": [')
        for number, found in enumerate(objects, start=1):
            left, top, right, bottom = found.box_xyxy
            rle = rle_to_coco(runs_to_rle(*place_runs(found.rle, found.box_xyxy, height), (height, width)))
            annotation = {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": rle}
            annotation |= {"area": found.area, "bbox": [left, top, right - left, bottom - top], "score": found.score}
            file.write((",\n" if number > 1 else "\n").encode() + json.dumps(annotation).encode())
        file.write(b"\n]}\n")

    write_whole(path, write)


def write_geojson(
    path: _PathLike, objects: Iterable[StitchedObject], image: LargeImage, tolerance: float = 0.0
) -> None:
    """Write a GeoJSON feature for each object, with holes, in the map's coordinates where the image has a place.

    Args:
        path: The file.
        objects: In the order of their ids, which begin with 1.
        image: Its `transform` and `crs` are used; without, coordinates are pixels, y down.
        tolerance: How far, in pixels, a simplified outline may lie from the mask's.
    """

    def write(file: BinaryIO) -> None:
        crs = "" if image.crs is None else f'"crs": {json.dumps(_geojson_crs(image.crs))},\n'
        file.write(f'{{"type": "FeatureCollection",\n{crs}"features": ['.encode())
        for number, found in enumerate(objects, start=1):
            feature = {"type": "Feature", "id": number, "properties": table_row(number, found, image)}
            feature["geometry"] = {"type": "MultiPolygon", "coordinates": _rings(found, image, tolerance)}
            file.write((",\n" if number > 1 else "\n").encode() + json.dumps(feature).encode())
        file.write(b"\n]}\n")

    write_whole(path, write)


def table_row(number: int, found: StitchedObject, image: LargeImage) -> dict[str, Any]:
    """What a table says of an object: id, box and area in pixels, area in square map units, scores."""
    left, top, right, bottom = found.box_xyxy
    row: dict[str, Any] = {
        "id": number,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "area_pixels": found.area,
    }
    if image.transform is not None:
        a, b, _, d, e, _ = image.transform
        row["area_map"] = found.area * abs(a * e - b * d)
    return {**row, "predicted_iou": found.score, "stability_score": found.stability}


def write_table(path: _PathLike, objects: Iterable[StitchedObject], image: LargeImage) -> None:
    """Write CSV, a row for each object; see `table_row`."""

    def write(file: BinaryIO) -> None:
        for number, found in enumerate(objects, start=1):
            row = table_row(number, found, image)
            if number == 1:
                file.write((",".join(row) + "\n").encode())
            file.write((",".join(str(value) for value in row.values()) + "\n").encode())

    write_whole(path, write)


def write_geopackage(
    path: _PathLike, objects: Iterable[StitchedObject], image: LargeImage, tolerance: float = 0.0
) -> None:
    """Write a GeoPackage with the layer "objects"; arguments as in `write_geojson`. All outlines are in memory.

    Raises:
        ImportError: If geopandas is not installed.
    """
    try:
        import geopandas
        from shapely.geometry import MultiPolygon
    except ImportError as error:
        raise ImportError(
            "A GeoPackage needs geopandas, which is not installed; run pip install 'anymask[geo]', or write GeoJSON."
        ) from error
    rows, shapes = [], []
    for number, found in enumerate(objects, start=1):
        rows.append(table_row(number, found, image))
        shapes.append(MultiPolygon([(outer, holes) for outer, *holes in _rings(found, image, tolerance)]))
    frame = geopandas.GeoDataFrame(rows, geometry=shapes, crs=image.crs)
    unfinished = Path(path).with_name(f".{Path(path).name}.part.gpkg")
    try:
        frame.to_file(unfinished, layer="objects", driver="GPKG")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def paint_labels(objects: SavedObjects, size_hw: Sequence[int]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield blocks of a label map, row by row: the number of the object at each pixel, smaller objects on top.

    Args:
        objects: Numbered from 1 in their order; 0 is background.
        size_hw: Height and width of the image in pixels.

    Yields:
        The block's left upper corner (x, y), and (height, width) uint32.
    """
    for tile in make_grid(size_hw, LABEL_BLOCK, 0):
        left, top, right, bottom = tile.core_xyxy
        members = boxes_that_meet(objects.boxes_xyxy, tile.core_xyxy)
        members = members[np.argsort(-objects.areas[members], kind="stable")]
        block = np.zeros((bottom - top, right - left), dtype=np.uint32)
        for number, found in zip(members, objects.take(members.tolist()), strict=True):
            x0, y0, x1, y1 = overlap_xyxy(found.box_xyxy, tile.core_xyxy) or (0, 0, 0, 0)
            rows, columns = (
                slice(y0 - found.box_xyxy[1], y1 - found.box_xyxy[1]),
                slice(x0 - found.box_xyxy[0], x1 - found.box_xyxy[0]),
            )
            mask = rle_to_part(found.rle, rows, columns)
            block[y0 - top : y1 - top, x0 - left : x1 - left][mask] = number + 1
        yield (left, top), block


def write_label_raster(path: _PathLike, objects: SavedObjects, image: LargeImage) -> None:
    """Write a GeoTIFF of uint32 labels, in compressed blocks, with the image's place; 0 is nodata.

    Args:
        path: The file.
        objects: Numbered from 1 in their order; smaller ones lie on larger ones.
        image: Whose size and place the labels have.

    Raises:
        ImportError: If rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError as error:
        raise ImportError(
            "A raster of labels needs rasterio, which is not installed; run pip install 'anymask[geo]'."
        ) from error
    height, width = image.size_hw
    profile = dict(driver="GTiff", height=height, width=width, count=1, dtype="uint32", nodata=0, compress="deflate")
    profile |= dict(tiled=True, blockxsize=LABEL_BLOCK, blockysize=LABEL_BLOCK, BIGTIFF="IF_SAFER")
    if image.transform is not None:
        profile |= dict(transform=rasterio.Affine(*image.transform), crs=image.crs)
    unfinished = Path(path).with_name(f".{Path(path).name}.part")
    try:
        with bounded_cache(), no_place_is_needed(), rasterio.open(unfinished, "w", **profile) as raster:
            for (left, top), block in paint_labels(objects, image.size_hw):
                window = ((top, top + block.shape[0]), (left, left + block.shape[1]))
                raster.write(block, 1, window=window)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _rings(found: StitchedObject, image: LargeImage, tolerance: float) -> list[list[list[list[float]]]]:
    """An object's outlines as GeoJSON's MultiPolygon, in the map's coordinates where there is a map."""
    shift = np.array(found.box_xyxy[:2])
    return [
        [_closed(ring + shift, image, number == 0) for number, ring in enumerate((polygon.outer_xy, *polygon.holes_xy))]
        for polygon in rle_to_polygons(found.rle, tolerance)
    ]


def _closed(xy: np.ndarray, image: LargeImage, is_outer: bool) -> list[list[float]]:
    """A ring with its first vertex repeated, in the direction that GeoJSON wants: outlines to the left, holes not."""
    x, y = map_xy(xy, image.transform)
    area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    ring = np.stack([x, y], axis=1)
    if (area > 0) != is_outer:
        ring = ring[::-1]
    return np.concatenate([ring, ring[:1]]).tolist()


def _geojson_crs(crs: str) -> dict[str, Any]:
    """The `crs` member of GeoJSON of 2008, which GIS programs still read; newer GeoJSON knows longitudes only."""
    authority, _, code = crs.partition(":")
    if authority != "EPSG":
        raise ValueError(
            f"GeoJSON must have a reference system with an EPSG code, got {crs[:60]!r}; write a GeoPackage."
        )
    return {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
