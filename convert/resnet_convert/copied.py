"""A graph's copy, to be changed while its owner's stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def copied(model: ir.Model) -> ir.Model:
    """A deep copy, through the serialized form: no value, node or constant is shared."""
    return ir.from_proto(ir.to_proto(model))
