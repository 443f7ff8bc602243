"""Graphs that cannot be folded are refused, and the node is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from batch_norms import CONV_BN, normal, statistics

from resnet_convert.graph.fold import fold
from resnet_serve.errors import ConversionError

Graphs = Callable[..., ir.Model]


@pytest.mark.parametrize(
    ("bias", "named"), [(False, "'w' is shared by first, second"), (True, "'b' is shared")]
)
def test_a_shared_initializer_is_refused_and_named(graph: Graphs, bias: bool, named: str) -> None:
    """onnxruntime-qnn PR#582: one bias shared by two layers cost 74 points of accuracy."""
    first, second = ("w, b", "v, b") if bias else ("w", "w")
    model = graph(
        f"""(float[N,4,5,5] x) => (float[N,4,5,5] y) {{
            [first] c = Conv <pads = [1,1,1,1]> (x, {first})
            [bn] d = BatchNormalization (c, gamma, beta, mean, var)
            [second] y = Conv <pads = [1,1,1,1]> (d, {second})
        }}""",
        w=normal(4, 4, 3, 3),
        v=normal(4, 4, 3, 3, seed=2),
        b=normal(4),
        **statistics(4),
    )
    with pytest.raises(ConversionError, match=named) as refusal:
        fold(model)
    assert refusal.value.where == "first"
    assert "own copy" in str(refusal.value)


def test_weights_that_are_computed_are_refused(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
            v = Relu (w)
            [stem] c = Conv <pads = [1,1,1,1]> (x, v)
            [bn] y = BatchNormalization (c, gamma, beta, mean, var)
        }""",
        w=normal(4, 3, 3, 3),
        **statistics(4),
    )
    with pytest.raises(ConversionError, match="input 1 is not a constant"):
        fold(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"var": [1, 1, -0.5, 1]}, "must be positive"),
        ({"var": [1, np.nan, 1, 1]}, "must be positive"),
        ({"var": [1, np.inf, 1, 1]}, "must be positive"),
        ({"gamma": [1, np.nan, 1, 1]}, "not finite"),
        ({"beta": [1, np.inf, 1, 1]}, "not finite"),
        ({"gamma": [1, 3e38, 1, 1]}, "not finite"),
    ],
)
def test_damaged_statistics_are_refused_and_named(
    graph: Graphs, changes: dict[str, Any], message: str
) -> None:
    changed = {name: np.asarray(value) for name, value in changes.items()}
    constants = statistics(4, **({"var": np.full(4, 1e-4)} | changed))
    with pytest.raises(ConversionError, match=message) as refusal:
        fold(graph(CONV_BN, w=normal(4, 3, 3, 3), **constants))
    assert refusal.value.where == "fold: bn"


def test_a_norm_in_training_mode_is_refused(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
            [stem] c = Conv <pads = [1,1,1,1]> (x, w)
            [bn] y, m, v = BatchNormalization <training_mode = 1> (c, gamma, beta, mean, var)
        }""",
        w=normal(4, 3, 3, 3),
        **statistics(4),
    )
    with pytest.raises(ConversionError, match="training mode") as refusal:
        fold(model)
    assert refusal.value.where == "fold: bn"
