"""The app: what each address answers. docs/demo-api.md says it for people, `openapi.json` for programs."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from .answers import Encoded, Segmenter, describe, mask_size
from .errors import ClientGoneError, RequestError
from .guards import Credentials, Guard, read_body
from .pictures import Pictures, RecentlyUsed, decode_picture, picture_to_show
from .questions import read_json, read_max_side, read_question
from .replies import page_routes, say_failure, say_gone, say_refusal, say_wrong_address, send_file
from .worker import ModelWorker

if TYPE_CHECKING:
    from ..sam import SAM

Value = TypeVar("Value")

HERE = Path(__file__).parent
PAGE = HERE / "page"
MOST_JSON = 2**20  # bytes
MOST_CLIENT = 128  # characters of a client's id
log = logging.getLogger("anymask.demo")


class Demo:
    """Pictures, a model and its worker; what the addresses below answer with."""

    def __init__(self, sam: SAM, model_name: str, pictures: Pictures) -> None:
        """Take a model.

        Args:
            sam: The model with its processor.
            model_name: What it is called on the page.
            pictures: Those that may be asked for, and the limits.
        """
        limits = pictures.limits
        self.model_name, self.pictures, self.limits = model_name, pictures, limits
        self.segmenter = Segmenter(sam.model, sam.processor.image_processor, limits.kept_logits)
        self.worker = ModelWorker()
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="reader")  # decodes files, one at a time
        self._encoded: RecentlyUsed[Encoded] = RecentlyUsed(limits.kept_embeddings)

    async def encoded(self, picture: str) -> Encoded:
        """A picture with its embedding, made now if there is none of the same bytes.

        Raises:
            RequestError: If there is no such picture, or it cannot be read.
        """
        known = self.pictures.known_digest(picture)
        if known is not None and (found := self._encoded.get(known)) is not None:
            return found
        data, digest = await self.in_reader(lambda: self.pictures.read_with_digest(picture))
        if (found := self._encoded.get(digest)) is not None:
            return found
        image = await self.in_reader(lambda: decode_picture(data, self.limits))

        def encode() -> Encoded:
            encoded = self._encoded.get(digest)  # another request may have been quicker
            if encoded is None:
                encoded = self.segmenter.encode(image)
                self._encoded.put(digest, encoded, encoded.nbytes)
            return encoded

        return await self.in_worker(encode)

    async def in_reader(self, work: Callable[[], Value]) -> Value:
        """Run what reads files and decodes pictures beside the model."""
        return await asyncio.wrap_future(self.reader.submit(work))

    async def in_worker(self, work: Callable[[], Value], *, client: str | None = None, is_long: bool = False) -> Value:
        """Run what needs the model, in turn; see `ModelWorker.submit`."""
        return await asyncio.wrap_future(self.worker.submit(work, client=client, is_long=is_long))

    def close(self) -> None:
        """End the threads."""
        self.worker.close()
        self.reader.shutdown()

    # Addresses

    async def info(self, request: Request) -> Response:
        """Say what there is."""
        return JSONResponse(
            {
                "model": self.model_name,
                "image_size": self.segmenter.model.config.vision_config.image_size,
                "mask_size": mask_size(self.segmenter.model.config),
                "multimask": 3,
                "limits": {"bytes": self.limits.bytes, "pixels": self.limits.pixels},
                "images": self.pictures.named,
            }
        )

    async def add(self, request: Request) -> Response:
        """Take a picture and encode it."""
        data = await read_body(request, self.limits.bytes)
        picture = await self.in_reader(lambda: self.pictures.add(data))
        return await self._encode(request, picture)

    async def encode(self, request: Request) -> Response:
        """Encode a picture that is there."""
        await read_body(request, MOST_JSON)
        return await self._encode(request, request.path_params["id"])

    async def _encode(self, request: Request, picture: str) -> Response:
        start = time.perf_counter()
        encoded = await while_there(request, self.encoded(picture))
        height, width = encoded.image.original_size_hw
        seconds = round(time.perf_counter() - start, 4)
        return JSONResponse({"id": picture, "height": height, "width": width, "seconds": seconds})

    async def show(self, request: Request) -> Response:
        """Send a picture."""
        picture = request.path_params["id"]
        data, media_type = await self.in_reader(lambda: picture_to_show(self.pictures.read(picture), self.limits))
        return Response(data, media_type=media_type)

    async def predict(self, request: Request) -> Response:
        """Answer prompts of one object."""
        picture = request.path_params["id"]
        question = read_question(await read_body(request, MOST_JSON))
        client = request.headers.get("x-client", "")[:MOST_CLIENT] or None

        async def answer() -> bytes:
            encoded = await self.encoded(picture)
            work = lambda: json.dumps(self.segmenter.predict(picture, encoded, question)).encode()  # noqa: E731
            return await self.in_worker(work, client=client)

        return Response(await while_there(request, answer()), media_type="application/json")

    async def everything(self, request: Request) -> Response:
        """Segment everything, and tell how far it is."""
        max_side = read_max_side(read_json(await read_body(request, MOST_JSON), ("max_side",)))
        encoded = await while_there(request, self.encoded(request.path_params["id"]))
        is_gone = threading.Event()
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        def say(line: dict[str, Any] | None) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, line)

        def stop_if_gone() -> None:
            if is_gone.is_set():
                raise ClientGoneError

        def after_batch(done: int, total: int) -> None:
            stop_if_gone()
            say({"done": done, "total": total})
            self.worker.give_way()

        def work() -> None:
            stop_if_gone()
            records = self.segmenter.everything(encoded, after_batch)
            say({"masks": [describe(record, max_side) for record in records]})

        def finish(job: Future[None]) -> None:
            error = None if job.cancelled() else job.exception()
            if error is not None and not isinstance(error, ClientGoneError):
                log.error("Segmenting everything failed.", exc_info=error)
                say({"error": "Segmenting everything failed; the server's log says why."})
            if not loop.is_closed():
                say(None)

        job = self.worker.submit(work, is_long=True)
        job.add_done_callback(finish)

        async def stream() -> AsyncIterator[bytes]:
            try:
                while (line := await lines.get()) is not None:
                    yield json.dumps(line).encode() + b"\n"
            finally:
                is_gone.set()
                job.cancel()

        return StreamingResponse(stream(), media_type="application/x-ndjson")

    def routes(self) -> list[BaseRoute]:
        """The addresses of the interface."""
        return [
            Route("/api/info", self.info, methods=["GET"]),
            Route("/api/openapi.json", send_file(HERE / "openapi.json"), methods=["GET"]),
            Route("/api/images", self.add, methods=["POST"]),
            Route("/api/images/{id}", self.show, methods=["GET"]),
            Route("/api/images/{id}/encode", self.encode, methods=["POST"]),
            Route("/api/images/{id}/predict", self.predict, methods=["POST"]),
            Route("/api/images/{id}/everything", self.everything, methods=["POST"]),
        ]


def make_app(
    demo: Demo,
    *,
    page: Path = PAGE,
    host: str = "127.0.0.1",
    more_hosts: Iterable[str] = (),
    more_routes: Sequence[BaseRoute] = (),
    credentials: Credentials | None = None,
) -> Starlette:
    """The app as uvicorn serves it; it closes the demo when it ends.

    Args:
        demo: What answers.
        page: Folder of the built page.
        host: What the server is bound to.
        more_hosts: Further names that it goes by.
        more_routes: Addresses of other interfaces.
        credentials: Which requests must carry; None lets in those without.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        demo.close()

    async def manifest(request: Request) -> Response:
        return JSONResponse({"engine": "server", "api": "api"})

    routes = [*more_routes, *demo.routes(), Route("/manifest.json", manifest, methods=["GET"]), *page_routes(page)]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, host=host, more_hosts=more_hosts, credentials=credentials)],
        exception_handlers={
            RequestError: say_refusal,
            HTTPException: say_wrong_address,
            ClientDisconnect: say_gone,
            ClientGoneError: say_gone,
            Exception: say_failure,
        },
        lifespan=lifespan,
    )


async def while_there(request: Request, work: Awaitable[Value]) -> Value:
    """Wait for work as long as the client waits too; the request's body must have been read.

    Raises:
        ClientGoneError: If the client went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return await task
    finally:
        task.cancel()
        gone.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
