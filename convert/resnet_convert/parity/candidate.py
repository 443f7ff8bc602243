"""Candidate: what the gate judges, in its own runtime or in a stand-in that rounds like it.

    onnxruntime, openvino          the file itself, on this CPU
    tensorrt, on a GPU host        the plan itself, built and inspected first
    tensorrt elsewhere             the typed graph in ONNX Runtime, rounded where TensorRT rounds
    onnxruntime --accelerator      the same: the server builds that engine when it loads the model

A stand-in proves the graph, not the engine; it is never timed, and the gate says whose numbers
they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from resnet_convert.graph.emulate import emulated
from resnet_convert.parity import measure
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog
from resnet_convert.tensorrt.builder import BuildHost, Built, EngineRecord, State
from resnet_convert.tensorrt.inspection import Convolutions, asked_precisions, check_precision
from resnet_serve.parity import latency
from resnet_serve.parity.gate import Check
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import RunnableModel, TimesItself, open_on_cpu
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import openvino as openvino_runtime

if TYPE_CHECKING:
    import onnx_ir as ir

STAND_IN = "emulation"
PRECISION_CHECK = "precision as compiled"
LATENCY_SECONDS = 1.0


@dataclass(frozen=True)
class Candidate:
    """A model to be judged; `compiled` counts what it runs, by operator or kind of layer.

    `check` is the gate's line on the precision that it really computes in, where that is known.
    """

    model: RunnableModel
    runtime: str
    compiled: Mapping[str, int] = field(default_factory=dict)
    built: Built | None = None
    check: Check | None = None

    @property
    def measurable(self) -> bool:
        """Whether it is what will be served, so that its times mean something."""
        return self.runtime != STAND_IN


@contextmanager
def open_candidate(
    request: Request,
    model: ir.Model,
    data: bytes,
    build_host: BuildHost | None,
    threads: int,
    log: StageLog,
) -> Iterator[Candidate]:
    """Open who runs `model` (serialized: `data`) for this request."""
    if build_host is not None:
        options = request.build_options
        with build_host.build(
            model, data, options, log, timing_cache=request.timing_cache_directory
        ) as (built, loaded):
            kinds = built.inspection.kinds
            yield Candidate(loaded, "tensorrt", kinds, built, built.inspection.check())
    elif request.for_tensorrt:
        with onnxruntime_runtime.load(emulated(model), threads=threads) as rounding:
            yield Candidate(rounding, STAND_IN)
    else:
        compiled, check = look_inside(request.row.name, request.precision, model, data)
        with open_on_cpu(request.row.name, request.precision, data, threads) as loaded:
            yield Candidate(loaded, request.row.name, compiled, check=check)


def look_inside(
    target: str, precision: str, model: ir.Model, data: bytes
) -> tuple[Mapping[str, int], Check | None]:
    """What a CPU's runtime compiled: its operators, and whether the precision is really there."""
    asked = asked_precisions(model)
    if target == "openvino":
        ran = openvino_runtime.execution(data, bf16=precision == "bf16")
        if precision == "bf16":
            asked = dict.fromkeys(asked, "bf16")
        found = {name: (kind, ran.convolutions.get(name)) for name, kind in asked.items()}
        checked = precision in ("int8", "bf16")
        return ran.counts, _check(found) if checked else None
    kernels = onnxruntime_runtime.execution(data)
    integers = kernels.integer_convolutions
    if precision != "int8":
        return kernels.counts, None
    found = {name: (kind, "int8" if name in integers else "fp32") for name, kind in asked.items()}
    return kernels.counts, _check(found)


def _check(found: Convolutions) -> Check:
    return check_precision(PRECISION_CHECK, found)


def engine_record(
    request: Request, candidate: Candidate, preprocessing: Preprocessing
) -> EngineRecord | None:
    """What the passport will say of the engine; None where there is none."""
    if not request.for_tensorrt:
        return None
    options = request.build_options
    if candidate.built is None:
        state: State = "built by the server" if request.accelerator else "plan not built"
        return EngineRecord(state, options, request.triton)
    optima = sorted({profile.optimum for profile in options.profiles})
    return EngineRecord(
        "built",
        options,
        request.triton,
        candidate.built,
        time_batches(candidate.model, optima, request.input, preprocessing),
    )


def time_batches(
    model: RunnableModel, batch_sizes: Iterable[int], kind: str, preprocessing: Preprocessing
) -> dict[int, latency.Latency]:
    """The engine's own time at the batches it was tuned for, between events of its stream."""
    if not isinstance(model, TimesItself):
        raise TypeError(f"{type(model).__name__} cannot time itself")
    found = {}
    for size in batch_sizes:
        _, batch = measure.noise(kind, preprocessing, size)
        times = latency.measure(
            {"engine": partial(model.run, batch)},
            batch_size=size,
            seconds=LATENCY_SECONDS,
            timers={"engine": partial(model.timed, batch)},
        )
        found[size] = times["engine"]
    return found
