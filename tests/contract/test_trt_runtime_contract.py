"""The TensorRT runtime against the real bindings' names and signatures, on NumPy's memory.

The double refuses what the bindings of each version do not have; the scripted engine refuses what
TensorRT leaves undefined. Neither shows whether an engine is fast, or right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_device import GPU, MemoryDevice
from scripted_engine import PLAN, ScriptedEngine, answer
from trt_double import Double, installed

from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.runtimes import tensorrt as runtime

CONTEXT = "IExecutionContext"
Loaded = Callable[..., tuple[runtime.TensorRtModel, MemoryDevice, Double]]


def images(count: int, dtype: str = "uint8", sides: tuple[int, ...] = (4, 4, 3)) -> np.ndarray:
    random = np.random.default_rng(count)
    return random.integers(0, 255, (count, *sides)).astype(dtype)


@pytest.fixture
def loaded(double: Callable[..., Double]) -> Iterator[Loaded]:
    """Loads a scripted engine; keyword arguments of both, and `behaviours` that replace some."""
    with ExitStack() as stack:

        def load(
            behaviours: dict[str, Any] | None = None,
            *,
            device: MemoryDevice | None = None,
            plan: bytes | Path = PLAN,
            graphs: bool = True,
            version_compatible: bool = False,
            use_profiles: list[int] | None = None,
            **engine: Any,
        ) -> tuple[runtime.TensorRtModel, MemoryDevice, Double]:
            device = device or MemoryDevice()
            script = ScriptedEngine(device, **engine)
            trt = double(script.behaviours() | (behaviours or {}))
            stack.enter_context(installed(trt))
            model = runtime.load(
                plan,
                device=device,
                graphs=graphs,
                version_compatible=version_compatible,
                use_profiles=use_profiles,
            )
            return stack.enter_context(model), device, trt

        yield load


def check(model: runtime.TensorRtModel, batch: np.ndarray) -> None:
    found = model.run(batch)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, answer(batch))


@pytest.mark.parametrize(
    ("dtype", "trt_dtype", "sides"),
    [("uint8", "UINT8", (4, 4, 3)), ("float32", "FLOAT", (3, 4, 4))],
)
def test_runs(dtype: str, trt_dtype: str, sides: tuple[int, ...], loaded: Loaded) -> None:
    model, _, _ = loaded(dtype=trt_dtype, sides=sides)
    for count in (1, 8, 3, 1):
        check(model, images(count, dtype, sides))


def test_an_answer_stays_when_the_next_batch_runs(loaded: Loaded) -> None:
    model, _, _ = loaded()
    first = model.run(images(2))
    kept = first.copy()
    model.run(images(2) + 1)
    np.testing.assert_array_equal(first, kept)


def test_a_batch_that_is_not_contiguous(loaded: Loaded) -> None:
    model, _, _ = loaded()
    check(model, images(8)[::2])
    check(model, images(2)[:, :, ::-1])


def test_the_order_of_calls(loaded: Loaded) -> None:
    model, device, trt = loaded()
    model.run(images(2))
    trt.order(
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.create_execution_context",
        f"{CONTEXT}.set_device_memory",
        f"{CONTEXT}.set_optimization_profile_async",
        f"{CONTEXT}.set_tensor_address",
        f"{CONTEXT}.set_input_shape",
        f"{CONTEXT}.infer_shapes",
        f"{CONTEXT}.get_tensor_shape",
        f"{CONTEXT}.execute_async_v3",
    )
    assert [call.args[0] for call in trt.named(f"{CONTEXT}.set_tensor_address")] == [
        "image",
        "logits",
    ]
    work = ["record", "copy in", "execute", "copy out", "record", "synchronise"]
    assert device.log[-6:] == work


def test_the_shapes_are_set_only_when_they_change(loaded: Loaded) -> None:
    model, _, trt = loaded(graphs=False)
    for count in (2, 2, 3, 3):
        check(model, images(count))
    assert len(trt.named(f"{CONTEXT}.set_input_shape")) == 2
    assert len(trt.named("ICudaEngine.create_execution_context")) == 1


def test_a_batch_runs_in_the_profile_that_is_tuned_for_it(loaded: Loaded) -> None:
    model, _, trt = loaded(profiles=("1:1:4", "2:8:16"), graphs=False)
    assert [str(profile) for profile in model.profiles] == ["1:1:4", "2:8:16"]
    for count in (1, 16, 2, 8):
        check(model, images(count))
    chosen = trt.named(f"{CONTEXT}.set_optimization_profile_async")
    assert [call.args[0] for call in chosen] == [0, 1]
    contexts = [call.on for call in trt.named(f"{CONTEXT}.execute_async_v3")]
    first, second = contexts[:2]
    assert contexts == [first, second, first, second]


def test_profiles_can_be_chosen(loaded: Loaded) -> None:
    model, _, trt = loaded(profiles=("1:1:4", "2:8:16"), use_profiles=[1])
    assert [str(profile) for profile in model.profiles] == ["2:8:16"]
    check(model, images(2))
    assert trt.named(f"{CONTEXT}.set_optimization_profile_async")[0].args[0] == 1
    with pytest.raises(UsageError, match="a batch of 1 is outside"):
        model.run(images(1))


@pytest.mark.parametrize("chosen", [[2], [-1], []])
def test_a_profile_that_the_engine_lacks(chosen: list[int], loaded: Loaded) -> None:
    with pytest.raises(UsageError, match="profile"):
        loaded(profiles=("1:1:4", "2:8:16"), use_profiles=chosen)


def test_a_fixed_batch_is_one_profile(loaded: Loaded) -> None:
    model, _, _ = loaded(batch=8, profiles=("8",))
    assert [str(profile) for profile in model.profiles] == ["8:8:8"]
    check(model, images(8))
    with pytest.raises(UsageError, match="a batch of 4 is outside"):
        model.run(images(4))


# --- CUDA graphs ------------------------------------------------------------------------------


def test_a_graph_is_captured_after_a_first_run_and_then_replayed(loaded: Loaded) -> None:
    model, device, trt = loaded()
    for repeat in range(4):
        check(model, images(3) + repeat)
    assert device.log.count("execute") == 1
    assert device.log.count("captured execute") == 1
    assert device.log.count("launch") == 3
    assert len(trt.named(f"{CONTEXT}.execute_async_v3")) == 2


def test_every_captured_batch_has_a_context_of_its_own(loaded: Loaded) -> None:
    model, device, trt = loaded()
    for count in (1, 2, 3) * 3:
        check(model, images(count))
    assert len(device.graphs) == 3
    assert len(trt.named("ICudaEngine.create_execution_context")) == 3
    scratch = {call.args for call in trt.named(f"{CONTEXT}.set_device_memory")}
    assert len(scratch) == 1


def test_the_number_of_graphs_is_bounded(loaded: Loaded) -> None:
    model, device, trt = loaded(profiles=("1:8:40",))
    for _ in range(3):
        for count in range(1, 21):
            check(model, images(count))
    assert len(device.graphs) == runtime.MOST_GRAPHS == 16
    assert len(trt.named("ICudaEngine.create_execution_context")) == 17


def test_no_graphs_when_none_are_wanted(loaded: Loaded) -> None:
    model, device, _ = loaded(graphs=False)
    for _ in range(3):
        check(model, images(3))
    assert device.log.count("execute") == 3
    assert not device.graphs


# --- measuring and describing -----------------------------------------------------------------


def test_timed_is_from_the_copy_in_to_the_copy_out(loaded: Loaded) -> None:
    model, _, _ = loaded()
    moments = 4.0  # of the device: start, copy in, execute, copy out
    assert [model.timed(images(2)) for _ in range(3)] == [moments] * 3


def test_inspect(loaded: Loaded) -> None:
    model, _, trt = loaded()
    assert model.inspect() == '{"Layers": []}'
    asked = trt.named("EngineInspector.get_engine_information")[0].args[0]
    assert asked == trt.module.LayerInformationFormat.JSON


def test_describe(loaded: Loaded) -> None:
    model, _, trt = loaded()
    assert model.describe() == {
        "runtime": "tensorrt",
        "version": trt.api.version,
        "gpu": GPU.to_json(),
        "profiles": ["1:4:8"],
        "graphs": True,
        "layers": 57,
        "hardware_compatibility": None,
    }


def test_a_plan_runs_its_own_code_only_when_it_is_trusted(loaded: Loaded) -> None:
    _, _, trt = loaded()
    assert not trt.named("Runtime.engine_host_code_allowed")
    _, _, trt = loaded(version_compatible=True)
    assert [call.args for call in trt.named("Runtime.engine_host_code_allowed")] == [(True,)]
    trt.order("Runtime.engine_host_code_allowed", "Runtime.deserialize_cuda_engine")


# --- what is refused --------------------------------------------------------------------------


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
        (f"{CONTEXT}.get_tensor_shape", (2, 5), r"gives \[2,5\] for an input of \[2,4,4,3\]"),
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
def test_an_engine_that_is_no_classifier(change: dict[str, Any], says: str, loaded: Loaded) -> None:
    with pytest.raises(InputFileError, match=says):
        loaded(**change)


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "says"),
    [
        ("logits", "HALF", (-1, 3), "the output 'logits' is float16"),
        ("logits", "FLOAT", (-1, 3, 1), r"not float32 \[N,classes\]"),
        ("logits", "FLOAT", (-1, -1), r"not float32 \[N,classes\]"),
        ("image2", "UINT8", (-1, 4, 4, 3), "one input and one output, this engine has image"),
        ("scores", "FLOAT", (-1, 3), "one input and one output"),
    ],
)
def test_an_output_that_is_no_logits(
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


# --- closing ----------------------------------------------------------------------------------


def test_close_gives_everything_back_once(loaded: Loaded) -> None:
    model, device, _ = loaded()
    for _ in range(3):
        model.run(images(2))
    assert device.graphs
    assert device.memory
    model.close()
    model.close()
    assert not device.graphs
    assert not device.memory
    assert not device.streams
    assert device.depth == 0
    assert device.closed == 0  # it was given
    with pytest.raises(UsageError, match="the model is closed"):
        model.run(images(2))


def test_a_device_of_its_own_is_closed_too(
    double: Callable[..., Double], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = MemoryDevice()
    monkeypatch.setattr(runtime, "open_device", lambda: device)
    with installed(double(ScriptedEngine(device).behaviours())):
        with runtime.load(PLAN) as model:
            check(model, images(1))
            assert device.closed == 0
        assert device.closed == 1
    with (
        installed(double({"Runtime.deserialize_cuda_engine": lambda *_: None})),
        pytest.raises(InputFileError),
    ):
        runtime.load(PLAN)
    assert device.closed == 2


def test_the_log_keeps_errors_as_lines(double: Callable[..., Double]) -> None:
    with installed(double({})) as trt:
        log = runtime.make_log()
        assert (log.errors, log.last_error) == ([], "")
        severity = trt.module.ILogger.Severity
        for kind in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"):
            log.log(getattr(severity, kind), f"{kind}:\n  it\tis so")
        assert log.errors == ["ERROR: it is so", "INTERNAL_ERROR: it is so"]
        assert log.last_error == "INTERNAL_ERROR: it is so"
        assert re.fullmatch(r"1[01]\.\d+\.\d+\.\d+", runtime.version())
