"""Runs one Python file as a reader of the documentation would, without the network: `python offline.py FILE`.

Snippets are run as they are printed, addresses and all. Three things stand for the network:

- an image's URL is answered with a photo of examples/ at the size that the real one has (IMAGES below), whether the
  snippet asks through urllib (as anymask does) or through requests;
- a hub id is found in a hub cache that test_snippets.py fills, in which every id of HUB_IDS is sam-vit-nano;
- a plot is drawn to memory.

A new address in the documentation needs a line here, and says so when it has none.
"""

import email.message
import io
import runpy
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


if __name__ == "__main__":
    answer_urllib()
    answer_requests()
    runpy.run_path(sys.argv[1], run_name="__main__")
