"""Label Studio's machine-learning backend: a click or a box in its interface becomes a brush mask.

Source: https://labelstud.io/guide/ml_create for requests and answers, https://docs.thi.ng/umbrella/rle-pack for the run
lengths of brush masks.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..demo.app import Demo, while_there
from ..demo.errors import RequestError
from ..demo.guards import read_body
from ..demo.questions import read_any_json
from ..masks.record import MaskRecord, rle_of
from ..masks.rle import Rle, rle_to_mask
from ..predictor.decode import DecodingOptions
from ..prompts.prompt import Prompt, clip_prompt
from .label_studio_files import LabelStudioFiles

MOST_TASKS = 64
MOST_JSON = 2**20
RUN_BITS = (3, 4, 8, 16)  # lengths of runs are written with one of these
WORD_BITS = 8


class LabelStudio:
    """What Label Studio asks, and the pictures that it names."""

    def __init__(self, demo: Demo, address: str | None = None, api_key: str | None = None) -> None:
        """Take what answers.

        Args:
            demo: The model.
            address: Of Label Studio, such as http://localhost:8080: pictures are read from there and nowhere else.
                None takes pictures that are sent as data URIs alone.
            api_key: With which Label Studio gives them: a personal access token, or one of the older kind.
        """
        self.demo = demo
        self.files = None if address is None else LabelStudioFiles(address, api_key, demo.limits.bytes)

    def routes(self) -> list[BaseRoute]:
        """The addresses that Label Studio calls."""
        return [
            Route("/", self.health, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/setup", self.setup, methods=["POST"]),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/webhook", self.webhook, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        """Say that the server is up."""
        return JSONResponse({"status": "UP", "model_class": "anymask"})

    async def setup(self, request: Request) -> Response:
        """Say which model answers."""
        await read_body(request, MOST_JSON)
        return JSONResponse({"model_version": self.demo.model_name})

    async def webhook(self, request: Request) -> Response:
        """Take notice of nothing: the model does not learn from annotations."""
        await read_body(request, MOST_JSON)
        return JSONResponse({}, 201)

    async def predict(self, request: Request) -> Response:
        """Answer each task: with a mask where there are prompts, else with nothing."""
        said = read_any_json(await read_body(request, 2 * self.demo.limits.bytes))
        tasks = said.get("tasks")
        if not isinstance(tasks, list) or len(tasks) > MOST_TASKS or not all(isinstance(task, dict) for task in tasks):
            raise RequestError(422, f"`tasks` must be a list of at most {MOST_TASKS} tasks.")
        context = _member(_member(said, "params"), "context").get("result") or []
        results = []
        for task in tasks:
            if not context:
                results.append({"result": [], "score": 0.0, "model_version": self.demo.model_name})
                continue
            results.append(await self._answer(request, task, said.get("label_config"), context))
        return JSONResponse({"results": results})

    async def _answer(self, request: Request, task: dict[str, Any], config: Any, context: Any) -> dict[str, Any]:
        brush = read_label_config(config)
        picture = await self._picture(_member(task, "data").get(brush["value"]))
        encoded = await while_there(request, self.demo.encoded(picture))
        prompt, label = read_context(context, encoded.image.original_size_hw)
        labels = brush["labels"]
        if label not in labels:
            if len(labels) != 1:
                raise RequestError(422, f"The label {label!r} must be one of BrushLabels, which are {sorted(labels)}.")
            [label] = labels
        options = DecodingOptions(keep_logits=False)
        found = await while_there(
            request, self.demo.in_worker(lambda: self.demo.segmenter.answer(encoded, prompt, options))
        )
        result = brush_result(found.records[0], brush["from_name"], brush["to_name"], label)
        return {"result": [result], "score": result["score"], "model_version": self.demo.model_name}

    async def _picture(self, source: Any) -> str:
        """Id of the picture that a task names."""
        if not isinstance(source, str):
            raise RequestError(422, "The task's data must name its image under the Image tag's value, and does not.")
        if source.startswith("data:"):
            head, _, text = source.partition(",")
            try:
                data = base64.b64decode(text, validate=True) if head.endswith(";base64") else b""
            except binascii.Error:
                data = b""
        elif self.files is None:
            raise RequestError(422, "The image must be a data URI, or the server started with --label-studio ADDRESS.")
        else:
            files = self.files
            data = await self.demo.in_reader(lambda: files.read(source))
        return await self.demo.in_reader(lambda: self.demo.pictures.add(data))


def _member(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    member = document.get(name)
    return member if isinstance(member, dict) else {}


def read_label_config(config: Any) -> dict[str, Any]:
    """Read the labelling configuration.

    Returns:
        `from_name` and `to_name` of BrushLabels, its `labels`, and `value`, under which a task names its image.

    Raises:
        RequestError: If it has no BrushLabels, or no Image that they are of.
    """
    if not isinstance(config, str) or len(config) > MOST_JSON or "<!" in config.replace("<!--", ""):
        raise RequestError(422, "`label_config` must be Label Studio's XML, without declarations of its own.")
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:
        raise RequestError(422, f"`label_config` must be XML, but: {error}") from error
    for brush in root.iter("BrushLabels"):
        for image in root.iter("Image"):
            if image.get("name") == brush.get("toName"):
                return {
                    "from_name": brush.get("name"),
                    "to_name": brush.get("toName"),
                    "labels": {label.get("value") for label in brush.iter("Label")},
                    "value": (image.get("value") or "").lstrip("$"),
                }
    raise RequestError(422, "`label_config` must have BrushLabels of an Image, and has none.")


def read_context(context: Any, size_hw: tuple[int, int]) -> tuple[Prompt, str | None]:
    """Read the clicks and boxes that Label Studio sends, in percent of the image.

    Args:
        context: Its results.
        size_hw: Height and width of the image in pixels.

    Returns:
        The prompt in pixels, and the label that was chosen for it.

    Raises:
        RequestError: If there is neither click nor box, or one is no such.
    """
    height, width = size_hw
    points, labels, box, name = [], [], None, None
    try:
        for item in context:
            value, kind = item["value"], item["type"]
            if kind not in ("keypointlabels", "rectanglelabels"):
                continue
            name = (value.get(kind) or [name])[0]
            x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
            if kind == "keypointlabels":
                points.append((x, y))
                labels.append(int(bool(item.get("is_positive", 1))))
            else:
                box = (x, y, x + float(value["width"]) * width / 100, y + float(value["height"]) * height / 100)
        if not points and box is None:
            raise ValueError("there must be a click or a box")
        return clip_prompt(Prompt(tuple(points), tuple(labels), box), size_hw), name
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(422, f"The context must hold Label Studio's clicks and boxes, but: {error!r}") from error


def brush_result(record: MaskRecord, from_name: str, to_name: str, label: str | None) -> dict[str, Any]:
    """One mask as Label Studio keeps it."""
    rle = rle_of(record)
    height, width = rle["size"]
    return {
        "id": uuid.uuid4().hex[:8],
        "from_name": from_name,
        "to_name": to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(rle), "brushlabels": [label]},
        "score": float(record["predicted_iou"]),
        "readonly": False,
    }


def brush_rle(rle: Rle) -> list[int]:
    """Label Studio's run lengths: bytes of a stream of bits, of the mask as RGBA, row by row, 255 where it is.

    A header says how many values there are (32 bits), the bits of a value less one (5), and the four widths of lengths
    less one (4 each). Then each run is a 1, the number of its width (2), its length less one, and its value.
    """
    pixels = rle_to_mask(rle).ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(pixels)]]) * 4  # four channels
    bits = [f"{4 * len(pixels):032b}", f"{WORD_BITS - 1:05b}", *(f"{width - 1:04b}" for width in RUN_BITS)]
    longest = 1 << RUN_BITS[-1]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        value = "1" * WORD_BITS if pixels[start // 4] else "0" * WORD_BITS
        while start < end:
            length = min(end - start, longest)
            number = next(number for number, width in enumerate(RUN_BITS) if length <= 1 << width)
            bits.append(f"1{number:02b}{length - 1:0{RUN_BITS[number]}b}{value}")
            start += length
    stream = np.frombuffer("".join(bits).encode(), dtype=np.uint8) - ord("0")
    return np.packbits(stream).tolist()
