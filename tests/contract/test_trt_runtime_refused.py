"""What the TensorRT runtime refuses, in one line: batches, plans, engines, and failing calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_device import MemoryDevice
from scripted_engine import PLAN, ScriptedEngine
from trt_double import Double, installed
from trt_loaded import CONTEXT, Loaded, check, images

from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.runtimes import tensorrt as runtime


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (images(9), r"a batch of 9 is outside the engine's profiles \(1:4:8\)"),
        (images(2)[:0], "a batch of 0 is outside"),
        (images(2, "float32"), r"expects uint8 \[N,4,4,3\], not float32 \[2,4,4,3\]"),
        (images(2, sides=(3, 4, 4)), r"expects uint8 \[N,4,4,3\], not uint8 \[2,3,4,4\]"),
        (np.uint8(3), "not uint8"),
    ],
)
def test_a_wrong_batch(batch: np.ndarray, says: str, loaded: Loaded) -> None:
    model, _, trt = loaded()
    with pytest.raises(UsageError, match=says):
        model.run(np.asarray(batch))
    assert not trt.named(f"{CONTEXT}.execute_async_v3")
    check(model, images(2))


def test_a_plan_of_another_tensorrt(
    loaded: Loaded, double: Callable[..., Double], tmp_path: Path
) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(PLAN)

    def refuse(tensorrt_runtime: Any, data: bytes) -> None:
        import tensorrt as trt

        (made,) = (call for call in record if call.name == "Runtime.__init__")
        log = made.arguments["logger"]
        log.log(trt.ILogger.Severity.WARNING, "something else")
        log.log(trt.ILogger.Severity.ERROR, "IRuntime::deserialize:\n  version tag mismatch.")

    device = MemoryDevice()
    trt = double({"Runtime.deserialize_cuda_engine": refuse})
    record = trt.calls
    with installed(trt), pytest.raises(InputFileError) as refusal:
        runtime.load(plan, device=device)
    assert str(refusal.value) == (
        f"{plan}: TensorRT {trt.api.version} cannot load this plan "
        "(IRuntime::deserialize: version tag mismatch.). It was built by another TensorRT or for "
        "another GPU, or it is damaged: build it here with `resnet-convert build-plan`."
    )
    assert not device.memory
    assert device.closed == 0


@pytest.mark.parametrize(
    ("call", "result", "says"),
    [
        (f"{CONTEXT}.set_optimization_profile_async", False, "refuses the plan's own profile 0"),
        (f"{CONTEXT}.set_tensor_address", False, "refuses the memory of 'image'"),
        (f"{CONTEXT}.set_input_shape", False, r"refuses an input of \[2,4,4,3\]"),
        (f"{CONTEXT}.infer_shapes", ["image"], "cannot infer the shapes: image is unset"),
        (f"{CONTEXT}.get_tensor_shape", (2, 5), r"gives 'logits' as \[2,5\] for an input of"),
        (f"{CONTEXT}.execute_async_v3", False, "did not run the engine"),
        ("ICudaEngine.create_execution_context", None, "did not create an execution context"),
    ],
)
def test_every_refusal_is_seen(call: str, result: object, says: str, loaded: Loaded) -> None:
    answer_once: Any = result if result is not None else (lambda *_, **__: None)
    model, device, _ = loaded({call: answer_once})
    with pytest.raises(HostError, match=says) as refusal:
        model.run(images(2))
    assert "\n" not in str(refusal.value)
    assert "synchronise" not in device.log


def test_a_shape_that_failed_is_set_again(loaded: Loaded) -> None:
    answers = iter([[], ["image"], []])
    model, _, trt = loaded({f"{CONTEXT}.infer_shapes": lambda _: next(answers)}, graphs=False)
    check(model, images(2))
    with pytest.raises(HostError):
        model.run(images(3))
    check(model, images(2))
    assert len(trt.named(f"{CONTEXT}.set_input_shape")) == 3


def test_no_usable_gpu(double: Callable[..., Double]) -> None:
    def fail(*_: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    device = MemoryDevice()
    with (
        installed(double({"Runtime.__init__": fail})),
        pytest.raises(HostError, match="cannot use this host's GPU"),
    ):
        runtime.load(PLAN, device=device)


def test_gpu_memory_that_runs_out_is_given_back(loaded: Loaded) -> None:
    device = MemoryDevice(limit_bytes=1024)
    with pytest.raises(HostError, match="GPU memory ran out"):
        loaded(device=device, scratch_bytes=1024)
    assert not device.memory
    assert not device.streams


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dtype": "HALF"}, "the input 'image' is float16"),
        ({"dtype": "BF16"}, "NumPy has no type for 'image'"),
        ({"sides": (-1, 4, 3)}, "not uint8 or float32 images of one size"),
        ({"sides": (48,)}, "not uint8 or float32 images of one size"),
    ],
)
def test_an_engine_without_images(change: dict[str, Any], says: str, loaded: Loaded) -> None:
    with pytest.raises(InputFileError, match=says):
        loaded(**change)


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "says"),
    [
        ("logits", "HALF", (-1, 3), "the output 'logits' is float16"),
        ("logits", "FLOAT", (-1, 3, 1), r"not float32 \[N,channels\]"),
        ("logits", "FLOAT", (-1, -1), r"not float32 \[N,channels\]"),
        ("image2", "UINT8", (-1, 4, 4, 3), "at least one output, this engine has image, image2"),
        ("scores", "HALF", (-1, 3), "the output 'scores' is float16"),
        ("c2", "FLOAT", (-1, 16, -1, 4), r"not float32 .* or \[N,channels,H,W\] of one size"),
    ],
)
def test_an_output_that_cannot_be_served(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    says: str,
    double: Callable[..., Double],
) -> None:
    script = ScriptedEngine(MemoryDevice())
    script.shapes[name], script.dtypes[name] = shape, dtype
    with (
        installed(double(script.behaviours())),
        pytest.raises(InputFileError, match=says) as refusal,
    ):
        runtime.load(PLAN, device=script.device)
    assert refusal.value.where == "plan"
