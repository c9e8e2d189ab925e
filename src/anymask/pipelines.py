"""`anymask.pipeline`: a checkpoint's name in, a pipeline out, with the arguments of `transformers.pipeline`.

The pipeline itself is in `mask_generation_pipeline.py`.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from .image_processing_sam import HUB_OPTIONS
from .mask_generation_pipeline import LOADER_OPTIONS, PIPELINE_OPTIONS, MaskGenerationPipeline
from .modeling_sam import SamModel
from .processing_sam import SamProcessor
from .support.unknown_names import check_known_options

TASK = "mask-generation"
DEFAULT_CHECKPOINT = "sam-vit-nano"


def pipeline(
    task: str | None = TASK,
    model: Any = None,
    config: Any = None,
    tokenizer: None = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    video_processor: None = None,
    processor: Any = None,
    revision: str | None = None,
    use_fast: bool | None = None,
    token: str | bool | None = None,
    device: int | str | torch.device | None = None,
    device_map: Any = None,
    dtype: torch.dtype | str | None = None,
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: type[MaskGenerationPipeline] | None = None,
    *,
    torch_dtype: torch.dtype | str | None = None,
    local_files_only: bool | None = None,
    **kwargs: Any,
) -> MaskGenerationPipeline:
    """Makes a mask-generation pipeline; arguments and their order are those of `transformers.pipeline`.

    Args:
        task: "mask-generation".
        model: a `SamModel`, or the name of a packaged checkpoint, a folder, a file of weights, or a hub id; the
            packaged demonstration model by default.
        config: a `SamConfig` to load the model with, or where to load one from; the model's own by default.
        tokenizer: must be None, SAM takes no text.
        feature_extractor: an old name of `image_processor`.
        image_processor: a processor of this package, or where to load one from; that of the model by default.
        video_processor: must be None, SAM takes images.
        processor: a `SamProcessor`, or where to load one from, in place of `image_processor`.
        revision: of model and processor on the hub.
        use_fast: True for `SamImageProcessorFast`, False for `SamImageProcessor`; see `SamProcessor.from_pretrained`.
        token: for the hub.
        device: where to run. By default a model that is passed stays where it is, and one that is loaded goes to an
            accelerator if there is one.
        device_map: for `from_pretrained`, in place of `device`.
        dtype: floating type to load the model in; "auto" takes that of the checkpoint.
        trust_remote_code: no effect: no code of a checkpoint is ever run.
        model_kwargs: further arguments of `SamModel.from_pretrained`, such as `attn_implementation` or `cache_dir`.
        pipeline_class: a subclass of `MaskGenerationPipeline` to make.
        torch_dtype: an old name of `dtype`.
        local_files_only: do not ask the hub, take what was downloaded before.
        **kwargs: options and `batch_size`, `num_workers`, as in `MaskGenerationPipeline`.

    Raises:
        ValueError: the task is another one, arguments contradict each other, or a model that is passed comes without
            its processor.
        TypeError: an option is unknown.
    """
    if task not in (None, TASK):
        raise ValueError(f"`task` must be {TASK!r}, got {task!r}; transformers.pipeline has the others.")
    if tokenizer is not None or video_processor is not None:
        raise ValueError("`tokenizer` and `video_processor` must be None: SAM takes images, no text and no video.")
    check_known_options(kwargs, (*PIPELINE_OPTIONS, *LOADER_OPTIONS), "pipeline")  # before a model is loaded
    model = DEFAULT_CHECKPOINT if model is None else model
    model_kwargs = dict(model_kwargs or {})
    loading = _one_of_each(
        dict(dtype=model_kwargs.pop("torch_dtype", None)),
        model_kwargs,
        dict(dtype=torch_dtype),
        dict(dtype=dtype, device_map=device_map, config=config),
        dict(revision=revision, token=token, local_files_only=local_files_only),
    )
    if device is not None and "device_map" in loading:
        raise ValueError(f"`device` or `device_map` must be None, got {device!r} and {loading['device_map']!r}.")

    where = {name: value for name, value in loading.items() if name in HUB_OPTIONS}
    given = next((part for part in (image_processor, feature_extractor, processor) if part is not None), None)
    processor = _load_image_processor(given, model, use_fast, where)
    if _is_name(model):
        model = SamModel.from_pretrained(model, **loading)
    else:
        _check_loads_nothing(loading)
        device = model.device if device is None else device
    make = pipeline_class or MaskGenerationPipeline
    return make(model=model, image_processor=processor, task=TASK, device=device, **kwargs)


def _load_image_processor(given: Any, model: Any, use_fast: bool | None, where: dict[str, Any]) -> Any:
    """The image processor that is given, or loaded from the name that is given, or from where the model came."""
    given = getattr(given, "image_processor", given)
    if given is None:
        given = model if _is_name(model) else getattr(model.config, "_name_or_path", "") or None
    if given is None:
        raise ValueError("`image_processor` must be given with a model that was not loaded by name, got none.")
    if not _is_name(given):
        return given
    return SamProcessor.from_pretrained(given, use_fast=use_fast, **where).image_processor


def _check_loads_nothing(loading: dict[str, Any]) -> None:
    """Refuses what would silently have no effect on a model that is loaded already."""
    as_it_is = {"dtype": "auto"}
    unused = sorted(name for name in loading if name not in HUB_OPTIONS and loading[name] != as_it_is.get(name))
    if unused:
        raise ValueError(
            f"`{'`, `'.join(unused)}` must come with the name of a checkpoint, got a model that is loaded already."
        )


def _one_of_each(*sources: dict[str, Any]) -> dict[str, Any]:
    """Arguments from several dictionaries, without those that are None.

    Raises:
        ValueError: an argument has two values.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            if value is not None and merged.setdefault(name, value) != value:
                raise ValueError(f"`{name}` must be given once, got {merged[name]!r} and {value!r}.")
    return merged


def _is_name(model_or_processor: Any) -> bool:
    """Whether this says where to load something from."""
    return isinstance(model_or_processor, (str, os.PathLike))
