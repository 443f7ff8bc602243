"""ONNX Runtime on a GPU, in process: its CUDA provider, or an error.

    the provider is in this build ─► its libraries load ─► the session has it ─► every node is on it

ONNX Runtime itself falls back: to its CPU provider where CUDA cannot be loaded (one line in the
log), and for each node that CUDA has no kernel for. The outputs are right and slow, and nobody is
told; so here each of these is a `HostError`.
Reference: onnxruntime, CUDA-ExecutionProvider.md and onnxruntime_session_options_config_keys.h.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.cuda import libraries, nvidia_smi
from resnet_serve.errors import HostError
from resnet_serve.optional import optional
from resnet_serve.runtimes.onnxruntime import OnnxRuntimeModel, session_options, unloadable

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
else:
    onnxruntime = optional("onnxruntime", extra="gpu")

CUDA = "CUDAExecutionProvider"
PRECISIONS = ("fp32", "fp16")
# As the kernels that onnxruntime-gpu 1.31.1 registers place the nodes of our graphs.
LACKING: Mapping[str, str] = MappingProxyType(
    {
        "bf16": "has no BF16 kernels for pooling",
        "int8": "has no INT8 convolutions: it would convert to FP32 and back around each",
        "fp8": "has no FP8 convolutions",
    }
)
INSTALL = (
    "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"
)
_CUDNN = "libcudnn.so.9"  # opened when the first convolution runs, so the binary does not list it
_DRIVER = "libcuda.so.1"
_RECORD = "session.record_ep_graph_assignment_info"
_REFUSE_CPU = "session.disable_cpu_ep_fallback"
_SHOWN_NODES = 3


@dataclass(frozen=True)
class CudaProvider:
    """How the CUDA provider is set up: FP32 without TF32, and memory that does not double.

    `memory_mib` limits its arena, None is all of the GPU. Kernels are chosen by cuDNN's heuristic:
    the exhaustive search is made again for every batch size that a server forms. CUDA graphs are
    off: a graph replays the addresses and the batch of its capture, and requests bring their own.
    """

    memory_mib: int | None = None
    device_id: int = 0

    @property
    def options(self) -> dict[str, str]:
        """The options by the provider's own names."""
        found = {
            "device_id": str(self.device_id),
            "use_tf32": "0",
            "enable_cuda_graph": "0",
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        }
        if self.memory_mib is not None:
            found["gpu_mem_limit"] = str(self.memory_mib * 2**20)
        return found


def load(
    model: Path | bytes, *, threads: int, provider: CudaProvider | None = None
) -> OnnxRuntimeCudaModel:
    """Open a file or serialized model on a GPU, all of its nodes on the CUDA provider.

    Raises `HostError` where ONNX Runtime would compute on the CPU instead, `InputFileError` for
    what it cannot load.
    """
    options = session_options(threads=threads)
    try:
        session = open_session(model, options, (provider or CudaProvider()).options)
    except HostError:
        raise
    except Exception as error:  # its exception classes are private to the extension module
        raise gpu_error(error) or unloadable(model, error) from error
    return OnnxRuntimeCudaModel(model, session, threads=threads)


def open_session(
    model: Path | bytes, options: onnxruntime.SessionOptions, provider_options: dict[str, str]
) -> onnxruntime.InferenceSession:
    """A session whose nodes are all on the CUDA provider.

    Raises `HostError` that says what is missing here; other errors are ONNX Runtime's own.
    """
    check_installed()
    recorded = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
    options.add_session_config_entry(_RECORD if recorded else _REFUSE_CPU, "1")
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(
            source, options, providers=[(CUDA, provider_options)], enable_fallback=0
        )
    except Exception as error:  # they share no other base class
        if "assigned to the default CPU EP" in str(error):
            raise _no_kernels("some of its nodes") from error
        raise
    if CUDA not in session.get_providers():
        raise HostError(
            f"ONNX Runtime could not start its {CUDA} and opened the model on "
            f"{', '.join(session.get_providers())} instead",
            where="onnxruntime",
            remedy="Its reason is in the log above; nvidia-smi and resnet-serve doctor check the "
            "driver and the libraries.",
        )
    elsewhere = nodes_elsewhere(session, CUDA) if recorded else ()
    if elsewhere:
        shown = ", ".join(elsewhere[:_SHOWN_NODES])
        more = len(elsewhere) - _SHOWN_NODES
        raise _no_kernels(f"{shown} and {more} more" if more > 0 else shown)
    session.disable_fallback()
    return session


