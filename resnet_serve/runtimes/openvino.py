"""OpenVINO on the CPU, in process.

It loads the converter's ONNX files unchanged, at any batch size: Q/DQ pairs become INT8 kernels.
What is not INT8 computes in FP32, or in BF16 where that is requested. The default of OpenVINO
itself, and so of Triton's native backend, is BF16 on every CPU that has the instructions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import HostError, InputFileError
from resnet_serve.optional import optional
from resnet_serve.runtimes import RunnableModel
from resnet_serve.runtimes.compiled import (
    NOT_FOUND,
    PREPARING_RUNS,
    Compiled,
    TimedOperator,
    median_of_runs,
)

if TYPE_CHECKING:
    import openvino
else:
    openvino = optional("openvino", extra="openvino")

DEVICE = "CPU"
_BIASED = "/WithoutBiases"  # OpenVINO appends it to a layer whose bias it separates
_NO_PRIMITIVE = "unknown"
_WHERE = r"Exception from |Check '.*' failed at |FrontEnd API failed"
_CHECKED = ("int8", "bf16")
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# How the name of a primitive ends, as in brgconv_avx512_1x1_I8.
_PRECISIONS = {"i8": "int8", "u8": "int8", "f16": "fp16", "f32": "fp32"}


def load(
    model: Path | bytes,
    *,
    threads: int,
    precision: str = "fp32",
    streams: int = 1,
    throughput: bool = False,
) -> OpenVinoModel:
    """Compile a file or serialized model for this CPU.

    `precision` "bf16" compiles an FP32 graph to BF16; every other precision is in the graph
    already. The `streams` share the `threads`, and each runs one request at a time; `throughput`
    is for many requests at once. Raises `InputFileError` for what OpenVINO cannot load, and
    `HostError` for "bf16" on a CPU that would compute it in FP32.
    """
    return OpenVinoModel(
        model, threads=threads, precision=precision, streams=streams, throughput=throughput
    )


class OpenVinoModel(RunnableModel):
    """See `load`; with `profiled`, every operator of a run is timed."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int,
        precision: str = "fp32",
        streams: int = 1,
        throughput: bool = False,
        profiled: bool = False,
    ) -> None:
        core = openvino.Core()
        bf16 = precision == "bf16"
        if bf16 and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
            raise HostError(
                "this CPU has no BF16 instructions (AVX512-BF16 or AMX)",
                remedy="Use --precision fp32 or int8 here.",
            )
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            # Two processes that pin their threads would pin them to the same cores.
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": profiled,
        }
        self._model, self._threads, self._precision = model, threads, precision
        self._processor = core.get_property(DEVICE, "FULL_DEVICE_NAME")
        try:
            self.graph = core.read_model(model if isinstance(model, bytes) else str(model))
            self.compiled = core.compile_model(self.graph, DEVICE, options)
        except RuntimeError as error:  # it raises nothing more precise
            where = "model" if isinstance(model, bytes) else model
            raise InputFileError(
                f"OpenVINO cannot load it ({reason(error)})", where=where
            ) from error
        self.request = self.compiled.create_infer_request()
        # The first use of this table (OpenVINO 2026.4) by two threads at once never ends: one fills
        # it without the interpreter's lock, and the other waits for it with that lock.
        openvino.Type.f32.to_dtype()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The first of the model's outputs for one batch; later runs do not overwrite it."""
        logits: NDArray[np.float32] = self.request.infer({0: batch}, share_inputs=True)[0]
        return logits

    def run_all(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Every output of one batch, by name."""
        found = self.request.infer({0: batch}, share_inputs=True)
        # Compiling merges names: a port may then have that of a tensor before a removed node too.
        pairs = zip(self.graph.outputs, self.compiled.outputs, strict=True)
        return {named.any_name: found[port] for named, port in pairs}

    def describe(self) -> dict[str, object]:
        """Version, processor, OpenVINO's own settings, and counts of what it executes."""
        found = self.compiled.get_property
        operators = compiled(self._model, self._precision, threads=self._threads).operators
        return {
            "runtime": "openvino",
            "version": openvino.__version__,
            "device": self._processor,
            "threads": found("INFERENCE_NUM_THREADS"),
            "streams": found("NUM_STREAMS"),
            "inference_precision": found("INFERENCE_PRECISION_HINT").to_string(),
            "operators": dict(operators),
        }

    def close(self) -> None:
        """Release the compiled model."""
        del self.request, self.compiled, self.graph


def compiled(model: Path | bytes, precision: str = "fp32", *, threads: int = 1) -> Compiled:
    """What two runs at batch 1 execute, from OpenVINO's own profile and execution graph.

    `operators` counts by kind and precision, such as `Convolution int8`. What OpenVINO computed
    while it compiled, or fused into another operator, is not executed. `convolutions` is None
    unless `precision` is "int8" or "bf16": FP16 graphs compute in FP32 here, which is no failure.
    """
    with OpenVinoModel(model, threads=threads, precision=precision, profiled=True) as loaded:
        operators = [operator for _, operator in _operators(loaded, set(_times(loaded, 0)))]
        names = [
            node.get_friendly_name()
            for node in loaded.graph.get_ordered_ops()
            if node.get_type_name() in _CONVOLUTIONS
        ]
    counts = Counter(f"{operator.kind} {operator.precision}" for operator in operators)
    if precision not in _CHECKED:
        return Compiled(counts)
    found = {layer: operator.precision for operator in operators for layer in operator.layers}
    return Compiled(
        counts, {name.removesuffix(_BIASED): found.get(name, NOT_FOUND) for name in names}
    )


def timed(
    model: Path | bytes, precision: str = "fp32", *, threads: int, runs: int
) -> tuple[TimedOperator, ...]:
    """Every operator that a run at batch 1 executes, in order, timed by OpenVINO in `runs` runs."""
    with OpenVinoModel(model, threads=threads, precision=precision, profiled=True) as loaded:
        times = _times(loaded, runs)
        return tuple(
            TimedOperator(
                operator.kind,
                operator.precision,
                tuple(dict.fromkeys(layer.partition(_BIASED)[0] for layer in operator.layers)),
                median_of_runs(times[name]),
            )
            for name, operator in _operators(loaded, times)
        )


def triton_parameters(
    *, instances: int, threads: int, max_batch_size: int, precision: str
) -> dict[str, str]:
    """Parameters of Triton's `openvino` backend, whose instances share one compiled model.

    That model has as many streams as there are instances, and the threads of them all.
    Reference: openvino_backend, src/openvino.cc.
    """
    parameters = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(instances),
        "INFERENCE_NUM_THREADS": str(instances * threads),
    }
    if precision == "bf16":
        parameters["HINT_BF16"] = "YES"
    if max_batch_size > 1:
        # Without it the native backend refuses every batch but the largest.
        parameters["ENABLE_BATCH_PADDING"] = "YES"
    return parameters


