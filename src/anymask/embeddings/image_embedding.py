"""ImageEmbedding: what the image encoder makes of an image, with all that is needed to use it later and elsewhere.

Encoding is nearly all of the work, and prompts come afterwards: a file of the embedding answers them without the image.
`embed_image` makes one; the model, `SamMaskGenerator` and everything above them take it in the place of an image. What
was made by another model or preprocessing is refused, by the fingerprints of `fingerprints.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..geometry.coordinates import ResizeGeometry
from ..images.load import load_image
from ..images.preparation import ImagePreprocessor, Processor, image_processor_of
from ..modeling.outputs import EncodingModel
from ..support.atomic_files import write_whole
from .encoding import EncodedImage, encode_image
from .fingerprints import image_fingerprint, model_fingerprint, preprocessing_differences, preprocessing_fingerprint

_FORMAT = "anymask image embedding 2"  # 1 had no digest
_TENSOR_NAME = "image_embedding"
_AGAIN = "make it again with anymask.embed_image"


class Cache(Protocol):
    """What `embed_image` asks of a cache; `EmbeddingCache` is one."""

    def get(self, key: str) -> ImageEmbedding | None:
        """The embedding that was put under this key, or None."""

    def put(self, key: str, embedding: ImageEmbedding) -> None:
        """Keep an embedding under this key."""


@dataclass(frozen=True, eq=False)
class ImageEmbedding(EncodedImage):
    """The image encoder's output for one image, which says what made it and can be kept.

    Attributes:
        tensor: see `EncodedImage`.
        geometry: see there.
        model_fingerprint: which image encoder made it; see `anymask.embeddings.fingerprints`.
        preprocessing: how the image was prepared, as JSON; see there too.
        name: of the image, for people; None where nobody gave one.

    Raises:
        ValueError: If the tensor is not floating, or has another shape.

    Examples:
        >>> from anymask import SAM, ImageEmbedding
        >>> sam = SAM("sam-vit-nano")
        >>> sam.embed("photo.jpg").save("photo.safetensors", dtype="float16")
        >>> embedding = ImageEmbedding.load("photo.safetensors")
        >>> embedding.original_size_hw
        (400, 600)
        >>> [result] = sam.predict(embedding, points=[300, 200])
    """

    model_fingerprint: str
    preprocessing: str
    name: str | None = None

    def check_model(self, model: EncodingModel) -> None:
        """Refuse a model whose image encoder did not make this embedding.

        Raises:
            ValueError: If another model made it.
        """
        fingerprint = model_fingerprint(model)
        if fingerprint != self.model_fingerprint:
            is_half = torch.float16 in (model.dtype, self.tensor.dtype)
            other_type = " In float16 a checkpoint has another hash than in float32 or bfloat16." if is_half else ""
            raise ValueError(
                f"{self._called} must come from this model's image encoder, {fingerprint[:12]}, but "
                f"{self.model_fingerprint[:12]} made it (hashes of the weights); {_AGAIN}, or load that model."
                f"{other_type}"
            )

    def check_preprocessing(self, processor: Processor) -> None:
        """Refuse a processor, or image processor, that prepares images otherwise than this one was.

        Raises:
            ValueError: If another preprocessing made it; the message says what differs.
        """
        fingerprint = preprocessing_fingerprint(image_processor_of(processor))
        if fingerprint != self.preprocessing:
            differences = "; ".join(preprocessing_differences(self.preprocessing, fingerprint))
            raise ValueError(
                f"{self._called} must be of an image prepared as this processor does it, but {differences}; "
                f"{_AGAIN}, or load the processor that it was made with."
            )

    def to(self, device: str | torch.device) -> ImageEmbedding:
        """The same embedding with its tensor on another device."""
        return replace(self, tensor=self.tensor.to(device))

    def save(self, path: str | os.PathLike[str], dtype: str | None = None, key: str | None = None) -> None:
        """Write a safetensors file, whole or not at all.

        Args:
            path: of the file; an existing one is replaced.
            dtype: "float16" halves what float32 takes: values are rounded by less than one part in a thousand. None
                keeps them as they are.
            key: of the entry that the file is in a cache.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If the dtype is another, or some value is beyond float16's 65504.
        """
        if dtype not in (None, "float16"):
            raise ValueError(f"`dtype` must be 'float16', or None to keep {self.tensor.dtype}, got {dtype!r}.")
        tensor = self.tensor.detach().cpu().contiguous()
        if dtype == "float16":
            if tensor.abs().max() > torch.finfo(torch.float16).max:
                raise ValueError(
                    f"{self._called} must lie within float16's 65504 to be saved as float16, got values up to "
                    f"{tensor.abs().max().item():g}; save it with dtype=None."
                )
            tensor = tensor.half()
        metadata = {
            "format": _FORMAT,
            "geometry": json.dumps(vars(self.geometry)),
            "model_fingerprint": self.model_fingerprint,
            "preprocessing": self.preprocessing,
            **({} if self.name is None else {"name": self.name}),
            **({} if key is None else {"key": key}),
        }
        metadata["digest"] = _digest(tensor, metadata)
        write_whole(path, lambda file: file.write(save({_TENSOR_NAME: tensor}, metadata)))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str | torch.device | None = None, key: str | None = None
    ) -> ImageEmbedding:
        """Read a file that `save` wrote.

        Args:
            path: of the file.
            device: where the tensor goes. None leaves it in the file, mapped into memory, which the system may take
                back where memory is short.
            key: of the entry that the file must be in a cache; None takes any.

        Raises:
            OSError: If there is no readable file.
            ValueError: If a bit of it is not as it was written, if it is no image embedding or another entry's, or if
                it is taken away while it is read.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path} must be a file that ImageEmbedding.save wrote, but there is no such file.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise KeyError(f"its metadata is {metadata or 'empty'}")
                tensor = file.get_tensor(_TENSOR_NAME)
            if metadata.get("digest") != _digest(tensor, metadata):
                raise ValueError("its values are not those that were written")
            if key is not None and metadata.get("key") != key:
                raise ValueError(f"it is of {metadata.get('key')!r}, not of {key!r}")
            geometry = ResizeGeometry(**json.loads(metadata["geometry"]))
            embedding = cls(
                tensor, geometry, metadata["model_fingerprint"], metadata["preprocessing"], name=metadata.get("name")
            )
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            # RuntimeError: safe_open has torch open the file again, which another process may have taken away.
            raise ValueError(
                f"{path} must be a whole file that ImageEmbedding.save wrote, but it is cut short, damaged or of "
                f"another kind ({error.args[0] if error.args else error!r}); {_AGAIN}."
            ) from error
        return embedding if device is None else embedding.to(device)

    @property
    def _called(self) -> str:
        return "The image embedding" if self.name is None else f"The image embedding of {self.name!r}"


