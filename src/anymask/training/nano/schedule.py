"""Stages of a run and its learning rate: warm up, hold, decay to zero, by training time or by steps.

Time is what a shared machine has to give, so stages may be given as durations ("50m"); they count training time only,
and the count is kept in the checkpoint. Stages in steps ("2000") make a run repeatable to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_PER_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Amount:
    """Some training: `value` seconds when `is_time`, else `value` steps."""

    value: float
    is_time: bool

    @classmethod
    def parse(cls, text: str) -> Amount:
        """Read "90s", "50m", "1.5h" (time) or "2000" (steps).

        Raises:
            ValueError: If the text is neither, or is negative.
        """
        unit = SECONDS_PER_UNIT.get(text[-1:])
        try:
            value = float(text[:-1]) * unit if unit else int(text)
        except ValueError:
            value = -1.0
        if value < 0:
            raise ValueError(
                f'An amount of training must read like "50m", "90s", "1.5h" or "2000" (steps), got {text!r}.'
            )
        return cls(value, unit is not None)

    def __str__(self) -> str:
        return f"{self.value}s" if self.is_time else f"{self.value:.0f}"


@dataclass(frozen=True)
class Stage:
    """Part of a run at one image size."""

    image_size: int
    amount: Amount

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Read "128:50m" or "256:2000".

        Raises:
            ValueError: If the text has another form.
        """
        size, separator, amount = text.partition(":")
        if not separator or not size.isdigit():
            raise ValueError(f'A stage must read like "128:50m" (image size, amount), got {text!r}.')
        return cls(int(size), Amount.parse(amount))

    def __str__(self) -> str:
        return f"{self.image_size}:{self.amount}"


@dataclass(frozen=True)
class Schedule:
    """What image size and learning rate belong to a point of the run.

    Attributes:
        stages: in order; all in time, or all in steps.
        decay: amount at the end during which the learning rate falls linearly to 0.
        warmup_steps: steps during which it rises linearly from 0.
    """

    stages: tuple[Stage, ...]
    decay: Amount
    warmup_steps: int

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("A schedule must have at least one stage, got none.")
        kinds = {stage.amount.is_time for stage in self.stages} | {self.decay.is_time}
        if len(kinds) > 1:
            raise ValueError(
                "Stages and decay must all be times or all be steps, got a mix; give every one the same kind."
            )

    @property
    def is_time(self) -> bool:
        """Whether the schedule counts seconds; else steps."""
        return self.decay.is_time

    @property
    def total(self) -> float:
        """Seconds or steps of all stages together."""
        return sum(stage.amount.value for stage in self.stages)

    def progress(self, step: int, seconds: float) -> float:
        """Position in the run, in the schedule's own unit."""
        return seconds if self.is_time else float(step)

    def stage_index(self, progress: float) -> int | None:
        """Index of the stage at this position; None once the run is over."""
        end = 0.0
        for index, stage in enumerate(self.stages):
            end += stage.amount.value
            if progress < end:
                return index
        return None

    def learning_rate_factor(self, progress: float, step: int) -> float:
        """Share of the peak learning rate, in [0, 1]."""
        warmup = min(1.0, (step + 1) / max(1, self.warmup_steps))
        decay = min(1.0, (self.total - progress) / self.decay.value) if self.decay.value else 1.0
        return max(0.0, min(warmup, decay))

    def finished_within(self, progress: float, amount: Amount) -> Schedule:
        """The schedule of a run that turns to its end now: decay from `progress` on, over `amount`.

        The last stage that has begun is cut or stretched to the new end; later ones are dropped.

        Raises:
            ValueError: If the amount is of the other kind.
        """
        if amount.is_time != self.is_time:
            raise ValueError(f"The run counts {'time' if self.is_time else 'steps'}: give the decay in the same kind.")
        index = self.stage_index(progress)
        index = len(self.stages) - 1 if index is None else index
        before = self.stages[:index]
        rest = progress + amount.value - sum(stage.amount.value for stage in before)
        last = Stage(self.stages[index].image_size, Amount(rest, self.is_time))
        return Schedule((*before, last), amount, self.warmup_steps)
