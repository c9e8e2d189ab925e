"""anymask: Segment Anything (SAM) in Hugging Face Transformers form.

This file is the public list and nothing else. A name is imported when it is first used, so `import anymask` is quick
and a missing optional dependency shows only where it is needed. Start reading at `network.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "SAM",
    "CandidateMasks",
    "EmbeddingCache",
    "ImageEmbedding",
    "MaskGenerationOptions",
    "MaskGenerationPipeline",
    "ModelInfo",
    "ResizeGeometry",
    "Results",
    "SamAutomaticMaskGenerator",
    "SamConfig",
    "SamImageProcessor",
    "SamImageProcessorFast",
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
    from .coordinates import ResizeGeometry
    from .embedding_cache import EmbeddingCache
    from .image_embedding import ImageEmbedding, embed_image
    from .image_processing_sam import SamImageProcessor
    from .image_processing_sam_fast import SamImageProcessorFast
    from .images import load_image
    from .mask_decoder import CandidateMasks
    from .mask_generation import SamMaskGenerator
    from .mask_generation_options import MaskGenerationOptions
    from .mask_generation_pipeline import MaskGenerationPipeline
    from .meta_api import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
    from .model_summary import ModelInfo, model_info
    from .modeling_base import SamPreTrainedModel
    from .modeling_sam import SamModel, SamVisionEncoderOutput, SamVisionModel
    from .network import SamImageSegmentationOutput
    from .overlay import draw_overlay
    from .pipelines import pipeline
    from .processing_sam import SamProcessor
    from .quantization import quantize_image_encoder
    from .registration import register_with_transformers
    from .results import Results
    from .sam import SAM
    from .sessions import SamSession

_HOME_OF = {
    "SAM": "sam",
    "CandidateMasks": "mask_decoder",
    "EmbeddingCache": "embedding_cache",
    "ImageEmbedding": "image_embedding",
    "MaskGenerationOptions": "mask_generation_options",
    "MaskGenerationPipeline": "mask_generation_pipeline",
    "ModelInfo": "model_summary",
    "ResizeGeometry": "coordinates",
    "Results": "results",
    "SamAutomaticMaskGenerator": "meta_api",
    "SamConfig": "configuration_sam",
    "SamImageProcessor": "image_processing_sam",
    "SamImageProcessorFast": "image_processing_sam_fast",
    "SamImageSegmentationOutput": "network",
    "SamMaskDecoderConfig": "configuration_sam",
    "SamMaskGenerator": "mask_generation",
    "SamModel": "modeling_sam",
    "SamPreTrainedModel": "modeling_base",
    "SamPredictor": "meta_api",
    "SamProcessor": "processing_sam",
    "SamPromptEncoderConfig": "configuration_sam",
    "SamSession": "sessions",
    "SamVisionConfig": "configuration_sam",
    "SamVisionEncoderOutput": "modeling_sam",
    "SamVisionModel": "modeling_sam",
    "draw_overlay": "overlay",
    "embed_image": "image_embedding",
    "load_image": "images",
    "model_info": "model_summary",
    "pipeline": "pipelines",
    "quantize_image_encoder": "quantization",
    "register_with_transformers": "registration",
    "sam_model_registry": "meta_api",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its home on first use (PEP 562)."""
    if name not in _HOME_OF:
        from .options import did_you_mean

        hint = did_you_mean(name, __all__, otherwise=f"its public names are {', '.join(__all__)}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
