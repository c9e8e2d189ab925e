"""Runs Python files as a reader of the documentation would, without the network; test_snippets.py starts it.

Each file has a process of its own, forked from this one, which has imported once what nearly all of them import.

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
import sys
import urllib.request
import urllib.response
from pathlib import Path

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


def forked_for_a_file() -> str:
    """Reads requests, a line of JSON each, and answers them with exit codes; returns in the forked processes alone.

    A request names the file, the folder to run it in, the file for what it prints, the PATH, and seconds to end within.
    """
    for line in sys.stdin:
        request = json.loads(line)
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


if __name__ == "__main__":
    answer_urllib()
    answer_requests()
    import_what_pages_import()
    runpy.run_path(forked_for_a_file(), run_name="__main__")