def reason(error: Exception) -> str:
    """The text of OpenVINO's exception in one line, without the names of its source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not re.match(_WHERE, line)]
    return " ".join(said) or type(error).__name__


class _Operator(NamedTuple):
    """One executed operator: its kind, its precision, and the layers of the file fused into it."""

    kind: str
    precision: str
    layers: tuple[str, ...]


def _times(loaded: OpenVinoModel, runs: int) -> dict[str, list[float]]:
    """The milliseconds of every node of the execution graph, in each run of zeros."""
    entry = loaded.graph.inputs[0]
    shape = [side.get_length() if side.is_static else 1 for side in entry.partial_shape]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(PREPARING_RUNS + runs):
        loaded.run(np.zeros(shape, entry.element_type.to_dtype()))
        for row in loaded.request.profiling_info:
            times[row.node_name].append(1e3 * row.real_time.total_seconds())
    return times


def _operators(loaded: OpenVinoModel, timed: Collection[str]) -> Iterator[tuple[str, _Operator]]:
    """The operators that a run executes, in order, by the names of their nodes."""
    for node in loaded.compiled.get_runtime_model().get_ordered_ops():
        operator = _operator(node, timed)
        if operator is not None:
            yield node.get_friendly_name(), operator


def _operator(node: Any, timed: Collection[str]) -> _Operator | None:
    """A node of the execution graph; None for one that a run does not execute.

    Constants, and what is made of them alone, have no time. Inputs, outputs, and a reshape that
    leaves its data in place have no primitive.
    """
    facts, name = node.get_rt_info(), node.get_friendly_name()
    kind, primitive, layers = (
        facts[key].astype(str) for key in ("layerType", "primitiveType", "originalLayersNames")
    )
    if name not in timed or primitive.startswith(_NO_PRIMITIVE):
        return None
    ending = primitive.rpartition("_")[2].lower()
    return _Operator(kind, _PRECISIONS.get(ending, ending), tuple(filter(None, layers.split(","))))
