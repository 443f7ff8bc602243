"""`--accelerator cuda`: without a GPU its types are emulated, and nothing says that it ran.

Where a GPU appears to be here, a double of the provider (ONNX Runtime on the CPU) runs the file;
the real provider is `tests/gpu`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from resnet_convert.autoselect import measured
from resnet_convert.parity import opening
from resnet_serve import passport
from resnet_serve.cuda import nvidia_smi
from resnet_serve.cuda.device import Gpu
from resnet_serve.errors import HostError
from resnet_serve.passport import ConvertedPassport, ProviderState
from resnet_serve.runtimes import onnxruntime, onnxruntime_cuda
from resnet_serve.runtimes.onnxruntime_cuda import CUDA, CudaProvider
from resnet_serve.triton import config

Call = Callable[..., tuple[int, str, str]]
WORDS = ("--arch", "resnet20", "--weights", "digits", "--name", "d", "--accelerator", "cuda")
IMAGES = ("--validation", "digits", "--validation-images", 24)
VERSION = Path("model_repository/d/1")
H200 = Gpu("NVIDIA H200", "9.0", "580.159.04", 140.4)

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(bool(nvidia_smi.gpus()), reason="this host has a GPU: make test-gpu"),
]


def the_error(err: str) -> str:
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert "Traceback" not in err
    return line


def stamped() -> ConvertedPassport:
    found = passport.read(VERSION / passport.FILE_NAME)
    assert isinstance(found, ConvertedPassport)
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_without_a_gpu_it_is_emulated_and_says_so(call: Call, precision: str) -> None:
    code, out, err = call(*WORDS, *IMAGES, "--precision", precision, "--workspace", 512)
    assert code == 0, err
    assert "CUDA provider has NOT run it" in out
    assert "Next, on the GPU host: serve" in out
    assert "send batches of one size" in " ".join(err.split())
    assert "latency" not in out + err
    found = stamped()
    assert found.cuda is not None
    assert (found.cuda.state, found.cuda.gpu) == (ProviderState.EMULATED, None)
    assert found.cuda.options == CudaProvider(memory_mib=512).options
    assert (found.target, found.engine, found.parity.runtime) == ("onnxruntime", None, "emulation")
    assert found.latency.speedup is None
    message = config.parse((VERSION.parent / "config.pbtxt").read_text(encoding="utf-8"))
    (group,) = message.instance_group
    assert group.kind == group.KIND_GPU
    assert not message.HasField("dynamic_batching")
    (row,) = message.optimization.execution_accelerators.gpu_execution_accelerator
    assert (row.name, dict(row.parameters)) == ("cuda", {"use_tf32": "0", "enable_cuda_graph": "0"})
    assert message.parameters["cudnn_conv_algo_search"].string_value == "1"
    assert message.parameters["gpu_mem_limit"].string_value == str(512 * 2**20)
    report = (VERSION / "report.html").read_text(encoding="utf-8")
    assert "CUDA provider has not run it" in report
    assert "Speed at batch 1" not in report


def test_its_graph_is_within_what_the_provider_has_kernels_for(call: Call) -> None:
    """From opset 22 on onnxruntime-gpu 1.31.1 places MaxPool on the CPU: ours stays at 17."""
    assert call(*WORDS, *IMAGES, "--precision", "fp16")[0] == 0
    assert stamped().model.opset == 17


def test_the_dry_run_shows_what_it_would_do(call: Call) -> None:
    code, out, err = call(*WORDS, "--precision", "fp16", "--dry-run", "--json")
    assert code == 0, err
    stages = [step["stage"] for step in json.loads(out)["steps"]]
    assert "half" in stages
    assert not {"latency", "engine", "lint"} & set(stages), "nothing of it runs on this host"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "int8", "--calibration", "digits"), "has no INT8 convolutions"),
        (("--precision", "bf16"), "has no BF16 kernels for pooling"),
        (("--precision", "auto"), "compares what a CPU can run"),
        (("--target", "openvino"), "takes no accelerator"),
        (("--optimization-level", 5), "is for TensorRT engines"),
    ],
)
def test_what_the_provider_cannot(call: Call, words: tuple[object, ...], said: str) -> None:
    code, _, err = call(*WORDS, *words)
    assert code == 2
    assert said in the_error(err)


@pytest.fixture
def gpu_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_smi, "gpus", lambda: (H200,))


@pytest.mark.usefixtures("gpu_host")
@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="this onnxruntime has CUDA")
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_gpu_host_with_a_cpu_build_is_refused_before_the_work(
    call: Call, words: tuple[str, ...]
) -> None:
    code, _, err = call(*WORDS, *IMAGES, "--precision", "fp16", *words)
    assert code == 4
    assert "a build without CUDA" in the_error(err)
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in the_error(err)
    assert not VERSION.exists()


@pytest.mark.usefixtures("gpu_host")
def test_prepare_only_leaves_the_gpu_alone(call: Call) -> None:
    code, out, err = call(*WORDS, *IMAGES, "--precision", "fp16", "--prepare-only")
    assert code == 0, err
    assert "CUDA provider has NOT run it" in out
    assert stamped().cuda is not None


class DoubleOfTheProvider(onnxruntime.OnnxRuntimeModel):
    """The verbs of `OnnxRuntimeCudaModel`, computed by ONNX Runtime on the CPU."""

    opened: list[CudaProvider] = []  # noqa: RUF012 - one list for the whole test

    def timed(self, batch: Any) -> float:
        started = time.perf_counter()
        self.run(batch)
        return (time.perf_counter() - started) * 1e3

    def operators(self) -> dict[str, int]:
        return {"Conv": 19}


@pytest.fixture
def provider(gpu_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU host whose CUDA provider is the double."""

    def load(data: bytes, *, threads: int, provider: CudaProvider) -> DoubleOfTheProvider:
        DoubleOfTheProvider.opened.append(provider)
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        return DoubleOfTheProvider(data, session, threads=threads)

    monkeypatch.setattr(onnxruntime_cuda, "check_installed", lambda: None)
    monkeypatch.setattr(onnxruntime_cuda, "load", load)
    DoubleOfTheProvider.opened.clear()


