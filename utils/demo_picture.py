"""Draw docs/images/demo.png: the demo's page with two objects kept and a third being made.

make test-browser                                  # brings Chromium and Playwright
PYTHONPATH=. .venv/bin/python utils/demo_picture.py
"""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.demo_page import DemoPage

ROOT = Path(__file__).parents[1]
SIZE = {"width": 1200, "height": 760}
EYES = {"left eye": (173, 117), "right eye": (321, 135)}
NOSE = (262, 244)


def main() -> None:
    command = [sys.executable, "-m", "anymask", "demo", "--no-browser", "examples"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[0]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=SIZE)
            page.goto(address)
            demo = DemoPage(page, size_wh=(451, 300))
            demo.wait_for_message("chelsea.jpg")
            for number, (name, place) in enumerate(EYES.items()):
                demo.click(*place)
                demo.do("keep")
                page.locator("#objects input[type=text]").nth(number).fill(name)
            demo.click(*NOSE)
            page.screenshot(path=ROOT / "docs" / "images" / "demo.png")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
