"""ONNX Runtime's CUDA provider on a host without it: every way to the CPU is an error.

The onnxruntime here is a real one, a build for CPUs: asked for CUDA, it must not compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from resnet_serve.errors import HostError
from resnet_serve.runtimes import TimesItself, onnxruntime_cuda
from resnet_serve.runtimes import onnxruntime as on_cpu
from resnet_serve.runtimes.onnxruntime_cuda import CUDA, CudaProvider

TEXT = """<ir_version: 8, opset_import: ["": 17]>
resnet (float[N,3] x) => (float[N,3] y) { a = Relu (x) y = Neg (a) }"""
CPU = "CPUExecutionProvider"
SESSION = ort.InferenceSession
pytestmark = pytest.mark.skipif(
    CUDA in ort.get_available_providers(), reason="this onnxruntime has CUDA: make test-gpu"
)


def model(*names: str) -> bytes:
    proto = onnx.parser.parse_model(TEXT)
    for node, name in zip(proto.graph.node, names, strict=False):
        node.name = name
    return proto.SerializeToString()


def test_a_cpu_build_asked_for_cuda_is_refused_with_what_to_install() -> None:
    with pytest.raises(HostError, match="a build without CUDA") as refused:
        onnxruntime_cuda.load(model(), threads=1)
    assert ort.__version__ in refused.value.what
    assert CPU in refused.value.what
    remedy = str(refused.value.remedy)
    # Both distributions own the folder onnxruntime/: the order of these two commands matters.
    assert remedy.index("uninstall --yes onnxruntime onnxruntime-gpu") < remedy.index("pip install")


def recorded(data: bytes, **entries: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    return ort.InferenceSession(data, options, providers=[CPU])


def test_nodes_on_another_provider_are_found_by_name() -> None:
    session = recorded(model("first", ""), record_ep_graph_assignment_info="1")
    assert onnxruntime_cuda.nodes_elsewhere(session, CPU) == ()
    assert onnxruntime_cuda.nodes_elsewhere(session, CUDA) == ("first (Relu)", "a Neg")


def older_session(data: bytes, options: Any, **_: Any) -> Any:
    """As where nothing records the placement; ONNX Runtime itself refuses the CPU."""
    return SESSION(data, options)


def test_where_placement_is_not_recorded_onnx_runtime_refuses_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime_cuda, "check_installed", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", older_session)
    with pytest.raises(HostError, match="no kernel for some of its nodes") as refused:
        onnxruntime_cuda.load(model(), threads=1)
    assert "--target tensorrt" in str(refused.value.remedy)


def test_a_session_without_the_provider_it_was_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ONNX Runtime leaves out a provider that it cannot start, and opens the model without it."""
    monkeypatch.setattr(onnxruntime_cuda, "check_installed", lambda: None)
    with (
        pytest.warns(UserWarning, match="not in available"),
        pytest.raises(HostError, match="could not start its CUDAExecutionProvider") as refused,
    ):
        onnxruntime_cuda.load(model(), threads=1)
    assert "doctor" in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : /x/core/providers/cuda/cuda_call.cc:105 CudaCall() "
            "CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; file=x.cc ; line=9",
            "CUDA failure 2: out of memory",
        ),
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while "
            "running Conv node. Name:'a' Status Message: /x/core/framework/bfc_arena.cc:376 "
            "Available memory of 1024 is smaller than requested bytes of 4096",
            "Available memory of 1024 is smaller than requested bytes of 4096",
        ),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Exception: /x/core/providers/cuda/cuda_call.cc:105 "
            "cuDNN is unavailable for CUDA Execution Provider: dlsym failed for cudnnCreate",
            "cuDNN is unavailable for CUDA Execution Provider: dlsym failed for cudnnCreate",
        ),
    ],
)
def test_what_the_gpu_refuses_is_no_fault_of_the_file(message: str, shown: str) -> None:
    found = onnxruntime_cuda.gpu_error(RuntimeError(message))
    assert found is not None
    assert found.what == f"the GPU refused it: {shown}"


def test_other_errors_are_not_the_gpus() -> None:
    with pytest.raises(Exception, match="Got: 4") as failed, on_cpu.load(model(), threads=1) as cpu:
        cpu.run(np.zeros((1, 4), np.float32))
    assert onnxruntime_cuda.gpu_error(failed.value) is None


def test_the_options_are_fp32_without_tf32_and_no_graph() -> None:
    assert CudaProvider().options == {
        "device_id": "0",
        "use_tf32": "0",
        "enable_cuda_graph": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }
    limited = CudaProvider(memory_mib=512, device_id=3).options
    assert (limited["gpu_mem_limit"], limited["device_id"]) == (str(512 * 2**20), "3")


def test_only_the_model_on_a_gpu_times_itself() -> None:
    assert issubclass(onnxruntime_cuda.OnnxRuntimeCudaModel, TimesItself)
    with on_cpu.load(model(), threads=1) as loaded:
        assert not isinstance(loaded, TimesItself)
