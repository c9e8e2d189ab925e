"""Runs Python files as a reader of the documentation would, without the network; test_snippets.py starts it.

Each file has a process of its own: `offline.py fork` forks it from one which has imported what nearly all files import;
`offline.py start`, where nothing can be forked, starts a new one.

Snippets are run as they are printed, addresses and all. Three things stand for the network:

- an image's URL is answered with a photo of examples/ at the size that the real one has (IMAGES below), whether the
  snippet asks through urllib (as anymask does) or through requests;
- a hub id is found in a hub cache that test_snippets.py fills, in which every id of HUB_IDS is sam-vit-nano;
- a plot is drawn to memory.

A new address in the documentation needs a line here, and says so when it has none.
"""

import email.message
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import urllib.request
import urllib.response
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"

IMAGES = {  # address: (photo, width and height)
    "https://huggingface.co/datasets/huggingface/documentation-images/resolve/main/pipeline-cat-chonk.jpeg": (
        "chelsea.jpg",
        (960, 640),
    ),
    "https://huggingface.co/ybelkada/segment-anything/resolve/main/assets/car.png": ("coffee.jpg", (2646, 1764)),
}

HUB_IDS = (
    "facebook/sam-vit-base",
    "facebook/sam-vit-large",
    "facebook/sam-vit-huge",
    "wanglab/medsam-vit-base",
)


def answer(url: str) -> io.BytesIO:
    """The encoded image that an address stands for."""
    if url not in IMAGES:
        raise LookupError(f"{url} must be listed in IMAGES of {__file__}, so that the snippet runs without a network")
    name, size = IMAGES[url]
    body = io.BytesIO()
    with Image.open(EXAMPLES / name) as photo:
        photo.resize(size).save(body, format="JPEG")
    body.seek(0)
    return body


def answer_urllib() -> None:
    """Answers whatever opener asks, ours among them: all connections of urllib are made here."""

    def do_open(self, http_class, request, **_):
        response = urllib.response.addinfourl(answer(request.full_url), email.message.Message(), request.full_url, 200)
        response.msg = "OK"  # urllib's other handlers read it
        return response

    urllib.request.AbstractHTTPHandler.do_open = do_open


def answer_requests() -> None:
    """Does the same for requests, which some snippets use as Transformers' documentation does."""
    import requests

    def send(self, request, **_):
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response.raw = answer(request.url)
        return response

    requests.adapters.HTTPAdapter.send = send


def import_what_pages_import() -> None:
    from anymask import SAM, SamModel, SamProcessor

    assert SAM and SamModel and SamProcessor  # all of them are imported by being looked up


def requests_for_files() -> Iterator[dict[str, Any]]:
    """Read requests, a line of JSON each, which are answered by a line: the exit code.

    A request names the file, the folder to run it in, the file for what it prints, the PATH, and seconds to end within.
    """
    return (json.loads(line) for line in sys.stdin)


def fork_for_each() -> str:
    """Answer all requests; return in the forked processes alone, with the file that they are to run."""
    for request in requests_for_files():
        child = os.fork()
        if child == 0:
            signal.alarm(request["seconds"])
            os.chdir(request["folder"])
            os.environ["PATH"] = request["path"]
            with open(request["printed"], "wb") as printed, open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
            return request["file"]
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def start_for_each() -> None:
    """Answer all requests, each with `offline.py run FILE`."""
    for request in requests_for_files():
        with open(request["printed"], "wb") as printed:
            started = subprocess.Popen(
                [sys.executable, __file__, "run", request["file"]],
                cwd=request["folder"],
                env={**os.environ, "PATH": request["path"]},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
            try:
                exit_code = started.wait(request["seconds"])
            except subprocess.TimeoutExpired:
                started.kill()
                exit_code = started.wait()
        print(exit_code, flush=True)


def main(how: str, file: str = "") -> str:
    """Answer requests, or prepare this process for a file; return the file to run."""
    if how == "start":
        start_for_each()
        sys.exit()
    answer_urllib()
    answer_requests()
    if how == "fork":
        import_what_pages_import()
        return fork_for_each()
    return file


if __name__ == "__main__":
    arguments, sys.argv[1:] = sys.argv[1:], []
    runpy.run_path(main(*arguments), run_name="__main__")
