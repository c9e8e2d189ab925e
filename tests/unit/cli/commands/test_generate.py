import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anymask.cli.main import app

FEW = ["--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(np.full((40, 50 + number, 3), 60 * number, np.uint8)).save(folder / f"p{number}.png")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def test_shards_and_a_manifest(photos, tmp_path):
    done = run(photos, "-o", tmp_path / "out", "--shards", 2, "-w", 1, "-f", "coco", *FEW)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'out'}: " in done.stdout and "masks of 2 images in 2 shards" in done.stdout
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["settings"]["options"] == {
        "points_per_side": 2,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
    }


def test_a_bad_image_is_a_row_and_exit_code_1(photos, tmp_path):
    (photos / "bad.jpg").write_bytes(b"")
    done = run(photos, "-o", tmp_path / "out", "--json", *FEW)
    report = json.loads(done.stdout)
    assert (done.exit_code, report["images"], report["errors"]) == (1, 3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "sa2b"], "did you mean 'sa1b'"),
        (["--format", "csv"], "must be one of sa1b, coco, parquet"),
        (["--shards", "9"], "from 1 to the number of images, 2, got 9"),
    ],
)
def test_what_cannot_be(photos, tmp_path, arguments, message):
    done = run(photos, "-o", tmp_path / "out", "--json", *arguments)
    assert done.exit_code == 2 and message in json.loads(done.stdout)["error"]
