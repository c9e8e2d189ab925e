"""Images from the web: one deadline, one limit, one kind of error."""

from __future__ import annotations

import http.client
import io
import queue
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, BinaryIO

MAX_BYTES = 2**29
"""What a download may take; a photograph of 100 megapixels has a tenth of it."""


class _Response(http.client.HTTPResponse):
    """A response that leaves no socket open where its first lines are no answer."""

    def begin(self) -> None:
        try:
            super().begin()
        except BaseException:
            self.close()
            raise


class _HTTPHandler(urllib.request.HTTPHandler):
    def do_open(self, http_class: Any, req: Any, **kwargs: Any) -> Any:
        return super().do_open(_closing(http_class), req, **kwargs)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def do_open(self, http_class: Any, req: Any, **kwargs: Any) -> Any:
        return super().do_open(_closing(http_class), req, **kwargs)


def _closing(http_class: Any) -> Any:
    def connection(host: str, **kwargs: Any) -> http.client.HTTPConnection:
        made = http_class(host, **kwargs)
        made.response_class = _Response
        return made

    return connection


# The server chooses where a redirect leads, and urllib by itself would follow one to ftp too.
_HANDLERS = (
    urllib.request.ProxyHandler,
    _HTTPHandler,
    _HTTPSHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
)


def download(url: str, timeout: float, max_bytes: int = MAX_BYTES) -> BinaryIO:
    """Fetch the body of an http or https address.

    Args:
        url: may hold letters beyond ASCII and spaces, as browsers show them.
        timeout: seconds for all of it: looking up the name, connecting, redirects, headers and body.
        max_bytes: the largest body, in bytes.

    Raises:
        OSError: If it cannot be had, whatever the reason.
    """
    answers: queue.SimpleQueue[BinaryIO | Exception] = queue.SimpleQueue()
    is_late = threading.Event()

    def fetch() -> None:
        try:
            answers.put(_body(url, timeout, max_bytes, is_late))
        except Exception as error:
            answers.put(error)

    # In a thread of its own, since neither a name server nor a header that drips obeys a socket's timeout. One that is
    # late is left behind and ends with its next packet.
    threading.Thread(target=fetch, name=f"download of {url}", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        is_late.set()
        answer = TimeoutError()
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
    if isinstance(answer, TimeoutError) or isinstance(getattr(answer, "reason", None), TimeoutError):
        answer = TimeoutError(f"more than {timeout:g} seconds")
    if isinstance(answer, OSError | http.client.HTTPException | ValueError):
        said = str(answer) or type(answer).__name__
        advice = "Check the address, or raise `timeout`." if isinstance(answer, TimeoutError) else "Check the address."
        raise OSError(f"The image at {url} must be reachable, but: {said}. {advice}") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _body(url: str, timeout: float, max_bytes: int, is_late: threading.Event) -> BinaryIO:
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    request = urllib.request.Request(_in_ascii(url), headers={"User-Agent": "anymask"})  # some refuse urllib's own name
    body = io.BytesIO()
    with opener.open(request, timeout=timeout) as response:
        said = response.headers.get("Content-Length") or ""
        length = int(said) if re.fullmatch("[0-9]{1,18}", said) else None
        if length is not None and length > max_bytes:
            raise ValueError(f"it has {length} bytes, more than {max_bytes}")
        # read1 returns after one packet, so that a late download ends soon.
        while not is_late.is_set() and (packet := response.read1(1 << 20)):
            body.write(packet)
            if body.tell() > max_bytes:
                raise ValueError(f"it has more than {max_bytes} bytes")
        if length is not None and body.tell() < length:
            raise http.client.IncompleteRead(body.getvalue()[:0], length - body.tell())
    body.seek(0)
    return body


def _in_ascii(url: str) -> str:
    """The address as it is sent: the host's name in IDNA, everything else percent-encoded, what is encoded left so."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not host.isascii():
        name, colon, port = host.partition(":")
        host = name.encode("idna").decode("ascii") + colon + port
    rest = (urllib.parse.quote(part, safe="%/:=&?~+!$,;'@()*[]|") for part in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, user + at + host, *rest, ""))
