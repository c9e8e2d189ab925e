"""The command's own duties, with a generator that finds a bright rectangle; test_segment.py runs a real one."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import anymask
from anymask.cli import segment
from anymask.cli.main import app
from anymask.rle import coco_to_rle, mask_to_rle, rle_to_coco, rle_to_mask


class BrightPixels:
    """Stands for SamMaskGenerator: one record, the bright pixels of the photo."""

    def generate(self, pixels: np.ndarray) -> list[dict]:
        mask = pixels.min(axis=-1) > 128
        return [
            {
                "segmentation": rle_to_coco(mask_to_rle(mask)),
                "area": int(mask.sum()),
                "bbox": [4, 2, 10, 6],
                "predicted_iou": 0.9,
                "point_coords": [[9.0, 5.0]],
                "stability_score": 0.95,
                "crop_box": [0, 0, 30, 20],
            }
        ]


@pytest.fixture
def loaded(monkeypatch) -> list[tuple]:
    """Arguments with which a generator was loaded."""
    calls: list[tuple] = []
    monkeypatch.setattr(segment, "_load_generator", lambda *arguments: calls.append(arguments) or BrightPixels())
    return calls


@pytest.fixture
def photo(tmp_path):
    pixels = np.full((20, 30, 3), 40, dtype=np.uint8)
    pixels[2:8, 4:14] = 200
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, ["segment", *map(str, arguments)], catch_exceptions=False)


def test_writes_overlay_and_masks_and_names_them(loaded, photo, tmp_path):
    result = invoke(photo, "--output", tmp_path / "new" / "out")
    assert result.exit_code == 0
    assert str(tmp_path / "new/out/photo_overlay.png") in result.stdout
    assert str(tmp_path / "new/out/photo_masks.json") in result.stdout
    assert "1 masks in " in result.stdout
    with Image.open(tmp_path / "new/out/photo_overlay.png") as overlay:
        assert overlay.size == (30, 20)
    document = json.loads((tmp_path / "new/out/photo_masks.json").read_text())
    assert document["image"] == {"file_name": "photo.png", "height": 20, "width": 30}
    assert document["info"] == {"model": "sam-vit-nano", "anymask": anymask.__version__}
    (annotation,) = document["annotations"]
    assert annotation["id"] == 1
    assert set(annotation) == {
        *("id", "segmentation", "area", "bbox", "predicted_iou"),
        *("point_coords", "stability_score", "crop_box"),
    }
    assert isinstance(annotation["segmentation"]["counts"], str)
    mask = rle_to_mask(coco_to_rle(annotation["segmentation"]))
    assert mask[2:8, 4:14].all()
    assert mask.sum() == annotation["area"] == 60


def test_options_reach_the_generator(loaded, photo, tmp_path):
    options = ["--model", "facebook/sam-vit-base", "--points-per-side", "8", "--device", "cpu", "--dtype", "bfloat16"]
    assert invoke(photo, "--output", tmp_path, *options).exit_code == 0
    assert loaded == [("facebook/sam-vit-base", 8, "cpu", "bfloat16")]


def test_bad_photo_is_one_line_and_the_rest_is_done(loaded, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:60])
    missing = tmp_path / "missing.png"
    result = invoke(broken, missing, photo, "--output", tmp_path / "out")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("anymask: ") for line in lines)
    assert str(broken) in lines[0]
    assert str(missing) in lines[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo_masks.json", "photo_overlay.png"]


def test_json_reports_one_object_per_line(loaded, photo, tmp_path):
    missing = tmp_path / "missing.png"
    result = invoke(missing, photo, "--output", tmp_path, "--json")
    assert result.exit_code == 1
    failed, finished = map(json.loads, result.stdout.splitlines())
    assert failed["photo"] == str(missing)
    assert "missing.png" in failed["error"]
    assert finished["overlay"] == str(tmp_path / "photo_overlay.png")
    assert finished["masks"] == str(tmp_path / "photo_masks.json")
    assert finished["mask_count"] == 1


def test_folder_with_earlier_results_can_run_again(loaded, photo, tmp_path):
    assert invoke(tmp_path, "--output", tmp_path).exit_code == 0
    first = (tmp_path / "photo_masks.json").read_bytes()
    (tmp_path / "photo_masks.json").write_bytes(b"stale")
    assert invoke(tmp_path, "--output", tmp_path).exit_code == 0
    assert (tmp_path / "photo_masks.json").read_bytes() == first
    assert not (tmp_path / "photo_overlay_overlay.png").exists()


@pytest.mark.parametrize("second", ["other/photo.jpg", "photo_overlay.png"])
def test_results_never_overwrite_a_photo_or_each_other(loaded, photo, tmp_path, second):
    path = tmp_path / second
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(photo.read_bytes())
    before = path.read_bytes()
    result = invoke(photo, path, "--output", tmp_path)
    assert result.exit_code == 2
    assert "must have results of its own" in result.stderr
    assert "--output" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert path.read_bytes() == before
    assert not loaded


def test_output_that_cannot_be_made_is_one_line(loaded, photo, tmp_path):
    result = invoke(photo, "--output", photo / "below-a-file")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert not loaded


def test_empty_folder_is_one_line(loaded, tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 2
    assert "must hold photos" in result.stderr


def test_version_and_help():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"anymask {anymask.__version__}\n"
    assert "segment" in CliRunner().invoke(app, ["-h"]).stdout


def test_interrupt_leaves_no_half_results(monkeypatch, loaded, photo, tmp_path):
    def interrupted(self, pixels):
        raise KeyboardInterrupt

    monkeypatch.setattr(BrightPixels, "generate", interrupted)
    assert invoke(photo, "--output", tmp_path / "out").exit_code == 130  # what shells expect after Ctrl-C
    assert not list((tmp_path / "out").iterdir())
