"""The only file that touches Transformers' registries, and only when it is asked to.

After `register_with_transformers()`, `transformers.pipeline("mask-generation", ...)` and the Auto classes give the
classes of this package for the model types "sam" and "sam_vision_model". Importing anymask changes nothing.
"""

from __future__ import annotations

import os
from typing import Any

import transformers

# Not from the top: there, some versions ask for torchvision first.
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES, AutoImageProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_sam import SamConfig, SamVisionConfig
from .image_processing_sam import HUB_OPTIONS, SamImageProcessor
from .modeling_sam import SamModel, SamVisionModel
from .pipelines import MaskGenerationPipeline
from .processing_sam import SamProcessor, saved_image_processor_class
from .weights.names import resolve_checkpoint

_TASK = "mask-generation"


def register_with_transformers() -> None:
    """Make Transformers give this package's classes wherever it would give its own for SAM.

    Concerned are AutoConfig, AutoModel, AutoModelForMaskGeneration, AutoProcessor, AutoImageProcessor and
    `transformers.pipeline("mask-generation", ...)`, in this process and for the model types "sam" and
    "sam_vision_model". Other models keep their classes, SAM-HQ among them, whose files name SAM's image processor.
    A checkpoint gets the image processor that its file names, see docs/decisions/0013-image-processors.md, whichever of
    these loads it. Classes imported from transformers by name stay what they are. A second call changes nothing.

    Examples:
        >>> import transformers
        >>> from anymask import register_with_transformers
        >>> register_with_transformers()
        >>> type(transformers.AutoConfig.for_model("sam")).__module__
        'anymask.configuration_sam'
    """
    transformers.AutoConfig.register(SamConfig.model_type, SamConfig, exist_ok=True)
    transformers.AutoConfig.register(SamVisionConfig.model_type, SamVisionConfig, exist_ok=True)
    transformers.AutoModel.register(SamConfig, SamModel, exist_ok=True)
    transformers.AutoModel.register(SamVisionConfig, SamVisionModel, exist_ok=True)
    transformers.AutoModelForMaskGeneration.register(SamConfig, SamModel, exist_ok=True)
    AutoImageProcessor.register(SamConfig, image_processor_classes=_BY_CHECKPOINT, exist_ok=True)
    transformers.AutoProcessor.register(SamConfig, SamProcessor, exist_ok=True)
    # A checkpoint says what its processors are called, and Transformers looks a name up among its own classes before it
    # looks among the registered ones (for image processors until 5.17).
    for table in (IMAGE_PROCESSOR_MAPPING_NAMES, PROCESSOR_MAPPING_NAMES):
        table.pop(SamConfig.model_type, None)
    _register_pipeline()


def _image_processor_by_checkpoint(name: str, backend: str) -> type[SamImageProcessor]:
    """Make a class that loads the image processor of a checkpoint, ours for SAM and Transformers' for other models.

    Transformers looks an image processor up by the name in the file, and SAM-HQ's files say "SamImageProcessor" too.
    For SAM the file says which of our two it is, whatever Transformers' backend: which of them that is depends on
    whether torchvision is installed.

    Args:
        name: of the class, by which Transformers finds it.
        backend: of Transformers, for other models.
    """

    class ByCheckpoint(SamImageProcessor):
        @classmethod
        def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
            where = {key: value for key, value in kwargs.items() if key in HUB_OPTIONS}
            checkpoint = resolve_checkpoint(pretrained_model_name_or_path)
            if _model_type(checkpoint, where) in (SamConfig.model_type, SamVisionConfig.model_type, None):
                return saved_image_processor_class(checkpoint, **where).from_pretrained(checkpoint, **kwargs)
            theirs = "SamImageProcessorPil" if backend == "pil" else "SamImageProcessor"
            return getattr(transformers, theirs).from_pretrained(pretrained_model_name_or_path, **kwargs)

    ByCheckpoint.__name__ = ByCheckpoint.__qualname__ = name
    return ByCheckpoint


# The third is never asked for as a backend: it is there to be found by its name.
_BY_CHECKPOINT = {
    "pil": _image_processor_by_checkpoint("SamImageProcessor", "pil"),
    "torchvision": _image_processor_by_checkpoint("SamImageProcessor", "torchvision"),
    "anymask": _image_processor_by_checkpoint("SamImageProcessorPil", "pil"),
}


def _model_type(checkpoint: str | os.PathLike[str], where: dict[str, Any]) -> str | None:
    """What the configuration of a checkpoint says that it is; None where it has none."""
    try:
        config, _ = transformers.PreTrainedConfig.get_config_dict(checkpoint, **where)
    except OSError:
        return None
    return config.get("model_type")


def _register_pipeline() -> None:
    """Put a class in the place of the task's pipeline that hands models of other kinds on to the one before it."""
    _, task, _ = PIPELINE_REGISTRY.check_task(_TASK)
    before = task["impl"]
    if isinstance(before, type) and issubclass(before, MaskGenerationPipeline):
        return

    class MaskGenerationPipelineByModel(MaskGenerationPipeline):
        def __new__(cls, *args: Any, model: Any, **kwargs: Any) -> Any:
            if isinstance(model, SamModel):
                return MaskGenerationPipeline(*args, model=model, **kwargs)
            return _load_class(before)(*args, model=model, **kwargs)

    task["impl"] = MaskGenerationPipelineByModel


def _load_class(reference: Any) -> Any:
    """A pipeline class, which newer versions of Transformers keep as a dotted name."""
    if isinstance(reference, str):
        return getattr(transformers, reference.rpartition(".")[2])
    return reference
