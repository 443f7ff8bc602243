"""The engine builder with TensorRT-RTX's own names, on a double; `test_engine_real` builds."""

from __future__ import annotations

from typing import Any

import pytest
from trt_bindings import RTX, describe
from trt_double import Double, installed

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import Engine, build
from resnet_serve.errors import ConversionError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

OPTIONS = BuildOptions((Profile(1, 8, 32),), workspace_mib=64)


def built(targets: tuple[str, ...], behaviours: dict[str, Any]) -> tuple[Engine, Double]:
    known = {
        "ITensor.name": "image",
        "ITensor.shape": (-1, 224, 224, 3),
        "Builder.build_serialized_network": b"a plan",
        "IBuilderConfig.set_compute_capability": True,
    }
    with installed(Double(describe(RTX), known | behaviours)) as trt:
        return build(b"a model", OPTIONS, targets, flavour=TENSORRT_RTX), trt


def test_every_target_is_set_before_the_build_at_an_index_of_its_own() -> None:
    engine, trt = built(("12.0", "8.6"), {})
    assert engine.targets == ("8.6", "12.0")
    assert engine.gpu is None
    (count,) = trt.named("IBuilderConfig.num_compute_capabilities")
    assert count.args == (2,)
    capabilities = trt.module.ComputeCapability
    assert [call.args for call in trt.named("IBuilderConfig.set_compute_capability")] == [
        (capabilities.SM86, 0),
        (capabilities.SM120, 1),
    ]
    trt.order(
        "IBuilderConfig.num_compute_capabilities",
        "IBuilderConfig.set_compute_capability",
        "Builder.build_serialized_network",
    )


def test_every_target_of_the_row_is_one_of_the_library() -> None:
    engine, trt = built(TENSORRT_RTX.targets, {})
    assert engine.targets == TENSORRT_RTX.targets
    given = [call.args[0].name for call in trt.named("IBuilderConfig.set_compute_capability")]
    assert given == [f"SM{target.replace('.', '')}" for target in TENSORRT_RTX.targets]
    known = set(trt.module.ComputeCapability.__members__) - {"NONE", "CURRENT"}
    assert set(given) == known


def test_what_has_no_meaning_there_is_not_called() -> None:
    _, trt = built(("8.9",), {})
    for name in (
        "IBuilderConfig.create_timing_cache",
        "IBuilderConfig.set_timing_cache",
        "IBuilderConfig.builder_optimization_level",
        "IBuilderConfig.hardware_compatibility_level",
        "IBuilderConfig.set_flag",
    ):
        assert trt.named(name) == [], name
    (cleared,) = trt.named("IBuilderConfig.clear_flag")
    assert cleared.arguments["flag"] == trt.module.BuilderFlag.TF32
    assert trt.named("IBuilderConfig.set_memory_pool_limit")


def test_a_target_that_the_builder_refuses() -> None:
    with pytest.raises(ConversionError, match=r"refuses compute capability 8\.9"):
        built(("8.9",), {"IBuilderConfig.set_compute_capability": False})
