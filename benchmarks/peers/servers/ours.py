"""resnet-serve: the repository that `resnet-convert --target auto` deployed, and `up`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from peers.load import Grpc, Load, bytes_request, tensor_request
from peers.peer import ROOT, TENSOR, Configuration, Peer, Place

MODEL = "resnet50"


class ResnetServe(Peer):
    """Ours, with its defaults: nothing is searched."""

    name, title, ports = "resnet-serve", "resnet-serve", 3
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
            request.outputs.add(name="logits").parameters["classification"].int64_param = 5
        return Grpc(port + 1, requests)
