"""SAM: a model, its processor and everything around them in one object, for whoever wants masks and not tensors.

`SAM("sam-vit-nano").predict("photo.jpg")` is an adapter: sources are opened in `sources.py`, prompts read in
`prompt_forms.py` and answered in `prompted_masks.py`, images without prompts go to `SamMaskGenerator`, and what comes
back is `Results`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from .checkpoints.packaged import load_network, load_preparation
from .embeddings.image_embedding import EncodedImage, ImageEmbedding, embed_image, encode_image
from .images.load import image_size_hw
from .images.preparation import ImagePreprocessor
from .mask_generation.generator import SamMaskGenerator
from .mask_generation.options import ALIASES, OPTION_NAMES
from .modeling.network import SamNetwork
from .predictor.choice import check_choice
from .predictor.decode import DecodingOptions, StageTimes, decode_prompts, prepare_batches
from .predictor.session import SamSession
from .predictor.sources import SourceImage, is_live, open_source
from .prompts.prompt import Prompt, drawn_prompts
from .prompts.short_forms import read_prompts
from .results.results import Results
from .support.unknown_names import check_known_options
from .weights.names import is_packaged

if TYPE_CHECKING:
    from .modeling.summary import ModelInfo
    from .modeling_sam import SamModel
    from .processing_sam import SamProcessor

_PREDICT_NAMES = (
    *("points", "labels", "boxes", "bboxes", "masks"),
    *("multimask_output", "choice", "low_res_logits", "stream"),
)


class SAM:
    """Segment Anything in one line.

    Example:
        >>> sam = SAM("sam-vit-nano")
        >>> results = sam.predict("photo.jpg", points=[450, 600])  # doctest: +SKIP
        >>> results[0].save("photo.json")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | SamModel = "sam-vit-nano",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        processor: SamProcessor | None = None,
    ) -> None:
        """Loads a checkpoint, or takes a model that is loaded.

        Args:
            model: "sam-vit-nano", which is packaged; a hub id or folder; a file of weights; "sam_b.pt", "sam_l.pt" or
                "sam_h.pt"; see `SamModel.from_pretrained`. Or a `SamModel`, which is used as it is.
            device: a torch device; None or "auto" takes CUDA where there is one, else the CPU.
            dtype: a torch dtype or its name; by default the one that the checkpoint names.
            processor: of a `SamModel` that is loaded; with a checkpoint, in place of the one that lies there.

        Raises:
            OSError: there is no such checkpoint.
            TypeError: a model comes without its processor.
            ValueError: the checkpoint is another model's, or a model that is loaded comes with a device or a dtype.
        """
        if isinstance(model, torch.nn.Module):
            if processor is None:
                raise TypeError("A model that is loaded must come with its processor: SAM(model, processor=processor).")
            if device is not None or dtype is not None:
                raise ValueError(
                    "A model that is loaded is used where and as it is; got a device or a dtype too. Call "
                    "model.to(device, dtype) before."
                )
            network: SamNetwork = model
        else:
            if not isinstance(model, str | os.PathLike):
                raise TypeError(f"`model` must be a name, a path or a SamModel, got {type(model).__name__}.")
            target = _usable_device(device)
            network = _load_model(model, dtype).to(target)
        self._processor = _load_processor(model) if processor is None else processor
        self._generator = SamMaskGenerator(network, self._processor, output_mode="uncompressed_rle")

    @property
    def model(self) -> SamModel:
        """The model; a packaged one goes under `PreTrainedModel` when it is first asked for, see `packaged.py`.

        To replace a part of it, do so before a session is begun: one begun earlier keeps the part that was there.
        """
        from .modeling_sam import SamModel

        if not isinstance(self._generator.model, SamModel):
            self._generator.model = SamModel.from_network(self._generator.model)
        return self._generator.model

    @property
    def processor(self) -> SamProcessor:
        """The model's processor; made when it is first asked for, likewise."""
        if isinstance(self._processor, ImagePreprocessor):
            from .processing_sam import SamProcessor

            self._processor = SamProcessor(self._processor)
            self._generator.image_processor = self._processor.image_processor
        return self._processor

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._generator.model.device

    @overload
    def predict(self, source: Any, *, stream: Literal[False] = False, **kwargs: Any) -> list[Results]: ...

    @overload
    def predict(self, source: Any, *, stream: Literal[True], **kwargs: Any) -> Iterator[Results]: ...

    @overload
    def predict(self, source: Any, *, stream: bool, **kwargs: Any) -> list[Results] | Iterator[Results]: ...

    def predict(
        self,
        source: Any,
        *,
        points: Any = None,
        labels: Any = None,
        boxes: Any = None,
        bboxes: Any = None,
        masks: Any = None,
        multimask_output: bool = True,
        choice: str = "best",
        low_res_logits: bool = True,
        stream: bool = False,
        **options: Any,
    ) -> list[Results] | Iterator[Results]:
        """Segments what prompts point at, or, without prompts, everything.

        Every prompt gets one mask, in the order of the prompts, even where the mask is empty. Coordinates are pixels of
        the original image, x first; what may be left out of the nesting is in `prompt_forms.py`. Prompts are of one
        image; for a video or a generator they are asked again of each frame.

        Args:
            source: path, URL, folder, glob, Pillow image, array, tensor, `ImageEmbedding`, video file or stream, or a
                list or generator of these; see `sources.open_source`.
            points: `[x, y]` for one object, (N, 2) for N objects with one point each, (N, K, 2) or nested lists for N
                objects with several points each.
            labels: one per point, 1 foreground, 0 background; all foreground by default.
            boxes: `[x0, y0, x1, y1]` or (N, 4).
            bboxes: another name of `boxes`.
            masks: (H, W) or (N, H, W), or a list: binary masks of the image's size, RLEs of such, or low-resolution
                logits of an earlier prediction, `results.low_res_logits`.
            multimask_output: True chooses each mask from several; False takes the one that the model makes for prompts
                that leave no doubt, such as boxes.
            choice: "best" takes the mask with the highest predicted IoU of three; "stable" the single one if it is
                stable, else the best of three; see `mask_choice.py`.
            low_res_logits: keep the masks' logits as `results.low_res_logits`, to go on from. They take 256 KB per
                mask in SAM itself, so False saves gigabytes for thousands of prompts.
            stream: return an iterator that reads each image when it is asked for, for many images and for videos.
            **options: of `SamMaskGenerator`, without prompts only: `points_per_side`, `pred_iou_thresh` ...

        Returns:
            One `Results` per image: a list, or an iterator with `stream=True`. Masks are kept as uncompressed RLE.

        Raises:
            FileNotFoundError: a file does not exist or a glob has no match.
            TypeError: an option is unknown or belongs to segment-everything; or a source is no kind of image.
            ValueError: prompts do not fit each other or the image; or an image cannot be read.
        """
        if boxes is not None and bboxes is not None:
            raise ValueError("`boxes` and `bboxes` name one argument; got both, pass one of them.")
        prompts = read_prompts(points, labels, bboxes if boxes is None else boxes, masks)
        check_known_options(options, (*_PREDICT_NAMES, *OPTION_NAMES, *ALIASES), "SAM.predict")
        check_choice(choice, multimask_output)
        if prompts is None:
            if not multimask_output or choice != "best":
                raise ValueError(
                    "`multimask_output` and `choice` must come with prompts: segment-everything keeps each good one of "
                    "three masks per point. Pass points, boxes or masks, or leave them out."
                )
            self._generator.options.updated(**options)  # raises for values that cannot be
        elif options:
            raise TypeError(
                f"Options of segment-everything, got {', '.join(map(repr, options))}, must come without prompts: with "
                "prompts every prompt gets its mask, and none is filtered. Leave out the options or the prompts."
            )
        if is_live(source) and not stream:
            raise ValueError(f"A live stream has no end, so it must be read with stream=True; got {source!r}.")
        opened = open_source(source)
        if prompts is not None and opened.count is not None and opened.count > 1:
            raise ValueError(
                f"Prompts must be of one image, got them for {opened.count} images. Call predict for each image with "
                "its own prompts."
            )

        def answer(image: SourceImage) -> Results:
            if prompts is None:
                return self._segment_everything(image, options)
            return self._answer_prompts(image, prompts, multimask_output, choice, low_res_logits)

        results = _each(opened.images, answer)
        return results if stream else list(results)

    __call__ = predict

    def embed(self, image: Any) -> ImageEmbedding:
        """Runs the image encoder on one image; `predict` and `session` take the result in the place of the image.

        Args:
            image: of any kind that `predict` takes.
        """
        source = _only_image(image, "An embedding")
        loaded = source.load()
        if isinstance(loaded, ImageEmbedding):
            return self._checked(loaded)
        return embed_image(self._generator.model, self._generator.image_processor, loaded, name=source.name)

    def session(self, image: Any, choice: str = "best") -> SamSession:
        """An interactive session: prompts added and taken back one by one, on an image that is encoded once.

        Args:
            image: of any kind that `predict` takes, or its embedding.
            choice: "best" or "stable", as in `predict`.
        """
        check_choice(choice)
        source = _only_image(image, "A session")
        loaded = source.load()
        return SamSession(
            self._generator.model,
            self._generator.image_processor,
            self._encoded(loaded),
            image=_to_draw_on(source, loaded),
            name=source.name,
            choice=choice,
        )

    def info(self, verbose: bool = True) -> ModelInfo:
        """Layers, parameters, operations and memory of the model.

        Args:
            verbose: print them too.
        """
        from .modeling.summary import model_info  # it brings torch's counter of operations, which nothing else needs

        info = model_info(self.model)
        if verbose:
            print(info)
        return info

    def _encoded(self, image: Any) -> EncodedImage:
        """An image that is loaded, for use at once; one that is an embedding already is checked."""
        if isinstance(image, ImageEmbedding):
            return self._checked(image)
        return encode_image(self._generator.model, self._generator.image_processor, image)

    def _checked(self, embedding: ImageEmbedding) -> ImageEmbedding:
        embedding.check_model(self._generator.model)
        embedding.check_preprocessing(self._generator.image_processor)
        return embedding

    def _answer_prompts(
        self, source: SourceImage, prompts: list[Prompt], multimask_output: bool, choice: str, keep_logits: bool
    ) -> Results:
        times = StageTimes(self.device)
        with times.stage("read"):
            image = source.load()
        image_processor = self._generator.image_processor
        geometry = (
            image.geometry if isinstance(image, ImageEmbedding) else image_processor.geometry(image_size_hw(image))
        )
        batches = prepare_batches(prompts, geometry, image_processor)
        with times.stage("encode"):
            encoded = self._encoded(image)
        model = self._generator.model
        options = DecodingOptions(multimask_output=multimask_output, choice=choice, keep_logits=keep_logits)
        found = decode_prompts(model, encoded, prompts, batches, times=times, options=options)
        return Results(
            found.records,
            encoded.original_size_hw,
            image=_to_draw_on(source, image),
            name=source.name,
            prompts=drawn_prompts(prompts),
            timings=times,
            low_res_logits=found.low_res_logits if keep_logits else None,
        )

    def _segment_everything(self, source: SourceImage, options: dict[str, Any]) -> Results:
        times = StageTimes(self.device)
        with times.stage("read"):
            image = source.load()
        size_hw = image.original_size_hw if isinstance(image, ImageEmbedding) else image_size_hw(image)
        encoded: Any = image
        if self._generator.options.updated(**options).crop_n_layers == 0:  # the generator encodes crops itself
            with times.stage("encode"):
                encoded = self._encoded(image)
        with times.stage("masks"):
            records = self._generator.generate(encoded, **options)
        return Results(records, size_hw, image=_to_draw_on(source, image), name=source.name, timings=times)


