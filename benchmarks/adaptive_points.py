"""What does `points="adaptive"` save, and what does it lose?

Photographs of examples/ and of scikit-image, with the packaged model and its own options: points asked, processor
time, and how many of the full grid's masks are found again, which is when some mask has an IoU of at least 0.5, 0.75 or
0.9 with them. Beside it the same rule that spares a mask's points sooner and later, and two grids with about as many
points: one that is coarser throughout, and every second point, as on a chessboard.

    python benchmarks/adaptive_points.py --json benchmarks/results/savings/adaptive_points.json
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from machine import environment_of, finish

from anymask import SAM
from anymask.geometry.crops import build_point_grid
from anymask.mask_generation import points as adaptive
from anymask.mask_generation.generator import SamMaskGenerator
from anymask.masks.rle import rle_to_mask
from anymask.results.results import Results

PHOTOS = [
    *sorted((Path(__file__).parent.parent / "examples").glob("*.jpg")),
    *(
        Path(skimage.__file__).parent / "data" / name
        for name in ("camera.png", "astronaut.png", "motorcycle_left.png", "coins.png", "rocket.jpg", "horse.png")
    ),
]
COARSER = 2 / 3  # of the side of the grid: 44 % of the points
SOONER_AND_LATER = (1, 3, 10)  # points on one mask after which further ones are spared, in place of six
IOUS = (0.5, 0.75, 0.9)
LONGEST_SIDE = 320  # at which masks are compared


def segment(sam: SAM, photo: Path, **options: Any) -> tuple[Results, int, float]:
    """Results, points asked, seconds of a processor, which other work hardly lengthens."""
    decode, asked = sam.model.decode_proposals, []

    def counted(image: Any, points: torch.Tensor, **how: Any) -> Any:
        asked.append(points.shape[1])
        return decode(image, points, **how)

    sam.model.decode_proposals = counted
    start = time.process_time()
    (results,) = sam.predict(photo, **options)
    seconds = time.process_time() - start
    sam.model.decode_proposals = decode
    return results, sum(asked), seconds


def small_masks(results: Results) -> np.ndarray:
    """Masks (N, pixels) of a few pixels, float32."""
    step = max(1, max(results.size_hw) // LONGEST_SIDE)
    masks = [rle_to_mask(record["segmentation"])[step // 2 :: step, step // 2 :: step] for record in results]
    return np.stack(masks).reshape(len(masks), -1).astype(np.float32)


def best_ious(wanted: Results, found: Results) -> np.ndarray:
    """IoU (N,) of each wanted mask with the found one that is most like it."""
    if len(found) == 0:
        return np.zeros(len(wanted))
    wanted_masks, found_masks = small_masks(wanted), small_masks(found)
    overlaps = wanted_masks @ found_masks.T
    unions = wanted_masks.sum(axis=1)[:, None] + found_masks.sum(axis=1) - overlaps
    return (overlaps / np.maximum(unions, 1)).max(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    options.device = "cpu"
    if options.threads:
        torch.set_num_threads(options.threads)
    sam = SAM(device="cpu")
    side = SamMaskGenerator(sam.model, sam.processor).options.points_per_side or 32
    grid = build_point_grid(side)
    chessboard = grid.reshape(side, side, 2)[np.indices((side, side)).sum(axis=0) % 2 == 0]
    ways: dict[str, dict[str, Any]] = {
        "adaptive": {"points": "adaptive"},
        **{f"adaptive, {asked} points on a mask": {"points": "adaptive"} for asked in SOONER_AND_LATER},
        "coarser grid": {"points_per_side": round(side * COARSER)},
        "chessboard": {"points_per_side": None, "point_grids": (chessboard,)},
    }
    usual = adaptive.ASKED_PER_MASK
    asked_per_mask = dict(zip(list(ways)[1:], SOONER_AND_LATER, strict=False))
    sam.predict(PHOTOS[0], points_per_side=4)  # a warm-up
    ious: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    totals = {way: np.zeros(4) for way in ways}  # points and seconds, of the full grid and of this way
    for photo in PHOTOS:
        full, full_points, full_seconds = segment(sam, photo)
        for way, how in ways.items():
            adaptive.ASKED_PER_MASK = asked_per_mask.get(way, usual)
            found, points, seconds = segment(sam, photo, **how)
            ious[way].append(best_ious(full, found))
            totals[way] += full_points, full_seconds, points, seconds
            print(
                f"{photo.stem:16} {way:28} {len(full):3} masks, {points / full_points:4.0%} of the points", flush=True
            )
    rows = []
    for way in ways:
        full_points, full_seconds, points, seconds = totals[way]
        share = float(points / full_points)
        recall = {str(iou): float((np.concatenate(ious[way]) >= iou).mean()) for iou in IOUS}
        rows.append({"way": way, "points": share, "time": float(seconds / full_seconds), "recall": recall})
        print(f"{way}: {rows[-1]}")
    report = {
        "benchmark": "adaptive_points",
        "question": "What does points='adaptive' save, and what does it lose?",
        "environment": environment_of(options),
        "photos": [photo.name for photo in PHOTOS],
        "rows": rows,
    }
    finish(report, options.json)


if __name__ == "__main__":
    main()
