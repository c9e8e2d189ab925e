"""The work of `anymask segment` with a model that finds bright pixels, and the command itself with the packaged one."""

import errno
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anymask
from anymask.__main__ import main
from anymask.cli import segment
from anymask.cli.files import find_photos
from anymask.cli.main import app
from anymask.cli.options import Priority
from anymask.cli.outputs import ENDINGS
from anymask.mask_generation.options import MaskGenerationOptions
from anymask.masks.rle import coco_to_rle, mask_to_rle, rle_area, rle_to_box_xyxy, rle_to_mask
from anymask.prompts.prompt import Prompt
from anymask.results.results import Results

COFFEE = Path(__file__).parents[3] / "examples" / "coffee.jpg"


class BrightPixels:
    """Stands for SAM: one record, the bright pixels of the photo."""

    def __init__(self):
        self.calls = []

    def predict(self, image, **arguments):
        if image == []:
            MaskGenerationOptions.from_kwargs(**arguments)
            return []
        self.calls.append(arguments)
        mask = np.asarray(image.load()).min(axis=-1) > 128
        record = {"segmentation": mask_to_rle(mask), "predicted_iou": 0.9}
        return [Results([record], mask.shape, image=image.load(), name=image.name)]


@pytest.fixture
def sam(monkeypatch):
    stand_in = BrightPixels()
    monkeypatch.setattr(segment, "load_sam", lambda *arguments: stand_in)
    return stand_in


@pytest.fixture
def photo(tmp_path):
    pixels = np.full((20, 30, 3), 40, dtype=np.uint8)
    pixels[2:8, 4:14] = 200
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def reports(photos, folder, formats=("overlay", "sa1b"), prompts=None, options=None, look=None, resume=False):
    found = find_photos(map(str, photos))
    model = dict(model="sam-vit-nano", device="cpu", dtype="float32")
    work = segment.segment_photos(
        found, folder, formats, **model, prompts=prompts or [], options=options or {}, look=look or {}, resume=resume
    )
    return list(work)


def test_results_are_written_and_reported(sam, photo, tmp_path):
    [report] = reports([photo], tmp_path / "new" / "out")
    assert report.facts == {"mask_count": 1}
    assert list(report.outputs) == ["overlay", "sa1b"]
    with Image.open(tmp_path / "new/out/photo_overlay.png") as overlay:
        assert overlay.size == (30, 20)
    document = json.loads((tmp_path / "new/out/photo_masks.json").read_text())
    assert document["image"] == {"file_name": "photo.png", "height": 20, "width": 30}
    assert document["info"] == {"model": "sam-vit-nano", "anymask": anymask.__version__}
    [annotation] = document["annotations"]
    assert isinstance(annotation["segmentation"]["counts"], str)
    mask = rle_to_mask(coco_to_rle(annotation["segmentation"]))
    assert mask[2:8, 4:14].all()
    assert mask.sum() == annotation["area"] == 60
    assert annotation["predicted_iou"] == 0.9


