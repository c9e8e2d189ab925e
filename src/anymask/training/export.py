"""A trained model as a folder that `from_pretrained` loads: half-precision weights and the processor's settings."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from ..modeling_sam import SamModel
from ..processing_sam import SamProcessor
from .nano import nano_image_processor


def export_model(model: SamModel, folder: Path) -> Path:
    """Write the configuration, the weights in float16 and the settings of the processor into `folder`.

    The model itself stays as it is. The configuration says float32, so that the half-size file is loaded for computing
    and training in full precision unless `dtype=` says otherwise.
    """
    half = copy.deepcopy(model).to(torch.float16)
    half.save_pretrained(folder)
    half.config.dtype = torch.float32
    half.config.save_pretrained(folder)
    image_processor = nano_image_processor(model.config.vision_config.image_size)
    SamProcessor(image_processor).save_pretrained(folder)
    image_processor.save_pretrained(folder)
    return folder
