"""Latencies: reference and candidate timed in turn, on the same cores or the same GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.reference import Reference, random_pixels
from resnet_serve.comparison.recorded import to_input
from resnet_serve.parity import latency
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import RunnableModel, TimesItself
from resnet_serve.runtimes import pytorch as pytorch_runtime

LATENCY_SECONDS = 3.0
ENGINE_SECONDS = 1.0
REFERENCE = "pytorch"


@dataclass(frozen=True)
class Latencies:
    """Times at batch 1, of the reference and of the candidate in its `runtime`.

    `reference_on` is "CPU" or "GPU".
    """

    runtime: str
    reference: Latency
    candidate: Latency
    reference_on: str = "CPU"

    @cached_property
    def speedup(self) -> Ratio:
        """How many times faster the candidate is, with its interval."""
        return latency.speedup(self.reference, self.candidate)

    def to_json(self) -> dict[str, object]:
        """By name of the runtime; PyTorch's under "pytorch"."""
        return {
            REFERENCE: self.reference.to_json(),
            self.runtime: self.candidate.to_json(),
        }


def time_both(reference: Reference, candidate: Candidate) -> Latencies:
    """Latencies at batch 1, in interleaved rounds.

    A candidate on a GPU is timed by events of its stream, and PyTorch too where it has CUDA.
    """
    planes, batch = reference.random_batch(1)
    model = candidate.model
    on_gpu = isinstance(model, TimesItself) and pytorch_runtime.gpu_available()
    pytorch = reference.load(device="cuda" if on_gpu else "cpu")
    timers: dict[str, Callable[[], float]] = {}
    if isinstance(model, TimesItself):
        timers[candidate.runtime] = partial(model.timed, batch)
    if on_gpu:
        timers[REFERENCE] = partial(pytorch.timed, planes)
    found = latency.measure(
        {
            REFERENCE: partial(pytorch.run_all, planes),
            candidate.runtime: partial(model.run_all, batch),
        },
        batch_size=1,
        seconds=LATENCY_SECONDS,
        timers=timers,
        until_narrow=True,
    )
    return Latencies(
        candidate.runtime,
        found[REFERENCE],
        found[candidate.runtime],
        "GPU" if on_gpu else "CPU",
    )


def time_engine(
    model: RunnableModel,
    batch_sizes: Iterable[int],
    input_kind: str,
    preprocessing: Preprocessing,
) -> dict[int, Latency]:
    """An engine's own time by batch size, between events of its stream.

    Raises `TypeError` for a model that cannot time itself.
    """
    if not isinstance(model, TimesItself):
        raise TypeError(f"{type(model).__name__} cannot time itself")
    found = {}
    for size in batch_sizes:
        batch = to_input(input_kind, random_pixels(preprocessing, size), preprocessing)
        times = latency.measure(
            {"engine": partial(model.run, batch)},
            batch_size=size,
            seconds=ENGINE_SECONDS,
            timers={"engine": partial(model.timed, batch)},
        )
        found[size] = times["engine"]
    return found
