"""The only file that touches Transformers' registries, and only when it is asked to.

After `register_with_transformers()`, `transformers.pipeline("mask-generation", ...)` and the Auto classes give the
classes of this package for the model types "sam" and "sam_vision_model". Importing anymask changes nothing.
"""

from __future__ import annotations

from typing import Any

import transformers

# Not from the top: there, some versions ask for torchvision first.
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES, AutoImageProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_sam import SamConfig, SamVisionConfig
from .image_processing_sam import SamImageProcessor
from .image_processing_sam_fast import SamImageProcessorFast
from .mask_generation_pipeline import MaskGenerationPipeline
from .modeling_sam import SamModel, SamVisionModel
from .processing_sam import SamProcessor

_TASK = "mask-generation"


def register_with_transformers() -> None:
    """Makes Transformers give this package's classes wherever it would give its own for SAM.

    Concerned are AutoConfig, AutoModel, AutoModelForMaskGeneration, AutoProcessor, AutoImageProcessor and
    `transformers.pipeline("mask-generation", ...)`, in this process and for the model types "sam" and
    "sam_vision_model". Other models keep their classes; the pipeline chooses by the model that it is given. Classes
    imported from transformers by name stay what they are. A second call changes nothing.
    """
    transformers.AutoConfig.register(SamConfig.model_type, SamConfig, exist_ok=True)
    transformers.AutoConfig.register(SamVisionConfig.model_type, SamVisionConfig, exist_ok=True)
    transformers.AutoModel.register(SamConfig, SamModel, exist_ok=True)
    transformers.AutoModel.register(SamVisionConfig, SamVisionModel, exist_ok=True)
    transformers.AutoModelForMaskGeneration.register(SamConfig, SamModel, exist_ok=True)
    AutoImageProcessor.register(
        SamConfig,
        image_processor_classes={"pil": SamImageProcessor, "torchvision": SamImageProcessorFast},
        exist_ok=True,
    )
    transformers.AutoProcessor.register(SamConfig, SamProcessor, exist_ok=True)
    _forget(IMAGE_PROCESSOR_MAPPING_NAMES, SamImageProcessor.__name__)
    _forget(PROCESSOR_MAPPING_NAMES, SamProcessor.__name__)
    _register_pipeline()


def _forget(table: dict[str, Any], class_name: str) -> None:
    """Removes Transformers' own classes of a name from one of its tables, model type to name or to names by backend.

    A checkpoint says what its processors are called, and Transformers looks a name up among its own classes before it
    looks among the registered ones (for image processors until 5.17).
    """
    for model_type, named in list(table.items()):
        if class_name in (named.values() if isinstance(named, dict) else [named]):
            del table[model_type]


def _register_pipeline() -> None:
    """Puts a class in the place of the task's pipeline that hands models of other kinds on to the one before it."""
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
