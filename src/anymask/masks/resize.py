"""Low-resolution logits to logits and masks of the original image: SAM's two resizes with a cut between, as one.

`sparse_upsampling.py` answers questions about full-size masks without making them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch

from ..geometry.coordinates import ResizeGeometry

# Output columns and rows per matrix product on a CPU: few enough that each product needs few low-resolution ones, and
# that the logits of some rows, of which masks are made, stay in the cache.
_COLUMNS_AT_A_TIME, _ROWS_AT_A_TIME = 256, 64
_FAR = 1e30  # from any threshold


def resize_logits(
    low_res_logits: torch.Tensor, geometry: ResizeGeometry, box_xyxy: Sequence[int] | None = None
) -> torch.Tensor:
    """Logits at the size of the original image, as SAM defines them: two bilinear resizes with a cut between.

    The mask decoder's grid covers the padded model input. SAM resizes it to the input's size, drops the padding, and
    resizes what is left to the original image. Both steps are linear and separable, so they are applied as one product
    per axis: the result is that of `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` twice, up to
    rounding, and the intermediate image never exists. Differentiable.

    Args:
        low_res_logits: (..., h, w), any floating type, finite.
        geometry: how the original image became the model's input.
        box_xyxy: part of the original image to compute, as integer pixels [x0, y0, x1, y1], right and lower edge
            excluded; the whole image by default.

    Returns:
        (..., H, W) float32, with H and W the original height and width, or those of the box.

    Raises:
        ValueError: If the box leaves the image.
    """
    height, width = geometry.original_size_hw
    x0, y0, x1, y1 = (0, 0, width, height) if box_xyxy is None else (int(edge) for edge in box_xyxy)
    if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
        raise ValueError(f"`box_xyxy` must lie in the image of {width} x {height} pixels, got {[x0, y0, x1, y1]}.")
    size_hw = (y1 - y0, x1 - x0)
    full = torch.empty(*low_res_logits.shape[:-2], *size_hw, dtype=torch.float32, device=low_res_logits.device)
    for rows, logits in _row_blocks(low_res_logits, geometry, (x0, y0, x1, y1)):
        full[..., rows, :] = logits
    return full


def resize_to_masks(
    low_res_logits: torch.Tensor,
    geometry: ResizeGeometry,
    mask_threshold: float = 0.0,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """`resize_logits(low_res_logits, geometry) > mask_threshold`, of which only some rows of logits exist at a time.

    Args:
        low_res_logits: (..., h, w), any floating type.
        geometry: how the original image became the model's input.
        mask_threshold: logits above it are foreground.
        out: (..., H, W) bool, to be written to, on the device of the logits.

    Returns:
        `out`, or a tensor like it; H and W are the original height and width. Infinite logits have their sign, NaN is
        background.

    Raises:
        ValueError: If `out` has another type or shape.
    """
    height, width = geometry.original_size_hw
    shape, mask_threshold = (*low_res_logits.shape[:-2], height, width), float(mask_threshold)
    if out is None:
        out = torch.empty(shape, dtype=torch.bool, device=low_res_logits.device)
    if (out.shape, out.dtype) != (shape, torch.bool):
        raise ValueError(f"`out` must be bool and of shape {shape}, got {out.dtype} of shape {tuple(out.shape)}.")
    # Finite, since pixels far away enter a product with weight 0, and 0 times infinity is NaN.
    finite = low_res_logits.detach().float().nan_to_num(-_FAR, _FAR, -_FAR)
    for rows, logits in _row_blocks(finite, geometry, (0, 0, width, height)):
        if logits.device.type == "cpu":  # where NumPy compares several times as fast
            np.greater(logits.numpy(), mask_threshold, out=out[..., rows, :].numpy())
        else:
            torch.gt(logits, mask_threshold, out=out[..., rows, :])
    return out


def _row_blocks(
    low_res_logits: torch.Tensor, geometry: ResizeGeometry, box_xyxy: tuple[int, int, int, int]
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Logits (..., rows, x1 - x0) float32 of a box of the original image, some rows at a time, and which rows."""
    x0, y0, x1, y1 = box_xyxy
    height, width = geometry.original_size_hw
    low_h, low_w = low_res_logits.shape[-2:]
    device = low_res_logits.device
    row_taps = axis_taps(low_h, geometry.padded_size_hw[0], geometry.resized_size_hw[0], height)
    column_taps = axis_taps(low_w, geometry.padded_size_hw[1], geometry.resized_size_hw[1], width)
    logits = low_res_logits.float()
    # Columns first, while there are few rows. Autocast would round the products to half precision.
    with torch.autocast(device.type, enabled=False):
        wide = torch.empty(*logits.shape[:-1], x1 - x0, dtype=torch.float32, device=device)
        for outputs, inputs, weights in _dense_blocks(
            column_taps, x0, x1, low_w, cpu_step=_COLUMNS_AT_A_TIME, device=device
        ):
            wide[..., outputs] = logits[..., inputs] @ weights.T
    for outputs, inputs, weights in _dense_blocks(row_taps, y0, y1, low_h, cpu_step=_ROWS_AT_A_TIME, device=device):
        with torch.autocast(device.type, enabled=False):
            block = weights @ wide[..., inputs, :]
        yield outputs, block


