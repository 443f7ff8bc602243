"""ONNX Runtime's CUDA provider on a real GPU: every node on it, and as exact as PyTorch there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.opset import FOR_BF16, raise_opset
from resnet_convert.graph.trace import trace
from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.errors import HostError
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime, onnxruntime_cuda, pytorch
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider

if TYPE_CHECKING:
    import torch
else:
    torch = optional("torch", extra="convert")

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda_provider")]
ROUNDS = 30
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def resnet50() -> Iterator[tuple[Any, ir.Model]]:
    """The network with random weights, and its folded graph."""
    network = weights.load("random", find("resnet50")).network()
    model = trace(network, (3, 224, 224)).model
    fold(model)
    yield network, model


def graph(folded: ir.Model, precision: str) -> ir.Model:
    model = folded.clone()
    if precision != "fp32":
        halve(model, precision)
    return model


@pytest.fixture(scope="module")
def folded(digits: weights.Weights) -> ir.Model:
    model = trace(digits.network(), (3, 32, 32)).model
    fold(model)
    return model


def test_fp32_is_as_exact_as_pytorch(
    folded: ir.Model,
    planes: NDArray[np.float32],
    exact: NDArray[np.float32],
    record_property: Record,
) -> None:
    """Without TF32, which the provider's own default allows."""
    with onnxruntime_cuda.load(serialize(folded), threads=1) as model:
        described, found = model.describe(), model.run(planes)
    record_property("fp32 max |Δlogit|", float(np.abs(found - exact).max()))
    record_property("described", described)
    assert described["providers"] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    options: Any = described["provider_options"]
    for name, value in CudaProvider().options.items():
        assert options[name] == value
    np.testing.assert_allclose(found, exact, atol=2e-4)


def test_tf32_is_what_the_option_turns_off(
    folded: ir.Model,
    planes: NDArray[np.float32],
    exact: NDArray[np.float32],
    record_property: Record,
) -> None:
    errors = {}
    for tf32 in ("0", "1"):
        options = {**CudaProvider().options, "use_tf32": tf32}
        session = onnxruntime_cuda.open_session(
            serialize(folded), onnxruntime.session_options(threads=1), options
        )
        (found,) = session.run(None, {session.get_inputs()[0].name: planes})
        errors[tf32] = _rms(found - exact)
    record_property("RMS error by use_tf32", errors)
    assert errors["0"] < 1.5 * errors["1"], "the algorithms may differ, the precision must not"


def test_the_emulation_predicts_the_errors_of_fp16(
    folded: ir.Model,
    planes: NDArray[np.float32],
    exact: NDArray[np.float32],
    record_property: Record,
) -> None:
    model = graph(folded, "fp16")
    with onnxruntime.load(emulated(model), threads=4) as session:
        predicted = session.run(planes)
    with onnxruntime_cuda.load(serialize(model), threads=1) as session_on_gpu:
        found = session_on_gpu.run(planes)
    errors = {"emulation": _rms(predicted - exact), "gpu": _rms(found - exact)}
    record_property("fp16 RMS error", errors)
    assert 0.25 < errors["emulation"] / errors["gpu"] < 4
    assert (found.argmax(1) == exact.argmax(1)).mean() > 0.99


def test_bf16_has_no_kernels_for_pools(resnet50: tuple[Any, ir.Model]) -> None:
    """Why `--accelerator cuda` refuses it; where this fails, the provider has learnt them."""
    model = graph(resnet50[1], "bf16")
    raise_opset(model, *FOR_BF16)
    with pytest.raises(Exception, match=r"no kernel|cannot load"):
        onnxruntime_cuda.load(serialize(model), threads=1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_resnet50_against_pytorch_on_the_same_gpu(
    resnet50: tuple[Any, ir.Model], precision: str, record_property: Record
) -> None:
    """The medians are recorded; what is asserted is that both computed the same."""
    network, folded = resnet50
    torch_model = pytorch.load(network, threads=4, device="cuda")
    rng = np.random.default_rng(0)
    medians: dict[str, float] = {}
    with onnxruntime_cuda.load(serialize(graph(folded, precision)), threads=1) as model:
        for size in (1, 8, 32):
            images = rng.standard_normal((size, 3, 224, 224), np.float32)
            expected, found = torch_model.run(images), model.run(images)
            noise = _rms(found - expected) / _rms(expected)
            assert noise < {"fp32": 1e-4, "fp16": 3e-2}[precision]
            for name, timed in (("onnxruntime", model.timed), ("pytorch fp32", torch_model.timed)):
                times = [timed(images) for _ in range(ROUNDS)]
                medians[f"{name} batch {size}"] = round(float(np.median(times[5:])), 3)
    record_property(f"resnet50 {precision} ms", medians)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"cudnn_conv_algo_search": "EXHAUSTIVE"},
        {"cudnn_conv_algo_search": "DEFAULT"},
        {"cudnn_conv_use_max_workspace": "0"},
        {"prefer_nhwc": "1"},
        {"enable_cudnn": "0"},
    ],
    ids=str,
)
def test_a_change_of_the_batch_size_costs_more_than_a_run(
    resnet50: tuple[Any, ir.Model], changed: dict[str, str], record_property: Record
) -> None:
    """Why requests are not merged for it; where this fails, the provider keeps its plans now."""
    rng = np.random.default_rng(0)
    session = onnxruntime_cuda.open_session(
        serialize(graph(resnet50[1], "fp16")),
        onnxruntime.session_options(threads=1),
        {**CudaProvider().options, **changed},
    )
    name = session.get_inputs()[0].name
    spent = []
    sizes = (1, 8, 1, 8, 1, 8, 8, 8, 8)
    for size in sizes:
        images = rng.standard_normal((size, 3, 224, 224), np.float32)
        started = time.perf_counter()
        session.run(None, {name: images})
        spent.append(round(1e3 * (time.perf_counter() - started), 2))
    record_property(f"ms of batches {sizes} with {changed or 'our options'}", spent)
    if not changed:
        assert np.median(spent[2:6]) > 3 * np.median(spent[6:])


def test_memory_beyond_the_limit_is_refused_in_words(resnet50: tuple[Any, ir.Model]) -> None:
    provider = CudaProvider(memory_mib=160)
    with (
        pytest.raises(HostError, match="the GPU refused it"),
        onnxruntime_cuda.load(serialize(resnet50[1]), threads=1, provider=provider) as model,
    ):
        model.run(np.zeros((64, 3, 224, 224), np.float32))


def test_the_session_works_beside_pytorch_in_one_process(
    folded: ir.Model, planes: NDArray[np.float32], exact: NDArray[np.float32]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    with onnxruntime_cuda.load(serialize(folded), threads=1) as model:
        for size in (1, 3, 8):
            found = model.run(planes[:size])
            busy = torch.ones((1024, 1024), device="cuda")
            (busy @ busy).sum().item()
            np.testing.assert_allclose(found, exact[:size], atol=2e-4)


def _rms(difference: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
