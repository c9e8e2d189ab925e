"""What every reader of data gives: samples, read when they are asked for, in a data set that can be split."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from ..geometry.coordinates import IGNORED_PIXEL
from ..masks.rle import Rle, as_rle, rle_area, rle_to_box_xyxy, rle_to_mask


class BrokenSampleError(ValueError):
    """A sample that cannot be read; the message names it and says why."""


@dataclass(frozen=True)
class Sample:
    """An image and the objects that are known in it.

    Attributes:
        name: unique in its data set.
        image: (H, W, 3), of the dtype and values that `anymask.load_image` gives: uint8, uint16 or float32.
        rles: the mask of each object, as RLE; masks may overlap and be empty. There may be none.
        labels: what each object is called, None where nobody says.
        object_ids: what each object is known by in its file.
        ignored: pixels that are neither right nor wrong, or None.
        spacing_hw: how far the centres of two rows and of two columns are from each other, e.g. in millimetres.
        notes: what a reader had to decide, for `anymask.data.checks`.

    Raises:
        ValueError: If masks have another size than the image, or labels or ids another number than masks.
    """

    name: str
    image: np.ndarray
    rles: Sequence[Rle]
    labels: Sequence[str | None]
    object_ids: Sequence[Any]
    ignored: Rle | None = None
    spacing_hw: tuple[float, float] = (1.0, 1.0)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = {tuple(rle["size"]) for rle in (*self.rles, *([self.ignored] if self.ignored else []))}
        if wrong := sizes - {self.size_hw}:
            got = sorted(wrong)[0]
            turned = " Images are turned upright by their EXIF orientation; masks must be, too."
            raise ValueError(
                f"masks must have the size of their image {self.size_hw}, got {got}."
                + (turned if got == self.size_hw[::-1] else "")
            )
        if not len(self.rles) == len(self.labels) == len(self.object_ids):
            raise ValueError(
                f"there must be a label and an id for each of the {len(self.rles)} masks, got {len(self.labels)} and "
                f"{len(self.object_ids)}."
            )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, made anew each time."""
        masks = np.zeros((len(self.rles), *self.size_hw), dtype=bool)
        for index, rle in enumerate(self.rles):
            masks[index] = rle_to_mask(rle)
        return masks

    @property
    def targets(self) -> np.ndarray:
        """(N, H, W) int8: 1 object, 0 background, -1 ignored. What losses and clicks take."""
        targets = self.masks.astype(np.int8)
        if self.ignored is not None:
            targets[:, rle_to_mask(self.ignored)] = IGNORED_PIXEL
        return targets

    @property
    def boxes_xyxy(self) -> np.ndarray:
        """(N, 4) float32: the outer edges of each mask in pixels, x1 and y1 past the last; zeros for an empty mask."""
        boxes = np.array([rle_to_box_xyxy(rle) for rle in self.rles], dtype=np.float32).reshape(-1, 4)
        boxes[[rle_area(rle) > 0 for rle in self.rles], 2:] += 1
        return boxes


class Entry(NamedTuple):
    """A sample that is not read yet. `read` is a function of a module or a `functools.partial`: workers need it."""

    name: str
    read: Callable[[], Sample]


class MaskDataset(Sequence[Sample]):
    """Samples of one origin, each read when it is asked for; what `torch.utils.data.DataLoader` takes.

    Attributes:
        entries: the samples, unread.
        origin: what they were read from, for people.
        alone: names of files that were left out, since no image or no mask is named like them.
    """

    def __init__(self, entries: Sequence[Entry], origin: str, alone: Sequence[str] = ()) -> None:
        """Take entries.

        Raises:
            ValueError: If there are none, or two have one name.
        """
        if not entries:
            raise ValueError(f"{origin} must hold at least one image with masks, got none.")
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{origin} must have a name of its own for each image, but two are called {twice!r}.")
        self.entries = list(entries)
        self.origin = origin
        self.alone = list(alone)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int]) -> MaskDataset: ...

    def __getitem__(self, index: Any) -> Sample | MaskDataset:
        """The sample at a place, or a data set of some of them.

        Raises:
            BrokenSampleError: If the sample cannot be read.
        """
        if isinstance(index, slice):
            return MaskDataset(self.entries[index], self.origin)
        if isinstance(index, Sequence):
            return MaskDataset([self.entries[i] for i in index], self.origin)
        entry = self.entries[index]
        try:
            return entry.read()
        except Exception as error:  # whatever a reader meets in a foreign file
            message = " ".join(str(error).split()) or type(error).__name__
            raise BrokenSampleError(f"{entry.name} of {self.origin} must be readable, but: {message}") from error

    def __repr__(self) -> str:
        return f"MaskDataset({len(self)} samples, {self.origin})"

    def samples(self, on_broken: str = "raise") -> Iterator[Sample]:
        """The samples, one after another.

        Args:
            on_broken: "raise" stops at a sample that cannot be read, "skip" warns of it, by name, and goes on.

        Raises:
            ValueError: If `on_broken` is none of these.
        """
        check_on_broken(on_broken)
        for index in range(len(self)):
            try:
                sample = self[index]
            except BrokenSampleError as error:
                if on_broken == "raise":
                    raise
                warnings.warn(f"Skipped: {error}", stacklevel=2)
                continue
            yield sample

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple[MaskDataset, MaskDataset]:
        """Two data sets, the second with about `fraction` of the samples.

        Where a sample goes depends on the seed and the names, not on the order of files. Both get at least one.

        Args:
            fraction: of the samples, between 0 and 1.
            seed: of the draw.

        Raises:
            ValueError: If there are fewer than two samples, or the fraction is not between 0 and 1.
        """
        if not 0 < fraction < 1 or len(self) < 2:
            raise ValueError(
                f"a split must have a fraction between 0 and 1 of 2 samples or more, got {fraction} of {len(self)}."
            )
        drawn = sorted(range(len(self)), key=lambda index: _digest(seed, self.entries[index].name))
        count = min(max(round(fraction * len(self)), 1), len(self) - 1)
        return self[sorted(drawn[count:])], self[sorted(drawn[:count])]

    def shuffled(self, seed: int = 0) -> MaskDataset:
        """All samples in an order that is drawn by their names and the seed."""
        return self[sorted(range(len(self)), key=lambda index: _digest(seed, self.entries[index].name))]

    def limited(self, count: int, seed: int = 0) -> MaskDataset:
        """At most `count` of the samples, drawn by their names and the seed, in their order.

        Args:
            count: how many at most.
            seed: of the draw.
        """
        drawn = sorted(range(len(self)), key=lambda index: _digest(seed, self.entries[index].name))[:count]
        return self[sorted(drawn)]


def check_on_broken(on_broken: str) -> None:
    """Raise ValueError for what cannot be done about a sample that cannot be read."""
    if on_broken not in ("raise", "skip"):
        raise ValueError(f"`on_broken` must be 'raise' or 'skip', got {on_broken!r}.")


def sample_of_masks(name: str, image: np.ndarray, masks: Sequence[np.ndarray], **more: Any) -> Sample:
    """A sample of dense masks (N, H, W) or RLEs, numbered from 1 and without labels unless `more` says otherwise."""
    more = {"labels": [None] * len(masks), "object_ids": list(range(1, len(masks) + 1)), **more}
    return Sample(name, image, [as_rle(mask) for mask in masks], **more)


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
