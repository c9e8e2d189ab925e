"""The command in processes of its own, with the packaged checkpoint, on a real photo."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image

from anymask.cli.main import app
from anymask.rle import rle_area, rle_to_box_xyxy

COFFEE = Path(__file__).parents[3] / "examples" / "coffee.jpg"


def anymask(*arguments) -> subprocess.CompletedProcess:
    program = "from anymask.cli.main import app; app(prog_name='anymask')"
    command = [sys.executable, "-W", "error", "-c", program, "segment", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_objects_of_a_photo(tmp_path):
    finished = anymask(COFFEE, "--output", tmp_path, "--points-per-side", 12, "--device", "cpu", "--json")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    report = json.loads(finished.stdout)
    document = json.loads(Path(report["masks"]).read_text())
    annotations = document["annotations"]
    assert report["mask_count"] == len(annotations) > 0
    assert [annotation["id"] for annotation in annotations] == list(range(1, len(annotations) + 1))
    for annotation in annotations:
        assert annotation["segmentation"]["size"] == [400, 600]
        assert annotation["area"] == rle_area(annotation["segmentation"]) > 0
        x0, y0, x1, y1 = rle_to_box_xyxy(annotation["segmentation"])
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    with Image.open(report["overlay"]) as overlay, Image.open(COFFEE) as photo:
        assert overlay.size == photo.size
        assert overlay.tobytes() != photo.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "toaster"], "--device must be one that torch can use here, got 'toaster'"),
        (["--model", "no-such-model"], "--model must be sam-vit-nano, a folder, a file of weights or a hub id"),
    ],
)
def test_what_cannot_start_is_one_line_and_exit_code_2(tmp_path, options, message):
    finished = anymask(COFFEE, "--output", tmp_path, *options)
    assert finished.returncode == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("anymask: ")
    assert message in line


def test_console_script_is_the_app():
    (script,) = entry_points(group="console_scripts", name="anymask")
    assert script.load() is app
