"""Image embeddings made once, so that training the decoder never runs the image encoder.

    model.freeze("vision_encoder")
    cached = cache_image_embeddings(model, samples, folder="run/embeddings")

The result is a data set like the one before, with `image_embeddings` where `pixel_values` were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import Dataset

from ..embeddings.fingerprints import model_fingerprint
from ..modeling_sam import SamModel
from ..support.atomic_files import write_whole
from .samples import DrawsEachEpoch, SampleObjects, SamplesByIndex, TrainingSamples

DTYPES = (torch.float16, torch.bfloat16, torch.float32)


class PackedObjects(NamedTuple):
    """Labels at two bits for each pixel, and boxes."""

    is_one: np.ndarray
    is_unknown: np.ndarray
    shape: tuple[int, ...]
    boxes_xyxy: Tensor  # (objects, 4), in pixels of the model's input

    @classmethod
    def of(cls, objects: SampleObjects) -> PackedObjects:
        """Pack the objects of a sample."""
        labels = objects["labels"].numpy()
        return cls(np.packbits(labels == 1), np.packbits(labels == -1), labels.shape, objects["boxes_xyxy"])

    def unpacked(self) -> SampleObjects:
        """The objects that were packed."""
        count = int(np.prod(self.shape))
        is_one, is_unknown = (
            np.unpackbits(plane, count=count).reshape(self.shape) for plane in (self.is_one, self.is_unknown)
        )
        labels = torch.from_numpy(is_one.astype(np.int8) - is_unknown.astype(np.int8))
        return {"labels": labels, "boxes_xyxy": self.boxes_xyxy}


class CachedEmbeddings(Dataset):
    """Samples whose images are encoded already; made by `cache_image_embeddings`.

    Args:
        samples: the data set with images; of any but `TrainingSamples` they are read again with each sample.
        embeddings: of each image, or the file that holds it.
        objects: of each of the `TrainingSamples`.
    """

    def __init__(
        self, samples: SamplesByIndex, embeddings: Sequence[Tensor | Path], objects: Sequence[PackedObjects] = ()
    ) -> None:
        self.samples = samples
        self._embeddings = embeddings
        self._objects = objects

    def __len__(self) -> int:
        return len(self._embeddings)

    def set_epoch(self, epoch: int) -> None:
        """Hand on to the samples; see `TrainingSamples.set_epoch`."""
        if isinstance(self.samples, DrawsEachEpoch):
            self.samples.set_epoch(epoch)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if isinstance(self.samples, TrainingSamples):
            sample = self.samples.draw(index, self._objects[index].unpacked())
        else:
            sample = {name: value for name, value in self.samples[index].items() if name != "pixel_values"}
        return {"image_embeddings": self.embedding(index), **sample}

    def embedding(self, index: int) -> Tensor:
        """(channels, height, width) of one image, in the type that it is kept in."""
        kept = self._embeddings[index]
        return load_file(kept)["image_embeddings"] if isinstance(kept, Path) else kept


@torch.no_grad()
def cache_image_embeddings(
    model: SamModel,
    samples: SamplesByIndex,
    dtype: torch.dtype = torch.float16,
    folder: str | Path | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> CachedEmbeddings:
    """Encode the image of every sample.

    Args:
        model: its image encoder is run as it is now; train it no further.
        samples: a data set whose samples have `pixel_values`, such as `TrainingSamples`, whose labels are kept too, at
            two bits for each pixel.
        dtype: what embeddings are kept in: 2 MB for each image in float16, for SAM itself.
        folder: where they are kept, a file for each image, found again by a later run with the same image encoder and
            pixels. None keeps them in memory.
        progress: goes through the indices, a progress bar for one.

    Raises:
        ValueError: If the samples change their images from epoch to epoch, or the dtype is no floating one.
    """
    if isinstance(samples, TrainingSamples) and samples.augment is not None:
        raise ValueError(
            "Embeddings can be kept only of images that stay as they are, but these samples are augmented; leave out "
            "`augment`, or train without the cache."
        )
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(map(str, DTYPES))}, got {dtype}.")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    model_key = model_fingerprint(model)
    was_training = model.training
    model.eval()
    embeddings: list[Tensor | Path] = []
    objects: list[PackedObjects] = []
    for index in progress(range(len(samples))):
        if isinstance(samples, TrainingSamples):
            prepared = samples.prepare(index)
            pixel_values = samples.pixel_values(prepared)
            objects.append(PackedObjects.of(prepared))
        else:
            pixel_values = samples[index]["pixel_values"]
        embeddings.append(_encode(model, pixel_values, dtype, folder, model_key=model_key))
    model.train(was_training)
    return CachedEmbeddings(samples, embeddings, objects)


def _encode(
    model: SamModel, pixel_values: Tensor, dtype: torch.dtype, folder: str | Path | None, model_key: str
) -> Tensor | Path:
    path = None
    if folder is not None:
        pixels = pixel_values.contiguous().numpy()
        key = hashlib.sha256(f"{model_key} {dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
        path = Path(folder) / f"{key}.safetensors"
        if path.exists():
            return path
    batch = pixel_values[None].to(model.device)
    embedding = model.get_image_embeddings(batch, interpolate_pos_encoding=True)[0]
    if dtype == torch.float16 and embedding.abs().max() > torch.finfo(dtype).max:
        raise ValueError("Embeddings must lie within float16's 65504 to be kept in it; pass dtype=torch.bfloat16.")
    embedding = embedding.to(dtype).cpu()
    if path is None:
        return embedding
    write_whole(path, lambda file: file.write(save({"image_embeddings": embedding.contiguous()})))
    return path
