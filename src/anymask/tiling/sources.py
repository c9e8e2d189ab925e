"""Large images, read window by window: anything with a shape and slices, and rasters with a place on earth."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .grid import Box

GDAL_CACHE_BYTES = 1 << 26
MOST_COLOUR = 65535  # white in 16 bits

Transform = tuple[float, float, float, float, float, float]


class Sliceable(Protocol):
    """What gives its pixels in slices: a NumPy memmap, a zarr array, tifffile's `aszarr` opened by zarr, a reader."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, bands)."""

    def __getitem__(self, index: Any) -> Any:
        """Pixels of `[top:bottom, left:right]`."""


@dataclass(frozen=True)
class LargeImage:
    """An image that is never in memory as a whole.

    Attributes:
        pixels: (height, width) or (height, width, bands), read in slices.
        nodata: Value of pixels that show nothing, in all bands; None where every pixel shows something.
        valid: (height, width), true where pixels show something, read in slices; those of `nodata` show nothing there
            either.
        bands: Which bands are red, green and blue, counted from 0; None takes what there is, at most four.
        transform: Six numbers (a, b, c, d, e, f): column x and row y lie at (a x + b y + c, d x + e y + f) on the map.
        crs: The map's coordinate reference system, as text that pyproj reads, such as "EPSG:32632".

    Raises:
        ValueError: If there are not two or three axes, `bands` does not say which of them to take, or `valid` has
            another size.
    """

    pixels: Sliceable
    nodata: float | None = None
    bands: tuple[int, int, int] | None = None
    transform: Transform | None = None
    crs: str | None = None
    valid: Sliceable | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        n_bands = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(f"A large image must have shape (height, width) or (height, width, bands), got {shape}.")
        if self.bands is None and n_bands > 4:
            raise ValueError(f"An image of {n_bands} bands must come with `bands`, such as (3, 2, 1), got None.")
        if self.bands is not None and not all(0 <= band < n_bands for band in self.bands):
            raise ValueError(f"`bands` must be of the image's {n_bands} bands, counted from 0, got {self.bands}.")
        if self.valid is not None and tuple(self.valid.shape) != self.size_hw:
            raise ValueError(f"`valid` must have the image's size {self.size_hw}, got {tuple(self.valid.shape)}.")

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    def read(self, box_xyxy: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels of a window, and where it shows something.

        Args:
            box_xyxy: The window in pixels of the image, right and lower edge excluded.

        Returns:
            (height, width[, bands]), and (height, width) bool, or None where every pixel shows something. Pixels that
            show nothing have the lowest value that one shows, whatever stands there; so has a single band of a pixel
            whose `nodata` is no colour, such as NaN or -9999.
        """
        left, top, right, bottom = box_xyxy
        pixels = np.asarray(self.pixels[top:bottom, left:right])
        chosen = pixels if self.bands is None else pixels[..., list(self.bands)]
        if self.valid is None and self.nodata is None:
            return chosen, None
        is_valid = np.ones(pixels.shape[:2], dtype=bool)
        if self.valid is not None:
            is_valid = np.asarray(self.valid[top:bottom, left:right]).astype(bool)
        if self.nodata is not None:
            is_nodata = _is_nodata(pixels, self.nodata)
            is_valid = is_valid & ~(np.all(is_nodata, axis=-1) if is_nodata.ndim == 3 else is_nodata)
            if not 0 <= self.nodata <= MOST_COLOUR:
                chosen = _blank(chosen, ~_is_nodata(chosen, self.nodata))
        return (chosen, None) if is_valid.all() else (_blank(chosen, is_valid), is_valid)

    def read_small(self, most: int, block: int) -> tuple[np.ndarray, np.ndarray | None, int]:
        """The whole image, reduced by the mean of squares of pixels.

        Args:
            most: Longer side of the reduced image at the most, in pixels.
            block: Side of what is read at a time, in pixels of the image.

        Returns:
            The reduced image, as in `read` where all pixels of a square show something, and the side of a square.
        """
        height, width = self.size_hw
        factor = max(1, -(-max(height, width) // most))
        step = max(block // factor, 1) * factor
        rows, valid_rows = [], []
        for top in range(0, height, step):
            parts = [
                _reduce(*self.read((left, top, min(left + step, width), min(top + step, height))), factor)
                for left in range(0, width, step)
            ]
            rows.append(np.concatenate([pixels for pixels, _ in parts], axis=1))
            valid_rows.append(np.concatenate([valid for _, valid in parts], axis=1))
        small, is_valid = np.concatenate(rows), np.concatenate(valid_rows)
        return (small, None, factor) if is_valid.all() else (_blank(small, is_valid), is_valid, factor)


def _reduce(pixels: np.ndarray, is_valid: np.ndarray | None, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of squares of pixels, those at the edges smaller, and whether all pixels of a square show something."""
    valid = np.ones(pixels.shape[:2], dtype=bool) if is_valid is None else is_valid
    starts_y, starts_x = (np.arange(0, side, factor) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), starts_y, axis=0), starts_x, axis=1)
    heights = np.diff(starts_y, append=pixels.shape[0])
    counts = np.outer(heights, np.diff(starts_x, append=pixels.shape[1]))
    means = sums / counts.reshape(*counts.shape, *[1] * (pixels.ndim - 2))
    all_valid = np.logical_and.reduceat(np.logical_and.reduceat(valid, starts_y, axis=0), starts_x, axis=1)
    return means.astype(pixels.dtype), all_valid


def _is_nodata(pixels: np.ndarray, nodata: float) -> np.ndarray:
    return np.isnan(pixels) if np.isnan(nodata) else pixels == nodata


