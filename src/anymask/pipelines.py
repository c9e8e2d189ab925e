"""`anymask.pipeline`, a checkpoint's name in, a pipeline out, and the "mask-generation" pipeline that it makes.

The pipeline is a thin adapter: `SamMaskGenerator` behind the calling conventions of Transformers' pipelines.
`preprocess` reads an image and makes its pixel values, in worker processes if asked; `_forward` runs the encoder and
the decoder; `postprocess` shapes the output. What Transformers' base class brings: devices, lists, generators, data
sets.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers.pipelines.base import Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from .image_processing_sam import HUB_OPTIONS
from .images.preparation import image_processor_of
from .mask_generation.crop_encoder import PreprocessedImage
from .mask_generation.generator import SamMaskGenerator
from .mask_generation.options import ALIASES, OPTION_NAMES, canonical_options
from .masks.record import SEGMENTATION_FORMS, MaskRecord, to_form, xywh_to_xyxy
from .modeling_sam import SamModel
from .processing_sam import SamProcessor
from .support.devices import check_devices
from .support.threads import spread
from .support.unknown_names import check_known_options

TASK = "mask-generation"
DEFAULT_CHECKPOINT = "sam-vit-nano"


_OUTPUT_OPTIONS = ("output_rle_mask", "output_bboxes_mask", "output_records", "output_mode")
_OUTPUT_ALIASES = {"output_rle_masks": "output_rle_mask"}  # the name in Transformers' documentation
PIPELINE_OPTIONS = ("timeout", *_OUTPUT_OPTIONS, *_OUTPUT_ALIASES, *OPTION_NAMES, *ALIASES)
LOADER_OPTIONS = ("batch_size", "num_workers")  # the base class takes these


class MaskGenerationPipeline(Pipeline):
    """Masks of everything in images; takes the place of Transformers' pipeline of the same name.

    Call it with a path, URL, Pillow image, array or tensor for one dictionary, with a list for a list of dictionaries,
    with a generator or a dataset for an iterator over dictionaries.

    The dictionary has "masks", a list of (H, W) boolean NumPy arrays, or of RLEs if `output_mode` says so, and
    "scores", the predicted IoUs (N,) float32, highest first. On request it has "rle_mask", a list of uncompressed RLEs;
    "bounding_boxes", (N, 4) int64, x0, y0, x1, y1 with the last pixels included; and "records", those of
    `SamMaskGenerator.generate`. All are in the order of "scores". An image in which nothing is found gives empty lists
    and tensors.

    Examples:
        >>> from anymask import MaskGenerationPipeline, SamModel, SamProcessor
        >>> model = SamModel.from_pretrained("sam-vit-nano")
        >>> processor = SamProcessor.from_pretrained("sam-vit-nano")
        >>> generator = MaskGenerationPipeline(model, image_processor=processor.image_processor)
        >>> len(generator(["photo.jpg", "photo.jpg"], points_per_crop=4, batch_size=2))
        2
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what Transformers' `Pipeline` takes, and options as `__call__` does, as defaults for every call.

        Args:
            *args: the model.
            **kwargs: `image_processor` or `processor`, `device`, `batch_size`, `num_workers`, options; or `devices`, a
                list in place of `device`: each gets a copy of the model, and batches of images are spread over them.

        Raises:
            TypeError: If an option is unknown, or model or processor is none of this package's.
            ValueError: If an option has a value that it cannot have, or contradicts another.
        """
        devices = kwargs.pop("devices", None)
        if devices is not None:
            check_devices(devices, kwargs.get("device"))
            kwargs["device"] = devices[0]
        super().__init__(*args, **kwargs)
        options = self._forward_params
        self._generator = SamMaskGenerator(self.model, self.image_processor, **options)
        # The generator holds these defaults now, and knows better than a merged dictionary which ones a call replaces.
        self._forward_params: dict[str, Any] = {}
        self._copies = [self._copy_on(device, options) for device in (devices or [])[1:]]

    def _copy_on(self, device: int | str | torch.device, options: dict[str, Any]) -> MaskGenerationPipeline:
        twin = copy.copy(self)
        twin.device = torch.device(device)
        twin.model = copy.deepcopy(self.model).to(twin.device)
        twin._generator = SamMaskGenerator(twin.model, self.image_processor, **options)
        return twin

    def __call__(self, image: Any, **kwargs: Any) -> Any:
        """Masks of everything in one image or several.

        Args:
            image: an image, or several; see above.
            **kwargs: any field of `MaskGenerationOptions`, by Meta's or Transformers' name; `timeout` in seconds for
                URLs; `output_rle_mask`, `output_bboxes_mask`, `output_records`; `batch_size`, images that are read
                together and, on an accelerator, encoded together; `num_workers`, processes that read images.

        Raises:
            TypeError: If an option is unknown, or an input is no image.
            ValueError: If an image is broken, or an option has a value that it cannot have.
        """
        if isinstance(image, tuple):
            image = list(image)
        if isinstance(image, list) and not image:
            return []
        if isinstance(image, Iterator) and not hasattr(image, "read"):  # an open file is one image
            image = _Stream(image)  # the base class streams any data set, but generators only since 5.17
        return super().__call__(image, **kwargs)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        check_known_options(kwargs, PIPELINE_OPTIONS, type(self).__name__)
        preprocess = {name: kwargs.pop(name) for name in ("timeout",) if name in kwargs}
        for alias, name in _OUTPUT_ALIASES.items():
            if alias in kwargs and kwargs.setdefault(name, kwargs[alias]) != kwargs.pop(alias):
                raise ValueError(
                    f"`{alias}` and `{name}` name one option, but have different values; pass one of them."
                )
        postprocess = {name: kwargs.pop(name) for name in _OUTPUT_OPTIONS if name in kwargs}
        if postprocess.get("output_mode", "binary_mask") not in SEGMENTATION_FORMS:
            raise ValueError(
                f"`output_mode` must be one of {', '.join(SEGMENTATION_FORMS)}, got {postprocess['output_mode']!r}."
            )
        return preprocess, canonical_options(kwargs), postprocess

    def preprocess(self, inputs: Any, timeout: float | None = None) -> PreprocessedImage:
        """Read one image and make its pixel values."""
        return self._generator.preprocess(inputs, timeout)

    def _forward(self, model_inputs: list[PreprocessedImage], **options: Any) -> list[list[MaskRecord]]:
        # Masks stay run-length encoded until the output is shaped, so that a batch of large images takes little memory.
        return list(self._generator.generate_many(model_inputs, **options, output_mode="uncompressed_rle"))

    def postprocess(
        self,
        model_outputs: list[MaskRecord],
        output_rle_mask: bool = False,
        output_bboxes_mask: bool = False,
        output_records: bool = False,
        output_mode: str = "binary_mask",
    ) -> dict[str, Any]:
        """Shape the records of one image into the output described above."""
        records = sorted(model_outputs, key=lambda record: -record["predicted_iou"])
        rles = [record["segmentation"] for record in records]
        masks = [to_form(rle, output_mode) for rle in rles]
        output: dict[str, Any] = {
            "masks": masks,
            "scores": torch.tensor([record["predicted_iou"] for record in records], dtype=torch.float32, device="cpu"),
        }
        if output_rle_mask:
            output["rle_mask"] = rles
        if output_bboxes_mask:
            boxes_xyxy = [xywh_to_xyxy(record["bbox"]) for record in records]
            output["bounding_boxes"] = torch.tensor(boxes_xyxy, dtype=torch.int64, device="cpu").reshape(-1, 4)
        if output_records:
            output["records"] = [{**record, "segmentation": mask} for record, mask in zip(records, masks, strict=True)]
        return output

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        """Outputs of many images, `batch_size` of them read and encoded at a time.

        Images differ in size and in their number of masks, so a batch here is a list, where the base class stacks
        tensors.
        """
        if isinstance(inputs, Sized):
            dataset: Any = PipelineDataset(inputs, self.preprocess, preprocess_params)
        else:
            dataset = PipelineIterator(inputs, self.preprocess, preprocess_params)
            num_workers = min(num_workers, 1)  # several workers would each go through the whole stream
        loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=list)
        length = len(inputs) if isinstance(inputs, Sized) else None
        return _Outputs(self._stream(loader, forward_params, postprocess_params), length)

    def _stream(
        self,
        batches: Iterable[list[PreprocessedImage]],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        forwards = [partial(pipeline.forward, **forward_params) for pipeline in (self, *self._copies)]
        with closing(spread(batches, forwards)) as outputs:
            for records in chain.from_iterable(outputs):
                yield self.postprocess(records, **postprocess_params)

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> dict[str, Any]:
        """The output of one image."""
        preprocessed = self.preprocess(inputs, **preprocess_params)
        return next(self._stream([[preprocessed]], forward_params, postprocess_params))


class _Stream(IterableDataset):
    """An iterator over images as a data set."""

    def __init__(self, images: Iterator[Any]) -> None:
        self._images = images

    def __iter__(self) -> Iterator[Any]:
        return self._images


class _Outputs(Iterator[dict[str, Any]]):
    """An iterator that knows its length where its input does, for progress bars."""

    def __init__(self, outputs: Iterator[dict[str, Any]], length: int | None) -> None:
        self._outputs = outputs
        self._length = length

    def __next__(self) -> dict[str, Any]:
        return next(self._outputs)

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError(
                "The number of outputs must follow from the inputs, but these are a stream of unknown length."
            )
        return self._length


def pipeline(
    task: str | None = TASK,
    model: Any = None,
    config: Any = None,
    tokenizer: None = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    video_processor: None = None,
    processor: Any = None,
    revision: str | None = None,
    use_fast: bool | None = None,
    token: str | bool | None = None,
    device: int | str | torch.device | None = None,
    device_map: Any = None,
    dtype: torch.dtype | str | None = None,
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: type[MaskGenerationPipeline] | None = None,
    *,
    torch_dtype: torch.dtype | str | None = None,
    local_files_only: bool | None = None,
    devices: Sequence[int | str | torch.device] | None = None,
    framework: str | None = None,
    **kwargs: Any,
) -> MaskGenerationPipeline:
    """Make a mask-generation pipeline; arguments and their order are those of `transformers.pipeline`.

    Args:
        task: "mask-generation".
        model: a `SamModel`, or the name of a packaged checkpoint, a folder, a file of weights, or a hub id; the
            packaged demonstration model by default.
        config: a `SamConfig` to load the model with, or where to load one from; the model's own by default.
        tokenizer: must be None, SAM takes no text.
        feature_extractor: an old name of `image_processor`.
        image_processor: a processor of this package, or where to load one from; that of the model by default.
        video_processor: must be None, SAM takes images.
        processor: a `SamProcessor`, or where to load one from, in place of `image_processor`.
        revision: of model and processor on the hub.
        use_fast: True for `SamImageProcessorFast`, False for `SamImageProcessor`; see `SamProcessor.from_pretrained`.
        token: for the hub.
        device: where to run. By default a model that is passed stays where it is, and one that is loaded goes to an
            accelerator if there is one.
        device_map: for `from_pretrained`, in place of `device`: where each part of one model goes, see docs/scale.md.
        dtype: floating type to load the model in; "auto" takes that of the checkpoint.
        trust_remote_code: no effect: no code of a checkpoint is ever run.
        model_kwargs: further arguments of `SamModel.from_pretrained`, such as `attn_implementation` or `cache_dir`.
        pipeline_class: a subclass of `MaskGenerationPipeline` to make.
        torch_dtype: an old name of `dtype`.
        local_files_only: do not ask the hub, take what was downloaded before.
        framework: must be None or "pt", as older code says.
        devices: several in place of `device`: each gets a copy of the model, and images are spread over them.
        **kwargs: options and `batch_size`, `num_workers`, as in `MaskGenerationPipeline`.

    Raises:
        ValueError: If the task is another one, arguments contradict each other, or a model that is passed comes without
            its processor.
        TypeError: If an option is unknown.

    Examples:
        >>> from anymask import pipeline
        >>> generator = pipeline("mask-generation", model="sam-vit-nano", points_per_crop=8)
        >>> outputs = generator("photo.jpg", output_bboxes_mask=True)
        >>> outputs["masks"][0].shape, outputs["bounding_boxes"].shape[1]
        ((400, 600), 4)
    """
    if task not in (None, TASK):
        raise ValueError(f"`task` must be {TASK!r}, got {task!r}; transformers.pipeline has the others.")
    if tokenizer is not None or video_processor is not None:
        raise ValueError("`tokenizer` and `video_processor` must be None: SAM takes images, no text and no video.")
    if framework not in (None, "pt"):
        raise ValueError(f"`framework` must be 'pt' or None: there is only PyTorch here, got {framework!r}.")
    check_known_options(kwargs, (*PIPELINE_OPTIONS, *LOADER_OPTIONS), "pipeline")  # before a model is loaded
    model = DEFAULT_CHECKPOINT if model is None else model
    model_kwargs = dict(model_kwargs or {})
    loading = _one_of_each(
        dict(dtype=model_kwargs.pop("torch_dtype", None)),
        model_kwargs,
        dict(dtype=torch_dtype),
        dict(dtype=dtype, device_map=device_map, config=config),
        dict(revision=revision, token=token, local_files_only=local_files_only),
    )
    if device is not None and "device_map" in loading:
        raise ValueError(f"`device` or `device_map` must be None, got {device!r} and {loading['device_map']!r}.")
    if devices is not None and "device_map" in loading:
        raise ValueError(f"`devices` or `device_map` must be None, got {devices!r} and {loading['device_map']!r}.")

    where = {name: value for name, value in loading.items() if name in HUB_OPTIONS}
    given = next((part for part in (image_processor, feature_extractor, processor) if part is not None), None)
    processor = _load_image_processor(given, model, use_fast, where)
    if _is_name(model):
        model = SamModel.from_pretrained(model, **loading)
    else:
        _check_loads_nothing(loading)
        device = model.device if device is None and devices is None else device
    if devices is not None:
        kwargs["devices"] = devices
    make = pipeline_class or MaskGenerationPipeline
    return make(model=model, image_processor=processor, task=TASK, device=device, **kwargs)


def _load_image_processor(given: Any, model: Any, use_fast: bool | None, where: dict[str, Any]) -> Any:
    """The image processor that is given, or loaded from the name that is given, or from where the model came."""
    given = image_processor_of(given)
    if given is None:
        given = model if _is_name(model) else getattr(model.config, "_name_or_path", "") or None
    if given is None:
        raise ValueError("`image_processor` must be given with a model that was not loaded by name, got none.")
    if not _is_name(given):
        return given
    return SamProcessor.from_pretrained(given, use_fast=use_fast, **where).image_processor


def _check_loads_nothing(loading: dict[str, Any]) -> None:
    """Refuse what would silently have no effect on a model that is loaded already."""
    as_it_is = {"dtype": "auto"}
    unused = sorted(name for name in loading if name not in HUB_OPTIONS and loading[name] != as_it_is.get(name))
    if unused:
        raise ValueError(
            f"`{'`, `'.join(unused)}` must come with the name of a checkpoint, got a model that is loaded already."
        )


def _one_of_each(*sources: dict[str, Any]) -> dict[str, Any]:
    """Arguments from several dictionaries, without those that are None.

    Raises:
        ValueError: If an argument has two values.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            if value is not None and merged.setdefault(name, value) != value:
                raise ValueError(f"`{name}` must be given once, got {merged[name]!r} and {value!r}.")
    return merged


def _is_name(model_or_processor: Any) -> bool:
    """Whether this says where to load something from."""
    return isinstance(model_or_processor, (str, os.PathLike))
