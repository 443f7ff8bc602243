"""The `tensorrt` backend where NVIDIA's native one is not: TensorRT's Python API behind Triton.

    load     options ─► plan on this instance's GPU ─► contract (the native checks) ─► ready
    serve    requests of one execute ─► as few runs as the engine allows ─► one response each

In NVIDIA's container the native backend is used instead. A version-compatible plan is refused: it
contains code, which must not run only because it is in a model repository.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from resnet_serve.cuda import open_device
from resnet_serve.runtimes import tensorrt
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.batching import run_group
from resnet_serve.triton.backends.stub import (
    Arrays,
    ModelConfig,
    Request,
    Stub,
    error_response,
    response,
)
from resnet_serve.triton.backends.tensorrt.contract import Options, check, plan_file, refuse


class TritonPythonModel:
    """One instance of a model; Triton's stub calls the methods in this order."""

    flavour = TENSORRT

    @staticmethod
    def auto_complete_config(auto_complete_model_config: ModelConfig) -> ModelConfig:
        """Fill in nothing: a plan is opened only on the GPU of its instance."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan and check the configuration against it.

        Raises `ContractError` to refuse the model.
        """
        import triton_python_backend_utils as pb_utils

        self._stub: Stub = pb_utils
        config = json.loads(args["model_config"])
        instance = args["model_instance_name"]
        refuse(config, args["model_instance_kind"])
        options = Options.of(config, instance)
        directory = Path(args["model_repository"]) / args["model_version"]
        plan = plan_file(config, directory)
        integrity.check(config, directory, plan)
        with ExitStack() as stack:
            device = stack.enter_context(
                closing(open_device(int(args["model_instance_device_id"])))
            )
            model = stack.enter_context(
                tensorrt.load(
                    plan,
                    device=device,
                    graphs=options.graphs,
                    use_profiles=options.profiles,
                    flavour=self.flavour,
                )
            )
            check(config, model.input, model.outputs, model.profiles, instance)
            self._closing = stack.pop_all()
        self._model = model
        self._batched = config["max_batch_size"] > 0
        self._largest = max(profile.maximum for profile in model.profiles)

    def execute(self, requests: Sequence[Request]) -> list[object]:
        """One response per request, in order; requests share a run up to the largest batch."""
        feeds = [request.inputs()[0].as_numpy() for request in requests]
        found = [outputs for group in self._groups(feeds) for outputs in self._run(group)]
        return [self._response(outputs) for outputs in found]

    def finalize(self) -> None:
        """Release the GPU."""
        self._closing.close()

    def _groups(self, feeds: Sequence[NDArray[Any]]) -> list[list[NDArray[Any]]]:
        """The requests of each run, in order, up to the engine's largest batch."""
        if not self._batched:
            return [[feed] for feed in feeds]
        groups: list[list[NDArray[Any]]] = []
        size = 0
        for feed in feeds:
            if not groups or size + len(feed) > self._largest:
                groups.append([])
                size = 0
            groups[-1].append(feed)
            size += len(feed)
        return groups

    def _run(self, feeds: Sequence[NDArray[Any]]) -> list[Arrays | Exception]:
        source = self._model.input.name
        return run_group(
            [{source: feed} for feed in feeds],
            lambda batch: self._model.run_all(batch[source]),
        )

    def _response(self, outputs: Arrays | Exception) -> object:
        if isinstance(outputs, Exception):
            return error_response(self._stub, str(outputs))
        return response(self._stub, outputs)
