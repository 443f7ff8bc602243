"""Graphs written as ONNX text, and the digits network with its conversions, made once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from in_process import command_lines_once
from numpy.typing import NDArray
from onnx import numpy_helper
from quick import quicken
from thin import TRACED_ROWS
from thin_traces import thin_trace
from torch import nn
from trace_once import traced_this_run

from resnet_convert import Conversion, convert
from resnet_convert.cli import main
from resnet_convert.graph.fold import fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import Trace
from resnet_serve import weights
from resnet_serve.architectures import Architecture, find
from resnet_serve.console import err as console_err
from resnet_serve.console import out as console_out
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights

CALIBRATION_IMAGES = 128
VALIDATION_IMAGES = 100


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """On a shared machine the threads of a small network mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions on one core that look at latency for a moment only and draw no figures."""
    quicken(monkeypatch)


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    """A quick conversion of the digits network into an empty place."""
    return {
        "arch": "resnet20",
        "weights": "digits",
        "repository": tmp_path / "models",
        "validation": "digits",
        "validation_images": 16,
        "calibration": "digits",
        "calibration_images": 16,
    }


@pytest.fixture(scope="session")
def convert_digits() -> Callable[..., Conversion]:
    """`convert_digits(repository, "int8", name="d")`: the digits network, end to end, quickly."""

    def conversion(repository: Path, precision: str = "fp32", **options: Any) -> Conversion:
        calibrated = {"calibration": "digits", "calibration_images": CALIBRATION_IMAGES}
        with pytest.MonkeyPatch.context() as patch:
            quicken(patch)
            return convert(
                arch="resnet20",
                weights="digits",
                precision=precision,
                repository=repository,
                validation="digits",
                **({"validation_images": VALIDATION_IMAGES} | options),
                **(calibrated if precision == "int8" else {}),
            )

    return conversion


@pytest.fixture(scope="session")
def graph() -> Callable[..., ir.Model]:
    """`graph(text, w=array)`: a graph in ONNX text syntax, with its large constants as arrays."""

    def parse(text: str, **constants: NDArray[Any]) -> ir.Model:
        proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nresnet {text}')
        for name, array in constants.items():
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto))

    return parse


@pytest.fixture(scope="session")
def run() -> Callable[..., NDArray[Any]]:
    """`run(model, batch)`: the graph's first output, by ONNX Runtime."""

    def answer(model: ir.Model, batch: NDArray[Any]) -> NDArray[Any]:
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
        with onnxruntime_runtime.load(serialize(model), threads=1) as session:
            return session.run(batch)

    return answer


@pytest.fixture(
    scope="session",
    params=TRACED_ROWS,
    ids=lambda row: row.name,
)
def family(request: pytest.FixtureRequest) -> tuple[Architecture, nn.Module, Trace]:
    """A network of every kind in turn, random, thin, and the trace; not to be changed."""
    made = thin_trace(request.param)
    return made.row, made.network, made.trace


@pytest.fixture(scope="session")
def digits() -> Weights:
    """The trained digits network."""
    return weights.load("digits", find("resnet20"))


@pytest.fixture(scope="session")
def digits_pixels(digits: Weights) -> NDArray[np.uint8]:
    """32 training digits, UINT8 [32,32,32,3]."""
    batches = pixel_batches(spread(Digits(held_out=False), 32), digits.preprocessing, 32)
    return np.concatenate(list(batches))


@pytest.fixture(scope="session")
def _folded_digits(digits: Weights) -> bytes:
    model = traced_this_run(digits.network(), (3, *digits.preprocessing.crop)).model
    fold(model)
    return serialize(model)


@pytest.fixture
def folded_digits(_folded_digits: bytes) -> ir.Model:
    """The digits network, traced and folded; every test gets its own to change."""
    return ir.from_proto(onnx.load_from_string(_folded_digits))


@pytest.fixture(scope="session")
def conversions(
    tmp_path_factory: pytest.TempPathFactory, convert_digits: Callable[..., Conversion]
) -> Callable[..., Conversion]:
    """`conversions("int8", "uint8")`: each kind of conversion, made once in its own repository."""
    made: dict[tuple[str, str], Conversion] = {}

    def conversion(precision: str, taken: str = "uint8") -> Conversion:
        if (precision, taken) not in made:
            place = tmp_path_factory.mktemp(f"{precision}-{taken}") / "models"
            made[precision, taken] = convert_digits(place, precision, input=taken)
        return made[precision, taken]

    return conversion


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process, in an empty directory; returns code, stdout, stderr."""
    command_lines_once(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for console in (console_out, console_err):  # read at their making where it was set then
        monkeypatch.setattr(console, "_width", 200)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["resnet-convert", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run