def gpu_here() -> bool:
    """Whether the driver of this host lists a GPU; raises `HostError` where nvidia-smi fails."""
    return bool(nvidia_smi.gpus())


def check_installed() -> None:
    """Raise `HostError` unless this onnxruntime has the CUDA provider and all of its libraries."""
    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        raise HostError(
            f"this onnxruntime {onnxruntime.get_version_string()} is a build without CUDA (it has "
            f"{', '.join(available)})",
            where="onnxruntime",
            remedy=INSTALL,
        )
    missing = missing_libraries()
    if _DRIVER in missing:
        raise HostError(
            f"this host has no NVIDIA driver ({missing[_DRIVER]})",
            remedy="Use a GPU host where nvidia-smi works (in a container: docker run --gpus all).",
        )
    if missing:
        raise HostError(
            f"ONNX Runtime's CUDA provider needs {', '.join(missing)}, which cannot be loaded here",
            where="onnxruntime",
            remedy="pip install 'onnxruntime-gpu[cuda,cudnn]'",
        )


def missing() -> HostError | None:
    """Why it cannot run a model on this host; None where it can."""
    try:
        if not gpu_here():
            return HostError("this host has no GPU")
        check_installed()
    except HostError as error:
        return error
    return None


def missing_libraries() -> dict[str, str]:
    """The libraries of the CUDA provider that cannot be loaded, with the loader's reasons."""
    found = importlib.util.find_spec("onnxruntime")
    folder = Path() if found is None or found.origin is None else Path(found.origin).parent
    binary = folder / "capi" / "libonnxruntime_providers_cuda.so"
    return libraries.load((*libraries.needed(binary), _CUDNN))


def nodes_elsewhere(session: onnxruntime.InferenceSession, provider: str) -> tuple[str, ...]:
    """The nodes of a session that another provider computes: "conv1 (Conv)".

    The session must have been opened with the recording of its assignment.
    """
    return tuple(
        f"{node.name} ({node.op_type})" if node.name else f"a {node.op_type}"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider
        for node in part.get_nodes()
    )


def gpu_error(error: Exception) -> HostError | None:
    """The error for what CUDA, cuDNN or the GPU's memory refused; None for other errors."""
    text = str(error)
    if not re.search(r"/providers/cuda/|CUDA failure|bfc_arena", text):
        return None
    found = re.search(r"(CUDA failure \d+: [^;]*|cuDNN is .*|Available memory .*)", text)
    reason = (found[1] if found else text.rpartition(" : ")[2]).strip()
    return HostError(
        f"the GPU refused it: {' '.join(reason.split())[:300]}",
        where="onnxruntime",
        remedy="See with nvidia-smi what else uses the GPU; a smaller batch needs less memory.",
    )


def _no_kernels(nodes: str) -> HostError:
    return HostError(
        f"ONNX Runtime's CUDA provider has no kernel for {nodes}, which would be computed on the "
        "CPU",
        where="onnxruntime",
        remedy="Use --precision fp32 or fp16, a newer onnxruntime-gpu, or --target tensorrt.",
    )


class OnnxRuntimeCudaModel(OnnxRuntimeModel):
    """See `load`."""

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """As on the CPU; `HostError` where the GPU's memory runs out."""
        return next(iter(self.run_all(batch).values()))

    def run_all(
        self, batch: NDArray[Any], others: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """As on the CPU; `HostError` where the GPU's memory runs out."""
        try:
            return super().run_all(batch, others)
        except Exception as error:
            explained = gpu_error(error)
            if explained is None:
                raise
            raise explained from error

    def timed(self, batch: NDArray[Any]) -> float:
        """Run once; milliseconds until the outputs are in host memory, copies included."""
        started = time.perf_counter()
        self.run(batch)
        return (time.perf_counter() - started) * 1e3

    def operators(self) -> dict[str, int]:
        """How many nodes of each kind are on CUDA; empty where ONNX Runtime does not record it."""
        found: Counter[str] = Counter()
        if hasattr(self._session, "get_provider_graph_assignment_info"):
            for part in self._session.get_provider_graph_assignment_info():
                found.update(node.op_type for node in part.get_nodes())
        return dict(found)

    def describe(self) -> dict[str, object]:
        """Version, providers, the options that CUDA really has, and its nodes by operator."""
        return {
            "runtime": "onnxruntime",
            "version": onnxruntime.get_version_string(),
            "providers": self._session.get_providers(),
            "provider_options": self._session.get_provider_options()[CUDA],
            "threads": self._threads,
            "operators": self.operators(),
        }
