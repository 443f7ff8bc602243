"""TensorRT-RTX on a real GPU: the 64 bytes with which an engine says whether this GPU can run it.

Data-centre GPUs of the Hopper and Blackwell generations are not supported by it: there the refusal
is what is tested.
"""

from __future__ import annotations

from typing import Any

import pytest

from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import trace
from resnet_convert.tensorrt import judge_process
from resnet_convert.tensorrt.verdict import DEFAULT_TARGETS
from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.cuda.nvidia_smi import gpus
from resnet_serve.errors import HostError

pytestmark = pytest.mark.gpu
SUPPORTED = {f"{target[2:-1]}.{target[-1]}" for target in DEFAULT_TARGETS}  # "SM89": 8.9
HEADER_BYTES = 64


@pytest.fixture(scope="module")
def rtx() -> Any:
    if not gpus():
        pytest.skip("this host has no GPU")
    try:
        return judge_process.load_library()
    except (HostError, OSError) as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def plan(rtx: Any) -> bytes:
    """The digits network in FP16, for the targets of every default build."""
    model = trace(weights.load("digits", find("resnet20")).network(), (3, 32, 32)).model
    fold(model)
    halve(model, "fp16")
    log = judge_process.make_log(rtx)
    builder = rtx.Builder(log)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, log)
    assert parser.parse(serialize(model)), log.errors
    config = builder.create_builder_config()
    config.num_compute_capabilities = len(DEFAULT_TARGETS)
    for index, target in enumerate(DEFAULT_TARGETS):
        config.set_compute_capability(getattr(rtx.ComputeCapability, target), index)
    profile = builder.create_optimization_profile()
    image = network.get_input(0)
    profile.set_shape(image.name, *((size, *tuple(image.shape)[1:]) for size in (1, 4, 8)))
    config.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, config)
    assert built is not None, log.errors
    return bytes(built)


def test_the_header_says_whether_this_gpu_can_run_it(
    rtx: Any, plan: bytes, record_property: Any
) -> None:
    log = judge_process.make_log(rtx)
    runtime = rtx.Runtime(log)
    assert runtime.engine_header_size == HEADER_BYTES
    validity, reasons = runtime.get_engine_validity(plan[:HEADER_BYTES])
    capability = gpus()[0].compute_capability
    record_property("validity", f"{validity} {reasons} on {capability}")
    unsupported = int(rtx.EngineInvalidityDiagnostics.UNSUPPORTED_CC)
    if capability in SUPPORTED:
        assert validity != rtx.EngineValidity.INVALID, log.errors
        assert runtime.deserialize_cuda_engine(plan) is not None, log.errors
        return
    assert validity == rtx.EngineValidity.INVALID
    assert int(reasons) & unsupported, f"{reasons}: {log.errors}"
    assert runtime.deserialize_cuda_engine(plan) is None


def test_damage_to_the_header_is_noticed(rtx: Any, plan: bytes) -> None:
    runtime = rtx.Runtime(judge_process.make_log(rtx))
    validity, _ = runtime.get_engine_validity(bytes(HEADER_BYTES))
    assert validity == rtx.EngineValidity.INVALID
