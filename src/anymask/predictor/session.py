"""SamSession: prompts that are added, corrected and taken back one by one, for tools and people.

The image is encoded once, before the session begins. Every change of prompts is a step that can be undone and redone.
Masks are computed when `result` or `mask` asks for them, and kept.

What goes back into the model: a point that is added to an object corrects the mask that the object has, so the
low-resolution logits of that mask go in with the prompts, as in SAM's training. They do from the object's first
prediction on; points that are added before it, or between two predictions, go in together. What takes back or replaces
something (`remove_point`, `set_box`, `clear_box`, `set_mask`, `clear_mask`) makes the object start afresh from its
prompts, so that nothing of what was taken back stays in the mask. `undo` and `redo` bring back prompts and logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..embeddings.encoding import EncodedImage
from ..embeddings.image_embedding import ImageEmbedding, check_embedding, with_fingerprints
from ..geometry.coordinates import LABEL_BACKGROUND, LABEL_FOREGROUND
from ..images.preparation import Processor, check_processor
from ..masks.record import MaskRecord
from ..masks.rle import rle_to_mask
from ..modeling.fast.decoder import PreparedImage
from ..modeling.outputs import PromptableModel, check_model
from ..prompts.mask_prompts import mask_to_logits
from ..prompts.prompt import Prompt, check_prompt, drawn_prompts
from ..prompts.short_forms import read_prompts
from ..results.results import Results
from .decode import DecodingOptions, StageTimes, decode_prompts, prepare_batches


@dataclass(eq=False)
class _Object:
    """One object between two changes of it. Shared by the steps of the history in which it did not change."""

    prompt: Prompt  # what was said about it
    fed_back: torch.Tensor | None = None  # (h, w) logits of an earlier prediction, which go in with the prompt
    record: MaskRecord | None = None  # the answer, once it was asked for
    low_res_logits: torch.Tensor | None = None  # (h, w) of the answer

    @property
    def prompt_for_model(self) -> Prompt:
        return self.prompt if self.fed_back is None else replace(self.prompt, mask=self.fed_back)

    @property
    def latest_logits(self) -> torch.Tensor | None:
        """Those of the answer, or, before it was asked for, those that go in."""
        return self.fed_back if self.low_res_logits is None else self.low_res_logits


@dataclass(frozen=True)
class _Step:
    """A state of the session; never changed, only replaced."""

    objects: dict[int, _Object]
    selected: int | None
    next_id: int


class SamSession:
    """Interactive segmentation of the objects of one image; `SAM.session` makes it.

    Objects have numbers, 1, 2, ... Prompts go to the selected object unless `object_id` says another; the first prompt
    makes the first object. Coordinates are pixels of the original image, x to the right and y down. What cannot be, as
    a point outside the image or an unknown object, raises ValueError and changes nothing.

    Examples:
        >>> from anymask import SAM
        >>> session = SAM("sam-vit-nano").session("photo.jpg")
        >>> session.add_point(450, 150)
        >>> session.add_point(300, 350, label=0)
        >>> session.mask().shape
        (400, 600)
        >>> session.undo()
    """

    def __init__(
        self,
        model: PromptableModel,
        processor: Processor,
        embedding: EncodedImage,
        *,
        image: Any = None,
        name: str | None = None,
        choice: str = "best",
    ) -> None:
        """Begin a session on an image that is encoded.

        Args:
            model: the `SamModel` that made the embedding.
            processor: its `SamProcessor`, or that one's image processor.
            embedding: of the image; one that says which model made it is checked.
            image: the image or its path, for results to be drawn on.
            name: of the image, for its results.
            choice: which mask answers a prompt, "best" or "stable"; see `decode.choose_masks`.

        Raises:
            TypeError: If model or processor is none of this package's.
            ValueError: If `choice` is "all", or another model or preprocessing made the embedding.
        """
        if choice == "all":
            raise ValueError(
                "`choice` must be 'best' or 'stable' in a session, whose objects have one mask, got 'all'."
            )
        check_model(model)
        self._model, self._image_processor = model, check_processor(processor)
        check_embedding(model, processor, embedding)
        self._encoded = embedding
        self._prepared: PreparedImage | None = None  # with the first prediction, and kept for all that follow
        self._image, self._name, self._options = image, name, DecodingOptions(choice=choice)
        self._now = _Step({}, None, 1)
        self._past: list[_Step] = []
        self._future: list[_Step] = []

    @property
    def embedding(self) -> ImageEmbedding:
        """Of the image, to be kept. Hashes the model's weights when it is first asked for; change none before."""
        if not isinstance(self._encoded, ImageEmbedding):
            self._encoded = with_fingerprints(self._encoded, self._model, self._image_processor, self._name)
        return self._encoded

    # Objects

    @property
    def object_ids(self) -> list[int]:
        """The numbers of all objects, in the order in which they were made."""
        return list(self._now.objects)

    @property
    def selected(self) -> int | None:
        """The object that prompts go to; None before the first."""
        return self._now.selected

    def prompt(self, object_id: int | None = None) -> Prompt:
        """What was said about an object: points, labels, box and mask."""
        return self._existing(object_id)[1].prompt

    def add_object(self) -> int:
        """Make and select a new object without prompts; return its number."""
        object_id = self._now.next_id
        self._go_to({**self._now.objects, object_id: _Object(Prompt())}, object_id, object_id + 1)
        return object_id

    def remove_object(self, object_id: int | None = None) -> None:
        """Remove an object; the one made last is selected then, unless another was selected."""
        object_id, _ = self._existing(object_id)
        objects = {number: kept for number, kept in self._now.objects.items() if number != object_id}
        selected = max(objects, default=None) if self._now.selected == object_id else self._now.selected
        self._go_to(objects, selected, self._now.next_id)

    def select(self, object_id: int) -> None:
        """Make an object the one that prompts go to. No step of the history."""
        self._existing(object_id)
        self._now = replace(self._now, selected=object_id)

    # Prompts

    def add_point(self, x: float, y: float, label: int = LABEL_FOREGROUND, object_id: int | None = None) -> None:
        """Say of a pixel that it belongs to the object, or does not.

        Args:
            x: to the right, in pixels of the image.
            y: down, likewise.
            label: 1 foreground, 0 background.
            object_id: the selected object by default.

        Raises:
            ValueError: If there is no such object, or the label is neither 0 nor 1.
        """
        if label not in (LABEL_BACKGROUND, LABEL_FOREGROUND):
            raise ValueError(f"`label` must be 1 (foreground) or 0 (background), got {label!r}.")
        number, target = self._target(object_id)
        prompt = target.prompt
        points_xy = (*prompt.points_xy, (float(x), float(y)))
        added = replace(prompt, points_xy=points_xy, labels=(*prompt.labels, int(label)))
        self._change(number, added, fed_back=target.latest_logits)

    def remove_point(self, index: int = -1, object_id: int | None = None) -> None:
        """Take back one point.

        Args:
            index: its position among the object's points, from 0; negative from the end, by default the last.
            object_id: of which object; by default the selected one.

        Raises:
            ValueError: If there is no such point or object.
        """
        number, target = self._existing(object_id)
        points_xy, labels = list(target.prompt.points_xy), list(target.prompt.labels)
        if not -len(points_xy) <= index < len(points_xy):
            raise ValueError(f"`index` must be of one of the {len(points_xy)} points of object {number}, got {index}.")
        del points_xy[index], labels[index]
        self._change(number, replace(target.prompt, points_xy=tuple(points_xy), labels=tuple(labels)))

    def set_box(self, box_xyxy: Sequence[float], object_id: int | None = None) -> None:
        """Give the object a box, in place of the one that it has.

        Args:
            box_xyxy: left, top, right, bottom in pixels of the image.
            object_id: of which object; by default the selected one, or a new one where there is none.

        Raises:
            ValueError: If there is no such object, or the box is none or lies beyond the image.
        """
        if len(box_xyxy) != 4:
            raise ValueError(f"`box_xyxy` must be (x0, y0, x1, y1), got {box_xyxy!r}.")
        number, target = self._target(object_id)
        x0, y0, x1, y1 = (float(edge) for edge in box_xyxy)
        self._change(number, replace(target.prompt, box_xyxy=(x0, y0, x1, y1)))

    def clear_box(self, object_id: int | None = None) -> None:
        """Take back the object's box."""
        number, target = self._existing(object_id)
        self._change(number, replace(target.prompt, box_xyxy=None))

    def set_mask(self, mask: Any, object_id: int | None = None) -> None:
        """Give the object a mask to begin with, in place of the one that it has.

        Args:
            mask: (H, W), binary and as large as the image, or low-resolution logits of an earlier prediction.
            object_id: the selected object by default.

        Raises:
            ValueError: If there is no such object, or `mask` is not one mask of a size that it may have.
        """
        number, target = self._target(object_id)
        geometry = self._image_processor.options().mask_geometry(self._encoded.geometry)
        read = read_prompts(masks=mask) or []
        if len(read) != 1:
            raise ValueError(f"`mask` must be one mask, got {len(read)}.")
        logits = mask_to_logits(read[0].mask, geometry)
        self._change(number, replace(target.prompt, mask=logits))

    def clear_mask(self, object_id: int | None = None) -> None:
        """Take back the mask that `set_mask` gave, and the logits that were fed back."""
        number, target = self._existing(object_id)
        self._change(number, replace(target.prompt, mask=None))

    def refine(self, object_id: int | None = None) -> None:
        """Feed the object's mask back once more, without a new prompt; often its outline becomes cleaner."""
        number, target = self._existing(object_id)
        self._predict({number: target})
        self._change(number, target.prompt, fed_back=target.low_res_logits)

    # History

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to go back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._future)

    def undo(self) -> None:
        """Go back one step: prompts, objects and the logits that are fed back.

        Raises:
            ValueError: If there is nothing to undo.
        """
        if not self._past:
            raise ValueError("There must be a step to undo, but the session is at its beginning.")
        self._future.append(self._now)
        self._now = self._past.pop()

    def redo(self) -> None:
        """Go forward again, unless something was changed since `undo`.

        Raises:
            ValueError: If nothing was undone since the last change.
        """
        if not self._future:
            raise ValueError("There must be an undone step to redo, but none is left since the last change.")
        self._past.append(self._now)
        self._now = self._future.pop()

    # Masks

    def result(self) -> Results:
        """One record per object that has prompts, in the order of `object_ids`, each with its "object_id".

        Raises:
            ValueError: If no object has a prompt.
        """
        objects = {number: found for number, found in self._now.objects.items() if not found.prompt.is_empty}
        if not objects:
            raise ValueError("There must be a prompt before there is a result; call add_point, set_box or set_mask.")
        times = self._predict(objects)
        return Results(
            [{**found.record, "object_id": number} for number, found in objects.items() if found.record],
            self._encoded.original_size_hw,
            image=self._image,
            name=self._name,
            prompts=drawn_prompts([found.prompt for found in objects.values()]),
            timings=times,
            low_res_logits=torch.stack([found.low_res_logits for found in objects.values()]),  # type: ignore[misc]
        )

    def mask(self, object_id: int | None = None) -> np.ndarray:
        """The mask (H, W) of bool of one object, by default the selected one."""
        number, target = self._existing(object_id)
        self._predict({number: target})
        return rle_to_mask(target.record["segmentation"])  # type: ignore[index]

    def _predict(self, objects: dict[int, _Object]) -> StageTimes:
        """Answer those objects that have no answer yet."""
        times = StageTimes(self._model.device)
        for number, found in objects.items():
            if found.prompt.is_empty:
                raise ValueError(f"Object {number} must have a prompt before it has a mask; add a point or a box.")
        waiting = [found for found in objects.values() if found.record is None]
        prompts = [found.prompt_for_model for found in waiting]
        batches = prepare_batches(prompts, self._encoded.geometry, self._image_processor)
        if self._prepared is None:
            with times.stage("decode"):
                self._prepared = self._model.prepare_image(self._encoded.tensor.to(self._model.device))
        answers = decode_prompts(
            self._model,
            self._encoded,
            batches,
            times=times,
            options=self._options,
            prepared=self._prepared,
        )
        for found, record, logits in zip(waiting, answers.records, answers.low_res_logits, strict=True):
            found.record, found.low_res_logits = record, logits
        return times

    # Steps

    def _existing(self, object_id: int | None) -> tuple[int, _Object]:
        number = self._now.selected if object_id is None else object_id
        if number is None:
            raise ValueError("There must be an object first; add_point, set_box, set_mask and add_object make one.")
        if number not in self._now.objects:
            raise ValueError(
                f"`object_id` must be one of {self.object_ids}, got {number!r}; add_object() makes a new one."
            )
        return number, self._now.objects[number]

    def _target(self, object_id: int | None) -> tuple[int, _Object]:
        """The object that a prompt is for; a new one where the session has none."""
        if object_id is None and self._now.selected is None:
            return self._now.next_id, _Object(Prompt())
        return self._existing(object_id)

    def _change(self, number: int, prompt: Prompt, fed_back: torch.Tensor | None = None) -> None:
        """Take the step after which an object has this prompt."""
        check_prompt(prompt, self._encoded.original_size_hw)
        changed = _Object(prompt, fed_back)
        selected = number if self._now.selected is None else self._now.selected
        self._go_to({**self._now.objects, number: changed}, selected, max(self._now.next_id, number + 1))

    def _go_to(self, objects: dict[int, _Object], selected: int | None, next_id: int) -> None:
        self._past.append(self._now)
        self._future.clear()
        self._now = _Step(objects, selected, next_id)
