"""What the benchmarks share: options, timing side by side, the table, the JSON.

A benchmark compares columns: functions that do the same work, "transformers" first and "anymask" second.
`Benchmark.compare` runs them in turn in one process, so that a machine that slows down slows all of them, and stops
with an error if a column's result disagrees with the first column's: a wrong answer has no time. Nothing here knows a
model.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from machine import describe, emulates_bfloat16, environment_of, version_of

SIZES = {"vit_b": "ViT-B", "vit_h": "ViT-H", "nano": "sam-vit-nano"}
USUAL_SIZES = ["vit_b", "nano"]  # ViT-H takes minutes where there is no accelerator
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.float32}
FLOATS = ["float32", "bfloat16"]  # int8 is anymask's image encoder alone, beside Transformers' in float32
REFERENCE = "transformers"
PEERS = Path(__file__).parent / "peers"
INSTALLED = "installed"

Column = Callable[[], Any]


class DisagreementError(Exception):
    """Two columns that are meant to do the same work gave different results."""


def option_parser(description: str | None, repeats: int = 3, dtypes: Sequence[str] = FLOATS) -> argparse.ArgumentParser:
    """The options that every benchmark has; `description` is the docstring of the script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=SIZES, default=USUAL_SIZES, help="models, one after another")
    parser.add_argument("--dtype", nargs="+", choices=dtypes, default=["float32"], help="types of weights and images")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--threads", type=int, help="of torch; by default what torch chooses")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed runs of each column, after the warm-up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    peers = ", ".join(sorted(path.stem for path in PEERS.glob("*.py")))
    parser.add_argument(
        "--peer",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"more columns: {peers}, a file of your own, or {INSTALLED!r} for those of the former that can run",
    )
    parser.add_argument("--full", action="store_true", help="the full workload where the default is a part of it")
    parser.add_argument("--smoke", action="store_true", help="the smallest workload, to see that the script runs")
    return parser


def parse_options(
    parser: argparse.ArgumentParser, smoke: Mapping[str, Any] | None = None, full: Mapping[str, Any] | None = None
) -> argparse.Namespace:
    """Reads the command line; `--smoke` and `--full` replace the options named here."""
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    if options.smoke:
        vars(options).update({"size": ["nano"], "repeats": 1, **(smoke or {})})
    elif options.full:
        vars(options).update(full or {})
    return options


class Benchmark:
    """One script's rows: measures them, prints them, writes them."""

    def __init__(self, name: str, question: str, options: argparse.Namespace) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
        self.name, self.question, self.options = name, question, options
        self.rows: list[dict[str, Any]] = []
        self.peer_modules = load_peers(options.peer)
        self.packages: list[str] = []

    def compare(
        self,
        what: str,
        columns: Mapping[str, Column],
        agreement: Callable[[Any, Any], Mapping[str, float]],
        warm_ups: int = 1,
        **facts: Any,
    ) -> None:
        """Times columns in turn and adds a row.

        Args:
            what: the row's name.
            columns: what to run, by name.
            agreement: takes the results of the first column and of another; returns measures of agreement for the
                table, or raises `DisagreementError`.
            warm_ups: runs of each column before those that count.
            facts: go into the JSON as they are.
        """
        runs: dict[str, list[float]] = {name: [] for name in columns}
        cpu_seconds: dict[str, list[float]] = {name: [] for name in columns}
        agreements: dict[str, Mapping[str, float]] = {}
        for number in range(warm_ups + self.options.repeats):
            expected = None
            for name, run in columns.items():
                result, seconds, busy = timed(run, self.options.device)
                if number >= warm_ups:
                    runs[name].append(seconds)
                    cpu_seconds[name].append(busy)
                if number == 0 and expected is not None:
                    agreements[name] = agreement(expected, result)
                expected = result if expected is None else expected
        results = {
            name: {**spread(seconds), "cpu_seconds": median(cpu_seconds[name]), "agreement": agreements.get(name, {})}
            for name, seconds in runs.items()
        }
        self.add_row(what, "seconds", results, **facts)

    def add_row(self, what: str, unit: str, results: Mapping[str, Mapping[str, Any]], **facts: Any) -> None:
        """Adds a row that is measured already; see `spread` for what a result is."""
        if facts.get("dtype") == "bfloat16" and emulates_bfloat16(self.options.device):
            what, facts["emulated"] = f"{what} (emulated)", True
        self.rows.append({"what": what, "unit": unit, "results": results, **facts})
        print(f"  {what}: " + ", ".join(f"{name} {cell(unit, result)}" for name, result in results.items()), flush=True)

    def peers(self, stage: str, *inputs: Any) -> dict[str, Column]:
        """The optional columns of `--peer`: each file's `column(stage, *inputs)`, where it gives one."""
        columns = {}
        for name, module in self.peer_modules.items():
            run = module.column(stage, *inputs)
            if run is not None:
                columns[name] = run
                self.packages += [package for package in packages_of(module) if package not in self.packages]
        return columns

    def finish(self) -> None:
        """Prints the table and, with `--json`, writes the file."""
        environment = environment_of(self.options, self.packages)
        report = {
            "benchmark": self.name,
            "question": self.question,
            "environment": environment,
            "options": {key: value for key, value in vars(self.options).items() if key != "json"},
            "rows": self.rows,
        }
        print(f"\n{self.question}\n{describe(environment)}\n\n{table(report)}\n")
        if self.options.json:
            self.options.json.parent.mkdir(parents=True, exist_ok=True)
            self.options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def timed(run: Column, device: str) -> tuple[Any, float, float]:
    """A column's result, its seconds, and the seconds that all processors together worked for it."""
    gc.collect()
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.cuda.synchronize(device)
    busy, start = time.process_time(), time.perf_counter()
    result = run()
    if on_cuda:
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start, time.process_time() - busy


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """A result: the median of some runs, their extremes, and the runs."""
    return {"median": median(runs), "lowest": min(runs), "highest": max(runs), "runs": list(runs)}


