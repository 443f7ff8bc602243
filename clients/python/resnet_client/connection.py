"""A gRPC connection to one Triton: a deadline on every call, and errors with a remedy.

gRPC itself retries the statuses in `RETRYABLE`, a few times and never past the deadline. Any number
of threads may share a connection.
Reference: triton-inference-server/server, docs/protocol; gRPC proposal A6 (retries).
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from resnet_client.errors import (
    ClientError,
    ModelError,
    ServerError,
    UnavailableError,
    UsageError,
)
from resnet_serve.errors import RETRYABLE, server_error

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]")
_LIVENESS_TIMEOUT_S = 2.0
_MAX_MESSAGE_BYTES = 2**31 - 1
_NAMES_SHOWN = 10
# Not the list of models: for a restricted protocol Triton answers UNAVAILABLE every time.
_RETRIED = ("ModelInfer", "ModelConfig", "ModelMetadata")
_RETRIES = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": RETRYABLE,
}

# Models that belong to a classifier: an ensemble for encoded images, that ensemble's first step,
# and, for an ensemble of several classifiers, the average of their outputs.
IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX = "_image", "_preprocess", "_average"


class Connection:
    """A gRPC channel to the Triton at `url` (host:port); every call ends within `timeout_s`.

    Raises `UsageError` for an address that is not host:port, and for a timeout that is not a
    positive number of seconds.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise UsageError(f"a timeout of {timeout_s:g} s is not possible")
        self.url = url
        self.timeout_s = timeout_s
        self._client = grpcclient.InferenceServerClient(url, channel_args=_channel(url))
        self._closed = False

    def close(self) -> None:
        """Cancel running calls and close the channel; later calls raise `ClientError`."""
        self._closed = True
        self._client.close()

    def latest(self, model: str) -> str:
        """The version that serves a request without a version."""
        about = self._call("get_model_metadata", model)
        return str(max(about.versions, key=_number))

    def config(self, model: str, version: str) -> Any:
        """The `ModelConfig` message of one version."""
        return self._call("get_model_config", model, version).config

    def infer(
        self,
        model: str,
        version: str,
        *,
        input_name: str,
        batch: NDArray[Any],
        output_name: str,
        classes: int,
    ) -> tuple[str, NDArray[Any]]:
        """Classify a batch [n,…]: the version that computed it, and its classes, BYTES [n,classes].

        The strings are those of Triton's classification extension. Raises `InvalidInputError` with
        the server's message when the input is at fault.
        """
        tensor = _input(input_name, batch)
        wanted = grpcclient.InferRequestedOutput(output_name, class_count=classes)
        result = self._call("infer", model, version, inputs=[tensor], outputs=[wanted])
        answer = result.as_numpy(output_name)
        if answer is None or answer.shape != (len(batch), classes):
            shape = "nothing" if answer is None else list(answer.shape)
            raise ServerError(
                f"{output_name!r} is {shape}, not {[len(batch), classes]}",
                where=f"model {model!r}",
            )
        return str(result.get_response().model_version), answer

    def outputs(
        self, model: str, version: str, *, input_name: str, batch: NDArray[Any]
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """Run a batch [n,…]: the version that computed it, and every output [n,…] by name."""
        tensor = _input(input_name, batch)
        result = self._call("infer", model, version, inputs=[tensor])
        response = result.get_response()
        names = [output.name for output in response.outputs]
        return str(response.model_version), {name: result.as_numpy(name) for name in names}

    def models(self) -> dict[str, tuple[str, ...]] | None:
        """The ready models by name, each with its versions; None if the server restricts the list.

        They are read from the statistics, which `resnet-serve up` does not restrict, unlike the
        repository index.
        """
        try:
            answer = self._call("get_inference_statistics", "")
        except (ServerError, UnavailableError) as error:
            if "restricted" in error.what:
                return None
            raise
        versions: dict[str, list[str]] = {}
        for entry in answer.model_stats:
            versions.setdefault(entry.name, []).append(entry.version)
        return {name: tuple(sorted(versions[name], key=_number)) for name in sorted(versions)}

    def _call(self, method: str, model: str, version: str = "", **arguments: Any) -> Any:
        if self._closed:
            raise _closed()
        call = getattr(self._client, method)
        try:
            return call(
                model_name=model,
                model_version=version,
                client_timeout=self.timeout_s,
                **arguments,
            )
        except InferenceServerException as error:
            raise self._explained(error, model, version) from error
        except ValueError as error:  # gRPC raises it for a channel that another thread closed
            if self._closed:
                raise _closed() from error
            raise

    def _explained(self, error: Any, model: str, version: str) -> ClientError:
        if self._closed:
            return _closed()
        found = server_error(
            error, self.url, where=f"model {model!r}", timeout_s=self.timeout_s, live=self._live
        )
        return self._unknown(model, version) if isinstance(found, ModelError) else found

    def _live(self) -> bool:
        timeout_s = min(self.timeout_s, _LIVENESS_TIMEOUT_S)
        return bool(self._client.is_server_live(client_timeout=timeout_s))

    def _unknown(self, model: str, version: str) -> ModelError:
        served = self.models()
        if served is None:
            return ModelError(
                f"the server at {self.url} serves no model {_named(model, version)}",
                remedy="It restricts the list of its models; `resnet-serve list` shows them.",
            )
        if model in served:
            return ModelError(
                f"model {model!r} has no version {version}",
                remedy=f"The server at {self.url} serves {', '.join(served[model])}.",
            )
        alone = model.removesuffix(IMAGE_SUFFIX)
        if alone != model and alone in served:
            return ModelError(
                f"the server at {self.url} serves {alone!r} without {model!r}",
                remedy="Decode the images in the client: decode='client', or --decode client.",
            )
        return ModelError(
            f"the server at {self.url} serves no model {_named(model, version)}",
            remedy=f"It serves {_listed(nearest(model, served))}.",
        )


def _input(name: str, batch: NDArray[Any]) -> Any:
    tensor = grpcclient.InferInput(name, list(batch.shape), np_to_triton_dtype(batch.dtype))
    tensor.set_data_from_numpy(batch)
    return tensor


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The classifiers among `names`, the most similar to `name` first."""

    def similarity(other: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return sorted(classifiers(names), key=similarity, reverse=True)


def classifiers(names: Iterable[str]) -> list[str]:
    """The names without companions: `resnet50` of `resnet50`, `resnet50_image`, and so on."""
    suffixes = (IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX)
    names = list(names)
    companions = {f"{name}{suffix}" for name in names for suffix in suffixes}
    return [name for name in names if name not in companions]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    text = ", ".join(names[:_NAMES_SHOWN]) or "nothing"
    return text if more <= 0 else f"{text} and {more} more"


def _named(model: str, version: str) -> str:
    return f"{model!r} in version {version}" if version else repr(model)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _closed() -> ClientError:
    return ClientError("this Classifier is closed")


def _channel(url: str) -> list[tuple[str, Any]]:
    """The channel's arguments; raises `UsageError` for what is not host:port."""
    address = _ADDRESS.fullmatch(url)
    if address is None or not 0 < int(address["port"]) < 65536:
        raise UsageError(
            f"{url!r} is not an address",
            remedy="Give host:port of the server's gRPC endpoint, as in 127.0.0.1:8001.",
        )
    methods = [{"service": "inference.GRPCInferenceService", "method": name} for name in _RETRIED]
    policy = {"methodConfig": [{"name": methods, "retryPolicy": _RETRIES}]}
    arguments: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(policy)),
        # gRPC does not retry a request larger than this buffer, 256 KB by default.
        ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),
        # A server that restarts must be found within the retries, which take 0.7 s together.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 200),
    ]
    if _LOOPBACK.fullmatch(address["host"]):
        # Otherwise gRPC uses the proxy in http_proxy even for this host.
        arguments.append(("grpc.enable_http_proxy", 0))
    return arguments
