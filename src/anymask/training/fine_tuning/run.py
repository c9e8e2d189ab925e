"""`anymask train`, and `SAM.train`: a data set in, a better checkpoint out, with a report that says by how much.

    result = fine_tune(FineTuneOptions(data="cells", output="out"))
    result.model_folder             # what SamModel.from_pretrained and SAM load

It is `SamTrainer`, a `transformers.Trainer`, on a `PromptedSamModel`: the prompts are those of a recipe, evaluation
shows exact boxes and clicks, the weights with the best Dice there are kept, and training ends when they have not been
beaten for a while. Where only the decoder learns, images are encoded once. A run that was stopped, by Ctrl-C or by the
loss of its machine, goes on with `resume=True` from its last checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.integrations import get_available_reporting_integrations

from ...checkpoints.model_card import write_model_card
from ...data import MaskDataset, check, open_dataset
from ...data.checks import usable_samples
from ...modeling.losses import DEFAULT_LOSS
from ...modeling_sam import SamModel
from ...processing_sam import SamProcessor
from ...support.unknown_names import check_known_options
from ...weights.names import WEIGHTS_FOLDER
from ..adapters import count_trainable, merge_adapter
from ..callbacks import StopWhenAsked
from ..trainer import last_checkpoint
from .options import FineTuneOptions
from .report import Scores, score, write_report
from .trainer import CHECKPOINTS, LOG, Say, make_learner, make_trainer

MODEL_FOLDER, CONFIGURATION = "model", "config.json"


@dataclass(frozen=True)
class FineTuneResult:
    """What a run came to.

    Attributes:
        model_folder: the best weights, with their processor.
        before: scores of the held-out images with the weights as they were; see `report.Scores`.
        after: the same with the best weights.
        stopped_by: the signal that stopped the run, as 2 for Ctrl-C; None where it ended by itself. `resume=True` goes
            on.
    """

    model_folder: Path
    before: Scores
    after: Scores
    stopped_by: int | None


def fine_tune(
    options: FineTuneOptions,
    resume: bool = False,
    say: Say = print,
    loaded: tuple[SamModel, SamProcessor] | None = None,
) -> FineTuneResult:
    """Train, keep the best, and report.

    Args:
        options: of the run.
        resume: go on from the last checkpoint in the output folder, if there is one.
        say: takes lines for people.
        loaded: a model and its processor in the place of `options.model`; the model is trained as it stands there.

    Raises:
        FileExistsError: If the output folder holds a run that has learned and `resume` is not asked for.
        OSError: If data or model are not there.
        ValueError: If data cannot be used, or an option cannot be.
    """
    output = Path(options.output)
    if _has_learned(output) and not resume:
        raise FileExistsError(
            f"{output} must not hold another run; go on with it (--resume, resume=True), or name another folder."
        )
    _check_reporter(options.report_to)
    train_data, validation_data = _find_data(options, say)
    output.mkdir(parents=True, exist_ok=True)
    options.write(output / CONFIGURATION)
    set_seed(options.seed)
    model, processor = loaded or _load(options.model)
    if options.loss != DEFAULT_LOSS:
        model.config.loss = options.loss
    before = score(model, processor, validation_data)
    say(f"before: {before[0]}")
    learner = make_learner(model, options)
    trainable, total = count_trainable(learner)
    say(f"{options.learn}: {trainable:,} of {total:,} numbers learn")
    stop = StopWhenAsked(say)
    trainer = make_trainer(
        learner, model, processor, train_data, validation_data=validation_data, options=options, stop=stop, say=say
    )
    checkpoint = last_checkpoint(output / CHECKPOINTS) if resume else None
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    model_folder = output / MODEL_FOLDER
    if not isinstance(learner, SamModel):
        learner.save_pretrained(str(output / "adapter"))
        model = merge_adapter(learner)
    model.save_pretrained(model_folder)
    processor.save_pretrained(model_folder)
    processor.image_processor.save_pretrained(model_folder)
    best, _ = _load(model_folder)
    after = score(best, processor, validation_data)
    say(f"after:  {after[0]}")
    write_report(output, options, before, after, samples=validation_data)
    write_model_card(model_folder, best.config, training=output / "report.json")
    say(f"{model_folder}: load it with SAM or SamModel.from_pretrained; {output / 'report.md'} compares")
    return FineTuneResult(model_folder, before[0], after[0], stop.asked_by)


def _check_reporter(name: str) -> None:
    """Before images are encoded, and not when training would begin, as Trainer does."""
    installed = get_available_reporting_integrations()
    if name not in ("none", "all", *installed):
        raise ValueError(
            f"`report_to` must be 'none', 'all' or what is installed of Trainer's reporters "
            f"({', '.join(installed) or 'none is'}), got {name!r}; pip install it, or leave the option out."
        )


def _load(name: str | Path) -> tuple[SamModel, SamProcessor]:
    return SamModel.from_pretrained(name, dtype="float32"), SamProcessor.from_pretrained(name)


def _find_data(options: FineTuneOptions, say: Say) -> tuple[MaskDataset, MaskDataset]:
    """Training and validation data, looked through and reported."""
    found = _looked_through(open_dataset(options.data), options, say)
    if isinstance(options.validation, str):
        return found, _looked_through(open_dataset(options.validation), options, say)
    train, validation = found.split(options.validation, options.seed)
    say(f"{len(train)} images to learn from, {len(validation)} held out")
    return train, validation


def _looked_through(dataset: MaskDataset, options: FineTuneOptions, say: Say) -> MaskDataset:
    report = check(dataset)
    say(str(report))
    usable = usable_samples(dataset, report, options.skip_broken)
    if len(usable) < len(dataset):
        say(f"  {len(dataset) - len(usable)} images without a usable object are left out")
    return usable


def _has_learned(output: Path) -> bool:
    """Whether the folder holds what a run has learned; one that failed before its first epoch ended left nothing."""
    return any((output / name).exists() for name in (MODEL_FOLDER, LOG))


def fine_tune_in_place(
    model: SamModel,
    processor: SamProcessor,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: dict[str, Any],
) -> tuple[SamModel, FineTuneResult]:
    """Fine-tune a model that is loaded; what `SAM.train` does.

    Returns:
        The model with the best weights, where the first one was and in its type; and the result.
    """
    resume = options.pop("resume", False)
    check_known_options(options, [field.name for field in fields(FineTuneOptions)], "SAM.train")
    device, dtype = model.device, model.dtype
    name = getattr(model.config, "name_or_path", None) or "the model at hand"
    name = Path(name).name if Path(name).parent == WEIGHTS_FOLDER else name
    made = FineTuneOptions(data=str(data), output=str(output), **{"device": device.type, "model": name, **options})
    result = fine_tune(made, resume=resume, loaded=(model.float(), processor))
    best, _ = _load(result.model_folder)
    return best.to(device, dtype).eval(), result
