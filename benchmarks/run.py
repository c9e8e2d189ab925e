"""Runs all benchmarks, writes their results, and brings docs/performance.md up to date.

    python benchmarks/run.py --threads 2                  # about twenty minutes on two cores
    python benchmarks/run.py --threads 2 --only decoder   # some of them, by the names of their files of results

The machine must have nothing else to do. On a CPU without bfloat16 instructions PyTorch emulates them, a hundred times
slower than float32, so bfloat16 has small workloads here; on a CPU that has them, or an accelerator, run the scripts
with `--dtype float32 bfloat16` instead.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

RUNS: dict[str, list[str]] = {
    "encoder": ["bench_encoder.py", "--repeats", "2"],
    "encoder_bfloat16": ["bench_encoder.py", "--size", "nano", "--dtype", "bfloat16", "--repeats", "1"],
    "decoder": ["bench_decoder.py"],
    "decoder_bfloat16": (
        ["bench_decoder.py", "--size", "vit_b", "--dtype", "bfloat16", "--prompts", "1", "8", "--repeats", "1"]
    ),
    "click": ["bench_click.py"],
    "post_processing": ["bench_post_processing.py"],
    "post_processing_12_megapixels": (
        ["bench_post_processing.py", "--image-size", "2828", "4242", "--points-per-side", "4", "--repeats", "1"]
    ),
    "everything": ["bench_everything.py", "--size", "nano"],
    "everything_vit_b": ["bench_everything.py", "--size", "vit_b", "--full", "--repeats", "1"],
    "memory": ["bench_memory.py", "--size", "nano"],
    "memory_vit_b": ["bench_memory.py", "--size", "vit_b", "--megapixels", "0.5", "100"],
    "preprocessing": ["bench_preprocessing.py"],
    "start": ["bench_start.py"],
}
"""The name of each file of results, and the command that makes it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="of torch; by default what torch chooses")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    options = parser.parse_args()
    threads = ["--threads", str(options.threads)] if options.threads else []
    failed = []
    for name in options.only:
        script, *arguments = RUNS[name]
        result = ["--json", str(options.results / f"{name}.json")]
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / script), *arguments, *threads, *result]).returncode != 0:
            failed.append(name)
    subprocess.run([sys.executable, str(HERE / "report.py"), "--results", str(options.results)], check=True)
    if failed:
        sys.exit(f"These did not run to their end, their results are as they were: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
