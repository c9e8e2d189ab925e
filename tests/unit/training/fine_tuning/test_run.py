"""From a folder of images to a better checkpoint: what is written, what is refused, and runs that are stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SAM, SamModel, SamProcessor
from anymask.data import BrokenSampleError
from anymask.training import FineTuneOptions, fine_tune

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model().save_pretrained(folder)
    processor = SamProcessor(tiny_image_processor())
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images with bright rectangles, of which the masks are label maps."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir(), (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        image = rng.integers(0, 60, (40, 60, 3)).astype(np.uint8)
        label_map = np.zeros((40, 60), np.uint8)
        for number in range(1, 2 + index % 2):
            x0, y0 = rng.integers(2, 25) + 25 * (number - 1), rng.integers(2, 20)
            label_map[y0 : y0 + 15, x0 : x0 + 9] = number
        image[label_map > 0] += 150
        Image.fromarray(image).save(folder / "images" / f"{index}.png")
        Image.fromarray(label_map).save(folder / "masks" / f"{index}.png")
    return folder


def options(data, checkpoint, output, **more):
    settings = dict(epochs=2, batch_size=2, validation=0.34, device="cpu", learning_rate=1e-3)
    return FineTuneOptions(data=str(data), output=str(output), model=str(checkpoint), **{**settings, **more})


def test_what_a_run_leaves(tmp_path, data, checkpoint):
    lines = []
    result = fine_tune(options(data, checkpoint, tmp_path / "out"), say=lines.append)
    out = tmp_path / "out"
    assert lines[0].startswith(f"{data}: 6 images, 9 masks") and "4 images to learn from, 2 held out" in lines
    assert any(line.startswith("epoch 2 of 2: loss") for line in lines)
    report = json.loads((out / "report.json").read_text())
    assert report["after"]["box_dice"] == result.after.box_dice and report["before"]["objects"] == result.before.objects
    assert "| Dice, one click |" in (out / "report.md").read_text()
    masks = [json.loads(line) for line in (out / "held_out.jsonl").read_text().splitlines()]
    assert [line["sample"] for line in masks] == list(report["after"]["samples"])
    for side, prompt in (("before", "box"), ("before", "click"), ("after", "box"), ("after", "click")):
        pairs = [pair for line in masks for pair in zip(line[side][prompt], line["truth"], strict=True)]
        ious = [coco_mask.iou([mask], [truth], [0])[0, 0] for mask, truth in pairs]
        assert len(ious) == report[side]["objects"]
        assert report[side][f"{prompt}_iou"] == pytest.approx(np.mean(ious))
        assert report[side][f"{prompt}_dice"] == pytest.approx(np.mean([2 * iou / (1 + iou) for iou in ious]))
    assert "| Dice, one click |" in (result.model_folder / "README.md").read_text()
    assert len(list((out / "overlays").iterdir())) == 2 and (out / "curves.png").exists()
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "eval_dice" in entry] == [2, 4]
    assert FineTuneOptions.read(out / "config.json") == options(data, checkpoint, out)
    before, after = tiny_model().state_dict(), SamModel.from_pretrained(result.model_folder).state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"mask_decoder"} and result.stopped_by is None
    assert SAM(str(result.model_folder)).val(data).objects == 9
    with pytest.raises(FileExistsError, match="must not hold another run"):
        fine_tune(options(data, checkpoint, out), say=lines.append)


def test_a_run_that_learned_nothing_is_no_hindrance(tmp_path, data, checkpoint):
    """It failed after its configuration was written."""
    out = tmp_path / "out"
    with pytest.raises(OSError, match="no-such-model"):
        fine_tune(options(data, tmp_path / "no-such-model", out), say=lambda _: None)
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert fine_tune(options(data, checkpoint, out, epochs=1), say=lambda _: None).stopped_by is None


def weights_of(folder):
    return SamModel.from_pretrained(folder / "model").state_dict()


def assert_same(actual, expected):
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def interrupt(line):
    """Press Ctrl-C after the first epoch."""
    if line.startswith("epoch 1"):
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_run_that_goes_on_as_if_nothing_had_been(tmp_path, data, checkpoint):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    fine_tune(options(data, checkpoint, straight, epochs=3), say=lambda _: None)
    handler = signal.getsignal(signal.SIGINT)
    assert fine_tune(options(data, checkpoint, stopped, epochs=3), say=interrupt).stopped_by == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) == handler
    fine_tune(options(data, checkpoint, stopped, epochs=3), resume=True, say=lambda _: None)
    assert_same(weights_of(stopped), weights_of(straight))
    steps = [json.loads(line)["step"] for line in (stopped / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


@pytest.mark.parametrize("state", [None, "", '{"global_step": '])
def test_a_checkpoint_that_was_not_written_whole_is_passed_over(tmp_path, data, checkpoint, state):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    fine_tune(options(data, checkpoint, straight, epochs=2), say=lambda _: None)
    fine_tune(options(data, checkpoint, stopped, epochs=2), say=interrupt)
    newest = stopped / "checkpoints" / "checkpoint-999"
    newest.mkdir()
    if state is not None:
        (newest / "trainer_state.json").write_text(state)
    fine_tune(options(data, checkpoint, stopped, epochs=2), resume=True, say=lambda _: None)
    assert_same(weights_of(stopped), weights_of(straight))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_run_that_was_ended_goes_on_from_the_command_line(tmp_path, data, checkpoint, number, code):
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from anymask.cli.main import app; app()", "train"]
    settings = ["--model", str(checkpoint), "--device", "cpu", "--validation", "0.34", "--batch-size", "2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    start = [*command, str(data), "-o", str(out), *settings, "--epochs", "500", "--patience", "500"]
    process = subprocess.Popen(start, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 240
        while len(list(out.glob("checkpoints/*/trainer_state.json"))) < 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(number)
        process.communicate(timeout=240)
    assert process.returncode == code
    reached = max(int(path.name.rpartition("-")[2]) for path in out.glob("checkpoints/checkpoint-*"))
    go_on = [*command, "-o", str(out), "--resume", "--epochs", str(reached // 2 + 2), "--json"]
    finished = subprocess.run(go_on, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["after"]["objects"] > 0 and (out / "report.md").exists()
    assert SamModel.from_pretrained(out / "model").config.model_type == "sam"


@pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning")
@pytest.mark.parametrize("learn", ["all", "lora_both"])
def test_other_parts_learn_too_and_images_change_where_asked(tmp_path, data, checkpoint, learn):
    made = options(data, checkpoint, tmp_path / "out", learn=learn, augment=True, recipe="box", epochs=1)
    result = fine_tune(made, say=lambda _: None)
    before, after = tiny_model().state_dict(), SamModel.from_pretrained(result.model_folder).state_dict()
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} >= {"vision_encoder"}
    assert (tmp_path / "out" / "adapter").exists() == (learn == "lora_both")
    assert not (tmp_path / "out" / "embeddings").exists()


def test_sam_trains_in_place(tmp_path, data, checkpoint):
    sam = SAM(str(checkpoint))
    before = {name: tensor.clone() for name, tensor in sam.model.state_dict().items()}
    result = sam.train(data, tmp_path / "out", epochs=1, batch_size=2, learning_rate=1e-3)
    assert any(not torch.equal(before[name], tensor) for name, tensor in sam.model.state_dict().items())
    assert_same(sam.model.state_dict(), weights_of(tmp_path / "out"))
    assert len(sam.predict(np.zeros((40, 60, 3), np.uint8), boxes=[3, 4, 30, 20])[0]) == 1
    assert result.model_folder == tmp_path / "out" / "model"
    with pytest.raises(TypeError, match="did you mean 'epochs'"):
        sam.train(data, tmp_path / "other", epoch=1)


def test_broken_samples_are_named_and_left_out_where_asked(tmp_path, data, checkpoint):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    (broken / "images" / "3.png").write_bytes(b"nothing")
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(broken / "masks" / "1.png")
    with pytest.raises(BrokenSampleError, match=r"3\.png.*skip_broken=True"):
        fine_tune(options(broken, checkpoint, tmp_path / "out"), say=lambda _: None)
    lines = []
    fine_tune(options(broken, checkpoint, tmp_path / "out", skip_broken=True, epochs=1), say=lines.append)
    assert any("2 images without a usable object are left out" in line for line in lines)


def test_a_reporter_that_is_not_installed_is_refused_at_once(tmp_path):
    asked = FineTuneOptions(data="nothing", output=str(tmp_path / "out"), report_to="tensorbord")
    with pytest.raises(ValueError, match=r"what is installed of Trainer's reporters .*got 'tensorbord'; pip install"):
        fine_tune(asked, say=lambda _: None)
