"""The `onnxruntime` backend where NVIDIA's native one is not: real ONNX Runtime behind Triton.

    load     options ─► session ─► contract (the native checks) ─► ready
    serve    requests of one batch ─► one run ─► one response each

One session per instance, as natively; a request's tensor is used where Triton put it.
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

from resnet_serve.triton.backends.batching import Arrays, alike, together
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.onnxruntime import autocomplete
from resnet_serve.triton.backends.onnxruntime.contract import Signature, check
from resnet_serve.triton.backends.onnxruntime.options import (
    Options,
    model_file,
    refuse_native_only,
)


class TritonPythonModel:
    """One instance of a model; Triton's stub calls the methods in this order."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs, outputs and batching from the model; opens it only when it must."""
        import triton_python_backend_utils as pb_utils

        config = auto_complete_model_config.as_dict()
        if autocomplete.wanted(config):
            session = _session(config, Path(pb_utils.get_model_dir()), Options.of(config))
            autocomplete.complete(config, Signature.of(session))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session and hold the configuration against it; raises to refuse the model."""
        import triton_python_backend_utils as pb_utils

        self._triton = pb_utils
        config = json.loads(args["model_config"])
        refuse_native_only(config, args["model_instance_kind"])
        options = Options.of(config)
        directory = Path(args["model_repository"]) / args["model_version"]
        self._session = _session(config, directory, options)
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

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in order; requests whose shapes agree share one run."""
        feeds: dict[int, Arrays] = {}
        responses: list[Any] = [None] * len(requests)
        for index, request in enumerate(requests):
            try:
                feeds[index] = self._feed(request)
            except ValueError as error:
                responses[index] = self._response(error)
        for indices in alike(feeds, batched=self._batched):
            names = self._wanted([requests[index] for index in indices])
            answers = together([feeds[index] for index in indices], partial(self._run, names))
            for index, answer in zip(indices, answers, strict=True):
                responses[index] = self._response(answer)
        return responses

    def finalize(self) -> None:
        """Close the session."""
        del self._session

    def _feed(self, request: Any) -> Arrays:
        feed: dict[str, NDArray[Any]] = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == np.object_:
                array = _decoded(array)
            name = tensor.name()
            feed[name] = array.reshape(()) if name in self._scalar_inputs else array
        return feed

    @staticmethod
    def _wanted(requests: Sequence[Any]) -> list[str]:
        """The outputs any of the requests asks for; Triton drops the rest per request."""
        names = (name for request in requests for name in request.requested_output_names())
        return list(dict.fromkeys(names))

    def _run(self, names: list[str], feed: Arrays) -> Arrays:
        outputs = self._session.run(names, feed, self._run_options)
        return dict(zip(names, outputs, strict=True))

    def _response(self, answer: Arrays | Exception) -> Any:
        if isinstance(answer, Exception):
            error = self._triton.TritonError(_native_words(answer))
            return self._triton.InferenceResponse(output_tensors=[], error=error)
        tensors = []
        for name, array in answer.items():
            shape = self._scalar_outputs.get(name)
            whole = array if shape is None else np.asarray(array).reshape(shape)
            tensors.append(self._triton.Tensor(name, whole))
        return self._triton.InferenceResponse(output_tensors=tensors)


def _onnxruntime() -> Any:
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):  # an empty namespace of that name
        raise ImportError("no InferenceSession in it")
    return onnxruntime


def _session(config: dict[str, Any], directory: Path, options: Options) -> Any:
    path = model_file(config, directory)
    try:
        onnxruntime = _onnxruntime()
    except ImportError as error:
        raise ContractError(
            f"the onnxruntime backend needs the package onnxruntime ({error}); "
            "pip install 'resnet-serve[server]'"
        ) from error
    try:
        return onnxruntime.InferenceSession(
            str(path), options.session_options(onnxruntime), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - they share no other base class
        raise ContractError(_native_words(error)) from None


def _native_words(error: Exception) -> str:
    """`onnx runtime error 7: …`, as the native backend words it."""
    found = re.fullmatch(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", str(error), re.DOTALL)
    return f"onnx runtime error {found[1]}: {found[2]}" if found else str(error)


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    """BYTES as Triton gives them, to the strings ONNX Runtime takes."""
    texts = [item.decode() for item in array.ravel()]
    return np.array(texts, dtype=np.object_).reshape(array.shape)
