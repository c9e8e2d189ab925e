"""A trained model as a folder that ``from_pretrained`` loads: half-precision weights and the image processor's settings."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..modeling_sam import SamModel


def export_model(model: SamModel, folder: Path) -> Path:
    """Write config.json, model.safetensors (float16) and preprocessor_config.json into ``folder``.

    The model itself stays as it is.
    """
    copy.deepcopy(model).to(torch.float16).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessor_config(model), indent=2) + "\n")
    return folder


def _preprocessor_config(model: SamModel) -> dict:
    """Longest side to the model's size, ImageNet normalisation, padding right and below: what training did."""
    image_size = model.config.vision_config.image_size
    mask_size = image_size // model.config.vision_config.patch_size * 4
    return {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"longest_edge": image_size},
        "mask_size": {"longest_edge": mask_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(IMAGENET_DEFAULT_MEAN),
        "image_std": list(IMAGENET_DEFAULT_STD),
        "do_pad": True,
        "pad_size": {"height": image_size, "width": image_size},
        "mask_pad_size": {"height": mask_size, "width": mask_size},
    }
