"""MLPerf's LoadGen on our networks: unverified, not an MLPerf result.

    python benchmarks/mlperf.py
    python benchmarks/mlperf.py --task cifar10 --data shared/data/cifar10

The four scenarios of MLPerf Inference, each in performance and in accuracy mode, by the real
LoadGen (`mlcommons-loadgen`) on real, labelled images: held-out digits, or CIFAR-10. Systems under
test: PyTorch FP32, the INT8 network in ONNX Runtime and in OpenVINO in this process, and the same
files served by the real Triton over gRPC. The numbers are read from LoadGen's own logs, with its
verdict on whether the run was long enough. They are no MLPerf results: the networks and the images
are not MLPerf's, the runs are short, and nobody reviewed them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from loadgen.library import Library
from loadgen.logs import UNVERIFIED, Result
from loadgen.scenarios import MODES, SCENARIOS, Settings, run
from loadgen.systems import Classify, InProcess, Served, System
from networks import CIFAR10, UNPACKED, Cifar10
from recorded import record

from resnet_convert import convert
from resnet_serve import Server, host, runtimes, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import Images, open_images
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import pressure
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.weights import Weights

Row: TypeAlias = dict[str, object]
PYTORCH, SERVED = "pytorch fp32", "served"
TARGETS = ("onnxruntime", "openvino")
SYSTEMS = (PYTORCH, *TARGETS, *(f"{target} {SERVED}" for target in TARGETS))
MOST = 8  # images at once, in process and in the server
IN_FLIGHT = 16
OFFERED = 0.6  # of the rate at which images are done, in the scenario Server


@dataclass(frozen=True)
class Task:
    """A trained network, its labelled images, and how both are given to a conversion."""

    network: Weights
    images: Images
    given: Mapping[str, Any]

    @classmethod
    def open(cls, name: str, data: Path) -> Task:
        """The digits, or CIFAR-10 in the folder `data`."""
        if name == "digits":
            network = weights.load("digits", find("resnet20"))
            images = open_images("digits", None, split="validation")
            return cls(network, images, {"weights": "digits", "calibration": "digits"})
        made = Cifar10(data)
        network = made.load()
        images = made.images(network.labels, "validation")
        given = {
            "weights": str(data / "resnet20-12fca82f.th"),
            "preprocessing": UNPACKED / "preprocessing.json",
            "labels": "cifar10",
            "calibration": str(UNPACKED / "calibration"),
            "validation": str(UNPACKED / "test"),
            "validation_images": 1000,
        }
        return cls(network, images, given)


class Bench:
    """Opens the systems under test, on the same images; the server when it is first needed."""

    def __init__(self, task: Task, count: int, folder: Path, stack: ExitStack) -> None:
        self._task, self._folder, self._stack = task, folder, stack
        self.library = Library(spread(task.images, count), task.network.preprocessing)
        self._server: Server | None = None
        self._converted: set[str] = set()

    def classify(self, name: str) -> Classify:
        """What a system does in this process: PyTorch, or the runtime `name`."""
        cores, preprocessing = host.cores(), self._task.network.preprocessing
        if name == PYTORCH:
            network = self._stack.enter_context(
                pytorch_runtime.load(self._task.network.network(), threads=cores)
            )
            return lambda pixels: network.run(preprocessing.normalize(pixels))
        data = (self._model(name) / "1" / "model.onnx").read_bytes()
        return self._stack.enter_context(runtimes.open_on_cpu(name, "int8", data, cores)).run

    def system(self, name: str) -> System:
        """A system under test, by its name in `SYSTEMS`."""
        if not name.endswith(SERVED):
            return InProcess(self.classify(name), self.library, MOST)
        model = self._model(name.split(maxsplit=1)[0])
        if self._server is None:
            self._server = self._stack.enter_context(Server(self._folder, port=0))
        return Served(self._server.grpc, model.name, self.library, IN_FLIGHT)

    def convert(self, names: list[str]) -> None:
        """Convert what these systems need, before a server starts."""
        for name in names:
            if name != PYTORCH:
                self._model(name.split()[0])

    def _model(self, target: str) -> Path:
        model = self._folder / f"{self._task.network.architecture.name}_{target}"
        if not model.exists():
            convert(
                arch=self._task.network.architecture.name,
                precision="int8",
                target=target,
                name=model.name,
                max_batch_size=MOST,
                max_queue=4 * IN_FLIGHT,
                repository=self._folder,
                **self._task.given,
            )
        return model


def settings(system: System, library: Library, options: argparse.Namespace) -> Settings:
    """What this system is expected to do, from a short trial of it."""
    indices = list(range(min(64, len(library))))
    library.load(indices)
    image_s = _seconds(system, indices[:1])
    rate = len(indices) / _seconds(system, indices)
    library.unload(indices)
    return Settings(
        seconds=options.seconds,
        queries=options.queries,
        image_ms=1e3 * image_s,
        rate=rate,
        server_rate=OFFERED * rate,
        limit_ms=options.limit_ms,
    )


def _seconds(system: System, indices: list[int]) -> float:
    """The better of three times that these images take together."""
    took = []
    for _ in range(3):
        left, began = set(indices), time.perf_counter()
        system.submit(
            [(index, index) for index in indices],
            lambda found, left=left: left.difference_update(number for number, _ in found),  # type: ignore[misc]
        )
        while left:
            time.sleep(2e-4)
        took.append(time.perf_counter() - began)
    return min(took)


def measured(bench: Bench, options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """A row per system and scenario, with both of LoadGen's modes."""
    for name in options.systems:
        for scenario in options.scenarios:
            system = bench.system(name)
            expected = settings(system, bench.library, options)
            try:
                speed, correct = (
                    run(system, bench.library, scenario, mode, expected, folder / mode)
                    for mode in MODES
                )
            finally:
                system.close()
            yield row(name, speed, correct, expected)


