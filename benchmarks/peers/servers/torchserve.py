"""TorchServe: a frontend in Java, and Python workers."""

from __future__ import annotations

from collections.abc import Sequence

from peers.load import Http, Load, raw_requests
from peers.peer import NETWORK, Configuration, Peer, Place

TORCH = "torch==2.13.0"


class TorchServe(Peer):
    """See the module."""

    name, title, service, ports = "torchserve", "TorchServe", "with_torchserve.py", 5
    requirements = (
        *(*NETWORK, TORCH, "pydantic"),
        *("torchserve==0.12.0", "torch-model-archiver==0.12.0", "setuptools<81", "pyyaml"),
    )
    better = "Handlers that exist already; its management API. It is no longer maintained."
    note = "HTTP. Needs Java 17 (Debian: openjdk-17-jre-headless)."

    def environment(self, place: Place) -> dict[str, str]:
        """Its logs and its process id in the folder of this start: one of several at once."""
        own = {"LOG_LOCATION": str(place.folder), "TMPDIR": str(place.folder)}
        return {**place.environment(), **own}

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """Bodies as they are."""
        return Http(port, raw_requests("/predictions/resnet50", workload, samples))


class TorchServePyTorch(TorchServe):
    """The PyTorch network itself, eager and FP32, as TorchServe's users have it."""

    name, title = "torchserve-pytorch", "TorchServe, PyTorch FP32"
    better = "Nothing is converted: what was trained is what is served."
    note = "Eager, one process on all cores."

    @property
    def home(self) -> str:
        """The same."""
        return TorchServe.name

    def space(self, cores: int) -> tuple[Configuration, ...]:
        """One: the default of PyTorch."""
        return (Configuration("pytorch", 1, cores),)
