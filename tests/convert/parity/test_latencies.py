"""Reference and candidate timed in turn; engines time themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.latencies import Latencies, time_both, time_engine
from resnet_convert.parity.reference import Reference
from resnet_serve.parity.latency import Latency
from resnet_serve.runtimes import RunnableModel, onnxruntime
from resnet_serve.weights import Weights

pytestmark = pytest.mark.usefixtures("quick")


class Engine(RunnableModel):
    """Takes a quarter of a millisecond on its GPU, it says."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        return np.zeros((len(batch), 10), np.float32)

    def timed(self, batch: NDArray[Any]) -> float:
        return 0.25

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...


def test_both_are_timed_in_turn(digits: Weights, folded_digits: ir.Model) -> None:
    reference = Reference(digits.network(), digits, "float32", threads=1)
    with onnxruntime.load(serialize(folded_digits), threads=1) as model:
        found = time_both(reference, Candidate(model, "onnxruntime"))
    assert found.reference.median_ms > 0
    assert len(found.reference.samples_ms) == len(found.candidate.samples_ms)
    assert found.reference_on == "CPU"
    assert set(found.to_json()) == {"pytorch", "onnxruntime"}


def test_an_engine_times_itself(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    found = time_both(reference, Candidate(Engine(), "tensorrt"))
    assert set(found.candidate.samples_ms) == {0.25}
    assert found.reference_on == "CPU"
    times = time_engine(Engine(), [1, 4], "uint8", digits.preprocessing)
    assert {size: each.median_ms for size, each in times.items()} == {1: 0.25, 4: 0.25}
    assert times[4].images_per_s == pytest.approx(16_000)


def test_what_cannot_time_itself_is_no_engine(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "uint8", threads=1)
    with reference.load() as model, pytest.raises(TypeError, match="cannot time itself"):
        time_engine(model_without_a_clock(model), [1], "uint8", digits.preprocessing)


def model_without_a_clock(model: RunnableModel) -> RunnableModel:
    class Plain(RunnableModel):
        def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            return model.run(batch)

        def describe(self) -> dict[str, object]:
            return {}

        def close(self) -> None: ...

    return Plain()


def test_the_speedup_is_of_the_rounds() -> None:
    found = Latencies("x", Latency(1, (4.0, 4.0, 4.0)), Latency(1, (1.0, 2.0, 1.0)))
    assert found.speedup.median == 4
    assert (found.speedup.low, found.speedup.high) == (2, 4)
