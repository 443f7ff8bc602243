"""OpenVINO in process: the verbs, the refusals, and what it compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import openvino
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from patience import PATIENCE_S
from quantized import calibrated, normal, residual, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_serve import host
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import openvino as runtime
from resnet_serve.runtimes.compiled import NOT_FOUND

CHANNELS = 16
IMAGES = normal(5, CHANNELS, 6, 6, seed=98)
LAYERS = ["conv1", "block_conv1", "block_conv2", "down_conv1", "down_conv2", "down_projection"]
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
RELU = "(float[N,2] x) => (float[N,2] y) { y = Relu (x) }"


def graph(text: str, **constants: NDArray[Any]) -> ir.Model:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nresnet {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def fp32() -> ir.Model:
    return residual(graph, CHANNELS)


def fp16() -> ir.Model:
    model = fp32()
    halve(model)
    return model


def u8s8() -> ir.Model:
    model = fp32()
    calibrated(model, normal(8, CHANNELS, 6, 6, seed=99))
    return model


def s8s8() -> ir.Model:
    return symmetric_residual(graph, channels=CHANNELS)


def reference(model: ir.Model) -> NDArray[np.float32]:
    with onnxruntime_runtime.load(serialize(model), threads=1) as session:
        return session.run(IMAGES)


wide_sums = pytest.mark.skipif(
    not host.describe().fast_int8, reason="without VNNI, sums of s8 × s8 products saturate"
)


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [(fp32, 1e-4), (fp16, 2e-2), (u8s8, 0.15), pytest.param(s8s8, 0.15, marks=wide_sums)],
)
def test_every_dialect_computes_as_onnx_runtime(
    make: Callable[[], ir.Model], tolerance: float
) -> None:
    """INT8 rounds a few activations to the neighbouring step of the same scale."""
    model = make()
    expected = reference(model)
    with runtime.load(serialize(model), threads=1) as loaded:
        for count in (1, 5, 2):
            logits = loaded.run(IMAGES[:count])
            assert logits.dtype == np.float32
            np.testing.assert_allclose(logits, expected[:count], atol=tolerance)
        names = [each.name for each in model.graph.outputs]
        assert list(loaded.run_all(IMAGES)) == names  # also after compiling removed the last cast


def test_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(serialize(graph(RELU)))
    for source in (path, serialize(graph(RELU))):
        with runtime.load(source, threads=1) as model:
            np.testing.assert_array_equal(model.run(np.array([[1, -2]], np.float32)), [[1, 0]])


def test_an_answer_outlives_the_next_run() -> None:
    with runtime.load(serialize(graph(RELU)), threads=1) as model:
        first = model.run(np.array([[1, 2]], np.float32))
        model.run(np.array([[3, 4]], np.float32))
    np.testing.assert_array_equal(first, [[1, 2]])


@pytest.mark.parametrize("layout", ["read-only", "every second row", "reversed"])
def test_a_batch_may_lie_in_memory_as_it_likes(layout: str) -> None:
    x = np.arange(12, dtype=np.float32).reshape(6, 2) - 5
    if layout == "read-only":
        x.flags.writeable = False
    batch = {"read-only": x, "every second row": x[::2], "reversed": x[::-1]}[layout]
    with runtime.load(serialize(graph(RELU)), threads=1) as model:
        np.testing.assert_array_equal(model.run(batch), np.maximum(batch, 0))


def test_fp32_is_fp32_unless_bf16_is_asked_for() -> None:
    """OpenVINO by itself computes in BF16 where the CPU has it."""
    model = fp32()
    expected = reference(model)
    with runtime.load(serialize(model), threads=1) as loaded:
        assert loaded.describe()["inference_precision"] == "f32"
        exact = np.abs(loaded.run(IMAGES) - expected).max()
    assert exact < 1e-5
    found = runtime.compiled(serialize(model), "int8").convolutions
    assert found == dict.fromkeys(LAYERS, "fp32")
    assert runtime.compiled(serialize(model), "fp32").convolutions is None


@pytest.mark.skipif(not HAS_BF16, reason="this CPU has no BF16 instructions")
def test_bf16() -> None:
    model = fp32()
    expected = reference(model)
    with runtime.load(serialize(model), threads=1, precision="bf16") as loaded:
        assert loaded.describe()["inference_precision"] == "bf16"
        rounded = np.abs(loaded.run(IMAGES) - expected).max()
    assert 1e-4 < rounded < 0.2
    found = runtime.compiled(serialize(model), "bf16").convolutions
    assert found == dict.fromkeys(LAYERS, "bf16")


def test_bf16_is_refused_where_it_would_be_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older(openvino.Core):
        def get_property(self, device: str, name: str) -> Any:
            return (
                ["FP32", "INT8"] if "CAPABILITIES" in name else super().get_property(device, name)
            )

    monkeypatch.setattr(openvino, "Core", Older)
    with pytest.raises(HostError, match=r"no BF16 instructions .*--precision fp32"):
        runtime.load(serialize(graph(RELU)), threads=1, precision="bf16")


def broken(folder: Path) -> dict[str, Path | bytes]:
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("this is no model")
    whole = serialize(fp32())
    (folder / "short.onnx").write_bytes(whole[: len(whole) // 2])
    nonsense = "(float[N] x) => (float[N] y) { y = Nonsense (x) }"
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nm {nonsense}')
    return {
        "missing": folder / "missing.onnx",
        "a folder": folder,
        "empty": folder / "empty.onnx",
        "text": folder / "text.onnx",
        "cut short": folder / "short.onnx",
        "bytes": b"nonsense",
        "no bytes": b"",
        "unknown operator": proto.SerializeToString(),
    }


@pytest.mark.parametrize(
    "kind",
    ["missing", "a folder", "empty", "text", "cut short", "bytes", "no bytes", "unknown operator"],
)
def test_what_is_no_model_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    source = broken(tmp_path)[kind]
    with pytest.raises(InputFileError, match="OpenVINO cannot load it") as refusal:
        runtime.load(source, threads=1)
    assert "\n" not in str(refusal.value)
    assert "src/" not in str(refusal.value)
    assert refusal.value.where == (str(source) if isinstance(source, Path) else "model")
    if kind == "unknown operator":
        assert "Nonsense" in str(refusal.value)


@pytest.mark.parametrize("make", [u8s8, s8s8])
def test_every_convolution_of_a_quantized_network_runs_int8(make: Callable[[], ir.Model]) -> None:
    data = serialize(make())
    found = runtime.compiled(data, "int8")
    assert found.convolutions == dict.fromkeys(LAYERS, "int8")
    assert found.operators["Convolution int8"] == len(LAYERS)
    assert not [kind for kind in found.operators if kind.startswith(("Eltwise", "Const"))]


def test_a_convolution_left_in_float_is_named() -> None:
    """`down_conv2` loses the pair in front of it; what is around it stays INT8."""
    model = u8s8()
    convolution = next(node for node in model.graph if node.name == "down_conv2")
    pair = convolution.inputs[0].producer()
    convolution.replace_input_with(0, pair.inputs[0].producer().inputs[0])
    found = dict(runtime.compiled(serialize(model), "int8").convolutions or {})
    assert found.pop("down_conv2") == "fp32"
    assert set(found.values()) == {"int8"}


def test_a_convolution_computed_beforehand_is_not_found() -> None:
    text = """(float[N,4,2,2] x) => (float[N,4,2,2] y) {
        [constant] a = Conv (image, w)
        [layer] b = Conv (x, w)
        y = Add (a, b)
    }"""
    model = graph(text, image=normal(1, 4, 2, 2), w=normal(4, 4, 1, 1))
    found = runtime.compiled(serialize(model), "int8").convolutions
    assert found == {"constant": NOT_FOUND, "layer": "fp32"}


def test_what_ran_is_counted_after_fusion() -> None:
    """Conv and Relu fuse; a chain of Identity disappears."""
    text = """(float[N,3,8,8] x) => (float[N,4,8,8] y) {
        [layer] a = Conv <pads = [1,1,1,1]> (x, w)
        b = Relu (a)
        c = Identity (b)
        y = Identity (c)
    }"""
    data = serialize(graph(text, w=np.ones((4, 3, 3, 3), np.float32)))
    found = runtime.compiled(data, "int8")
    assert found.convolutions == {"layer": "fp32"}
    assert found.operators["Convolution fp32"] == 1
    assert {kind.partition(" ")[0] for kind in found.operators} <= {"Convolution", "Reorder"}


def test_describes_itself() -> None:
    data = serialize(u8s8())
    with runtime.load(data, threads=2, streams=2, throughput=True) as model:
        described = model.describe()
    assert (described["runtime"], described["threads"], described["streams"]) == ("openvino", 2, 2)
    assert str(described["version"])[:2] == "20"
    assert described["operators"] == dict(runtime.compiled(data).operators)


def test_raw_pixels() -> None:
    text = "(uint8[N,4,4,3] x) => (float[N,4,4,3] y) { a = Cast <to = 1> (x) y = Neg (a) }"
    data = serialize(graph(text))
    with runtime.load(data, threads=1) as model:
        np.testing.assert_array_equal(model.run(np.full((2, 4, 4, 3), 200, np.uint8)), -200.0)
    assert runtime.compiled(data).operators


def test_threads_are_free_to_move() -> None:
    """Pinned, the instances of a model would all compute on the first cores."""
    before = os.sched_getaffinity(0)
    with runtime.load(serialize(fp32()), threads=1) as model:
        model.run(IMAGES)
        assert model.compiled.get_property("ENABLE_CPU_PINNING") is False
        tasks = [int(task) for task in os.listdir("/proc/self/task")]
        assert all(os.sched_getaffinity(task) == before for task in tasks)


def test_closing() -> None:
    model = runtime.load(serialize(graph(RELU)), threads=1)
    model.close()
    with pytest.raises(AttributeError):
        model.run(np.zeros((1, 2), np.float32))


def test_a_wrong_batch_is_the_callers_error() -> None:
    with (
        runtime.load(serialize(graph(RELU)), threads=1) as model,
        pytest.raises(RuntimeError, match="incompatible"),
    ):
        model.run(np.zeros((1, 3), np.float32))


IN_TWO_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from resnet_serve.runtimes import openvino
batch, file = np.ones((1, 2), np.float32), sys.stdin.buffer.read()
sys.setswitchinterval(1e-6)
models = [openvino.load(file, threads=1) for _ in range(2)]
with ThreadPoolExecutor(2) as pool:
    print([found.tolist() for found in pool.map(lambda model: model.run(batch), models)])
"""


def test_the_first_runs_may_be_in_two_threads_at_once() -> None:
    """In a process of its own: OpenVINO fills a table at its first run."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nm {RELU}')
    done = subprocess.run(
        [sys.executable, "-c", IN_TWO_THREADS],
        input=model.SerializeToString(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.strip() == b"[[[1.0, 1.0]], [[1.0, 1.0]]]"
