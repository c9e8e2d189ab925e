"""`Results`: the masks of one image, and every form in which a person or another tool wants them.

Masks stay as compact as they came; what makes them dense, or draws, or converts them goes mask by mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from .annotations.annotated_image import bbox_of, rle_of
from .annotations.files import FilePath, write_file
from .annotations.sa1b import write_sa1b
from .images import as_rgb_uint8
from .overlay import DrawnPrompts, draw_overlay
from .rle import Rle, rle_area, rle_to_mask

Record = dict[str, Any]


class Results(Sequence[Record]):
    """The masks of one image.

    A sequence of records, as `SamMaskGenerator` returns them. `results[3]` is a record; a slice, a list of ints or a
    boolean array give `Results` of those: `results[results.scores > 0.9]`.

    Attributes:
        records: list of dicts: "segmentation" (bool array (H, W), or RLE, as given), "area", "bbox" [x, y, width,
            height], and where known "predicted_iou", "stability_score", "point_coords", "crop_box", "label". In pixels
            of the image, x right, y down.
        size_hw: height and width of the image.
        image: the image, or where it is, as given; only `plot` and cut-outs read it.
        name: file name of the image, or None.
        prompts: what `plot` draws besides the masks, or None.
        timings: seconds per stage.
        low_res_logits: (N, h, w) of the masks, to be given to the model again, or None.
    """

    def __init__(
        self,
        records: Sequence[Record],
        size_hw: Sequence[int],
        *,
        image: Any = None,
        name: str | None = None,
        prompts: DrawnPrompts | None = None,
        timings: Mapping[str, float] | None = None,
        low_res_logits: torch.Tensor | None = None,
    ) -> None:
        """Takes records; "area" and "bbox" are computed where they are missing.

        Raises:
            ValueError: a mask has another size than the image, or the logits are not one per mask.
        """
        height, width = size_hw
        self.size_hw = (int(height), int(width))
        self.records = [_complete(record, index, self.size_hw) for index, record in enumerate(records)]
        self.image = image
        self.name = name
        self.prompts = prompts
        self.timings = dict(timings or {})
        self.low_res_logits = low_res_logits
        if low_res_logits is not None and len(low_res_logits) != len(self.records):
            raise ValueError(
                f"`low_res_logits` must have one entry per record, got {len(low_res_logits)} for {len(self.records)}."
            )

    # A sequence

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray | torch.Tensor) -> Results: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            return self.records[index]
        chosen = np.arange(len(self))[index if isinstance(index, slice) else _as_index(index)]
        logits = None if self.low_res_logits is None else self.low_res_logits[torch.from_numpy(chosen)]
        return self._with_records([self.records[i] for i in chosen.tolist()], logits)

    def __repr__(self) -> str:
        name = f", {self.name}" if self.name else ""
        return f"Results({len(self)} masks, {self.size_hw[0]} x {self.size_hw[1]}{name})"

    def _with_records(self, records: Sequence[Record], low_res_logits: torch.Tensor | None) -> Results:
        return Results(
            records,
            self.size_hw,
            image=self.image,
            name=self.name,
            prompts=self.prompts,
            timings=self.timings,
            low_res_logits=low_res_logits,
        )

    # Arrays

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, made anew each time: one byte per pixel and mask."""
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for index, rle in enumerate(self._rles()):
            masks[index] = rle_to_mask(rle)
        return masks

    @property
    def boxes_xyxy(self) -> np.ndarray:
        """(N, 4) float32 in pixels of the image: centres of the outermost pixels, so x1 is the last column itself."""
        xywh = np.array([record["bbox"] for record in self.records], dtype=np.float32).reshape(-1, 4)
        return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)

    @property
    def scores(self) -> np.ndarray:
        """(N,) float32 predicted IoU, NaN where a record has none."""
        return np.array([record.get("predicted_iou", np.nan) for record in self.records], dtype=np.float32)

    def _rles(self) -> list[Rle]:
        return [rle_of(record) for record in self.records]

    # Pictures and files

    def plot(self, image: Any = None) -> Image.Image:
        """The masks drawn over the image; see `draw_overlay`.

        Args:
            image: to draw on; by default the one that the results were made with.
        """
        image = self.image if image is None else image
        if image is None:
            raise ValueError("plot() must have an image to draw on, but these results hold none; pass `image`.")
        return draw_overlay(as_rgb_uint8(image), self.records)

    def save(self, path: FilePath, format: str | None = None, **options: Any) -> None:  # noqa: A002
        """Writes a file, whole or not at all.

        Args:
            path: where to.
            format: one of `FORMATS`; by default what the path's suffix says.
            **options: of that format.
        """
        _WRITERS[format or _SUFFIXES[Path(path).suffix.lower()]](self, path, **options)


def _complete(record: Record, index: int, size_hw: tuple[int, int]) -> Record:
    """The record with its area and box, checked to be of the image's size."""
    mask = record.get("segmentation") if isinstance(record, Mapping) else None
    if mask is None:
        raise ValueError(f'record {index} must be a dict with a mask as "segmentation", got {type(record).__name__}.')
    size = tuple(mask["size"]) if isinstance(mask, Mapping) else tuple(mask.shape)
    if size != size_hw:
        raise ValueError(f"masks must have the image's size, height x width = {size_hw}, but mask {index} has {size}.")
    if "area" in record and "bbox" in record:
        return record
    rle = rle_of(record)
    return {"area": rle_area(rle), "bbox": bbox_of(rle), **record}


def _as_index(index: Any) -> np.ndarray:
    array = index.detach().cpu().numpy() if isinstance(index, torch.Tensor) else np.asarray(index)
    return array.astype(np.int64) if array.size == 0 and array.dtype != bool else array


def _save_overlay(results: Results, path: FilePath) -> None:
    picture = results.plot()
    write_file(path, lambda file: picture.save(file, format="PNG", compress_level=3))


def _save_sa1b(results: Results, path: FilePath, info: dict[str, Any] | None = None) -> None:
    write_sa1b(path, results, info)


_WRITERS: dict[str, Callable[..., None]] = {"overlay": _save_overlay, "sa1b": _save_sa1b}
_SUFFIXES = {".png": "overlay", ".json": "sa1b"}
