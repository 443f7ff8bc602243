"""The model control protocol of a running server: load, unload, list; its key is needed.

Over HTTP, which is on this host whichever way the server was started, with TLS too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf import json_format

from resnet_serve.errors import HostError
from resnet_serve.triton.http_client import HttpClient
from resnet_serve.triton.supervision.endpoints import Endpoints

_REPOSITORY = "/v2/repository"
_AT_ONCE = 4  # to load a model through a backend process is mostly waiting


class Admin:
    """A server's control; `timeout_s` limits every request, a load with its warm-up too.

    Every method raises `UnavailableError` for a server that has ended.
    """

    def __init__(self, endpoints: Endpoints, *, timeout_s: float = 600) -> None:
        self.client = HttpClient(endpoints)
        self._where = endpoints.http
        self._timeout_s = timeout_s

    def load(self, name: str, config: Any = None) -> None:
        """Load a model as it is on the disk, or with another configuration.

        Its version policy decides which versions are loaded; the others are unloaded when these are
        ready. Raises `HostError` with the server's reason, and then nothing has changed.
        """
        body = b"{}"
        if config is not None:
            fields = json_format.MessageToDict(config, preserving_proto_field_name=True)
            body = json.dumps({"parameters": {"config": json.dumps(fields)}}).encode()
        self._post(f"cannot load {name}", f"/models/{name}/load", body)

    def load_all(self, configs: Mapping[str, Any]) -> None:
        """Load models that do not run each other, several at once; raises as `load`, the first."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            loads = [pool.submit(self.load, name, made) for name, made in configs.items()]
            for each in loads:
                each.result()

    def unload(self, name: str) -> None:
        """Unload a model; requests that it has already are answered."""
        self._post(f"cannot unload {name}", f"/models/{name}/unload")

    def models(self) -> dict[str, set[int]]:
        """The versions that are ready, by model."""
        found: dict[str, set[int]] = {}
        for entry in json.loads(self._post("does not list its models", "/index")):
            if entry.get("state") == "READY":
                found.setdefault(entry["name"], set()).add(int(entry.get("version") or 0))
        return found

    def _post(self, what: str, path: str, body: bytes = b"{}") -> bytes:
        with self._explained(what):
            return self.client.post(f"{_REPOSITORY}{path}", body, timeout_s=self._timeout_s)[1]

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except HostError as error:
            text = f"{what}: {error.what}"
            raise type(error)(text, where=f"the server at {self._where}") from error
