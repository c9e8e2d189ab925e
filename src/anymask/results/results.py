"""`Results`: the masks of one image, and every form in which a person or another tool wants them.

Masks stay as compact as they came; what makes them dense, or draws, or converts them goes mask by mask.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from ..masks.clean_up import CleanUp
from ..masks.measures import kept_of_overlapping
from ..masks.polygons import Polygon
from ..masks.record import MaskRecord, complete_record, form_of, make_record, rle_of
from ..masks.rle import Rle, rle_to_coco, rle_to_mask
from ..prompts.prompt import DrawnPrompts, join_prompts
from .formats.annotated_image import label_of, polygons_of
from .formats.coco import coco_document
from .formats.files import FilePath
from .formats.label_map_png import label_map_of
from .formats.registry import read_as, write_as
from .overlay import FILL_OPACITY, draw_overlay
from .tables import classes_of, confidences_of, text_table, to_data_frame, to_detections
from .views import Boxes, Masks

_NOTEBOOK_SIDE = 1024  # pixels of the longer side: as wide as a notebook


class Results(Sequence[MaskRecord]):
    """The masks of one image.

    A sequence of records, as `SamMaskGenerator` returns them. `results[3]` is a record; a slice, a list of ints or a
    boolean array give `Results` of those: `results[results.scores > 0.9]`.

    Attributes:
        records: list of dicts: "segmentation" (bool array (H, W), or RLE, as given), "area", "bbox" [x, y, width,
            height], and where known "predicted_iou", "stability_score", "point_coords", "crop_box", "label". In pixels
            of the image, x right, y down.
        size_hw: height and width of the image in pixels.
        image: the image, or where it is, as given; only `plot` and cut-outs read it.
        name: file name of the image, or None.
        prompts: what `plot` draws besides the masks, or None.
        timings: seconds per stage.
        low_res_logits: (N, h, w) of the masks, to be given to the model again, or None.
        image_info: what else the file that they were read from says about the image, such as its "id" in COCO.
        prompt_numbers: which of the prompts each mask is the answer to.

    Examples:
        >>> import numpy as np
        >>> from anymask import Results
        >>> mask = np.zeros((40, 60), dtype=bool)
        >>> mask[10:30, 5:50] = True
        >>> results = Results([{"segmentation": mask, "label": "cup"}], (40, 60))
        >>> results[0]["area"], results[0]["bbox"]
        (900, [5, 10, 44, 19])
        >>> results.save("labels.png", "label_map")
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
        prompt_numbers: Sequence[int] | None = None,
    ) -> None:
        """Take records; "area" and "bbox" are computed where they are missing.

        Raises:
            ValueError: If a mask has another size than the image, or the logits are not one per mask.
        """
        height, width = size_hw
        self.size_hw = (int(height), int(width))
        self.records = [complete_record(record, index, self.size_hw) for index, record in enumerate(records)]
        self.image = image
        self.name = name
        self.prompts = prompts
        self.timings = dict(timings or {})
        self.low_res_logits = low_res_logits
        self.image_info = dict(image_info or {})
        numbers = [record.get("prompt_index", index) for index, record in enumerate(self.records)]
        self.prompt_numbers = numbers if prompt_numbers is None else list(prompt_numbers)
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
        return self._with([self.records[i] for i in chosen], logits, [self.prompt_numbers[i] for i in chosen])

    def __add__(self, other: Results) -> Results:
        """Put the masks of another result of the same image behind these.

        Raises:
            ValueError: If the image has another size.
        """
        if not isinstance(other, Results):
            return NotImplemented
        both = self.low_res_logits is not None and other.low_res_logits is not None
        offset = 1 + max(self.prompt_numbers, default=-1)
        added = self._with(
            [*self.records, *other.records],
            torch.cat([self.low_res_logits, other.low_res_logits]) if both else None,  # type: ignore[list-item]
            [*self.prompt_numbers, *(offset + number for number in other.prompt_numbers)],
        )
        added.prompts = join_prompts(self.prompts, other.prompts, offset)
        stages = {**self.timings, **other.timings}
        added.timings = {stage: self.timings.get(stage, 0.0) + other.timings.get(stage, 0.0) for stage in stages}
        return added

    def __repr__(self) -> str:
        name = f", {self.name}" if self.name else ""
        return f"Results({len(self)} masks, {self.size_hw[0]} x {self.size_hw[1]}{name})"

    def __str__(self) -> str:
        """Show the masks as a table: number, label, area, box, scores."""
        return text_table(self)

    def sort(self, by: str | Callable[[MaskRecord], Any] = "area", descending: bool = True) -> Results:
        """Put the masks in another order; equal ones stay in theirs.

        Args:
            by: a field of the records, such as "area", "predicted_iou", "stability_score" or "label", or a function of
                a record; masks without that field come last.
            descending: the largest first.

        Raises:
            ValueError: If no record has the field.
        """
        keys: list[Any] = [by(record) if callable(by) else record.get(by) for record in self.records]
        known = [index for index, key in enumerate(keys) if key is not None]
        if keys and not known:
            fields = sorted({field for record in self.records for field in record})
            raise ValueError(f"`by` must be a function or a field of the records, {', '.join(fields)}, got {by!r}.")
        # Twice reversed, so that equal ones keep their order.
        ordered = sorted(known[::-1] if descending else known, key=lambda index: keys[index])
        unknown = [index for index, key in enumerate(keys) if key is None]
        return self[(ordered[::-1] if descending else ordered) + unknown]

    def _with(
        self, records: Sequence[MaskRecord], low_res_logits: torch.Tensor | None, prompt_numbers: Sequence[int]
    ) -> Results:
        return Results(
            records,
            self.size_hw,
            image=self.image,
            name=self.name,
            prompts=self.prompts,
            timings=self.timings,
            low_res_logits=low_res_logits,
            image_info=self.image_info,
            prompt_numbers=prompt_numbers,
        )

    # Arrays

    @cached_property
    def masks(self) -> Masks:
        """(N, H, W) bool, a NumPy array with `.xy`, the outlines: one byte per pixel and mask.

        Made when first asked for and kept: it is the same array each time, and does not follow changes of records.
        """
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for index, rle in enumerate(self._rles()):
            masks[index] = rle_to_mask(rle)
        return masks.view(Masks)

    @property
    def boxes(self) -> Boxes:
        """The boxes as users of Ultralytics know them: `.xyxy`, `.xywhn`, `.conf`, `.cls` ..., as tensors."""
        class_ids, _ = classes_of(self.records)
        return Boxes(
            torch.from_numpy(self.boxes_xyxy),
            torch.from_numpy(confidences_of(self.records)),
            torch.from_numpy(class_ids).float(),
            self.size_hw,
        )

    @property
    def names(self) -> dict[int, str]:
        """The names of the classes, by the numbers in `boxes.cls`."""
        return classes_of(self.records)[1]

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
        """Make COCO's compressed RLE of each mask, as pycocotools has it, but with a str as counts, ready for JSON."""
        return [rle_to_coco(rle) for rle in self._rles()]

    def to_polygons(self, tolerance: float = 0.0, holes: bool = True) -> list[list[Polygon]]:
        """Outline each mask: a list of connected parts, each a `Polygon(outer_xy, holes_xy)`; see `rle_to_polygons`.

        Args:
            tolerance: how far, in pixels, a vertex may lie from the outline that leaves it out. 0 is exact.
            holes: whether holes are outlined too; else they count as filled.
        """
        return polygons_of(self, tolerance, holes)

    def to_label_map(self, priority: str = "small_first", every_pixel: bool = False) -> np.ndarray:
        """Make a label map, (H, W) uint16 (int32 for more than 65535 masks): i + 1 where mask i is, 0 where none is.

        A mask that others cover wholly does not appear; a warning says which.

        Args:
            priority: which mask a pixel goes to where several cover it: "small_first" the smallest, as in pictures,
                "large_first" the largest, "score" the one with the highest predicted IoU. The earlier mask wins a tie.
            every_pixel: give pixels that no mask covers to the nearest one.

        Raises:
            ValueError: If the priority is unknown, or is "score" and a mask has none.
        """
        return label_map_of(self, priority, every_pixel)

    def to_coco(
        self, segmentation: str = "rle", tolerance: float = 0.0, class_names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Make a data set of COCO with this one image; see `coco_document`, which takes several.

        Args:
            segmentation: "rle" keeps masks exactly, "polygons" suits programs that read nothing else.
            tolerance: in pixels, of the polygons.
            class_names: the categories, in order; by default the labels that occur.
        """
        return coco_document([self], segmentation=segmentation, tolerance=tolerance, class_names=class_names)

    def to_supervision(self) -> Any:
        """Make `supervision.Detections` in the order of the records: xyxy, mask, confidence, class_id and data.

        Classes are those of `names`, and `data["class_name"]` says them. Confidence is None unless every mask has one.

        Raises:
            ImportError: If supervision is not installed.
        """
        return to_detections(self)

    def to_dataframe(self) -> Any:
        """Make a pandas table, one row per mask, with the columns of the CSV that Meta's script writes, and the label.

        Its "id" is the number of the mask in pictures and files, from 1 on. A cell is empty where a record does not
        have the value, and where it was made from several points.

        Raises:
            ImportError: If pandas is not installed.
        """
        return to_data_frame(self.records)

    # Clean-up

    def without_specks(self, min_area: int) -> Results:
        """Drop connected parts of fewer than `min_area` pixels, 8-connected.

        A mask of nothing but specks keeps the largest of them, so that every mask stays.
        """
        return self._cleaned(CleanUp(min_island_area=_checked_area("min_area", min_area)))

    def with_holes_filled(self, max_area: int) -> Results:
        """Fill what masks do not cover where its connected area is `max_area` pixels or less.

        As in Meta's generator a small area at the border of the image counts as a hole too.
        """
        return self._cleaned(CleanUp(min_hole_area=_checked_area("max_area", max_area) + 1))

    def without_overlaps(self, max_overlap: float = 0.7, measure: str = "iou") -> Results:
        """Keep masks of which no two overlap more than is allowed: of two that do, the one with the better score.

        Args:
            max_overlap: in [0, 1].
            measure: "iou", intersection over union; "smaller", intersection over the smaller of the two, which also
                drops masks inside of others.

        Raises:
            ValueError: If the measure is unknown or `max_overlap` is not in [0, 1].
        """
        return self[kept_of_overlapping(list(self._rles()), confidences_of(self.records), max_overlap, measure)]

    def _cleaned(self, clean_up: CleanUp) -> Results:
        records = []
        for record in self.records:
            rle, changed = clean_up.apply(rle_of(record))
            if changed:
                record = {**record, **make_record(rle, form=form_of(record["segmentation"]))}
            records.append(record)
        return self._with(records, self.low_res_logits, self.prompt_numbers)

    # Pictures and files

    def plot(
        self,
        image: Any = None,
        *,
        labels: bool | Sequence[str] = False,
        prompts: bool = True,
        alpha: float = FILL_OPACITY,
        boxes: bool = False,
        colors: Sequence[Any] | Mapping[str, Any] | None = None,
        font: Any = None,
    ) -> Image.Image:
        """Draw the masks over the image; see `draw_overlay`.

        Args:
            image: to draw on; by default the one that the results were made with.
            labels: True writes each mask's label, or its number where it has none; or texts to write.
            prompts: whether the prompts are drawn that the masks were made from.
            alpha: how opaque the fill is, from 0 (outlines only) to 1.
            boxes: whether the box of each mask is drawn.
            colors: colours in turn, or colours by label: names, "#rrggbb" or (red, green, blue); by default chosen
                against the photo and each other.
            font: a TrueType or OpenType file for the labels, or a font of Pillow's.

        Returns:
            An RGB picture of the image's size.

        Raises:
            OSError: If the image or the font cannot be read.
            ValueError: If there is no image, it has another size, or an option's value is none that can be.
        """
        if isinstance(labels, bool):
            numbered = [label_of(record) or str(number) for number, record in enumerate(self.records, start=1)]
            texts = numbered if labels else None
        else:
            texts = list(labels)
        if isinstance(colors, Mapping):
            by_label = {str(label): colour for label, colour in colors.items()}
            colors = [by_label.get(label_of(record) or "") for record in self.records] or None
        return draw_overlay(
            self.image_to_draw_on(image),
            self.records,
            labels=texts,
            prompts=self._drawn_prompts() if prompts else None,
            alpha=alpha,
            boxes=boxes,
            colors=colors,
            font=font,
        )

    def _drawn_prompts(self) -> DrawnPrompts | None:
        """The prompts of these masks, with the index of its mask as each one's number."""
        if self.prompts is None:
            return None
        mask_of = {number: index for index, number in reversed(list(enumerate(self.prompt_numbers)))}
        return self.prompts.renumbered(mask_of)

    def show(self, **options: Any) -> None:
        """Show the picture of `plot`, whose options these are: in a notebook below the cell, else in a window."""
        self.plot(**options).show()

    def _repr_png_(self) -> bytes | None:
        """Give notebooks the picture of `plot`, made smaller; None, which shows the text, where there is no image."""
        if self.image is None:
            return None
        try:
            picture = self.plot()
        except (OSError, ValueError):  # the file is gone, or another one now
            return None
        picture.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, format="PNG")
        return file.getvalue()

    def image_to_draw_on(self, image: Any = None) -> Any:
        """Return the given image, else the one that the results were made with.

        Raises:
            ValueError: If there is neither.
        """
        if image is None and self.image is None:
            raise ValueError("there must be an image to draw on, but these results hold none; pass `image`.")
        return self.image if image is None else image

    def save(self, path: FilePath, format: str | None = None, **options: Any) -> None:  # noqa: A002
        """Write the masks to a file, whole or not at all.

        Args:
            path: where to; for cut-outs a folder.
            format: "overlay" (a picture), "sa1b", "coco", "coco_results", "amg", "labelme" (JSON), "yolo" (text),
                "label_map" (PNG) or "cutouts" (a folder); by default what the suffix says: .png, .jpg, .jpeg and .webp
                an overlay, .json SA-1B, .txt YOLO.
            **options: of the format: overlay as `plot`; coco as `to_coco`; coco_results `class_names`; sa1b `info`;
                yolo `class_names`, `tolerance` (in pixels) and `confidence` (whether lines end in the predicted IoU);
                labelme `tolerance`, `min_area` (in pixels) and `image`; label_map as `to_label_map`; cutouts `image`.

        Raises:
            OSError: If it cannot be written.
            TypeError: If an option is unknown.
            ValueError: If the format is, or the masks do not fit it.
        """
        write_as(path, format, self, options)

    @classmethod
    def load(cls, path: FilePath, format: str | None = None, *, image: Any = None, **options: Any) -> Results:  # noqa: A002
        """Read what `save` or another program wrote, pictures and cut-outs excepted.

        Args:
            path: of the file.
            format: as in `save`; by default what the file looks like.
            image: of the masks, for `plot`, and for YOLO and Meta's lists, whose files do not say the image's size.
            **options: of the format: yolo and amg `size_hw`, height and width in pixels, instead of an image; yolo
                `class_names`; coco `name` of one image; coco_results `image_id`, and `dataset`, the COCO file that says
                sizes and names.

        Raises:
            OSError: If the file cannot be read.
            TypeError: If an option is unknown.
            ValueError: If the file is not of the format, or cut off; the message says where.
        """
        read = read_as(path, format, image, options)
        image = read.image if image is None else image
        return cls(read.records, read.size_hw, image=image, name=read.name, image_info=read.image_info)


def _checked_area(name: str, area: int) -> int:
    if area < 0:
        raise ValueError(f"`{name}` must be 0 or more pixels, got {area}.")
    return area


def _as_index(index: Any) -> np.ndarray:
    array = index.detach().cpu().numpy() if isinstance(index, torch.Tensor) else np.asarray(index)
    return array.astype(np.int64) if array.size == 0 and array.dtype != bool else array
