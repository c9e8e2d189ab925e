"""How much memory does segment-everything need, beyond the weights and the photo?

Each run is a process of its own: it loads the model and the photo, notes the memory that it has, segments everything to
run-length encoded masks, and reports by how much its resident memory rose at the highest. The photo is that of
examples/, resized up to 100 megapixels. The two columns do what those of bench_everything.py do, with 8 x 8 points: one
batch of Transformers' 64, whose memory does not depend on how many batches follow.

Transformers holds the masks of a batch at the size of the photo, three for each point, as floats and more than once.
Where the floats alone, once, would take more than a third of this machine's memory, it is not run.

    python benchmarks/bench_memory.py --size nano --megapixels 0.5 12 100
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
from harness import SIZES, Benchmark, DisagreementError, option_parser, parse_options, spread
from subjects import load_pair, our_generator, photo
from their_steps import BATCH, TheirSteps

CHILD = "--child"
HEIGHT_TO_WIDTH = 2 / 3
FILTERS_SIZE_HW = (400, 600)
COLUMNS = ("transformers", "anymask")
SECONDS_BETWEEN_LOOKS = 0.002
MAX_OTHER_MASKS = {"float32": 1, "bfloat16": 5}


def peak_bytes(run: Callable[[], Any]) -> int:
    """By how many bytes the resident memory of this process rises at the highest while `run` runs."""
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
        run()
    finally:
        done.set()
        watcher.join()
    return highest - before


def measure(column: str, size: str, dtype: str, size_hw: list[int], points_per_side: int, filters: dict) -> dict:
    """Peak bytes of one column in this process, and how many masks it found."""
    pair, image = load_pair(size, dtype, "cpu"), photo(size_hw)
    if column == "anymask":
        run = our_generator(pair, filters).generate
    else:
        run = TheirSteps(pair.theirs, pair.their_processor, filters).everything
    records: list[dict] = []
    peak = peak_bytes(lambda: records.extend(run(image, points_per_side=points_per_side)))
    return {"peak_bytes": peak, "masks": len(records)}


def measured_in_child(**arguments: Any) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, CHILD, json.dumps({**arguments, "threads": torch.get_num_threads()})]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(child.stdout.splitlines()[-1])


def child(arguments: dict) -> None:
    """What a child process does; the last line of its output is the result."""
    torch.set_num_threads(arguments.pop("threads"))
    print(json.dumps(measure(**arguments)))


def compare(benchmark: Benchmark, size: str, dtype: str, megapixels: float, filters: dict) -> None:
    options = benchmark.options
    height = round((megapixels * 1e6 * HEIGHT_TO_WIDTH) ** 0.5)
    size_hw = [height, round(megapixels * 1e6 / height)]
    mask_bytes = 3 * BATCH * size_hw[0] * size_hw[1] * 4
    results: dict[str, dict] = {}
    masks: dict[str, int] = {}
    for column in COLUMNS:
        if column == "transformers" and mask_bytes > psutil.virtual_memory().total / 3:
            results[column] = {"not_run": f"not run: {mask_bytes / 2**30:.0f} GiB of masks", "agreement": {}}
            continue
        arguments = dict(column=column, size=size, dtype=dtype, size_hw=size_hw, filters=filters)
        runs = [measured_in_child(**arguments, points_per_side=options.points_per_side) for _ in range(options.repeats)]
        results[column] = {**spread([run["peak_bytes"] for run in runs]), "agreement": {}}
        masks[column] = runs[0]["masks"]
    if len(masks) == len(COLUMNS) and abs(masks["anymask"] - masks["transformers"]) > MAX_OTHER_MASKS[dtype]:
        raise DisagreementError(f"the columns must find the same masks, found {masks}")
    what = f"{SIZES[size]}, {dtype}, {megapixels:g} megapixels"
    benchmark.add_row(what, "bytes", results, size=size, dtype=dtype, size_hw=size_hw, masks=masks, filters=filters)


def main() -> None:
    parser = option_parser(__doc__, repeats=1)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.5, 4, 100], help="sizes of the photo")
    parser.add_argument("--points-per-side", type=int, default=8, help="of the grid of points")
    options = parse_options(parser, smoke=dict(megapixels=[0.01], points_per_side=2))
    if options.device != "cpu":
        parser.error(f"this measures the memory of the processor: --device must be cpu, got {options.device}")
    question = "How much memory does segment-everything need, beyond the weights and the photo?"
    benchmark = Benchmark("memory", question, options)
    for size in options.size:
        for dtype in options.dtype:
            pair = load_pair(size, dtype, "cpu")
            filters = pair.filters(photo(FILTERS_SIZE_HW))
            del pair
            for megapixels in options.megapixels:
                compare(benchmark, size, dtype, megapixels, filters)
    benchmark.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        child(json.loads(sys.argv[2]))
    else:
        main()
