"""The wire: a channel to one Triton, a deadline on every call, and errors a person can act on.

Only UNAVAILABLE is tried again, by gRPC itself, a few times and never past the deadline. One
connection serves any number of threads.
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
    DeadlineError,
    InvalidInputError,
    ModelError,
    ServerError,
    UnavailableError,
    UsageError,
)

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|\[::1\]")
_REQUEST_TAG = re.compile(r"^(\[request id: [^\]]*\] )+")
_LIVENESS_TIMEOUT_S = 2.0
_MAX_MESSAGE_BYTES = 2**31 - 1
_NAMES_SHOWN = 10
# The list of models is not among them: of a restricted protocol Triton says UNAVAILABLE for good.
_RETRIED = ("ModelInfer", "ModelConfig", "ModelMetadata")
_RETRIES = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

# What a classifier brings along: an ensemble that takes encoded images, and its first step; what is
# composed of several, the average of their answers.
IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX = "_image", "_preprocess", "_average"


class Connection:
    """A gRPC channel to the Triton at `url` (host:port); every call ends within `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise UsageError(f"a timeout of {timeout_s:g} s is not possible")
        self.url = url
        self.timeout_s = timeout_s
        self._client = grpcclient.InferenceServerClient(url, channel_args=_channel(url))
        self._closed = False

    def close(self) -> None:
        """Cancel what is under way and hang up; later calls raise `ClientError`."""
        self._closed = True
        self._client.close()

    def latest(self, model: str) -> str:
        """The version that a request without a version is answered by."""
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
        """Classify a batch [n,…]: the version that answered, and its answer, BYTES [n,classes].

        Raises `InvalidInputError` with the server's words when the input is at fault.
        """
        tensor = _input(input_name, batch)
        wanted = grpcclient.InferRequestedOutput(output_name, class_count=classes)
        result = self._call("infer", model, version, inputs=[tensor], outputs=[wanted])
        answer = result.as_numpy(output_name)
        if answer is None or answer.shape != (len(batch), classes):
            shape = "nothing" if answer is None else list(answer.shape)
            raise ServerError(f"answered {shape} for {output_name!r}", where=f"model {model!r}")
        return str(result.get_response().model_version), answer

    def outputs(
        self, model: str, version: str, *, input_name: str, batch: NDArray[Any]
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """Run a batch [n,…]: the version that answered, and every output by name, [n,…] each."""
        tensor = _input(input_name, batch)
        result = self._call("infer", model, version, inputs=[tensor])
        response = result.get_response()
        names = [output.name for output in response.outputs]
        return str(response.model_version), {name: result.as_numpy(name) for name in names}

    def models(self) -> dict[str, tuple[str, ...]] | None:
        """The models that are ready, by name, each with its versions; None if that is restricted.

        Read from the statistics, which `resnet-serve up` leaves open; the repository index is not.
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
        except ValueError as error:  # how gRPC refuses a channel closed by another thread
            if self._closed:
                raise _closed() from error
            raise

    def _explained(self, error: Any, model: str, version: str) -> ClientError:
        said = _REQUEST_TAG.sub("", " ".join((error.message() or "no reason given").split()))
        code = str(error.status()).removeprefix("StatusCode.")
        if self._closed:
            return _closed()
        if code == "NOT_FOUND":
            return self._unknown(model, version)
        if code == "DEADLINE_EXCEEDED":
            return DeadlineError(
                f"no answer from {self.url} within {self.timeout_s:g} s",
                remedy="Is the server overloaded? A longer timeout waits longer.",
            )
        if code == "UNAVAILABLE":
            return self._unavailable(said)
        if code == "UNIMPLEMENTED":
            return UnavailableError(f"what answers at {self.url} is no Triton ({said})")
        kind = InvalidInputError if code == "INVALID_ARGUMENT" else ServerError
        return kind(said, where=f"model {model!r}")

    def _unavailable(self, said: str) -> UnavailableError:
        """Triton says UNAVAILABLE too, of a full queue or a model that is not loaded."""
        try:
            self._client.is_server_live(client_timeout=min(self.timeout_s, _LIVENESS_TIMEOUT_S))
        except InferenceServerException as error:
            return _unreachable(self.url, error.message() or "")
        return UnavailableError(said, where=f"the server at {self.url} is up, but answers")

    def _unknown(self, model: str, version: str) -> ModelError:
        served = self.models()
        if served is None:
            return ModelError(
                f"the server at {self.url} serves no model {_named(model, version)}",
                remedy="It keeps the list of its models to itself; `resnet-serve list` shows them.",
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
                remedy="Images are then decoded by the client.",
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
    """The names without the companions that a classifier brings, the most similar first."""

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()

    return sorted(classifiers(names), key=likeness, reverse=True)


def classifiers(names: Iterable[str]) -> list[str]:
    """`resnet50` of `resnet50`, `resnet50_image` and `resnet50_preprocess`."""
    suffixes = (IMAGE_SUFFIX, PREPROCESS_SUFFIX, AVERAGE_SUFFIX)
    names = list(names)
    companions = {f"{name}{suffix}" for name in names for suffix in suffixes}
    return [name for name in names if name not in companions]


def _unreachable(url: str, said: str) -> UnavailableError:
    if re.search("resolv|DNS", said):
        return UnavailableError(f"the host of {url} is not known here", remedy="Is it spelled so?")
    if re.search("Socket closed|http1", said):
        return UnavailableError(
            f"what listens at {url} does not speak gRPC",
            remedy="Triton's gRPC port is 8001 unless told otherwise; 8000 is HTTP.",
        )
    return UnavailableError(f"nothing answers at {url}", remedy="Start it with: resnet-serve up")


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
        # A request larger than this buffer, 256 KB unless told otherwise, is never tried again.
        ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),
        # A server that comes back must be found within the retries, which take 0.7 s in all.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 200),
    ]
    if _LOOPBACK.fullmatch(address["host"]):
        # gRPC would send even this through the proxy that http_proxy names.
        arguments.append(("grpc.enable_http_proxy", 0))
    return arguments
