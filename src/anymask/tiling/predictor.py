"""Points and boxes on a large image: each is answered in a window around it, whose embedding is kept for the next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..masks.rle import mask_to_rle, rle_to_coco, rle_to_mask
from .grid import Box
from .pieces import make_piece
from .sources import LargeImage, Sliceable, large_image, pixel_xy, window_around
from .stitch import StitchedObject


class WindowModel(Protocol):
    """What embeds a window and answers prompts on it; `anymask.SAM` does."""

    def embed(self, image: Any) -> Any:
        """The embedding of a window."""

    @property
    def predict(self) -> Callable[..., Any]:
        """Takes an embedding and prompts; returns a list with the `Results` of the window, a record for each prompt."""


class LargeImagePredictor:
    """Answers prompts on an image of any size; the embeddings of the windows used last are kept.

    Args:
        sam: `anymask.SAM`.
        image: A `LargeImage`, or anything with a shape and slices.
        window: Side of a window in pixels; a box gets a window of at least twice its longer side.
        windows_kept: How many embeddings are kept.

    Examples:
        >>> import numpy as np
        >>> from anymask import SAM
        >>> from anymask.tiling.predictor import LargeImagePredictor
        >>> predictor = LargeImagePredictor(SAM("sam-vit-nano"), np.zeros((600, 800, 3), dtype=np.uint8))
        >>> found = predictor.predict(points=[[520, 343]])
    """

    def __init__(self, sam: WindowModel, image: LargeImage | Sliceable, *, window: int = 1024, windows_kept: int = 8):
        if window < 1 or windows_kept < 1:
            raise ValueError(f"`window` and `windows_kept` must be at least 1, got {window} and {windows_kept}.")
        self.image, self.window, self.windows_kept = large_image(image), window, windows_kept
        self._sam = sam
        self._embeddings: OrderedDict[Box, Any] = OrderedDict()

    def predict(
        self,
        points: Any = None,
        boxes: Any = None,
        *,
        labels: Sequence[int] | None = None,
        crs: Any = None,
    ) -> list[StitchedObject]:
        """Masks of what points or boxes point at, one for each, in their order.

        Args:
            points: (N, 2) x and y of N prompts, in pixels, or a GeoDataFrame of points.
            boxes: (N, 4) left, top, right, bottom in pixels, or a GeoDataFrame, whose bounds are taken.
            labels: 1 or 0 for each point, 1 by default.
            crs: Reference system of `points` and `boxes` given as numbers on a map, such as "EPSG:4326" for longitude
                and latitude; None where they are pixels.

        Raises:
            ValueError: If neither or both are given, a prompt lies outside of the image, or a map is asked of an image
                that has no place on earth.
        """
        if (points is None) == (boxes is None):
            raise ValueError(f"Either points or boxes must be given, got {'neither' if points is None else 'both'}.")
        if points is not None:
            corners = self._pixels(points, crs, 2)
            boxes_xyxy = np.concatenate([corners, corners], axis=1)
        else:
            boxes_xyxy = self._pixels(boxes, crs, 4)
        kinds = list(labels) if labels is not None else [1] * len(boxes_xyxy)
        if len(kinds) != len(boxes_xyxy):
            raise ValueError(f"`labels` must hold one for each of {len(boxes_xyxy)} points, got {len(kinds)}.")
        return [self._answer(box, label, is_box=points is None) for box, label in zip(boxes_xyxy, kinds, strict=True)]

    def _answer(self, box_xyxy: np.ndarray, label: int, is_box: bool) -> StitchedObject:
        height, width = self.image.size_hw
        if not (0 <= box_xyxy[0] <= box_xyxy[2] <= width and 0 <= box_xyxy[1] <= box_xyxy[3] <= height):
            raise ValueError(
                f"Prompts must lie in the image of {width} x {height} pixels, got {box_xyxy.tolist()}; coordinates on "
                "a map need `crs`."
            )
        window = self._window(box_xyxy)
        shift = np.array(window[:2])
        prompts = (
            dict(boxes=[(box_xyxy - np.tile(shift, 2)).tolist()])
            if is_box
            else dict(points=[(box_xyxy[:2] - shift).tolist()], labels=[int(label)])
        )
        record = self._sam.predict(self._embedding(window), **prompts)[0][0]
        segmentation = record["segmentation"]
        mask = rle_to_mask(segmentation) if isinstance(segmentation, dict) else np.asarray(segmentation)
        score, stability = float(record["predicted_iou"]), float(record["stability_score"])
        points = () if is_box else ((float(box_xyxy[0]), float(box_xyxy[1])),)
        piece = make_piece(mask, window[:2], is_cut=False, score=score, stability=stability, point_xy=None)
        if piece is None:
            x, y = (int(edge) for edge in box_xyxy[:2])
            return StitchedObject((x, y, x, y), rle_to_coco(mask_to_rle(np.zeros((0, 0)))), 0, score, stability, points)
        return StitchedObject(piece.box_xyxy, piece.rle, piece.area, score, stability, points)

    def _window(self, box_xyxy: np.ndarray) -> Box:
        """A window around a box, on a grid of half windows, so that prompts near each other share one."""
        longest = float(max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]))
        side = self.window
        while side < 2 * longest:
            side *= 2
        step = max(side // 4, 1)
        centre = (box_xyxy[:2] + box_xyxy[2:]) / 2
        snapped = np.round(centre / step) * step
        return window_around((*snapped, *snapped), side, self.image.size_hw)

    def _embedding(self, window: Box) -> Any:
        if window in self._embeddings:
            self._embeddings.move_to_end(window)
        else:
            pixels, _ = self.image.read(window)
            self._embeddings[window] = self._sam.embed(pixels)
            if len(self._embeddings) > self.windows_kept:
                self._embeddings.popitem(last=False)
        return self._embeddings[window]

    def _pixels(self, given: Any, crs: Any, columns: int) -> np.ndarray:
        """Points (N, 2) or boxes (N, 4) in pixels, from numbers or a GeoDataFrame."""
        if hasattr(given, "geometry"):
            crs, given = given.crs, given.geometry.bounds.to_numpy()[:, :columns]
        numbers = np.asarray(given, dtype=np.float64).reshape(-1, columns)
        if crs is None:
            return numbers
        if self.image.crs is None:
            raise ValueError("Prompts on a map need an image with a place on earth, got one without; pass pixels.")
        from pyproj import Transformer

        on_map = Transformer.from_crs(crs, self.image.crs, always_xy=True)
        pairs = np.stack(on_map.transform(*numbers.reshape(-1, 2).T), axis=1)
        pixels = pixel_xy(pairs, self.image.transform).reshape(-1, columns)
        if columns == 4:  # north is up on the map and row 0 in the image
            pixels = np.concatenate(
                [np.minimum(pixels[:, :2], pixels[:, 2:]), np.maximum(pixels[:, :2], pixels[:, 2:])], axis=1
            )
        return pixels
