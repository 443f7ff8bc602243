"""Folded: from the PyTorch reference to the FP32 graph that every precision starts from.

trace ─► fold ─► pixels,   checked against PyTorch wherever it must be equal
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert import stages
from resnet_convert.graph.fold import Fold, fold
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import Trace, trace, verify
from resnet_convert.parity.reference import Reference
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve.activation import Kind
from resnet_serve.errors import UsageError
from resnet_serve.parity.numerics import Numerics

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Folded:
    """The FP32 graph, traced and folded, with the input that will be served.

    `numerics` compares it with PyTorch after folding, by batch size.
    """

    trace: Trace
    fold: Fold
    numerics: dict[int, Numerics]
    model: ir.Model


def _refuse_probabilities(model: ir.Model, reference: Reference) -> None:
    """Probabilities must not be read as logits: a softmax of them is nearly even."""
    activation, last = reference.activation, model.graph.outputs[0].producer()
    if activation is None or activation.kind is Kind.NONE or last is None:
        return
    if last.op_type in ("Sigmoid", "Softmax"):
        raise UsageError(
            f"the network ends in its own {last.op_type.lower()}: its outputs are probabilities, "
            f"and {activation.kind} is for logits",
            where=reference.weights.source,
            remedy="Let it return logits, or serve the outputs as they are with --activation none.",
        )


def prepare(request: Request, reference: Reference, log: StageLog) -> Folded:
    """Trace, fold, and take raw pixels where the request says so."""
    network, preprocessing = reference.network, reference.preprocessing
    shape = (preprocessing.channels, *preprocessing.crop)
    with log.stage(StageName.TRACE) as say:
        traced = trace(network, shape)
        model = traced.model
        _refuse_probabilities(model, reference)
        worst = max(n.max_abs for n in traced.numerics.values())
        say(f"{sum(traced.operators.values())} nodes, max |Δlogit| {worst:.1e} against PyTorch")

    with log.stage(StageName.FOLD) as say:
        folding = fold(model)
        numerics = verify(traced.reference, model, shape, stage="fold")
        worst = max(n.max_abs for n in numerics.values())
        say(
            f"{folding.words}, max |Δw| {folding.max_weight_change:.3g}, "
            f"max |Δlogit| {worst:.1e} against PyTorch"
        )

    if stages.applies(StageName.PIXELS, request):
        with log.stage(StageName.PIXELS) as say:
            take_pixels(model, preprocessing)
            say(f"normalisation in the graph, raw {preprocessing.colours} bytes in")
    return Folded(traced, folding, numerics, model)