def test_every_format_is_written(sam, photo, tmp_path):
    [report] = reports([photo], tmp_path / "out", formats=ENDINGS)
    assert report.status == "done"
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    names = ["photo_overlay.png", "photo_masks.json", "photo_coco.json", "photo.txt", "photo.json"]
    names += ["photo_coco_results.json", "photo_amg.json"]
    assert written == {*names, "photo_label_map.png", "photo_cutouts/photo_0001.png"}
    assert list(report.outputs.values()) == [tmp_path / "out" / f"photo{ending}" for ending in ENDINGS.values()]
    for name, path in report.outputs.items():
        if name not in ("overlay", "cutouts", "yolo"):
            assert Results.load(path, format=name).masks.sum() == 60
    assert json.loads((tmp_path / "out/photo.json").read_text())["imagePath"] == "../photo.png"
    with Image.open(tmp_path / "out/photo_cutouts/photo_0001.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (10, 6))


def test_how_pictures_and_label_maps_look(sam, photo, tmp_path):
    look = {"jpeg": True, "alpha": 1.0, "colors": "#102030", "labels": False, "every_pixel": True}
    look["priority"] = Priority.large_first
    [report] = reports([photo], tmp_path / "out", formats=["overlay", "label_map"], look=look)
    assert report.status == "done"
    assert report.outputs["overlay"].name == "photo_overlay.jpg"
    with Image.open(report.outputs["overlay"]) as overlay:
        assert overlay.format == "JPEG"
        assert abs(np.asarray(overlay)[5, 9].astype(int) - (0x10, 0x20, 0x30)).max() < 40
    assert (np.asarray(Image.open(report.outputs["label_map"])) == 1).all()
    for wrong, error, message in (
        ({"colors": "nocolour"}, ValueError, "got 'nocolour'"),
        ({"font": photo}, OSError, "`font` must be a TrueType"),
        ({"priority": Priority.score}, TypeError, "--priority must come with --format label_map"),
    ):
        with pytest.raises(error, match=message):
            reports([photo], tmp_path / "out", look=wrong)


def test_options_reach_the_model_and_its_own_bar_gives_way_to_that_over_photos(sam, photo, tmp_path):
    reports([photo], tmp_path, options={"points_per_side": 4})
    assert sam.calls == [{"points_per_side": 4, "progress": None}]
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    reports([photo, second], tmp_path)
    assert sam.calls[1:] == [{"progress": False}] * 2


def test_prompts_reach_the_model_alone(sam, photo, tmp_path):
    prompts = [Prompt(((5, 6),), (1,))]
    reports([photo], tmp_path, prompts=prompts)
    assert sam.calls == [{"prompts": prompts}]
    with pytest.raises(TypeError, match="--points-per-side, --crop-n-layers must come without --point and --box: "):
        reports([photo], tmp_path, prompts=prompts, options={"points_per_side": 4, "crop_n_layers": 1})


def test_wrong_options_are_told_before_the_first_photo(sam, photo, tmp_path):
    with pytest.raises(ValueError, match=r"`box_nms_thresh` must be a number in \[0, 1\], got 2"):
        reports([photo], tmp_path, options={"box_nms_thresh": 2.0})
    assert not sam.calls


def test_bad_photos_are_reported_and_the_rest_is_done(sam, photo, tmp_path):
    broken, circle = tmp_path / "broken.png", tmp_path / "circle.png"
    broken.write_bytes(photo.read_bytes()[:60])
    circle.symlink_to(circle)
    found = reports([broken, tmp_path / "missing.png", circle, photo], tmp_path / "out")
    assert [report.status for report in found] == ["failed"] * 3 + ["done"]
    for report, reason in zip(found, ["must be a complete image file", "does not exist", "is a link"], strict=False):
        assert reason in str(report.error)
        assert report.photo.source in str(report.error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo_masks.json", "photo_overlay.png"]


def test_a_folder_with_earlier_results_can_run_again(sam, photo, tmp_path):
    reports([tmp_path / "photo.png"], tmp_path)
    first = (tmp_path / "photo_masks.json").read_bytes()
    (tmp_path / "photo_masks.json").write_bytes(b"stale")
    reports([photo], tmp_path)
    assert (tmp_path / "photo_masks.json").read_bytes() == first


def test_cutouts_of_an_earlier_run_leave_no_strays(sam, photo, tmp_path):
    for name in ("photo_0001.png", "photo_0007.png", "notes.txt"):
        (tmp_path / "out" / "photo_cutouts").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "photo_cutouts" / name).write_text("old")
    reports([photo], tmp_path / "out", formats=("cutouts",))
    assert sorted(path.name for path in (tmp_path / "out" / "photo_cutouts").iterdir()) == [
        "notes.txt",
        "photo_0001.png",
    ]
    with Image.open(tmp_path / "out/photo_cutouts/photo_0001.png") as cutout:
        assert cutout.size == (10, 6)


def test_one_coco_file_for_all_photos(sam, photo, tmp_path):
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    found = find_photos([str(photo), str(second)])
    model = dict(model="sam-vit-nano", device="cpu", dtype="float32")
    work = segment.segment_photos(
        found,
        tmp_path,
        ["sa1b"],
        **model,
        prompts=[],
        options={},
        look={},
        resume=False,
        coco_file=tmp_path / "all.json",
    )
    assert [report.status for report in work] == ["done", "done"]
    document = json.loads((tmp_path / "all.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["photo.png", "second.png"]
    assert [annotation["area"] for annotation in document["annotations"]] == [60, 60]
    assert len({annotation["id"] for annotation in document["annotations"]}) == 2


def test_a_full_disk_ends_the_run(sam, photo, tmp_path):
    (tmp_path / "out").mkdir()

    class Full(BrightPixels):
        def predict(self, image, **arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

    sam.predict = Full().predict
    with pytest.raises(OSError, match="No space left"):
        reports([photo, photo], tmp_path / "out")


def test_resuming_does_what_is_not_finished(sam, photo, tmp_path):
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    reports([photo], tmp_path / "out")
    assert [report.status for report in reports([photo, second], tmp_path / "out", resume=True)] == ["skipped", "done"]
    (tmp_path / "out" / "photo_masks.json").unlink()  # written last, so a killed run has none
    assert [report.status for report in reports([photo, second], tmp_path / "out", resume=True)] == ["done", "skipped"]


@pytest.mark.parametrize("second", ["other/photo.png", "photo_overlay.png"])
def test_results_never_overwrite_a_photo_or_each_other(sam, photo, tmp_path, second):
    path = tmp_path / second
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(photo.read_bytes())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"must have results of its own, but those of .* into different folders"):
        reports([photo, path], tmp_path)
    assert path.read_bytes() == before
    assert not sam.calls


def test_an_interrupt_leaves_no_half_results(sam, photo, tmp_path, monkeypatch):
    def interrupted(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Results, "plot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reports([photo], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


# The command in processes of its own, with the packaged checkpoint, on a real photo


def run_anymask(*arguments) -> subprocess.CompletedProcess:
    program = "from anymask.cli.main import app; app(prog_name='anymask')"
    command = [sys.executable, "-W", "error", "-c", program, "segment", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_objects_of_a_photo(tmp_path):
    finished = run_anymask(COFFEE, "--output", tmp_path, "--points-per-side", 8, "--device", "cpu", "--json")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    report = json.loads(finished.stdout)
    annotations = json.loads(Path(report["outputs"]["sa1b"]).read_text())["annotations"]
    assert report["mask_count"] == len(annotations) > 0
    assert [annotation["id"] for annotation in annotations] == list(range(1, len(annotations) + 1))
    for annotation in annotations:
        assert annotation["segmentation"]["size"] == [400, 600]
        assert annotation["area"] == rle_area(annotation["segmentation"]) > 0
        x0, y0, x1, y1 = rle_to_box_xyxy(annotation["segmentation"])
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    with Image.open(report["outputs"]["overlay"]) as overlay, Image.open(COFFEE) as photo:
        assert overlay.size == photo.size
        assert overlay.tobytes() != photo.tobytes()


def test_objects_that_prompts_show_are_those_of_sam_predict(tmp_path):
    prompts = ["--point", "300,200 320,180 20,20,0", "--box", "80,20,480,390", "--point", "100,60"]
    finished = run_anymask(COFFEE, "--output", tmp_path, "--device", "cpu", *prompts)
    assert finished.returncode == 0, finished.stderr
    annotations = json.loads((tmp_path / "coffee_masks.json").read_text())["annotations"]
    [expected] = anymask.SAM(device="cpu", dtype="float32").predict(
        COFFEE,
        points=[[[300, 200], [320, 180], [20, 20]], [[100, 60]], None],
        labels=[[1, 1, 0], [1], None],
        boxes=[None, None, [80, 20, 480, 390]],
    )
    assert [annotation["area"] for annotation in annotations] == [record["area"] for record in expected]


def test_prompts_outside_of_a_photo_are_its_failure(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["segment", str(COFFEE), "--output", str(tmp_path), "--device", "cpu", "--point", "700,20"])
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "coffee.jpg: Points of prompt 0 must lie in the image, x in [0, 600]" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "toaster"], "`device` must be 'auto', 'cpu' or another that torch can use here, got 'toaster'"),
        (
            ["--model", "no-such-model"],
            "'no-such-model' must be a folder or file, or the id of a checkpoint on the hub",
        ),
    ],
)
def test_what_cannot_start_is_one_line_and_exit_code_2(tmp_path, options, message, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["segment", str(COFFEE), "--output", str(tmp_path), *options])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("anymask: ")
    assert message in line


def test_console_script_is_the_program():
    (script,) = entry_points(group="console_scripts", name="anymask")
    assert script.load() is main
