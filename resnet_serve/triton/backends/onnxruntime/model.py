"""The `onnxruntime` backend where NVIDIA's native one is not: real ONNX Runtime behind Triton.

An instance of KIND_GPU runs on the CUDA provider with the configuration's options for it; where
ONNX Runtime would fall back to the CPU the model is refused.

    load     options ─► session ─► contract (the native checks) ─► ready
    serve    requests of one batch ─► one run ─► one response each

One session per instance, as in the native backend; request tensors are used without a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import HostError
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.batching import groups, run_group
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.onnxruntime import autocomplete
from resnet_serve.triton.backends.onnxruntime.contract import Signature, check
from resnet_serve.triton.backends.onnxruntime.options import (
    Options,
    model_file,
    refuse_native_only,
)
from resnet_serve.triton.backends.stub import (
    Arrays,
    ModelConfig,
    Request,
    Stub,
    error_response,
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
        if kind == "GPU":
            device_id = int(args["model_instance_device_id"])
            self._session = _gpu_session(config, directory, options, device_id)
        else:
            self._session = _cpu_session(config, directory, options)
        signature = Signature.of(self._session)
        check(config, signature)
        self._run_options = options.run_options(_onnxruntime())
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
        responses: list[object] = [None] * len(requests)
        for index, request in enumerate(requests):
            try:
                feeds[index] = self._feed(request)
            except ValueError as error:
                responses[index] = self._response(error)
        for indices in groups(feeds, batched=self._batched):
            names = self._wanted([requests[index] for index in indices])
            found = run_group([feeds[index] for index in indices], partial(self._run, names))
            for index, outputs in zip(indices, found, strict=True):
                responses[index] = self._response(outputs)
        return responses

    def finalize(self) -> None:
        """Close the session."""
        del self._session

    def _feed(self, request: Request) -> Arrays:
        feed: dict[str, NDArray[Any]] = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == np.object_:
                array = _decoded(array)
            name = tensor.name()
            feed[name] = array.reshape(()) if name in self._scalar_inputs else array
        return feed

    @staticmethod
    def _wanted(requests: Sequence[Request]) -> list[str]:
        """The outputs that any of the requests wants; Triton drops the rest per request."""
        names = (name for request in requests for name in request.requested_output_names())
        return list(dict.fromkeys(names))

    def _run(self, names: list[str], feed: Arrays) -> Arrays:
        outputs = self._session.run(names, feed, self._run_options)
        return dict(zip(names, outputs, strict=True))

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
