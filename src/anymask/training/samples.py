"""Images with masks as what the model takes: a sample is an image, its objects as labels, and the box of each object.

`TrainingSamples` wraps whatever gives samples (`anymask.data.open_dataset(...)`, or a list of `anymask.data.Sample`).
Labels are in the frame of the model's input, so that what was padded there is ignored by the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypedDict, TypeVar, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ..data.checks import ALMOST_FULL
from ..evaluation.tasks.clicks import next_click
from ..geometry.coordinates import (
    IGNORED_PIXEL,
    LABEL_BOX_BOTTOM_RIGHT,
    LABEL_BOX_TOP_LEFT,
    LABEL_PADDING,
    ResizeGeometry,
)
from ..images.preparation import Processor, image_processor_of
from ..masks.measures import outer_box_xyxy

MAX_LABEL_SIDE = 256
"""Longest side of labels unless asked otherwise: that of SAM's own masks before they are enlarged."""
SEED_BITS = 62


class ImageWithMasks(Protocol):
    """What a sample must have; `anymask.data.Sample` does."""

    @property
    def image(self) -> Any:
        """Of any kind that `anymask.load_image` takes, (H, W, 3) for an array."""

    @property
    def targets(self) -> np.ndarray:
        """(N, H, W): 1 object, 0 background, -1 ignored."""


SampleT = TypeVar("SampleT", bound=ImageWithMasks)


class SampleObjects(TypedDict):
    """The objects of an image that can be learned from."""

    labels: Tensor  # (objects, label height, label width) int8
    boxes_xyxy: Tensor  # (objects, 4), exact, in pixels of the model's input


class PreparedSample(SampleObjects):
    """An image with them."""

    image: Any  # of any kind that `anymask.load_image` takes


