"""Build options: what is out of range is refused, and the passport gives them back."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_serve.errors import UsageError
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT, TENSORRT_RTX

PROFILES = (Profile(1, 2, 3), Profile(3, 4, 9))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"level": 6}, "optimization level is 0 to 5, not 6"),
        ({"level": -1}, "optimization level is 0 to 5, not -1"),
        ({"workspace_mib": 0}, "a workspace of 0 MiB is too small"),
        ({"hardware": "volta"}, r"unknown hardware compatibility 'volta'.*Use ampere\+ or same"),
        ({"profiles": ()}, "profile"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        BuildOptions(**({"profiles": PROFILES} | wrong))


@pytest.mark.parametrize(
    "options", [BuildOptions(PROFILES), BuildOptions(PROFILES, 7, 2, "same", True)]
)
def test_the_passport_gives_them_back(options: BuildOptions) -> None:
    assert BuildOptions.from_json(options.to_json()) == options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level": 2}, "TensorRT-RTX has no optimization levels. Omit --optimization-level"),
        ({"hardware": "same"}, "TensorRT-RTX has no hardware .* Omit --hardware-compat"),
        ({"version_compatible": True}, "in the version that built it .* Omit --version-compat"),
    ],
    ids=str,
)
def test_an_option_that_a_flavour_does_not_have(options: dict[str, Any], says: str) -> None:
    asked = BuildOptions(PROFILES, **options)
    asked.check(TENSORRT)
    with pytest.raises(UsageError, match=says):
        asked.check(TENSORRT_RTX)
    BuildOptions(PROFILES, workspace_mib=64).check(TENSORRT_RTX)
