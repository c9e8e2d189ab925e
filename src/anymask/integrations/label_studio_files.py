"""Pictures that Label Studio's tasks name, read from Label Studio and from nowhere else.

Source: https://labelstud.io/guide/access_tokens for its two kinds of keys.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..demo.errors import RequestError

SECONDS = 30  # for one answer of Label Studio
MOST_JSON = 2**16
UNAUTHORIZED = 401


class LabelStudioFiles:
    """Reads what lies on one Label Studio."""

    def __init__(self, address: str, api_key: str | None, most_bytes: int) -> None:
        """Take an address.

        Args:
            address: Of Label Studio, such as http://localhost:8080.
            api_key: A personal access token, which is changed for one of a few minutes before it is used, or a key of
                the older kind, which is used as it is.
            most_bytes: Of a file.
        """
        self.address, self._api_key, self._most_bytes = address, api_key, most_bytes
        self._authorization: str | None = None
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))

    def read(self, source: str) -> bytes:
        """The bytes of a file.

        Args:
            source: Its address, or the path on Label Studio.

        Raises:
            RequestError: If it lies elsewhere, is too large, or cannot be had.
        """
        url = urljoin(self.address, source)
        if urlsplit(url)[:2] != urlsplit(self.address)[:2]:
            raise RequestError(422, f"The image must lie on {self.address}, and does not; see --label-studio.")
        try:
            try:
                data = self._ask(url, self._authorize())
            except urllib.error.HTTPError as error:
                if error.code != UNAUTHORIZED or self._authorization is None:
                    raise
                self._authorization = None  # its minutes are over
                data = self._ask(url, self._authorize())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RequestError(422, f"The image could not be had from Label Studio: {error}") from error
        if len(data) > self._most_bytes:
            raise RequestError(413, f"An image must have at most {self._most_bytes} bytes.")
        return data

    def _authorize(self) -> str | None:
        """What a request carries."""
        if self._authorization is None and self._api_key:
            self._authorization = f"Token {self._api_key}"
            if self._api_key.count(".") == 2:  # a JSON Web Token
                body = json.dumps({"refresh": self._api_key}).encode()
                answer = self._ask(urljoin(self.address, "/api/token/refresh"), None, body)[:MOST_JSON]
                self._authorization = f"Bearer {json.loads(answer)['access']}"
        return self._authorization

    def _ask(self, url: str, authorization: str | None, body: bytes | None = None) -> bytes:
        headers = {} if authorization is None else {"Authorization": authorization}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._opener.open(urllib.request.Request(url, body, headers), timeout=SECONDS) as answer:
            return bytes(answer.read(self._most_bytes + 1))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None
