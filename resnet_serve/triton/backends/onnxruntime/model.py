"""The `onnxruntime` backend where NVIDIA's native one is not: real ONNX Runtime behind Triton.

An instance of KIND_GPU runs on the CUDA provider with the configuration's options for it; where
ONNX Runtime would fall back to the CPU the model is refused.

    load     options ─► session ─► contract (the native checks) ─► ready
    serve    requests of one batch ─► one run, or one image per core (`elastic`) ─► responses

One session per instance, as in the native backend, and one of a single thread beside it where
images are to run one per core; request tensors are used without a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import HostError
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.elastic import Elastic, Engine, one_per_core_below
from resnet_serve.triton.backends.onnxruntime import autocomplete
from resnet_serve.triton.backends.onnxruntime.contract import Signature, check
from resnet_serve.triton.backends.onnxruntime.options import (
    Options,
    model_file,
    refuse_native_only,
)
from resnet_serve.triton.backends.onnxruntime.threads import Threads
from resnet_serve.triton.backends.queue_limit import REJECTED, QueueLimit
from resnet_serve.triton.backends.stub import (
    Arrays,
    ModelConfig,
    Request,
    Stub,
    error_response,
    rejection,
    response,
)


class TritonPythonModel:
    """One instance of a model; Triton's stub calls the methods in this order."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: ModelConfig) -> ModelConfig:
        """Fill in inputs, outputs and batching from the model, which is opened only if needed."""
        import triton_python_backend_utils as pb_utils

        config = auto_complete_model_config.as_dict()
        if autocomplete.wanted(config):
            session = _cpu_session(config, Path(pb_utils.get_model_dir()), Options.of(config))
            autocomplete.complete(config, Signature.of(session))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session and check the configuration against it.

        Raises `ContractError` to refuse the model.
        """
        import triton_python_backend_utils as pb_utils

        self._stub: Stub = pb_utils
        config = json.loads(args["model_config"])
        kind = args["model_instance_kind"]
        refuse_native_only(config, kind)
        options = Options.of(config)
        directory = Path(args["model_repository"]) / args["model_version"]
        below, single = one_per_core_below(config), None
        if kind == "GPU":
            device_id = int(args["model_instance_device_id"])
            session = _gpu_session(config, directory, options, device_id)
        else:
            session = _cpu_session(config, directory, options)
            if below and options.intra_op_threads > 1:
                single = _cpu_session(config, directory, replace(options, intra_op_threads=1))
        signature = Signature.of(session)
        check(config, signature)
        self._run_options = options.run_options(_onnxruntime())
        # A session of one thread runs in the threads of its callers.
        cores = None if single is None else Threads(self._engine(single), options.intra_op_threads)
        self._engines = Elastic(self._engine(session), cores, below=below)
        self._queue = QueueLimit.of(config, args["model_version"]).counted(pb_utils)
        self._batched = config["max_batch_size"] > 0
        dims = {each["name"]: [int(size) for size in each["dims"]] for each in config["output"]}
        provided = (*signature.inputs, *signature.initializers)
        self._scalar_inputs = {tensor.name for tensor in provided if not tensor.shape}
        self._scalar_outputs = {
            tensor.name: dims[tensor.name]
            for tensor in signature.outputs
            if not tensor.shape and tensor.name in dims
        }

    def execute(self, requests: Sequence[Request]) -> list[object]:
        """One response per request, in order; requests of equal shapes share a run."""
        feeds: dict[int, Arrays] = {}
        excess = self._queue.excess(len(requests))
        responses: list[object] = [None] * len(requests)
        for index in range(excess):
            responses[index] = rejection(self._stub, REJECTED)
        for index, request in enumerate(requests[excess:], excess):
            try:
                feeds[index] = self._feed(request)
            except ValueError as error:
                responses[index] = self._response(error)
        # Triton drops what a request did not want of the outputs of its batch.
        names = {index: requests[index].requested_output_names() for index in feeds}
        for index, outputs in self._engines.run(feeds, names, batched=self._batched).items():
            responses[index] = self._response(outputs)
        self._queue.done()
        return responses

    def finalize(self) -> None:
        """Close the sessions."""
        self._engines.close()
        self._queue.close()
        del self._engines

    def _feed(self, request: Request) -> Arrays:
        feed: dict[str, NDArray[Any]] = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == np.object_:
                array = _decoded(array)
            name = tensor.name()
            feed[name] = array.reshape(()) if name in self._scalar_inputs else array
        return feed

    def _engine(self, session: Any) -> Engine:
        def run(names: Sequence[str], feed: Arrays) -> Arrays:
            return dict(zip(names, session.run(names, feed, self._run_options), strict=True))

        return run

    def _response(self, outputs: Arrays | Exception) -> object:
        if isinstance(outputs, Exception):
            return error_response(self._stub, _native_words(outputs))
        shaped = {
            name: np.asarray(array).reshape(self._scalar_outputs.get(name, np.shape(array)))
            for name, array in outputs.items()
        }
        return response(self._stub, shaped)


def _onnxruntime() -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    if not hasattr(onnxruntime, "InferenceSession"):  # an empty namespace package
        raise ImportError("no InferenceSession in it")
    return onnxruntime


def _cpu_session(config: dict[str, Any], directory: Path, options: Options) -> Any:
    path = model_file(config, directory)
    integrity.check(config, directory, path)
    onnxruntime = _installed()
    try:
        return onnxruntime.InferenceSession(
            str(path), options.session_options(onnxruntime), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - they share no other base class
        raise ContractError(_native_words(error)) from None


def _gpu_session(config: dict[str, Any], directory: Path, options: Options, device_id: int) -> Any:
    from resnet_serve.runtimes import onnxruntime_cuda
    from resnet_serve.triton import cuda_options

    path = model_file(config, directory)
    integrity.check(config, directory, path)
    session_options = options.session_options(_installed())
    try:
        provider_options = cuda_options.provider_options(config, device_id)
        return onnxruntime_cuda.open_session(path, session_options, provider_options)
    except ContractError:
        raise
    except HostError as error:
        raise ContractError(f"model '{config['name']}': {error}") from error
    except Exception as error:  # noqa: BLE001 - they share no other base class
        raise ContractError(_native_words(error)) from None


def _installed() -> Any:
    try:
        return _onnxruntime()
    except ImportError as error:
        raise ContractError(
            f"the onnxruntime backend needs the package onnxruntime ({error}); "
            "pip install 'resnet-serve[server]'"
        ) from error


def _native_words(error: Exception) -> str:
    """The error in the native backend's words: `onnx runtime error 7: …`."""
    found = re.fullmatch(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", str(error), re.DOTALL)
    return f"onnx runtime error {found[1]}: {found[2]}" if found else str(error)


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    """BYTES from Triton, as the strings that ONNX Runtime takes."""
    texts = [item.decode() for item in array.ravel()]
    return np.array(texts, dtype=np.object_).reshape(array.shape)
