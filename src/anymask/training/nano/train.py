"""Train `sam-vit-nano`: on drawn scenes, and on photographs where a folder of them is at hand.

    python -m anymask.training.nano.train --output runs/nano --stage 128:50m --stage 320:45m --decay 15m
    python -m anymask.training.nano.train --output runs/nano --data DATA --start sam-vit-nano    # with photographs
    python -m anymask.training.nano.train --output runs/nano --resume                      # go on after a stop
    python -m anymask.training.nano.train --output runs/nano --resume --decay-now 8m       # finish within 8 minutes

`OUTPUT` then holds options.json, log.jsonl (one JSON object per line: loss, scores, speed), checkpoints/ and export/, a
folder for `SamModel.from_pretrained`. The exported weights are the running average. What DATA holds is said in
`anymask.data.photographs`.

It is the trainer of `anymask train` with the recipe "nano": other pictures, another optimizer, and a schedule in time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerState, TrainingArguments

from ...evaluation.metrics import summarise
from ...evaluation.nano.examples import Example, held_out_scenes
from ...evaluation.nano.photographs import read_photograph_examples
from ...evaluation.nano.predict import score_example
from ...modeling_sam import SamModel
from ...support.atomic_files import write_json
from ..callbacks import RefuseNonsense, StopWhenAsked, WriteLog
from ..collate import SamDataCollator
from ..interactive import PromptedSamModel
from ..trainer import SamTrainer, arguments, last_checkpoint
from .callbacks import AVERAGE, FollowSchedule, KeepAverage, ScoreAlong
from .model import export_model, load_nano, nano_image_processor, nano_model
from .optimizer import WeightAverage, make_optimizer
from .options import TrainingOptions, parse_arguments
from .photographs import PhotoPictures
from .scenes import NanoSamples, ScenePictures
from .schedule import Amount

CHECKPOINTS, OPTIONS, LOG, EXPORT = "checkpoints", "options.json", "log.jsonl", "export"
WITHOUT_END = 10**9
# The paper's focal weight of 20 keeps masks empty for longer: docs/decisions/0007-training-nano.md.
LOSS = {"focal": 4.0, "dice": 1.0, "iou": 2.0, "resolution": "decoder"}


def train(
    output: Path,
    model: SamModel,
    options: TrainingOptions,
    *,
    resume: bool = False,
    decay_now: Amount | None = None,
    threads: int = 2,
    workers: int = 1,
) -> SamTrainer:
    """Train until the schedule ends or a stop is asked for; then export.

    Args:
        output: folder of the run.
        model: is trained where it stands; with `resume` its weights are those of the checkpoint.
        options: of the run.
        resume: go on from the last checkpoint.
        decay_now: with `resume`, begin the decay now, and end within this amount.
        threads: each with its share of every batch.
        workers: processes that draw pictures.

    Returns:
        The trainer, whose model has the weights of the last step.

    Raises:
        FileNotFoundError: If there is no checkpoint to resume.
        FloatingPointError: If the gradient is no longer finite.
    """
    checkpoint = _checkpoint_of(output) if resume else None
    schedule = options.schedule()
    pictures = (
        PhotoPictures(Path(options.data), options.seed, schedule.stages[0].image_size)
        if options.data
        else ScenePictures(options.seed, schedule.stages[0].image_size)
    )
    samples = NanoSamples(pictures, options.pictures_per_epoch, options.num_prompts)
    clock = FollowSchedule(schedule, samples, options.learning_rate, options.checkpoint_every)
    average = KeepAverage(WeightAverage(model, options.average_decay))
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json")) if checkpoint else TrainerState()
    if checkpoint:
        clock.recall(state)
        average.recall(checkpoint, state.global_step)
    if decay_now is not None:
        schedule = clock.schedule = schedule.finished_within(clock.progress(state.global_step), decay_now)
        options = options.of_schedule(schedule)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / OPTIONS, options.to_dict(), indent=1)

    model.config.loss = LOSS
    learner = PromptedSamModel.of(model, "nano")
    optimizer = make_optimizer(learner, 1.0, options.weight_decay, options.optimizer == "muon")
    trainer = SamTrainer(
        learner,
        _training_arguments(output, options, int(schedule.total) if not schedule.is_time else WITHOUT_END, workers),
        data_collator=SamDataCollator(),
        train_dataset=samples,
        optimizers=(optimizer, LambdaLR(optimizer, lambda step: clock.rate(step))),
        threads=threads,
        callbacks=[RefuseNonsense(), average, clock, StopWhenAsked(print), WriteLog(output / LOG, print)],
    )
    optimizer.pool = trainer.pool
    trainer.add_callback(ScoreAlong(clock, options.evaluate_every, _scorer(trainer, average, options), output / LOG))
    if schedule.stage_index(clock.progress(state.global_step)) is not None:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    average.average.swap(model)
    export_model(model, output / EXPORT)
    average.average.swap(model)
    return trainer


def _checkpoint_of(output: Path) -> Path:
    checkpoint = last_checkpoint(output / CHECKPOINTS, needs=[AVERAGE])
    if checkpoint is None:
        raise FileNotFoundError(
            f"--resume needs a checkpoint under {output / CHECKPOINTS}, found none; start without --resume."
        )
    return checkpoint


def _training_arguments(output: Path, options: TrainingOptions, max_steps: int, workers: int) -> TrainingArguments:
    return arguments(
        str(output / CHECKPOINTS),
        max_steps=max_steps,
        per_device_train_batch_size=options.batch_size,
        max_grad_norm=options.clip_norm,
        train_sampling_strategy="sequential",
        dataloader_drop_last=True,
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=4 if workers else None,
        save_strategy="no",  # the clock says when
        save_total_limit=2,
        logging_steps=options.log_every,
        seed=options.seed,
        use_cpu=True,
        disable_tqdm=True,
    )


def _scorer(
    trainer: SamTrainer, average: KeepAverage, options: TrainingOptions
) -> Callable[[int], dict[str, dict[str, float]]]:
    """Scores of the averaged weights on held-out scenes and, by source, on held-out photographs."""
    examples: dict[str, list[Example]] = {}

    def score(image_size: int) -> dict[str, dict[str, float]]:
        if not examples:
            examples["scenes"] = list(held_out_scenes(options.evaluation_scenes))
            if options.data:
                examples.update(read_photograph_examples(Path(options.data), options.evaluation_photos, masks_each=12))
        model, image_processor = trainer.model, nano_image_processor(image_size)
        average.average.swap(model)
        model.eval()
        summaries: dict[str, dict[str, float]] = {}
        for source, members in examples.items():
            scored = trainer.pool.map(lambda example: score_example(model, image_processor, example), members)
            summary = summarise([record for records in scored for record in records])
            summaries |= summary if source == "scenes" else {source: summary["all"]}
        average.average.swap(model)
        return summaries

    return score


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    told, given = parse_arguments(argv)
    torch.set_num_threads(1)  # the trainer's own threads share the work
    # Vanishing gradients of saturated pixels would otherwise cost hundreds of cycles each.
    torch.set_flush_denormal(True)
    remembered = {}
    if told.resume:
        _checkpoint_of(told.output)
        remembered = json.loads((told.output / OPTIONS).read_text(encoding="utf-8"))
    options = TrainingOptions.from_dict({**TrainingOptions().to_dict(), **remembered, **given})
    torch.manual_seed(options.seed)
    model = load_nano(options.start) if options.start else nano_model()
    train(
        told.output,
        model,
        options,
        resume=told.resume,
        decay_now=told.decay_now,
        threads=told.threads,
        workers=told.workers,
    )


if __name__ == "__main__":
    main()
