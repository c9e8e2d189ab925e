"""SAM: a model, its processor and everything around them in one object, for whoever wants masks and not tensors.

`SAM("sam-vit-nano").predict("photo.jpg")` is an adapter: sources are opened in `predictor/sources.py`, prompts read in
`prompts/short_forms.py`, images answered in `predictor/answers.py`, and what comes back is `Results`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from .checkpoints.loading import is_checkpoint_file
from .checkpoints.packaged import load_network, load_preparation
from .embeddings.image_embedding import ImageEmbedding, check_embedding, embed_image
from .images.preparation import ImagePreprocessor, check_processor
from .images.windows import Window
from .mask_generation.generator import SamMaskGenerator
from .modeling.network import SamNetwork
from .modeling.outputs import check_model
from .predictor.answers import (
    answer_each,
    answer_prompts,
    encode,
    image_to_draw_on,
    of_one_size,
    only_image,
    segment_everything,
    with_areas,
    with_values,
)
from .predictor.decode import DecodingOptions
from .predictor.keywords import PredictOptions, check_keywords
from .predictor.session import SamSession
from .predictor.sources import SourceImage, is_live, open_source
from .prompts.prompt import Prompt
from .prompts.short_forms import read_prompts
from .results.results import Results
from .support.devices import check_devices, usable_device
from .weights.hub import require_at_hand
from .weights.names import is_packaged, resolve_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Never, Unpack

    from .modeling.summary import ModelInfo
    from .modeling_sam import SamModel
    from .processing_sam import SamProcessor
    from .training.fine_tuning.report import Scores
    from .training.fine_tuning.run import FineTuneResult


class SAM:
    """Segment Anything in one line.

    Examples:
        >>> from anymask import SAM
        >>> sam = SAM("sam-vit-nano")
        >>> [result] = sam.predict("photo.jpg", points=[450, 150])
        >>> result.masks.shape
        (1, 400, 600)
        >>> result.save("photo.json")
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | SamModel = "sam-vit-nano",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        processor: SamProcessor | None = None,
        *,
        devices: Sequence[str | torch.device] | None = None,
        value_range: Any = None,
        window: Window | None = None,
        **unknown: Never,
    ) -> None:
        """Load a checkpoint, or take a model that is loaded.

        Args:
            model: "sam-vit-nano", which is packaged; a hub id or folder; a file of weights; "sam_b.pt", "sam_l.pt" or
                "sam_h.pt"; see `SamModel.from_pretrained`. Or a `SamModel`, which is used as it is.
            device: A torch device; None or "auto" takes CUDA where there is one, else the CPU.
            dtype: A torch dtype or its name; by default the one that the checkpoint names.
            processor: Of a `SamModel` that is loaded; with a checkpoint, in place of the one that lies there.
            devices: Several torch devices in place of `device`. Each gets a copy of the model, and `predict` spreads
                images over them; `model` is the one on the first, which answers all else.
            value_range: Which values of images stand for black and white; see `ImageOptions`. By default the
                processor's own.
            window: Level and width of a CT window in Hounsfield units, or its name in `images.windows.CT_WINDOWS`, in
                place of `value_range`.
            **unknown: Nothing: what other packages take here is answered with what does it.

        Raises:
            OSError: If there is no such checkpoint.
            TypeError: If a model comes without its processor, or an argument is unknown.
            ValueError: If the checkpoint is another model's, or a model that is loaded comes with a device or a dtype.
        """
        known = ("model", "device", "dtype", "processor", "devices", "value_range", "window")
        check_keywords(unknown, known, "SAM")
        check_devices(devices, device)
        if isinstance(model, torch.nn.Module):
            if processor is None:
                raise TypeError("A model that is loaded must come with its processor: SAM(model, processor=processor).")
            if device is not None or dtype is not None or devices is not None:
                raise ValueError(
                    "A model that is loaded is used where and as it is; got a device or a dtype too. Call "
                    "model.to(device, dtype) before."
                )
            network: SamNetwork = model
            more_devices: list[torch.device] = []
        else:
            if not isinstance(model, str | os.PathLike):
                raise TypeError(f"`model` must be a name, a path or a SamModel, got {type(model).__name__}.")
            targets = [usable_device(name) for name in ([device] if devices is None else devices)]
            network = _load_model(model, dtype).to(targets[0])
            more_devices = targets[1:]
        check_model(network)
        self._network = network
        self._copies = _copy_to(network, more_devices)
        self._processor = _load_processor(model) if processor is None else processor
        self._preprocessor = check_processor(self._processor)
        if value_range is not None or window is not None:
            self._preprocessor = self._processor = with_values(self._preprocessor, value_range, window)

    @property
    def model(self) -> SamModel:
        """The model; a packaged one goes under `PreTrainedModel` when it is first asked for, see `packaged.py`.

        To replace a part of it, do so before a session is begun: one begun earlier keeps the part that was there.
        """
        from .modeling_sam import SamModel

        if not isinstance(self._network, SamModel):
            self._network = SamModel.from_network(self._network)
        return self._network

    @property
    def processor(self) -> SamProcessor:
        """The model's processor; made when it is first asked for, likewise."""
        if isinstance(self._processor, ImagePreprocessor):
            from .processing_sam import SamProcessor

            self._processor = SamProcessor(self._preprocessor)
            self._preprocessor = self._processor.image_processor
        return self._processor

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._network.device

    @overload
    def predict(
        self, source: Any, *, stream: Literal[False] = False, **kwargs: Unpack[PredictOptions]
    ) -> list[Results]: ...

    @overload
    def predict(self, source: Any, *, stream: Literal[True], **kwargs: Unpack[PredictOptions]) -> Iterator[Results]: ...

    @overload
    def predict(
        self, source: Any, *, stream: bool, **kwargs: Unpack[PredictOptions]
    ) -> list[Results] | Iterator[Results]: ...

    def predict(
        self,
        source: Any,
        *,
        points: Any = None,
        labels: Any = None,
        boxes: Any = None,
        bboxes: Any = None,
        masks: Any = None,
        names: Sequence[str | None] | None = None,
        scores: Any = None,
        prompts: Sequence[Prompt] | None = None,
        clip: bool = False,
        multimask_output: bool = True,
        choice: str = "best",
        low_res_logits: bool = True,
        value_range: Any = None,
        window: Window | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        stream: bool = False,
        **options: Any,
    ) -> list[Results] | Iterator[Results]:
        """Segment what prompts point at, or, without prompts, everything.

        Every prompt gets one mask, in the order of the prompts, even where the mask is empty. Coordinates are pixels of
        the original image, x first; what may be left out of the nesting is in `prompts/short_forms.py`. The same
        prompts are asked of each image: several images, such as the frames of a video, must have one size.

        Args:
            source: Path, URL, folder, glob, Pillow image, array, tensor, `ImageEmbedding`, video file or stream, or a
                list or generator of these; see `sources.open_source`.
            points: `[x, y]` for one prompt, (N, 2) for N prompts with one point each, (N, K, 2) or nested lists for N
                prompts with several points each. Without prompts, "adaptive" asks fewer points of the grid; see
                `MaskGenerationOptions`.
            labels: One per point, 1 foreground, 0 background; all foreground by default.
            boxes: `[x0, y0, x1, y1]` or (N, 4).
            bboxes: Another name of `boxes`.
            masks: (H, W) or (N, H, W), or a list: binary masks of the image's size, RLEs, Pillow images or files of
                such, or low-resolution logits of an earlier prediction, `results.low_res_logits`.
            names: What each object is, one per prompt, as a detector says: the records' "label".
            scores: How sure a detector is of each: the records' "score".
            prompts: `Prompt`s, in the place of all arguments above.
            clip: Move points and boxes that lie beyond the image to its edge. Otherwise more than a pixel is an error.
            multimask_output: Choose each mask from several; False takes the one that the model makes for unambiguous
                prompts, such as boxes.
            choice: "best" takes the mask with the highest predicted IoU of three; "stable" the single one if it is
                stable, else the best of three; "all" gives each of them a record. See `predictor.decode.choose_masks`.
            low_res_logits: Keep the masks' logits as `results.low_res_logits`, to go on from. They take 256 KB per
                mask in SAM itself, so False saves gigabytes for thousands of prompts.
            value_range: As in `SAM`, for this call.
            window: Likewise.
            on_error: What to do with an image that cannot be read: "raise" its error, or "skip" it with a warning and
                go on with the next. A mistake in prompts is an error either way.
            stream: Return an iterator that reads each image when it is asked for, for many images and for videos.
            **options: `min_mask_region_area`, or `max_hole_area` and `max_sprinkle_area`, or `hole_share` and
                `island_share`, clean up each mask. Without prompts, all of `MaskGenerationOptions`:
                `points_per_side`, `pred_iou_thresh` ...

        Returns:
            One `Results` per image: a list, or an iterator with `stream=True`. Masks are kept as uncompressed RLE.

        Raises:
            FileNotFoundError: If a file does not exist or a glob has no match.
            TypeError: If an option is unknown or belongs to segment-everything, or a source is no kind of image.
            ValueError: If prompts do not fit each other or the image, or an image cannot be read.
        """
        check_keywords(options, (*PredictOptions.__annotations__, "stream"), "SAM.predict")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"`on_error` must be 'raise' or 'skip', got {on_error!r}.")
        if boxes is not None and bboxes is not None:
            raise ValueError("`boxes` and `bboxes` name one argument; got both, pass one of them.")
        if isinstance(points, str):  # points of the grid, not of prompts
            points, options = None, {**options, "points": points}
        read = read_prompts(points, labels, bboxes if boxes is None else boxes, masks, names=names, scores=scores)
        if prompts is not None:
            if read is not None:
                raise ValueError("`prompts` must come in the place of points, boxes and masks; got them too.")
            read = list(prompts)
        preprocessor = with_values(self._preprocessor, value_range, window)
        decoding = DecodingOptions(multimask_output=multimask_output, choice=choice, keep_logits=low_res_logits)
        if read is None and (not multimask_output or choice != "best" or clip):
            raise ValueError(
                "`multimask_output`, `choice` and `clip` must come with prompts: segment-everything keeps each "
                "good one of three masks per point. Pass points, boxes or masks, or leave them out."
            )
        answers = self._answer_each_device(read, preprocessor, decoding, clip=clip, options=options)
        if is_live(source) and not stream:
            raise ValueError(f"A live stream has no end, so it must be read with stream=True; got {source!r}.")
        opened = open_source(source)
        results = answer_each(opened.images, answers, on_error)
        if read is not None and opened.count is not None and opened.count > 1:
            results = of_one_size(results)
        return results if stream else list(results)

    __call__ = predict

    def embed(self, image: Any) -> ImageEmbedding:
        """Run the image encoder on one image; `predict` and `session` take the result in the place of the image.

        Args:
            image: Of any kind that `predict` takes.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If it is no kind of image.
            ValueError: If there are several images, it cannot be read, or it is an embedding of another model.
        """
        source = only_image(image, "An embedding")
        loaded = source.load()
        if isinstance(loaded, ImageEmbedding):
            check_embedding(self._network, self._preprocessor, loaded)
            return loaded
        return embed_image(self._network, self._preprocessor, loaded, name=source.name)

    def session(self, image: Any, choice: str = "best") -> SamSession:
        """An interactive session: prompts added and taken back one by one, on an image that is encoded once.

        Args:
            image: of any kind that `predict` takes, or its embedding.
            choice: "best" or "stable", as in `predict`.

        Raises:
            FileNotFoundError: If there is no such file.
            TypeError: If it is no kind of image.
            ValueError: If there are several images, it cannot be read, or it is an embedding of another model; or if
                `choice` is another.
        """
        source = only_image(image, "A session")
        loaded = source.load()
        return SamSession(
            self._network,
            self._preprocessor,
            encode(self._network, self._preprocessor, loaded),
            image=image_to_draw_on(source, loaded),
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

    def train(self, data: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any) -> FineTuneResult:
        """Fine-tune this model on images with masks, and go on with the best weights; `anymask train` in Python.

        Args:
            data: A folder of images and masks, a COCO file, or whatever else `anymask.data.open_dataset` takes.
            output: Folder for the weights, the report and the log.
            **options: Fields of `anymask.training.FineTuneOptions`, such as `epochs=10` or `learn="lora_both"`; and
                `resume=True`.

        Raises:
            FileExistsError: If the output folder holds a run that has learned and `resume` is not asked for.
            OSError: If the data are not there.
            TypeError: If an option is unknown.
            ValueError: If the data cannot be used, or an option has a value that it cannot have.
        """
        from .training.fine_tuning.run import fine_tune_in_place

        self._network, result = fine_tune_in_place(self.model, self.processor, data, output, options=options)
        self._copies = _copy_to(self._network, [network.device for network in self._copies])
        return result

    def val(self, data: str | os.PathLike[str]) -> Scores:
        """Mean Dice and IoU for the box and for one click of each object in images with masks.

        Args:
            data: As in `train`.

        Raises:
            OSError: If the data are not there.
            ValueError: If they cannot be used.
        """
        from .training.fine_tuning.report import score_data

        return score_data(self.model, self.processor, data)

    def _answer_each_device(
        self,
        prompts: list[Prompt] | None,
        preprocessor: ImagePreprocessor,
        decoding: DecodingOptions,
        clip: bool,
        options: dict[str, Any],
    ) -> list[Callable[[SourceImage], Results]]:
        """For each device what answers for an image there; without prompts, everything."""
        if prompts is None:
            options = {"output_mode": "uncompressed_rle", **options}
            return [
                partial(segment_everything, network, SamMaskGenerator(network, preprocessor, **options))
                for network in self._networks()
            ]
        decoding = with_areas(decoding, options)
        return [
            partial(answer_prompts, network, prompts, preprocessor, decoding, clip=clip) for network in self._networks()
        ]

    def _networks(self) -> list[SamNetwork]:
        """The model of each device."""
        return [self._network, *self._copies]


def _load_model(name: str | os.PathLike[str], dtype: str | torch.dtype | None) -> SamNetwork:
    if is_packaged(name):
        return load_network(name, dtype)
    if not is_checkpoint_file(checkpoint := resolve_checkpoint(name)):
        require_at_hand(checkpoint)
    from .modeling_sam import SamModel

    return SamModel.from_pretrained(name, **({} if dtype is None else {"dtype": dtype}))


def _copy_to(network: SamNetwork, devices: Sequence[torch.device]) -> list[SamNetwork]:
    return [copy.deepcopy(network).to(device) for device in devices]


def _load_processor(name: str | os.PathLike[str]) -> SamProcessor | ImagePreprocessor:
    if is_packaged(name):
        return load_preparation(name)
    from .processing_sam import SamProcessor

    return SamProcessor.from_pretrained(name)
