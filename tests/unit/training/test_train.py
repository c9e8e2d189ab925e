"""The loop on a tiny model: resuming repeats the run bit by bit, the log is JSON lines, the export loads."""

import json
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny_sam import tiny_config

from anymask.modeling_sam import SamModel
from anymask.training import train
from anymask.training.checkpoint import checkpoint_folders, latest_checkpoint
from anymask.training.data import SampleOptions, SceneSamples, make_loader
from anymask.training.nano import nano_config
from anymask.training.options import TrainingOptions, parse_arguments
from anymask.training.schedule import Amount
from anymask.training.step import RoundPlan, StepOptions, plan_rounds, training_loss
from anymask.training.train import Trainer

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
        "log_every": 2,
    }
    return TrainingOptions(**{**values, "evaluation_scenes": 2, **changes})


def batches(start, count, num_prompts=3):
    loader = make_loader(
        SceneSamples(SampleOptions(SIZE, num_prompts, scene_size=96)), start, batch_size=2, num_workers=0
    )
    return list(islice(loader, count))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_takes_the_same_next_step(tmp_path, optimizer):
    uninterrupted = Trainer(tmp_path, tiny_model(), options(optimizer=optimizer))
    first, second, third = batches(0, 3)
    uninterrupted.train_step(first)
    uninterrupted.train_step(second)
    uninterrupted.save()
    resumed = Trainer(tmp_path, tiny_model(seed=9), options(optimizer=optimizer))
    resumed.resume(latest_checkpoint(tmp_path))
    assert (resumed.step, resumed.samples) == (2, 4)
    (same_third,) = batches(resumed.samples, 1)
    assert uninterrupted.train_step(third) == resumed.train_step(same_third)
    for (name, weight), other in zip(
        uninterrupted.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, other), name
    for name, weight in uninterrupted.average.weights.items():
        assert torch.equal(weight, resumed.average.weights[name]), name


def test_a_whole_run_logs_checkpoints_and_exports(tmp_path):
    trainer = Trainer(tmp_path, tiny_model(), options(checkpoint_every=0.0), workers=0)
    trainer.train()
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [entry for entry in entries if "loss" in entry]
    assert [entry["step"] for entry in losses] == [2, 4]
    assert {"loss", "mask_loss_1", "iou_loss_1", "learning_rate", "images_per_second", "seconds"} <= set(losses[0])
    scores = entries[-1]["evaluation"]["all"]
    assert {"click_best", "click_chosen", "click_single", "box_best", "box_chosen", "box_single"} <= set(scores)
    assert len(checkpoint_folders(tmp_path)) == 2  # only the newest are kept

    loaded = SamModel.from_pretrained(tmp_path / "export", dtype=torch.float16)
    assert SamModel.from_pretrained(tmp_path / "export").dtype == torch.float32  # the file is half that size
    for name, weight in trainer.average.weights.items():
        assert torch.equal(loaded.get_parameter(name), weight.half()), name
    assert json.loads((tmp_path / "export" / "preprocessor_config.json").read_text())["pad_size"] == {
        "height": 64,
        "width": 64,
    }


def test_a_stop_saves_and_exports(tmp_path):
    trainer = Trainer(tmp_path, tiny_model(), options(), workers=0)
    trainer.stop_requested = True
    trainer.train()
    assert trainer.step == 0
    assert load_file(tmp_path / "export" / "model.safetensors")
    assert latest_checkpoint(tmp_path).name == "step-00000000"


def test_finishing_early_is_remembered(tmp_path):
    trainer = Trainer(tmp_path, tiny_model(), options(stages=(f"{SIZE}:100",)))
    trainer.step = 10
    trainer.finish_within(Amount(5, False))
    trainer.save()
    state = json.loads((latest_checkpoint(tmp_path) / "state.json").read_text())
    assert TrainingOptions.from_dict(state["options"]).schedule() == trainer.schedule
    assert trainer.schedule.total == 15


def test_loss_reaches_every_part_of_the_model():
    model = tiny_model()
    (batch,) = batches(0, 1, num_prompts=12)  # so that each of the three masks is the learning one somewhere
    step_options = StepOptions(
        round_weights=(0.0, 0.0, 1.0), single_mask_fraction=0.0, mask_prompt_fraction=1.0, exploration=1.0
    )
    generator = torch.Generator().manual_seed(0)
    plan = plan_rounds(step_options, generator)
    assert plan == RoundPlan(asks_several=True, keeps_mask=(True, True))
    loss, numbers = training_loss(model, batch, plan, step_options, generator)
    loss.backward()
    assert numbers["loss"] == pytest.approx(loss.item())
    assert {"mask_loss_1", "mask_loss_2", "mask_loss_3", "iou_round_3"} <= set(numbers)
    trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert [name for name, weight in trainable.items() if weight.grad is None or not weight.grad.any()] == []


def test_a_few_steps_on_one_batch_lower_the_loss(tmp_path):
    trainer = Trainer(tmp_path, tiny_model(), options(stages=(f"{SIZE}:100",), learning_rate=5e-3))
    (batch,) = batches(0, 1)
    losses = [trainer.train_step(batch)["loss"] for _ in range(30)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_threads_share_a_batch_as_one_would_do_it(tmp_path):
    """Prompts differ with the split, so targets of one mask pixel leave them little choice, and there are no boxes."""
    trainers = [Trainer(tmp_path, tiny_model(), options(), threads=threads) for threads in (1, 2)]
    targets = torch.zeros(2, 3, SIZE // 2, SIZE // 2, dtype=torch.bool)
    targets[:, :, 5, 7] = True
    image = torch.randint(256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    batch = {"image": image, "targets": targets, "boxes": torch.tensor([14.0, 10, 16, 12]).expand(2, 3, 4)}
    gradients = []
    for trainer in trainers:
        trainer.step_options = StepOptions(round_weights=(1.0,), box_fraction=0.0, exploration=0.0)
        trainer._set_gradients(batch)
        gradients.append(torch.cat([w.grad.flatten() for w in trainer.model.parameters() if w.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.97


def test_no_checkpoint_to_resume_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="--resume needs a checkpoint"):
        latest_checkpoint(tmp_path)


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


def test_command_line_stops_resumes_and_decays(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "nano_model", tiny_model)
    # What the command does to its own process must not outlive this test.
    monkeypatch.setattr(train.signal, "signal", lambda *_: None)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)
    common = ["--output", str(tmp_path), "--workers", "0", "--threads", "1"]
    begin = f"--stage {SIZE}:3 --decay 1 --warmup-steps 1 --batch-size 2 --num-prompts 3 --evaluation-scenes 1".split()
    train.main([*common, *begin, "--log-every", "1"])
    train.main([*common, "--resume", "--decay-now", "2"])
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = {entry["step"]: entry["learning_rate"] for entry in entries if "loss" in entry}
    assert list(steps) == [1, 2, 3, 4, 5]
    assert steps[5] == pytest.approx(steps[4] / 2)
    state = json.loads((latest_checkpoint(tmp_path) / "state.json").read_text())
    assert state["samples"] == 10 and state["options"]["stages"] == [f"{SIZE}:5"]
