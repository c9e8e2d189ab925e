"""What is added to Trainer's loop: a log in JSON, lines and a bar for people, a stop that loses nothing."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..support.atomic_files import write_whole
from .samples import DrawsEachEpoch


class TellEpoch(TrainerCallback):
    """Tells a data set which epoch begins, also where a run goes on in the midst of one, which accelerate leaves out.

    Args:
        samples: are told.
    """

    def __init__(self, samples: DrawsEachEpoch) -> None:
        self.samples = samples

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell."""
        self.samples.set_epoch(int(state.epoch or 0))


class WriteLog(TrainerCallback):
    """Appends what Trainer logs to a file, and says a line for each epoch with the time that is left.

    Args:
        path: of the log; an earlier run's lines after the checkpoint that is resumed are dropped.
        say: takes the line.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path, self.say = path, say
        self._loss = float("nan")
        self._began = (0.0, 0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember where this run begins."""
        self._began = (time.monotonic(), state.global_step)
        if self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]  # a kill or a full disk may have cut the last one
            kept = b"".join(line for line in whole if json.loads(line)["step"] <= state.global_step)
            write_whole(self.path, lambda file: file.write(kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append, and say."""
        logs = logs or {}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
        self._loss = logs.get("loss", self._loss)
        if "eval_dice" in logs:
            self.say(
                f"epoch {state.epoch or 0:.0f} of {args.num_train_epochs:.0f}: loss {self._loss:.3f}, Dice of "
                f"held-out boxes and clicks {logs['eval_dice']:.3f}, best "
                f"{max(logs['eval_dice'], state.best_metric or 0):.3f}, "
                f"{self._time_left(state)} left at most"
            )

    def _time_left(self, state: TrainerState) -> str:
        began, first_step = self._began
        done = max(state.global_step - first_step, 1)
        seconds = (time.monotonic() - began) / done * (state.max_steps - state.global_step)
        return str(timedelta(seconds=round(seconds)))


class ShowProgress(TrainerCallback):
    """A bar of the steps of an epoch, with the time that is left of it.

    Args:
        file: a terminal that the bar is written to, standard error by default; nothing is written to anything else.
    """

    def __init__(self, file: Any = None) -> None:
        self._file = file
        self._bar: Any = None

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin, where a run goes on in the midst of an epoch with the steps that are done."""
        epochs = round(args.num_train_epochs)
        steps = max(round(state.max_steps / epochs), 1)
        name = f"epoch {int(state.epoch or 0) + 1} of {epochs}"
        done = state.global_step % steps
        self._bar = tqdm(desc=name, total=steps, initial=done, unit="step", leave=False, disable=None, file=self._file)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One more."""
        self._bar.update()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear the bar, before lines are said."""
        self._bar.close()


class RefuseNonsense(TrainerCallback):
    """Ends a run whose gradient is not finite, before weights are spoilt; needs `max_grad_norm`.

    Clipping divides by the norm of all gradients, so that after it one of them tells of all.
    """

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Look.

        Raises:
            FloatingPointError: If the gradient is not finite.
        """
        gradient = next((weight.grad for weight in model.parameters() if weight.grad is not None), None)
        if gradient is not None and not gradient.isfinite().all():
            raise FloatingPointError(
                f"The gradient must be finite, but is not in step {state.global_step + 1}; resume from the last "
                "checkpoint with a lower learning rate."
            )


class StopWhenAsked(TrainerCallback):
    """Ctrl-C or SIGTERM ends training after the step that runs, with a checkpoint; a second one ends it at once.

    Attributes:
        asked_by: the signal that asked, as 2 for Ctrl-C; None while nothing did.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.asked_by: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop, if asked."""
        if self.asked_by is not None:
            control.should_save = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen no more."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _ask(self, number: int, *_: Any) -> None:
        if self.asked_by is not None:
            raise KeyboardInterrupt
        self.asked_by = number
        self.say("stopping after this step, with a checkpoint; --resume goes on (Ctrl-C again stops at once)")