class SamplesByIndex(Protocol):
    """A data set as torch has it: samples, dictionaries of tensors, by their index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]: ...


@runtime_checkable
class DrawsEachEpoch(Protocol):
    """A data set whose samples are other ones in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Draw anew, for the epoch of this number."""


class TrainingSamples(Dataset, Generic[SampleT]):
    """Samples as dictionaries of tensors for `SamDataCollator`.

    Each has `pixel_values` (3, height, width); `labels` (objects, label height, label width) int8, -1 where nothing is
    known and where the image was padded; and `input_boxes` (objects, 4) float32, the exact box of each object in pixels
    of the model's input.

    Args:
        samples: images and masks, each read when it is asked for.
        processor: a `SamProcessor` or its image processor; it must bring all images to one size.
        max_objects: objects of an image that are used at a time, drawn anew in every epoch; None takes all.
        label_side: longest side of the labels in pixels; by default that of the model's input, at most 256.
        augment: changes a sample, image and masks together, with the generator that it is given.
        seed: of everything that is drawn.
        sample_seeds: whether samples have `sample_seed` too, a number that depends on the seed, the epoch and the
            index: what `PromptedSamModel` draws its prompts with.
        keep_almost_full: whether masks of more than 90 % of the image are used.
        by_area: whether `max_objects` are chosen so that every size is as likely, rather than every object.

    Raises:
        ValueError: when a sample is asked for that has no usable object.
    """

    def __init__(
        self,
        samples: Sequence[SampleT],
        processor: Processor,
        *,
        max_objects: int | None = 16,
        label_side: int | None = None,
        augment: Callable[[SampleT, np.random.Generator], SampleT] | None = None,
        seed: int = 0,
        sample_seeds: bool = False,
        keep_almost_full: bool = False,
        by_area: bool = False,
    ) -> None:
        self.samples = samples
        self.image_processor = image_processor_of(processor)
        self.max_objects = max_objects
        self.label_side = label_side
        self.augment = augment
        self.seed = seed
        self.sample_seeds = sample_seeds
        self.keep_almost_full = keep_almost_full
        self.by_area = by_area
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Draw objects and seeds anew; `transformers.Trainer` and `accelerate` call it before each epoch."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        prepared = self.prepare(index)
        return {"pixel_values": self.pixel_values(prepared), **self.draw(index, prepared)}

    def prepare(self, index: int) -> PreparedSample:
        """What of a sample is the same in every epoch, unless it is augmented.

        Raises:
            ValueError: If there is nothing to learn from in the sample.
        """
        sample = self.samples[index]
        if self.augment is not None:
            sample = self.augment(sample, self._generator(index))
        targets = np.asarray(sample.targets)
        geometry = self.image_processor.geometry(targets.shape[1:])
        side = self.label_side or min(max(geometry.padded_size_hw), MAX_LABEL_SIDE)
        labels = labels_in_frame(torch.from_numpy(targets), geometry, side)
        usable = np.flatnonzero(self._usable(targets))
        if len(usable) == 0:
            name = getattr(sample, "name", index)
            raise ValueError(
                f"Every sample must have an object to learn from, but sample {name!r} has none of {len(targets)} that "
                "is neither empty nor almost the whole image; leave it out."
            )
        boxes_xyxy = np.stack([outer_box_xyxy(targets[object_index] == 1) for object_index in usable])
        boxes_xyxy_model = geometry.boxes_to_model(torch.from_numpy(boxes_xyxy))
        return {"image": sample.image, "labels": labels[usable], "boxes_xyxy": boxes_xyxy_model}

    def pixel_values(self, prepared: PreparedSample) -> Tensor:
        """(3, height, width) of a prepared sample."""
        return self.image_processor(prepared["image"], return_tensors="pt")["pixel_values"][0]

    def draw(self, index: int, prepared: SampleObjects) -> dict[str, Tensor]:
        """The objects that this epoch asks for.

        Args:
            index: of the sample.
            prepared: what `prepare` gave for it.
        """
        rng = self._generator(index, 1)
        labels, boxes_xyxy = prepared["labels"], prepared["boxes_xyxy"]
        if self.max_objects is not None and len(labels) > self.max_objects:
            if self.by_area:
                chosen = choose_by_area((labels == 1).sum(dim=(1, 2)).numpy(), self.max_objects, rng)
            else:
                chosen = np.sort(rng.choice(len(labels), self.max_objects, replace=False))
            labels, boxes_xyxy = labels[chosen], boxes_xyxy[chosen]
        drawn = {"labels": labels, "input_boxes": boxes_xyxy}
        if self.sample_seeds:
            drawn["sample_seed"] = torch.tensor(int(rng.integers(2**SEED_BITS)))
        return drawn

    def _generator(self, index: int, *purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.epoch, index, *purpose))

    def _usable(self, targets: np.ndarray) -> np.ndarray:
        shares = (targets == 1).mean(axis=(1, 2))
        return (shares > 0) & ((shares <= ALMOST_FULL) | self.keep_almost_full)


class HeldOutPrompts(Dataset):
    """Samples with fixed prompts, for evaluation: every object by its exact box, by a click farthest inside, or both.

    Args:
        samples: of `TrainingSamples` or a cache of them; they must bring `labels` and `input_boxes`.
        frame_hw: height and width of the model's input in pixels.
        prompts: "box", "click" or "both", which shows every object twice.

    Raises:
        ValueError: If `prompts` is none of these.
    """

    def __init__(self, samples: SamplesByIndex, frame_hw: tuple[int, int], prompts: str = "both") -> None:
        if prompts not in ("box", "click", "both"):
            raise ValueError(f"`prompts` must be 'box', 'click' or 'both', got {prompts!r}.")
        self.samples, self.frame_hw, self.prompts = samples, frame_hw, prompts

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = dict(self.samples[index])
        labels, boxes = sample.pop("labels"), sample.pop("input_boxes")
        clicks = next_click(None, labels)
        clicks_xy = pixels_in_frame(clicks.points_xy, labels.shape[-2:], self.frame_hw)
        corners = torch.tensor([LABEL_BOX_TOP_LEFT, LABEL_BOX_BOTTOM_RIGHT]).expand(len(labels), 2)
        padding = torch.full_like(clicks.labels, LABEL_PADDING)
        shown = {
            "box": (boxes.unflatten(-1, (2, 2)), corners),
            "click": (
                torch.stack([clicks_xy, torch.zeros_like(clicks_xy)], dim=1),
                torch.stack([clicks.labels, padding], dim=1),
            ),
        }
        kinds = ("box", "click") if self.prompts == "both" else (self.prompts,)
        return {
            **sample,
            "input_points": torch.cat([shown[kind][0] for kind in kinds]),
            "input_labels": torch.cat([shown[kind][1] for kind in kinds]),
            "labels": labels.repeat(len(kinds), 1, 1),
        }


def pixels_in_frame(pixels_xy: Tensor, label_hw: Sequence[int], frame_hw: Sequence[int]) -> Tensor:
    """Where the middles of pixels of labels lie in the model's input.

    Args:
        pixels_xy: (..., 2), columns and rows of the labels.
        label_hw: height and width of the labels.
        frame_hw: height and width of the model's input, which the labels show.

    Returns:
        (..., 2) float32, in pixels of the model's input, to which the prompt encoder adds half a pixel.
    """
    scale_xy = torch.tensor([frame_hw[1] / label_hw[1], frame_hw[0] / label_hw[0]], device=pixels_xy.device)
    return (pixels_xy + 0.5) * scale_xy - 0.5


def choose_by_area(areas: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `count` of more masks so that every octave of area is as likely as the others.

    Args:
        areas: (N,) positive, N of `count` or more.
        count: how many.
        rng: what is drawn with.

    Returns:
        (count,) int64 indices into `areas`, rising.
    """
    octaves = np.floor(np.log2(areas)).astype(int)
    weights = 1.0 / np.bincount(octaves)[octaves]
    return np.sort(rng.choice(len(areas), size=count, replace=False, p=weights / weights.sum()))


def labels_in_frame(targets: Tensor, geometry: ResizeGeometry, label_side: int) -> Tensor:
    """Masks of an image as labels of the model's input, padding included.

    Args:
        targets: (objects, height, width) of the image: 1 object, 0 background, -1 ignored.
        geometry: how the image came to the model's input.
        label_side: longest side of the labels.

    Returns:
        (objects, label height, label width) int8: 1 where the object covers half or more of a pixel, 0 where not, and
        -1 where half or more of it is ignored, and beyond the image. An object too small for that is the pixel of
        which it covers most.
    """
    scale = label_side / max(geometry.padded_size_hw)
    height, width = (max(round(side * scale), 1) for side in geometry.padded_size_hw)
    inner_hw = tuple(max(round(side * scale), 1) for side in geometry.resized_size_hw)
    labels = torch.full((len(targets), height, width), IGNORED_PIXEL, dtype=torch.int8)
    if len(targets) == 0:
        return labels
    shares = _resize_by_area((targets == 1).float(), inner_hw)
    unknown = _resize_by_area((targets == IGNORED_PIXEL).float(), inner_hw) >= 0.5
    inner = torch.where(unknown, IGNORED_PIXEL, (shares >= 0.5).to(torch.int8))
    most = shares.amax(dim=(1, 2), keepdim=True)
    is_lost = (most > 0) & ~(inner == 1).any(dim=(1, 2), keepdim=True)
    inner[is_lost & (shares == most)] = 1
    labels[:, : inner_hw[0], : inner_hw[1]] = inner
    return labels


def _resize_by_area(maps: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps.unsqueeze(1), size=size_hw, mode="area").squeeze(1)