# Peers


def load_peers(names: Sequence[str]) -> dict[str, ModuleType]:
    """What `--peer` names: files of peers/ or others, by the names of their columns.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: A file's packages are not installed.
    """
    modules = {}
    own = {path.stem: path for path in sorted(PEERS.glob("*.py"))}
    for name in names:
        for path in own.values() if name == INSTALLED else [own.get(name, Path(name))]:
            if not path.is_file():
                known = ", ".join([*own, INSTALLED])
                raise FileNotFoundError(f"--peer must be one of {known}, or a Python file, got {name!r}.")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            missing = [package for package in packages_of(module) if version_of(package) is None]
            if not missing:
                modules[path.stem] = module
            elif name != INSTALLED:
                raise ModuleNotFoundError(f"--peer {name} needs the packages {', '.join(missing)}; install them.")
    return modules


def packages_of(peer: ModuleType) -> Sequence[str]:
    """The distributions that a peer's file says it needs, if it says so."""
    return getattr(peer, "PACKAGES", ())


# Agreement


def relative_error(limit: float) -> Callable[[torch.Tensor, torch.Tensor], dict[str, float]]:
    """Agreement of tensors: the norm of their difference over the norm of the first, at most `limit`."""

    def agreement(expected: torch.Tensor, result: torch.Tensor) -> dict[str, float]:
        if expected.shape != result.shape:
            raise DisagreementError(f"the shapes are {tuple(expected.shape)} and {tuple(result.shape)}")
        error = float((expected.double() - result.double()).norm() / expected.double().norm())
        if not error <= limit:
            raise DisagreementError(f"the relative error must be at most {limit}, got {error:.2g}")
        return {"relative error": error}

    return agreement


# Tables


def table(report: Mapping[str, Any]) -> str:
    """The rows of a benchmark as a Markdown table that can be read as it is."""
    names = list(dict.fromkeys(name for row in report["rows"] for name in row["results"]))
    others = [name for name in names if name != REFERENCE]
    lines = [["", *names, *("ratio" for _ in others[:1]), "agreement"]]
    for row in report["rows"]:
        results = row["results"]
        cells = [cell(row["unit"], results[name]) if name in results else "" for name in names]
        agreed = [f"{key} {value:.4g}" for name in others[:1] for key, value in results[name]["agreement"].items()]
        lines.append([row["what"], *cells, *(_ratio(results, name) for name in others[:1]), ", ".join(agreed)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def cell(unit: str, result: Mapping[str, Any]) -> str:
    """A median with its spread, or why there is none."""
    if "median" not in result:
        return result["not_run"]
    digits = {"seconds": _seconds, "bytes": _bytes}[unit]
    middle, lowest, highest = (digits(result[key]) for key in ("median", "lowest", "highest"))
    return middle if lowest == highest else f"{middle} ({lowest} to {highest})"


def _ratio(results: Mapping[str, Mapping[str, Any]], name: str) -> str:
    if any("median" not in results.get(column, {}) for column in (REFERENCE, name)):
        return ""
    return f"{results[REFERENCE]['median'] / results[name]['median']:.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _bytes(number: float) -> str:
    return f"{number / 2**30:.3g} GiB" if number >= 2**30 else f"{number / 2**20:.3g} MiB"


if __name__ == "__main__":
    sys.exit("This file is what the benchmarks share; run one of benchmarks/bench_*.py.")
