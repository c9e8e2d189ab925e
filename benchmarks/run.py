"""Runs all benchmarks, writes their results, and brings the tables of README and docs up to date.

    python benchmarks/run.py --threads 2                  # less than half an hour on two cores
    python benchmarks/run.py --threads 2 --only decoder   # some of them, by the names of their files of results
    python benchmarks/run.py --device cuda                # on an accelerator, with ViT-H and bfloat16
    python benchmarks/run.py --smoke                      # a minute: does it all run? Nothing is written

The machine must have nothing else to do. Peers (see README.md) get results of their own, where they are installed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import INSTALLED, load_peers
from machine import emulates_bfloat16

HERE = Path(__file__).parent
BOTH = ["--dtype", "float32", "bfloat16"]

PROCESSOR_RUNS: dict[str, list[str]] = {
    "encoder": ["bench_encoder.py", "--repeats", "2"],
    "decoder": ["bench_decoder.py"],
    "click": ["bench_click.py"],
    "post_processing": ["bench_post_processing.py"],
    "post_processing_12_megapixels": (
        ["bench_post_processing.py", "--image-size", "2828", "4242", "--points-per-side", "4", "--repeats", "1"]
    ),
    "everything": ["bench_everything.py", "--size", "nano"],
    "everything_vit_b": ["bench_everything.py", "--size", "vit_b", "--full", "--repeats", "1"],
    "memory": ["bench_memory.py", "--size", "nano"],
    "memory_vit_b": ["bench_memory.py", "--size", "vit_b", "--megapixels", "0.5", "100"],
    "scaling": ["bench_scaling.py", "--size", "nano"],
    "scaling_vit_b": (
        ["bench_scaling.py", "--size", "vit_b", "--megapixels", "0.5", "4"]
        + ["--points-per-side", "4", "8", "--points-per-batch", "16", "4"]
    ),
    "encoder_int8": ["bench_encoder.py", "--dtype", "int8", "--repeats", "2"],
    "precision": ["bench_precision.py", "--repeats", "1"],
    "everything_int8": ["bench_everything.py", "--size", "nano", "--dtype", "int8"],
    "preprocessing": ["bench_preprocessing.py"],
    "start": ["bench_start.py"],
    "start_absent": ["bench_start.py", "--absent", "--repeats", "3"],
    "demo": ["bench_demo.py", "--size", "nano"],
    "demo_50_megapixels": ["bench_demo.py", "--size", "nano", "--image-size", "6150", "8200", "--repeats", "8"],
    "exported": ["bench_exported.py", "--repeats", "3"],
}
"""The name of each file of results, and the command that makes it: on any processor."""

EMULATED_RUNS = {
    "encoder_bfloat16": ["bench_encoder.py", "--size", "nano", "--dtype", "bfloat16", "--repeats", "1"],
    "decoder_bfloat16": (
        ["bench_decoder.py", "--size", "vit_b", "--dtype", "bfloat16", "--prompts", "1", "8", "--repeats", "1"]
    ),
}
"""What bfloat16 costs without instructions for it, many times more than float32, on little work."""

BFLOAT16_RUNS = {
    "encoder_bfloat16": ["bench_encoder.py", "--dtype", "bfloat16"],
    "decoder_bfloat16": ["bench_decoder.py", "--dtype", "bfloat16"],
    "click_bfloat16": ["bench_click.py", "--dtype", "bfloat16"],
    "everything_bfloat16": ["bench_everything.py", "--dtype", "bfloat16"],
}
"""The same with these instructions."""

ACCELERATOR_SIZES = ["--size", "vit_b", "vit_h", "nano"]
ACCELERATOR_RUNS = {
    "encoder": ["bench_encoder.py", *ACCELERATOR_SIZES, *BOTH, "--batch", "1", "8"],
    "decoder": ["bench_decoder.py", *ACCELERATOR_SIZES, *BOTH, "--prompts", "1", "64", "256"],
    "click": ["bench_click.py", *ACCELERATOR_SIZES, *BOTH],
    "post_processing": ["bench_post_processing.py", "--full"],
    "everything": ["bench_everything.py", *ACCELERATOR_SIZES, *BOTH, "--full"],
    "memory": ["bench_memory.py", *ACCELERATOR_SIZES, *BOTH, "--megapixels", "0.5", "4", "12"],
    "scaling": ["bench_scaling.py", "--points-per-side", "32", "16", "64", "--points-per-batch", "64", "256", "16"],
}
"""On a CUDA device; preprocessing and start-up are work of the processor."""


PEER_STAGES = ("encoder", "decoder", "click", "everything")
"""What peers do as well. They are measured apart: in a process with them Transformers takes longer."""


def runs_on(device: str, peers: Sequence[str] = ()) -> dict[str, list[str]]:
    """The name of each file of results, and the command that makes it on that device.

    Args:
        device: "cpu", "cuda", ...
        peers: as in `--peer`.
    """
    if device == "cpu":
        prefix = ""
        runs = {**PROCESSOR_RUNS, **(EMULATED_RUNS if emulates_bfloat16(device) else BFLOAT16_RUNS)}
    else:
        prefix = f"{device.split(':')[0]}_"
        runs = {f"{prefix}{name}": [*run, "--device", device] for name, run in ACCELERATOR_RUNS.items()}
    if load_peers(peers):
        runs.update({f"{prefix}{name}_peers": [*runs[f"{prefix}{name}"], "--peer", *peers] for name in PEER_STAGES})
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="of torch; by default what torch chooses")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of files of results, without .json")
    parser.add_argument("--peer", nargs="+", default=[INSTALLED], metavar="NAME", help="other engines, see README.md")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    parser.add_argument("--smoke", action="store_true", help="the smallest workloads; writes nothing")
    options = parser.parse_args()
    runs = runs_on(options.device, options.peer)
    unknown = set(options.only or ()) - set(runs)
    if unknown:
        parser.error(f"--only must name some of {', '.join(runs)}, got {', '.join(sorted(unknown))}")
    shared = ["--threads", str(options.threads)] if options.threads else []
    failed = []
    for name in options.only or runs:
        script, *arguments = runs[name]
        written = ["--smoke"] if options.smoke else ["--json", str(options.results / f"{name}.json")]
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / script), *arguments, *shared, *written]).returncode != 0:
            failed.append(name)
    if not options.smoke:
        subprocess.run([sys.executable, str(HERE / "report.py"), "--results", str(options.results)], check=True)
    if failed:
        sys.exit(f"These did not run to their end, their results are as they were: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
