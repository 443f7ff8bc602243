"""A real Prometheus and its promtool: those on the PATH, else those of Debian's package.

The package is downloaded once, is not installed, and is kept in pytest's cache.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kept import ROOT, NotAvailableError, kept, output
from patience import PATIENCE_S, until
from ports import three_ports


def program(name: str) -> Path:
    """`prometheus` or `promtool`; skips the test with the reason where there is none."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"there is no {name} on the PATH, and no apt-get to download Debian's")
    try:
        return kept(ROOT / ".pytest_cache" / "prometheus", "debian", _download) / "usr/bin" / name
    except NotAvailableError as error:
        pytest.skip(f"there is no {name} on the PATH: {error}")


def _download(folder: Path) -> None:
    script = (
        'cd "$0" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm *.deb'
    )
    output(["sh", "-c", script, str(folder)], "download Debian's prometheus")


@contextmanager
def running(config: Path, data: Path) -> Iterator[str]:
    """Prometheus with this configuration; its address."""
    address = f"127.0.0.1:{three_ports()}"
    log = data.with_suffix(".log")
    with log.open("w") as written:
        process = subprocess.Popen(
            [
                str(program("prometheus")),
                f"--config.file={config}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={address}",
            ],
            stdout=written,
            stderr=written,
        )
    try:
        assert until(lambda: process.poll() is not None or _ready(address)), log.read_text()
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def ask(address: str, path: str, **given: str) -> Any:
    """The data of an answer of its API."""
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(given)}"
    with urllib.request.urlopen(url, timeout=30) as page:
        return json.load(page)["data"]
