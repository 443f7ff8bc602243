"""Dialects: the ways in which a graph carries INT8, for CPUs and for TensorRT.

    U8S8   u8 activations × s8 weights, the rest FP32              ONNX Runtime, OpenVINO
    U8S7   the same with weights of 7 bits, for CPUs without VNNI  ONNX Runtime, OpenVINO
    S8S8   symmetric s8 × s8 (or FP8 × FP8), the rest FP16         TensorRT

Whatever differs between them is a field here, so that no other module has to ask which target
a graph is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization import s8s8, u8s8
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.ranges import Range
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.precisions import PRECISIONS

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


class Quantizer(Protocol):
    """Inserts the Q/DQ pairs into a folded FP32 graph, in place."""

    def __call__(
        self,
        model: ir.Model,
        ranges: Mapping[str, Range],
        precision: str = "int8",
        *,
        keep: frozenset[str] = frozenset(),
    ) -> Quantization:
        """`precision` is "int8" or "fp8"; `keep` names layers that stay floating."""


@dataclass(frozen=True)
class Dialect:
    """One way in which a graph carries INT8.

    - `activations(folded)` gives the names of the tensors to calibrate; `symmetric` is whether
      their ranges are symmetric about zero.
    - `quantize` inserts the pairs; `rest` is the type that everything else gets afterwards, None
      where it stays FP32.
    - `serialize(model)` gives the finished graph as bytes for ONNX Runtime on this CPU: rounded
      where the target rounds, see `graph/emulate.py`.
    """

    name: str
    symmetric: bool
    activations: Callable[[ir.Model], tuple[str, ...]]
    quantize: Quantizer
    rest: str | None
    serialize: Callable[[ir.Model], bytes]

    def convert(
        self,
        model: ir.Model,
        ranges: Mapping[str, Range],
        precision: str = "int8",
        *,
        keep: frozenset[str] = frozenset(),
    ) -> Quantization:
        """`quantize`, then give the rest its type, in place: the graph as it will be deployed."""
        found = self.quantize(model, ranges, precision, keep=keep)
        if self.rest is not None:
            halve(model, self.rest)
        return found


def _quantize_for_cpus(
    model: ir.Model,
    ranges: Mapping[str, Range],
    precision: str = "int8",
    *,
    keep: frozenset[str] = frozenset(),
    largest_weight: int = u8s8.LARGEST_WEIGHT,
) -> Quantization:
    if precision != "int8":
        raise ConversionError(
            f"no CPU runtime computes in {precision.upper()}",
            where="quantize",
            remedy="Use --target tensorrt, or --precision int8.",
        )
    return u8s8.quantize(model, ranges, keep=keep, largest_weight=largest_weight)


# What is not quantized has the type that the precisions' table gives it.
_INT8 = PRECISIONS["int8"]
U8S8 = Dialect(
    "u8s8",
    symmetric=False,
    activations=u8s8.activations,
    quantize=_quantize_for_cpus,
    rest=_INT8.typed_for_cpu,
    serialize=serialize,
)
# The same with weights of 7 bits, whose products do not saturate on a CPU without VNNI.
U8S7 = replace(
    U8S8,
    name="u8s7",
    quantize=partial(_quantize_for_cpus, largest_weight=u8s8.LARGEST_WEIGHT_WITHOUT_VNNI),
)
S8S8 = Dialect(
    "s8s8",
    symmetric=True,
    activations=s8s8.activations,
    quantize=s8s8.quantize,
    rest=_INT8.typed_for_tensorrt,
    serialize=emulated,
)


def dialect_of(*, for_tensorrt: bool, vnni: bool) -> Dialect:
    """The dialect of graphs for TensorRT, or of those for CPUs with or without VNNI."""
    if for_tensorrt:
        return S8S8
    return U8S8 if vnni else U8S7
