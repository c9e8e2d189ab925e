"""CVAT's functions: clicks, detection of everything, and tracking, as `cvat-cli` and its agents call them.

    cvat-cli function create-native "anymask" --function-module anymask.integrations.cvat -p kind=str:interaction
    cvat-cli task auto-annotate TASK --function-module anymask.integrations.cvat -p kind=str:detection

Source: the interfaces of `cvat_sdk.auto_annotation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import cvat_sdk.models as models
import PIL.Image
from cvat_sdk.masks import decode_mask, encode_mask

from ..demo.answers import Encoded, Segmenter
from ..demo.pictures import Limits
from ..masks.measures import widened_box_xyxy
from ..masks.polygons import rle_to_polygons
from ..masks.record import rle_of
from ..masks.rle import rle_to_mask
from ..predictor.decode import DecodingOptions
from ..prompts.prompt import Prompt, clip_prompt
from ..sam import SAM

LABEL_ID = 0
TRACKED_MARGIN = 0.1  # the box of an object grows by this share of its sides from frame to frame


def create(kind: str = "interaction", model: str = "sam-vit-nano", device: str = "auto", label: str = "object") -> Any:
    """Make the function that CVAT calls.

    Args:
        kind: "interaction", "detection" or "tracking".
        model: As in `SAM`.
        device: As in `SAM`.
        label: Of what detection finds; the task must have a label of this name.

    Raises:
        ValueError: If there is no such kind.
    """
    kinds = {"interaction": Interaction, "detection": Detection, "tracking": Tracking}
    if kind not in kinds:
        raise ValueError(f"`kind` must be one of {', '.join(kinds)}, got {kind!r}.")
    sam = SAM(model, device=device)
    segmenter = Segmenter(sam.model, sam.processor.image_processor, Limits().kept_logits)
    return Detection(segmenter, label) if kind == "detection" else kinds[kind](segmenter)


class Interaction:
    """Clicks and boxes to masks."""

    spec = cvataa.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def __init__(self, segmenter: Segmenter) -> None:
        """Take a model."""
        self._segmenter = segmenter

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: PIL.Image.Image) -> Encoded:
        """Run the image encoder."""
        return self._segmenter.encode(image.convert("RGB"))

    def detect(
        self, context: cvataa.InteractionFunctionContext, pp_image: Encoded, prompts: cvataa.InteractionPrompts
    ) -> Sequence[cvataa.InteractionResultShape]:
        """The mask of what is pointed at; none where nothing is."""
        points = [*prompts.pos_points, *prompts.neg_points]
        box = prompts.bounding_box
        if not points and box is None:
            return []
        prompt = Prompt(
            tuple((float(x), float(y)) for x, y in points),
            (1,) * len(prompts.pos_points) + (0,) * len(prompts.neg_points),
            None if box is None else (*box[0], *box[1]),
        )
        prompt = clip_prompt(prompt, pp_image.image.original_size_hw)
        [record] = self._segmenter.answer(pp_image, prompt, DecodingOptions(keep_logits=False)).records
        if not record["area"]:
            return []
        confidence = models.AttributeValRequest(
            spec_id=int(cvataa.InteractionResultAttributes.CONFIDENCE), value=_confidence(record["predicted_iou"])
        )
        points_of_mask = encode_mask(rle_to_mask(rle_of(record)))
        return [cvataa.InteractionResultShape(type="mask", points=points_of_mask, attributes=[confidence])]


class Detection:
    """Everything, under one label."""

    def __init__(self, segmenter: Segmenter, label: str = "object") -> None:
        """Take a model and the label's name."""
        self._segmenter = segmenter
        self.spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec(label, LABEL_ID)])

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> Sequence[cvataa.DetectionAnnotation]:
        """The masks, or their outlines where CVAT asks for polygons."""
        encoded = self._segmenter.encode(image.convert("RGB"))
        options = {} if context.conf_threshold is None else {"pred_iou_thresh": context.conf_threshold}
        shapes: list[cvataa.DetectionAnnotation] = []
        for record in self._segmenter.everything(encoded, lambda done, total: None, **options):
            rle = rle_of(record)
            if context.conv_mask_to_poly:
                for polygon in rle_to_polygons(rle, tolerance=1.0, holes=False):
                    outline = polygon.outer_xy.astype(float).ravel().tolist()
                    shapes.append(cvataa.polygon(LABEL_ID, outline))
            else:
                shapes.append(cvataa.mask(LABEL_ID, encode_mask(rle_to_mask(rle))))
        return shapes


@dataclass
class TrackingState:
    """The mask in the frame that was seen last, as a prompt for the next."""

    prompt: Prompt


class Tracking:
    """A mask from frame to frame: each answer is the prompt of the next frame. Made for objects that move little."""

    spec = cvataa.TrackingFunctionSpec(supported_shape_types=["mask"])

    def __init__(self, segmenter: Segmenter) -> None:
        """Take a model."""
        self._segmenter = segmenter

    def preprocess_image(self, context: cvataa.TrackingFunctionContext, image: PIL.Image.Image) -> Encoded:
        """Run the image encoder."""
        return self._segmenter.encode(image.convert("RGB"))

    def init_tracking_state(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: Encoded, shape: cvataa.TrackableShape
    ) -> TrackingState:
        """Begin with a mask."""
        height, width = pp_image.image.original_size_hw
        mask = decode_mask(shape.points, image_width=width, image_height=height)
        return TrackingState(_prompt_of(mask))

    def track(
        self, context: cvataa.TrackingFunctionShapeContext, pp_image: Encoded, state: TrackingState
    ) -> cvataa.TrackableShape | None:
        """The mask in the next frame; None where nothing is left of it."""
        options = DecodingOptions(multimask_output=False, keep_logits=False)
        [record] = self._segmenter.answer(pp_image, state.prompt, options).records
        if not record["area"]:
            return None
        mask = rle_to_mask(rle_of(record))
        state.prompt = _prompt_of(mask)
        return cvataa.TrackableShape(type="mask", points=encode_mask(mask))


def _prompt_of(mask: Any) -> Prompt:
    return Prompt(box_xyxy=widened_box_xyxy(mask, TRACKED_MARGIN), mask=mask)


def _confidence(predicted_iou: float) -> str:
    return f"{min(max(predicted_iou, 0.0), 1.0):.4f}"
