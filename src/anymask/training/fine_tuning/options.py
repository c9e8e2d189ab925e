"""What a fine-tuning run is asked for: checked once, and kept beside what came of it, so that it can be repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...modeling.losses import LossOptions
from ...support.atomic_files import write_json
from ...support.unknown_names import check_known_name, check_known_options
from ..adapters import PRESETS
from ..recipes import PromptRecipe

ADAPTER_PREFIX = "lora_"
LEARNS = {"decoder": 1e-4, "all": 1e-5, **{ADAPTER_PREFIX + preset: 1e-3 for preset in PRESETS}}
"""What may learn, and its learning rate unless another is given; adapters are those of `adapters.PRESETS`."""


@dataclass(frozen=True)
class FineTuneOptions:
    """One run; written to `config.json` of its folder, from which `--config` repeats it.

    Attributes:
        data: what `anymask.data.open_dataset` takes: a folder of images and masks, a COCO file ...
        output: folder of everything that is written.
        model: a packaged name, a folder, a file of weights or a hub id.
        learn: "decoder", "all", or adapters, "lora_encoder_qv" ...; see `LEARNS`.
        recipe: how prompts are played; a name of `anymask.training.recipes.RECIPES`.
        loss: a name of `anymask.modeling.losses.LOSSES`.
        epochs: at most so many passes over the images.
        patience: epochs without a better Dice after which training ends.
        batch_size: images of an optimizer step.
        max_objects: objects of an image that are used at a time.
        learning_rate: by default that of `LEARNS`.
        validation: share of the images that are held out, or the path of a data set of its own.
        augment: whether images are mirrored, scaled and recoloured; they are then encoded in every epoch.
        skip_broken: whether samples that cannot be read are left out rather than refused.
        seed: of the split, the prompts and the order.
        precision: "float32" or "bfloat16".
        device: "auto", "cpu" or "cuda".
        report_to: what Trainer reports to besides the files: "none", "tensorboard", "wandb", "trackio" ...

    Raises:
        ValueError: If an option has a value that it cannot have.
    """

    data: str
    output: str
    model: str = "sam-vit-nano"
    learn: str = "decoder"
    recipe: str = "short"
    loss: str = "focal_dice"
    epochs: int = 30
    patience: int = 10
    batch_size: int = 4
    max_objects: int = 16
    learning_rate: float | None = None
    validation: float | str = 0.2
    augment: bool = False
    skip_broken: bool = False
    seed: int = 0
    precision: str = "float32"
    device: str = "auto"
    report_to: str = "none"

    def __post_init__(self) -> None:
        check_known_name(self.learn, LEARNS, "`learn` must say what learns")
        PromptRecipe.named(self.recipe)
        LossOptions.read(self.loss)
        if min(self.epochs, self.patience, self.batch_size, self.max_objects) < 1:
            raise ValueError(
                "`epochs`, `patience`, `batch_size` and `max_objects` must be 1 or more, got "
                f"{self.epochs}, {self.patience}, {self.batch_size} and {self.max_objects}."
            )
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be above 0, got {self.learning_rate}; leave it out for the default."
            )
        if not isinstance(self.validation, str) and not 0 < self.validation < 1:
            raise ValueError(f"`validation` must be a share between 0 and 1, or a path, got {self.validation}.")
        for name, value, known in (
            ("precision", self.precision, ("float32", "bfloat16")),
            ("device", self.device, ("auto", "cpu", "cuda")),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")

    @classmethod
    def read(cls, path: str | Path, **changes: Any) -> FineTuneOptions:
        """The options of a run from its `config.json`, with some of them changed.

        Args:
            path: of the file.
            **changes: fields that shall have other values.
        """
        written = json.loads(Path(path).read_text(encoding="utf-8"))
        check_known_options(written, [field.name for field in fields(cls)], f"The configuration {path}")
        return cls(**{**written, **changes})

    def write(self, path: Path) -> None:
        """Write what `read` takes."""
        write_json(path, vars(self))
