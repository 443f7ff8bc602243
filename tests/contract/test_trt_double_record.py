"""The record of a double's calls, and the double in the place of TensorRT."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from trt_double import Double, installed

from resnet_serve.errors import HostError
from resnet_serve.optional import optional

Make = Callable[..., Double]


class TestRecord:
    def test_calls_and_settings_in_one_order(self, double: Make) -> None:
        made = double()
        trt = made.module
        config = trt.Builder(trt.Logger()).create_builder_config()
        made.calls.clear()
        config.set_memory_pool_limit(pool_size=1 << 20, pool=trt.MemoryPoolType.WORKSPACE)
        config.builder_optimization_level = 4
        config.clear_flag(trt.BuilderFlag.TF32)
        assert [call.name for call in made.calls] == [
            "IBuilderConfig.set_memory_pool_limit",
            "IBuilderConfig.builder_optimization_level",
            "IBuilderConfig.clear_flag",
        ]
        assert made.calls[0].arguments["pool_size"] == 1 << 20
        assert made.calls[1].args == (4,)
        assert made.calls[2].on is config

    def test_the_rules_of_order_can_fail(self, double: Make) -> None:
        made = double()
        context = made.new("IExecutionContext")
        shape, run = "IExecutionContext.set_input_shape", "IExecutionContext.execute_async_v3"
        for _ in range(2):
            context.set_input_shape("image", (1, 3, 8, 8))
            context.execute_async_v3(7)
        made.each(shape, run)
        with pytest.raises(AssertionError, match="came after"):
            made.order(shape, run)
        context.execute_async_v3(7)
        with pytest.raises(AssertionError, match="without"):
            made.each(shape, run)
        with pytest.raises(AssertionError, match="never called"):
            made.order(shape, "IExecutionContext.infer_shapes")
        made.calls[:] = made.calls[:2]
        made.order(shape, run)


class TestInstalled:
    def test_our_stand_ins_resolve_to_it_and_back(self, double: Make) -> None:
        import resnet_serve.optional as module

        module.contract_probe = probe = optional("tensorrt", extra="tensorrt")  # type: ignore[attr-defined]
        before = sys.modules.get("tensorrt")
        try:
            first, second = double(), double()
            with installed(first):
                assert probe.Logger is first.module.Logger
            with installed(second):
                assert probe.Logger is second.module.Logger
                assert sys.modules["tensorrt"] is second.module
                with pytest.raises(AttributeError):
                    _ = probe.Loger
            assert sys.modules.get("tensorrt") is before
            if before is None:
                with pytest.raises(HostError):
                    probe.Logger()
        finally:
            del module.contract_probe  # type: ignore[attr-defined]
