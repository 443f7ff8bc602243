"""The rows of TensorRT's flavours, without either library; tests/contract checks them with it."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS, TENSORRT, TENSORRT_RTX, Flavour


def test_the_names_are_their_keys() -> None:
    assert [row.name for row in FLAVOURS.values()] == list(FLAVOURS) == ["tensorrt", "tensorrt-rtx"]


def test_a_flavour_builds_for_this_gpu_or_for_compute_capabilities() -> None:
    assert TENSORRT.targets == ()
    assert all(re.fullmatch(r"\d+\.\d", each) for each in TENSORRT_RTX.targets)
    assert "9.0" not in TENSORRT_RTX.targets
    assert "10.0" not in TENSORRT_RTX.targets


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_a_module_that_is_imported_is_the_library(
    flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("any")
    module.__version__ = "1.2.3.4"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, flavour.module, module)
    assert flavour.library() is module
    assert flavour.version() == "1.2.3.4"
