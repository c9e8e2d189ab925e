"""`anymask evaluate` with the packaged checkpoint on a drawn scene."""

import json

import pytest
from typer.testing import CliRunner

from anymask.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_report_of_boxes(tmp_path):
    result = run("boxes", "synthetic:1", "--output", tmp_path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# boxes: sam-vit-nano on 1 held-out scenes")
    assert result.stdout.strip().endswith("report.md")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["groups"]["box"]["iou_answer"]["mean"] > 0.5
    assert document["settings"]["implementation"] == "anymask"
    again = run("boxes", "synthetic:1", "--output", tmp_path, "--device", "cpu", "--json")
    assert json.loads(again.stdout) == document


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["boxes", "nothing-here"], "nothing-here must be a folder or a file of data"),
        (["boxes", "synthetic:1", "--protocol", "papers"], "did you mean 'paper'"),
        (["boxes", "synthetic:1", "--implementation", "meta"], "there are anymask, transformers"),
        (["lines", "synthetic:1"], "'lines' is not one of 'points'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, message):
    result = run(*arguments, "--output", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_detections_need_coco(tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    result = run("instances", "synthetic:1", "--detections", tmp_path / "boxes.json", "--output", tmp_path / "out")
    assert result.exit_code == 2 and "must come with data in COCO JSON" in " ".join(result.stderr.split())
