"""From what a builder logged to an error; the words are those of TensorRT 10, 11 and RTX 1.7.1.

`test_engine_real` has the parser's refusals, and follows the remedies.
"""

from __future__ import annotations

import pytest

from resnet_convert.tensorrt.build_failures import without_a_plan
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_serve.errors import ConversionError, HostError, UsageError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, TENSORRT_RTX

OPTIONS = BuildOptions((Profile(1, 8, 32),))
NO_TACTIC = (
    "Myelin ([tactic.cpp:1676: enumerate_tactics] Tactic Selection: no tactics to implement the "
    "operation within workspace limit."
)
NO_LEAN = "Unable to load library: libnvinfer_lean.so.1: cannot open shared object file"


@pytest.mark.parametrize(
    ("line", "options", "kind", "says"),
    [
        ("CUDA error: out of memory", {}, HostError, "memory ran out .* Limit --workspace"),
        (NO_TACTIC, {"workspace_mib": 1}, UsageError, "1 MiB is too small .* larger --workspace"),
        (NO_TACTIC, {}, ConversionError, "no tactics"),
        (NO_LEAN, {"version_compatible": True}, HostError, "Omit --version-compatible"),
        ("anything else", {}, ConversionError, "anything else. Try --optimization-level 2"),
    ],
)
def test_the_reason_and_the_remedy(
    line: str, options: dict[str, int], kind: type[Exception], says: str
) -> None:
    asked = BuildOptions(OPTIONS.profiles, **options)  # type: ignore[arg-type]
    error = without_a_plan(
        TENSORRT, ["first", line, "last"] if kind is HostError else [line], asked
    )
    assert type(error) is kind
    with pytest.raises(kind, match=says):
        raise error


def test_no_remedy_that_a_flavour_lacks() -> None:
    error = without_a_plan(TENSORRT_RTX, ["some reason"], OPTIONS)
    assert "--optimization-level" not in str(error)
    assert "logged no reason" in str(without_a_plan(TENSORRT_RTX, [], OPTIONS))
