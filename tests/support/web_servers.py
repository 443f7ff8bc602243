"""The web application in a thread of this process, and requests to it by the standard library."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from patience import PATIENCE_S

from resnet_serve.web.places import Places
from resnet_serve.web.serving import Listening, WebServer, secured
from resnet_serve.web.settings import Settings

BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def refused(self, status: int) -> str:
        """The one line of a problem with this status."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["content-type"] == "application/problem+json"
        found = self.json
        assert set(found) == {"schema_version", "type", "title", "status", "detail"}
        assert found["status"] == status
        assert "\n" not in found["detail"] and "Traceback" not in found["detail"]
        return str(found["detail"])


class Web:
    """A web application at an address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        with closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            return Answer(found.status, _lower(found.getheaders()), found.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """The body of a file, unless another Content-Type is among the headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {**BYTES, **named})

    def send(self, path: str, value: Any) -> Answer:
        """A JSON value."""
        text = json.dumps(value).encode()
        return self.ask("POST", path, text, {"Content-Type": "application/json"})


def _lower(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


@contextmanager
def serving(places: Places, settings: Settings | None = None) -> Iterator[Web]:
    """The web application on loopback, as the command starts it; its thread ends with it."""
    where = Listening(port=0)
    server = WebServer(places, secured(settings or Settings(), where, insecure=False), where)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Web(server.url)
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class Command:
    """`resnet-serve web` in a process of its own; what it prints, and what it ends with."""

    def __init__(self, folder: Path, *options: str, token: str = "") -> None:
        environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resnet_serve.cli", "web", "--port", "0", *options],
            cwd=folder,
            env={**environment, "RESNET_SERVE_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline() for _ in range(4)]
        (self.page,) = re.findall(r"Page +(\S+)", self.lines[0])

    def end(self, sent: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(sent)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors

    def stop(self) -> None:
        """End it, where it has not been ended yet."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
