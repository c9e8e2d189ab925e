"""anymask: Segment Anything (SAM) in Hugging Face Transformers form.

This file is the public list and nothing else. A name is imported when it is first used, so `import anymask` is quick
and a missing optional dependency shows only where it is needed. Start reading at `network.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "SAM",
    "EmbeddingCache",
    "ImageEmbedding",
    "MaskGenerationOptions",
    "MaskGenerationPipeline",
    "MaskProposals",
    "ModelInfo",
    "ResizeGeometry",
    "Results",
    "SamAutomaticMaskGenerator",
    "SamConfig",
    "SamImageProcessor",
    "SamImageProcessorFast",
    "SamImageProcessorPil",
    "SamImageSegmentationOutput",
    "SamMaskDecoderConfig",
    "SamMaskGenerator",
    "SamModel",
    "SamPreTrainedModel",
    "SamPredictor",
    "SamProcessor",
    "SamPromptEncoderConfig",
    "SamSession",
    "SamVisionConfig",
    "SamVisionEncoderOutput",
    "SamVisionModel",
    "draw_overlay",
    "embed_image",
    "load_image",
    "model_info",
    "pipeline",
    "quantize_image_encoder",
    "register_with_transformers",
    "sam_model_registry",
]

if TYPE_CHECKING:
    from .configuration_sam import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig
    from .embeddings.cache import EmbeddingCache
    from .embeddings.image_embedding import ImageEmbedding, embed_image
    from .geometry.coordinates import ResizeGeometry
    from .image_processing_sam import SamImageProcessor, SamImageProcessorPil
    from .image_processing_sam_fast import SamImageProcessorFast
    from .images.load import load_image
    from .mask_generation.generator import SamMaskGenerator
    from .mask_generation.options import MaskGenerationOptions
    from .mask_generation_pipeline import MaskGenerationPipeline
    from .modeling.fast.int8 import quantize_image_encoder
    from .modeling.outputs import MaskProposals, SamImageSegmentationOutput
    from .modeling.summary import ModelInfo, model_info
    from .modeling_base import SamPreTrainedModel
    from .modeling_sam import SamModel, SamVisionEncoderOutput, SamVisionModel
    from .pipelines import pipeline
    from .predictor.session import SamSession
    from .processing_sam import SamProcessor
    from .registration import register_with_transformers
    from .results.overlay import draw_overlay
    from .results.results import Results
    from .sam import SAM
    from .segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

_HOME_OF = {
    "SAM": "sam",
    "MaskProposals": "modeling.outputs",
    "EmbeddingCache": "embeddings.cache",
    "ImageEmbedding": "embeddings.image_embedding",
    "MaskGenerationOptions": "mask_generation.options",
    "MaskGenerationPipeline": "mask_generation_pipeline",
    "ModelInfo": "modeling.summary",
    "ResizeGeometry": "geometry.coordinates",
    "Results": "results.results",
    "SamAutomaticMaskGenerator": "segment_anything",
    "SamConfig": "configuration_sam",
    "SamImageProcessor": "image_processing_sam",
    "SamImageProcessorFast": "image_processing_sam_fast",
    "SamImageProcessorPil": "image_processing_sam",
    "SamImageSegmentationOutput": "modeling.outputs",
    "SamMaskDecoderConfig": "configuration_sam",
    "SamMaskGenerator": "mask_generation.generator",
    "SamModel": "modeling_sam",
    "SamPreTrainedModel": "modeling_base",
    "SamPredictor": "segment_anything",
    "SamProcessor": "processing_sam",
    "SamPromptEncoderConfig": "configuration_sam",
    "SamSession": "predictor.session",
    "SamVisionConfig": "configuration_sam",
    "SamVisionEncoderOutput": "modeling_sam",
    "SamVisionModel": "modeling_sam",
    "draw_overlay": "results.overlay",
    "embed_image": "embeddings.image_embedding",
    "load_image": "images.load",
    "model_info": "modeling.summary",
    "pipeline": "pipelines",
    "quantize_image_encoder": "modeling.fast.int8",
    "register_with_transformers": "registration",
    "sam_model_registry": "segment_anything",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its home on first use (PEP 562)."""
    if name not in _HOME_OF:
        from .support.unknown_names import did_you_mean

        hint = did_you_mean(name, __all__, otherwise=f"its public names are {', '.join(__all__)}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
