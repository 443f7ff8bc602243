"""OpenVINO on the CPU, in process, and a look at what it compiled.

It takes the converter's ONNX files as they are, at any batch size: Q/DQ pairs become INT8 kernels.
What is not INT8 computes in FP32, or in BF16 where that is asked for; OpenVINO's own default, and
therefore that of Triton's native backend, is BF16 on every CPU that has the instructions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import HostError, InputFileError
from resnet_serve.optional import optional
from resnet_serve.runtimes import RunnableModel

if TYPE_CHECKING:
    import openvino
else:
    openvino = optional("openvino", extra="openvino")

DEVICE = "CPU"
NOT_FOUND = "not found"
_BIASED = "/WithoutBiases"  # what it appends to a layer whose bias it sets apart
_NO_PRIMITIVE = "unknown"
_WHERE = r"Exception from |Check '.*' failed at |FrontEnd API failed"
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
# How the name of a primitive ends, as in brgconv_avx512_1x1_I8.
_PRECISIONS = {"i8": "int8", "u8": "int8", "f16": "fp16", "f32": "fp32"}


def load(
    model: Path | bytes,
    *,
    threads: int,
    bf16: bool = False,
    streams: int = 1,
    throughput: bool = False,
) -> OpenVinoModel:
    """Compile a file or serialized model for this CPU.

    The `threads` are shared by the `streams`, each of which runs one request at a time;
    `throughput` says that many requests come at once. Raises `InputFileError` for what OpenVINO
    cannot load, and `HostError` where `bf16` is asked of a CPU that would compute in FP32.
    """
    return OpenVinoModel(model, threads=threads, bf16=bf16, streams=streams, throughput=throughput)


class OpenVinoModel(RunnableModel):
    """See `load`; with `profiled`, every operator of a run is timed."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int,
        bf16: bool = False,
        streams: int = 1,
        throughput: bool = False,
        profiled: bool = False,
    ) -> None:
        core = openvino.Core()
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
        self._model, self._threads, self._bf16 = model, threads, bf16
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

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.request.infer({0: batch}, share_inputs=True)[0]
        return logits

    def run_all(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        found = self.request.infer({0: batch}, share_inputs=True)
        return {port.any_name: found[port] for port in self.compiled.outputs}

    def describe(self) -> dict[str, object]:
        found = self.compiled.get_property
        operators = compiled_operators(self._model, threads=self._threads, bf16=self._bf16)
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
        del self.request, self.compiled, self.graph


@dataclass(frozen=True)
class Operator:
    """One operator that a run executed: its kind, its precision, and what it was made from.

    `layers` names the operators of the file that were fused into it; a reorder has none.
    """

    name: str
    kind: str
    precision: str
    primitive: str
    layers: tuple[str, ...]
    microseconds: int


@dataclass(frozen=True)
class Execution:
    """What one run at batch 1 executed, in order, and the convolutions that the file asks for."""

    operators: tuple[Operator, ...]
    asked: tuple[str, ...]

    @property
    def counts(self) -> Counter[str]:
        """By kind and precision: `Convolution int8`, `Reorder int8`."""
        return Counter(f"{operator.kind} {operator.precision}" for operator in self.operators)

    @property
    def convolutions(self) -> dict[str, str]:
        """The precision of each convolution of the file, by its name in PyTorch.

        `NOT_FOUND` for one that no executed operator names.
        """
        precisions = {
            layer: operator.precision for operator in self.operators for layer in operator.layers
        }
        return {name.removesuffix(_BIASED): precisions.get(name, NOT_FOUND) for name in self.asked}


def execution(model: Path | bytes, *, threads: int = 1, bf16: bool = False) -> Execution:
    """Compile it, run it at batch 1, and read OpenVINO's own profile and execution graph.

    What OpenVINO computed beforehand, or fused into another operator, was not executed.
    """
    with OpenVinoModel(model, threads=threads, bf16=bf16, profiled=True) as loaded:
        entry = loaded.graph.inputs[0]
        shape = [side.get_length() if side.is_static else 1 for side in entry.partial_shape]
        for _ in range(2):  # the first run also prepares kernels and memory
            loaded.run(np.zeros(shape, entry.element_type.to_dtype()))
        times = {row.node_name: row.real_time for row in loaded.request.profiling_info}
        operators = tuple(
            operator
            for node in loaded.compiled.get_runtime_model().get_ordered_ops()
            if (operator := _operator(node, times)) is not None
        )
        asked = tuple(
            node.get_friendly_name()
            for node in loaded.graph.get_ordered_ops()
            if node.get_type_name() in _CONVOLUTIONS
        )
    return Execution(operators, asked)


def compiled_operators(
    model: Path | bytes, *, threads: int = 1, bf16: bool = False
) -> Counter[str]:
    """What OpenVINO really executes, counted by kind and precision (see `Execution.counts`)."""
    return execution(model, threads=threads, bf16=bf16).counts


def convolutions(model: Path | bytes, *, threads: int = 1, bf16: bool = False) -> dict[str, str]:
    """The precision each convolution runs in, by its PyTorch name (see `Execution`)."""
    return execution(model, threads=threads, bf16=bf16).convolutions


def reason(error: Exception) -> str:
    """What OpenVINO's exception says, in one line and without its own source files."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not re.match(_WHERE, line)]
    return " ".join(said) or type(error).__name__


def _operator(node: Any, times: Mapping[str, timedelta]) -> Operator | None:
    """A node of the execution graph; None for what a run does not execute.

    That is what has no time (constants, and what is made of them alone), and what has no primitive
    (inputs, outputs, a reshape that leaves its data where it is).
    """
    facts, name = node.get_rt_info(), node.get_friendly_name()
    kind, primitive, layers = (
        facts[key].astype(str) for key in ("layerType", "primitiveType", "originalLayersNames")
    )
    if name not in times or primitive.startswith(_NO_PRIMITIVE):
        return None
    ending = primitive.rpartition("_")[2].lower()
    return Operator(
        name=name,
        kind=kind,
        precision=_PRECISIONS.get(ending, ending),
        primitive=primitive,
        layers=tuple(filter(None, layers.split(","))),
        microseconds=round(1e6 * times[name].total_seconds()),
    )
