"""What options become, and how commands end; their work is tested in the files beside this one."""

import json

import pytest
from typer.testing import CliRunner

import anymask
from anymask.cli import segment
from anymask.cli.batch import Report
from anymask.cli.commands import embed
from anymask.cli.main import app


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Arguments with which the work was called; the first photo is done, the others fail."""
    seen = []

    def work(photos, folder, *arguments, **options):
        seen.append((photos, folder, *arguments, options))
        for number, photo in enumerate(photos):
            if number:
                yield Report(photo, "failed", {}, {}, error=ValueError("no image"))
            else:
                yield Report(photo, "done", {"sa1b": folder / "x.json"}, {"mask_count": 1, "shape": [4, 3, 2]}, 0.04)

    monkeypatch.setattr(segment, "segment_photos", work)
    monkeypatch.setattr(embed, "embed_photos", work)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    return seen


def test_defaults(calls, tmp_path):
    result = invoke("segment", tmp_path / "a.jpg", "-o", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/a.jpg: 1 mask in 0.0 s\n  {tmp_path}/x.json\n"
    [[photos, folder, formats, options]] = calls
    assert [photo.source for photo in photos] == [str(tmp_path / "a.jpg")]
    assert folder == tmp_path
    assert formats == ["overlay", "sa1b"]
    assert options == {
        **dict(model="sam-vit-nano", device="auto", dtype="float32", prompts=[], options={}, look={}, resume=False),
        **dict(images={}, coco_file=None, tiles_above=80, crs=None),
    }


def test_options_of_pictures(calls, tmp_path):
    given = ["--labels", "--draw-boxes", "--alpha", 0.25, "--colors", "red,#102030", "--jpeg", "--every-pixel"]
    more = ["--priority", "score", "--font", tmp_path / "x.ttf"]
    assert invoke("segment", tmp_path / "a.jpg", *given, *more).exit_code == 0
    assert calls[0][-1]["look"] == {
        **dict(labels=True, draw_boxes=True, alpha=0.25, colors="red,#102030", jpeg=True, every_pixel=True),
        **dict(priority="score", font=tmp_path / "x.ttf"),
    }
    assert invoke("segment", tmp_path / "a.jpg", "--alpha", 2).exit_code == 2
    assert invoke("segment", tmp_path / "a.jpg", "--priority", "best").exit_code == 2


def test_options_of_everything(calls, tmp_path):
    names = {
        **dict(points_per_side=8, points_per_batch=16, pred_iou_thresh=0.8, stability_score_thresh=0.9),
        **dict(stability_score_offset=0.5, mask_threshold=0.25, box_nms_thresh=0.6, crop_n_layers=1),
        **dict(mask_nms_thresh=0.5, mask_nms_measure="smaller"),
        **dict(crop_nms_thresh=0.65, crop_overlap_ratio=0.3, crop_n_points_downscale_factor=2),
        **dict(min_mask_region_area=10, max_hole_area=11, max_sprinkle_area=12),
        **dict(hole_share=0.1, island_share=0.2),
    }
    given = [text for name, value in names.items() for text in (f"--{name.replace('_', '-')}", value)]
    assert invoke("segment", tmp_path / "a.jpg", *given, "--model", "x", "--dtype", "bfloat16").exit_code == 0
    assert calls[0][-1]["options"] == names
    assert calls[0][-1]["dtype"] == "bfloat16"
    of_people = {"point_grids", "points", "output_mode", "progress"}  # not for a command line
    assert set(names) | of_people == set(anymask.MaskGenerationOptions.__dataclass_fields__)


def test_prompts_and_formats(calls, tmp_path):
    prompts = ["--point", "1,2", "-b", "3,4,5,6", "-p", "7,8 9,9,0"]
    assert invoke("segment", tmp_path / "a.jpg", *prompts, "-f", "yolo,overlay", "--resume").exit_code == 0
    [[_, _, formats, options]] = calls
    assert formats == ["overlay", "yolo"]
    assert [prompt.box_xyxy for prompt in options["prompts"]] == [None, None, (3, 4, 5, 6)]
    assert options["resume"]


def test_values_and_one_file_for_all(calls, tmp_path):
    path, output = tmp_path / "a.jpg", tmp_path / "all.json"
    for arguments, images in [
        (["--value-range", "0,3000"], {"value_range": (0, 3000)}),
        (["--value-range", "min_max"], {"value_range": "min_max"}),
        (["--window", "40,400"], {"window": (40, 400)}),
    ]:
        assert invoke("segment", path, *arguments, "--coco-file", output).exit_code == 0
        assert (calls[-1][-1]["images"], calls[-1][-1]["coco_file"]) == (images, output)


def test_a_failure_is_exit_code_1(calls, tmp_path):
    result = invoke("segment", tmp_path / "a.jpg", tmp_path / "b.jpg", "--json")
    assert result.exit_code == 1
    done, failed = map(json.loads, result.stdout.splitlines())
    assert (done["mask_count"], done["outputs"], done["seconds"]) == (1, {"sa1b": "x.json"}, 0.04)
    assert failed == {"photo": str(tmp_path / "b.jpg"), "status": "failed", "error": "no image"}


def test_embed(calls, tmp_path):
    result = invoke("embed", tmp_path / "a.jpg", "--half", "-o", tmp_path)
    assert result.exit_code == 0
    assert "a.jpg: embedding of 4 x 3 x 2 in 0.0 s" in result.stdout
    assert calls[0][2] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "none.jpg"], "a photo must exist, but there is none at 'none.jpg'"),
        (["segment", "{folder}"], "must hold images"),
        (["segment", "{folder}/a", "--point", "5"], "--point must be X,Y in pixels"),
        (["segment", "{folder}/a", "--box", "1,2,3"], "--box must be X0,Y0,X1,Y1"),
        (["segment", "{folder}/a", "--value-range", "5"], "--value-range must be BLACK,WHITE"),
        (["segment", "{folder}/a", "--window", "40,0"], "--window must be LEVEL,WIDTH"),
        (["segment", "{folder}/a", "--window", "1,2", "--value-range", "1,2"], "must not come together"),
        (["segment", "{folder}/a", "--resume", "--coco-file", "x.json"], "--coco-file must come without --resume"),
        (["segment", "{folder}/a", "--format", "jpg"], "--format must be of overlay"),
        (["segment", "{folder}/a", "--output", "{folder}/a"], "--output must be a folder, but"),
        (["segment", "{folder}/a", "--output", "/proc/x"], "--output must be a folder that can be written to"),
        (["embed", "{folder}/a", "--output", "{folder}/a/b"], "--output must be a folder that can be written to"),
        (["segment", "{folder}/a", "--pont", "5,5"], "No such option: --pont"),
        (["segment", "{folder}/a", "--points-per-side", "x"], "Invalid value for '--points-per-side': "),
        (["segment", "{folder}/a", "--points-per-side", "0"], "Invalid value for '--points-per-side': "),
        (["segmant"], "No such command 'segmant'. Did you mean 'segment'?; see "),
        (["convert", "in"], "Missing argument 'OUT'"),
        (["convert", "{folder}/none.pth", "{folder}/out"], "there is none"),
    ],
)
def test_what_cannot_start_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    (tmp_path / "a").touch()
    result = invoke(*(argument.format(folder=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("anymask: ")
    assert message in line
    assert result.stdout == ""


def test_errors_for_machines(tmp_path):
    for command in (
        ["segment", "none.jpg"],
        ["embed", "none.jpg"],
        ["convert", "none.pth", tmp_path / "out"],
        ["info", "x.pth"],
    ):
        result = invoke(*command, "--json")
        assert result.exit_code == 2
        assert list(json.loads(result.stdout)) == ["error"]


def test_interrupts_end_as_shells_expect(calls, monkeypatch, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment, "segment_photos", interrupted)
    assert invoke("segment", tmp_path / "a.jpg").exit_code == 130


def test_version_and_help():
    assert invoke("--version").stdout == f"anymask {anymask.__version__}\n"
    assert "segment" in invoke("-h").stdout
    for command in ("segment", "embed", "convert", "info"):
        assert "--json" in invoke(command, "--help").stdout
    for command in ("segment", "embed", "convert"):
        assert "Usage" in invoke(command).stdout
