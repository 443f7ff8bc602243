"""The double refuses what the bindings refuse, returns what they would, and records every call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trt_bindings import Api
from trt_double import Double

Make = Callable[..., Double]


@pytest.fixture
def trt(double: Make) -> Any:
    return double().module


@pytest.fixture
def config(trt: Any) -> Any:
    return trt.Builder(trt.Logger()).create_builder_config()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda trt, config: trt.Bulider,
        lambda trt, config: config.set_flg,
        lambda trt, config: trt.BuilderFlag.NOPE,
        lambda trt, config: setattr(config, "optimization_level", 3),
        lambda trt, config: setattr(config, "num_optimization_profiles", 3),
        lambda trt, config: trt.Builder(trt.Logger()).gpu_allocator,
        lambda trt, config: trt.Dims((1, 2)).shape,
    ],
)
def test_what_the_bindings_do_not_have(wrong: Any, trt: Any, config: Any) -> None:
    with pytest.raises(AttributeError):
        wrong(trt, config)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda trt, config: config.set_flag(),
        lambda trt, config: config.set_flag(trt.BuilderFlag.TF32, True),
        lambda trt, config: config.set_flag(flags=trt.BuilderFlag.TF32),
        lambda trt, config: config.set_flag(trt.BuilderFlag.TF32, flag=trt.BuilderFlag.TF32),
        lambda trt, config: config.set_flag(7),
        lambda trt, config: config.set_flag(trt.MemoryPoolType.WORKSPACE),
        lambda trt, config: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5),
        lambda trt, config: setattr(config, "builder_optimization_level", "three"),
        lambda trt, config: trt.Builder(),
        lambda trt, config: trt.Builder(logger=None),
        lambda trt, config: trt.IBuilderConfig(),
        lambda trt, config: 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED,
        lambda trt, config: list(trt.BuilderFlag),
        lambda trt, config: trt.Dims((1, 2)) == trt.Dims((1, 2)),
        lambda trt, config: trt.get_builder_plugin_registry(arg0=trt.EngineCapability.STANDARD),
    ],
)
def test_a_call_that_does_not_fit(wrong: Any, trt: Any, config: Any) -> None:
    with pytest.raises(TypeError):
        wrong(trt, config)


def test_what_only_tensorrt_makes_says_so(trt: Any) -> None:
    with pytest.raises(TypeError, match="IBuilderConfig: No constructor defined!"):
        trt.IBuilderConfig()


def test_the_numbers_are_those_of_the_version(double: Make, api: Api) -> None:
    made = double()
    trt = made.module
    old = api.version.startswith("10.")
    assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == (1 if old else 0)
    assert int(trt.BuilderFlag.VERSION_COMPATIBLE) == (13 if old else 12)
    assert hasattr(trt.BuilderFlag, "FP16") == old
    assert repr(trt.BuilderFlag.DEBUG) == f"<BuilderFlag.DEBUG: {int(trt.BuilderFlag.DEBUG)}>"
    assert trt.float16 == trt.DataType.HALF != trt.DataType.FLOAT
    assert trt.DataType.HALF.itemsize == 2
    assert trt.nptype(trt.float16) is np.float16
    assert trt.Logger.WARNING == trt.ILogger.Severity.WARNING == trt.Logger.Severity(2)
    assert trt.__version__ == api.version
    tensor = made.new("ITensor")
    if old:
        tensor.dtype = trt.float16
    else:
        with pytest.raises(AttributeError):
            tensor.dtype = trt.float16


def test_every_class_can_be_made_by_tensorrt(double: Make, api: Api) -> None:
    made = double()
    for name, described in api.classes.items():
        if described.enum:
            continue
        thing = made.new(name)
        for attribute, about in described.properties.items():
            if about.readable:
                getattr(thing, attribute)
        for method in described.methods:
            assert callable(getattr(thing, method))


class TestDeriving:
    def test_the_base_constructor_must_be_called(self, trt: Any) -> None:
        class Forgetful(trt.ILogger):
            def __init__(self) -> None:
                pass

        with pytest.raises(TypeError, match=r"ILogger.__init__\(\) must be called when overriding"):
            Forgetful()

    def test_a_logger_is_taken(self, double: Make) -> None:
        made = double()
        trt = made.module

        class Log(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)
                self.said: list[str] = []

            def log(self, severity: Any, msg: str) -> None:
                self.said.append(msg)

        log = Log()
        trt.Builder(log)
        made.named("Builder.__init__")[0].arguments["logger"].log(trt.Logger.ERROR, "no memory")
        assert log.said == ["no memory"]

    def test_a_monitor_is_told_by_a_behaviour(self, double: Make) -> None:
        def build(self: Any, network: Any, config: Any) -> bytes | None:
            config.progress_monitor.phase_start("build", None, 2)
            done = config.progress_monitor.step_complete("build", 0)
            return b"plan" if done else None

        trt = double({"Builder.build_serialized_network": build}).module

        phases: list[Any] = []

        class Monitor(trt.IProgressMonitor):
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                phases.append((phase_name, parent_phase, num_steps))

            def step_complete(self, phase_name: str, step: int) -> bool:
                return False

        builder = trt.Builder(trt.Logger())
        config = builder.create_builder_config()
        config.progress_monitor = Monitor()
        assert builder.build_serialized_network(builder.create_network(), config) is None
        assert phases == [("build", None, 2)]


class TestAnswers:
    def test_neutral(self, trt: Any) -> None:
        builder = trt.Builder(trt.Logger())
        network = builder.create_network()
        parser = trt.OnnxParser(network, trt.Logger())
        assert isinstance(network, trt.INetworkDefinition)
        assert parser.parse(b"") is True
        assert parser.num_errors == 0
        assert (
            builder.create_builder_config().add_optimization_profile(
                builder.create_optimization_profile()
            )
            == 0
        )
        assert list(network.get_input(0).shape) == []

    def test_said_by_the_test(self, double: Make) -> None:
        made = double(
            {
                "ICudaEngine.num_io_tensors": 2,
                "ICudaEngine.get_tensor_name": lambda self, index: ("image", "logits")[index],
                "ICudaEngine.get_tensor_shape": (-1, 3, 8, 8),
                "ICudaEngine.get_tensor_profile_shape": [(1, 3), (2, 3), (4, 3)],
                "Runtime.deserialize_cuda_engine": None,
            }
        )
        engine = made.new("ICudaEngine")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        assert names == ["image", "logits"]
        shape = engine.get_tensor_shape("image")
        assert isinstance(shape, made.module.Dims)
        assert (tuple(shape), shape[1:], len(shape)) == ((-1, 3, 8, 8), (3, 8, 8), 4)
        assert shape == (-1, 3, 8, 8)
        assert [d[0] for d in engine.get_tensor_profile_shape("image", 0)] == [1, 2, 4]
        runtime = made.module.Runtime(made.module.Logger())
        assert runtime.deserialize_cuda_engine(b"broken") is None

    def test_a_property_keeps_what_was_set(self, config: Any, trt: Any) -> None:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED

    def test_a_plan_is_a_buffer_and_nothing_else(self, double: Make, tmp_path: Path) -> None:
        made = double({"Builder.build_serialized_network": b"plan"})
        trt = made.module
        builder = trt.Builder(trt.Logger())
        plan = builder.build_serialized_network(
            builder.create_network(), builder.create_builder_config()
        )
        (tmp_path / "model.plan").write_bytes(plan)
        assert (tmp_path / "model.plan").read_bytes() == bytes(plan) == b"plan"
        assert (memoryview(plan).nbytes, plan.nbytes, bool(plan)) == (4, 4, True)
        with pytest.raises(TypeError):
            len(plan)
        with pytest.raises(AttributeError):
            plan.decode()

    def test_a_constructor_may_fail(self, double: Make) -> None:
        def no_gpu(self: Any, logger: Any) -> None:
            raise TypeError("pybind11::init(): factory function returned nullptr")

        trt = double({"Builder.__init__": no_gpu}).module
        with pytest.raises(TypeError, match="nullptr"):
            trt.Builder(trt.Logger())

    @pytest.mark.parametrize("name", ["Bulider.reset", "Builder.rest", "nptyp", "Builder", "I.x.y"])
    def test_a_name_that_does_not_exist_is_refused(self, name: str, double: Make) -> None:
        with pytest.raises(ValueError, match="has no"):
            double({name: True})
        with pytest.raises(ValueError, match="has no"):
            double().named(name)

    def test_an_answer_that_the_bindings_never_give_is_refused(self, double: Make) -> None:
        made = double({"OnnxParser.num_errors": "none"})
        with pytest.raises(TypeError, match="num_errors answers 'none'"):
            _ = made.new("OnnxParser").num_errors
