"""Does memory stay flat over the size of an image, and over the number of images? What do two workers gain?

`tiling` segments drawn rasters of growing side with a stand-in for the network, which finds bright parts by their
colour, so that what is measured is the tiling and its files, not the weights. The raster is a TIFF with a
square in each field and a cross as large as the whole; it is segmented in tiles and once more as a whole, and all
results are written. `images` runs `anymask generate` with sam-vit-nano on drawn images, for more and more of them: with
one worker on one core, one on all cores, two with a core each, and Ray with two actors. Peak memory is the highest sum
over the processes of a run, looked at ten times a second. The rate is that of the shards after each worker's
first, by the times of their files, so that starting does not count.

    python benchmarks/scale.py --output benchmarks/results/savings/scale.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import environment_of
from PIL import Image

KEYS = ("side", "images", "way")  # a row takes the place of an earlier one with the same
SECONDS_BETWEEN_LOOKS = 0.1  # a look costs some milliseconds itself
PERIOD, SQUARE = 400, 250  # of the drawn rasters: a bright square in each field
GENERATE = """
import sys
from anymask.distributed.generate import generate
from anymask.distributed.job import make_job
from anymask.distributed.ray_engine import generate_with_ray
if __name__ == "__main__":
    folder, output, way, number = sys.argv[1:]
    options = {"points_per_side": 8}
    if way == "ray":
        job = make_job(folder, output, "sam-vit-nano", options, 16, None, "coco")
        generate_with_ray(job, actors=int(number))
    else:
        generate(folder, output, options=options, n_shards=16, workers=int(number), format_name="coco")
"""
WAYS = {"one worker": ("local", 1), "two workers": ("local", 2), "Ray, two actors": ("ray", 2)}  # how many of them


class BrightParts:
    """Stands for `SamMaskGenerator`: a record for each connected bright part of a window."""

    def generate(self, image: np.ndarray, *, output_mode: str) -> list[dict[str, Any]]:
        """Records with uncompressed RLE, whatever `output_mode` says."""
        from scipy import ndimage

        from anymask.masks.rle import mask_to_rle

        labels, _ = ndimage.label(image[..., 0] > 128)
        records = []
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            mask = np.zeros(labels.shape, dtype=bool)
            mask[rows, columns] = labels[rows, columns] == number
            records.append({"segmentation": mask_to_rle(mask), "predicted_iou": 0.9, "stability_score": 0.9})
        return records


def draw_raster(path: Path, side: int) -> None:
    """A TIFF of (side, side) in colour, in blocks, written row of fields by row of fields."""
    import rasterio

    place = dict(crs="EPSG:32632", transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000))
    profile = dict(driver="GTiff", height=side, width=side, count=3, dtype="uint8", tiled=True, BIGTIFF="IF_SAFER")
    middle = side // 2 // PERIOD * PERIOD + SQUARE + 80  # between squares
    with rasterio.open(path, "w", **profile, **place) as raster:
        for top in range(0, side, PERIOD):
            band = np.full((min(PERIOD, side - top), side), 40, dtype=np.uint8)
            for left in range(0, side, PERIOD):
                band[20 : 20 + SQUARE, left + 20 : left + 20 + SQUARE] = 220
            band[:, middle : middle + 20] = 220
            if top <= middle < top + PERIOD:
                band[middle - top : middle - top + 20] = 220
            raster.write(np.stack([band] * 3), window=((top, top + len(band)), (0, side)))


def tile_raster(path: Path, folder: Path, tile: int) -> int:
    """Segment a raster and write all results; returns the number of objects."""
    from anymask.tiling.generator import TiledGenerator
    from anymask.tiling.outputs import save_objects, write_coco, write_geojson, write_label_raster, write_table
    from anymask.tiling.sources import open_raster

    image = open_raster(path)
    tiled = TiledGenerator(BrightParts(), tile=tile, halo=128)
    objects = save_objects(folder, tiled.generate(image, work_folder=folder))
    write_coco(folder / "coco.json", objects, image, path.name)
    write_geojson(folder / "outlines.geojson", objects, image)
    write_table(folder / "table.csv", objects, image)
    write_label_raster(folder / "labels.tif", objects, image)
    return len(objects)


def run_watched(command: list[str]) -> tuple[str, float, float]:
    """What a command printed, seconds, and peak memory of its processes in MB, without pages of mapped files."""
    start = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(_own_megabytes(member) for member in _family(process)))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return process.stdout.read(), seconds, peak


def _family(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield process
        yield from process.children(recursive=True)
    except psutil.Error:
        return


def _own_megabytes(process: psutil.Process) -> float:
    """Resident memory that no file stands behind: pages of a mapped raster are the system's to take back."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return (memory.rss - memory.shared) / 1e6


def measure_tiling(sides: list[int], tile: int, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each side."""
    for side in sides:
        path = folder / f"raster_{side}.tif"
        draw_raster(path, side)
        command = [sys.executable, __file__, "--one", str(path), str(folder / f"work_{side}"), str(tile)]
        printed, seconds, peak = run_watched(command)
        path.unlink()
        yield {"side": side, "objects": int(printed), "seconds": seconds, "peak_megabytes": peak}


def measure_images(counts: list[int], ways: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each number of images and each of `WAYS`."""
    script = folder / "run.py"
    script.write_text(GENERATE)
    chance = np.random.default_rng(0)
    for count in counts:
        images = folder / f"images_{count}"
        images.mkdir()
        for number in range(count):
            pixels = np.full((192, 256, 3), 60, dtype=np.uint8)
            left, top = chance.integers(0, 150), chance.integers(0, 90)
            pixels[top : top + 90, left : left + 90] = chance.integers(0, 256, 3)
            Image.fromarray(pixels).save(images / f"{number:05d}.png")
        for way in ways:
            engine, workers = WAYS[way]
            output = folder / f"{way} {count}"
            command = [sys.executable, str(script), str(images), str(output), engine, str(workers)]
            _, seconds, peak = run_watched(command)
            row = {"images": count, "way": way, "seconds": seconds, "peak_megabytes": peak}
            yield {**row, "images_per_second": rate(output, count, workers)}


def rate(folder: Path, images: int, workers: int) -> float:
    """Images per second of a run, from when each worker had made a shard to the last shard."""
    times = sorted(path.stat().st_mtime for path in folder.glob("shard_*.json"))
    return images * (len(times) - workers) / len(times) / (times[-1] - times[workers - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[5000, 10000, 20000], help="of rasters, in pixels")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--images", type=int, nargs="*", default=[50, 200], help="numbers of images")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS), help="of running them")
    parser.add_argument("--output", type=Path, help="a JSON file; its rows of other sizes and ways stay")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        raster, work, tile = options.one
        print(tile_raster(Path(raster), Path(work), int(tile)))
        return
    options.device = "cpu"
    kept = json.loads(options.output.read_text()) if options.output and options.output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for part, rows in (
            ("tiling", measure_tiling(options.sides, options.tile, Path(folder))),
            ("images", measure_images(options.images, options.ways, Path(folder))),
        ):
            found = kept.get(part, {"rows": []})["rows"]
            for row in rows:
                print(part, row, flush=True)
                found = [one for one in found if any(one.get(name) != row.get(name) for name in KEYS)] + [row]
                kept[part] = {"environment": environment_of(options), "rows": found}
                if options.output:
                    options.output.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
