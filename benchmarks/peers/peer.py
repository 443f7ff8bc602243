"""A peer: another server of the same network, at its own best.

Each is one file in `servers/`: what it needs, how it is started on a port with a configuration, and
the requests that it takes. All run the same ONNX file through `services/network.py`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from peers.load import Load

SERVICES, ROOT = Path(__file__).parent / "services", Path(__file__).parents[2]
RUNTIMES = ("onnxruntime", "openvino")
# What every service imports beside the server itself: the versions that we serve with.
NETWORK = ("onnxruntime==1.31.1", "openvino==2026.4.1", "pillow==13.0.0")
TENSOR, JPEG = "tensor", "jpeg"
WORKLOADS = (TENSOR, JPEG)
GRPC, HTTP = "gRPC", "HTTP"


@dataclass(frozen=True)
class Configuration:
    """How a peer is started: its runtime, processes, threads of each, and largest batch."""

    runtime: str = "onnxruntime"
    workers: int = 1
    threads: int = 1
    batch: int = 1
    delay_ms: float = 0.0

    def __str__(self) -> str:
        batch = f", batches up to {self.batch}" if self.batch > 1 else ""
        return f"{self.runtime}, {self.workers} × {self.threads} threads{batch}"

    def to_json(self) -> dict[str, object]:
        """Its fields."""
        return asdict(self)


def space(cores: int) -> tuple[Configuration, ...]:
    """The same candidates for every peer: one worker on all cores, one per core, and batches."""
    return (
        Configuration("onnxruntime", 1, cores),
        Configuration("onnxruntime", cores, 1),
        Configuration("openvino", 1, cores),
        Configuration("openvino", 1, cores, batch=8, delay_ms=1.0),
    )


@dataclass(frozen=True)
class Place:
    """Where a peer is started: its Python, an empty folder, a port, and the model to serve."""

    python: Path
    folder: Path
    port: int
    configuration: Configuration
    model: Path
    labels: Path
    repository: Path

    def environment(self) -> dict[str, str]:
        """What the services read."""
        configuration = self.configuration
        path = str(SERVICES)
        if configuration.runtime not in RUNTIMES:  # the PyTorch network is ours
            path += f":{ROOT}"
        return {
            **os.environ,
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "PEER_PORT": str(self.port),
            "PEER_MODEL": str(self.model),
            "PEER_LABELS": str(self.labels),
            "PEER_RUNTIME": configuration.runtime,
            "PEER_WORKERS": str(configuration.workers),
            "PEER_THREADS": str(configuration.threads),
            "PEER_BATCH": str(configuration.batch),
            "PEER_DELAY_MS": str(configuration.delay_ms),
            "PYTHONPATH": path,
        }


class Peer:
    """One server. `service` is the file that its user writes, `better` what it does better."""

    name: ClassVar[str]
    title: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]] = ()
    service: ClassVar[str] = ""
    better: ClassVar[str] = ""
    note: ClassVar[str] = ""
    protocol: ClassVar[str] = HTTP
    ports: ClassVar[int] = 1  # consecutive ones

    @property
    def home(self) -> str:
        """The name of its environment, which two peers may share."""
        return self.name

    def space(self, cores: int) -> tuple[Configuration, ...]:
        """The configurations among which its best is searched."""
        return space(cores)

    def command(self, place: Place) -> list[str]:
        """What starts it, in `place.folder`."""
        return [str(place.python), str(SERVICES / self.service)]

    def environment(self, place: Place) -> dict[str, str]:
        """The environment of that process."""
        return place.environment()

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """The requests of a workload: uint8 pixels [224,224,3], or JPEG files."""
        raise NotImplementedError

    def logits(self, body: bytes) -> NDArray[np.float32]:
        """The logits [classes] in the response to a tensor."""
        return np.frombuffer(body, np.float32)

    def lines(self) -> int:
        """Lines of the user's own service, without blank ones, comments and docstrings."""
        return lines_of(SERVICES / self.service) if self.service else 0


def lines_of(path: Path) -> int:
    """Lines of code in a file: no blank ones, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    without: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if ast.get_docstring(node) is not None and first.end_lineno is not None:
                without.update(range(first.lineno, first.end_lineno + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in without
        for number, line in enumerate(text.splitlines(), 1)
    )
