"""The model card of a checkpoint: what it is for, what it was trained on, what it scores, how it is used.

`save_pretrained` writes one into a folder that has none, `anymask train` one with its scores, and `push_to_hub` sends
one to a repository that has none. What nobody told is said to be unknown, for the author to fill in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..support.atomic_files import write_whole
from ..weights.names import PACKAGED_CHECKPOINTS

if TYPE_CHECKING:
    from ..configuration_sam import SamConfig, SamVisionConfig

CARD_FILE = "README.md"
TAGS = ("segment-anything", "sam")
TASK = "mask-generation"
UNKNOWN = "*Not told. Say it here, for those who have to judge whether the model is for them.*"

# The scores of `anymask evaluate` that a reader compares first; the report has the others.
_MAIN_SCORES = re.compile(r"(iou|iou_answer|dice|boundary_iou|best_iou|noc\d+)(@\d+)?")
TRAINING_SCORES = {
    "box_dice": "Dice, box",
    "box_iou": "IoU, box",
    "click_dice": "Dice, one click",
    "click_iou": "IoU, one click",
}
"""What the scores of `anymask train` are called for people."""

CITATION = r"""```bibtex
@article{kirillov2023segany,
  title={Segment Anything},
  author={Kirillov, Alexander and Mintun, Eric and Ravi, Nikhila and Mao, Hanzi and Rolland, Chloe and Gustafson, Laura and Xiao, Tete and Whitehead, Spencer and Berg, Alexander C. and Lo, Wan-Yen and Doll{\'a}r, Piotr and Girshick, Ross},
  journal={arXiv:2304.02643},
  year={2023}
}
```"""  # noqa: E501


def make_model_card(
    config: SamConfig | SamVisionConfig,
    *,
    name: str = "SAM",
    intended_use: str | None = None,
    data: str | None = None,
    training: str | os.PathLike[str] | None = None,
    evaluations: Iterable[str | os.PathLike[str]] = (),
    tags: Sequence[str] = (),
) -> ModelCard:
    """Write down what is known of a checkpoint.

    Args:
        config: of the model; a base on the hub is read from where it was loaded.
        name: of the model, as its users will load it: a hub id, or the name of a folder.
        intended_use: for what it may be used and for what not; a general sentence by default.
        data: what it was trained on, in Markdown. By default what `training` says, or that nobody told.
        training: `report.json` of `anymask train`.
        evaluations: `report.json` files of `anymask evaluate`.
        tags: for the hub, beside those that every SAM has.

    Returns:
        A `huggingface_hub.ModelCard`; `str` is its text, `save` writes it.

    Raises:
        OSError: If a report is not there.
        ValueError: If a file is none of these reports.

    Examples:
        >>> from anymask import SamConfig
        >>> from anymask.checkpoints.model_card import make_model_card
        >>> card = make_model_card(SamConfig(), name="me/sam-cells", data="2 000 microscope images, CC0")
        >>> card.data.pipeline_tag
        'mask-generation'
    """
    trained = _read_report(training, "train", ("options", "before", "after")) if training else None
    reports = [_read_report(path, "evaluate", ("settings", "groups", "samples")) for path in evaluations]
    base = trained["options"]["model"] if trained else getattr(config, "_name_or_path", "")
    metadata = ModelCardData(
        library_name="anymask",
        pipeline_tag=TASK,
        base_model=base if _is_hub_id(base) else None,
        tags=list(dict.fromkeys([*TAGS, *tags])),
        model_name=name,
        eval_results=[result for report in reports for result in _eval_results(report)] or None,
    )
    sections = {
        "Model": _describe(config, base),
        "Intended use": intended_use or _INTENDED_USE,
        "Training data": data or (_training_data(trained) if trained else UNKNOWN),
        "Scores": _scores(trained, reports),
        "Usage": _USAGE.format(name=name),
        "Citation": CITATION,
    }
    text = "\n\n".join(f"## {heading}\n\n{body}" for heading, body in sections.items())
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n# {name}\n\n{text}\n")


def write_model_card(folder: str | os.PathLike[str], config: SamConfig | SamVisionConfig, **known: Any) -> Path:
    """Write the model card of a checkpoint's folder, in place of one that lies there.

    Args:
        folder: of the checkpoint.
        config: of its model.
        **known: as in `make_model_card`; the name is the folder's by default.

    Returns:
        The file.
    """
    path = Path(folder) / CARD_FILE
    card = make_model_card(config, **{"name": Path(folder).resolve().name, **known})
    write_whole(path, lambda file: file.write(str(card).encode()))
    return path


_INTENDED_USE = """Masks of objects in images, by points, boxes or rough masks, or of everything without a prompt.
The model does not say what an object is. Masks can be wrong with a high predicted IoU: measure them on images of your
own before anything depends on them (`anymask evaluate`)."""

_USAGE = """```python
from anymask import SAM

sam = SAM("{name}")
results = sam.predict("photo.jpg", boxes=[60, 40, 520, 330])  # or points, masks, or nothing for everything
results[0].plot().save("overlay.png")
```

