"""Short texts that say whether two image encoders, two ways of preprocessing, or two images are the same.

An image embedding is of use to the model that made it, of an image prepared as that model's images are. Fingerprints
say so without the model: `image_embedding.py` keeps them beside the tensor, `cache.py` files them by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..images.preparation import ImagePreprocessor
from ..modeling.outputs import HasImageEncoder

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

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes

_known: WeakKeyDictionary[nn.Module, tuple[Any, str]] = WeakKeyDictionary()


def model_fingerprint(model: HasImageEncoder) -> str:
    """Identify a model's image encoder: a hash of its configuration and of its weights rounded to bfloat16.

    So one checkpoint has one fingerprint, loaded in float32 or in bfloat16, from the hub's layout or Meta's. In float16
    it has another, as no rounding can give all three the same: values on both sides of the middle between two of
    bfloat16 are the same in float16, so both neighbours would have to count as one, and so on through all values. The
    image encoder in 8 bits has another too. Prompt encoder and mask decoder do not count: fine-tuning them leaves
    embeddings valid, and fine-tuning the image encoder does not.

    The hash takes about a second per gigabyte and is kept until a weight changes, whichever way: each call adds up all
    weights, which takes as long as reading them.

    Args:
        model: A `SamModel` or a `SamVisionModel`, on any device, in any floating type.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: If weights are on the meta device, which holds no values.
    """
    encoder = model.vision_encoder
    tensors = {
        # A compiled module says so in the names of its tensors.
        name.replace("_orig_mod.", ""): tensor.detach()
        for name, tensor in sorted(encoder.state_dict(keep_vars=True).items())
    }
    config = getattr(model.config, "vision_config", model.config)
    settings = {name: getattr(config, name) for name in _NOT_IN_TENSORS}
    _check_has_values(tensors)
    state = (str(settings), tuple(_identity(name, tensor) for name, tensor in tensors.items()), _sums(tensors.values()))
    remembered, fingerprint = _known.get(encoder, (None, ""))
    if remembered != state:
        fingerprint = _hash_encoder(tensors, settings)
        _known[encoder] = (state, fingerprint)
    return fingerprint


def weights_digest(model: nn.Module, without: Collection[str] = ()) -> str:
    """Hash all weights of a model, bit for bit; unlike `model_fingerprint` those that decode too.

    Args:
        model: On any device; another number format has another digest.
        without: Names of tensors that do not count, such as a second name of one that does.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name in without:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def preprocessing_fingerprint(image_processor: ImagePreprocessor) -> str:
    """Describe what decides the pixels that the model sees, as JSON: the processor's class, and options with effect.

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
    """Say what differs between two fingerprints of preprocessing, option by option."""
    first, second = json.loads(made_with), json.loads(asked_for)
    return [
        f"{name} was {first.get(name)} and is {second.get(name)}"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    ]


def image_fingerprint(image: Image.Image | np.ndarray) -> str:
    """Hash an image's values, size and type.

    Args:
        image: as `anymask.load_image` returns it, so that a file and its decoded pixels are the same image.
    """
    pixels = np.ascontiguousarray(image)
    digest = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _identity(name: str, tensor: Tensor) -> tuple[Any, ...]:
    """What differs for another tensor, and after most changes; `_sums` sees the others."""
    version = None if tensor.is_inference() else tensor._version
    return name, tensor.data_ptr(), version, tensor.dtype, tensor.device, tensor.shape


def _sums(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """A number per tensor that changes with any of its bits: the sum of its bytes, eight by eight, as whole numbers.

    Fused optimisers, `.data` (peft's merges, averages of weights) and NumPy views change weights without a trace at the
    tensor. A sum of floats would round small changes away.
    """
    sums = []
    for tensor in tensors:
        flat = tensor.reshape(-1)
        per_word = 8 // flat.element_size()
        whole = flat.numel() - flat.numel() % per_word
        words, rest = flat[:whole], flat[whole:]
        # A view of a larger buffer may begin between two words.
        aligned = words if flat.storage_offset() % per_word == 0 else words.clone()
        in_words = aligned.view(torch.int64) if whole else aligned.new_zeros(0, dtype=torch.int64)
        of_rest = rest.view(_INTEGERS[rest.element_size()]).sum(dtype=torch.int64)
        sums.append((in_words.sum() + of_rest).reshape(1))
    return tuple(torch.cat([total.cpu() for total in sums]).tolist()) if sums else ()


def _check_has_values(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ValueError(
                f"The model must have its weights to be told from others, but {name!r} is on the meta device; "
                "load the model onto a device that can hold it."
            )


def _hash_encoder(tensors: dict[str, Tensor], settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().data)
    return digest.hexdigest()
