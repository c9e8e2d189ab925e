"""The public list: every public name and its home. Python reads it too, see `__init__.py`."""

from .configuration_sam import SamConfig as SamConfig
from .configuration_sam import SamMaskDecoderConfig as SamMaskDecoderConfig
from .configuration_sam import SamPromptEncoderConfig as SamPromptEncoderConfig
from .configuration_sam import SamVisionConfig as SamVisionConfig
from .embeddings.cache import EmbeddingCache as EmbeddingCache
from .embeddings.image_embedding import ImageEmbedding as ImageEmbedding
from .embeddings.image_embedding import embed_image as embed_image
from .geometry.coordinates import ResizeGeometry as ResizeGeometry
from .image_processing_sam import SamImageProcessor as SamImageProcessor
from .image_processing_sam import SamImageProcessorPil as SamImageProcessorPil
from .image_processing_sam_fast import SamImageProcessorFast as SamImageProcessorFast
from .images.load import load_image as load_image
from .mask_generation.generator import SamMaskGenerator as SamMaskGenerator
from .mask_generation.options import MaskGenerationOptions as MaskGenerationOptions
from .modeling.fast.int8 import quantize_image_encoder as quantize_image_encoder
from .modeling.outputs import MaskProposals as MaskProposals
from .modeling.outputs import SamImageSegmentationOutput as SamImageSegmentationOutput
from .modeling.outputs import SamVisionEncoderOutput as SamVisionEncoderOutput
from .modeling.summary import ModelInfo as ModelInfo
from .modeling.summary import model_info as model_info
from .modeling_sam import SamModel as SamModel
from .modeling_sam import SamPreTrainedModel as SamPreTrainedModel
from .modeling_sam import SamVisionModel as SamVisionModel
from .pipelines import MaskGenerationPipeline as MaskGenerationPipeline
from .pipelines import pipeline as pipeline
from .predictor.session import SamSession as SamSession
from .processing_sam import SamProcessor as SamProcessor
from .prompts.prompt import Prompt as Prompt
from .registration import register_with_transformers as register_with_transformers
from .results.overlay import draw_overlay as draw_overlay
from .results.results import Results as Results
from .sam import SAM as SAM
from .segment_anything import SamAutomaticMaskGenerator as SamAutomaticMaskGenerator
from .segment_anything import SamPredictor as SamPredictor
from .segment_anything import sam_model_registry as sam_model_registry

__version__: str
