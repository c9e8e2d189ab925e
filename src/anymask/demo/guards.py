"""What stands before the app: which requests are let in, and the headers that every answer carries."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import RequestError

HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\[\]:@/?#\s]+))(:\d+)?")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Credentials(NamedTuple):
    """Name and password of HTTP's basic authentication."""

    user: str
    password: str

    def are_in(self, headers: Headers) -> bool:
        """Whether a request carries them; tells nothing by the time that it takes."""
        kind, _, text = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        is_basic = kind.lower() == "basic"
        return secrets.compare_digest(given, f"{self.user}:{self.password}".encode()) and is_basic


class Guard:
    """Lets in what comes from this server's own page, or from a program, under a name that the server goes by.

    The check of names is against DNS rebinding: a site's own name, pointed at this machine, is none of ours. The check
    of origins is against other sites that are open in the browser.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str = "127.0.0.1",
        more_hosts: Iterable[str] = (),
        credentials: Credentials | None = None,
    ) -> None:
        """Take the app and the names.

        Args:
            app: What is guarded.
            host: What the server is bound to; if not loopback, addresses and the machine's own name are let in too.
            more_hosts: Further names that it goes by.
            credentials: Which requests must carry; None lets in those without.
        """
        self.app, self.credentials = app, credentials
        self.is_loopback = is_loopback(host)
        own = () if self.is_loopback else (host, socket.gethostname())
        self.names = LOOPBACK_NAMES | {name.lower() for name in (*own, *more_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is not None:
            answer = JSONResponse({"error": refusal}, 403)
            await answer(scope, receive, send_with_headers)
            return
        if self.credentials is not None and not self.credentials.are_in(Headers(scope=scope)):
            challenge = {"WWW-Authenticate": 'Basic realm="anymask", charset="UTF-8"'}
            answer = JSONResponse(
                {"error": "The request must carry the user and password of this server."}, 401, challenge
            )
            await answer(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, path: str) -> str | None:
        host = headers.get("host", "")
        if not self._is_own(host):
            return "The Host must be a name that this server goes by; name it with --allow-host when it is started."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "The Origin must be this server's own page; other sites may not use it."
        if path != "/" and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return "The request must come from this server's own page; other sites may not use it."
        return None

    def _is_own(self, host: str) -> bool:
        match = HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match["address"] or match["name"]
        return name in self.names or (not self.is_loopback and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches what is bound to it."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def read_body(request: Request, most: int) -> bytes:
    """Read a body of at most so many bytes; of a longer one no more is read.

    Raises:
        RequestError: If it is longer.
    """
    refusal = RequestError(413, f"The body must have at most {most} bytes.")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise refusal
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise refusal
        parts.append(part)
    return b"".join(parts)
