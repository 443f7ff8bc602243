"""Open the model that the gate judges, in its own runtime or emulated.

    onnxruntime, openvino          the file itself, on this CPU
    tensorrt, on a GPU host        the plan itself, built and inspected first
    tensorrt elsewhere             the typed graph in ONNX Runtime, rounding where TensorRT rounds
    tensorrt-rtx                   the same, beside the plan, which is built and inspected
    onnxruntime --accelerator      the same: the server builds that engine when it loads the model
      tensorrt
      cuda, on a GPU host          the file itself, every node on the CUDA provider
      cuda elsewhere               the typed graph, as for TensorRT

An emulation proves the graph, not the engine; it is never timed, and the gate says whose numbers
they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_convert.graph.emulate import emulated
from resnet_convert.parity.candidate import EMULATION, Candidate
from resnet_convert.stage_log import StageLog
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.builder import BuildHost, Built, TargetsHost
from resnet_convert.tensorrt.inspection import check_precision, requested_precisions
from resnet_serve import runtimes
from resnet_serve.parity.verdict import Check
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import onnxruntime_cuda, open_on_cpu
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider

if TYPE_CHECKING:
    import onnx_ir as ir

CUDA_RUNTIME = "onnxruntime on CUDA"
PRECISION_CHECK = "precision as compiled"


@contextmanager
def open_cpu_model(
    target: str, precision: str, model: ir.Model, data: bytes, *, threads: int, max_batch_size: int
) -> Iterator[Candidate]:
    """The file `data` (the serialized `model`) in the CPU runtime that will serve it."""
    compiled, check = inspect_compiled(target, precision, model, data)
    with open_on_cpu(target, precision, data, threads) as loaded:
        yield Candidate(loaded, target, max_batch_size, compiled, check=check)


@contextmanager
def open_on_cuda(
    data: bytes, provider: CudaProvider, *, threads: int, max_batch_size: int
) -> Iterator[Candidate]:
    """The file `data` on this GPU, in ONNX Runtime's CUDA provider.

    Raises `HostError` where a node of it would be computed on the CPU.
    """
    with onnxruntime_cuda.load(data, threads=threads, provider=provider) as loaded:
        yield Candidate(loaded, CUDA_RUNTIME, max_batch_size, loaded.operators())


@contextmanager
def open_emulation(model: ir.Model, *, threads: int, max_batch_size: int) -> Iterator[Candidate]:
    """A typed graph in ONNX Runtime, rounding where its types say."""
    with onnxruntime_runtime.load(emulated(model), threads=threads) as loaded:
        yield Candidate(loaded, EMULATION, max_batch_size)


@contextmanager
def open_beside_plan(
    build_host: TargetsHost,
    model: ir.Model,
    data: bytes,
    options: BuildOptions,
    log: StageLog,
    *,
    threads: int,
    max_batch_size: int,
) -> Iterator[tuple[Candidate, Built]]:
    """Build the plan of `data` (the serialized `model`) for other GPUs, and emulate its graph.

    The check of the precision is of the plan's own layers.
    """
    built = build_host.build(model, data, options, log)
    with open_emulation(model, threads=threads, max_batch_size=max_batch_size) as candidate:
        inspection = built.inspection
        yield replace(candidate, compiled=inspection.kinds, check=inspection.check()), built


@contextmanager
def open_engine(
    build_host: BuildHost,
    model: ir.Model,
    data: bytes,
    options: BuildOptions,
    log: StageLog,
    *,
    max_batch_size: int,
    timing_cache: Path | None = None,
) -> Iterator[tuple[Candidate, Built]]:
    """Build the plan of `data` (the serialized `model`) on this GPU; inspected, and loaded."""
    with build_host.build(model, data, options, log, timing_cache=timing_cache) as (built, loaded):
        inspection = built.inspection
        yield (
            Candidate(
                loaded,
                "tensorrt",
                max_batch_size,
                inspection.kinds,
                inspection.check(),
            ),
            built,
        )


def inspect_compiled(
    target: str, precision: str, model: ir.Model, data: bytes
) -> tuple[Mapping[str, int], Check | None]:
    """The operators that a CPU runtime compiled, and the gate's line on their precision.

    The check is None where the runtime does not report the precision of its convolutions.
    """
    compiled = runtimes.compiled(target, precision, data)
    if compiled.convolutions is None:
        return compiled.operators, None
    requested = requested_precisions(model)
    if precision == "bf16":  # typed when it is compiled: the graph says FP32
        requested = dict.fromkeys(requested, precision)
    found = {name: (kind, compiled.convolutions.get(name)) for name, kind in requested.items()}
    return compiled.operators, check_precision(PRECISION_CHECK, found)
