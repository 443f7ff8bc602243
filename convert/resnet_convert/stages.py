"""Graph: from the PyTorch reference to the ONNX graph that will be deployed.

    trace ─► fold ─► pixels ─► precision ─► (lint, for TensorRT and INT8)

This order is the only one: quantizing before folding, or narrowing before quantizing, is a class
of bugs of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert import precision
from resnet_convert.graph.fold import Fold, fold
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.graph.trace import Trace, trace, verify
from resnet_convert.lint import cpu, rules, tensorrt
from resnet_convert.parity.evaluator import Evaluator
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog
from resnet_serve.datasets import Images
from resnet_serve.optional import optional
from resnet_serve.parity.numerics import Numerics
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Folded:
    """The FP32 graph, traced and folded, taking what will be served."""

    trace: Trace
    fold: Fold
    fold_numerics: dict[int, Numerics]
    model: ir.Model


@dataclass(frozen=True)
class Graph:
    """The graph in its precision, as it will be deployed; `data` is `model` serialized."""

    folded: Folded
    precise: Precise
    model: ir.Model
    data: bytes


def prepare(request: Request, loaded: Weights, network: nn.Module, log: StageLog) -> Folded:
    """Trace, fold, take pixels; checked against PyTorch where it must be equal."""
    with log.stage("trace") as say:
        traced = trace(network, (loaded.preprocessing.channels, *loaded.preprocessing.crop))
        model = traced.model
        worst = max(n.max_abs for n in traced.numerics.values())
        say(f"{sum(traced.operators.values())} nodes, max |Δlogit| {worst:.1e} against PyTorch")

    with log.stage("fold") as say:
        folding = fold(model)
        fold_numerics = verify(
            network,
            model,
            (loaded.preprocessing.channels, *loaded.preprocessing.crop),
            stage="fold",
        )
        worst = max(n.max_abs for n in fold_numerics.values())
        say(
            f"{folding.words}, max |Δw| {folding.max_weight_change:.3g}, "
            f"max |Δlogit| {worst:.1e} against PyTorch"
        )

    if request.input == "uint8":
        with log.stage("pixels") as say:
            take_pixels(model, loaded.preprocessing)
            say("normalisation in the graph, raw RGB bytes in")
    return Folded(traced, folding, fold_numerics, model)


def finish(
    folded: Folded,
    request: Request,
    loaded: Weights,
    calibration_set: Images | None,
    log: StageLog,
    evaluator: Evaluator | None = None,
    made: Precise | None = None,
) -> Graph:
    """A copy of the folded graph, brought to its precision and held to its target's rules.

    With a `evaluator`, layers are kept in higher precision until the request's budgets hold. What a
    autoselection has `made` already is taken as it is.
    """
    precise = made or precision.bring(
        folded.model, request, loaded, calibration_set, log, evaluator
    )
    if request.for_tensorrt:
        with log.stage("lint") as say:
            rules.refuse(rules.check(precise.model, tensorrt.RULES))
            say("keeps TensorRT's rules")
    elif request.precision == "int8":
        with log.stage("lint") as say:
            rules.refuse(rules.check(precise.model, cpu.RULES))
            say("keeps the rules of u8 × s8")
    return Graph(folded, precise, precise.model, serialize(precise.model))
