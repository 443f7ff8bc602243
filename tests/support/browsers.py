"""A real headless Chromium, and a page of it that notes everything that goes wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from patience import PATIENCE_S
from playwright.sync_api import Browser, Page, expect, sync_playwright

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
# A camera that shows a moving picture, and no question whether it may be used.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
_WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed Chromium; skips where there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt install chromium-headless-shell")
    expect.set_options(timeout=1000 * PATIENCE_S)  # by default 5 s
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *CAMERA])
        yield browser
        browser.close()


class Watched:
    """A page of its own, with the errors of its console, and its requests to other hosts."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.add_init_script(_WATCH)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@contextmanager
def watched(browser: Browser, url: str, *, expected: str = "", **options: Any) -> Iterator[Page]:
    """The page at `url`; fails for an error, a violated policy, or a request to another host.

    `expected` is part of the errors that Chromium itself writes for a refused request.
    """
    watching = Watched(browser, **options)
    try:
        watching.page.goto(url)
        yield watching.page
        wrong = [each for each in watching.errors if not expected or expected not in each]
        assert not wrong, wrong
        origin = url.partition("#")[0]
        root = "/".join(origin.split("/")[:3])
        others = [each for each in watching.requests if not each.startswith((root, "blob:"))]
        assert not others, others
    finally:
        watching.context.close()
