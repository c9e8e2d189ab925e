"""Short texts that say whether two image encoders, two ways of preprocessing, or two images are the same.

An image embedding is of use to the model that made it, of an image prepared as that model's images are. Fingerprints
say so without the model: `image_embedding.py` keeps them beside the tensor, `embedding_cache.py` files them by it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

# What an image encoder computes with, beyond what the names and shapes of its tensors say.
_NOT_IN_TENSORS = (
    *("image_size", "patch_size", "num_attention_heads", "hidden_act", "layer_norm_eps", "window_size"),
    "global_attn_indexes",
)
# Which options of an image processor mean something only where another is set.
_OPTIONS_UNDER = {
    "do_resize": ("size", "resample"),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
    "do_pad": ("pad_size", "size_divisor"),
}

_known: WeakKeyDictionary[nn.Module, tuple[Any, str]] = WeakKeyDictionary()


def model_fingerprint(model: Any) -> str:
    """What identifies a model's image encoder: a hash of its configuration and of its weights rounded to bfloat16.

    So one checkpoint has one fingerprint, loaded in float32 or in bfloat16, from the hub's layout or Meta's. In float16
    it has another, as no rounding can give all three the same: values on both sides of the middle between two of
    bfloat16 are the same in float16, so both neighbours would have to count as one, and so on through all values. The
    image encoder in 8 bits has another too. Prompt encoder and mask decoder do not count: fine-tuning them leaves
    embeddings valid, and fine-tuning the image encoder does not.

    The hash takes about a second per gigabyte and is kept until a weight changes. A change that goes around autograd
    (`weight.data.add_(...)`) cannot be seen; write `with torch.no_grad(): weight.add_(...)`.

    Args:
        model: a `SamModel` or a `SamVisionModel`, on any device, in any floating type.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: weights are on the meta device, which holds no values.
    """
    encoder = model.vision_encoder
    tensors = {
        # A compiled module says so in the names of its tensors.
        name.replace("_orig_mod.", ""): tensor.detach()
        for name, tensor in sorted(encoder.state_dict(keep_vars=True).items())
    }
    state = tuple((name, *_state(tensor)) for name, tensor in tensors.items())
    remembered, fingerprint = _known.get(encoder, (None, ""))
    if remembered != state:
        config = getattr(model.config, "vision_config", model.config)
        fingerprint = _hash_encoder(tensors, {name: getattr(config, name) for name in _NOT_IN_TENSORS})
        if not any(tensor.is_inference() for tensor in tensors.values()):  # those do not count their changes
            _known[encoder] = (state, fingerprint)
    return fingerprint


def preprocessing_fingerprint(image_processor: Any) -> str:
    """What decides the pixels that the model sees, as JSON: the processor's class, and those options that have effect.

    The class counts because `SamImageProcessor` and `SamImageProcessorFast` resize differently by one 8-bit step.

    Args:
        image_processor: one of anymask's image processors.
    """
    options = image_processor.to_dict()
    kept = {name: value for name, value in options.items() if not name.startswith(("mask_", "processor_class"))}
    for switch, names in _OPTIONS_UNDER.items():
        if not options[switch]:
            kept = {name: value for name, value in kept.items() if name not in names}
    if kept.get("pad_size") is not None:
        kept.pop("size_divisor", None)
    return json.dumps(kept, sort_keys=True)


def preprocessing_differences(made_with: str, asked_for: str) -> list[str]:
    """In words, what differs between two fingerprints of preprocessing, option by option."""
    first, second = json.loads(made_with), json.loads(asked_for)
    return [
        f"{name} was {first.get(name)} and is {second.get(name)}"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    ]


def image_fingerprint(image: Image.Image | np.ndarray) -> str:
    """A hash of an image's values, size and type.

    Args:
        image: as `anymask.load_image` returns it, so that a file and its decoded pixels are the same image.
    """
    pixels = np.ascontiguousarray(image)
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _state(tensor: Tensor) -> tuple[Any, ...]:
    version = None if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, tensor.dtype, tensor.device


def _hash_encoder(tensors: dict[str, Tensor], settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ValueError(
                f"The model must have its weights to be told from others, but {name!r} is on the meta device; "
                "load the model onto a device that can hold it."
            )
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().data)
    return digest.hexdigest()
