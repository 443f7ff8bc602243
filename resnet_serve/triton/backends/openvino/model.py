"""The `openvino` backend where Triton's native one is not: real OpenVINO behind Triton.

    load     options ─► model ─► contract (the native checks) ─► compiled for this instance
    serve    requests of one batch ─► one run, or one image per core (`elastic`) ─► responses

The native backend pads every batch to `max_batch_size`, and refuses smaller ones unless
ENABLE_BATCH_PADDING is YES; this one refuses the same, but runs the batch as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_serve import host
from resnet_serve.runtimes.openvino import reason
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.elastic import Elastic, Engine, one_per_core_below
from resnet_serve.triton.backends.openvino.contract import complete, failed, incomplete, prepared
from resnet_serve.triton.backends.openvino.options import (
    Options,
    instances,
    model_file,
    refuse_kind,
)
from resnet_serve.triton.backends.openvino.streams import Streams
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
        if incomplete(config):
            openvino = _openvino()
            model = _read(config, Path(pb_utils.get_model_dir()), openvino.Core())
            complete(config, model, openvino)
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the model and check the configuration against it.

        Raises `ContractError` to refuse the model.
        """
        import triton_python_backend_utils as pb_utils

        self._stub: Stub = pb_utils
        config = json.loads(args["model_config"])
        refuse_kind(config, args["model_instance_kind"])
        options = Options.of(config)
        openvino = _openvino()
        core = openvino.Core()
        directory = Path(args["model_repository"]) / args["model_version"]
        model = prepared(config, _read(config, directory, core), openvino, reshape=options.reshape)
        self._queue = QueueLimit.of(config, args["model_version"]).counted(pb_utils)
        self._largest = int(config["max_batch_size"])
        self._padding = options.padding
        self._inputs = {port.any_name for port in model.inputs}
        self._outputs = [tensor["name"] for tensor in config["output"]]
        properties = options.properties(instances=instances(config), cores=host.cores())
        properties["ALLOW_AUTO_BATCHING"] = self._largest > 0 and options.auto_batching
        below = one_per_core_below(config)
        single: Streams | None = None
        try:
            whole = core.compile_model(model, options.device, properties)
            if below and (cores := options.single_cores(properties)):
                divided = core.compile_model(model, options.device, properties | cores)
                single = Streams(divided, cores["NUM_STREAMS"])
            self._engines = Elastic(_engine(whole.create_infer_request()), single, below=below)
        except RuntimeError as error:
            raise failed("loading model", error) from None

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
        names = dict.fromkeys(feeds, self._outputs)
        for index, outputs in self._engines.run(feeds, names, batched=self._largest > 0).items():
            responses[index] = self._response(outputs)
        self._queue.done()
        return responses

    def finalize(self) -> None:
        """Free the compiled models."""
        self._engines.close()
        self._queue.close()
        del self._engines

    def _feed(self, request: Request) -> Arrays:
        feed = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        if set(feed) != self._inputs:
            # OpenVINO would use the tensors of the request before.
            missing = ", ".join(sorted(self._inputs - set(feed)))
            raise ContractError(f"the request lacks the input {missing}")
        size = len(next(iter(feed.values())))
        if self._largest > 0 and size != self._largest and not self._padding:
            raise ContractError(
                f"expected requests with batch size '{self._largest}', got '{size}'... this error "
                "can be avoided by setting 'ENABLE_BATCH_PADDING' parameter in model "
                "configuration to 'YES' at a performance cost."
            )
        return feed

    def _response(self, outputs: Arrays | Exception) -> object:
        if isinstance(outputs, ContractError):
            return error_response(self._stub, str(outputs))
        if isinstance(outputs, Exception):
            return error_response(self._stub, reason(outputs))
        return response(self._stub, outputs)


def _engine(request: Any) -> Engine:
    def run(names: Sequence[str], feed: Arrays) -> Arrays:
        found = request.infer(feed, share_inputs=True)
        return {name: found[name] for name in names}

    return run


def _openvino() -> Any:
    try:
        import openvino
        import openvino.preprocess
    except ImportError as error:
        raise ContractError(
            f"the openvino backend needs the package openvino ({error}); "
            "pip install 'resnet-serve[openvino]'"
        ) from error
    return openvino


def _read(config: dict[str, Any], directory: Path, core: Any) -> Any:
    path = model_file(config, directory)
    # The weights of an OpenVINO IR are in a second file.
    weights = [path.with_suffix(".bin")] if path.with_suffix(".bin").exists() else []
    integrity.check(config, directory, path, *weights)
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        raise failed("reading model", error) from None
