"""The TensorRT runtime against the real bindings' names and signatures, on NumPy's memory.

The double refuses what the bindings of each version do not have; the scripted engine refuses what
TensorRT leaves undefined. Neither shows whether an engine is fast, or right.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from memory_device import GPU, MemoryDevice
from scripted_engine import PLAN, ScriptedEngine
from trt_double import Double, installed
from trt_loaded import CONTEXT, Loaded, check, images

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.runtimes import tensorrt as runtime
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT
from resnet_serve.runtimes.tensorrt_log import Log


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
        log = Log(TENSORRT)
        assert (log.errors, log.last_error) == ([], "")
        severity = trt.module.ILogger.Severity
        for kind in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"):
            log.logger.log(getattr(severity, kind), f"{kind}:\n  it\tis so")
        assert log.errors == ["ERROR: it is so", "INTERNAL_ERROR: it is so"]
        assert log.last_error == "INTERNAL_ERROR: it is so"
        assert re.fullmatch(r"1[01]\.\d+\.\d+\.\d+", TENSORRT.version())