def _blank(pixels: np.ndarray, is_valid: np.ndarray) -> np.ndarray:
    """Pixels with the lowest value of those that are valid in the place of others, which may be NaN or -9999.

    Args:
        pixels: (height, width) or (height, width, bands).
        is_valid: (height, width), or of the pixels' shape, where bands differ.
    """
    shown = pixels[is_valid]
    keep = is_valid if is_valid.ndim == pixels.ndim else is_valid[..., None]
    return np.where(keep, pixels, shown.min() if len(shown) else np.zeros((), pixels.dtype))


class RasterPixels:
    """The bands of a raster file as (height, width, bands), read by rasterio window by window."""

    def __init__(self, dataset: Any):
        self._dataset = dataset
        self.shape = (int(dataset.height), int(dataset.width), int(dataset.count))

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (part.indices(side) for part, side in zip(index, self.shape[:2], strict=True))
        window = ((rows[0], rows[1]), (columns[0], columns[1]))
        with bounded_cache():
            return np.moveaxis(self._dataset.read(window=window), 0, -1)


class RasterMask:
    """Where a raster shows something, (height, width) of bool, read window by window.

    Args:
        dataset: Of rasterio.
        alpha_band: Counted from 1; None reads the dataset's mask. Where a raster names a value for nodata too, GDAL
            leaves alpha out of that mask.
    """

    def __init__(self, dataset: Any, alpha_band: int | None = None):
        self._dataset, self._alpha_band = dataset, alpha_band
        self.shape = (int(dataset.height), int(dataset.width))

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (part.indices(side) for part, side in zip(index, self.shape, strict=True))
        with bounded_cache():
            window = ((rows[0], rows[1]), (columns[0], columns[1]))
            if self._alpha_band is None:
                return np.asarray(self._dataset.dataset_mask(window=window) > 0)
            return np.asarray(self._dataset.read(self._alpha_band, window=window) > 0)


def open_raster(path: str | os.PathLike[str], bands: tuple[int, int, int] | None = None) -> LargeImage:
    """Open a raster file, such as a GeoTIFF, with its nodata value, alpha band or mask, and its place on earth.

    Args:
        path: The file.
        bands: See `LargeImage`. Where one of them is called the alpha band, it is taken as a colour.

    Raises:
        ImportError: If rasterio is not installed.
        OSError: If it is no raster that can be read.
    """
    dataset = _open_dataset(path)
    has_place = dataset.crs is not None
    alpha = [band for band, what in enumerate(dataset.colorinterp) if what.name == "alpha"]
    has_mask = any(flag.name == "per_dataset" for flags in dataset.mask_flag_enums for flag in flags)
    if bands is None and alpha == [1] and dataset.count == 2:
        bands = (0, 0, 0)
    is_colour = bool({*alpha} & {*(bands or ())})
    return LargeImage(
        RasterPixels(dataset),
        nodata=dataset.nodata,
        valid=RasterMask(dataset, alpha[0] + 1 if alpha else None) if (has_mask or alpha) and not is_colour else None,
        bands=bands,
        transform=tuple(dataset.transform)[:6] if has_place else None,
        crs=dataset.crs.to_string() if has_place else None,
    )


def raster_size_hw(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a raster file; raises as `open_raster`."""
    with _open_dataset(path) as dataset:
        return int(dataset.height), int(dataset.width)


def _open_dataset(path: str | os.PathLike[str]) -> Any:
    try:
        import rasterio
        from rasterio.errors import RasterioIOError
    except ImportError as error:
        raise ImportError(
            "Rasters need rasterio, which is not installed; run pip install 'anymask[geo]', or pass an array."
        ) from error
    try:
        with no_place_is_needed():
            return rasterio.open(path)
    except RasterioIOError as error:
        raise OSError(f"{os.fspath(path)} must be a raster that rasterio reads, but: {error}.") from error


def bounded_cache() -> Any:
    """GDAL with little memory for blocks of rasters: by itself it fills a twentieth of the machine's as it reads on."""
    import rasterio

    return rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES)


@contextmanager
def no_place_is_needed() -> Iterator[None]:
    """Rasterio's warning about rasters without a place on earth, such as photos, turned off."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def large_image(image: LargeImage | Sliceable) -> LargeImage:
    """A `LargeImage` of anything with a shape and slices; one is returned as it is."""
    return image if isinstance(image, LargeImage) else LargeImage(image)


def map_xy(xy: np.ndarray, transform: Transform | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) as x and y on the map; as they are without a map."""
    x, y = np.asarray(xy, dtype=np.float64).T
    if transform is None:
        return x, y
    a, b, c, d, e, f = transform
    return a * x + b * y + c, d * x + e * y + f


def pixel_xy(map_points_xy: np.ndarray, transform: Transform | None) -> np.ndarray:
    """The way back from `map_xy`: (N, 2) on the map to pixels."""
    points = np.asarray(map_points_xy, dtype=np.float64)
    if transform is None:
        return points
    a, b, c, d, e, f = transform
    return np.linalg.solve(np.array([[a, b], [d, e]]), (points - [c, f]).T).T


def window_around(box_xyxy: Sequence[float], side: int, size_hw: Sequence[int]) -> Box:
    """The square window of a side around a box's centre, moved to lie in the image as far as the image is as large.

    Args:
        box_xyxy: In pixels of the image.
        side: Of the window.
        size_hw: Height and width of the image in pixels.
    """
    height, width = size_hw
    left, right = _range_around((box_xyxy[0] + box_xyxy[2]) / 2, side, width)
    top, bottom = _range_around((box_xyxy[1] + box_xyxy[3]) / 2, side, height)
    return left, top, right, bottom


def _range_around(centre: float, side: int, length: int) -> tuple[int, int]:
    first = min(max(round(centre - side / 2), 0), max(length - side, 0))
    return first, min(first + side, length)
