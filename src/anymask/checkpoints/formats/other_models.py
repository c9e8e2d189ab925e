"""Other models whose files people try, by the names of their tensors; by names of files see `weights/names.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Looked for in this order: later ones are found in files of earlier ones too. Names are those of the authors' files
# and of Transformers' ports.
_RELATIVES = [
    ("SAM 3", r"(detector|tracker)\.(backbone|transformer|sam_)|detector_model\.|tracker_model\."),
    (
        "SAM 2",
        r"image_encoder\.trunk\.|sam_(mask_decoder|prompt_encoder)\.|memory_(attention|encoder)\."
        r"|vision_encoder\.backbone\.|no_memory_embedding",
    ),
    (
        "MobileSAM, TinySAM or LiteMedSAM (a TinyViT image encoder)",
        r"image_encoder\.(patch_embed\.seq|layers\.\d+\.blocks)\.",
    ),
    ("SAM-HQ", r"mask_decoder\.(hf_token|hf_mlp|hq_token|hq_mask_mlp|compress_vit_)"),
    ("EfficientSAM", r"prompt_encoder\.bbox_(top_left|bottom_right)_embeddings"),
    ("EfficientViT-SAM", r"image_encoder\.(backbone|neck\.(input_ops|middle))\."),
    ("EdgeSAM or RepViT-SAM (a RepViT image encoder)", r"image_encoder\.features\."),
    ("SAM with LoRA weights that are not merged", r"\.(lora_|w_[ab]s?_linear|linear_[ab]_[qkv])|^w_[ab]_\d"),
    ("SAM with adapters (such as SAM-Med2D or Medical-SAM-Adapter)", r"\.\w*[aA]dapter\."),
    ("a ViT alone (such as MAE's), without SAM's neck", r"^(cls_token|encoder\.layer\.0|blocks\.0)"),
    ("a YOLO model (such as FastSAM)", r"^model\.\d+\.(conv|cv\d|m)\."),
]


def recognise_relative(names: Iterable[str]) -> str | None:
    """The model that has tensors of these names, if it is one that is known and is not SAM."""
    names = list(names)
    for relative, pattern in _RELATIVES:
        if any(re.search(pattern, name) for name in names):
            return relative
    return None
