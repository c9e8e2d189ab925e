"""What a request is refused with: a status of HTTP and one sentence."""

from __future__ import annotations


class RequestError(Exception):
    """A request cannot be answered; the message is for whoever sent it."""

    def __init__(self, status: int, message: str) -> None:
        """Take a status of HTTP and a sentence."""
        super().__init__(message)
        self.status = status


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""
