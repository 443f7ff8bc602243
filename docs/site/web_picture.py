"""The picture of docs/web.md: the page with three real versions, and an image that divides them.

    python docs/site/web_picture.py [FOLDER]

The conversions and the server run here, as a reader would run them, and a real Chromium draws the
page to docs/pictures/web.png. FOLDER gets narrow and dark pictures too, to look at them, and keeps
the models for the next run.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pictures import BROWSERS, FOLDER
from playwright.sync_api import Browser, sync_playwright

from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import HostError
from resnet_serve.web.places import Places
from resnet_serve.web.serving import Listening, WebServer, secured
from resnet_serve.web.settings import Settings

VERSIONS = (
    ("digits-fp32", "fp32", "onnxruntime"),
    ("digits-int8", "int8", "onnxruntime"),
    ("digits-openvino", "int8", "openvino"),
)
WIDE, NARROW = (1280, 1000), (360, 780)


def deploy(repository: Path) -> None:
    """Convert the digits network to each of `VERSIONS`."""
    for name, precision, target in VERSIONS:
        convert(
            arch="resnet20",
            weights="digits",
            precision=precision,
            target=target,
            calibration="digits" if precision == "int8" else None,
            validation="digits",
            name=name,
            repository=repository,
        )


@contextmanager
def page(repository: Path) -> Iterator[str]:
    """The address of the page, in front of a real server."""
    where = Listening(port=8080)
    with Server(repository, port=0) as server:
        places = Places(repository, server.grpc, server.metrics)
        web = WebServer(places, secured(Settings(), where, insecure=False), where)
        thread = threading.Thread(target=web.run)
        thread.start()
        try:
            yield web.url
        finally:
            web.stop()
            thread.join()


def disputed(url: str, images: Sequence[Path]) -> Path:
    """The first image that a version decides otherwise, or the first one."""
    for each in images:
        request = urllib.request.Request(  # noqa: S310 - of this process
            f"{url}compare", each.read_bytes(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            if json.load(answer)["agree"] is False:
                return each
    return images[0]


def picture(
    browser: Browser, url: str, image: Path, size: tuple[int, int], scheme: str, file: Path
) -> None:
    """The whole page with the predictions for an image as a PNG."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1.5 if width < 1000 else 1,
    )
    opened = context.new_page()
    opened.goto(url)
    opened.wait_for_selector("#live:not([hidden])")
    for _ in range(8):  # so that the tiles have something to count
        opened.set_input_files("#file", image)
        opened.wait_for_selector(".verdict.agree, .verdict.differ")
        opened.wait_for_timeout(300)
    opened.wait_for_timeout(1500)
    opened.screenshot(path=file, full_page=True)
    context.close()


def main() -> None:
    """Write the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise HostError("no Chromium", remedy="Install it, on Debian: apt install chromium.")
    with tempfile.TemporaryDirectory() as made, sync_playwright() as driver:
        repository = (folder or Path(made)) / "models"
        if not repository.is_dir():
            deploy(repository)
        images = Digits(held_out=True).export(Path(made) / "digits", 360)
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with page(repository) as url:
            image = disputed(url, images)
            picture(browser, url, image, WIDE, "light", FOLDER / "web.png")
            for scheme in ("light", "dark") if folder is not None else ():
                for size in (WIDE, NARROW):
                    file = (folder or FOLDER) / f"web-{size[0]}-{scheme}.png"
                    picture(browser, url, image, size, scheme, file)
        browser.close()


if __name__ == "__main__":
    main()
