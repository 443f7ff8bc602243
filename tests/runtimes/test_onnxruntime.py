"""ONNX Runtime in process: the verbs, the refusals, what it compiled, and idle threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from resnet_serve.errors import InputFileError
from resnet_serve.runtimes import onnxruntime as runtime


def model_bytes(text: str, **constants: np.ndarray) -> bytes:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\nresnet {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return proto.SerializeToString()


TWO_OUTPUTS = "(float[N,2] x) => (float[N,2] y, float[N,2] z) { y = Relu (x) z = Neg (x) }"
X = np.array([[1, -2]], np.float32)


def test_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(TWO_OUTPUTS))
    for source in (path, model_bytes(TWO_OUTPUTS)):
        with runtime.load(source, threads=1) as model:
            np.testing.assert_array_equal(model.run(X), [[1, 0]])


def test_every_output_or_the_named_ones() -> None:
    with runtime.load(model_bytes(TWO_OUTPUTS), threads=1) as model:
        assert model.output_names == ("y", "z")
        answers = model.run_all(X)
        assert list(answers) == ["y", "z"]
        np.testing.assert_array_equal(answers["z"], [[-1, 2]])
    with runtime.load(model_bytes(TWO_OUTPUTS), threads=1, outputs=("z",)) as model:
        np.testing.assert_array_equal(model.run(X), [[-1, 2]])
        assert list(model.run_all(X)) == ["z"]


def test_further_inputs() -> None:
    text = "(float[N,2] x, float[N,2] other) => (float[N,2] y) { y = Add (x, other) }"
    with runtime.load(model_bytes(text), threads=1) as model:
        np.testing.assert_array_equal(model.run_all(X, {"other": 10 * X})["y"], 11 * X)


def test_sessions_with_the_shared_arena_leave_outputs_that_are_still_held_alone() -> None:
    large = np.random.default_rng(0).normal(size=(2**16, 2)).astype(np.float32)
    source = model_bytes(TWO_OUTPUTS)
    with (
        runtime.load(source, threads=1, shared_arena=True) as one,
        runtime.load(source, threads=1, shared_arena=True) as other,
    ):
        held = one.run_all(large)
        for number in range(3):
            np.testing.assert_array_equal(other.run_all(number * large)["z"], -number * large)
            np.testing.assert_array_equal(held["z"], -large)
            np.testing.assert_array_equal(held["y"], np.maximum(large, 0))
    np.testing.assert_array_equal(held["z"], -large)


def broken(folder: Path) -> dict[str, Path | bytes]:
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("this is no model")
    whole = model_bytes(TWO_OUTPUTS)
    (folder / "short.onnx").write_bytes(whole[: len(whole) // 2])
    return {
        "missing": folder / "missing.onnx",
        "a folder": folder,
        "empty": folder / "empty.onnx",
        "text": folder / "text.onnx",
        "cut short": folder / "short.onnx",
        "bytes": b"nonsense",
        "unknown operator": model_bytes("(float[N] x) => (float[N] y) { y = Nonsense (x) }"),
    }


@pytest.mark.parametrize(
    "kind", ["missing", "a folder", "empty", "text", "cut short", "bytes", "unknown operator"]
)
def test_what_is_no_model_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    source = broken(tmp_path)[kind]
    with pytest.raises(InputFileError, match="ONNX Runtime cannot load it") as refusal:
        runtime.load(source, threads=1)
    assert "\n" not in str(refusal.value)
    if isinstance(source, Path):
        assert refusal.value.where == str(source)


def test_what_runs_is_counted_after_the_optimizer() -> None:
    """Conv and Relu fuse; a chain of Identity disappears."""
    text = """(float[N,3,8,8] x) => (float[N,4,8,8] y) {
        a = Conv <pads = [1,1,1,1]> (x, w)
        b = Relu (a)
        c = Identity (b)
        y = Neg (c)
    }"""
    weight = np.ones((4, 3, 3, 3), np.float32)
    data = model_bytes(text, w=weight)
    found = runtime.compiled(data).operators
    assert found["Neg"] == 1
    assert not found["Identity"] + found["Relu"]
    assert found["Conv"] + found["FusedConv"] == 1
    with runtime.load(data, threads=1) as model:
        described = model.describe()
    assert described["operators"] == dict(found)
    assert (described["runtime"], described["threads"]) == ("onnxruntime", 1)
    assert described["providers"] == ["CPUExecutionProvider"]


def test_counting_takes_raw_pixels_too_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """(uint8[N,4,4,3] x) => (float[N,4,4,3] y) { a = Cast <to = 1> (x) y = Neg (a) }"""
    assert runtime.compiled(model_bytes(text)).operators == {"Cast": 1, "Neg": 1}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def heavy() -> bytes:
    text = """(float[N,64,64,64] x) => (float[N,64,64,64] y) {
        a = Conv <pads = [1,1,1,1]> (x, w) y = Conv <pads = [1,1,1,1]> (a, w)
    }"""
    return model_bytes(text, w=np.ones((64, 64, 3, 3), np.float32))


def test_threads_rest_between_runs(heavy: bytes) -> None:
    """Threads that spin on would slow PyTorch, which is measured in turn with them."""
    with runtime.load(heavy, threads=4) as model:
        x = np.zeros((1, 64, 64, 64), np.float32)
        spent = []
        for _ in range(8):
            model.run(x)
            before = time.process_time()
            time.sleep(0.02)
            spent.append(time.process_time() - before)
    assert np.median(spent) < 0.005


def test_closing(heavy: bytes) -> None:
    model = runtime.load(heavy, threads=1)
    model.close()
    with pytest.raises(AttributeError):
        model.run(np.zeros((1, 64, 64, 64), np.float32))


def test_a_wrong_batch_is_the_callers_error(
    heavy: bytes, subtests: Callable[..., object] | None = None
) -> None:
    with runtime.load(heavy, threads=1) as model, pytest.raises(Exception, match="Got: 63"):
        model.run(np.zeros((1, 63, 64, 64), np.float32))
