"""The model control protocol of a running server: load, unload, list; its key is needed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from tritonclient.utils import InferenceServerException

from resnet_serve.errors import HostError, UnavailableError
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.supervision.endpoints import KEY_HEADER, Endpoints

# What gRPC says of a server that has ended, now or while the request was on its way.
_ENDED = re.compile("failed to connect|socket closed|connection reset|broken pipe", re.IGNORECASE)


class Admin:
    """One connection to a server; `timeout_s` limits every request, a load with its warm-up too.

    Raises `HostError` for a server that listens beyond loopback, whose gRPC has TLS. Every method
    raises `UnavailableError` for a server that has ended.
    """

    def __init__(self, endpoints: Endpoints, *, timeout_s: float = 600) -> None:
        if endpoints.grpc_address:
            raise HostError(
                "the server listens with TLS, so it changes when it is started again",
                where=endpoints.grpc,
                remedy="Stop it (resnet-serve down), change the version, and start it again.",
            )
        self.client = GrpcClient(endpoints.grpc)
        self._where = endpoints.grpc
        self._headers = {f"triton-grpc-protocol-{KEY_HEADER}": endpoints.key}
        self._timeout_s = timeout_s

    def load(self, name: str, config: Any = None) -> None:
        """Load a model as it is on the disk, or with another configuration.

        Its version policy decides which versions are loaded; the others are unloaded when these are
        ready. Raises `HostError` with the server's reason, and then nothing has changed.
        """
        text = None
        if config is not None:
            fields = json_format.MessageToDict(config, preserving_proto_field_name=True)
            text = json.dumps(fields)
        with self._explained(f"cannot load {name}"):
            self.client.load_model(
                name, headers=self._headers, config=text, client_timeout=self._timeout_s
            )

    def unload(self, name: str) -> None:
        """Unload a model; requests that it has already are answered."""
        with self._explained(f"cannot unload {name}"):
            self.client.unload_model(name, headers=self._headers, client_timeout=self._timeout_s)

    def models(self) -> dict[str, set[int]]:
        """The versions that are ready, by model."""
        found: dict[str, set[int]] = {}
        with self._explained("does not list its models"):
            index = self.client.get_model_repository_index(
                headers=self._headers, client_timeout=self._timeout_s
            )
        for entry in index.models:
            if entry.state == "READY":
                found.setdefault(entry.name, set()).add(int(entry.version or 0))
        return found

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            reason = " ".join(str(error.message()).split())
            kind = UnavailableError if _ENDED.search(reason) else HostError
            raise kind(f"{what}: {reason}", where=f"the server at {self._where}") from error