def _dense_blocks(
    taps: tuple[np.ndarray, np.ndarray],
    first: int,
    past_last: int,
    low_length: int,
    cpu_step: int,
    device: torch.device,
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Slices of the outputs from `first` on, of the inputs they need, and the matrix (outputs, inputs) between."""
    starts, weights = taps
    n_taps = weights.shape[1]
    matrix = np.zeros((past_last - first, low_length), dtype=np.float32)
    columns = starts[first:past_last, None] + np.arange(n_taps)
    np.put_along_axis(matrix, columns, weights[first:past_last], axis=1)
    on_device = torch.from_numpy(matrix).to(device)
    step = cpu_step if device.type == "cpu" else max(past_last - first, 1)
    for begin in range(0, past_last - first, step):
        end = min(begin + step, past_last - first)
        low_begin, low_end = int(starts[first + begin]), int(starts[first + end - 1]) + n_taps
        yield slice(begin, end), slice(low_begin, low_end), on_device[begin:end, low_begin:low_end]


@lru_cache(maxsize=64)
def axis_taps(low: int, padded: int, resized: int, original: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the way from the decoder's grid to the original image, along one axis.

    Args:
        low: length of the decoder's grid.
        padded: length of the model's input, which the grid covers.
        resized: length of the image in the model's input; the rest is padding.
        original: length of the original image.

    Returns:
        For each output position the index of its first input (original,) int64, never decreasing, and the weights
        (original, K) float32 of the K inputs from there on; they are not negative and add up to 1. K is 3 unless an
        image is enlarged into a tiny model input.
    """
    model_index, model_weight = _bilinear(resized, original)
    low_index, low_weight = _bilinear(low, padded)
    # Two inputs in the model frame for each output, two inputs on the grid for each of those.
    index = low_index[model_index].reshape(original, 4)
    weight = (low_weight[model_index] * model_weight[:, :, None]).reshape(original, 4)
    n_taps = int((index.max(axis=1) - index.min(axis=1)).max()) + 1
    starts = np.minimum(index.min(axis=1), low - n_taps)
    weights = np.zeros((original, n_taps))
    np.add.at(weights, (np.arange(original)[:, None], index - starts[:, None]), weight)
    return starts, weights.astype(np.float32)


def _bilinear(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The two inputs (target, 2) of each output and their weights (target, 2); pixel centres align, edges repeat."""
    position = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0.0)
    lower = np.minimum(position.astype(np.int64), source - 1)
    upper = np.minimum(lower + 1, source - 1)
    fraction = np.minimum(position - lower, 1.0)
    return np.stack([lower, upper], axis=1), np.stack([1.0 - fraction, fraction], axis=1)
