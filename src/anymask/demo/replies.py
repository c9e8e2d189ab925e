"""Replies that need no model: the page's files, and what requests are refused with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .errors import RequestError

Endpoint = Callable[[Request], Awaitable[Response]]

CLIENT_GONE = 499
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


def page_routes(page: Path) -> list[BaseRoute]:
    """One route for each file of the page, so that no path of a request is looked up."""
    files = sorted(path for path in page.rglob("*") if path.is_file())
    routes: list[BaseRoute] = [
        Route(f"/{path.relative_to(page).as_posix()}", send_file(path), methods=["GET"]) for path in files
    ]
    index = page / "index.html"
    return [*routes, Route("/", send_file(index) if index in files else _say_no_page, methods=["GET"])]


def send_file(path: Path) -> Endpoint:
    """What answers with a file."""

    async def answer(request: Request) -> Response:
        return FileResponse(path, media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"))

    return answer


async def _say_no_page(request: Request) -> Response:
    return JSONResponse({"error": "The page is not built here; `make web` builds it. /api/info answers."}, 404)


async def say_refusal(request: Request, error: Exception) -> Response:
    """Answer what was refused."""
    assert isinstance(error, RequestError)
    return JSONResponse({"error": str(error)}, error.status)


async def say_wrong_address(request: Request, error: Exception) -> Response:
    """Answer what has no address, or another method there."""
    assert isinstance(error, HTTPException)
    sentence = {
        404: "There is nothing at this address; /api/openapi.json says what there is.",
        405: "This address does not take this method; /api/openapi.json says which.",
    }
    return JSONResponse({"error": sentence.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def say_gone(request: Request, error: Exception) -> Response:
    """Answer a client that does not hear it."""
    return Response(status_code=CLIENT_GONE)


async def say_failure(request: Request, error: Exception) -> Response:
    """Answer what this server failed at, without saying how."""
    return JSONResponse({"error": "The server failed; its log says why."}, 500)
