"""How long do many prompts take where other processes want the cores too?

Laptops, shared servers and containers with a part of a machine all know it: next to us something else computes. This
script starts some processes that do nothing but spin, and then times Transformers' decoder and anymask's: points to
low-resolution logits, with the embedding ready, and prepared. With `--points-per-side` it times segment-everything.
Each row is a fresh process, since where the system puts threads differs from process to process; rounds alternate
between the two, the median counts.

    python benchmarks/busy.py --neighbours 0 1 2 --processes 10
    python benchmarks/busy.py --neighbours 0 1 2 --processes 3 --size nano --points-per-side 16
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def spin() -> None:
    while True:
        pass


def decoding(size: str, prompts: int) -> dict[str, Callable[[], Any]]:
    """What is timed of many prompts: points to low-resolution logits."""
    from subjects import load_pair

    pair = load_pair(size, "float32", "cpu")
    embedding, points = pair.embedding(), pair.points(prompts)
    prepared = pair.ours.prepare_image(embedding)
    columns = {
        "transformers": lambda: pair.theirs(image_embeddings=embedding, input_points=points).pred_masks,
        "anymask": lambda: pair.ours(image_embeddings=prepared, input_points=points).pred_masks,
    }
    expected, actual = (columns[name]() for name in columns)
    error = ((actual - expected).abs().max() / expected.abs().max()).item()
    if error > 1e-3:
        sys.exit(f"the masks must agree to 1e-3, got {error:g}")
    return columns


def everything(size: str, points_per_side: int) -> dict[str, Callable[[], Any]]:
    """What is timed of segment-everything: a photo to run-length encoded masks, as in bench_everything.py."""
    from subjects import load_pair, our_generator, photo
    from their_steps import TheirSteps

    pair, image = load_pair(size, "float32", "cpu"), photo([534, 800])
    filters = pair.filters(image)
    generator = our_generator(pair, filters)
    theirs = TheirSteps(pair.theirs, pair.their_processor, filters)
    theirs.everything(image, points_per_side=2)  # a warm-up, as `filters` is one of anymask's
    return {
        "transformers": lambda: theirs.everything(image, points_per_side),
        "anymask": lambda: generator.generate(image, points_per_side=points_per_side),
    }


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each, in this process."""
    import torch

    with torch.inference_mode():
        if options.points_per_side:
            columns = everything(options.size, options.points_per_side)
        else:
            columns = decoding(options.size, options.prompts)
        seconds: dict[str, list[float]] = {name: [] for name in columns}
        for _ in range(options.rounds):
            for name, column in columns.items():
                start = time.perf_counter()
                column()
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="vit_b", help="vit_b (default) or nano")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--points-per-side", type=int, help="segment everything with this grid, in place of prompts")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2], help="processes that spin")
    parser.add_argument("--processes", type=int, default=10, help="fresh processes for each number of neighbours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options)))
        return
    what = {"size": options.size, "prompts": options.prompts}
    if options.points_per_side:
        what = {"size": options.size, "points_per_side": options.points_per_side}
    arguments = ["--one", "--rounds", str(options.rounds)]
    for name, value in what.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    rows = []
    for count in options.neighbours:
        neighbours = [multiprocessing.Process(target=spin, daemon=True) for _ in range(count)]
        for neighbour in neighbours:
            neighbour.start()
        try:
            for _ in range(options.processes):
                command = [sys.executable, str(Path(__file__)), *arguments]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                times = json.loads(output.splitlines()[-1])
                times["ratio"] = times["transformers"] / times["anymask"]
                rows.append({**what, "neighbours": count, **times})
                print(count, *(f"{name} {value:.3f}" for name, value in times.items()), flush=True)
        finally:
            for neighbour in neighbours:
                neighbour.terminate()
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
