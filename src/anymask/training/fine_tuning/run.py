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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn
from tqdm import tqdm
from transformers import EarlyStoppingCallback, set_seed
from transformers.integrations import get_available_reporting_integrations
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ...checkpoints.model_card import write_model_card
from ...data import MaskDataset, Sample, check, open_dataset
from ...data.augment import Augmentation, augmented
from ...data.checks import usable_samples
from ...modeling.losses import DEFAULT_LOSS
from ...modeling_sam import SamModel
from ...processing_sam import SamProcessor
from ...support.unknown_names import check_known_options
from ...weights.names import WEIGHTS_FOLDER
from ..adapters import add_adapter, count_trainable, merge_adapter
from ..cached_embeddings import CachedEmbeddings, cache_image_embeddings
from ..callbacks import RefuseNonsense, ShowProgress, StopWhenAsked, TellEpoch, WriteLog
from ..collate import SamDataCollator
from ..interactive import PromptedSamModel
from ..recipes import PromptRecipe
from ..samples import HeldOutPrompts, SamplesByIndex, TrainingSamples
from ..trainer import SamTrainer, SegmentationMetrics, arguments, last_checkpoint
from .options import ADAPTER_PREFIX, LEARNS, FineTuneOptions
from .report import Scores, score, write_report

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainingArguments

MODEL_FOLDER, CHECKPOINTS, CONFIGURATION, LOG = "model", "checkpoints", "config.json", "log.jsonl"
Say = Callable[[str], None]


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
    learner = _make_learner(model, options)
    trainable, total = count_trainable(learner)
    say(f"{options.learn}: {trainable:,} of {total:,} numbers learn")
    stop = StopWhenAsked(say)
    trainer = _make_trainer(
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


def _make_learner(model: SamModel, options: FineTuneOptions) -> SamModel | PeftModel:
    prompted = PromptedSamModel.of(model, options.recipe)
    if options.learn.startswith(ADAPTER_PREFIX):
        return add_adapter(prompted, options.learn.removeprefix(ADAPTER_PREFIX))
    if options.learn == "decoder":
        prompted.freeze("vision_encoder", "prompt_encoder")
    return prompted


def _make_trainer(
    learner: nn.Module,
    model: SamModel,
    processor: SamProcessor,
    train_data: MaskDataset,
    validation_data: MaskDataset,
    options: FineTuneOptions,
    stop: StopWhenAsked,
    say: Say,
) -> SamTrainer:
    training, evaluation = _make_samples(model, processor, train_data, validation_data, options=options, say=say)
    metrics = SegmentationMetrics()
    trainer = SamTrainer(
        model=learner,
        args=_training_arguments(options),
        data_collator=SamDataCollator(),
        train_dataset=training,
        eval_dataset=evaluation,
        compute_metrics=metrics,
        preprocess_logits_for_metrics=metrics.preprocess,
        callbacks=[
            EarlyStoppingCallback(early_stopping_patience=options.patience),
            TellEpoch(training),
            RefuseNonsense(),
            WriteLog(Path(options.output) / LOG, say),
            ShowProgress(),
            stop,
        ],
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _make_samples(
    model: SamModel,
    processor: SamProcessor,
    train_data: MaskDataset,
    validation_data: MaskDataset,
    options: FineTuneOptions,
    say: Say,
) -> tuple[TrainingSamples[Sample] | CachedEmbeddings, HeldOutPrompts]:
    """Samples to learn from, and held-out ones with their prompts; encoded now where the encoder does not learn."""
    augment = partial(_augment, Augmentation()) if options.augment else None
    training: TrainingSamples[Sample] | CachedEmbeddings = TrainingSamples(
        train_data,
        processor,
        max_objects=options.max_objects,
        augment=augment,
        seed=options.seed,
        sample_seeds=True,
    )
    evaluation: SamplesByIndex = TrainingSamples(
        validation_data, processor, max_objects=options.max_objects, seed=options.seed
    )
    if options.learn == "decoder":
        folder = Path(options.output) / "embeddings"
        evaluation = cache_image_embeddings(model, evaluation, folder=folder, progress=_show_encoding)
        if augment is None:
            training = cache_image_embeddings(model, training, folder=folder, progress=_show_encoding)
        say("images are encoded")
    side = model.config.vision_config.image_size
    share = PromptRecipe.named(options.recipe).box_share
    return training, HeldOutPrompts(evaluation, (side, side), {0.0: "click", 1.0: "box"}.get(share, "both"))


def _show_encoding(indices: Iterable[int]) -> Iterable[int]:
    """The indices, with a bar where standard error is a terminal."""
    return tqdm(indices, desc="encoding", unit="image", leave=False, disable=None)


def _augment(augmentation: Augmentation, sample: Sample, rng: np.random.Generator) -> Sample:
    changed = augmented(sample, augmentation, rng)
    return changed if len(changed.rles) else sample  # a cut may have left nothing to learn from


def _training_arguments(options: FineTuneOptions) -> TrainingArguments:
    return arguments(
        str(Path(options.output) / CHECKPOINTS),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        learning_rate=options.learning_rate or LEARNS[options.learn],
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.1,
        max_grad_norm=1.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="dice",
        greater_is_better=True,
        seed=options.seed,
        bf16=options.precision == "bfloat16",
        use_cpu=options.device == "cpu",
        report_to=options.report_to,
        disable_tqdm=True,
    )


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
