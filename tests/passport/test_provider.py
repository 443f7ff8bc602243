"""The CUDA provider in a passport: read, written, and left out where there is none."""

from __future__ import annotations

import pytest

from resnet_serve.cuda.device import Gpu
from resnet_serve.passport import CudaFacts, MalformedFactsError, ProviderState

OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
H200 = Gpu("NVIDIA H200", "9.0", "580.159.04", 140.4)


@pytest.mark.parametrize(
    "facts",
    [
        CudaFacts(state=ProviderState.EMULATED, options=OPTIONS),
        CudaFacts(state=ProviderState.RAN, options=OPTIONS, gpu=H200),
    ],
)
def test_it_is_read_as_it_was_written(facts: CudaFacts) -> None:
    written = facts.to_json()
    assert CudaFacts.from_json(written) == facts
    assert ("gpu" in written) == (facts.gpu is not None)


@pytest.mark.parametrize(
    "data", [{}, {"state": "ran"}, {"state": "ran on the GPU"}, {"state": "x", "options": OPTIONS}]
)
def test_other_json_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(MalformedFactsError):
        CudaFacts.from_json(data)
