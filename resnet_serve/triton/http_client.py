"""Inference over HTTP with binary tensors, by the standard library alone.

The HTTP of a server with TLS stays on loopback, where no certificate is needed, so this is how a
command on the same host asks any server. `GrpcClient.ask` is the same for any address.
Reference: triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from resnet_serve.errors import HostError, UnavailableError
from resnet_serve.triton.config import INPUT
from resnet_serve.triton.supervision.endpoints import KEY_HEADER, Endpoints

HEADER_LENGTH = "Inference-Header-Content-Length"
DATATYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32"}
_TIMEOUT_S = 60.0
_TYPES = {"UINT8": np.uint8, "FP32": np.float32}


class Client(Protocol):
    """What infers on the model of a server."""

    def ask(
        self,
        model: str,
        data: NDArray[Any],
        outputs: Sequence[str],
        *,
        classes: int = 0,
        version: str = "",
        timeout_s: float,
    ) -> dict[str, NDArray[Any]]:
        """One request; with `classes`, the outputs are the strings of the best ones.

        Raises `HostError` with the server's reason, `UnavailableError` where none answers.
        """

    def configuration(self, model: str) -> Any:
        """The configuration that the server runs a model with; raises as `ask`."""

    def close(self) -> None:
        """End the connection."""


class HttpClient:
    """The HTTP protocol of one server, with the key to what it restricts."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def post(
        self,
        path: str,
        body: bytes = b"{}",
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> tuple[http.client.HTTPMessage, bytes]:
        """Header and body of the response; raises as `ask`."""
        return self._request("POST", path, body, timeout_s, headers or {})

    def configuration(self, model: str) -> Any:
        """As `Client.configuration`."""
        try:
            _, text = self._request("GET", f"/v2/models/{model}/config", None, _TIMEOUT_S, {})
        except HostError as error:
            raise type(error)(f"{model} is not served: {error.what}") from error
        found = model_config_pb2.ModelConfig()
        return json_format.Parse(text, found, ignore_unknown_fields=True)

    def _request(
        self, method: str, path: str, body: bytes | None, timeout_s: float, headers: dict[str, str]
    ) -> tuple[http.client.HTTPMessage, bytes]:
        endpoints = self._endpoints
        sent = {KEY_HEADER: endpoints.key, **headers}
        connection = http.client.HTTPConnection(
            endpoints.host, endpoints.http_port, timeout=timeout_s
        )
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, sent)
                response = connection.getresponse()
                found = response.read()
            except TimeoutError as error:
                raise HostError(f"no response within {timeout_s:g} s") from error
            except (OSError, http.client.HTTPException) as error:
                raise UnavailableError(str(error) or type(error).__name__) from error
        if response.status != http.client.OK:
            raise HostError(_reason(found))
        return response.headers, found

    def ask(
        self,
        model: str,
        data: NDArray[Any],
        outputs: Sequence[str],
        *,
        classes: int = 0,
        version: str = "",
        timeout_s: float,
    ) -> dict[str, NDArray[Any]]:
        """As `Client.ask`."""
        kind = DATATYPES.get(data.dtype, "BYTES")
        content = _packed(data) if kind == "BYTES" else np.ascontiguousarray(data).tobytes()
        sent = {
            "name": INPUT,
            "shape": [1, *data.shape],
            "datatype": kind,
            "parameters": {"binary_data_size": len(content)},
        }
        wanted: dict[str, Any] = {"binary_data": True}
        if classes:
            wanted["classification"] = classes
        rows = [{"name": name, "parameters": wanted} for name in outputs]
        header = json.dumps({"inputs": [sent], "outputs": rows}).encode()
        number = f"/versions/{version}" if version else ""
        try:
            found, body = self.post(
                f"/v2/models/{model}{number}/infer",
                header + content,
                timeout_s=timeout_s,
                headers={HEADER_LENGTH: str(len(header))},
            )
        except HostError as error:
            raise type(error)(f"{model} does not answer: {error.what}") from error
        length = int(found.get(HEADER_LENGTH, len(body)))
        return dict(_tensors(json.loads(body[:length])["outputs"], body[length:]))

    def close(self) -> None:
        """Nothing is kept open."""


def _tensors(described: Sequence[Any], content: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    start = 0
    for each in described:
        end = start + int(each["parameters"]["binary_data_size"])
        data, kind = content[start:end], each["datatype"]
        start = end
        if kind == "BYTES":
            array = np.array(list(_unpacked(data)), np.object_)
        else:
            array = np.frombuffer(data, _TYPES[kind])
        yield each["name"], array.reshape(each["shape"])


def _packed(data: NDArray[Any]) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in data.ravel())


def _unpacked(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        (length,) = struct.unpack_from("<I", data, start)
        yield data[start + 4 : start + 4 + length]
        start += 4 + length


def _reason(body: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return " ".join(str(json.loads(body)["error"]).split())
    return body[:200].decode(errors="replace") or "no reason given"
