"""Running: a graph a segment at a time, to see its tensors in the memory of one segment.

    image ─► segment ─► carried ─► segment ─► carried ─► …

All the tensors of a deep network at once would take memory that grows with its depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from resnet_convert.graph.model_file import without_weights
from resnet_convert.graph.segments.cutting import Segment, cut
from resnet_serve.optional import optional
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

WALKS = 4  # at once, at most: each holds the tensors of a segment, and perhaps the weights
Arrays = dict[str, NDArray[Any]]
SummaryT = TypeVar("SummaryT")


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
        pool = ThreadPoolExecutor(walks)
        stack.callback(pool.shutdown, cancel_futures=True)  # begins none after an interruption
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
