"""The trainer of a run: what learns, from which samples, with which settings of `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn
from tqdm import tqdm
from transformers import EarlyStoppingCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ...data import MaskDataset, Sample
from ...data.augment import Augmentation, augmented
from ...modeling_sam import SamModel
from ...processing_sam import SamProcessor
from ..adapters import add_adapter
from ..cached_embeddings import CachedEmbeddings, cache_image_embeddings
from ..callbacks import RefuseNonsense, ShowProgress, StopWhenAsked, TellEpoch, WriteLog
from ..collate import SamDataCollator
from ..interactive import PromptedSamModel
from ..recipes import PromptRecipe
from ..samples import HeldOutPrompts, SamplesByIndex, TrainingSamples
from ..trainer import SamTrainer, SegmentationMetrics, arguments
from .options import ADAPTER_PREFIX, LEARNS, FineTuneOptions

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainingArguments

CHECKPOINTS, LOG = "checkpoints", "log.jsonl"
Say = Callable[[str], None]
"""Takes a line for people."""


def make_learner(model: SamModel, options: FineTuneOptions) -> SamModel | PeftModel:
    """The model with prompts of the recipe, of which what the options say learns."""
    prompted = PromptedSamModel.of(model, options.recipe)
    if options.learn.startswith(ADAPTER_PREFIX):
        return add_adapter(prompted, options.learn.removeprefix(ADAPTER_PREFIX))
    if options.learn == "decoder":
        prompted.freeze("vision_encoder", "prompt_encoder")
    return prompted


def make_trainer(
    learner: nn.Module,
    model: SamModel,
    processor: SamProcessor,
    train_data: MaskDataset,
    validation_data: MaskDataset,
    options: FineTuneOptions,
    stop: StopWhenAsked,
    say: Say,
) -> SamTrainer:
    """The trainer of a run, which keeps the weights with the best Dice on held-out images.

    Args:
        learner: What `make_learner` made of the model.
        model: Encodes images now, where its encoder does not learn.
        processor: Its processor.
        train_data: To learn from.
        validation_data: Held out.
        options: Of the run.
        stop: Ends it where somebody asks.
        say: Takes lines for people.
    """
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