`SamModel.from_pretrained("{name}")` and `SamProcessor.from_pretrained("{name}")` load it too, in anymask and in
Transformers. It can be fine-tuned further (`anymask train FOLDER --model {name} --output OUT`). SAM takes no text: a
detector that does gives boxes, which `predict` takes with their `names`."""


def _read_report(path: str | os.PathLike[str], command: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        report = None
    if not isinstance(report, dict) or not set(keys) <= set(report):
        raise ValueError(f"{os.fspath(path)} must be report.json of `anymask {command}`, but lacks some of {[*keys]}.")
    return report


def _is_hub_id(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and not Path(name).exists()


def _last_part(name: str) -> str:
    """What may be told of a path: not where it lies on somebody's machine."""
    return name if _is_hub_id(name) else Path(name).name


def _describe(config: SamConfig | SamVisionConfig, base: str) -> str:
    vision: Any = getattr(config, "vision_config", config)
    known = _is_hub_id(base) or Path(base).name in PACKAGED_CHECKPOINTS
    made_from = f" Made from `{_last_part(base)}`." if base and known else ""
    return (
        f"A Segment Anything model: an image encoder of {vision.num_hidden_layers} blocks of {vision.hidden_size} "
        f"channels, for images of {vision.image_size} x {vision.image_size} pixels in patches of {vision.patch_size}; "
        f"a prompt encoder and a mask decoder.{made_from}"
    )


def _training_data(trained: Mapping[str, Any]) -> str:
    options = trained["options"]
    return (
        f"`{_last_part(str(options['data']))}`, of which a share of {options['validation']:g} was held out. "
        f"`anymask train` taught `{options['learn']}`, with prompts of the recipe `{options['recipe']}`.\n\n{UNKNOWN}"
    )


def _scores(trained: Mapping[str, Any] | None, reports: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    if trained:
        before, after = trained["before"], trained["after"]
        rows = [f"| {label} | {before[key]:.3f} | {after[key]:.3f} |" for key, label in TRAINING_SCORES.items()]
        parts.append(
            f"{after['objects']} objects of held-out images, before and after fine-tuning (`anymask train`):\n\n"
            + "\n".join(["| mean over objects | before | after |", "| --- | --- | --- |", *rows])
        )
    for report in reports:
        settings = report["settings"]
        rows = [
            f"| {group} | {score} | {row['mean']:.3f} | {_interval(row)} |"
            for group, score, row in _main_scores(report)
        ]
        rows += [f"| all | {score} | {value:.3f} | |" for score, value in report.get("summary", {}).items()]
        parts.append(
            f"`anymask evaluate {settings['task']}` on {_last_part(str(settings['data']))}, {report['samples']} "
            f"images, {report['objects']} objects, protocol {settings['protocol']}:\n\n"
            + "\n".join(["| prompt | score | mean | 95 % interval |", "| --- | --- | --- | --- |", *rows])
        )
    return "\n\n".join(parts) or "*Not measured. `anymask evaluate` measures, and writes reports for this card.*"


def _main_scores(report: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [
        (group, score, row)
        for group, scores in report["groups"].items()
        for score, row in scores.items()
        if _MAIN_SCORES.fullmatch(score)
    ]


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row.get("low") is None else f"{row['low']:.3f} to {row['high']:.3f}"


def _eval_results(report: Mapping[str, Any]) -> list[EvalResult]:
    """The scores in the form in which the hub compares models."""
    data = _last_part(str(report["settings"]["data"]))
    scores = [(f"{score} ({group})", score, row["mean"]) for group, score, row in _main_scores(report)]
    scores += [(score, score, value) for score, value in report.get("summary", {}).items()]
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=re.sub(r"[^\w.-]", "-", data),
            dataset_name=data,
            metric_type=score,
            metric_name=label,
            metric_value=round(float(value), 4),
        )
        for label, score, value in scores
    ]
