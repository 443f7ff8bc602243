"""The engine builder against the real bindings' names, signatures and order of calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from memory_device import GPU
from trt_double import Double, installed

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import Engine, build
from resnet_serve.errors import ConversionError, HostError
from resnet_serve.runtimes.profiles import Profile

OPTIONS = BuildOptions((Profile(1, 8, 32),))
ONNX = b"the bytes of a model"
Build = Callable[..., tuple[Engine, Double]]


@pytest.fixture
def building(double: Callable[..., Double], tmp_path: Path) -> Iterator[Build]:
    """Builds against a double of each version; `behaviours` replace what it does."""
    with ExitStack() as stack:

        def start(
            options: BuildOptions = OPTIONS,
            behaviours: Mapping[str, Any] | None = None,
            **more: Any,
        ) -> tuple[Engine, Double]:
            trt = double(
                {
                    "ITensor.name": "image",
                    "ITensor.shape": (-1, 224, 224, 3),
                    "Builder.build_serialized_network": b"a plan",
                    "ITimingCache.serialize": b"timings",
                    **(behaviours or {}),
                }
            )
            stack.enter_context(installed(trt))
            return build(ONNX, options, GPU, cache=tmp_path / "timing", **more), trt

        yield start


def logged(*lines: str) -> dict[str, Any]:
    """A build that returns nothing, after TensorRT has said why."""

    def fail(builder: Any, network: Any, config: Any) -> None:
        import tensorrt as trt

        log = builder_logs[id(builder)]
        for line in lines:
            log.log(trt.ILogger.Severity.ERROR, line)

    builder_logs: dict[int, Any] = {}

    def keep(builder: Any, logger: Any) -> None:
        builder_logs[id(builder)] = logger

    return {"Builder.__init__": keep, "Builder.build_serialized_network": fail}


def test_the_plan_and_what_built_it(building: Build, api: Any) -> None:
    engine, trt = building()
    assert engine.plan == b"a plan"
    assert engine.version == api.version
    assert engine.gpu is GPU
    assert (engine.timing_cache_reused, engine.notes) == (False, ())
    (parsed,) = trt.named("OnnxParser.parse")
    assert bytes(parsed.arguments["model"]) == ONNX


def test_the_network_is_strongly_typed_by_name(building: Build) -> None:
    _, trt = building()
    (made,) = trt.named("Builder.create_network")
    bit = int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert made.arguments["flags"] == 1 << bit
    assert bit == (0 if trt.api.version.startswith("11") else 1), "the number moved in 11"


def test_everything_is_set_before_the_build(building: Build) -> None:
    _, trt = building()
    trt.order(
        "Builder.create_network",
        "OnnxParser.parse",
        "IBuilderConfig.builder_optimization_level",
        "IOptimizationProfile.set_shape",
        "IBuilderConfig.add_optimization_profile",
        "IBuilderConfig.set_timing_cache",
        "IBuilderConfig.progress_monitor",
        "Builder.build_serialized_network",
        "IBuilderConfig.get_timing_cache",
    )


def test_tf32_is_cleared_and_the_details_are_asked_for(building: Build) -> None:
    _, trt = building()
    (cleared,) = trt.named("IBuilderConfig.clear_flag")
    assert cleared.arguments["flag"] == trt.module.BuilderFlag.TF32
    (verbosity,) = trt.named("IBuilderConfig.profiling_verbosity")
    assert verbosity.arguments["value"] == trt.module.ProfilingVerbosity.DETAILED
    assert trt.named("IBuilderConfig.set_flag") == []
    assert trt.named("IBuilderConfig.set_memory_pool_limit") == []


def test_every_profile_has_its_shapes(building: Build) -> None:
    rows = (Profile(1, 1, 4), Profile(4, 16, 64))
    _, trt = building(BuildOptions(rows))
    shapes = [
        tuple(next(iter(call.arguments[bound])) for bound in ("min", "opt", "max"))
        for call in trt.named("IOptimizationProfile.set_shape")
    ]
    assert shapes == [(1, 1, 4), (4, 16, 64)]
    assert {call.arguments["input"] for call in trt.named("IOptimizationProfile.set_shape")} == {
        "image"
    }
    trt.each("IOptimizationProfile.set_shape", "IBuilderConfig.add_optimization_profile")


def test_the_options_reach_the_builder(building: Build) -> None:
    options = BuildOptions(
        OPTIONS.profiles, workspace_mib=512, level=5, hardware="ampere+", version_compatible=True
    )
    _, trt = building(options)
    (limit,) = trt.named("IBuilderConfig.set_memory_pool_limit")
    assert list(limit.args) == [trt.module.MemoryPoolType.WORKSPACE, 512 * 2**20]
    (level,) = trt.named("IBuilderConfig.builder_optimization_level")
    assert level.arguments["value"] == 5
    (flag,) = trt.named("IBuilderConfig.set_flag")
    assert flag.arguments["flag"] == trt.module.BuilderFlag.VERSION_COMPATIBLE
    (hardware,) = trt.named("IBuilderConfig.hardware_compatibility_level")
    assert hardware.arguments["value"] == trt.module.HardwareCompatibilityLevel.AMPERE_PLUS


def test_the_same_compute_capability(building: Build) -> None:
    _, trt = building(BuildOptions(OPTIONS.profiles, hardware="same"))
    (hardware,) = trt.named("IBuilderConfig.hardware_compatibility_level")
    levels = trt.module.HardwareCompatibilityLevel
    assert hardware.arguments["value"] == levels.SAME_COMPUTE_CAPABILITY


def test_timings_are_kept_for_the_next_build_of_this_tensorrt_and_gpu(
    building: Build, tmp_path: Path, api: Any
) -> None:
    first, _ = building()
    (kept,) = (tmp_path / "timing").iterdir()
    assert kept.read_bytes() == b"timings"
    assert api.version in kept.name
    assert "NumPy-sm9-0" in kept.name
    second, trt = building()
    assert (first.timing_cache_reused, second.timing_cache_reused) == (False, True)
    (given,) = trt.named("IBuilderConfig.create_timing_cache")
    assert bytes(given.args[0]) == b"timings"
    (call,) = trt.named("IBuilderConfig.set_timing_cache")
    assert call.arguments["ignore_mismatch"] is False


def test_a_timing_cache_tensorrt_refuses_is_made_anew_and_said(
    building: Build, tmp_path: Path
) -> None:
    building()
    answers = iter([False, True])
    engine, _ = building(behaviours={"IBuilderConfig.set_timing_cache": lambda *_: next(answers)})
    assert not engine.timing_cache_reused
    (note,) = engine.notes
    assert "refused the timing cache" in note


def test_progress_reaches_the_caller(building: Build) -> None:
    shown: list[tuple[int, int]] = []

    def run(builder: Any, network: Any, config: Any) -> bytes:
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, 2)
        assert monitor.step_complete("Building Engine", 0)
        monitor.phase_start("Tactics", "Building Engine", 4)
        assert monitor.step_complete("Tactics", 0)
        monitor.phase_finish("Tactics")
        assert monitor.step_complete("Building Engine", 1)
        monitor.phase_finish("Building Engine")
        return b"a plan"

    building(
        behaviours={"Builder.build_serialized_network": run},
        progress=lambda done, total: shown.append((done, total)),
    )
    assert shown == [(500, 1000), (625, 1000), (1000, 1000)]


def test_ctrl_c_stops_the_build(building: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    started, steps = threading.Event(), []

    def run(builder: Any, network: Any, config: Any) -> None:
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, 1_000_000)
        assert threading.current_thread() is not threading.main_thread()
        started.set()
        while monitor.step_complete("Building Engine", len(steps)):
            steps.append(1)
            threading.Event().wait(0.001)

    def interrupt(done: int, total: int) -> None: ...

    import concurrent.futures

    honest = concurrent.futures.Future.result

    def result(future: Any, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            assert started.wait(10)
            raise KeyboardInterrupt
        return honest(future, timeout)

    monkeypatch.setattr(concurrent.futures.Future, "result", result)
    with pytest.raises(KeyboardInterrupt):
        building(behaviours={"Builder.build_serialized_network": run}, progress=interrupt)
    assert not [t for t in threading.enumerate() if t.name.startswith("tensorrt-build")]


def test_a_layer_tensorrt_refuses_is_named_in_pytorchs_words(building: Build) -> None:
    with pytest.raises(ConversionError) as refusal:
        building(
            behaviours={
                "OnnxParser.parse": False,
                "OnnxParser.num_errors": 2,
                "ParserError.node_name": "layer3.4.conv2",
                "ParserError.node_operator": "Conv",
                "ParserError.desc": "Assertion failed:\n  kernel is odd",
            }
        )
    text = str(refusal.value)
    assert refusal.value.exit_code == 5
    assert "tensorrt: layer3.4.conv2 (Conv)" in text
    assert "Assertion failed: kernel is odd (and 1 more)" in text


def test_a_graph_that_is_no_onnx(building: Build) -> None:
    with pytest.raises(ConversionError, match="cannot read the graph"):
        building(behaviours={"OnnxParser.parse": False, "OnnxParser.num_errors": 0})


def test_out_of_gpu_memory_is_said_with_what_to_do(building: Build) -> None:
    lines = ("[virtualMemoryBuffer.cpp] CUDA error: out of memory", "Build failed")
    with pytest.raises(HostError, match=r"GPU memory ran out.*--workspace") as refusal:
        building(behaviours=logged(*lines))
    assert refusal.value.exit_code == 4


def test_a_build_without_a_plan_says_tensorrts_last_words(building: Build) -> None:
    with pytest.raises(ConversionError, match="Could not find any implementation for node conv1"):
        building(behaviours=logged("Could not find any implementation for node conv1"))
    with pytest.raises(ConversionError, match="logged no reason"):
        building(behaviours=logged())


def test_no_usable_gpu(building: Build) -> None:
    def nothing(builder: Any, logger: Any) -> None:
        import tensorrt as trt

        logger.log(trt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(HostError, match=r"cannot use this host's GPU \(CUDA init.*nvidia-smi"):
        building(behaviours={"Builder.__init__": nothing})


def test_a_profile_tensorrt_refuses(building: Build) -> None:
    with pytest.raises(ConversionError, match="refuses the batch profile 1:8:32"):
        building(behaviours={"IBuilderConfig.add_optimization_profile": -1})
