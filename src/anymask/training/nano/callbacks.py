"""What sam-vit-nano's recipe adds to Trainer's loop: a clock, the average of the weights, and scores along the way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from .optimizer import WeightAverage
from .scenes import NanoSamples
from .schedule import Schedule

AVERAGE = "average.safetensors"
"""Name of the running average in a checkpoint."""


class FollowSchedule(TrainerCallback, ExportableState):
    """Counts training time, without evaluations and checkpoints, and ends the run when the schedule does.

    Args:
        schedule: of the run.
        samples: are told at which size an epoch is seen: a stage begins with an epoch.
        learning_rate: at its peak.
        checkpoint_every: seconds of training between checkpoints.

    Attributes:
        seconds: of training so far, by the last step that is done.
        image_size: of the epoch that runs.
    """

    def __init__(self, schedule: Schedule, samples: NanoSamples, learning_rate: float, checkpoint_every: float) -> None:
        self.schedule, self.samples = schedule, samples
        self.learning_rate, self.checkpoint_every = learning_rate, checkpoint_every
        self.seconds = self._saved_at = 0.0
        self.image_size = schedule.stages[0].image_size
        self._step_began = time.perf_counter()

    def progress(self, step: int) -> float:
        """Position in the schedule, in its unit."""
        return self.schedule.progress(step, self.seconds)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.learning_rate * self.schedule.learning_rate_factor(self.progress(step), step)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Take the learning rate of this schedule, where a checkpoint remembers that of another."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate(state.global_step)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose the image size, but where a run goes on in the midst of an epoch."""
        epoch = float(state.epoch or 0)
        stage = self.schedule.stage_index(self.progress(state.global_step))
        if epoch.is_integer() and stage is not None:
            self.image_size = self.schedule.stages[stage].image_size
        self.samples.enter(int(epoch), self.image_size)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to count."""
        self._step_began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count; save or stop if it is time."""
        self.seconds += time.perf_counter() - self._step_began
        if self.seconds - self._saved_at >= self.checkpoint_every:
            control.should_save = True
        if self.schedule.stage_index(self.progress(state.global_step)) is None:
            control.should_save = control.should_training_stop = True
        if control.should_save:
            self._saved_at = self.seconds

    def state(self) -> dict[str, Any]:
        """What a checkpoint remembers."""
        return {"args": {}, "attributes": {"seconds": self.seconds, "image_size": self.image_size}}

    def recall(self, state: TrainerState) -> None:
        """Take what a checkpoint remembers; the schedule stays that of the constructor."""
        kept = state.stateful_callbacks[type(self).__name__]["attributes"]
        self.seconds = self._saved_at = kept["seconds"]
        self.image_size = kept["image_size"]


class KeepAverage(TrainerCallback):
    """Keeps the running average of the weights, and writes it into every checkpoint."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Take the step into the average."""
        self.average.update(model)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write."""
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / AVERAGE
        unfinished = path.with_suffix(".unfinished")
        save_file(self.average.weights, unfinished)
        unfinished.replace(path)

    def recall(self, checkpoint: Path, steps: int) -> None:
        """Take what a checkpoint remembers."""
        self.average.weights, self.average.steps = load_file(checkpoint / AVERAGE), steps


class ScoreAlong(TrainerCallback):
    """Scores the averaged weights now and then, and at the end; appends a line to the log.

    Args:
        clock: of the run.
        every: seconds of training.
        score: scores at an image size, by the size or the source of what is seen.
        log: file of lines of JSON.
    """

    def __init__(
        self, clock: FollowSchedule, every: float, score: Callable[[int], dict[str, dict[str, float]]], log: Path
    ) -> None:
        self.clock, self.every, self.score, self.log = clock, every, score, log
        self._scored_at: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to wait."""
        self._scored_at = self.clock.seconds

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Score, if it is time."""
        if control.should_training_stop or self.clock.seconds - (self._scored_at or 0.0) >= self.every:
            began = time.perf_counter()
            scores = self.score(self.clock.image_size)
            self._scored_at = self.clock.seconds
            entry = {
                "step": state.global_step,
                "seconds": round(self.clock.seconds, 1),
                "image_size": self.clock.image_size,
                "evaluation": scores,
                "evaluation_seconds": round(time.perf_counter() - began, 1),
            }
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
