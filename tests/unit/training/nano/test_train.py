"""The recipe on a tiny model: resuming repeats the run bit by bit, the log is JSON lines, the export loads."""

import json

import pytest
import torch
from tests.tiny_sam import tiny_config

from anymask.modeling_sam import SamModel
from anymask.training import PromptedSamModel
from anymask.training.nano import train as nano
from anymask.training.nano.model import nano_config
from anymask.training.nano.options import TrainingOptions, parse_arguments
from anymask.training.nano.schedule import Amount
from anymask.training.nano.train import EXPORT, train
from anymask.training.trainer import last_checkpoint

SIZE = 64


def tiny_model(seed=0):
    torch.manual_seed(seed)
    return SamModel(tiny_config(vision=dict(image_size=SIZE), prompt=dict(image_size=SIZE)))


def options(**changes):
    values = {
        "stages": (f"{SIZE}:4",),
        "decay": "2",
        "warmup_steps": 2,
        "batch_size": 2,
        "num_prompts": 3,
        "log_every": 1,
        "pictures_per_epoch": 4,
        "evaluation_scenes": 1,
    }
    return TrainingOptions(**{**values, **changes})


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("optimizer", "threads"), [("muon", 2), ("adamw", 1)])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, optimizer, threads):
    """The second stage begins with the second epoch, in the midst of which the run is cut."""

    def run(name, second, seed=0, **more):
        stages = (f"{SIZE}:1", f"{SIZE // 2}:{second}")
        made = options(stages=stages, decay="0", optimizer=optimizer)
        return train(tmp_path / name, tiny_model(seed), made, threads=threads, workers=0, **more)

    whole = run("whole", 4)
    run("cut", 2)
    resumed = run("cut", 4, seed=9, resume=True)
    for (name, weight), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(weight, other), name
    wholes, cuts = (entries(tmp_path / name) for name in ("whole", "cut"))
    assert [entry["step"] for entry in cuts if "loss" in entry] == [1, 2, 3, 4, 5]
    assert [entry["loss"] for entry in cuts if "loss" in entry] == [
        entry["loss"] for entry in wholes if "loss" in entry
    ]
    assert [entry["image_size"] for entry in cuts if "image_size" in entry] == [SIZE // 2] * 2
    averages = [(tmp_path / name / EXPORT / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert averages[0] == averages[1]


def test_a_whole_run_logs_checkpoints_and_exports(tmp_path):
    trainer = train(tmp_path, tiny_model(), options(checkpoint_every=0.0), workers=0)
    losses = [entry for entry in entries(tmp_path) if "loss" in entry]
    assert [entry["step"] for entry in losses] == [1, 2, 3, 4]
    assert {"loss", "grad_norm", "learning_rate"} <= set(losses[0])
    scored = next(entry for entry in entries(tmp_path) if "evaluation" in entry)
    assert scored["step"] == 4 and {"click_best", "click_single", "box_best", "box_single"} <= set(
        scored["evaluation"]["all"]
    )
    assert len(list((tmp_path / "checkpoints").glob("checkpoint-*"))) == 2  # only the newest are kept
    loaded = SamModel.from_pretrained(tmp_path / EXPORT, dtype=torch.float16)
    assert SamModel.from_pretrained(tmp_path / EXPORT).dtype == torch.float32  # the file is half that size
    assert not hasattr(loaded.config, "loss")
    moved = [
        not torch.equal(weight.half(), loaded.get_parameter(name)) for name, weight in trainer.model.named_parameters()
    ]
    assert any(moved)  # the average is not the last step
    assert json.loads((tmp_path / EXPORT / "preprocessor_config.json").read_text())["pad_size"] == {
        "height": 64,
        "width": 64,
    }


def test_finishing_early_is_remembered(tmp_path):
    train(tmp_path, tiny_model(), options(stages=(f"{SIZE}:3",), decay="1"), workers=0)
    train(tmp_path, tiny_model(), options(stages=(f"{SIZE}:100",)), resume=True, decay_now=Amount(2, False), workers=0)
    rates = {entry["step"]: entry["learning_rate"] for entry in entries(tmp_path) if "loss" in entry}
    assert list(rates) == [1, 2, 3, 4, 5]
    assert rates[5] == pytest.approx(0.001)  # half of the peak, at the middle of the decay
    kept = TrainingOptions.from_dict(json.loads((tmp_path / "options.json").read_text()))
    assert kept.stages == (f"{SIZE}:5",) and kept.decay == "2"


def test_loss_reaches_every_part_of_the_model():
    model = PromptedSamModel.of(tiny_model(), "nano").train()
    labels = torch.zeros(2, 9, 32, 32, dtype=torch.int8)
    labels[..., 5:20, 8:30] = 1
    for seed in range(6):  # which of the rounds and masks there are is drawn
        model(
            pixel_values=torch.randn(2, 3, SIZE, SIZE), labels=labels, sample_seed=torch.tensor([seed, 7])
        ).loss.backward()
    trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert [name for name, weight in trainable.items() if weight.grad is None or not weight.grad.any()] == []


def test_no_checkpoint_to_resume_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="--resume needs a checkpoint"):
        train(tmp_path, tiny_model(), options(), resume=True)
    (tmp_path / "checkpoints/checkpoint-3").mkdir(parents=True)
    (tmp_path / "checkpoints/checkpoint-3/trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path / "checkpoints") is not None
    assert last_checkpoint(tmp_path / "checkpoints", needs=["average.safetensors"]) is None


def test_command_line_gives_only_what_was_given():
    arguments, given = parse_arguments(
        ["--output", "x", "--stage", "128:5m", "--stage", "256:1h", "--learning-rate", "0.01"]
    )
    assert given == {"stages": ["128:5m", "256:1h"], "learning_rate": 0.01}
    assert not arguments.resume and arguments.decay_now is None
    arguments, given = parse_arguments(["--output", "x", "--resume", "--decay-now", "8m"])
    assert arguments.decay_now == Amount(480.0, True) and given == {}


def test_decaying_a_run_that_never_began_is_an_error(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--output", "x", "--decay-now", "8m"])
    assert "--decay-now needs --resume" in capsys.readouterr().err


def test_nano_fits_in_the_package():
    with torch.device("meta"):
        model = SamModel(nano_config())
    assert 2 * sum(weight.numel() for weight in model.parameters()) < 12e6  # bytes in half precision


def test_the_command_line_counts_time_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(nano, "nano_model", tiny_model)
    # What the command does to its own process must not outlive this test.
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    common = ["--output", str(tmp_path), "--workers", "0", "--threads", "1"]
    begin = f"--stage {SIZE}:0.2s --decay 0.1s --batch-size 2 --num-prompts 3 --evaluation-scenes 1 --log-every 1"
    nano.main([*common, *begin.split()])
    state = json.loads((last_checkpoint(tmp_path / "checkpoints") / "trainer_state.json").read_text())
    clock = state["stateful_callbacks"]["FollowSchedule"]["attributes"]
    assert clock["seconds"] >= 0.2 and clock["image_size"] == SIZE
    nano.main([*common, "--resume", "--stage", f"{SIZE}:{clock['seconds'] + 0.1}s"])
    assert entries(tmp_path)[-1]["step"] > state["global_step"]
