"""Calibrate: the range of every activation over real images, streamed.

One pass of the folded FP32 graph with its activations as outputs; only a minimum and a maximum
per tensor are kept, so that memory grows neither with the images nor with the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.trace import serialize
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

FEW_IMAGES = 128


@dataclass(frozen=True)
class Range:
    """What a tensor was seen to take."""

    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Ranges by tensor name, and over how many images they were seen."""

    ranges: Mapping[str, Range]
    images: int
    method: str = "minmax"

    @property
    def few(self) -> bool:
        """Too few images to trust: INT8 ranges would miss what rarer images need."""
        return self.images < FEW_IMAGES


def observe(
    model: ir.Model,
    tensors: Iterable[str],
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Run `batches` of the graph's input through it and note the range of each named tensor."""
    names = tuple(tensors)
    low = dict.fromkeys(names, np.inf)
    high = dict.fromkeys(names, -np.inf)
    images = 0
    entry = str(model.graph.inputs[0].name)
    with onnxruntime_runtime.load(with_outputs(model, names), threads=threads) as session:
        for batch in batches:
            seen = {entry: batch} | session.run_all(batch)
            for name, value in seen.items():
                if name in low:  # numpy's minimum keeps a NaN, Python's min may drop it
                    low[name] = float(np.minimum(low[name], value.min()))
                    high[name] = float(np.maximum(high[name], value.max()))
            images += len(batch)
            if progress is not None:
                progress(images)
    if not images:
        raise UsageError("INT8 needs calibration images", remedy="Give --calibration a folder.")
    for name in names:
        if not (np.isfinite(low[name]) and np.isfinite(high[name])):
            raise ConversionError("is not finite on the calibration images", where=name)
    return Calibration({name: Range(low[name], high[name]) for name in names}, images)


def with_outputs(model: ir.Model, names: Iterable[str]) -> bytes:
    """A copy of the model that also returns the named tensors."""
    # Copying through the serialized form keeps the caller's graph untouched.
    copy = ir.from_proto(ir.to_proto(model))
    graph = copy.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values |= {value.name: value for value in graph.inputs}
    present = {value.name for value in graph.outputs}
    for name in names:
        if name not in present and not values[name].is_graph_input():
            graph.outputs.append(values[name])
    return serialize(copy)
