"""`anymask demo`: a page to click on. An adapter over `anymask.demo`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from .. import options as take
from ..files import find_photos
from ..outputs import owner_of
from ..reports import errors_reported
from ..start import load_sam, quick_imports

Host = Annotated[str, typer.Option(help="Name or address to bind to; others than this machine need it.")]
AllowedHosts = Annotated[
    list[str], typer.Option("--allow-host", help="A further name under which the server is asked, as in containers.")
]


def demo(
    photo: Annotated[
        str | None, typer.Argument(metavar="[IMAGE|FOLDER]", help="Pictures that the page offers.")
    ] = None,
    model: take.Model = take.DEFAULT_MODEL,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    allow_host: AllowedHosts = [],  # noqa: B006  (Typer reads it)
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")] = False,
    static: Annotated[
        Path | None, typer.Option("--static", help="Write a folder that any web server can serve, and end.")
    ] = None,
    device: take.Device = "auto",
    dtype: take.ComputeIn = take.Dtype.float32,
) -> None:
    """Open a page in the browser, on which a click masks an object.

    The model runs here, and no picture leaves this machine. With --static it runs in the browser. Ends with Ctrl-C;
    exits with 2 if it could not be started.
    """
    with errors_reported(as_json=False):
        with quick_imports():
            try:
                from ...demo.app import PAGE, Demo, make_app
                from ...demo.pictures import Pictures
                from ...demo.server import serve
            except ModuleNotFoundError as error:
                raise ImportError(f"anymask demo needs {error.name}: pip install 'anymask[demo]'") from error
        if static is not None:
            _write_static(static, model, PAGE)
            return
        photos = find_photos([photo], owner_of) if photo is not None else []
        for found in photos:
            if not Path(found.source).is_file():
                raise ValueError(f"The page offers files alone, got {found.source}; drop other pictures on the page.")
        pictures = Pictures(found.source for found in photos)
        app = make_app(Demo(load_sam(model, device, dtype.value), model, pictures), host=host, more_hosts=allow_host)

        def say_and_open(address: str) -> None:
            typer.echo(f"{address} - Ctrl-C ends")
            if not no_browser:
                webbrowser.open(address)

        serve(app, host, port, say_and_open)


def _write_static(folder: Path, model: str, page: Path) -> None:
    with quick_imports():
        from ...demo.static import write_static
    write_static(load_sam(model, "cpu", "float32"), model, folder, page)
    typer.echo(f"{folder}: a page without a server; try: python -m http.server --directory {folder}")
