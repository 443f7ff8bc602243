"""resnet-serve: the repository that `resnet-convert --target auto` deployed, and `up`.

Triton speaks gRPC and HTTP, and a client of one costs more than that of the other: each peer is
compared with ours over its own protocol.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peers.load import SIDE, TOP, Grpc, Http, Load, binary, bytes_request, tensor_request
from peers.peer import GRPC, HTTP, ROOT, TENSOR, Configuration, Peer, Place

MODEL = "resnet50"


class ResnetServe(Peer):
    """Ours, with its defaults: nothing is searched."""

    name, title, ports = "resnet-serve", "resnet-serve", 3
    protocol = GRPC
    note = "Converted with `--precision int8 --target auto --max-queue 64`; gRPC."

    def space(self, cores: int) -> tuple[Configuration, ...]:
        """One: what the conversion chose."""
        return (Configuration("as converted", 1, cores),)

    def command(self, place: Place) -> list[str]:
        """`resnet-serve up`, in the environment of this process."""
        given = ["--repository", str(place.repository), "--port", str(place.port)]
        return [sys.executable, "-m", "resnet_serve.cli", "up", *given]

    def environment(self, place: Place) -> dict[str, str]:
        """Where its sources are, and a state folder of its own."""
        return {
            **place.environment(),
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(place.folder / "state"),
        }

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """The tensor model, or the ensemble that decodes, with classification."""
        if workload == TENSOR:
            return Grpc(port + 1, [tensor_request(MODEL, sample) for sample in samples])
        requests = [bytes_request(f"{MODEL}_image", sample) for sample in samples]
        for request in requests:
            request.outputs.add(name="logits").parameters["classification"].int64_param = TOP
        return Grpc(port + 1, requests)


class ResnetServeHttp(ResnetServe):
    """The same, over HTTP: binary input, and binary logits or the names as JSON."""

    name, title = "resnet-serve-http", "resnet-serve, over HTTP"
    protocol = HTTP
    note = "The same; HTTP."

    @property
    def home(self) -> str:
        """The same."""
        return ResnetServe.name

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """As `ResnetServe.load`."""
        asked: dict[str, object]
        if workload == TENSOR:
            shape, datatype, asked = [1, SIDE, SIDE, 3], "UINT8", {"binary_data": True}
        else:
            shape, datatype, asked = [1, 1], "BYTES", {"classification": TOP}
            samples = [struct.pack("<I", len(sample)) + sample for sample in samples]
        model = MODEL if workload == TENSOR else f"{MODEL}_image"
        requests = []
        for sample in samples:
            size = {"binary_data_size": len(sample)}
            given = {"name": "image", "datatype": datatype, "shape": shape, "parameters": size}
            header = {"inputs": [given], "outputs": [{"name": "logits", "parameters": asked}]}
            requests.append(binary(f"/v2/models/{model}/infer", header, sample))
        return Http(port, requests)

    def logits(self, body: bytes) -> NDArray[np.float32]:
        """They are behind the JSON."""
        _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
        return np.frombuffer(body[end:], np.float32)
