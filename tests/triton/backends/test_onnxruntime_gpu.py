"""The `onnxruntime` backend asked for a GPU by a real ONNX Runtime that has none: never the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
from google.protobuf import json_format
from gpu_classifiers import gpu_classifiers

from resnet_serve.runtimes.onnxruntime_cuda import CUDA
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.onnxruntime.model import TritonPythonModel
from resnet_serve.triton.backends.onnxruntime.options import refuse_native_only

pytestmark = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
)


def configuration(kind: str) -> dict[str, Any]:
    message = gpu_classifiers()[kind]
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def start(folder: Path, config: dict[str, Any]) -> TritonPythonModel:
    version = folder / "1"
    version.mkdir()
    (version / "model.onnx").write_bytes(b"is not even read")
    model = TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(config),
            "model_instance_kind": "GPU",
            "model_instance_device_id": "0",
            "model_repository": str(folder),
            "model_version": "1",
        }
    )
    return model


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils")
    )


def test_an_instance_on_a_gpu_is_refused_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="a build without CUDA") as refused:
        start(tmp_path, configuration("accelerator-cuda"))
    assert "model 'resnet20'" in str(refused.value)
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in str(refused.value)


def test_its_options_are_checked_as_natively(tmp_path: Path) -> None:
    config = configuration("accelerator-cuda")
    config["parameters"]["cudnn_conv_algo_search"]["string_value"] = "7"
    with pytest.raises(ContractError, match="unsupported cudnn_conv_algo_search value '7'"):
        start(tmp_path, config)


def test_engines_are_the_native_backends(tmp_path: Path) -> None:
    config = configuration("accelerator-int8")
    with pytest.raises(ContractError, match="'tensorrt' needs the native onnxruntime backend"):
        start(tmp_path, config)
    refuse_native_only(config, "CPU")  # an instance on the CPU ignores it, natively too


@pytest.mark.parametrize("kind", ["MODEL", "AUTO"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ContractError, match=f"KIND_{kind} needs the native onnxruntime backend"):
        refuse_native_only({"name": "m"}, kind)
