"""Train `sam-vit-nano`: on drawn scenes, and on photographs where a folder of them is at hand.

    python -m anymask.training.train --output runs/nano --stage 128:50m --stage 256:45m --decay 15m
    python -m anymask.training.train --output runs/nano --data DATA --start sam-vit-nano    # with photographs
    python -m anymask.training.train --output runs/nano --resume                      # go on after a stop
    python -m anymask.training.train --output runs/nano --resume --decay-now 8m       # finish within 8 minutes

`OUTPUT` then holds log.jsonl (one JSON object per line: losses, scores, speed), checkpoints/ and export/, a folder
for `SamModel.from_pretrained`. The exported weights are the running average. What DATA holds is said in
`anymask.data.photographs`.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from ..evaluation.examples import Example, held_out_scenes
from ..evaluation.metrics import summarise
from ..evaluation.photographs import held_out_examples
from ..evaluation.predict import score_example
from ..modeling_sam import SamModel
from .checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from .data import SampleOptions, SceneSamples, make_loader
from .export import export_model
from .nano import nano_image_processor, nano_model
from .optimizers import WeightAverage, make_optimizers
from .options import TrainingOptions, parse_arguments
from .photo_samples import PhotoSamples
from .schedule import Amount, Schedule
from .step import StepOptions, plan_rounds, training_loss


class Trainer:
    """A run and everything that it must remember.

    Attributes:
        step: optimiser steps done.
        samples: training samples seen; the index of the next one.
        seconds: training time so far, without evaluations and checkpoints.
    """

    def __init__(self, output: Path, model: SamModel, options: TrainingOptions, threads: int = 2, workers: int = 1):
        self.output, self.model, self.options, self.workers = output, model, options, workers
        # Each thread takes its share of the batch through the model and meets the others once per step. Threads inside
        # every operation would meet thousands of times, and wait each time for a core that another program holds.
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        self.schedule: Schedule = options.schedule()
        self.step_options = StepOptions()
        use_muon = options.optimizer == "muon"
        self.optimizers = make_optimizers(model, options.learning_rate, options.weight_decay, use_muon, self.pool)
        self.average = WeightAverage(model, options.average_decay)
        self.step, self.samples, self.seconds = 0, 0, 0.0
        self.stop_requested = False
        self._last_evaluation = self._last_checkpoint = 0.0
        self._pending: list[dict[str, float]] = []
        self._evaluation_examples: dict[str, list[Example]] | None = None

    @property
    def progress(self) -> float:
        """Position in the schedule, in its unit."""
        return self.schedule.progress(self.step, self.seconds)

    def train(self) -> None:
        """Train until the schedule ends or a stop is requested; then save a checkpoint and export."""
        while not self.stop_requested and (stage := self.schedule.stage_index(self.progress)) is not None:
            self._train_stage(stage)
        self._write_pending()
        self._evaluate()
        self.save()
        self.export()

    def train_step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """One optimiser step; returns the numbers for the log."""
        factor = self.schedule.learning_rate_factor(self.progress, self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.options.learning_rate * factor
        numbers = self._set_gradients(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm).item()
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"The gradient of step {self.step} is {norm}; resume with a lower --learning-rate."
            )
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.step += 1
        self.samples += len(batch["image"])
        return {**numbers, "gradient_norm": norm, "learning_rate": self.options.learning_rate * factor}

    def evaluate(self, image_size: int) -> dict[str, dict[str, float]]:
        """Scores of the averaged weights on held-out scenes and, by source, on held-out photographs."""
        if self._evaluation_examples is None:
            self._evaluation_examples = {"scenes": list(held_out_scenes(self.options.evaluation_scenes))}
            if self.options.data:
                photographs = held_out_examples(Path(self.options.data), self.options.evaluation_photos, masks_each=12)
                self._evaluation_examples |= photographs
        self.average.swap(self.model)
        self.model.eval()
        image_processor = nano_image_processor(image_size)
        summaries = {}
        for source, examples in self._evaluation_examples.items():
            scored = self.pool.map(lambda example: score_example(self.model, image_processor, example), examples)
            summary = summarise([record for example_records in scored for record in example_records])
            if source == "scenes":
                summaries = summary
            else:
                summaries[source] = summary["all"]
        self.average.swap(self.model)
        return summaries

    def save(self) -> Path:
        """Write a checkpoint from which `resume` continues as if nothing had happened."""
        state = {
            "step": self.step,
            "samples": self.samples,
            "seconds": self.seconds,
            "options": self.options.to_dict(),
        }
        self._last_checkpoint = self.seconds
        return save_checkpoint(self.output, self.model, self.optimizers, self.average, state)

    def resume(self, folder: Path) -> None:
        """Take weights, optimisers and position from a checkpoint; the options stay those of the constructor."""
        state = load_checkpoint(folder, self.model, self.optimizers, self.average)
        self.step, self.samples, self.seconds = state["step"], state["samples"], state["seconds"]
        self._last_evaluation = self._last_checkpoint = self.seconds

    def finish_within(self, amount: Amount) -> None:
        """Begin the decay now."""
        self.schedule = self.schedule.finished_within(self.progress, amount)
        stages = tuple(str(stage) for stage in self.schedule.stages)
        self.options = TrainingOptions.from_dict(
            {**self.options.to_dict(), "stages": stages, "decay": str(self.schedule.decay)}
        )

    def export(self) -> Path:
        """Write the averaged weights as a folder for `from_pretrained`."""
        self.average.swap(self.model)
        folder = export_model(self.model, self.output / "export")
        self.average.swap(self.model)
        return folder

    def _set_gradients(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Gradient of the mean loss over the batch, by all threads; returns the mean of their numbers."""
        seed = self.options.seed * 1_000_003 + self.step
        plan = plan_rounds(self.step_options, torch.Generator().manual_seed(seed))
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.model.train()

        def share_of(thread: int) -> tuple[list[torch.Tensor | None], dict[str, float]]:
            part = {name: tensor[thread :: self.threads] for name, tensor in batch.items()}
            generator = torch.Generator().manual_seed(seed + (1 + thread) * 1_000_000_007)
            loss, numbers = training_loss(self.model, part, plan, self.step_options, generator)
            loss = loss * (len(part["image"]) / len(batch["image"]))
            return torch.autograd.grad(loss, parameters, allow_unused=True), numbers

        gradients, numbers = zip(*self.pool.map(share_of, range(self.threads)), strict=True)
        for parameter, *parts in zip(parameters, *gradients, strict=True):
            known = [part for part in parts if part is not None]
            parameter.grad = sum(known[1:], start=known[0]) if known else None
        return _mean_numbers(numbers)

    def _train_stage(self, stage: int) -> None:
        image_size = self.schedule.stages[stage].image_size
        sample_options = SampleOptions(image_size, self.options.num_prompts, seed=self.options.seed)
        samples = (
            PhotoSamples(sample_options, Path(self.options.data)) if self.options.data else SceneSamples(sample_options)
        )
        loader = make_loader(samples, self.samples, self.options.batch_size, self.workers)
        began = time.perf_counter()
        for batch in loader:
            numbers = self.train_step(batch)
            now = time.perf_counter()
            self.seconds += now - began
            self._pending.append({**numbers, "step_seconds": now - began, "image_size": image_size})
            if self.step % self.options.log_every == 0:
                self._write_pending()
            if self.seconds - self._last_evaluation >= self.options.evaluate_every:
                self._evaluate()
            if self.seconds - self._last_checkpoint >= self.options.checkpoint_every:
                self.save()
            if self.stop_requested or self.schedule.stage_index(self.progress) != stage:
                return
            began = time.perf_counter()

    def _evaluate(self) -> None:
        stage = self.schedule.stage_index(self.progress)
        image_size = self.schedule.stages[-1 if stage is None else stage].image_size
        began = time.perf_counter()
        scores = self.evaluate(image_size)
        self._last_evaluation = self.seconds
        self._write({"image_size": image_size, "evaluation": scores, "evaluation_seconds": time.perf_counter() - began})

    def _write_pending(self) -> None:
        """One line of the log: the mean of every number since the last line, over the steps that have it."""
        if not self._pending:
            return
        means = _mean_numbers(self._pending)
        means["images_per_second"] = self.options.batch_size / means.pop("step_seconds")
        means["image_size"] = int(self._pending[-1]["image_size"])
        self._pending = []
        self._write(means)

    def _write(self, entry: dict[str, Any]) -> None:
        entry = {"step": self.step, "samples": self.samples, "seconds": round(self.seconds, 1), **_rounded(entry)}
        with (self.output / "log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)


def _mean_numbers(several: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of every number over the dictionaries that have it."""
    means = {}
    for name in sorted({name for numbers in several for name in numbers}):
        values = [numbers[name] for numbers in several if name in numbers]
        means[name] = sum(values) / len(values)
    return means


def _rounded(value: Any) -> Any:
    """Floats to five significant digits, at any depth."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    arguments, given = parse_arguments(argv)
    torch.set_num_threads(1)  # the trainer's own threads share the work
    torch.set_flush_denormal(
        True
    )  # vanishing gradients of saturated pixels would otherwise cost hundreds of cycles each
    checkpoint = latest_checkpoint(arguments.output) if arguments.resume else None
    remembered = json.loads((checkpoint / "state.json").read_text())["options"] if checkpoint else {}
    options = TrainingOptions.from_dict({**TrainingOptions().to_dict(), **remembered, **given})
    arguments.output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(options.seed)
    model = SamModel.from_pretrained(options.start, dtype="float32") if options.start else nano_model()
    trainer = Trainer(arguments.output, model, options, arguments.threads, arguments.workers)
    if checkpoint:
        trainer.resume(checkpoint)
        if arguments.decay_now is not None:
            trainer.finish_within(arguments.decay_now)

    def request_stop(*_: Any) -> None:
        trainer.stop_requested = True

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    trainer.train()


if __name__ == "__main__":
    main()
