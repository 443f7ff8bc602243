"""Most conversions of the tests begin with the same trace: it is made once, and copied."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir
import pytest
from torch import nn

from resnet_convert import folded
from resnet_convert.graph.trace import Trace, trace

_TRACES: dict[bytes, Trace] = {}


def trace_once(patch: pytest.MonkeyPatch) -> None:
    """From here on every conversion gets its own copy of its network's one trace."""

    def traced(network: nn.Module, size: tuple[int, int, int]) -> Trace:
        key = type(network).__name__.encode() + network.conv1.weight.numpy().tobytes()
        if key not in _TRACES:
            _TRACES[key] = trace(network, size)
        return _copy(_TRACES[key])

    patch.setattr(folded, "trace", traced)


def _copy(traced: Trace) -> Trace:
    return replace(traced, model=ir.from_proto(ir.to_proto(traced.model)))
