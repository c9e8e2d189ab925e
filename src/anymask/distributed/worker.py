"""MaskWorker: batches of images in, rows out; what every engine calls, from one process to a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images.load import load_image
from ..mask_generation.generator import SamMaskGenerator
from ..sam import SAM
from ..support.unknown_names import check_known_name

if TYPE_CHECKING:
    from ..modeling_sam import SamModel
    from ..processing_sam import SamProcessor

Row = dict[str, Any]

COLUMNS = ("name", "height", "width", "masks", "error")

PRESETS: dict[str, dict[str, Any]] = {
    # Two layers of crops, 2 x 2 with 16 x 16 points and 4 x 4 with 8 x 8; masks of nearly the whole image are dropped.
    # Source: Segment Anything, section 5 and appendix B.
    "sa1b": {
        "points_per_side": 32,
        "crop_n_layers": 2,
        "crop_n_points_downscale_factor": 2,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "box_nms_thresh": 0.7,
        "crop_nms_thresh": 0.7,
        "min_mask_region_area": 100,
        "max_area_share": 0.95,
    },
}


class MaskWorker:
    """Segments everything in batches of images, for any engine that calls a class with a dict of arrays.

    A call takes {"name": (N,), "image": (N,)}, arrays of objects: names, and images as `anymask.load_image` takes them
    (bytes, paths, URLs, arrays). It returns as many rows: "name", "height", "width", "masks" (a list of records each,
    with COCO's compressed RLE) and "error" (None, or why there is no mask).

    Args:
        model: What `anymask.SAM` takes: packaged name, folder, file or hub id; or a `SamModel`, used where it is.
        options: Of `MaskGenerationOptions`, and "max_area_share": masks of a larger share of the image are dropped.
        device: A torch device, or None for a GPU where there is one.
        dtype: Name of a torch dtype.
        processor: Of a `SamModel`.

    Raises:
        ValueError: If an option has a value that it cannot have.

    Examples:
        >>> import numpy as np
        >>> from anymask.distributed.worker import MaskWorker
        >>> worker = MaskWorker("sam-vit-nano", {"points_per_side": 4})
        >>> rows = worker({"name": np.array(["a"]), "image": np.array(["photo.jpg"], dtype=object)})
        >>> int(rows["height"][0])
        400
    """

    def __init__(
        self,
        model: str | SamModel = "sam-vit-nano",
        options: Mapping[str, Any] | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        processor: SamProcessor | None = None,
    ):
        options = dict(options or {})
        self.max_area_share = float(options.pop("max_area_share", 1.0))
        if not 0 < self.max_area_share <= 1:
            raise ValueError(f"`max_area_share` must lie in (0, 1], got {self.max_area_share}.")
        sam = SAM(model, device=device, dtype=dtype, processor=processor)
        self.generator = SamMaskGenerator(
            sam.model, sam.processor, **{**options, "output_mode": "coco_rle", "progress": False}
        )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Segment a batch; one bad image is a row with an error.

        Args:
            batch: "name" and "image", of one length N. An image is anything that `load_image` takes.

        Returns:
            (N,) arrays: "name", "height", "width", "masks" and "error".
        """
        rows = [self.segment(name, image) for name, image in zip(batch["name"], batch["image"], strict=True)]
        return {column: _objects([row[column] for row in rows]) for column in COLUMNS}

    def segment(self, name: str, image: Any) -> Row:
        """The row of one image.

        Args:
            name: What the row is called.
            image: Anything that `load_image` takes.
        """
        try:
            picture = load_image(image)
            height, width = np.asarray(picture).shape[:2]
            most = self.max_area_share * height * width
            masks = [record for record in self.generator.generate(picture) if record["area"] <= most]
        except Exception as error:  # whatever is wrong with one image, the others are still done
            return error_row(name, error)
        return {"name": str(name), "height": height, "width": width, "masks": masks, "error": None}


def error_row(name: str, error: Exception) -> Row:
    """The row of an image that could not be segmented."""
    return {"name": str(name), "height": 0, "width": 0, "masks": [], "error": f"{type(error).__name__}: {error}"}


def preset(name: str) -> dict[str, Any]:
    """Options by the name of who used them.

    Raises:
        ValueError: If there is no such preset.
    """
    check_known_name(name, PRESETS, "`preset` must be the name of one")
    return dict(PRESETS[name])


def _objects(values: list[Any]) -> np.ndarray:
    """(N,) array of objects; NumPy itself would make lists of one length a matrix."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
