"""Which GPU has kernels for which precision; builds are tested in tests/contract."""

from __future__ import annotations

import pytest

from resnet_convert.tensorrt.engine import check_gpu
from resnet_serve.cuda import Gpu
from resnet_serve.errors import HostError


@pytest.mark.parametrize(
    ("precision", "capability", "needed"),
    [("fp8", "8.6", "8.9"), ("bf16", "7.5", "8.0"), ("fp16", "7.0", "7.5")],
)
def test_a_gpu_without_the_kernels(precision: str, capability: str, needed: str) -> None:
    gpu = Gpu("Tesla", capability, "580.1", 16.0)
    with pytest.raises(HostError, match=f"{precision} engines need compute capability {needed}"):
        check_gpu(gpu, precision)
    check_gpu(Gpu("H100", "9.0", "580.1", 80.0), precision)
    check_gpu(Gpu("B200", "10.0", "580.1", 180.0), precision)
