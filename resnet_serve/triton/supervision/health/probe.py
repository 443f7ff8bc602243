"""Probe: one small inference on every model that clients call, over HTTP; "ready" means it answers.

The request is made from the model's own configuration: zeros in the shape that the model is warmed
up with, or where it takes encoded images the first example of its version, else a small PNG. Models
that are only steps of an ensemble are asked through it. The standard library is all that this
needs, because `resnet-serve health` has to be quick.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from resnet_serve.triton.canary.split import MARK
from resnet_serve.triton.supervision.endpoints import KEY_HEADER
from resnet_serve.triton.supervision.health import example

REQUEST_ID = "resnet-serve-probe"  # tells it from clients' requests in an access log
HEADER_LENGTH = "Inference-Header-Content-Length"
_SIDE = 8
_BUSY_POLL_S = 0.1
# Answers of a server that works but has too much to do, or is just starting or stopping.
_BUSY = (http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS)
_DEAD = "Stub process"  # begins what Triton says where a backend process has died
_ELEMENT_BYTES = {
    **dict.fromkeys(("BOOL", "UINT8", "INT8"), 1),
    **dict.fromkeys(("UINT16", "INT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("UINT32", "INT32", "FP32"), 4),
    **dict.fromkeys(("UINT64", "INT64", "FP64"), 8),
}


@dataclass(frozen=True)
class Answer:
    """What one model said; `healthy` is None if it was too busy to answer in time.

    After a `check`, `busy` means that others were answered meanwhile. `refused` means that the
    model itself answered with an error.
    """

    model: str
    healthy: bool | None
    detail: str
    seconds: float
    busy: bool = False
    refused: bool = False


class Count(NamedTuple):
    """How many requests a model has answered so far, and how many failed."""

    answered: int
    failed: int


class Unreachable(Exception):  # noqa: N818 - an outcome, told by the caller
    """No HTTP answer, or none that can be used: its text says why."""


@dataclass(frozen=True)
class Probe:
    """A server's HTTP address, the key of its restricted protocols if known, and a time limit.

    The example images are those in `repository`, where it is on this host.
    """

    host: str
    port: int
    key: str = ""
    timeout_s: float = 5.0
    repository: Path | None = None

    def ready(self) -> bool:
        """What the server says itself."""
        with contextlib.suppress(Unreachable):
            return self.get("/v2/health/ready")[0] == http.client.OK
        return False

    def models(self) -> tuple[str, ...]:
        """The models that are ready; raises `Unreachable`, also where the key is missing."""
        status, body = self.post("/v2/repository/index", b'{"ready": true}')
        if status == http.client.FORBIDDEN:
            raise Unreachable("the list of its models needs the key")
        if status != http.client.OK:
            raise Unreachable(f"no list of models: {_error(body)}")
        return tuple(sorted({entry["name"] for entry in json.loads(body)}))

    def outer(self, models: Sequence[str]) -> tuple[str, ...]:
        """Those that are no step of another one; steps are asked through their ensembles.

        Nor a version that a canary serves alone: what the new one does must not end the server.
        """
        inner = {model for model in models if MARK in model}
        for model in models:
            status, body = self.get(f"/v2/models/{model}/config")
            if status == http.client.OK:
                steps = json.loads(body).get("ensemble_scheduling", {}).get("step", [])
                inner.update(step["model_name"] for step in steps)
        return tuple(model for model in models if model not in inner)

    def ask(self, model: str) -> Answer:
        """Infer once on `model`."""
        started = time.monotonic()

        def answer(healthy: bool | None, detail: str) -> Answer:
            return Answer(model, healthy, detail, time.monotonic() - started)

        try:
            status, body = self.get(f"/v2/models/{model}/config")
            if status != http.client.OK:
                return answer(False, _error(body))
            config = json.loads(body)
            found = None if self.repository is None else example.image(self.repository, config)
            header, data = request_for(config, found)
            status, body = self.post(
                f"/v2/models/{model}/infer", header + data, {HEADER_LENGTH: str(len(header))}
            )
        except TimeoutError:
            return answer(None, f"no answer within {self.timeout_s:g} s")
        except Unreachable as error:
            return answer(False, str(error))
        if status == http.client.OK:
            return answer(True, "answers")
        if status in _BUSY:
            return answer(None, _error(body))
        refusal = answer(False, _error(body))
        return replace(refusal, refused=_DEAD not in refusal.detail)

    def check(self, model: str) -> Answer:
        """Infer once on `model`; if it is too busy, see within the time limit if it answers others.

        So `healthy` is never None: a full queue is no illness while it moves.
        """
        until = time.monotonic() + self.timeout_s
        before = self.count(model)
        answer = self.ask(model)
        while answer.healthy is None:
            after = self.count(model)
            if before is not None and after is not None and after.answered > before.answered:
                told = f"answers others ({answer.detail})"
                return replace(answer, healthy=True, detail=told, busy=True)
            if time.monotonic() > until:
                return replace(answer, healthy=False)
            time.sleep(_BUSY_POLL_S)
        return answer

    def serves(self, model: str, since: Count | None) -> bool:
        """Whether it has answered requests since this count, and every one."""
        now = self.count(model)
        if since is None or now is None:
            return False
        return now.answered > since.answered and now.failed == since.failed

    def count(self, model: str) -> Count | None:
        """The requests so far, of all versions; None where that is not known."""
        with contextlib.suppress(Unreachable, TimeoutError, ValueError, KeyError):
            status, body = self.get(f"/v2/models/{model}/stats")
            if status == http.client.OK:
                found = [each["inference_stats"] for each in json.loads(body)["model_stats"]]
                return Count(
                    *(sum(int(each[key]["count"]) for each in found) for key in ("success", "fail"))
                )
        return None

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; raises `Unreachable`, or `TimeoutError`."""
        return self._request("GET", path, None, {})

    def post(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body; raises `Unreachable`, or `TimeoutError`."""
        return self._request("POST", path, body, headers or {})

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        sent = {**headers, KEY_HEADER: self.key} if self.key else headers
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, sent)
                response = connection.getresponse()
                return response.status, response.read()
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(_plain(error)) from error


def request_for(config: dict[str, Any], image: bytes | None = None) -> tuple[bytes, bytes]:
    """Header and binary data of a request that the model of this configuration can answer.

    Where it takes encoded images it gets this one, by default a small PNG.
    """
    batched = int(config.get("max_batch_size", 0)) > 0
    inputs, data = [], b""
    for each in config["input"]:
        kind = each["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES")
        dims = [max(1, int(size)) for size in each["dims"]]
        if kind == "BYTES":
            file = image or PNG
            values = (struct.pack("<I", len(file)) + file) * math.prod(dims)
        else:
            values = bytes(math.prod(dims) * _ELEMENT_BYTES[kind])
        inputs.append(
            {
                "name": each["name"],
                "datatype": kind,
                "shape": [1, *dims] if batched else dims,
                "parameters": {"binary_data_size": len(values)},
            }
        )
        data += values
    # The outputs as binary, which costs the server less than digits.
    parameters = {"binary_data_output": True}
    header = {"id": REQUEST_ID, "inputs": inputs, "parameters": parameters}
    return json.dumps(header).encode(), data


def _png() -> bytes:
    """A grey RGB image of 8 × 8 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = (b"\0" + b"\x80\x80\x80" * _SIDE) * _SIDE
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PNG = _png()


def _error(body: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return " ".join(str(json.loads(body)["error"]).split())
    return body[:200].decode(errors="replace") or "no reason given"


def _plain(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, http.client.BadStatusLine) and not isinstance(
        error, http.client.RemoteDisconnected
    ):
        return "does not speak HTTP; gRPC has the port after HTTP's"
    return str(error) or type(error).__name__
