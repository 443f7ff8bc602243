"""Outputs of a graph: at least one, and each tensor once.

TensorRT cannot mark a tensor as an output twice: its parser logs that and goes on, and the engine
lacks an output that the configuration names. A graph without outputs fails in the builder only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from resnet_convert.lint.rules import Breach
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def listed_once(model: ir.Model) -> Iterator[Breach]:
    """A graph without outputs, and every tensor that is listed more than once."""
    if not model.graph.outputs:
        yield "graph", "has no output"
    for name, count in Counter(str(value.name) for value in model.graph.outputs).items():
        if count > 1:
            yield name, f"is listed as an output {count} times"
