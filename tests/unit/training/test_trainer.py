"""`transformers.Trainer` with labels: what it divides, gathers, repeats and evaluates."""

import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tests.tiny_sam import tiny_model
from tests.unit.training.trainer_runs import Boxes, quiet_trainer
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments

from anymask.training import PromptedSamModel, SamDataCollator, SegmentationMetrics
from anymask.training.trainer import score_masks

CHECKPOINTING = "activation_checkpointing"  # its name from transformers 5.22 on
if CHECKPOINTING not in TrainingArguments.__dataclass_fields__:
    CHECKPOINTING = "gradient_checkpointing"
REPOSITORY = Path(__file__).parents[3]


def weights(trainer):
    return trainer.model.state_dict()


def assert_same(actual, expected, **tolerance):
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, **(tolerance or dict(rtol=0, atol=0)), msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three steps of 8 samples at once."""
    trainer = quiet_trainer(tmp_path_factory.mktemp("whole"), per_device_train_batch_size=8)
    trainer.train()
    return weights(trainer), [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_four_times_two_equals_eight(tmp_path, whole):
    trainer = quiet_trainer(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    trainer.train()
    assert_same(weights(trainer), whole[0], rtol=1e-4, atol=1e-5)
    assert [e["loss"] for e in trainer.state.log_history if "loss" in e] == pytest.approx(whole[1], rel=1e-5)


@pytest.mark.parametrize("how", [[], ["fsdp"]], ids=["ddp", "fsdp"])
def test_two_processes_equal_one(tmp_path, whole, how):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
    command += ["--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0"]
    command += [str(Path(__file__).with_name("trainer_runs.py")), str(tmp_path), "4", *how]
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
    finished = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    result = torch.load(tmp_path / "weights.pt")
    assert_same(result["weights"], whole[0], rtol=1e-4, atol=1e-5)
    assert result["losses"] == pytest.approx(whole[1], rel=1e-5)


def test_the_same_in_a_loop_of_accelerate(tmp_path):
    seen = []

    class Watched(Boxes):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    expected = quiet_trainer(tmp_path, dataset=Watched(), per_device_train_batch_size=8, max_steps=2)
    expected.train()
    accelerator = Accelerator(cpu=True)
    model = tiny_model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loader = DataLoader(Boxes(), batch_size=2, sampler=seen[:16], collate_fn=SamDataCollator())
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    batches = iter(loader)
    for group in (list(islice(batches, 4)), list(batches)):
        items = accelerator.gather(torch.stack([batch["labels"].ne(-100).sum() for batch in group])).sum()
        for index, batch in enumerate(group):
            with nullcontext() if index == len(group) - 1 else accelerator.no_sync(model):
                loss = model(**batch, num_items_in_batch=items).loss
                accelerator.backward(loss * accelerator.num_processes)  # which DistributedDataParallel divides by
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert_same(model.state_dict(), weights(expected), rtol=1e-4, atol=1e-5)


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path):
    settings = dict(per_device_train_batch_size=2, max_steps=6, save_strategy="steps", save_steps=3, seed=3)
    settings |= dict(lr_scheduler_type="cosine", optim="adamw_torch")

    def model():
        return PromptedSamModel.of(tiny_model(), "box")

    straight = quiet_trainer(tmp_path / "a", model(), **settings)
    straight.train()

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step >= 4

    stopped = quiet_trainer(tmp_path / "b", model(), **settings, trainer=dict(callbacks=[Stop()]))
    stopped.train()
    resumed = quiet_trainer(tmp_path / "b", model(), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-3"))
    assert_same(weights(resumed), weights(straight))


def test_evaluation_of_boxes_alone_has_a_loss_and_keeps_no_masks(tmp_path):
    metrics = SegmentationMetrics()
    shapes = []

    def preprocess(logits, labels):
        shapes.append([tuple(value.shape) for value in logits])
        return metrics.preprocess(logits, labels)

    trainer = quiet_trainer(
        tmp_path,
        eval_dataset=Boxes(5),
        per_device_eval_batch_size=2,
        trainer=dict(compute_metrics=metrics, preprocess_logits_for_metrics=preprocess),
    )
    found = trainer.evaluate()
    assert shapes[0] == [(2, 3, 3), (2, 3, 3, 40, 40)]  # predicted IoU and masks; no embeddings, no parts of the loss
    with torch.no_grad():
        alone = [trainer.model(**SamDataCollator()([Boxes()[index]])) for index in range(5)]
    scores = [
        score_masks(output.pred_masks, output.iou_scores, Boxes()[index]["labels"][None])[0]
        for index, output in enumerate(alone)
    ]
    expected = torch.cat(scores).mean(dim=0).tolist()
    assert [found[f"eval_{name}"] for name in ("iou", "dice", "best_iou")] == pytest.approx(expected, rel=1e-5)
    assert found["eval_loss"] > 0
    assert trainer.evaluate()["eval_iou"] == pytest.approx(found["eval_iou"])  # it begins anew


def test_scores_of_masks():
    labels = torch.zeros(1, 3, 4, 4)
    labels[0, 0, :2], labels[0, 1], labels[0, 2, :, 2:] = 1, -100, -1
    logits = torch.full((1, 3, 2, 4, 4), -1.0)
    logits[0, 0, 0, :3] = 1  # 8 of 12
    logits[0, 0, 1, :2] = 1  # exact, but less sure of itself
    logits[0, 2, 1, :, 2:] = 1  # nothing in what is known
    scores = score_masks(logits, torch.tensor([[[0.9, 0.2], [0.9, 0.2], [0.1, 0.8]]]), labels)
    expected = torch.tensor([[[2 / 3, 0.8, 1], [-100, -100, -100], [1, 1, 1]]])
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("settings", [dict(bf16=True), {CHECKPOINTING: True}])
def test_mixed_precision_and_checkpointing(tmp_path, settings):
    trainer = quiet_trainer(tmp_path, max_steps=1, per_device_train_batch_size=2, **settings)
    before = {name: tensor.clone() for name, tensor in weights(trainer).items()}
    trainer.train()
    changed = [name for name, tensor in weights(trainer).items() if not torch.equal(tensor, before[name])]
    assert any(name.startswith("vision_encoder") for name in changed)
