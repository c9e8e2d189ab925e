"""`anymask demo` as a process, and its page in the words of somebody who uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from anymask.masks.record import rle_of
from anymask.masks.rle import rle_to_mask
from anymask.results.formats.sa1b import read_sa1b

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

PHOTO = Path(__file__).parents[2] / "examples/dandelions.jpg"
MARGIN = 12  # between the photo and the edge of its canvas


class DemoServer:
    """`anymask demo` as a process of its own, so that it can go and come back."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "anymask", "demo", "--port", str(port), "--no-browser", str(PHOTO)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/?", line):
                self.address = found[0].rstrip("/") + "/"
                return
        raise RuntimeError(f"anymask demo must say its address, but it said: {said}")

    def stop(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rsplit(":", 1)[1])


class DemoPage:
    """A tab, in the words of somebody who uses it. Places are pixels of the photo."""

    def __init__(self, page: Page, size_wh: tuple[int, int] = (320, 240)) -> None:
        self.page, self.size_wh = page, size_wh

    def open(self, path: Path, timeout: float = 30_000) -> None:
        """Open a file, and wait until it is there."""
        self.page.set_input_files("#file", path)
        self.wait_for_message(path.name, timeout)
        with Image.open(path) as image:
            self.size_wh = image.size

    def wait_for_message(self, start: str, timeout: float = 30_000) -> None:
        self.page.wait_for_function(
            "start => document.querySelector('#live').textContent.startsWith(start)", arg=start, timeout=timeout
        )

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the photo, shown as a whole, is on the screen."""
        canvas = self.page.locator("#canvas").bounding_box()
        width, height = self.size_wh
        scale = min((canvas["width"] - 2 * MARGIN) / width, (canvas["height"] - 2 * MARGIN) / height)
        left = canvas["x"] + (canvas["width"] - width * scale) / 2
        top = canvas["y"] + (canvas["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def click(self, x: float, y: float, button: str = "left", keys: str = "") -> None:
        """Click on the photo, and wait for what comes of it."""
        if keys:
            self.page.keyboard.down(keys)
        self.page.mouse.click(*self.place(x, y), button=button)
        if keys:
            self.page.keyboard.up(keys)
        self.settle()

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.page.mouse.move(*self.place(x0, y0))
        self.page.mouse.down()
        self.page.mouse.move(*self.place((x0 + x1) / 2, (y0 + y1) / 2))
        self.page.mouse.move(*self.place(x1, y1))
        self.page.mouse.up()
        self.settle()

    def settle(self) -> None:
        """Wait until the mask that was asked for is there."""
        self.page.wait_for_selector("#canvas:not([aria-busy])")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.settle()

    def do(self, button: str) -> None:
        """Press a button by its id."""
        self.page.click(f"#{button}")
        self.settle()

    @property
    def status(self) -> str:
        return self.page.inner_text("#status")

    @property
    def names(self) -> list[str]:
        """Of the objects kept."""
        return self.page.eval_on_selector_all("#objects input[type=text]", "inputs => inputs.map(input => input.value)")

    @property
    def n_candidates(self) -> int:
        return self.page.locator("#candidates button").count()

    def export(self, title: str) -> Path:
        """The file of one of the export dialog's formats."""
        self.page.click("#export")
        with self.page.expect_download() as download:
            self.page.click(f"#formats button:has(strong:text-is('{title}'))")
        path = Path(download.value.path())
        named = path.with_name(download.value.suggested_filename)
        path.rename(named)
        return named

    def masks(self) -> list[np.ndarray]:
        """What is exported: the objects kept, or else the one being made."""
        return [rle_to_mask(rle_of(record)) for record in read_sa1b(self.export("SA-1B JSON")).records]

    def mask(self) -> np.ndarray:
        (mask,) = self.masks()
        return mask


def open_demo(context: BrowserContext, address: str) -> DemoPage:
    page = context.new_page()
    page.goto(address)
    demo = DemoPage(page)
    demo.wait_for_message(PHOTO.name)
    return demo


def iou(one: ArrayLike, other: ArrayLike) -> float:
    one, other = np.asarray(one), np.asarray(other)
    return float((one & other).sum() / (one | other).sum())
