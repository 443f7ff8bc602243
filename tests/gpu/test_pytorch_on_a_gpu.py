"""PyTorch on a real GPU: the reference there, and how well the CPU's emulation predicts its errors.

A conversion for TensorRT on a host without a GPU is held to the gate by an emulation on the CPU
(`resnet_convert.graph.emulate`). Here the same network is computed in the same type on the GPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.trace import trace
from resnet_serve import weights
from resnet_serve.optional import optional
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime, pytorch

pytestmark = pytest.mark.gpu
torch = optional("torch", extra="convert")
GPU = "cuda"


@pytest.fixture(scope="module", autouse=True)
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")


def test_the_reference_is_the_same_on_the_gpu(
    digits: weights.Weights,
    planes: NDArray[np.float32],
    exact: NDArray[np.float32],
    record_property: Callable[[str, object], None],
) -> None:
    """FP32 without TF32: 23 bits of every product."""
    on_gpu = pytorch.load(digits.network(), threads=4, device="cuda")
    found = on_gpu.run(planes)
    record_property("fp32 max |Δlogit|", float(np.abs(found - exact).max()))
    np.testing.assert_allclose(found, exact, atol=2e-4)
    assert on_gpu.timed(planes[:1]) > 0
    assert on_gpu.describe()["device"] == "cuda"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_emulation_predicts_the_errors_of_the_gpu(
    digits: weights.Weights,
    planes: NDArray[np.float32],
    exact: NDArray[np.float32],
    precision: str,
    record_property: Callable[[str, object], None],
) -> None:
    predicted = _emulated(digits, planes, precision)
    found = _on_gpu(digits, planes, precision)
    errors = {name: _rms(each - exact) for name, each in (("cpu", predicted), ("gpu", found))}
    record_property(f"{precision} RMS error", errors)
    record_property(
        f"{precision} SQNR to the emulation", numerics.compare(found, predicted).sqnr_db
    )
    # Sums are rounded in another order; the size of the error is what the gate judges.
    assert 0.25 < errors["cpu"] / errors["gpu"] < 4
    # Both are near the exact logits, and so near each other.
    assert _rms(found - predicted) < 4 * errors["gpu"]
    assert (found.argmax(1) == predicted.argmax(1)).mean() > 0.99


def _emulated(
    digits: weights.Weights, planes: NDArray[np.float32], precision: str
) -> NDArray[np.float32]:
    model = trace(digits.network(), (3, 32, 32)).model
    fold(model)
    halve(model, precision)
    with onnxruntime.load(emulated(model), threads=4) as session:
        return session.run(planes)


def _on_gpu(digits: weights.Weights, planes: NDArray[Any], precision: str) -> NDArray[np.float32]:
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    network = copy.deepcopy(digits.network()).to(GPU, dtype)
    with torch.inference_mode():
        logits = network(torch.from_numpy(planes).to(GPU, dtype))
    return np.asarray(logits.float().cpu(), np.float32)


def _rms(difference: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
