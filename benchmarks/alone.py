"""Segment everything in a process of its own: the masks, how long it took, and by how much memory rose.

`segment_alone` starts this file as a script and reads the last line of its output.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from harness import timed
from subjects import load_pair, our_generator, photo
from their_steps import TheirSteps

COLUMNS = ("transformers", "anymask")
HEIGHT_TO_WIDTH = 2 / 3
FILTERS_SIZE_HW = (400, 600)  # of the photo on which thresholds are chosen, for all sizes the same
SECONDS_BETWEEN_LOOKS = 0.002
MASKS_PER_POINT = 3


def photo_size_hw(megapixels: float) -> tuple[int, int]:
    """The size of a photo with so many pixels."""
    height = round((megapixels * 1e6 * HEIGHT_TO_WIDTH) ** 0.5)
    return height, round(megapixels * 1e6 / height)


def why_not(column: str, megapixels: float, points_per_batch: int, device: str) -> str | None:
    """Why a column cannot be measured: Transformers holds a batch's masks at the size of the photo, as floats.

    The limit is a third of the memory that there is, for the floats alone, once; Transformers needs more than that.
    """
    mask_bytes = MASKS_PER_POINT * points_per_batch * megapixels * 1e6 * 4
    on_cuda = device.startswith("cuda")
    total = torch.cuda.get_device_properties(device).total_memory if on_cuda else psutil.virtual_memory().total
    if column == "transformers" and mask_bytes > total / 3:
        return f"not run: {mask_bytes / 2**30:.0f} GiB of masks"
    return None


def segment_alone(**arguments: Any) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, json.dumps({**arguments, "threads": torch.get_num_threads()})]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(child.stdout.splitlines()[-1])


def measure(
    column: str,
    size: str,
    dtype: str,
    device: str,
    megapixels: float,
    points_per_side: int,
    points_per_batch: int,
    filters: dict[str, float],
    timed_runs: int = 0,
) -> dict[str, Any]:
    """Segments the photo of examples/ with one column, in this process.

    Args:
        column: one of `COLUMNS`.
        size, dtype, device: see `load_pair`.
        megapixels: of the photo, which is resized.
        points_per_side: of the grid of points.
        points_per_batch: how many points are decoded at a time.
        filters: thresholds of predicted IoU and stability.
        timed_runs: how often it is done again and timed, after the first time, which tells the memory.

    Returns:
        "records", "peak_bytes" of the first run, and "seconds" of the others.
    """
    pair, image = load_pair(size, dtype, device), photo(photo_size_hw(megapixels))
    if column == "anymask":
        segment = our_generator(pair, filters).generate
    else:
        segment = TheirSteps(pair.theirs, pair.their_processor, filters).everything

    def run() -> list[dict[str, Any]]:
        return segment(image, points_per_side=points_per_side, points_per_batch=points_per_batch)

    records, peak = peak_cuda_bytes(run, device) if device.startswith("cuda") else peak_resident_bytes(run)
    return {"records": records, "peak_bytes": peak, "seconds": [timed(run, device)[1] for _ in range(timed_runs)]}


def peak_resident_bytes(run: Callable[[], Any]) -> tuple[Any, int]:
    """A result, and by how many bytes the resident memory of this process rose at the highest."""
    process = psutil.Process()
    before = highest = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.is_set():
            highest = max(highest, process.memory_info().rss)
            time.sleep(SECONDS_BETWEEN_LOOKS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = run()
    finally:
        done.set()
        watcher.join()
    return result, highest - before


def peak_cuda_bytes(run: Callable[[], Any], device: str) -> tuple[Any, int]:
    """A result, and by how many bytes the tensors on a CUDA device grew at the highest."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = run()
    return result, torch.cuda.max_memory_allocated(device) - before


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    torch.set_num_threads(arguments.pop("threads"))
    print(json.dumps(measure(**arguments)))
