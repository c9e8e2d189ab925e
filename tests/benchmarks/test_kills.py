"""A raster, a volume and a folder, killed and called again: `benchmarks/kills.py` at its smallest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "size"), [("raster", 1500), ("volume", 10), ("folder", 60)])
def test_what_was_killed_ends_with_the_same_files(part, size, tmp_path):
    output = tmp_path / "rows.json"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "kills.py"), part, "--size", str(size), "--kills", "3"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    more = ["--points-per-side", "4", "--folder", str(tmp_path / "work"), "--output", str(output)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    [row] = json.loads(output.read_text())
    assert row["is_same"] and row["files_compared"] >= 1
    assert row["killed_after"]  # at least one kill met a run under way
