"""One trace for all conversions of a network in a run of the tests: made once, and copied."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import onnx
import onnx_ir as ir
import pytest
from this_run import made_once
from torch import nn

from resnet_convert import folded
from resnet_convert.graph.trace import Trace, trace

Key = tuple[str, tuple[int, int, int], str]
_TRACES: dict[Key, Trace] = {}


def trace_once(patch: pytest.MonkeyPatch) -> None:
    """Give every conversion from now on its own copy of the trace of its network.

    A network of the user's own is traced each time: its code may have changed. That of `modern.py`
    has not.
    """

    def traced(network: nn.Module, size: tuple[int, int, int]) -> Trace:
        if not type(network).__module__.startswith(("resnet_serve.", "modern")):
            return trace(network, size)
        key = type(network).__name__, size, _digest(network)
        if key not in _TRACES:
            _TRACES[key] = traced_this_run(network, size)
        return _copy(_TRACES[key])

    patch.setattr(folded, "trace", traced)


def traced_this_run(network: nn.Module, size: tuple[int, int, int]) -> Trace:
    """The trace of a network, by the worker that came first."""

    def make() -> tuple[bytes, Trace]:
        found = trace(network, size)
        # An `ir.Model` has no pickle of its own.
        return ir.to_proto(found.model).SerializeToString(), replace(found, model=None)  # type: ignore[arg-type]

    key = hashlib.sha256(f"{network} {size} {_digest(network)}".encode()).hexdigest()
    graph, found = made_once("traces", key, make)
    return replace(found, model=ir.from_proto(onnx.load_from_string(graph)))


def _digest(network: nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def _copy(traced: Trace) -> Trace:
    return replace(traced, model=ir.from_proto(ir.to_proto(traced.model)))
