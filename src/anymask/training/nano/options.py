"""The options of a training run: what the command line sets and what a checkpoint remembers."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .schedule import Amount, Schedule, Stage


@dataclass(frozen=True)
class TrainingOptions:
    """One run of `anymask.training.nano.train`.

    Attributes:
        stages: image size and amount of each stage, as "128:50m" (time) or "128:2000" (steps).
        decay: amount at the end during which the learning rate falls to 0.
        warmup_steps: steps until the learning rate is at its peak.
        learning_rate: peak, for AdamW and Muon alike.
        weight_decay: of matrices and kernels.
        optimizer: "muon" (hidden matrices; AdamW for the rest) or "adamw".
        average_decay: of the running average of the weights that is exported.
        clip_norm: largest norm of the gradient.
        batch_size: images per step.
        num_prompts: objects of an image that are asked for, at most.
        pictures_per_epoch: a stage begins with an epoch, so that this says how exactly stages are kept to.
        seed: of the weights, the pictures and the prompts.
        log_every: steps per line of the log.
        evaluate_every: seconds of training between evaluations.
        checkpoint_every: seconds of training between checkpoints.
        evaluation_scenes: held-out scenes per evaluation.
        data: folder of photographs, cut-outs and backgrounds (`anymask.data.photographs`); "" trains on scenes alone.
        evaluation_photos: held-out photographs of each source per evaluation.
        start: model to take the first weights from, by folder or name; "" for random ones.
    """

    stages: tuple[str, ...] = ("128:50m", "320:45m")
    decay: str = "15m"
    warmup_steps: int = 60
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    optimizer: str = "muon"
    average_decay: float = 0.998
    clip_norm: float = 1.0
    batch_size: int = 8
    num_prompts: int = 12
    pictures_per_epoch: int = 512
    seed: int = 0
    log_every: int = 50
    evaluate_every: float = 300.0
    checkpoint_every: float = 240.0
    evaluation_scenes: int = 64
    data: str = ""
    evaluation_photos: int = 8
    start: str = ""

    def schedule(self) -> Schedule:
        """Stages and decay, parsed and checked."""
        return Schedule(tuple(Stage.parse(stage) for stage in self.stages), Amount.parse(self.decay), self.warmup_steps)

    def of_schedule(self, schedule: Schedule) -> TrainingOptions:
        """These options with another schedule's stages and decay."""
        return replace(self, stages=tuple(map(str, schedule.stages)), decay=str(schedule.decay))

    def to_dict(self) -> dict[str, Any]:
        """All options, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingOptions:
        """The options that `to_dict` wrote."""
        return cls(**{**values, "stages": tuple(values["stages"])})


def parse_arguments(argv: list[str] | None = None) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Read the command line.

    Returns:
        How to run (output, resume, decay_now, threads, workers), and the training options that were given, by name; a
        resumed run takes all others from its checkpoint.
    """
    parser = argparse.ArgumentParser(
        prog="python -m anymask.training.nano.train",
        description="Train sam-vit-nano on drawn scenes, and on photographs with --data. Stop it with SIGINT or "
        "SIGTERM: it saves and exports first.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of log, checkpoints and exported model")
    parser.add_argument("--resume", action="store_true", default=False, help="continue from the newest checkpoint")
    parser.add_argument(
        "--decay-now",
        type=Amount.parse,
        default=None,
        metavar="AMOUNT",
        help="with --resume: finish within this amount",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads, each with its share of every batch")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument("--stage", dest="stages", action="append", metavar="SIZE:AMOUNT", help="repeat for every stage")
    for field in fields(TrainingOptions):
        if field.name == "optimizer":
            parser.add_argument("--optimizer", choices=("muon", "adamw"))
        elif field.name != "stages":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default))
    arguments = parser.parse_args(argv)
    given = {field.name: getattr(arguments, field.name) for field in fields(TrainingOptions) if field.name in arguments}
    if arguments.decay_now is not None and not arguments.resume:
        parser.error("--decay-now needs --resume: it finishes a run that has begun")
    return arguments, given
