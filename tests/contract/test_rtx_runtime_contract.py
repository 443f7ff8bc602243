"""The TensorRT runtime with TensorRT-RTX's own names: validity, kernels compiled at load, cache.

On a double of its real bindings and NumPy's memory; see `test_trt_runtime_contract`. What a GPU
says was seen on an H200, which TensorRT-RTX does not support (tests/gpu).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_device import MemoryDevice
from scripted_engine import PLAN
from trt_bindings import RTX, Api, describe
from trt_double import Double
from trt_loaded import CONTEXT, Loaded, check, images, loading

from resnet_serve.cuda import Gpu
from resnet_serve.errors import InputFileError

CACHE = "model.rtx.runtime-cache"
# The GPU of the double has compute capability 9.0, as the H200 has.


@pytest.fixture(scope="module")
def api() -> Api:
    return describe(RTX)


def verdict(validity: str, *reasons: str) -> Callable[..., Any]:
    def answer(runtime: Any, buffer: Any) -> tuple[Any, int]:
        import tensorrt_rtx_bindings as rtx

        assert len(buffer) == 64
        bits = rtx.EngineInvalidityDiagnostics.__members__
        return rtx.EngineValidity.__members__[validity], sum(int(bits[each]) for each in reasons)

    return answer


@pytest.fixture
def rtx(api: Api) -> Iterator[Loaded]:
    """Loads a scripted engine whose plan is valid here."""

    def double(behaviours: dict[str, Any]) -> Double:
        known = {
            "Runtime.engine_header_size": 64,
            "Runtime.get_engine_validity": verdict("VALID"),
            "IExecutionContext.is_stream_capturable": True,
            "IRuntimeCache.serialize": b"compiled kernels",
        }
        return Double(api, known | behaviours)

    with loading(double) as load:

        def loaded(behaviours: dict[str, Any] | None = None, **more: Any) -> Any:
            return load(behaviours, **{"plan": PLAN.ljust(64, b"."), **more})

        yield loaded


def test_runs_and_describes_itself(rtx: Loaded) -> None:
    model, device, trt = rtx()
    for _ in range(3):
        check(model, images(3))
    assert device.log.count("captured execute") == 1
    described = model.describe()
    assert (described["runtime"], described["version"]) == ("tensorrt-rtx", RTX)
    assert described["runtime_cache_reused"] is False
    trt.order(
        "Runtime.get_engine_validity",
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.create_runtime_config",
        "ICudaEngine.create_execution_context",
    )


def test_kernels_are_compiled_at_once_in_memory_of_the_caller(rtx: Loaded) -> None:
    model, _, trt = rtx()
    model.run(images(2))
    (strategy,) = trt.named("IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy")
    kinds = trt.module.DynamicShapesKernelSpecializationStrategy
    assert strategy.arguments["value"] == kinds.EAGER
    (allocation,) = trt.named("IRuntimeConfig.set_execution_context_allocation_strategy")
    assert allocation.args[0] == trt.module.ExecutionContextAllocationStrategy.USER_MANAGED
    (made,) = trt.named("ICudaEngine.create_execution_context")
    assert isinstance(made.args[0], trt.module.IRuntimeConfig)


def test_a_context_that_cannot_be_captured_runs_without_a_graph(rtx: Loaded) -> None:
    model, device, _ = rtx({"IExecutionContext.is_stream_capturable": False})
    for _ in range(3):
        check(model, images(3))
    assert not device.graphs
    assert device.log.count("execute") == 3


def test_compiled_kernels_are_kept_beside_the_model(rtx: Loaded, tmp_path: Path) -> None:
    plan = tmp_path / "model.rtx"
    plan.write_bytes(PLAN.ljust(64, b"."))
    model, _, trt = rtx(plan=plan)
    check(model, images(1))
    assert not trt.named("IRuntimeCache.deserialize"), "there is none yet"
    model.close()
    assert (tmp_path / CACHE).read_bytes() == b"compiled kernels"
    again, _, trt = rtx(plan=plan)
    (given,) = trt.named("IRuntimeCache.deserialize")
    assert bytes(given.args[0]) == b"compiled kernels"
    trt.order("IRuntimeCache.deserialize", "IRuntimeConfig.set_runtime_cache")
    assert again.describe()["runtime_cache_reused"] is True
    other, _, _ = rtx({"IRuntimeCache.deserialize": False}, plan=plan)
    assert other.describe()["runtime_cache_reused"] is False


def test_a_plan_in_memory_has_no_cache(rtx: Loaded, tmp_path: Path) -> None:
    model, _, trt = rtx()
    model.run(images(1))
    model.close()
    assert not trt.named("IRuntimeCache.serialize")


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("VERSION_MISMATCH", "built by another version of TensorRT-RTX"),
        ("UNSUPPORTED_CC", "the engine cannot run on this GPU, which has compute capability 9.0"),
        ("OLD_CUDA_DRIVER", "the driver of this GPU is too old"),
        ("OLD_CUDA_RUNTIME", "the CUDA runtime is too old"),
        ("INSUFFICIENT_GPU_MEMORY", "too little memory"),
        ("MALFORMED_ENGINE", "no engine, or damaged"),
        ("CUDA_ERROR", "CUDA failed"),
    ],
)
def test_why_a_plan_cannot_be_loaded(reason: str, says: str, rtx: Loaded) -> None:
    device = MemoryDevice()
    with pytest.raises(InputFileError, match=says) as refusal:
        rtx({"Runtime.get_engine_validity": verdict("INVALID", reason)}, device=device)
    assert f"TensorRT-RTX {RTX} cannot load this plan" in str(refusal.value)
    assert not device.memory


def test_a_gpu_that_it_does_not_support_is_sent_to_tensorrt(
    rtx: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    invalid = {"Runtime.get_engine_validity": verdict("INVALID", "UNSUPPORTED_CC")}
    with pytest.raises(InputFileError) as refusal:
        rtx(invalid)
    assert refusal.value.remedy == "Convert the model with --target tensorrt for this GPU."
    ada = Gpu("NVIDIA L4", "8.9", "580.1", 24.0)
    monkeypatch.setattr(MemoryDevice, "describe", lambda _: ada)
    with pytest.raises(InputFileError, match=r"capability 8\.9.* name this GPU in --for"):
        rtx(invalid)


def test_every_reason_is_said_and_a_suboptimal_plan_is_loaded(rtx: Loaded) -> None:
    both = verdict("INVALID", "OLD_CUDA_DRIVER", "UNSUPPORTED_CC")
    with pytest.raises(InputFileError, match=r"capability 9\.0; the driver .* too old"):
        rtx({"Runtime.get_engine_validity": both})
    with pytest.raises(InputFileError, match="not valid here"):
        rtx({"Runtime.get_engine_validity": verdict("INVALID")})
    model, _, trt = rtx({"Runtime.get_engine_validity": verdict("SUBOPTIMAL")})
    check(model, images(1))
    assert trt.named(f"{CONTEXT}.execute_async_v3")


def test_a_plan_that_is_valid_and_still_not_loaded(rtx: Loaded) -> None:
    with pytest.raises(InputFileError, match="It was built by another TensorRT-RTX"):
        rtx({"Runtime.deserialize_cuda_engine": lambda *_: None})
