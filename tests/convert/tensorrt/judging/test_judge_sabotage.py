"""Mistakes in our code that the real TensorRT-RTX finds: names, a placement, a profile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from rtx_sabotage import ENGINE, PAIRS, TARGETS, Mistake, sabotaged

# TensorRT's names, each misspelt alone.
NAMES = {
    ENGINE: (
        *(
            "create_network",
            "STRONGLY_TYPED",
            "OnnxParser",
            "parser.parse",
            "create_builder_config",
        ),
        *("set_memory_pool_limit", "WORKSPACE", "profiling_verbosity", "DETAILED", "clear_flag"),
        *("BuilderFlag.TF32", "create_optimization_profile", "get_input", "profile.set_shape"),
        *("add_optimization_profile", "progress_monitor", "build_serialized_network"),
    ),
    TARGETS: ("num_compute_capabilities", "set_compute_capability", "SM89"),
}
PROFILE = Mistake(ENGINE, "(row.minimum, *sides)", "(row.maximum + 1, *sides)")
PLACEMENT = Mistake(PAIRS, '{"axis": 0}', '{"axis": 1}')
WHOLE = Mistake(ENGINE, "create_network", "create_network")
MISSPELT = [Mistake(module, name, f"{name}_") for module, names in NAMES.items() for name in names]


@pytest.fixture(scope="module")
def errors() -> Mapping[Mistake, str]:
    """All mistakes, one after another in one process."""
    mistakes = [WHOLE, *MISSPELT, PROFILE, PLACEMENT]
    return dict(zip(mistakes, sabotaged(mistakes), strict=True))


def test_the_code_as_it_is_builds(errors: Mapping[Mistake, str]) -> None:
    assert errors[WHOLE] == ""


@pytest.mark.parametrize("mistake", MISSPELT, ids=lambda mistake: mistake.right)
def test_a_misspelt_name_fails(errors: Mapping[Mistake, str], mistake: Mistake) -> None:
    assert errors[mistake].startswith("AttributeError"), errors[mistake]


def test_a_wrong_profile_fails(errors: Mapping[Mistake, str]) -> None:
    assert "profile" in errors[PROFILE]


def test_weights_quantized_along_another_axis_fail(errors: Mapping[Mistake, str]) -> None:
    assert "conv1.weight.dq (DequantizeLinear)" in errors[PLACEMENT]
    assert "not equal to the number of output channels" in errors[PLACEMENT]
