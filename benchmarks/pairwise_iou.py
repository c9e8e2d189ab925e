"""How long does it take to compare the masks of "segment everything" with all known masks of an image?

IoU of 1000 proposals with 200 objects at 480 x 640, from run lengths, beside pycocotools on the same masks as its own
run lengths. The two must agree.

    python benchmarks/pairwise_iou.py --json benchmarks/results/savings/pairwise_iou.json
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from machine import environment_of, finish
from pycocotools import mask as coco_mask

from anymask.evaluation.metrics import pairwise_iou
from anymask.masks.rle import mask_to_rle, rle_to_coco

SIZE_HW = (480, 640)
PROPOSALS, OBJECTS, REPEATS = 1000, 200, 5
MAX_DIFFERENCE = 1e-5


def blobs(count: int, seed: int) -> list[dict]:
    """Run lengths of discs with wavy outlines, of a twentieth to a third of the image's height as radius."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    rles = []
    for _ in range(count):
        y, x = rng.uniform(0, SIZE_HW[0]), rng.uniform(0, SIZE_HW[1])
        radius, waves = rng.uniform(0.05, 0.35) * min(SIZE_HW), rng.integers(3, 9)
        angle = np.arctan2(rows - y, columns - x)
        rles.append(mask_to_rle(np.hypot(rows - y, columns - x) < radius * (1 + 0.2 * np.sin(waves * angle))))
    return rles


def seconds_of(work: Callable[[], np.ndarray]) -> tuple[list[float], float]:
    """Seconds of each run but the first, and the median of processor seconds, which other work does not lengthen."""
    times, busy = [], []
    for _ in range(1 + REPEATS):
        start, busy_start = time.perf_counter(), time.process_time()
        work()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - busy_start)
    return times[1:], median(busy[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    options.device = "cpu"
    proposals, objects = blobs(PROPOSALS, 0), blobs(OBJECTS, 1)
    in_coco = [[rle_to_coco(rle) for rle in side] for side in (proposals, objects)]
    ways = {
        "anymask": lambda: pairwise_iou(proposals, objects),
        "pycocotools": lambda: coco_mask.iou(*in_coco, [0] * OBJECTS),
    }
    difference = float(np.abs(ways["anymask"]() - ways["pycocotools"]()).max())
    assert difference <= MAX_DIFFERENCE, f"IoUs differ by {difference:.2g}"
    rows = []
    for way, work in ways.items():
        times, busy = seconds_of(work)
        spread = {"median": median(times), "lowest": min(times), "highest": max(times)}
        rows.append({"way": way, **spread, "cpu_seconds": busy})
        print(f"{way:12} {median(times):.3f} s ({min(times):.3f} to {max(times):.3f}), {busy:.3f} s of a processor")
    report = {
        "benchmark": "pairwise_iou",
        "question": "How long does it take to compare all proposals with all objects?",
        "environment": environment_of(options, ["pycocotools"]),
        "masks": [PROPOSALS, OBJECTS],
        "size_hw": SIZE_HW,
        "largest_difference": difference,
        "rows": rows,
    }
    finish(report, options.json)


if __name__ == "__main__":
    main()
