"""From prompts to masks: records in the order of the prompts, whatever kinds of prompts they are.

`SAM.predict` and `SamSession` are the callers. Prompts are decoded some at a time, and full-size masks are made as run
lengths from low-resolution logits (`sparse_upsampling.py`), so that memory follows neither the number of prompts,
unless these logits are kept, nor the size of the image.

The decoder gives four masks for each prompt: one that is meant for unambiguous prompts, and three for ambiguous ones
(whole, part, subpart). `choose_masks` says which of them is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..embeddings.encoding import EncodedImage
from ..geometry.coordinates import MASK_PIXELS_PER_PATCH, ResizeGeometry
from ..images.preparation import ImagePreprocessor
from ..masks.clean_up import CleanUp
from ..masks.record import MaskRecord, make_record
from ..masks.rle import runs_to_rle
from ..masks.sparse_upsampling import SparseUpsampler
from ..modeling.fast.decoder import PreparedImage
from ..modeling.outputs import PromptableModel
from ..prompts.prompt import Prompt, check_prompt
from ..prompts.tensors import to_tensors

PROMPTS_AT_A_TIME = 64  # as many as the points that the generator decodes at a time
STABILITY_OFFSET = 1.0  # of the stability score in records, as in Meta's generator
CHOICES = ("best", "stable", "all")
STABLE_OFFSET = 0.05  # of the choice "stable": how far the threshold moves each way
STABLE_SCORE = 0.98  # from here on it trusts the single mask


@dataclass(frozen=True)
class DecodingOptions:
    """How prompts are answered.

    Attributes:
        multimask_output: Choose the mask from several; False takes the one that is made for unambiguous prompts.
        choice: "best", "stable" or "all"; see `choose_masks`.
        stable_score: From which stability on "stable" trusts the single mask.
        keep_logits: Return low-resolution logits too.
        clean_up: Which holes and islands go; None as the checkpoint says, see `prompted_masks` in `SamConfig`.
        measure_stability: Say in records how stable the masks are, which takes about as long as making them.
    """

    multimask_output: bool = True
    choice: str = "best"
    stable_score: float = STABLE_SCORE
    keep_logits: bool = True
    clean_up: CleanUp | None = None
    measure_stability: bool = True

    def __post_init__(self) -> None:
        check_choice(self.choice, self.multimask_output)


@dataclass(frozen=True)
class PromptedMasks:
    """The answers to prompts.

    Attributes:
        records: N, in the order of the prompts, the segmentation as uncompressed RLE: one per prompt, or with
            choice="all" those of a prompt one after another, each with its "prompt_index".
        low_res_logits: (N, h, w) float32 on the CPU; as mask prompts they say what these masks are. (0, h, w) where
            they were not to be kept.
    """

    records: list[MaskRecord]
    low_res_logits: torch.Tensor


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that the model takes together.

    Attributes:
        indices: which prompts they are.
        prompts: themselves, in pixels of the original image.
        inputs: arguments of `SamModel.forward`, in pixels of the model's input.
    """

    indices: list[int]
    prompts: list[Prompt]
    inputs: dict[str, torch.Tensor]


