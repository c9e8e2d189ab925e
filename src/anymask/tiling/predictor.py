"""Points and boxes on a large image: each is answered in a window around it, whose embedding is kept for the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np

from ..masks.record import rle_of
from ..masks.rle import mask_to_rle, rle_to_coco, rle_to_mask
from ..prompts.prompt import Prompt
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
        """Take an embedding and prompts; return a list with the `Results` of the window, a record for each prompt."""


class LargeImagePredictor:
    """Answers prompts on an image of any size; the embeddings of the windows used last are kept.

    Args:
        sam: `anymask.SAM`.
        image: A `LargeImage`, or anything with a shape and slices.
        window: Side of a window in pixels; a box gets a window of at least twice its longer side.
        windows_kept: How many embeddings are kept.

    Raises:
        ValueError: If `window` or `windows_kept` is below 1.

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
        self.image, self.window = large_image(image), window
        self._sam = sam
        self._embed = lru_cache(maxsize=windows_kept)(partial(_embed_window, sam, self.image))

    def predict(
        self,
        points: Any = None,
        boxes: Any = None,
        *,
        labels: Sequence[int] | None = None,
        prompts: Sequence[Prompt] | None = None,
        crs: Any = None,
        **options: Any,
    ) -> list[StitchedObject]:
        """Masks of what prompts point at, one for each, in their order.

        Args:
            points: (N, 2) x and y of N prompts, in pixels, or a GeoDataFrame of points.
            boxes: (N, 4) left, top, right, bottom in pixels, or a GeoDataFrame, whose bounds are taken.
            labels: 1 or 0 for each point, 1 by default.
            prompts: `Prompt`s of points and boxes in the place of these, for several points of one object.
            crs: Reference system of prompts given as numbers on a map, such as "EPSG:4326" for longitude and latitude;
                None where they are pixels.
            **options: Of `SAM.predict`, such as `min_mask_region_area`.

        Raises:
            ImportError: If places on a map are given and pyproj is not installed.
            ValueError: If none or several of points, boxes and prompts are given, a prompt lies outside of the image,
                or a map is asked of an image that has no place on earth.
        """
        given = [
            name for name, value in (("points", points), ("boxes", boxes), ("prompts", prompts)) if value is not None
        ]
        if len(given) != 1:
            raise ValueError(f"Either points, boxes or prompts must be given, got {' and '.join(given) or 'none'}.")
        if points is not None:
            places = self._pixels(points, crs, 2)
            kinds = [1] * len(places) if labels is None else [int(label) for label in labels]
            if len(kinds) != len(places):
                raise ValueError(f"`labels` must hold one for each of {len(places)} points, got {len(kinds)}.")
            asked = [Prompt(((x, y),), (kind,)) for (x, y), kind in zip(places.tolist(), kinds, strict=True)]
        elif boxes is not None:
            asked = [Prompt(box_xyxy=(x0, y0, x1, y1)) for x0, y0, x1, y1 in self._pixels(boxes, crs, 4).tolist()]
        else:
            asked = [self._prompt_in_pixels(prompt, crs) for prompt in prompts or ()]
        return [self._answer(prompt, options) for prompt in asked]

    def _prompt_in_pixels(self, prompt: Prompt, crs: Any) -> Prompt:
        if prompt.mask is not None or prompt.is_empty:
            raise ValueError("Prompts on a large image must be points and boxes; masks have no window.")
        points = tuple((x, y) for x, y in self._pixels(prompt.points_xy, crs, 2).tolist())
        box = None
        if prompt.box_xyxy is not None:
            [[left, top, right, bottom]] = self._pixels(prompt.box_xyxy, crs, 4).tolist()
            box = (left, top, right, bottom)
        return replace(prompt, points_xy=points, box_xyxy=box)

    def _answer(self, prompt: Prompt, options: Mapping[str, Any]) -> StitchedObject:
        places = [*prompt.points_xy, *(() if prompt.box_xyxy is None else (prompt.box_xyxy[:2], prompt.box_xyxy[2:]))]
        xy = np.array(places, dtype=np.float64)
        height, width = self.image.size_hw
        if not ((xy >= 0) & (xy <= (width, height))).all():
            raise ValueError(
                f"Prompts must lie in the image of {width} x {height} pixels, got {xy.ravel().tolist()}; coordinates "
                "on a map need `crs`."
            )
        window = self._window(np.concatenate([xy.min(axis=0), xy.max(axis=0)]))
        left, top = window[:2]
        in_window = Prompt(
            tuple((x - left, y - top) for x, y in prompt.points_xy),
            prompt.labels,
            None
            if prompt.box_xyxy is None
            else (
                prompt.box_xyxy[0] - left,
                prompt.box_xyxy[1] - top,
                prompt.box_xyxy[2] - left,
                prompt.box_xyxy[3] - top,
            ),
        )
        embedding, is_valid = self._embed(window)
        record = self._sam.predict(embedding, prompts=[in_window], **options)[0][0]
        mask = rle_to_mask(rle_of(record))
        mask = mask if is_valid is None else mask & is_valid
        score, stability = float(record["predicted_iou"]), float(record["stability_score"])
        piece = make_piece(mask, window[:2], is_cut=False, score=score, stability=stability, point_xy=None)
        if piece is None:
            x, y = (int(edge) for edge in xy[0])
            nothing = rle_to_coco(mask_to_rle(np.zeros((0, 0))))
            return StitchedObject((x, y, x, y), nothing, 0, score, stability=stability, points_xy=prompt.points_xy)
        return StitchedObject(
            piece.box_xyxy, piece.rle, piece.area, score, stability=stability, points_xy=prompt.points_xy
        )

    def _window(self, box_xyxy: np.ndarray) -> Box:
        """A window around a box, on a grid of quarters of it, so that prompts near each other share one."""
        longest = float(max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]))
        side = self.window
        while side < 2 * longest:
            side *= 2
        step = max(side // 4, 1)
        centre = (box_xyxy[:2] + box_xyxy[2:]) / 2
        snapped = np.round(centre / step) * step
        return window_around((*snapped, *snapped), side, self.image.size_hw)

    def _pixels(self, given: Any, crs: Any, columns: int) -> np.ndarray:
        """Points (N, 2) or boxes (N, 4) in pixels, from numbers or a GeoDataFrame."""
        if hasattr(given, "geometry"):
            crs, given = given.crs, given.geometry.bounds.to_numpy()[:, :columns]
        numbers = np.asarray(given, dtype=np.float64).reshape(-1, columns)
        if crs is None:
            return numbers
        if self.image.crs is None:
            raise ValueError("Prompts on a map need an image with a place on earth, got one without; pass pixels.")
        try:
            from pyproj import Transformer
        except ImportError as error:
            raise ImportError(
                "Places on a map need pyproj, which is not installed; run pip install 'anymask[geo]', or pass pixels."
            ) from error
        on_map = Transformer.from_crs(crs, self.image.crs, always_xy=True)
        # As lists: pyproj takes arrays of one number for numbers, about which NumPy warns.
        xs, ys = numbers.reshape(-1, 2).T.tolist()
        pairs = np.stack(on_map.transform(xs, ys), axis=1)
        pixels = pixel_xy(pairs, self.image.transform).reshape(-1, columns)
        if columns == 4:  # north is up on the map and row 0 in the image
            pixels = np.concatenate(
                [np.minimum(pixels[:, :2], pixels[:, 2:]), np.maximum(pixels[:, :2], pixels[:, 2:])], axis=1
            )
        return pixels


def _embed_window(sam: WindowModel, image: LargeImage, window: Box) -> tuple[Any, np.ndarray | None]:
    """The embedding of a window, and where it shows something."""
    pixels, is_valid = image.read(window)
    return sam.embed(pixels), is_valid
