"""Roofline: what each layer of a converted network reaches of the speed that its CPU allows.

    rate of a layer = 2 · MACs / time     times from the runtime's own profile, at batch 1
    of the peak     = rate / the highest rate of a single large convolution (`parity.peaks`)

A layer far below the others is where a network loses its time: too few channels, or a kernel that
the runtime lacks. What is no convolution or linear layer has a time alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from resnet_convert.graph.nodes import WEIGHTED, relu_of
from resnet_convert.parity import peaks
from resnet_convert.parity.peaks import Peak
from resnet_serve import runtimes
from resnet_serve.runtimes.compiled import TimedOperator

if TYPE_CHECKING:
    import onnx_ir as ir

RUNS = 7


@dataclass(frozen=True)
class LayerSpeed:
    """One layer: its milliseconds at batch 1, its rate in 10⁹ operations per second.

    `of_peak` is None for a layer that computes in another precision than the peak.
    """

    precision: str
    ms: float
    gops: float
    of_peak: float | None

    def to_json(self) -> dict[str, object]:
        """The fields, by name."""
        return asdict(self)


@dataclass(frozen=True)
class Roofline:
    """The speed of every layer that the profile names; `other_ms` is the time of all the rest."""

    layers: Mapping[str, LayerSpeed]
    other_ms: float
    peak: Peak

    @property
    def total_ms(self) -> float:
        """The times of all operators of a run."""
        return self.other_ms + sum(layer.ms for layer in self.layers.values())

    def share_of_time(self, name: str) -> float:
        """How much of a run one layer takes."""
        return self.layers[name].ms / self.total_ms


def measure(
    target: str, precision: str, model: ir.Model, data: bytes, peak: Peak, *, threads: int
) -> Roofline:
    """Profile the file `data` in the CPU runtime `target`; `model` is its FP32 graph, folded."""
    timed = runtimes.timed(target, precision, data, threads=threads, runs=RUNS)
    return of(model, timed, peak)


def of(model: ir.Model, timed: Iterable[TimedOperator], peak: Peak) -> Roofline:
    """The times of operators, divided among the layers that they compute."""
    macs = peaks.macs_by_layer(model)
    names = _names(model)
    ms: dict[str, float] = defaultdict(float)
    precisions: dict[str, str] = {}
    other_ms = 0.0
    for operator in timed:
        layers = {names[node] for node in operator.nodes if node in names}
        if not (operator.multiplies and layers):
            other_ms += operator.ms
            continue
        together = sum(macs[layer] for layer in layers)
        for layer in layers:
            ms[layer] += operator.ms * macs[layer] / together
            precisions[layer] = operator.precision
    speeds = {}
    for layer in (each for each in macs if ms.get(each)):
        gops = 2 * macs[layer] / ms[layer] / 1e6
        comparable = precisions[layer] == peak.precision
        share = gops / peak.gops if comparable else None
        speeds[layer] = LayerSpeed(precisions[layer], ms[layer], gops, share)
    return Roofline(speeds, other_ms, peak)


def _names(model: ir.Model) -> dict[str, str]:
    """The layer by each name that a runtime may give it: its own, its ReLU's, or its output's."""
    found: dict[str, str] = {}
    for node in model.graph:
        if node.op_type not in WEIGHTED:
            continue
        for each in filter(None, (relu_of(node), node)):
            found |= dict.fromkeys((str(each.outputs[0].name), str(each.name)), str(node.name))
    return found