def _load_model(name: str | os.PathLike[str], dtype: str | torch.dtype | None) -> SamNetwork:
    if is_packaged(name):
        return load_network(name, dtype)
    from .modeling_sam import SamModel

    return SamModel.from_pretrained(name, **({} if dtype is None else {"dtype": dtype}))


def _load_processor(name: str | os.PathLike[str]) -> SamProcessor | ImagePreprocessor:
    if is_packaged(name):
        return load_preparation(name)
    from .processing_sam import SamProcessor

    return SamProcessor.from_pretrained(name)


def _usable_device(device: str | torch.device | None) -> torch.device:
    if device is None or device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # an assertion where torch is built without CUDA
        raise ValueError(
            f"`device` must be 'auto', 'cpu' or another that torch can use here, got {str(device)!r}: {error}"
        ) from error


def _each(images: Generator[SourceImage], answer: Callable[[SourceImage], Results]) -> Generator[Results]:
    """The answers, one at a time; whoever stops early closes a video."""
    with closing(images):
        for image in images:
            yield answer(image)


def _only_image(source: Any, what: str) -> SourceImage:
    opened = open_source(source)
    if opened.count != 1:
        came = "a video or a generator" if opened.count is None else f"{opened.count} images"
        raise ValueError(f"{what} must be of one image, got {came}.")
    return next(opened.images)


def _to_draw_on(source: SourceImage, image: Any) -> Any:
    """What results are drawn on: the path where there is one, so that many results take little memory."""
    if isinstance(image, ImageEmbedding):
        return None
    return source.path or image
