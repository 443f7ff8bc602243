"""What a plan is built for: this GPU, or compute capabilities; `test_engine_real` builds."""

from __future__ import annotations

import pytest

from resnet_convert.tensorrt import targets
from resnet_serve.cuda import Gpu
from resnet_serve.errors import UsageError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, TENSORRT_RTX

GPU = Gpu("NVIDIA H100 80GB HBM3", "9.0", "580.1", 80.0)


def test_each_once_and_in_order() -> None:
    found = targets.checked(("12.0", "8.6", "12.0"), TENSORRT_RTX)
    assert found == (None, ("8.6", "12.0"))
    assert targets.checked(GPU, TENSORRT) == (GPU, ())


@pytest.mark.parametrize(
    ("capabilities", "says"),
    [
        (("9.0",), r"no plan for compute capability 9\.0. It has 7\.5, 8\.0, 8\.6"),
        (("8.6", "10.0", "10.3"), r"capability 10\.0, 10\.3\."),
        ((), "capability none"),
    ],
)
def test_a_capability_that_it_lacks(capabilities: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        targets.checked(capabilities, TENSORRT_RTX)


def test_the_other_kind_of_target() -> None:
    with pytest.raises(UsageError, match="TensorRT builds for the GPU of this host alone"):
        targets.checked(("8.6",), TENSORRT)
    with pytest.raises(UsageError, match="TensorRT-RTX builds for compute capabilities"):
        targets.checked(GPU, TENSORRT_RTX)
