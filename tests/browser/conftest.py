"""Real Chromium against a real `anymask demo`, each test with a page of its own; `make test-browser` runs them.

A page that asks another computer for something, throws, or scrolls sideways fails its test, whatever that is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.browser.demo_page import DemoPage, DemoServer, open_demo

from anymask import SAM

if TYPE_CHECKING:  # the default run, which leaves these tests out, has no Playwright
    from playwright.sync_api import Browser, BrowserContext

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server() -> Iterator[DemoServer]:
    server = DemoServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sam() -> SAM:
    return SAM("sam-vit-nano")


@pytest.fixture
def problems() -> list[str]:
    """What pages did that none may do; a test that provokes something clears it."""
    return []


@pytest.fixture
def new_context(chromium: Browser, problems: list[str]) -> Iterator:
    """Makes a browser window with nothing kept from others."""
    contexts: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        context = chromium.new_context(accept_downloads=True, **{"viewport": {"width": 1200, "height": 800}, **options})
        context.on("weberror", lambda error: problems.append(f"threw {error.error}"))
        context.on("request", lambda request: problems.extend(_elsewhere(request.url)))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        for page in context.pages:
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            problems.extend([f"{wide} pixels wider than the window"] if wide > 0 else [])
        context.close()
    assert problems == []


def _elsewhere(address: str) -> list[str]:
    is_here = re.match(r"(http://127\.0\.0\.1:|blob:http://127\.0\.0\.1:|data:)", address)
    return [] if is_here else [f"asked for {address}"]


@pytest.fixture
def demo(new_context, server: DemoServer) -> DemoPage:
    """The page of the server, with the photo that the command line named."""
    return open_demo(new_context(), server.address)
