"""`anymask serve`: the model behind another tool. An adapter over `anymask.integrations`."""

from __future__ import annotations

import os
from enum import Enum
from typing import Annotated, Any

import typer

from .. import options as take
from ..reports import errors_reported
from ..start import load_sam, quick_imports
from .demo import AllowedHosts, Host


class Contract(str, Enum):
    """Whose requests are answered."""

    label_studio = "label-studio"
    samapi = "samapi"


PORTS = {Contract.label_studio: 9090, Contract.samapi: 8000}
"""Where the tools look by default."""


def serve(
    contract: Annotated[Contract, typer.Option(help="label-studio, or samapi for QuPath.")],
    model: take.Model = take.DEFAULT_MODEL,
    host: Host = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="By default the tool's; 0: a free one.")] = None,
    allow_host: AllowedHosts = [],  # noqa: B006  (Typer reads it)
    label_studio: Annotated[
        str | None,
        typer.Option(
            help="Address of Label Studio, whose pictures are read; its key in LABEL_STUDIO_API_KEY, and user and "
            "password that it sends, where others shall not ask, in BASIC_AUTH_USER and BASIC_AUTH_PASS."
        ),
    ] = None,
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
) -> None:
    """Answer the requests of Label Studio or QuPath.

    docs/annotation-tools.md says what to enter there. Ends with Ctrl-C; exits with 2 if it could not be started.
    """
    with errors_reported(as_json=False):
        is_label_studio = contract is Contract.label_studio
        if label_studio is not None and not is_label_studio:
            raise ValueError("--label-studio must come with --contract label-studio; leave it out")
        user, password = (os.environ.get(f"BASIC_AUTH_{name}", "") for name in ("USER", "PASS"))
        if bool(user) != bool(password):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS must be set both, or neither; one of them is empty")
        with quick_imports():
            try:
                from ...demo.app import Demo, make_app
                from ...demo.guards import Credentials
                from ...demo.pictures import Pictures
                from ...demo.server import serve as run
                from ...integrations.label_studio import LabelStudio
                from ...integrations.samapi import SamApi
            except ModuleNotFoundError as error:
                raise ImportError(f"anymask serve needs {error.name}: pip install 'anymask[demo]'") from error
        demo = Demo(load_sam(model, device, dtype.value), model, Pictures())
        answers: Any = SamApi(demo)
        if is_label_studio:
            answers = LabelStudio(demo, label_studio, os.environ.get("LABEL_STUDIO_API_KEY"))
        # QuPath has no way to send them.
        credentials = Credentials(user, password) if is_label_studio and user else None
        app = make_app(demo, host=host, more_hosts=allow_host, more_routes=answers.routes(), credentials=credentials)
        run(
            app,
            host,
            PORTS[contract] if port is None else port,
            lambda address: typer.echo(f"{address} - Ctrl-C ends"),
        )
