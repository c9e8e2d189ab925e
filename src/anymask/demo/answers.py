"""The answers that the model gives; they are made in the worker's thread."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..configuration_sam import SamConfig
from ..embeddings.encoding import EncodedImage, encode_image
from ..geometry.coordinates import MASK_PIXELS_PER_PATCH, resized_size_hw
from ..images.preparation import ImagePreprocessor
from ..mask_generation.generator import SamMaskGenerator
from ..masks.record import MaskRecord, rle_of
from ..masks.rle import Rle, coco_to_rle, rle_area, rle_to_box_xyxy, rle_to_runs, runs_to_rle, split_at_columns
from ..modeling.fast.decoder import PreparedImage
from ..modeling.outputs import MaskProposals, PromptableModel
from ..predictor.decode import DecodingOptions, PromptBatch, PromptedMasks, StageTimes, decode_prompts, prepare_batches
from ..prompts.prompt import Prompt
from .errors import RequestError
from .pictures import RecentlyUsed
from .questions import Question


@dataclass(frozen=True)
class Encoded:
    """A picture that prompts can be asked of."""

    image: EncodedImage
    prepared: PreparedImage

    @property
    def nbytes(self) -> int:
        """About what it takes, by the embedding; what prompts share is some ten times that."""
        return 12 * self.image.tensor.nbytes


class Segmenter:
    """A model and its image processor, with what tokens of earlier answers stand for."""

    def __init__(self, model: PromptableModel, image_processor: ImagePreprocessor, kept_logits: int) -> None:
        """Take a model; its methods must be called in one thread."""
        self.model = model
        self.image_processor = image_processor
        self._logits: RecentlyUsed[tuple[str, torch.Tensor]] = RecentlyUsed(kept_logits)

    def encode(self, image: Any) -> Encoded:
        """Run the image encoder, and do what all prompts of the picture share."""
        encoded = encode_image(self.model, self.image_processor, image)
        with torch.no_grad():
            return Encoded(encoded, self.model.prepare_image(encoded.tensor))

    def answer(self, encoded: Encoded, prompt: Prompt, options: DecodingOptions) -> PromptedMasks:
        """Decode one prompt, without measuring how stable its masks are: the page does not show it.

        Raises:
            RequestError: If it lies outside the picture.
        """
        return decode_prompts(
            self.model,
            encoded.image,
            self._check(encoded, prompt),
            times=StageTimes(self.model.device),
            options=replace(options, measure_stability=False),
            prepared=encoded.prepared,
        )

    def _check(self, encoded: Encoded, prompt: Prompt) -> list[PromptBatch]:
        try:
            return prepare_batches([prompt], encoded.image.geometry, self.image_processor)
        except ValueError as error:
            raise RequestError(422, str(error)) from error

    def predict(self, picture: str, encoded: Encoded, question: Question) -> dict[str, Any]:
        """Answer `predict`.

        Args:
            picture: Its id: tokens of other pictures are refused.
            encoded: The picture.
            question: What is asked.

        Raises:
            RequestError: If a prompt lies outside the picture, or the token is unknown.
        """
        prompt = question.prompt
        if question.mask is not None:
            prompt = replace(prompt, mask=self._logits_of(picture, question.mask))
        choice = "all" if question.multimask else "best"
        if question.max_side is not None:
            self._check(encoded, prompt)  # in the words of the picture's own pixels
            encoded, prompt = seen_at(encoded, prompt, question.max_side)
        found = self.answer(encoded, prompt, DecodingOptions(question.multimask, choice))
        token = secrets.token_hex(8)
        self._logits.put(token, (picture, found.low_res_logits), found.low_res_logits.nbytes)
        best_first = sorted(range(len(found.records)), key=lambda index: -found.records[index]["predicted_iou"])
        masks = [{**describe(found.records[index]), "logits": f"{token}.{index}"} for index in best_first]
        return {"masks": masks, "logits": masks[0]["logits"]}

    def everything(self, encoded: Encoded, after_batch: Callable[[int, int], None], **options: Any) -> list[MaskRecord]:
        """Segment everything; masks are uncompressed RLE.

        Args:
            encoded: The picture.
            after_batch: Is told how many points are done, and of how many; may raise.
            **options: Of `MaskGenerationOptions`; by default the checkpoint's.

        Raises:
            RequestError: If an option cannot be.
        """
        watched = _Watched(self.model, after_batch)
        fixed = dict(crop_n_layers=0, output_mode="uncompressed_rle", progress=False)
        try:
            generator = SamMaskGenerator(watched, self.image_processor, **{**options, **fixed})
        except (TypeError, ValueError) as error:
            raise RequestError(422, str(error)) from error
        watched.total = sum(len(grid) for grid in generator.options.grids())
        return generator.generate(encoded.image)

    def _logits_of(self, picture: str, token: str) -> torch.Tensor:
        name, _, number = token.partition(".")
        kept = self._logits.get(name)
        if kept is None or kept[0] != picture or not number.isdecimal() or int(number) >= len(kept[1]):
            raise RequestError(404, "`mask` must be a token of an answer on this picture, and is none, or no longer.")
        return kept[1][int(number)]


class _Watched:
    """A model whose progress through the points of segment-everything is told; threads take turns to tell it."""

    def __init__(self, model: PromptableModel, after_batch: Callable[[int, int], None]) -> None:
        self._model, self._after_batch = model, after_batch
        self.config = model.config
        self.done, self.total = 0, 0
        self._turn = threading.Lock()

    @property
    def device(self) -> torch.device:
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        return self._model.dtype

    @property
    def vision_encoder(self) -> torch.nn.Module:
        return self._model.vision_encoder

    def get_image_embeddings(self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = False) -> torch.Tensor:
        return self._model.get_image_embeddings(pixel_values, interpolate_pos_encoding)

    def prepare_image(self, image_embeddings: Any) -> Any:
        return self._model.prepare_image(image_embeddings)

    def decode_proposals(self, image: Any, input_points: torch.Tensor, *, iou_threshold: float = 0.0) -> MaskProposals:
        proposals = self._model.decode_proposals(image, input_points, iou_threshold=iou_threshold)
        with self._turn:
            self.done += input_points.shape[1]
            self._after_batch(self.done, self.total)
        return proposals


def mask_size(config: SamConfig) -> int:
    """Side of a model's low-resolution masks."""
    vision = config.vision_config
    return MASK_PIXELS_PER_PATCH * (vision.image_size // vision.patch_size)


def seen_at(encoded: Encoded, prompt: Prompt, max_side: int) -> tuple[Encoded, Prompt]:
    """A picture and a prompt as if the picture were smaller, which costs less: the model's input stays the same."""
    geometry = encoded.image.geometry
    height, width = geometry.original_size_hw
    if max(height, width) <= max_side:
        return encoded, prompt
    small_height, small_width = resized_size_hw((height, width), max_side)
    across, down = small_width / width, small_height / height
    box = prompt.box_xyxy
    image = replace(encoded.image, geometry=replace(geometry, original_size_hw=(small_height, small_width)))
    scaled = replace(
        prompt,
        points_xy=tuple((x * across, y * down) for x, y in prompt.points_xy),
        box_xyxy=None if box is None else (box[0] * across, box[1] * down, box[2] * across, box[3] * down),
    )
    return replace(encoded, image=image), scaled


def describe(record: Mapping[str, Any], max_side: int | None = None) -> dict[str, Any]:
    """What an answer says of a mask, sampled down to a longest side where one is given."""
    rle = coco_to_rle(rle_of(record))
    if max_side is not None:
        rle = sample_rle(rle, max_side)
    return {
        "rle": rle,
        "bbox_xyxy": rle_to_box_xyxy(rle),
        "area": rle_area(rle),
        "score": round(float(record["predicted_iou"]), 4),
    }


def sample_rle(rle: Rle, max_side: int) -> Rle:
    """The pixels of a mask at the centres of a coarser grid, whose longer side is `max_side`; from runs to runs."""
    height, width = rle["size"]
    if max(height, width) <= max_side:
        return rle
    small_height, small_width = resized_size_hw((height, width), max_side)
    rows = ((np.arange(small_height) + 0.5) * height / small_height).astype(np.int64)
    columns = ((np.arange(small_width) + 0.5) * width / small_width).astype(np.int64)
    starts, ends = split_at_columns(*rle_to_runs(rle), height)
    first_row = np.searchsorted(rows, np.arange(height + 1))  # the first of the coarse rows at or below each row
    new_column = np.full(width, -1)
    new_column[columns] = np.arange(small_width)
    of_run = starts // height
    tops, bottoms = first_row[starts - of_run * height], first_row[ends - of_run * height]
    kept = (new_column[of_run] >= 0) & (bottoms > tops)
    offsets = new_column[of_run[kept]] * small_height
    return runs_to_rle(offsets + tops[kept], offsets + bottoms[kept], (small_height, small_width))
