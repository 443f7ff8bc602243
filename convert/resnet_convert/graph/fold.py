"""Fold: BatchNormalization into the convolution before it, exactly, in float64.

    y = γ·(w∗x + b − μ)/√(σ² + ε) + β   =   (w·s)∗x + (b − μ)·s + β,   s = γ/√(σ² + ε)

Rules:
1. One pair at a time; the sums in float64, rounded to FP32 once.
2. The convolution's output has no other reader; else the BatchNormalization is not folded (rule 4).
3. An initializer that two nodes share is refused: scaling it would scale the other node too.
4. A BatchNormalization without its own convolution (pre-activation networks) becomes a
   per-channel Mul and Add: no BatchNormalization is left either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import (
    array_of,
    assign,
    bias_of,
    initializer,
    own_initializer,
    remove,
    set_bias,
)
from resnet_convert.graph.nodes import readers_of, writer_of
from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Fold:
    """What folding did.

    Of `total` BatchNormalizations `folded` went into convolutions; `kept` names the others, which
    became Mul and Add. `max_weight_change` is the largest |Δ| of any weight.
    """

    folded: int
    total: int
    kept: tuple[str, ...]
    max_weight_change: float

    @property
    def words(self) -> str:
        """As text: `33 of 49 BatchNorms folded`, and how many were not, and why."""
        folded = f"{self.folded} of {self.total} BatchNorms folded"
        if not self.kept:
            return folded
        stay = f"{len(self.kept)} stay{'s' if len(self.kept) == 1 else ''} as scale and shift"
        more = ", …" if len(self.kept) > 1 else ""
        return f"{folded}, {stay} (no convolution of its own before it: {self.kept[0]}{more})"


def fold(model: ir.Model) -> Fold:
    """Fold every BatchNormalization of the model, in place; none is left.

    Raises `ConversionError` naming the node for shared or computed parameters, for training mode,
    and for numbers that are not finite in FP32.
    """
    graph = model.graph
    folded, kept, change = 0, [], 0.0
    norms = [node for node in graph if node.op_type == "BatchNormalization"]
    for norm in norms:
        convolution = writer_of(_input(norm))
        if convolution is None or not _owns(convolution, norm):
            kept.append(str(norm.name))
            _scale_and_shift(graph, norm)
            continue
        change = max(change, _into_convolution(graph, convolution, norm))
        folded += 1
    return Fold(folded, len(norms), tuple(kept), change)


def _input(norm: ir.Node) -> ir.Value:
    value = norm.inputs[0]
    if value is None or norm.attributes.get_int("training_mode"):
        raise ConversionError("is in training mode or has no input", where=f"fold: {norm.name}")
    return value


def _owns(convolution: ir.Node, norm: ir.Node) -> bool:
    value = convolution.outputs[0]
    return (
        convolution.op_type == "Conv"
        and readers_of(value) == [norm]
        and not value.is_graph_output()
    )


def _into_convolution(graph: ir.Graph, convolution: ir.Node, norm: ir.Node) -> float:
    weight = own_initializer(convolution, 1)
    before = array_of(weight)
    scale, shift = _affine(norm)
    after = before.astype(np.float64) * scale.reshape((-1,) + (1,) * (before.ndim - 1))
    bias = bias_of(convolution)
    if bias is not None:
        shift += bias.astype(np.float64) * scale
    set_bias(graph, convolution, _single(shift, norm))
    assign(weight, _single(after, norm))
    output, replaced = convolution.outputs[0], norm.outputs[0]
    name = replaced.name if replaced.is_graph_output() else output.name
    replaced.replace_all_uses_with(output, replace_graph_outputs=True)
    remove(graph, norm)
    output.name = name
    return float(np.abs(after - before).max(initial=0.0))


def _scale_and_shift(graph: ir.Graph, norm: ir.Node) -> None:
    scale, shift = _affine(norm)
    rank = len(_input(norm).shape or (0, 0, 0, 0))
    shape = (-1,) + (1,) * (rank - 2)
    factor = initializer(graph, f"{norm.name}.scale", _single(scale, norm).reshape(shape))
    offset = initializer(graph, f"{norm.name}.shift", _single(shift, norm).reshape(shape))
    scaled = ir.node("Mul", [_input(norm), factor], name=f"{norm.name}.mul")
    shifted = ir.node("Add", [scaled.outputs[0], offset], name=f"{norm.name}")
    for node in (scaled, shifted):
        node.outputs[0].name = node.name
        node.outputs[0].shape, node.outputs[0].type = norm.outputs[0].shape, norm.outputs[0].type
    name = norm.outputs[0].name
    graph.insert_before(norm, [scaled, shifted])
    norm.outputs[0].replace_all_uses_with(shifted.outputs[0], replace_graph_outputs=True)
    remove(graph, norm)
    shifted.outputs[0].name = name


def _affine(norm: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shift of a BatchNormalization, in float64."""
    gamma, beta, mean, variance = (
        array_of(own_initializer(norm, index)).astype(np.float64) for index in range(1, 5)
    )
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else 1e-5
    if (variance + epsilon <= 0).any() or not np.isfinite(variance).all():
        raise ConversionError(
            "running variances must be positive numbers",
            where=f"fold: {norm.name}",
            remedy="The checkpoint is damaged or its training diverged.",
        )
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _single(exact: NDArray[np.float64], norm: ir.Node) -> NDArray[np.float32]:
    """Rounded to FP32; refuses what does not fit."""
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ConversionError(
            "folding it gives weights that are not finite",
            where=f"fold: {norm.name}",
            remedy="The checkpoint is damaged or its training diverged.",
        )
    return rounded
