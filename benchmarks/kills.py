"""Can a large raster, a volume and a folder be killed at any moment, and end with the same result?

Each part draws its input, runs one command of `anymask` once from end to end, and once more with `kill -9` after random
times, called again until it ends. Then the two folders of results must hold the same files with the same bytes, hidden
ones included. Exits with 1 if they do not. `--reference 1000` of the part folder lets the run from end to end take only
the first thousand images, whose shards are compared.

    python benchmarks/kills.py raster --size 20000 --kills 10 --folder runs/kills
    python benchmarks/kills.py volume --size 96 --kills 5 --folder runs/kills
    python benchmarks/kills.py folder --size 10000 --kills 20 --folder runs/kills

A second call goes on: what was drawn and the run from end to end are kept. `--output` adds a row to a JSON file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scale import run_watched

FIELD = 250  # side of the squares that hold one drawn object each
SLICE = 128  # side of the slices of the drawn volume
IMAGES_PER_SHARD = 25
COMMANDS = {
    "raster": ["segment", "{input}", "--output", "{output}", "--tiles-above", "0", "--resume"],
    "volume": ["volume", "{input}", "--window", "abdomen", "--output", "{output}/labels.nii.gz", "--resume"],
    "folder": ["generate", "{input}", "--output", "{output}", "--workers", "2", "--shards", "{shards}", "-f", "coco"],
}


def draw_raster(path: Path, size: int) -> None:
    """A GeoTIFF of (size, size) in colour: ellipses, a road through all of it, and a corner without data."""
    import rasterio

    place = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    profile = dict(driver="GTiff", height=size, width=size, count=3, dtype="uint8", nodata=0, tiled=True)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=place, BIGTIFF="IF_SAFER", **profile) as raster:
        for top in range(0, size, FIELD):
            band = np.concatenate([_field(top, left) for left in range(0, size, FIELD)], axis=1)[: size - top, :size]
            columns = np.arange(size)
            for row in range(len(band)):
                band[row, np.abs(columns - 0.7 * (top + row)) < 20] = (90, 90, 95)
                band[row, columns + top + row < size // 10] = 0
            raster.write(np.moveaxis(band, -1, 0), window=((top, top + len(band)), (0, size)))


def _field(top: int, left: int) -> np.ndarray:
    chance = np.random.default_rng((top, left))
    y, x = np.mgrid[:FIELD, :FIELD]
    ground = 80 + 30 * np.sin((left + x) / 900) + 20 * np.cos((top + y) / 700)
    pixels = np.stack([0.8 * ground, ground, 0.5 * ground], axis=-1)
    radius = chance.uniform(30, 100, 2)
    centre = chance.uniform(radius, FIELD - radius)
    pixels[((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 <= 1] = chance.integers(60, 256, 3)
    return (pixels + chance.normal(0, 4, pixels.shape)).clip(1, 255).astype(np.uint8)


def draw_volume(path: Path, size: int) -> None:
    """CT of 16 bits with `size` slices: a body with five organs and noise."""
    import nibabel

    z, y, x = np.mgrid[:size, :SLICE, :SLICE] / np.array([size, SLICE, SLICE]).reshape(3, 1, 1, 1)
    voxels = np.where(((x - 0.5) / 0.46) ** 2 + ((y - 0.5) / 0.4) ** 2 <= 1, -90.0, -1000.0)
    chance = np.random.default_rng(0)
    for centre in ((0.35, 0.4), (0.65, 0.4), (0.5, 0.65), (0.3, 0.6), (0.7, 0.6)):
        radius = chance.uniform(0.06, 0.13, 2)
        inside = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 + ((z - 0.5) / 0.45) ** 2 <= 1
        voxels[inside] = chance.uniform(20, 200)
    voxels += chance.normal(0, 12, voxels.shape)
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16).transpose(2, 1, 0), np.diag([0.8, 0.8, 2.5, 1])), path)


def draw_folder(path: Path, size: int) -> None:
    """Pictures of 256 x 256 with two ellipses each."""
    path.mkdir()
    for number in range(size):
        chance = random.Random(number)
        picture = Image.new("RGB", (256, 256), tuple(chance.choices(range(40, 120), k=3)))
        for _ in range(2):
            left, top = chance.uniform(0, 150), chance.uniform(0, 150)
            box = (left, top, left + chance.uniform(40, 110), top + chance.uniform(40, 110))
            ImageDraw.Draw(picture).ellipse(box, fill=tuple(chance.choices(range(256), k=3)))
        picture.save(path / f"{number:06d}.jpg", quality=90)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, hidden ones included."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run_with_kills(command: list[str], kills: int, every: float, seed: int, state: Path, stop_at: float) -> list[float]:
    """Call a command until it ends by itself, killed `kills` times before; returns after how many seconds each.

    Args:
        command: To be called.
        kills: At the most.
        every: Seconds to a kill at the most.
        seed: Of their moments.
        state: A file with the kills of earlier calls of this function, and of this one.
        stop_at: Of `time.monotonic`: when to kill it once more and exit, to be called again.
    """
    killed: list[float] = json.loads(state.read_text()) if state.exists() else []
    while True:
        patience = random.Random(f"{seed} {len(killed)}").uniform(0, every) if len(killed) < kills else float("inf")
        patience = min(patience, stop_at - time.monotonic())
        if patience <= 0:
            sys.exit("not done; call again to go on")
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=errors)
            try:
                process.wait(timeout=patience if patience < float("inf") else None)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed.append(patience)
                state.write_text(json.dumps(killed))
                print(f"killed after {patience:.1f} s", flush=True)
                continue
            if process.returncode:
                errors.seek(0)
                sys.exit(f"{' '.join(command)} ended with {process.returncode}: {errors.read()[-2000:]}")
        return killed


def drawn_input(options: argparse.Namespace, size: int) -> Path:
    """The input of a part, drawn unless it is there; it appears whole or not at all."""
    ending, draw = {"raster": (".tif", draw_raster), "volume": (".nii.gz", draw_volume), "folder": ("", draw_folder)}[
        options.part
    ]
    drawn = options.folder / f"{options.part}_{size}{ending}"
    if not drawn.exists():
        unfinished = options.folder / f"part_{drawn.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        draw(unfinished, size)
        unfinished.rename(drawn)
    return drawn


def make_command(options: argparse.Namespace, drawn: Path, output: Path, size: int) -> list[str]:
    """The command of a part, for this Python."""
    names = {"input": drawn, "output": output, "shards": -(-size // IMAGES_PER_SHARD)}
    words = [word.format(**names) for word in COMMANDS[options.part]]
    return [sys.executable, "-m", "anymask", *words, "--points-per-side", str(options.points_per_side)]


def run_undisturbed(options: argparse.Namespace, size: int) -> tuple[Path, dict[str, Any]]:
    """The folder of a run from end to end, and its seconds and peak memory; what an earlier call made is kept."""
    folder = options.folder / f"{options.part}_{size}_undisturbed"
    facts_path = folder.with_suffix(".json")
    if not facts_path.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _, seconds, peak = run_watched(make_command(options, drawn_input(options, size), folder, size))
        facts_path.write_text(json.dumps({"seconds": seconds, "peak_megabytes": peak}))
    return folder, json.loads(facts_path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=COMMANDS)
    parser.add_argument("--size", type=int, required=True, help="side of the raster, slices, or number of images")
    parser.add_argument("--folder", type=Path, required=True, help="for what is drawn and written")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--every", type=float, help="seconds to a kill at the most; by default they fill the run")
    parser.add_argument("--seconds", type=float, help="how long this call may take with kills; a later one goes on")
    parser.add_argument("--reference", type=int, help="folder: how many images the run from end to end takes")
    parser.add_argument("--points-per-side", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file that gets a row")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    reference = options.reference or options.size
    undisturbed, facts = run_undisturbed(options, reference)
    killed_folder = options.folder / f"{options.part}_{options.size}_killed"
    state = killed_folder.with_suffix(".json")
    if not state.exists():
        shutil.rmtree(killed_folder, ignore_errors=True)
        killed_folder.mkdir()
    every = options.every or 2 * facts["seconds"] * options.size / reference / max(options.kills, 1)
    command = make_command(options, drawn_input(options, options.size), killed_folder, options.size)
    stop_at = time.monotonic() + (options.seconds or float("inf"))
    killed = run_with_kills(command, options.kills, every, options.seed, state, stop_at)
    state.unlink(missing_ok=True)
    expected, found = digests(undisturbed), digests(killed_folder)
    if reference != options.size:
        expected = {name: digest for name, digest in expected.items() if name.startswith("shard_")}
        found = {name: digest for name, digest in found.items() if name in expected or name.startswith(".")}
    row = {"part": options.part, "size": options.size, "reference": reference, **facts, "killed_after": killed}
    row |= {"files_compared": len(expected), "is_same": expected == found}
    print(json.dumps(row), flush=True)
    if options.output:
        rows = json.loads(options.output.read_text()) if options.output.exists() else []
        rows = [one for one in rows if (one["part"], one["size"]) != (options.part, options.size)] + [row]
        options.output.write_text(json.dumps(rows, indent=1) + "\n")
    if not row["is_same"]:
        other = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        sys.exit(f"not the same: {', '.join(other[:10])}")


if __name__ == "__main__":
    main()