@pytest.mark.usefixtures("provider")
def test_auto_compares_it_and_deploys_it_where_it_wins(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(target: str, *_: Any) -> Any:
        raise HostError(f"this needs {target}, which is not installed here")

    monkeypatch.setattr(opening, "open_on_cpu", missing)
    monkeypatch.setattr(measured, "LATENCY_SECONDS", 0.02)
    words = (*WORDS[:-2], "--target", "auto", *IMAGES)
    code, out, err = call(*words, "--precision", "fp16")
    assert code == 0, err
    assert "onnxruntime fp16 on CUDA" in out
    found = stamped()
    (row,) = (each for each in found.autoselect["results"] if each["problem"] is None)
    assert row["entrant"] == "onnxruntime fp16 on CUDA"
    assert found.cuda is not None
    assert found.cuda.state is ProviderState.RAN
    assert "--target onnxruntime" in found.command
    assert "--accelerator cuda" in found.command


@pytest.mark.usefixtures("provider")
def test_without_a_target_it_stays_the_cpus(call: Call) -> None:
    code, _, err = call(*WORDS[:-2], *IMAGES, "--precision", "fp32")
    assert code == 0, err
    assert stamped().cuda is None


@pytest.mark.usefixtures("provider")
def test_on_a_gpu_host_the_gate_judges_what_the_provider_computed(call: Call) -> None:
    code, out, err = call(*WORDS, *IMAGES, "--precision", "fp16", "--workspace", 64)
    assert code == 0, err
    assert DoubleOfTheProvider.opened == [CudaProvider(memory_mib=64)]
    assert "NOT run" not in out
    assert "this PyTorch has no CUDA" in err.replace("\n", " ")
    found = stamped()
    assert found.cuda is not None
    assert (found.cuda.state, found.cuda.gpu) == (ProviderState.RAN, H200)
    assert found.parity.runtime == "onnxruntime on CUDA"
    assert found.compiled_operators == {"Conv": 19}
    assert found.latency.speedup is not None
    assert np.isfinite(found.latency.times["onnxruntime on CUDA"].median_ms)
    report = (VERSION / "report.html").read_text(encoding="utf-8")
    assert "The nodes that are on the CUDA provider" in report
    assert "has not run it" not in report
