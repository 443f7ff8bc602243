"""What `make test-gpu` says at its end: the parts of a GPU host, what ran, what not, and why.

A part is what one test file needs: the driver alone, PyTorch, ONNX Runtime's CUDA provider,
TensorRT-RTX, TensorRT. A file whose needs are not installed is skipped as a whole. The rows are
written as CSV and JSON where `--gpu-results` names a folder and something ran on a GPU. After
`--gpu-minutes` no further test is started.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from resnet_serve import host
from resnet_serve.cuda import nvidia_smi
from resnet_serve.errors import HostError

BASE = ("pydantic", "PIL")
CONVERTER = (*BASE, "torch", "onnx_ir", "onnx", "safetensors", "sklearn", "onnxruntime")
WHOLE = (*CONVERTER, "tritonclient.grpc", "typer", "rich", "jinja2", "matplotlib")


@dataclass(frozen=True)
class Needs:
    """A part: its title, and the modules without which its file cannot be imported."""

    title: str
    modules: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that are not installed here."""
        return tuple(name for name in self.modules if not _found(name))


PARTS = {
    "test_cuda_on_a_gpu": Needs("device interface"),
    "test_pytorch_on_a_gpu": Needs("PyTorch", CONVERTER),
    "test_onnxruntime_on_a_gpu": Needs("ONNX Runtime CUDA", CONVERTER),
    "test_conversions_on_a_gpu": Needs("conversion for CUDA", WHOLE),
    "test_tensorrt_rtx_on_a_gpu": Needs("TensorRT-RTX", ("tensorrt_rtx_bindings", *CONVERTER)),
    "test_engines_on_a_gpu": Needs("TensorRT", ("tensorrt", *WHOLE)),
    "test_triton_on_a_gpu": Needs("TensorRT in Triton", ("tensorrt", *WHOLE)),
}
PACKAGES = (
    *("numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "cuda-bindings", "pycuda"),
    *("tensorrt-cu13-bindings", "tensorrt-rtx-cu13-bindings", "nvidia-cudnn-cu13"),
)
COLUMNS = ("part", "passed", "failed", "skipped", "seconds", "reasons")


@dataclass
class Part:
    """What happened in one file: why tests were skipped, and the numbers that they recorded."""

    title: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)
    numbers: dict[str, object] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        """Its line of the table."""
        return {
            "part": self.title,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 1),
            "reasons": "; ".join(dict.fromkeys(self.reasons)),
        }


class NeedingModule(pytest.Module):
    """A test file that is skipped as a whole where what it imports is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Its tests; nothing is imported before this."""
        missing = PARTS[self.path.stem].missing if self.path.stem in PARTS else ()
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)
        return super().collect()


class GpuReport:
    """The pytest plugin; `tests/gpu/conftest.py` registers it."""

    def __init__(self, minutes: float, results: Path | None) -> None:
        self._parts = {stem: Part(needs.title) for stem, needs in PARTS.items()}
        self._minutes, self._results = minutes, results
        self._started = time.monotonic()

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Start nothing after the time that `make test-gpu` may take."""
        late = time.monotonic() - self._started > 60 * self._minutes
        if late and _stem(item.nodeid) in self._parts:
            pytest.skip(f"not started: {self._minutes:g} minutes were over (--gpu-minutes)")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that skips, or fails, as a whole."""
        if report.outcome != "passed":
            self._add(report.nodeid, report.outcome, report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of one test: the time of each counts, the outcome of one."""
        part = self._parts.get(_stem(report.nodeid))
        if part is None:
            return
        part.seconds += report.duration
        if report.when == "call" or report.outcome != "passed":
            self._add(report.nodeid, report.outcome, report.longrepr)
        if report.when == "call":
            part.numbers.update(dict(report.user_properties))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, and the files."""
        write = terminalreporter.write_line
        write("")
        write("on this GPU host: " + (", ".join(_gpus()) or "no GPU"))
        width = max(len(part.title) for part in self._parts.values())
        for part in self._parts.values():
            counts = f"{part.passed} passed, {part.failed} failed, {part.skipped} skipped"
            reasons = part.row()["reasons"]
            because = f" ({reasons})" if reasons else ""
            write(f"{part.title:<{width}}  {counts}, {part.seconds:.1f} s{because}")
        ran = any(part.passed + part.failed for part in self._parts.values())
        if self._results is not None and ran and _gpus():
            for path, text in self.files():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                write(f"written to {path}")

    def files(self) -> Iterator[tuple[Path, str]]:
        """The CSV and the JSON, for benchmarks/results."""
        now = datetime.now(UTC)
        folder = self._results or Path()
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(part.row() for part in self._parts.values())
        yield folder / f"gpu-{now:%Y-%m-%d}.csv", table.getvalue()
        facts = {
            "what": "the tests of tests/gpu, by what they need",
            "gpus": _gpus(),
            "parts": [{**part.row(), "numbers": part.numbers} for part in self._parts.values()],
            "taken": now.isoformat(timespec="seconds"),
            "host": host.describe().to_json(),
            "versions": versions(),
        }
        yield folder / f"gpu-{now:%Y-%m-%d}.json", json.dumps(facts, indent=2) + "\n"

    def _add(self, nodeid: str, outcome: str, why: object) -> None:
        part = self._parts.get(_stem(nodeid))
        if part is None:
            return
        setattr(part, outcome, getattr(part, outcome) + 1)
        if outcome == "skipped":
            text = str(why[2]) if isinstance(why, tuple) else str(why)
            part.reasons.append(text.removeprefix("Skipped: "))


def versions() -> Mapping[str, str]:
    """The installed packages that a GPU test may use."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpus() -> list[str]:
    try:
        return [
            f"{gpu.name}, driver {gpu.driver}, compute capability {gpu.compute_capability}, "
            f"{gpu.memory_gib:g} GiB"
            for gpu in nvidia_smi.gpus()
        ]
    except HostError as error:
        return [str(error)]


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # its parent package is missing
        return False


def _stem(nodeid: str) -> str:
    return Path(nodeid.partition("::")[0]).stem
