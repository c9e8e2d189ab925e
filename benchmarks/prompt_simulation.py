"""How long does it take to play the person of a training step: where is each mask wrong, and where to click?

A click for each of 64 objects (4 images of 16), at the labels' 256 x 256 pixels, between a mask and a truth that differ
at the rim: anywhere in the error ("random"), and in the middle of the larger error ("center"). Beside it the plain way,
object by object: NumPy's choice among the wrong pixels, and SciPy's distance transform of the padded image, as the
interactive benchmarks do. Random clicks must lie in the error, those in the middle as deep as the plain way's.

    python benchmarks/prompt_simulation.py --json benchmarks/results/savings/prompt_simulation.json
"""

import argparse
from pathlib import Path
from statistics import median

import numpy as np
import torch
from machine import environment_of, finish
from pairwise_iou import seconds_of
from scipy.ndimage import distance_transform_edt

from anymask.evaluation.tasks.clicks import next_click

OBJECTS, SIDE = 64, 256


def wavy_discs() -> tuple[np.ndarray, np.ndarray]:
    """Truth and masks (objects, side, side) bool, which differ along their outlines."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    both = np.zeros((2, OBJECTS, SIDE, SIDE), dtype=bool)
    for index in range(OBJECTS):
        y, x, radius = *rng.uniform(0.2 * SIDE, 0.8 * SIDE, 2), rng.uniform(0.05, 0.35) * SIDE
        angle, distance = np.arctan2(rows - y, columns - x), np.hypot(rows - y, columns - x)
        for side in both:
            side[index] = distance < radius * (1 + 0.2 * np.sin(rng.integers(3, 9) * angle + rng.uniform(0, 6)))
    return both[0], both[1]


def click_one_by_one(masks: np.ndarray, truth: np.ndarray, where: str) -> np.ndarray:
    """(objects, 2) x and y."""
    rng, clicks = np.random.default_rng(1), []
    for mask, real in zip(masks, truth, strict=True):
        if where == "random":
            found = rng.choice(np.argwhere(mask ^ real))
        else:
            missed, too_much = (distance_transform_edt(np.pad(e, 1))[1:-1, 1:-1] for e in (real & ~mask, mask & ~real))
            deeper = missed if missed.max() > too_much.max() else too_much
            found = np.array(np.unravel_index(deeper.argmax(), deeper.shape))
        clicks.append(found[::-1])
    return np.array(clicks)


def check(where: str, ours: np.ndarray, theirs: np.ndarray, masks: np.ndarray, truth: np.ndarray) -> None:
    """Stop where clicks are not what they must be."""
    for number, (x, y) in enumerate(ours.astype(int)):
        error = masks[number] ^ truth[number]
        assert error[y, x], f"the {where} click of object {number} must lie in the error"
        if where == "center":
            depth = distance_transform_edt(np.pad(error & (truth[number] == truth[number, y, x]), 1))[1:-1, 1:-1]
            assert np.isclose(depth[y, x], depth[tuple(theirs[number][::-1])]), f"object {number} has a deeper pixel"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    options.device = "cpu"
    truth, masks = wavy_discs()
    tensors = torch.from_numpy(masks), torch.from_numpy(truth)
    rows = []
    for where in ("random", "center"):
        ways = {
            "anymask": lambda where=where: next_click(
                *tensors, where, generator=torch.Generator().manual_seed(0)
            ).points_xy.numpy(),
            "one by one": lambda where=where: click_one_by_one(masks, truth, where),
        }
        check(where, ways["anymask"](), ways["one by one"](), masks, truth)
        for way, work in ways.items():
            times, busy = seconds_of(work)
            spread = {"median": median(times), "lowest": min(times), "highest": max(times)}
            rows.append({"click": where, "way": way, **spread, "cpu_seconds": busy})
            print(f"{where:7} {way:11} {1000 * median(times):.1f} ms, {1000 * busy:.1f} ms of a processor")
    report = {
        "benchmark": "prompt_simulation",
        "question": "How long does it take to place a click for each of 64 objects?",
        "environment": environment_of(options),
        "rows": rows,
    }
    finish(report, options.json)


if __name__ == "__main__":
    main()
