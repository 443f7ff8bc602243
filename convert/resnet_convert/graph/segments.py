"""Segments: run a graph a segment at a time and see its tensors, in the memory of one segment.

    image ─► segment ─► carried ─► segment ─► carried ─► …

All the tensors of a deep network at once would take memory that grows with its depth. A graph is
cut only where every tensor that is carried on was requested, and never in front of an activation
function or an average: so the runtime fuses and sums as in the whole graph, and no value changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from resnet_convert.graph.model_file import without_weights
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# Fused with the operator before them, or summed in the order of that operator's memory layout.
_TOGETHER = frozenset(
    {"AveragePool", "GlobalAveragePool"}
    | {"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)
TENSORS = 32  # requested tensors that a segment has, at least
WALKS = 4  # at once, at most: each holds the tensors of a segment, and perhaps the weights
Arrays = dict[str, NDArray[Any]]
SummaryT = TypeVar("SummaryT")


@dataclass(frozen=True)
class Segment:
    """A part of a graph: the names of its inputs, and of its outputs, the requested tensors."""

    model: ir.Model
    given: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """The inputs and the outputs of one segment for one batch; each tensor is shown once."""

    given: Arrays
    shown: Arrays


class Walk:
    """The segments of a graph, loaded into ONNX Runtime; made by `walk`."""

    def __init__(
        self,
        entry: str,
        segments: tuple[Segment, ...],
        sessions: list[onnxruntime_runtime.OnnxRuntimeModel],
        *,
        entry_shown: bool,
    ) -> None:
        self.segments = segments
        self._entry = entry
        self._sessions = sessions
        self._entry_shown = entry_shown

    def run(self, batch: NDArray[Any]) -> Iterator[Seen]:
        """The requested tensors for one batch, segment by segment.

        The caller should not keep them: then the memory is that of one segment.
        """
        carried: Arrays = {self._entry: batch}
        if self._entry_shown:
            yield Seen({}, dict(carried))
        for segment, session in zip(self.segments, self._sessions, strict=True):
            given = {name: carried[name] for name in segment.given}
            shown = run(session, given)
            carried = {self._entry: batch, **given, **shown}
            yield Seen(given, shown)


@contextmanager
def walk(model: ir.Model, names: Iterable[str], *, threads: int) -> Iterator[Walk]:
    """Load the segments of a model with one input; `names` are the requested tensors.

    `threads` is for each session; the segments run one after the other.
    """
    wanted = frozenset(names)
    with ExitStack() as stack:
        yield _opened(model, wanted, cut(model, wanted), stack, threads=threads)


def summarise(
    model: ir.Model,
    names: Iterable[str],
    batches: Iterable[NDArray[Any]],
    summary: Callable[[str, NDArray[Any], int], SummaryT],
    *,
    threads: int,
) -> Iterator[tuple[int, dict[str, SummaryT]]]:
    """The size of each batch, and a summary of each requested tensor, in the order of the batches.

    `summary` is given the name of a tensor, its values and the number of their batch.

    Batches run beside each other, up to `WALKS` at once, each on its share of the threads: while
    one is in the runtime, NumPy can summarise another, for which it has one core. Where that share
    is one thread, they run in the same sessions.
    """
    wanted = frozenset(names)
    segments = cut(model, wanted)
    walks = min(threads, WALKS)
    share = threads // walks
    idle: SimpleQueue[Walk] = SimpleQueue()
    waiting: deque[tuple[int, Future[dict[str, SummaryT]]]] = deque()

    def summarised(batch: NDArray[Any], number: int) -> dict[str, SummaryT]:
        own = idle.get()
        try:
            return {
                name: summary(name, value, number)
                for seen in own.run(batch)
                for name, value in seen.shown.items()
            }
        finally:
            idle.put(own)

    with ExitStack() as stack:
        opened = [
            _opened(model, wanted, segments, stack, threads=share)
            for _ in range(1 if share == 1 else walks)
        ]
        for number in range(walks):
            idle.put(opened[number % len(opened)])
        pool = stack.enter_context(ThreadPoolExecutor(walks))
        for number, batch in enumerate(batches):
            waiting.append((len(batch), pool.submit(summarised, batch, number)))
            if len(waiting) > walks:
                size, found = waiting.popleft()
                yield size, found.result()
        while waiting:
            size, found = waiting.popleft()
            yield size, found.result()


def _opened(
    model: ir.Model,
    wanted: frozenset[str],
    segments: tuple[Segment, ...],
    stack: ExitStack,
    *,
    threads: int,
) -> Walk:
    entry = str(model.graph.inputs[0].name)
    sessions = [stack.enter_context(loaded(segment, threads=threads)) for segment in segments]
    return Walk(entry, segments, sessions, entry_shown=entry in wanted)


def loaded(segment: Segment, *, threads: int) -> onnxruntime_runtime.OnnxRuntimeModel:
    """A session of the segment that leaves the memory of a run to those after it."""
    data, weights = without_weights(segment.model)
    return onnxruntime_runtime.load(
        data, threads=threads, outputs=segment.shown, shared_arena=True, weights=weights
    )


def run(session: onnxruntime_runtime.OnnxRuntimeModel, given: Mapping[str, NDArray[Any]]) -> Arrays:
    """The outputs of a loaded segment by name, for its inputs, which are in its order."""
    (_, first), *others = given.items()
    return session.run_all(first, dict(others))


def cut(model: ir.Model, names: Collection[str]) -> tuple[Segment, ...]:
    """The segments of the graph, in its order, with the tensors of these names as their outputs.

    The inputs of a segment are those of the graph that it reads, and the tensors that an earlier
    one has computed and it or a later one reads. Operators behind the last requested tensor are
    left out.
    """
    graph = model.graph
    nodes = list(graph)
    entries = set(graph.inputs)
    last = _last_reader(nodes)
    found: list[Segment] = []
    live: dict[ir.Value, None] = {}
    carried: dict[ir.Value, None] = {}
    part: list[ir.Node] = []
    shown: dict[ir.Value, None] = {}
    for position, node in enumerate(nodes):
        part.append(node)
        shown |= {value: None for value in node.outputs if value.name in names}
        live |= {value: None for value in node.outputs if last.get(value, -1) > position}
        for value in node.inputs:
            if value is not None and last[value] <= position:
                live.pop(value, None)
        if len(shown) >= TENSORS and all(_may_be_carried(value, names) for value in live):
            given = _read(part, entries) | carried
            found.append(_segment(model, part, given, shown))
            part, shown, carried = [], {}, dict(live)
    if shown:
        found.append(_segment(model, part, _read(part, entries) | carried, shown))
    return tuple(found)


def leading_to(model: ir.Model, groups: Iterable[Iterable[str]]) -> tuple[Segment, ...]:
    """For each group of tensor names, the part of the graph that computes them from its inputs."""
    position = {node: index for index, node in enumerate(model.graph)}
    values = {str(value.name): value for node in position for value in node.outputs}
    entries = set(model.graph.inputs)
    found = []
    for group in groups:
        outputs = [values[name] for name in group]
        needed: set[ir.Node] = set()
        waiting = list(outputs)
        while waiting:
            producer = waiting.pop().producer()
            if producer is not None and producer not in needed:
                needed.add(producer)
                waiting += [value for value in producer.inputs if value is not None]
        part = sorted(needed, key=position.__getitem__)
        found.append(_segment(model, part, _read(part, entries), outputs))
    return tuple(found)


def _last_reader(nodes: list[ir.Node]) -> dict[ir.Value, int]:
    return {
        value: position
        for position, node in enumerate(nodes)
        for value in node.inputs
        if value is not None
    }


def _may_be_carried(value: ir.Value, names: Collection[str]) -> bool:
    return (
        value.name in names
        and value.type is not None
        and all(use.node.op_type not in _TOGETHER for use in value.uses())
    )


def _read(part: list[ir.Node], entries: set[ir.Value]) -> dict[ir.Value, None]:
    """The graph's inputs that these nodes read."""
    return {value: None for node in part for value in node.inputs if value in entries}


def _segment(
    model: ir.Model, part: list[ir.Node], given: Iterable[ir.Value], shown: Iterable[ir.Value]
) -> Segment:
    inputs, outputs = list(given), list(shown)
    constants = {
        value: None
        for node in part
        for value in node.inputs
        if value is not None and value.is_initializer()
    }
    view = ir.GraphView(
        inputs,
        outputs,
        nodes=part,
        initializers=tuple(constants),
        opset_imports=model.graph.opset_imports,
        name=model.graph.name,
    )
    return Segment(
        ir.Model(view.clone(), ir_version=model.ir_version),
        tuple(str(value.name) for value in inputs),
        tuple(str(value.name) for value in outputs),
    )
