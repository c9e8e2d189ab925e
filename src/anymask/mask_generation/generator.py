"""Segment everything: a grid of points over an image, a mask for each, and the good ones of these, each once.

`SamMaskGenerator` is the only implementation; the pipeline, the command line and batch jobs are adapters over it. The
order of steps is that of Meta's `SamAutomaticMaskGenerator`: for every crop of the image decode the points of its grid,
keep masks with a high predicted IoU, keep those that are stable, drop those that the crop's edge cuts off, drop
duplicates in the crop; then drop duplicates between crops, the smaller crop winning; then clean up small regions.

Each step sees only what the one before it left, and nothing is upsampled that a cheaper test can decide: the model
drops masks by their predicted IoU before it makes them, `SparseUpsampler` tells stability, boxes and runs of the rest
from their low-resolution logits. How images become embeddings is in `crop_encoder.py`, which points are asked in
`points.py`, what happens to the masks in `filters.py`, options are in `options.py`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..geometry.coordinates import ResizeGeometry
from ..geometry.crops import crop_boxes_xyxy
from ..images.preparation import Processor, check_processor
from ..masks.record import MaskRecord
from ..masks.sparse_upsampling import SparseUpsampler
from ..modeling.outputs import MaskProposer, check_model
from ..support.chunks import run_within_memory
from ..support.threads import map_in_threads, parallel_threads
from .crop_encoder import Crop, CropEncoder, PreprocessedImage
from .filters import Proposal, filter_masks, make_records, remove_duplicates
from .options import MaskGenerationOptions
from .points import adaptive_rounds


class SamMaskGenerator:
    """Finds and masks everything in an image.

    Examples:
        >>> from anymask import SamMaskGenerator, SamModel, SamProcessor
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> generator = SamMaskGenerator(model, processor, points_per_side=8)
        >>> records = generator.generate("photo.jpg", output_mode="coco_rle")
        >>> records[0]["segmentation"]["size"]
        [400, 600]
    """

    def __init__(self, model: MaskProposer, processor: Processor, **options: Any) -> None:
        """Take a model, its processor, and the fields of `MaskGenerationOptions`.

        Args:
            model: on any device, in any floating type.
            processor: a `SamProcessor`, or its image processor.
            **options: defaults for every call, by Meta's or Transformers' names. What is not given is as the
                checkpoint says (`mask_generation` in its `config.json`), else Meta's default.

        Raises:
            TypeError: If model or processor is none of this package's, or an option is unknown.
            ValueError: If an option has a value that it cannot have, or contradicts another.
        """
        check_model(model)
        self.model = model
        self.image_processor = check_processor(processor)
        of_checkpoint = getattr(model.config, "mask_generation", None) or {}  # a field that most configurations lack
        self.options = MaskGenerationOptions.from_kwargs(**of_checkpoint).updated(**options)
        self._warned_of_memory = False

    def generate(self, image: Any, **overrides: Any) -> list[MaskRecord]:
        """Masks of everything in one image.

        Args:
            image: path, URL, Pillow image, array or tensor; see `anymask.load_image`. Or an `ImageEmbedding`, which is
                the whole image and has no crops.
            **overrides: options for this call.

        Returns:
            One record per mask, in Meta's order: best predicted IoU first within a crop, and after a clean-up of small
            regions masks that it left alone before those that it changed. A record holds "segmentation" ((H, W) bool
            array, or RLE by `output_mode`), "area" in pixels, "bbox" [x, y, width, height] of the mask,
            "predicted_iou", "point_coords" [[x, y]], "stability_score", and "crop_box" [x, y, width, height]. All in
            pixels of the image. A bbox spans the centres of the outermost pixels, as Meta's does, so its width is
            one less than the mask's number of columns. An empty list where nothing was found.

        Raises:
            ValueError: If an embedding was made by another model or preprocessing, or is to be cut into crops.
        """
        return next(self.generate_many([image], **overrides))

    def generate_many(self, images: Iterable[Any], **overrides: Any) -> Iterator[list[MaskRecord]]:
        """The records of each of many images, one image after another, read as they are needed.

        The encoder takes crops of several images at a time where the device's memory makes that worth while.

        Args:
            images: as in `generate`, or what `preprocess` returned.
            **overrides: options for this call.

        Raises:
            TypeError: If one image is given in the place of several.
        """
        is_one = isinstance(images, str | bytes) or not isinstance(images, Iterable)
        if is_one or getattr(images, "ndim", 4) in (2, 3):
            raise TypeError(f"`images` must be several images, got one {type(images).__name__}; put it in a list.")
        return self._generate_many(images, self.options.updated(**overrides))

    def preprocess(self, image: Any, timeout: float | None = None) -> PreprocessedImage:
        """Read an image and make the pixel values of the whole of it; run no model.

        Args:
            image: as in `generate`.
            timeout: seconds for a URL.
        """
        return self._crop_encoder().preprocess(image, timeout)

    def _crop_encoder(self) -> CropEncoder:
        return CropEncoder(self.model, self.image_processor, self._warn_of_memory)

    def _generate_many(self, images: Iterable[Any], options: MaskGenerationOptions) -> Iterator[list[MaskRecord]]:
        grids = options.grids()
        proposals: list[Proposal] = []
        progress = None
        for crop, embedding in self._crop_encoder().embeddings(images, options):
            if progress is None:
                progress = _progress_bar(options, crop, grids)
            proposals.extend(self._proposals_of_crop(crop, embedding, grids[crop.layer], options, progress=progress))
            if crop.is_last:
                progress.close()
                yield make_records(proposals, crop.size_hw, options)
                proposals, progress = [], None

    # Masks of one crop

    @torch.inference_mode()
    def _proposals_of_crop(
        self, crop: Crop, embedding: torch.Tensor, grid: np.ndarray, options: MaskGenerationOptions, progress: tqdm
    ) -> list[Proposal]:
        """Ask the points of a crop and keep what passes, without duplicates."""
        left, top, right, bottom = crop.box_xyxy
        geometry = self.image_processor.geometry((bottom - top, right - left))
        grid_xy = grid * np.array([right - left, bottom - top])
        image = self.model.prepare_image(embedding)
        batch = options.points_per_batch or len(grid)
        threads = parallel_threads(self.model.device)
        found: list[Proposal] = []
        rounds: Iterable[np.ndarray] = [np.arange(len(grid))]
        if options.points == "adaptive":
            rounds = adaptive_rounds(len(grid), batch, found)

        def propose_some(indices: np.ndarray) -> list[Proposal]:
            return self._propose(image, crop, geometry, grid_xy, indices=indices, options=options)

        def ask_fewer(fewer: int) -> None:
            nonlocal batch
            batch = fewer  # from now on
            self._warn_of_memory(f"going on with {batch} points at a time; pass a lower points_per_batch")

        def propose(indices: np.ndarray) -> tuple[int, list[Proposal]]:
            parts = run_within_memory(propose_some, indices, batch, ask_fewer)
            return len(indices), list(chain.from_iterable(parts))

        n_asked = 0
        for points in rounds:
            n_parts = -(-len(points) // batch)
            n_parts = min(-(-n_parts // threads) * threads, len(points))  # as many for each thread
            for n_points, proposals in map_in_threads(propose, np.array_split(points, n_parts), threads):
                found += proposals
                n_asked += n_points
                progress.update(n_points)
        progress.update(len(grid) - n_asked)
        return remove_duplicates(found, [proposal.predicted_iou for proposal in found], options.box_nms_thresh)

    def _propose(
        self,
        image: Any,
        crop: Crop,
        geometry: ResizeGeometry,
        grid_xy: np.ndarray,
        indices: np.ndarray,
        options: MaskGenerationOptions,
    ) -> list[Proposal]:
        """Decode some points of a crop's grid (N, 2), in its pixels, to what passes the filters."""
        device = self.model.device
        points_model = torch.from_numpy(geometry.points_to_model(grid_xy[indices])).to(device)
        masks = self.model.decode_proposals(image, points_model[None, :, None], iou_threshold=options.pred_iou_thresh)
        low_res_hw = masks.low_res_logits.shape[-2:]
        grid_at = None
        if options.points == "adaptive":
            grid_model = torch.from_numpy(geometry.points_to_model(grid_xy)).to(device)
            grid_at = _low_res_places(grid_model, geometry, low_res_hw)
        passed = filter_masks(
            masks,
            SparseUpsampler.from_geometry(geometry, low_res_hw, masks.low_res_logits.device),
            grid_xy[indices],
            crop_box_xyxy=crop.box_xyxy,
            image_size_hw=crop.size_hw,
            options=options,
            grid_at=grid_at,
        )
        return list(passed)

    def _warn_of_memory(self, what_now: str) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._warned_of_memory:
            warnings.warn(f"Out of memory: {what_now}.", stacklevel=2)
        self._warned_of_memory = True


def _low_res_places(
    points_model: torch.Tensor, geometry: ResizeGeometry, low_res_hw: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns (N,) of the low-resolution pixels in which points (N, 2) of the model's input lie."""
    rows, columns = (
        (points_model[:, axis] * low / padded).long().clamp(0, low - 1)
        for axis, low, padded in zip((1, 0), low_res_hw, geometry.padded_size_hw, strict=True)
    )
    return rows, columns


def _progress_bar(options: MaskGenerationOptions, crop: Crop, grids: Sequence[np.ndarray]) -> tqdm:
    """A bar over the points of one image, on a terminal unless the options say otherwise."""
    show = sys.stderr.isatty() if options.progress is None else options.progress
    _, layers = crop_boxes_xyxy(crop.size_hw, options.crop_n_layers, options.crop_overlap_ratio)
    n_points = sum(len(grids[layer]) for layer in layers)
    return tqdm(total=n_points, desc="Segmenting everything", unit="point", leave=False, disable=not show)
