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


def prepare(request: Request, reference: Reference, log: StageLog) -> Folded:
    """Trace, fold, and take raw pixels where the request says so."""
    network, preprocessing = reference.network, reference.preprocessing
    shape = (preprocessing.channels, *preprocessing.crop)
    with log.stage(StageName.TRACE) as say:
        traced = trace(network, shape)
        model = traced.model
        worst = max(n.max_abs for n in traced.numerics.values())
        say(f"{sum(traced.operators.values())} nodes, max |Δlogit| {worst:.1e} against PyTorch")

    with log.stage(StageName.FOLD) as say:
        folding = fold(model)
        numerics = verify(network, model, shape, stage="fold")
        worst = max(n.max_abs for n in numerics.values())
        say(
            f"{folding.words}, max |Δw| {folding.max_weight_change:.3g}, "
            f"max |Δlogit| {worst:.1e} against PyTorch"
        )

    if stages.applies(StageName.PIXELS, request):
        with log.stage(StageName.PIXELS) as say:
            take_pixels(model, preprocessing)
            say("normalisation in the graph, raw RGB bytes in")
    return Folded(traced, folding, numerics, model)
