"""Where a benchmark ran: hardware, what it can do, versions, commit."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("anymask", "transformers", "torch", "numpy", "pillow")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def environment_of(options: argparse.Namespace, packages: Iterable[str] = ()) -> dict[str, Any]:
    """Hardware, versions and threads of this run, and the commit it measured.

    Args:
        options: of the script.
        packages: distributions that took part besides those that always do.
    """
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "accelerator": torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in (*PACKAGES, *packages)},
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def emulates_bfloat16(device: str) -> bool:
    """Whether PyTorch has to do without instructions for bfloat16 there: many times slower than float32.

    Of processors that do not tell what they can do, nothing is claimed.
    """
    if device.startswith("cuda"):
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return device == "cpu" and flags is not None and not BFLOAT16_FLAGS & set(flags.split())


def describe(environment: Mapping[str, Any]) -> str:
    """One line on where a benchmark ran."""
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items() if number)
    where = environment["accelerator"] or f"{environment['processor']} ({environment['instructions']})"
    return (
        f"{where}, {environment['cores']} cores, {environment['threads']} threads; Python {environment['python']}, "
        f"{versions}; commit {environment['commit']}; {environment['date']}"
    )


def finish(report: Mapping[str, Any], file: Path | None) -> None:
    """Print where a benchmark ran, and write its report where a file is asked for."""
    print(describe(report["environment"]))
    if file:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def machine_of(environment: Mapping[str, Any]) -> str:
    """The machine and what was compared there, without the moment."""
    where = environment["accelerator"] or f"{environment['processor']} ({environment['instructions']})"
    versions = ", ".join(f"{name} {environment['versions'][name]}" for name in ("transformers", "torch"))
    return f"{where}, {environment['cores']} cores, {environment['threads']} threads; {versions}"


def version_of(package: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpuinfo(key: str) -> str | None:
    """The first processor's entry of that name, as Linux tells it: "flags" on x86, "Features" on Arm."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return None


def _commit() -> str | None:
    """The checkout's commit, with "-dirty" if the package differs from it; None outside of a checkout."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if status.stdout.strip() else "")
