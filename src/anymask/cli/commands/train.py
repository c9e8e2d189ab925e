"""`anymask train`: images and masks in, a better checkpoint and a report out. An adapter over `fine_tune`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import options as take
from ..reports import errors_reported, say_json
from ..start import quick_imports


class Precision(str, Enum):
    """Number formats to train in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def train(
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Folder of images and masks, COCO file, or whatever else is recognised."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for all that is written.")] = None,
    config: Annotated[Path | None, typer.Option(help="config.json of an earlier run; other options change it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="What to begin with; sam-vit-nano.")] = None,
    learn: Annotated[
        str | None, typer.Option(help="decoder, all, or adapters: lora_encoder_qv, lora_both ...; decoder.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="How prompts are played: short, box, paper, sam2, medsam, micro-sam; short.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="focal_dice, sam2 or bce_dice; focal_dice.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many passes over the images; 30.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="End after so many epochs without a gain; 10.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images of a step; 4.")] = None,
    max_objects: Annotated[int | None, typer.Option(min=1, help="Objects of an image at a time; 16.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="By default 1e-4 for the decoder, 1e-3 for adapters, 1e-5 for all.")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Share held out, or a data set of its own; 0.2.")] = None,
    augment: Annotated[bool, typer.Option("--augment", help="Mirror, scale and recolour; slower.")] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out what cannot be read.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of split, prompts and order; 0.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Number format to train in.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; auto takes a GPU if there is one.")] = None,
    report_to: Annotated[str | None, typer.Option(help="What Trainer knows: tensorboard, wandb, trackio ...")] = None,
    as_json: take.AsJson = False,
) -> None:
    """Fine-tune a model on DATA, keep the best weights, and report what they gained.

    Finds images and masks, says what is wrong with them, holds a part out, trains, and writes model/, report.md,
    curves.png, overlays/, log.jsonl and config.json into the output folder. Ctrl-C stops after the step that runs;
    --resume goes on, after a crash too. Exits with 130 if Ctrl-C stopped the run, with 143 after
    SIGTERM, with 2 if it could not be started.
    """
    given: dict[str, Any] = dict(
        data=data,
        output=None if output is None else str(output),
        model=model,
        learn=learn,
        recipe=recipe,
        loss=loss,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        max_objects=max_objects,
        learning_rate=learning_rate,
        validation=_share_or_path(validation),
        augment=augment or None,
        skip_broken=skip_broken or None,
        seed=seed,
        precision=None if precision is None else precision.value,
        device=device,
        report_to=report_to,
    )
    given = {name: value for name, value in given.items() if value is not None}
    with errors_reported(as_json):
        if resume and config is None and output is not None and (output / "config.json").exists():
            config = output / "config.json"
        if config is None and (data is None or output is None):
            raise ValueError("train must be given DATA and --output, or --config; see anymask train --help.")
        with quick_imports():
            from ...training.fine_tuning.options import FineTuneOptions
            from ...training.fine_tuning.run import fine_tune
            from ..start import keep_libraries_quiet

            keep_libraries_quiet()
        options = FineTuneOptions(**given) if config is None else FineTuneOptions.read(config, **given)
        result = fine_tune(options, resume=resume, say=_say_nothing if as_json else typer.echo)
    if as_json:
        say_json({"model": str(result.model_folder), "before": vars(result.before), "after": vars(result.after)})
    raise typer.Exit(0 if result.stopped_by is None else 128 + result.stopped_by)


def _share_or_path(validation: str | None) -> float | str | None:
    try:
        return None if validation is None else float(validation)
    except ValueError:
        return validation


def _say_nothing(line: str) -> None:
    """JSON says it at the end."""
