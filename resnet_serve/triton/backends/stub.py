"""What Triton's Python stub hands to a backend, typed: its own module has no types.

Reference: triton-inference-server/python_backend, README.md and
src/resources/triton_python_backend_utils.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class RequestTensor(Protocol):
    """An input of a request."""

    def name(self) -> str:
        """The input's name in the configuration."""

    def as_numpy(self) -> NDArray[Any]:
        """The values where Triton put them, not copied; BYTES as an object array."""


class Request(Protocol):
    """One request of an `execute`."""

    def inputs(self) -> list[RequestTensor]:
        """Every input."""

    def requested_output_names(self) -> list[str]:
        """The outputs that the client wants."""


class ModelConfig(Protocol):
    """The configuration while Triton completes it."""

    def as_dict(self) -> dict[str, Any]:
        """Triton's JSON form of config.pbtxt; changes to it are kept."""


class ErrorFactory(Protocol):
    """`TritonError`: an error text with a gRPC status, by default INTERNAL."""

    INVALID_ARG: int
    UNAVAILABLE: int

    def __call__(self, message: str, code: int = ...) -> object:
        """The error."""


class Metric(Protocol):
    """A custom metric with its labels."""

    def increment(self, value: float) -> None:
        """Add to a counter."""

    def observe(self, value: float) -> None:
        """Add one value to a histogram."""


class MetricFamily(Protocol):
    """`MetricFamily`: its kinds, and what makes one; the server has one of each name."""

    COUNTER: object
    HISTOGRAM: object

    def __call__(self, *, name: str, description: str, kind: object) -> MetricFamily:
        """The family of this name."""

    def Metric(self, *, labels: dict[str, str], buckets: list[float] = ...) -> Metric:  # noqa: N802
        """The metric with these labels, which processes of one model share."""


class Logger(Protocol):
    """The server's log."""

    def log_warn(self, message: str) -> None:
        """Add a line."""


class Stub(Protocol):
    """`triton_python_backend_utils`, as far as the backends use it."""

    TritonError: ErrorFactory
    TritonModelException: type[Exception]
    MetricFamily: MetricFamily
    Logger: Logger
    Tensor: Callable[[str, NDArray[Any]], object]
    InferenceResponse: Callable[..., object]


def response(stub: Stub, outputs: Arrays) -> object:
    """The response with these outputs."""
    tensors = [stub.Tensor(name, array) for name, array in outputs.items()]
    return stub.InferenceResponse(output_tensors=tensors)


def error_response(stub: Stub, message: str, *, invalid: bool = False) -> object:
    """The response with an error; `invalid` blames the request (INVALID_ARGUMENT)."""
    error = (
        stub.TritonError(message, stub.TritonError.INVALID_ARG)
        if invalid
        else stub.TritonError(message)
    )
    return stub.InferenceResponse(output_tensors=[], error=error)


def rejection(stub: Stub, message: str) -> object:
    """The response to a request that may be sent again (UNAVAILABLE)."""
    error = stub.TritonError(message, stub.TritonError.UNAVAILABLE)
    return stub.InferenceResponse(output_tensors=[], error=error)