class StageTimes(dict[str, float]):
    """Seconds per stage. Work on an accelerator is waited for, so that it counts where it belongs."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self[name] = self.get(name, 0.0) + time.perf_counter() - start


def prepare_batches(
    prompts: Sequence[Prompt],
    geometry: ResizeGeometry,
    image_processor: ImagePreprocessor,
    prompts_at_a_time: int = PROMPTS_AT_A_TIME,
) -> list[PromptBatch]:
    """Check prompts and bring them to the model's frame; runs no model, so that mistakes show before it is run.

    Args:
        prompts: In pixels of the original image.
        geometry: How that image is brought to the model's input.
        image_processor: One of anymask's.
        prompts_at_a_time: How many of them the model takes together at most.

    Raises:
        ValueError: If a point or a box lies outside the image, or a mask has another size.
    """
    # Prompts with masks of their own share less of the decoder's work, those with nothing but a mask have no tokens.
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for index, prompt in enumerate(prompts):
        check_prompt(prompt, geometry.original_size_hw, f" of prompt {index}")
        is_mask_alone = not prompt.points_xy and prompt.box_xyxy is None
        kinds.setdefault((is_mask_alone, prompt.mask is not None), []).append(index)
    mask_geometry = image_processor.options().mask_geometry(geometry) if prompts else geometry
    batches = []
    for indices in kinds.values():
        for first in range(0, len(indices), prompts_at_a_time):
            some = indices[first : first + prompts_at_a_time]
            members = [prompts[index] for index in some]
            inputs = to_tensors([members], [geometry], mask_geometries=[mask_geometry])
            batches.append(PromptBatch(some, members, inputs))
    return batches


@torch.no_grad()  # not inference_mode: logits may be prompts of a model that is trained
def decode_prompts(
    model: PromptableModel,
    embedding: EncodedImage,
    batches: Sequence[PromptBatch],
    *,
    times: StageTimes,
    options: DecodingOptions,
    prepared: PreparedImage | None = None,
) -> PromptedMasks:
    """Answer each prompt with its mask, or masks, in the order of the prompts; an empty one too.

    Args:
        model: A `SamModel`.
        embedding: Made by it.
        batches: What `prepare_batches` made of the prompts.
        times: Takes the stages "decode" and "masks".
        options: How prompts are answered.
        prepared: What `model.prepare_image` made of the embedding, by who keeps the image for more prompts.
    """
    image = model.prepare_image(embedding.tensor.to(model.device)) if prepared is None else prepared
    low_res_hw = tuple(MASK_PIXELS_PER_PATCH * side for side in embedding.tensor.shape[-2:])
    upsampler = SparseUpsampler.from_geometry(embedding.geometry, low_res_hw, model.device)
    clean_up = options.clean_up or CleanUp(**(getattr(model.config, "prompted_masks", None) or {}))
    records: dict[int, list[MaskRecord]] = {}
    kept: dict[int, torch.Tensor] = {}
    for batch in batches:
        with times.stage("decode"):
            output = model(
                image_embeddings=image,
                multimask_output=masks_wanted(options.choice, options.multimask_output),
                **{name: value.to(model.device) for name, value in batch.inputs.items()},
            )
        with times.stage("masks"):
            # (prompts, masks, h, w) and (prompts, masks)
            logits, iou_scores = choose_masks(
                output.pred_masks[0], output.iou_scores[0], options.choice, upsampler, stable_score=options.stable_score
            )
            made = _records(
                logits.flatten(0, 1),
                iou_scores.flatten(),
                upsampler,
                embedding.original_size_hw,
                clean_up=clean_up,
                measure_stability=options.measure_stability,
            )
            for index, prompt in zip(batch.indices, batch.prompts, strict=True):
                records[index] = [_about(next(made), prompt) for _ in range(logits.shape[1])]
                if options.choice == "all":
                    records[index] = [{**record, "prompt_index": index} for record in records[index]]
            if options.keep_logits:
                kept.update(zip(batch.indices, logits.float().cpu(), strict=True))
    in_order = sorted(records)
    none = torch.empty(0, *low_res_hw, dtype=torch.float32, device="cpu")
    low_res_logits = torch.cat([kept[index] for index in in_order]) if kept else none
    return PromptedMasks([record for index in in_order for record in records[index]], low_res_logits)


def check_choice(choice: str, multimask_output: bool = True) -> None:
    """Raise ValueError for a choice that there is not, or nothing to choose from."""
    if choice not in CHOICES:
        raise ValueError(f"`choice` must be one of {', '.join(map(repr, CHOICES))}, got {choice!r}.")
    if choice == "stable" and not multimask_output:
        raise ValueError("`choice` must be 'best' with multimask_output=False, which leaves one mask, got 'stable'.")


def masks_wanted(choice: str, multimask_output: bool) -> bool | None:
    """What `SamModel.forward` takes as `multimask_output`, so that `choose_masks` has what it needs."""
    return None if choice == "stable" else multimask_output


def choose_masks(
    low_res_logits: torch.Tensor,
    iou_scores: torch.Tensor,
    choice: str,
    upsampler: SparseUpsampler,
    stable_score: float = STABLE_SCORE,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the masks that answer each prompt: one, or with "all" each of them.

    "best" is the mask with the highest predicted IoU; of equal ones the first. "stable" is the single mask where it
    hardly changes when its threshold moves (stability score of at least 0.98 at an offset of 0.05), else the best of
    the others. An empty mask is not stable.

    Args:
        low_res_logits: (P, M, h, w); for "stable" the single mask first.
        iou_scores: (P, M), predicted.
        choice: One of `CHOICES`.
        upsampler: Of the image, since stability is measured on masks of its size.
        stable_score: From which stability on the single mask is trusted.

    Returns:
        Logits (P, K, h, w) and predicted IoU (P, K) of the chosen masks; K is 1, or M with "all".

    Source: "stable" is SAM 2's dynamic multimask (https://arxiv.org/abs/2408.00714), which measures on the
        low-resolution masks and takes an empty mask for a stable one.
    """
    if choice == "all":
        return low_res_logits, iou_scores
    if choice == "stable":
        single = low_res_logits[:, 0]
        is_stable = upsampler.stability_scores(single, stability_score_offset=STABLE_OFFSET) >= stable_score
        chosen = torch.where(is_stable.to(iou_scores.device), 0, 1 + iou_scores[:, 1:].argmax(dim=1))
    else:
        chosen = iou_scores.argmax(dim=1)
    prompts = torch.arange(len(chosen), device=chosen.device)
    return low_res_logits[prompts, chosen, None], iou_scores[prompts, chosen, None]


def _about(record: MaskRecord, prompt: Prompt) -> MaskRecord:
    """Say in a record what asked for it."""
    record["point_coords"] = [list(point) for point in prompt.points_xy]
    if prompt.name is not None:
        record["label"] = prompt.name
    if prompt.score is not None:
        record["score"] = prompt.score
    return record


def _records(
    logits: torch.Tensor,
    iou_scores: torch.Tensor,
    upsampler: SparseUpsampler,
    size_hw: tuple[int, int],
    clean_up: CleanUp,
    *,
    measure_stability: bool,
) -> Iterator[MaskRecord]:
    """A record without points for each of the logits (N, h, w)."""
    height, width = size_hw
    stability: list[dict[str, Any]] = [{}] * len(logits)
    if measure_stability:
        measured = upsampler.stability_scores(logits, stability_score_offset=STABILITY_OFFSET)
        stability = [{"stability_score": score} for score in measured.tolist()]
    scores = iou_scores.tolist()
    boxes, exists = upsampler.boxes(logits)
    for index, (box, is_mask) in enumerate(zip(boxes.tolist(), exists.tolist(), strict=True)):
        starts = ends = np.zeros(0, dtype=np.int64)
        if is_mask:
            of_box, box_logits = upsampler.crop(logits[index], box)
            starts, ends = of_box.runs(box_logits, 0.0, height)
        rle, is_changed = clean_up.apply(runs_to_rle(starts, ends, size_hw))
        yield make_record(
            rle,
            box_xyxy=None if is_changed else box,
            predicted_iou=scores[index],
            point_coords=[],
            **stability[index],
            crop_box=[0, 0, width, height],
        )