def row(system: str, speed: Result, correct: Result, expected: Settings) -> Row:
    """What LoadGen found of one system in one scenario."""
    made: Row = {
        "system": system,
        "scenario": speed.scenario,
        "metric": speed.metric,
        "value": round(float(speed.value or 0), 3),
        "p50_ms": round(float(speed.p50_ms or 0), 3),
        "p99_ms": round(float(speed.p99_ms or 0), 3),
        "offered_per_s": round(expected.server_rate, 1) if speed.scenario == "Server" else "",
        "samples": speed.samples,
        "valid": speed.valid and not speed.errors,
        "why_not": "; ".join(speed.invalid),
        "accuracy_percent": round(float(correct.accuracy or 0), 2),
        "accuracy_samples": correct.samples,
        "status": UNVERIFIED,
    }
    print(sentence(made), flush=True)
    return made


def sentence(made: Row) -> str:
    """A row for its reader: what was measured, how exact it was, and LoadGen's verdict."""
    offered = f" at {made['offered_per_s']} offered per second" if made["offered_per_s"] else ""
    verdict = "valid" if made["valid"] else f"not valid ({made['why_not'] or 'errors'})"
    metric = str(made["metric"]).replace("_", " ")
    return (
        f"{made['system']}, {made['scenario']}{offered}: {metric} {made['value']}, "
        f"p50 {made['p50_ms']} ms, p99 {made['p99_ms']} ms over {made['samples']} samples; "
        f"{made['accuracy_percent']} % right of {made['accuracy_samples']}; {verdict}"
    )


def main() -> None:
    """Run the scenarios of the systems, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--data", type=Path, default=CIFAR10, help="the folder of CIFAR-10")
    parser.add_argument("--images", type=int, default=500, help="of the test images, at most")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=10, help="the least time of a scenario")
    parser.add_argument("--queries", type=int, default=664, help="the least number of queries")
    parser.add_argument("--limit-ms", type=float, default=50, help="of 99 %% of the requests")
    options = parser.parse_args()
    pressed = pressure.lately()
    task = Task.open(options.task, options.data)
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        bench = Bench(task, options.images, Path(temporary) / "models", stack)
        bench.convert(options.systems)
        rows = list(measured(bench, options, Path(temporary) / "logs"))
    summary = {
        "what": f"MLPerf's LoadGen on {task.network.architecture.name}, {options.task}",
        "status": UNVERIFIED,
        "loadgen": version("mlcommons-loadgen"),
        "least_seconds": options.seconds,
        "least_queries": options.queries,
        "latency_limit_ms": options.limit_ms,
        "waited_for_a_cpu_before": pressed,
    }
    record(f"mlperf-{options.task}", rows, summary)


if __name__ == "__main__":
    main()
