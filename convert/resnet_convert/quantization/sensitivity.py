"""Sensitivity: what quantizing each layer costs, measured at the logits.

    cost of a layer  =  SQNR( FP32 logits, logits with this layer alone on its grids )

The grids of the layer's input and weights come from the converted graph and go into the FP32 graph,
where everything else stays exact: so the cost is that of this layer alone, and a typed graph needs
no emulation. The other way, the gain when one layer alone is kept, ranks by small differences of a
large noise: with two ruined layers, which both rankings put first, keeping eight layers gives the
digits ResNet-20 33 dB by this ranking, and 30 dB (s8s8) by the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of, assign, own_initializer
from resnet_convert.graph.nodes import WEIGHTED, data_input, dequantizer, quantizer
from resnet_convert.graph.opset import raise_opset
from resnet_convert.graph.segments.cutting import Segment, Stretch, stretches
from resnet_convert.graph.segments.running import WALKS, loaded
from resnet_convert.quantization.qdq import insert_pair
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.optional import optional
from resnet_serve.parity import numerics

if TYPE_CHECKING:
    import onnx_ir as ir

    class Quantized(Protocol):
        """What a quantization returns: the layers that stay floating."""

        @property
        def floating(self) -> tuple[str, ...]:
            """Their names, in the graph's order."""

    Quantize = Callable[[ir.Model, frozenset[str]], Quantized]
else:
    ir = optional("onnx_ir", extra="convert")

IMAGES = 64
# Values of the tensor that is kept: 256 MiB in FP32.
LARGEST_KEPT = 2**26


@dataclass(frozen=True)
class Cost:
    """What quantizing one layer alone costs.

    `sqnr_db` of the logits, and in how many (`flips`) of `images` the decision changes.
    """

    layer: str
    sqnr_db: float
    flips: int
    images: int

    def to_json(self) -> dict[str, object]:
        """The fields, as JSON."""
        return asdict(self)


def rank(
    folded: ir.Model,
    quantize: Quantize,
    batches: Iterable[NDArray[Any]],
    *,
    threads: int,
    images: int = IMAGES,
    progress: Callable[[int, int], None] | None = None,
    activation: Activation = SOFTMAX,
) -> tuple[Cost, ...]:
    """The cost of every layer that `quantize` quantizes, the most costly first.

    `quantize(model, keep)` converts a folded graph to INT8 or FP8 in place, in either dialect,
    typed or not; `keep` names the layers to leave floating, here none. The first `images` of
    `batches` are kept in memory and run once per layer, from the layer on where what is in front of
    it can be kept; `progress(done, total)` counts layers. Raises `UsageError` without images.
    """
    held = _first(batches, images)
    converted = folded.clone()
    quantize(converted, frozenset())
    quantized = {
        str(node.name): node
        for node in converted.graph
        if node.op_type in WEIGHTED and dequantizer(node.inputs[0]) is not None
    }
    divided = stretches(folded, largest=LARGEST_KEPT // images)  # one at a time: they are large
    first = next(divided)  # its rest is the whole network
    exact = np.concatenate(_outputs(first.rest, held, threads))
    costs: list[Cost] = []
    for name, logits in _one_by_one(
        chain([first], divided), converted, quantized, held, threads=threads
    ):
        costs.append(
            Cost(
                layer=name,
                sqnr_db=numerics.compare(exact, logits).sqnr_db,
                flips=activation.flips(exact, logits),
                images=len(exact),
            )
        )
        if progress is not None:
            progress(len(costs), len(quantized))
    return tuple(sorted(costs, key=lambda cost: cost.sqnr_db))


def _first(batches: Iterable[NDArray[Any]], images: int) -> list[NDArray[Any]]:
    held: list[NDArray[Any]] = []
    for batch in batches:
        held.append(batch[: images - sum(map(len, held))])
        if sum(map(len, held)) >= images:
            break
    if not sum(map(len, held)):
        raise UsageError("no images to rank the layers on", remedy="Give a folder of images.")
    return held


def _one_by_one(
    divided: Iterable[Stretch],
    converted: ir.Model,
    quantized: Mapping[str, ir.Node],
    held: list[NDArray[Any]],
    *,
    threads: int,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The logits with each layer alone on its grids, in the order of the graph.

    Layers run beside each other, up to `WALKS` at once, each on its share of the threads.
    """
    beside = min(threads, WALKS)
    waiting: deque[tuple[str, Future[list[NDArray[np.float32]]]]] = deque()

    def oldest() -> tuple[str, NDArray[np.float32]]:
        name, logits = waiting.popleft()
        return name, np.concatenate(logits.result())

    with ExitStack() as stack:
        pool = ThreadPoolExecutor(beside)
        stack.callback(pool.shutdown, cancel_futures=True)  # begins none after an interruption
        for stretch in divided:
            for name in (each for each in quantized if each in stretch.nodes):
                layer = _alone(stretch.rest, converted, name, quantized[name])
                waiting.append((name, pool.submit(_outputs, layer, held, threads // beside)))
                if len(waiting) > beside:
                    yield oldest()
            if stretch.lead is not None:
                held = _outputs(stretch.lead, held, threads)
        while waiting:
            yield oldest()


def _outputs(
    part: Segment, batches: Iterable[NDArray[Any]], threads: int
) -> list[NDArray[np.float32]]:
    """Its first output for each batch of its input."""
    with loaded(part, threads=threads) as session:
        return [session.run(batch) for batch in batches]


def _alone(exact: Segment, converted: ir.Model, name: str, twin: ir.Node) -> Segment:
    """A part of the FP32 graph with one layer on the grids of its twin in the converted graph."""
    model = exact.model.clone()
    graph = model.graph
    node = next(node for node in graph if node.name == name)
    quantize = quantizer(_dequantizer(twin, 0).inputs[0])
    if quantize is None:
        raise ConversionError("its input has no Q/DQ pair", where=f"sensitivity: {name}")
    scale, zero = (array_of(value) for value in quantize.inputs[1:] if value is not None)
    value = data_input(node)
    grid = scale.astype(np.float32), np.asarray(zero)
    insert_pair(graph, value, *grid, name=f"{name}.given", uses=[(node, 0)])
    assign(own_initializer(node, 1), _dequantized(_dequantizer(twin, 1)))
    bias = dequantizer(twin.inputs[2]) if len(twin.inputs) > 2 else None
    if bias is not None and len(node.inputs) > 2:
        assign(own_initializer(node, 2), _dequantized(bias))
    opset = converted.graph.opset_imports[""]
    if opset > graph.opset_imports[""]:  # FP8 has Q/DQ from 19 on
        raise_opset(model, opset, converted.ir_version or model.ir_version)
    return replace(exact, model=model)


def _dequantized(node: ir.Node) -> NDArray[np.float32]:
    """The integers (or FP8 numbers) that a DQ reads times the scales of their channels, axis 0."""
    stored, scale = (array_of(value) for value in node.inputs[:2] if value is not None)
    steps = scale.astype(np.float64).reshape((-1,) + (1,) * (stored.ndim - 1))
    return np.asarray(stored.astype(np.float64) * steps, np.float32)


def _dequantizer(node: ir.Node, index: int) -> ir.Node:
    """The DequantizeLinear in front of an input of an operator, which must have one."""
    found = dequantizer(node.inputs[index])
    if found is None:
        raise ConversionError(f"input {index} has no DequantizeLinear", where=str(node.name))
    return found
