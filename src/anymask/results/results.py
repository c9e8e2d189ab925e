"""`Results`: the masks of one image, and every form in which a person or another tool wants them.

Masks stay as compact as they came; what makes them dense, or draws, or converts them goes mask by mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from ..masks.polygons import Polygon
from ..masks.record import MaskRecord, form_of, make_record, rle_of
from ..masks.rle import Rle, remove_small_regions_rle, rle_to_coco, rle_to_mask
from ..prompts.prompt import DrawnPrompts
from .formats.annotated_image import polygons_of
from .formats.coco import coco_document
from .formats.files import FilePath
from .formats.label_map_png import label_map_of
from .formats.registry import read_as, write_as
from .overlay import draw_overlay


class Results(Sequence[MaskRecord]):
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
        image_info: what else the file that they were read from says about the image, such as its "id" in COCO.
    """

    def __init__(
        self,
        records: Sequence[MaskRecord],
        size_hw: Sequence[int],
        *,
        image: Any = None,
        name: str | None = None,
        prompts: DrawnPrompts | None = None,
        timings: Mapping[str, float] | None = None,
        low_res_logits: torch.Tensor | None = None,
        image_info: Mapping[str, Any] | None = None,
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
        self.image_info = dict(image_info or {})
        if low_res_logits is not None and len(low_res_logits) != len(self.records):
            raise ValueError(
                f"`low_res_logits` must have one entry per record, got {len(low_res_logits)} for {len(self.records)}."
            )

    # A sequence

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> MaskRecord: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray | torch.Tensor) -> Results: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            return self.records[index]
        chosen = np.arange(len(self))[index if isinstance(index, slice) else _as_index(index)].tolist()
        logits = None if self.low_res_logits is None else self.low_res_logits[chosen]
        return self._with_records([self.records[i] for i in chosen], logits)

    def __repr__(self) -> str:
        name = f", {self.name}" if self.name else ""
        return f"Results({len(self)} masks, {self.size_hw[0]} x {self.size_hw[1]}{name})"

    def _with_records(self, records: Sequence[MaskRecord], low_res_logits: torch.Tensor | None) -> Results:
        return Results(
            records,
            self.size_hw,
            image=self.image,
            name=self.name,
            prompts=self.prompts,
            timings=self.timings,
            low_res_logits=low_res_logits,
            image_info=self.image_info,
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

    def _rles(self) -> Iterator[Rle]:
        return (rle_of(record) for record in self.records)

    # Other forms

    def to_rle(self) -> list[Rle]:
        """COCO's compressed RLE of each mask, as pycocotools reads and writes it, its counts a str, ready for JSON."""
        return [rle_to_coco(rle) for rle in self._rles()]

    def to_polygons(self, tolerance: float = 0.0, holes: bool = True) -> list[list[Polygon]]:
        """Each mask as a list of its connected parts, each a `Polygon(outer_xy, holes_xy)`; see `rle_to_polygons`.

        Args:
            tolerance: how far, in pixels, a vertex may lie from the outline that leaves it out. 0 is exact.
            holes: whether holes are outlined too; else they count as filled.
        """
        return polygons_of(self, tolerance, holes)

    def to_label_map(self, priority: str = "score") -> np.ndarray:
        """(H, W) uint16 (int32 for more than 65535 masks): i + 1 where mask i is, 0 where none is.

        Args:
            priority: which mask a pixel goes to where several cover it: "score" the one with the highest predicted IoU,
                "small_first" the smallest, "large_first" the largest. The earlier mask wins a tie. A mask that others
                cover does not appear.
        """
        return label_map_of(self, priority)

    def to_coco(
        self, segmentation: str = "rle", tolerance: float = 0.0, class_names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """A data set of COCO with this one image; see `coco_document`, which takes several.

        Args:
            segmentation: "rle" keeps masks exactly, "polygons" suits programs that read nothing else.
            tolerance: in pixels, of the polygons.
            class_names: the categories, in order; by default the labels that occur.
        """
        return coco_document([self], segmentation=segmentation, tolerance=tolerance, class_names=class_names)

    def to_supervision(self) -> list[dict[str, Any]]:
        """What `supervision.Detections.from_sam` takes: for each mask "segmentation" (H, W) bool, "area" and "bbox"."""
        return [
            {"segmentation": rle_to_mask(rle), "area": record["area"], "bbox": list(record["bbox"])}
            for record, rle in zip(self.records, self._rles(), strict=True)
        ]

    def to_dataframe(self) -> Any:
        """A pandas table, one row per mask, with the columns of the CSV that Meta's script writes, and the label.

        A cell is empty where a record does not have the value, and where it was made from several points.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_dataframe() must have pandas, which is not installed: pip install 'anymask[tables]'."
            ) from error
        return pd.DataFrame([_row(index, record) for index, record in enumerate(self.records)], columns=_COLUMNS)

    # Clean-up

    def without_specks(self, min_area: int) -> Results:
        """The same masks without their connected parts of fewer than `min_area` pixels, 8-connected.

        A mask of nothing but specks keeps the largest of them, so that every mask stays.
        """
        return self._cleaned(min_area, "islands", "min_area")

    def with_holes_filled(self, max_area: int) -> Results:
        """The same masks, and what they do not cover filled where its connected area is `max_area` pixels or less.

        As in Meta's generator a small area at the border of the image counts as a hole too.
        """
        return self._cleaned(max_area + 1, "holes", "max_area")

    def _cleaned(self, min_area: int, mode: str, name: str) -> Results:
        if min_area < (1 if name == "max_area" else 0):
            raise ValueError(f"`{name}` must be 0 or more pixels, got {min_area - (name == 'max_area')}.")
        records = []
        for record in self.records:
            rle, changed = remove_small_regions_rle(rle_of(record), min_area, mode)
            if changed:
                record = {**record, **make_record(rle, form=form_of(record["segmentation"]))}
            records.append(record)
        return self._with_records(records, self.low_res_logits)

    # Pictures and files

    def plot(self, image: Any = None, *, labels: bool | Sequence[str] = False, prompts: bool = True) -> Image.Image:
        """The masks drawn over the image; see `draw_overlay`.

        Args:
            image: to draw on; by default the one that the results were made with.
            labels: True writes each mask's label, or its number where it has none; or texts to write.
            prompts: whether the prompts are drawn that the masks were made from.

        Returns:
            An RGB picture of the image's size.
        """
        if isinstance(labels, bool):
            numbered = [str(record.get("label") or index) for index, record in enumerate(self.records)]
            texts = numbered if labels else None
        else:
            texts = list(labels)
        drawn = self.prompts if prompts else None
        return draw_overlay(self.image_to_draw_on(image), self.records, labels=texts, prompts=drawn)

    def image_to_draw_on(self, image: Any = None) -> Any:
        """The given image, else the one that the results were made with; ValueError if there is none."""
        if image is None and self.image is None:
            raise ValueError("there must be an image to draw on, but these results hold none; pass `image`.")
        return self.image if image is None else image

    def save(self, path: FilePath, format: str | None = None, **options: Any) -> None:  # noqa: A002
        """Writes the masks to a file, whole or not at all.

        Args:
            path: where to; for cut-outs a folder.
            format: "overlay" (picture; .png, .jpg, .webp), "sa1b" (.json), "yolo" (.txt), "coco", "labelme",
                "label_map" (PNG), "cutouts"; by default what the suffix says.
            **options: of the format: overlay as `plot`; coco as `to_coco`; sa1b `info`; yolo `class_names`,
                `tolerance`; labelme `tolerance`; label_map `priority`; cutouts `image`.

        Raises:
            OSError: it cannot be written.
            TypeError: an option is unknown.
            ValueError: the format is, or the masks do not fit it.
        """
        write_as(path, format, self, options)

    @classmethod
    def load(cls, path: FilePath, format: str | None = None, *, image: Any = None, **options: Any) -> Results:  # noqa: A002
        """Reads what `save` or another program wrote, pictures and cut-outs excepted.

        Args:
            path: of the file.
            format: as in `save`; by default what the file looks like.
            image: of the masks, for `plot`, and for YOLO, whose files do not say the image's size.
            **options: of the format: yolo `size_hw` instead of an image, `class_names`; coco `name` of one image.

        Raises:
            OSError: the file cannot be read.
            TypeError: an option is unknown.
            ValueError: the file is not of the format, or cut off; the message says where.
        """
        read = read_as(path, format, image, options)
        image = read.image if image is None else image
        return cls(read.records, read.size_hw, image=image, name=read.name, image_info=read.image_info)


def _complete(record: MaskRecord, index: int, size_hw: tuple[int, int]) -> MaskRecord:
    """The record with its area and box, checked to be of the image's size."""
    mask = record.get("segmentation") if isinstance(record, Mapping) else None
    is_mask = {"size", "counts"} <= mask.keys() if isinstance(mask, Mapping) else hasattr(mask, "shape")
    if mask is None or not is_mask:
        came = type(record).__name__ if mask is None else f"a {type(mask).__name__} as its mask"
        raise ValueError(f'record {index} must be a dict with a mask as "segmentation", array or RLE, got {came}.')
    size = tuple(mask["size"]) if isinstance(mask, Mapping) else tuple(mask.shape)
    if size != size_hw:
        raise ValueError(f"masks must have the image's size, height x width = {size_hw}, but mask {index} has {size}.")
    if "area" in record and "bbox" in record:
        return record
    return {**make_record(rle_of(record)), **record}


def _as_index(index: Any) -> np.ndarray:
    array = index.detach().cpu().numpy() if isinstance(index, torch.Tensor) else np.asarray(index)
    return array.astype(np.int64) if array.size == 0 and array.dtype != bool else array


_COLUMNS = [
    *("id", "area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h", "point_input_x", "point_input_y"),
    *("predicted_iou", "stability_score", "crop_box_x0", "crop_box_y0", "crop_box_w", "crop_box_h", "label"),
]


def _row(index: int, record: MaskRecord) -> list[Any]:
    points = record.get("point_coords")
    point = points[0] if points is not None and len(points) == 1 else [None, None]
    crop = [None] * 4 if record.get("crop_box") is None else record["crop_box"]
    scores = record.get("predicted_iou"), record.get("stability_score")
    return [index, record["area"], *record["bbox"], *point, *scores, *crop, record.get("label")]