def _digest(tensor: Tensor, metadata: Mapping[str, str]) -> str:
    """What says that a file is as it was written: a hash of the values, their shape and type, and all that is said."""
    said = {name: text for name, text in metadata.items() if name != "digest"}
    digest = hashlib.sha256(json.dumps([said, str(tensor.dtype), list(tensor.shape)], sort_keys=True).encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def embed_image(
    model: EncodingModel, processor: Processor, image: Any, *, name: str | None = None, cache: Cache | None = None
) -> ImageEmbedding:
    """Run the image encoder on one image.

    Args:
        model: a `SamModel`, on any device, in any floating type; the embedding is on its device, in its type.
        processor: its `SamProcessor`, or that one's image processor.
        image: path, URL, Pillow image, array or tensor; see `anymask.load_image`.
        name: of the image, kept with the embedding.
        cache: an `EmbeddingCache`; an image found there is not encoded, one not found is kept there.

    Examples:
        >>> from anymask import SamModel, SamProcessor, embed_image
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> embed_image(model, processor, "photo.jpg").tensor.shape
        torch.Size([1, 128, 40, 40])
    """
    image_processor = image_processor_of(processor)
    if cache is None:
        return with_fingerprints(encode_image(model, image_processor, image), model, image_processor, name)
    image = load_image(image)
    key = embedding_key(model, image_processor, image)
    embedding = cache.get(key)
    if embedding is None:
        embedding = with_fingerprints(encode_image(model, image_processor, image), model, image_processor, name)
        cache.put(key, embedding)
    return replace(embedding.to(model.device), name=name)


def check_embedding(model: EncodingModel, processor: Processor, embedding: EncodedImage) -> None:
    """Refuse an embedding that says it is of another model, or of an image that was prepared otherwise.

    Args:
        model: That the embedding is to be used with.
        processor: The model's, or its image processor.
        embedding: One that says nothing of what made it passes.

    Raises:
        ValueError: If another model or preprocessing made it.
    """
    if isinstance(embedding, ImageEmbedding):
        embedding.check_model(model)
        embedding.check_preprocessing(processor)


def embedding_key(model: EncodingModel, image_processor: ImagePreprocessor, image: Any) -> str:
    """Under which a cache keeps an embedding: a hash of the image, as `load_image` gives it, and of what is done to it.

    The model's type counts here, though not in its fingerprint: a cache must not change results.
    """
    parts = (
        image_fingerprint(image),
        model_fingerprint(model),
        preprocessing_fingerprint(image_processor),
        str(model.dtype),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def with_fingerprints(
    encoded: EncodedImage, model: EncodingModel, image_processor: ImagePreprocessor, name: str | None
) -> ImageEmbedding:
    """What was encoded, with all that is needed to keep it; model and image processor are those that made it."""
    return ImageEmbedding(
        tensor=encoded.tensor,
        geometry=encoded.geometry,
        model_fingerprint=model_fingerprint(model),
        preprocessing=preprocessing_fingerprint(image_processor),
        name=name,
    )
