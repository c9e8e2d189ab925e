"""From sources to `Results`: the answer to prompts, or everything, for each image of a source.

`SAM` is the door to this. `answer_prompts` and `segment_everything` answer for one image; `answer_each` goes through
many, on several devices where there are models on them.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from ..embeddings.encoding import EncodedImage, encode_image
from ..embeddings.image_embedding import ImageEmbedding, check_embedding
from ..images.load import image_size_hw
from ..images.preparation import ImagePreprocessor
from ..images.windows import Window, shown_range
from ..mask_generation.generator import SamMaskGenerator
from ..mask_generation.options import AREA_OPTIONS, MaskGenerationOptions
from ..modeling.network import SamNetwork
from ..prompts.prompt import Prompt, clip_prompt, drawn_prompts
from ..results.results import Results
from ..support.threads import spread
from .decode import DecodingOptions, StageTimes, decode_prompts, prepare_batches
from .sources import SourceImage, open_source


def answer_prompts(
    network: SamNetwork,
    prompts: list[Prompt],
    preprocessor: ImagePreprocessor,
    options: DecodingOptions,
    source: SourceImage,
    *,
    clip: bool = False,
) -> Results:
    """One mask for each prompt of an image.

    Args:
        network: The model.
        prompts: In pixels of the image.
        preprocessor: The model's.
        options: How masks are chosen and cleaned up.
        source: The image.
        clip: Move points and boxes that lie beyond the image to its edge.
    """
    times = StageTimes(network.device)
    with times.stage("read"):
        image = source.load()
    geometry = image.geometry if isinstance(image, ImageEmbedding) else preprocessor.geometry(image_size_hw(image))
    if clip:
        size_hw = geometry.original_size_hw
        prompts = [clip_prompt(prompt, size_hw, f" of prompt {index}") for index, prompt in enumerate(prompts)]
    batches = prepare_batches(prompts, geometry, preprocessor)
    with times.stage("encode"):
        encoded = encode(network, preprocessor, image)
    found = decode_prompts(network, encoded, batches, times=times, options=options)
    return Results(
        found.records,
        encoded.original_size_hw,
        image=image_to_draw_on(source, image),
        name=source.name,
        prompts=drawn_prompts(prompts),
        timings=times,
        low_res_logits=found.low_res_logits if options.keep_logits else None,
    )


def segment_everything(network: SamNetwork, generator: SamMaskGenerator, source: SourceImage) -> Results:
    """Every mask of an image that passes the generator's filters; a warning says which, where none does."""
    times = StageTimes(network.device)
    with times.stage("read"):
        image = source.load()
    size_hw = image.original_size_hw if isinstance(image, ImageEmbedding) else image_size_hw(image)
    encoded: Any = image
    if generator.options.crop_n_layers == 0:  # the generator encodes crops itself
        with times.stage("encode"):
            encoded = encode(network, generator.image_processor, image)
    with times.stage("masks"):
        records = generator.generate(encoded)
    if not records:
        options = generator.options
        warnings.warn(
            f"No mask of {source.name or 'the image'} passed pred_iou_thresh={options.pred_iou_thresh:g} and "
            f"stability_score_thresh={options.stability_score_thresh:g}; lower ones, such as "
            f"{min(1, options.pred_iou_thresh) - 0.2:g} and {min(1, options.stability_score_thresh) - 0.1:g}, let more "
            "masks pass.",
            stacklevel=2,
        )
    return Results(records, size_hw, image=image_to_draw_on(source, image), name=source.name, timings=times)


class _CannotBeReadError(Exception):
    """An image to skip; its cause says what is wrong with it."""


class _SkippedIfBroken(SourceImage):
    """An image whose errors of reading are told from those of prompts."""

    def load(self) -> Any:
        try:
            return super().load()
        except (OSError, TypeError, ValueError) as error:
            raise _CannotBeReadError from error


def answer_each(
    images: Generator[SourceImage], answers: Sequence[Callable[[SourceImage], Results]], on_error: str
) -> Generator[Results]:
    """The answers, one at a time for each device; whoever stops early closes a video."""
    workers = [partial(_answer_unless_broken, answer) if on_error == "skip" else answer for answer in answers]
    with closing(images), closing(spread(images, workers)) as results:
        for result in results:
            if isinstance(result, str):
                warnings.warn(result, stacklevel=2)
            else:
                yield result


def _answer_unless_broken(answer: Callable[[SourceImage], Results], image: SourceImage) -> Results | str:
    """The answer, or what to say of an image that cannot be read."""
    try:
        return answer(_SkippedIfBroken(image.name, image.origin, image.folder))
    except _CannotBeReadError as error:
        return f"Skipped {image.name or 'an image'}: {error.__cause__}"


def of_one_size(results: Generator[Results]) -> Generator[Results]:
    """The same results, as long as all are of one size: prompts of another would be elsewhere.

    Raises:
        ValueError: If one has another size than the first.
    """
    first_hw = None
    with closing(results):
        for result in results:
            first_hw = first_hw or result.size_hw
            if result.size_hw != first_hw:
                raise ValueError(
                    f"Prompts of several images must be for images of one size, height x width, got {first_hw} and "
                    f"{result.size_hw} ({result.name}). Call predict for each image with its own prompts."
                )
            yield result


def with_areas(decoding: DecodingOptions, options: Mapping[str, Any]) -> DecodingOptions:
    """How prompts are answered, with the clean-up that options of segment-everything ask for.

    Raises:
        TypeError: If other options are among them.
        ValueError: If a value cannot be.
    """
    others = [name for name in options if name not in AREA_OPTIONS]
    if others:
        raise TypeError(
            f"Options of segment-everything, got {', '.join(map(repr, others))}, must come without prompts: with "
            "prompts every prompt gets its mask, and none is filtered. Leave out the options or the prompts."
        )
    if not options:
        return decoding
    areas = MaskGenerationOptions.from_kwargs(**options)
    return dataclasses.replace(decoding, clean_up=areas.clean_up)


def encode(network: SamNetwork, preprocessor: ImagePreprocessor, image: Any) -> EncodedImage:
    """An image that is loaded, for use at once; one that is an embedding already is checked.

    Raises:
        ValueError: If another model or preprocessing made the embedding.
    """
    if isinstance(image, ImageEmbedding):
        check_embedding(network, preprocessor, image)
        return image
    return encode_image(network, preprocessor, image)


def with_values(preprocessor: ImagePreprocessor, value_range: Any, window: Window | None) -> ImagePreprocessor:
    """The preprocessor, or a copy of it that takes other values for black and white."""
    if window is not None:
        value_range = shown_range(window, value_range)
    if value_range is None:
        return preprocessor
    changed = copy.copy(preprocessor)
    changed.value_range = value_range
    return changed


def only_image(source: Any, what: str) -> SourceImage:
    """The image of a source that has just one.

    Args:
        source: As in `open_source`.
        what: Needs the image, for the error.

    Raises:
        ValueError: If there are several, or nobody knows how many.
    """
    opened = open_source(source)
    if opened.count != 1:
        came = "a video or a generator" if opened.count is None else f"{opened.count} images"
        raise ValueError(f"{what} must be of one image, got {came}.")
    return next(opened.images)


def image_to_draw_on(source: SourceImage, image: Any) -> Any:
    """What results are drawn on: the path where there is one, so that many results take little memory."""
    if isinstance(image, ImageEmbedding):
        return None
    return source.path or image
