"""QuPath's SAM extension: the requests that it sends to samapi, answered by the model that is loaded.

`type` and `checkpoint_url` of a request are not followed: no model is downloaded for a client.

Source: https://github.com/ksugar/samapi for names and types of requests and answers.
"""

from __future__ import annotations

import base64
import binascii
import threading
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..demo.answers import Encoded
from ..demo.app import Demo, while_there
from ..demo.errors import ClientGoneError, RequestError
from ..demo.guards import read_body
from ..demo.pictures import decode_picture
from ..demo.questions import is_numbers, read_any_json
from ..images.load import as_rgb_uint8
from ..masks.polygons import rle_to_polygons
from ..masks.record import MaskRecord, rle_of
from ..predictor.decode import DecodingOptions
from ..prompts.prompt import Prompt, clip_prompt

VERSION = "0.6.0"  # of samapi, whose contract this is; QuPath shows it
MOST_POINTS_PER_SIDE = 64
EVERYTHING = (
    *("points_per_side", "points_per_batch", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset"),
    *("box_nms_thresh", "min_mask_region_area"),
)


class SamApi:
    """What QuPath asks."""

    def __init__(self, demo: Demo) -> None:
        """Take what answers."""
        self.demo = demo

    def routes(self) -> list[BaseRoute]:
        """The addresses that QuPath calls."""
        return [
            Route("/sam/version/", self.version, methods=["GET"]),
            Route("/sam/weights/", self.weights, methods=["GET"]),
            Route("/sam/progress/", self.progress, methods=["GET"]),
            Route("/sam/", self.predict, methods=["POST"]),
            Route("/sam/automask/", self.everything, methods=["POST"]),
        ]

    async def version(self, request: Request) -> Response:
        """Say which contract this is."""
        return PlainTextResponse(VERSION)

    async def weights(self, request: Request) -> Response:
        """Name the one model that there is, under the type that is asked for."""
        kind = request.query_params.get("type", "vit_b")
        return JSONResponse([{"type": kind, "name": self.demo.model_name, "url": ""}])

    async def progress(self, request: Request) -> Response:
        """Say that nothing is downloaded."""
        return JSONResponse({"message": None, "percent": -1})

    async def predict(self, request: Request) -> Response:
        """Answer points and a box with outlines."""
        said, encoded = await self._read(request)
        prompt = _prompt(said, encoded.image.original_size_hw, self.demo)
        is_multi = bool(said.get("multimask_output"))
        options = DecodingOptions(is_multi, choice="all" if is_multi else "best", keep_logits=False)
        found = await while_there(
            request, self.demo.in_worker(lambda: self.demo.segmenter.answer(encoded, prompt, options))
        )
        return _features(found.records, said)

    async def everything(self, request: Request) -> Response:
        """Outline everything."""
        said, encoded = await self._read(request)
        options = {name: said[name] for name in EVERYTHING if said.get(name) is not None}
        side = options.get("points_per_side", 1)
        if said.get("crop_n_layers") or type(side) is not int or side > MOST_POINTS_PER_SIDE:
            raise RequestError(
                422, f"`crop_n_layers` must be 0, and `points_per_side` at most {MOST_POINTS_PER_SIDE}; change them."
            )
        is_gone = threading.Event()

        def after_batch(done: int, total: int) -> None:
            if is_gone.is_set():
                raise ClientGoneError
            self.demo.worker.give_way()

        try:
            records = await while_there(
                request,
                self.demo.in_worker(
                    lambda: self.demo.segmenter.everything(encoded, after_batch, **options), is_long=True
                ),
            )
        finally:
            is_gone.set()
        return _features(records, said)

    async def _read(self, request: Request) -> tuple[dict[str, Any], Encoded]:
        said = read_any_json(await read_body(request, 2 * self.demo.limits.bytes))
        picture = await self.demo.in_reader(lambda: self.demo.pictures.add(_from_base64(said.get("b64img"), "b64img")))
        return said, await while_there(request, self.demo.encoded(picture))


def _from_base64(text: Any, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise RequestError(422, f"`{name}` must be a picture in base64, but: {error}") from error


def _prompt(said: dict[str, Any], size_hw: tuple[int, int], demo: Demo) -> Prompt:
    points, labels, box = said.get("point_coords") or [], said.get("point_labels"), said.get("bbox")
    if not isinstance(points, list) or not all(is_numbers(point, 2) for point in points):
        raise RequestError(422, "`point_coords` must be a list of pairs of numbers.")
    labels = [1] * len(points) if labels is None else labels
    if not isinstance(labels, list) or len(labels) != len(points) or any(label not in (0, 1) for label in labels):
        raise RequestError(422, "`point_labels` must be a list with 1 or 0 for each point.")
    if box is not None and not is_numbers(box, 4):
        raise RequestError(422, "`bbox` must be four numbers.")
    mask = None
    if said.get("b64mask"):
        picture = decode_picture(_from_base64(said["b64mask"], "b64mask"), demo.limits)
        mask = as_rgb_uint8(picture)[..., 0] > 0
        if mask.shape != tuple(size_hw):
            raise RequestError(422, f"`b64mask` must be as large as the picture, {tuple(size_hw)}, got {mask.shape}.")
    if not points and box is None and mask is None:
        raise RequestError(422, "There must be a point, a box or a mask, got none.")
    prompt = Prompt(
        tuple((float(x), float(y)) for x, y in points),
        tuple(int(label) for label in labels),
        None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        mask,
    )
    # QuPath rounds a region's edges on their own, so that a box may end a pixel beyond the picture.
    try:
        return clip_prompt(prompt, size_hw)
    except ValueError as error:
        raise RequestError(422, str(error)) from error


def _features(records: list[MaskRecord], said: dict[str, Any]) -> Response:
    return JSONResponse(
        [
            {
                "type": "Feature",
                "geometry": _geometry(record),
                "properties": {
                    "object_idx": index,
                    "label": "object",
                    "quality": float(record["predicted_iou"]),
                    "sam_model": said.get("type", "vit_h"),
                },
            }
            for index, record in enumerate(records)
        ]
    )


def _geometry(record: MaskRecord) -> dict[str, Any]:
    """A mask as GeoJSON: rings that end where they begin, holes after their outline."""
    polygons = [
        [np.concatenate([ring, ring[:1]]).tolist() for ring in (polygon.outer_xy, *polygon.holes_xy)]
        for polygon in rle_to_polygons(rle_of(record))
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
