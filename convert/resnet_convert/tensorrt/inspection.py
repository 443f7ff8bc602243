"""Inspection: whether TensorRT built what the graph says, layer by layer.

A precision that was requested and is not in the engine fails the conversion: TensorRT is free to
fall back without a warning, and "FP16" plans that compute in FP32 have been found in production
(roboflow/rf-detr#1453).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert.graph.nodes import dtype_of, element_types, joins_images, stored_weight
from resnet_convert.tensorrt.engine_layers import EngineLayer, read
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.parity.verdict import Check

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Of each convolution, by its PyTorch name: the precision requested, and the one found.
Convolutions = Mapping[str, tuple[str, str | None]]
ENGINE_CHECK = "precision in the engine"
_NAMED = 3  # convolutions of the wrong precision that a check names
# The first quantize step and the last dequantize step of an engine have no neighbour to fuse with.
_ROUNDING_AT_THE_ENDS = 2


@dataclass(frozen=True)
class Inspection:
    """The layers of an engine, and what became of the graph's convolutions and additions.

    `residuals` is, by the PyTorch name of each addition, whether it was fused with a convolution.
    """

    layers: tuple[EngineLayer, ...]
    convolutions: Convolutions
    residuals: Mapping[str, bool]

    @property
    def wrong(self) -> tuple[str, ...]:
        """The convolutions that do not compute in the precision that the graph gives them."""
        return _wrong(self.convolutions)

    @property
    def fused(self) -> int:
        """How many residual additions became part of their convolution."""
        return sum(self.residuals.values())

    @property
    def reformats(self) -> int:
        """How many layers only change a tensor's layout or type."""
        return sum(layer.reformats for layer in self.layers)

    @property
    def kinds(self) -> dict[str, int]:
        """How many layers there are of each kind."""
        return dict(Counter(layer.kind for layer in self.layers))

    def summary(self) -> str:
        """The inspection in one line of text."""
        return (
            f"{convolutions_found(self.convolutions)}, "
            f"conv+add fused {self.fused} of {len(self.residuals)}, "
            f"{self.reformats} reformats, {len(self.layers)} layers"
        )

    def check(self) -> Check:
        """The gate's check of the precision in the engine."""
        return check_precision(ENGINE_CHECK, self.convolutions)

    def warnings(self) -> list[str]:
        """What makes this engine slower, though it is correct; one sentence each."""
        found = []
        apart = [name for name, fused in self.residuals.items() if not fused]
        if apart:
            found.append(
                f"{len(apart)} of {len(self.residuals)} residual additions are layers of their "
                f"own (first {apart[0]})"
            )
        rounding = [layer.name for layer in self.layers if layer.rounds]
        if len(rounding) > _ROUNDING_AT_THE_ENDS:
            found.append(f"{len(rounding)} quantize steps were not fused (first {rounding[0]})")
        return found

    def to_json(self) -> dict[str, object]:
        """As the passport holds it."""
        return {
            "layers": len(self.layers),
            "kinds": self.kinds,
            "convolutions": {
                name: {"asked": requested, "found": found}
                for name, (requested, found) in self.convolutions.items()
            },
            "residuals_fused": self.fused,
            "residuals": len(self.residuals),
            "reformats": self.reformats,
        }


def inspect(information: str, model: ir.Model) -> Inspection:
    """Compare the layers with the ONNX graph that the engine was built from.

    `information` is the inspector's JSON, or the list of layers in the log of the build. An
    addition is fused where the layer that computes a convolution adds too. Raises
    `ConversionError` for text that cannot be read, and for an engine that names its layers
    only: it was not built with detailed profiling verbosity.
    """
    layers = read(information)
    requested = requested_precisions(model)
    computing = {name: _computing(name, layers) for name in requested}
    convolutions = {
        name: (requested[name], None if layer is None else layer.precision)
        for name, layer in computing.items()
    }
    additions = (str(node.name) for node in model.graph if joins_images(node))
    residuals = {
        name: any(layer is not None and layer.holds(name) for layer in computing.values())
        for name in additions
    }
    return Inspection(layers, convolutions, residuals)


def requested_precisions(model: ir.Model) -> dict[str, str]:
    """The precision in which the graph computes each convolution, by its PyTorch name.

    Raises `ConversionError` for weights of another type than those of our precisions.
    """
    names = {
        ir.DataType.FLOAT: "fp32",
        ir.DataType.FLOAT16: "fp16",
        ir.DataType.BFLOAT16: "bf16",
        ir.DataType.INT8: "int8",
        ir.DataType.FLOAT8E4M3FN: "fp8",
    }
    types = element_types(model.graph)
    found = {}
    for node in model.graph:
        weight = stored_weight(node) if node.op_type == "Conv" else None
        if weight is None:
            continue
        kind = types.get(weight) or dtype_of(weight)
        if kind not in names:
            raise ConversionError(f"its weights are {kind}", where=f"graph: {node.name}")
        found[str(node.name)] = names[kind]
    return found


def convolutions_found(convolutions: Convolutions) -> str:
    """As text: `53 of 53 convolutions INT8`."""
    requested = Counter(precision for precision, _ in convolutions.values())
    right = Counter(precision for precision, found in convolutions.values() if precision == found)
    return ", ".join(
        f"{right[precision]} of {count} convolutions {precision.upper()}"
        for precision, count in requested.items()
    )


def check_precision(name: str, convolutions: Convolutions) -> Check:
    """The gate's check, called `name`, that every convolution computes in its precision.

    Without any convolution it does not pass.
    """
    wrong = _wrong(convolutions)
    named = [f"{layer} is {convolutions[layer][1] or 'not found'}" for layer in wrong[:_NAMED]]
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return Check(
        name=name,
        found=convolutions_found(convolutions) + (f" ({', '.join(named)}{more})" if named else ""),
        allowed="all as in the graph",
        passed=bool(convolutions) and not wrong,
    )


def _wrong(convolutions: Convolutions) -> tuple[str, ...]:
    return tuple(name for name, (requested, found) in convolutions.items() if requested != found)


def _computing(name: str, layers: Iterable[EngineLayer]) -> EngineLayer | None:
    """The layer that computes the convolution `name`; None where no layer holds it."""
    holding = [
        layer for layer in layers if layer.holds(name) and not layer.reformats and not layer.rounds
    ]
    return max(holding, key=lambda layer: layer.computes, default=None)
