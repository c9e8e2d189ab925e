"""The app on a port of this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

SECONDS_TO_END = 2  # for answers that are under way when the server is told to end


def serve(app: ASGIApp, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until the process is told to end.

    Args:
        app: What answers.
        host: Name or address to bind to.
        port: 0 takes a free one.
        started: Is told the address when requests are taken.

    Raises:
        OSError: If the port is taken, or the host is not this machine's.
    """
    with open_socket(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        started(f"http://{name}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=SECONDS_TO_END)
        uvicorn.Server(config).run(sockets=[listening])


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: If the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(
            f"The server must be bound to a free port of this machine, but {host}:{port} is not: "
            f"{error.strerror or error}; name another with --port or --host."
        ) from error
