"""The CUDA provider's options: what is written is what the native backend makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from gpu_classifiers import gpu_classifiers
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider
from resnet_serve.triton import cuda_options
from resnet_serve.triton.backends.contract import ContractError


def as_triton_gives_it(message: Any) -> dict[str, Any]:
    found = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return dict(json.loads(json.dumps(found)))


@given(st.none() | st.integers(1, 10**6), st.integers(0, 15))
def test_what_is_written_is_what_the_provider_gets(memory_mib: int | None, device: int) -> None:
    options = CudaProvider(memory_mib).options
    config = {
        "optimization": {
            "execution_accelerators": {
                "gpu_execution_accelerator": [
                    {"name": "cuda", "parameters": cuda_options.accelerator_parameters(options)}
                ]
            }
        },
        "parameters": {
            name: {"string_value": value}
            for name, value in {**cuda_options.parameters(options), "preprocessing": "{}"}.items()
        },
    }
    found = cuda_options.provider_options(config, device)
    assert found == {
        "do_copy_in_default_stream": "1",
        "gpu_mem_limit": str(2**64 - 1),
        **CudaProvider(memory_mib, device).options,
    }


def test_a_deployed_configuration_gives_the_options_of_the_provider() -> None:
    config = as_triton_gives_it(gpu_classifiers()["accelerator-cuda"])
    found = cuda_options.provider_options(config, 2)
    expected = CudaProvider(memory_mib=512, device_id=2).options
    assert {name: found[name] for name in expected} == expected


def accelerated(**parameters: str) -> dict[str, Any]:
    row = {"name": "cuda", "parameters": parameters}
    return {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": [row]}}}


def test_any_parameter_overrides_four_options_of_the_accelerator() -> None:
    """As in the native backend; this is why they are written as parameters."""
    config = accelerated(cudnn_conv_algo_search="HEURISTIC", gpu_mem_limit="1024", use_tf32="0")
    alone = cuda_options.provider_options(config, 0)
    assert (alone["cudnn_conv_algo_search"], alone["gpu_mem_limit"]) == ("HEURISTIC", "1024")
    config["parameters"] = {"preprocessing": {"string_value": "{}"}}
    beside = cuda_options.provider_options(config, 0)
    assert beside["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert beside["gpu_mem_limit"] == str(2**64 - 1)
    assert beside["use_tf32"] == "0"


def given_parameter(name: str, value: str) -> dict[str, Any]:
    return {"parameters": {name: {"string_value": value}}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            given_parameter("cudnn_conv_algo_search", "3"),
            "unsupported cudnn_conv_algo_search value",
        ),
        (given_parameter("cudnn_conv_algo_search", "fast"), "failed to convert 'fast' to integral"),
        (given_parameter("arena_extend_strategy", "-1"), "unsupported arena_extend_strategy value"),
        (accelerated(do_copy_in_default_stream="maybe"), "failed to convert 'maybe' to boolean"),
        (
            {
                "optimization": {
                    "execution_accelerators": {"gpu_execution_accelerator": [{"name": "rocm"}]}
                }
            },
            "unknown Execution Accelerator 'rocm' is requested",
        ),
    ],
)
def test_what_the_native_backend_refuses(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        cuda_options.provider_options(config, 0)


def test_without_any_option_the_device_alone_is_set() -> None:
    assert cuda_options.provider_options({}, 1) == {"device_id": "1"}
