"""A connection to one Triton: every call until its deadline, and errors with a remedy.

A call that fails for a reason that may pass is sent again until then, see `deadlines`. On servers
that an expired deadline can crash, an inference is never cancelled, see `calls`. Any number of
threads may share a connection.
Reference: triton-inference-server/server, docs/protocol.
"""

from __future__ import annotations

import atexit
import itertools
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from resnet_client.errors import ClientError, DeadlineError, ModelError, UnavailableError
from resnet_client.transport import models, requests
from resnet_client.transport.calls import Calls, GivenUpError, cancels_safely
from resnet_client.transport.channel import Headers, Tls, open_channel, seconds
from resnet_client.transport.deadlines import Attempts, Deadline, may_pass
from resnet_client.transport.shared_memory import Place, Region, RegionLostError
from resnet_serve.errors import server_error

_LIVENESS_TIMEOUT_S = 2.0
_DRAIN_S = 5.0
_READY_POLL_S = 0.1

Notice = Callable[[str], None]


class Connection:
    """A gRPC channel to the Triton at `url` (host:port); every call ends within `timeout_s`.

    Calls take the caller's `deadline` where they are a part of something larger. `notice` is told
    of the first failure of a call that is sent again. Raises `UsageError` for an address that is
    not host:port, and for a timeout that is not a positive number of seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        tls: Tls | None = None,
        headers: Headers = (),
        keep_alive_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        self.url = url
        self.timeout_s = seconds("timeout_s", timeout_s)
        self.failures = 0  # of calls that were sent again, or could have been
        self._headers = headers
        self._notice = notice
        self._certified = None if tls is None else tls.certificate is not None
        self._channel = open_channel(url, tls, keep_alive_s)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._calls = Calls()
        self._cancels_safely = False
        self._closing = threading.Event()
        self._responded: set[str] = set()  # models
        self._name, self._numbers = secrets.token_hex(4), itertools.count(1)  # of requests
        atexit.register(self.close)

    def close(self) -> None:
        """Close the channel; later calls raise `ClientError`.

        Running calls are cancelled. Where that can crash the server, they may first end, for up to
        five seconds.
        """
        first = not self._closing.is_set()
        self._closing.set()
        if first:
            atexit.unregister(self.close)
            self._calls.drain(_DRAIN_S)
        self._calls.close()
        self._channel.close()

    def deadline(self, request_id: str = "") -> Deadline:
        """The deadline of a call that begins now."""
        return Deadline.after(self.timeout_s, request_id)

    def latest(self, model: str, deadline: Deadline | None = None) -> str:
        """The version that serves a request without a version."""
        request = service_pb2.ModelMetadataRequest(name=model)
        about = self._call("ModelMetadata", request, deadline, model)
        return str(max(about.versions, key=models.number))

    def config(self, model: str, version: str, deadline: Deadline | None = None) -> Any:
        """The `ModelConfig` message of one version."""
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        return self._call("ModelConfig", request, deadline, model, version).config

    def learn_server(self, deadline: Deadline | None = None) -> str:
        """The version of the server, such as 2.51.0, which decides how inferences are sent."""
        try:
            about = self._call("ServerMetadata", service_pb2.ServerMetadataRequest(), deadline)
        except UnavailableError as error:
            if "restricted" not in error.what:
                raise
            version = ""
        else:
            version = str(about.version)
        self._cancels_safely = cancels_safely(version)
        return version

    def wait_ready(self, model: str, version: str, deadline: Deadline) -> None:
        """Return when the server answers and the model is ready; raises at the deadline."""
        request = service_pb2.ModelReadyRequest(name=model, version=version)
        while not self._call("ModelReady", request, deadline, model, version).ready:
            if deadline.left_s <= _READY_POLL_S or self._closing.wait(_READY_POLL_S):
                raise UnavailableError(
                    f"model {model!r} is not ready after {deadline.timeout_s:g} s",
                    where=f"the server at {self.url}",
                    remedy="`resnet-serve list` shows what it serves.",
                )

    def infer(
        self,
        model: str,
        version: str,
        *,
        input_name: str,
        batch: NDArray[Any],
        outputs: Iterable[str] = (),
        classes: int = 0,
        deadline: Deadline | None = None,
        place: Place | None = None,
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """Run a batch [n,…]: the version that computed it, and the outputs [n,…] by name.

        No `outputs` means all. With `classes`, an output is the strings of the best ones, BYTES
        [n,classes], by Triton's classification extension. At a `place` the batch was written to
        shared memory. Raises `InvalidInputError` with the server's message when the input is at
        fault, and `RegionLostError` where the server does not know the place's region.
        """
        deadline = deadline or self.deadline()
        request = requests.inference(
            model, version, input_name, batch, outputs, classes, deadline, place
        )
        request.id = deadline.request_id or f"{self._name}-{next(self._numbers)}"
        response = self._call("ModelInfer", request, deadline, model, version, place=place)
        return str(response.model_version), requests.outputs_of(response)

    def served(self, deadline: Deadline | None = None) -> dict[str, tuple[str, ...]] | None:
        """The ready models by name, each with its versions; None if the server restricts the list.

        They are read from the statistics, which `resnet-serve up` does not restrict, unlike the
        repository index. Raises `UnavailableError` where the server is ending.
        """
        try:
            request = service_pb2.ModelStatisticsRequest()
            answer = self._call("ModelStatistics", request, deadline)
        except ClientError as error:
            if "restricted" in error.what:
                return None
            raise
        versions: dict[str, list[str]] = {}
        for entry in answer.model_stats:
            versions.setdefault(entry.name, []).append(entry.version)
        return {name: tuple(sorted(versions[name], key=models.number)) for name in sorted(versions)}

    def register(self, region: Region, headers: Headers, deadline: Deadline) -> None:
        """Let the server map the region; `headers` go with this request alone."""
        self._call("SystemSharedMemoryRegister", requests.register(region), deadline, more=headers)

    def unregister(self, region: Region, headers: Headers, deadline: Deadline) -> None:
        """Let the server unmap the region; no request may still need it."""
        request = requests.unregister(region)
        self._call("SystemSharedMemoryUnregister", request, deadline, more=headers)

    def _call(
        self,
        method: str,
        request: Any,
        deadline: Deadline | None,
        model: str = "",
        version: str = "",
        more: Headers = (),
        place: Place | None = None,
    ) -> Any:
        deadline = deadline or self.deadline()
        attempts: Attempts | None = None
        told = self._notice is None
        earlier: grpc.RpcError | None = None
        while True:
            try:
                response = self._send(method, request, deadline, more, place)
                self._responded.add(model)
                return response
            except GivenUpError as reason:
                if earlier is not None and attempts is not None and attempts.hasty:
                    raise self._explained(earlier, model, version, deadline) from earlier
                raise self._too_late(deadline, str(reason)) from None
            except grpc.RpcError as failed:
                attempts = attempts or Attempts(deadline)
                late = attempts.hasty and failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                error = earlier = failed if earlier is None or not late else earlier
                if place is not None and place.region in (error.details() or ""):
                    raise RegionLostError from error
                passing = may_pass(error) or self._comes(error, model)
                pause_s = attempts.pause_s() if passing and not self._closing.is_set() else None
                self.failures += 1
                if pause_s is None:
                    raise self._explained(error, model, version, deadline) from error
                if not told and self._notice is not None:
                    told = True
                    why = self._explained(error, model, version, deadline).what
                    self._notice(f"{why}; trying again for up to {deadline.timeout_s:g} s")
                self._closing.wait(pause_s)

    def _comes(self, error: grpc.RpcError, model: str) -> bool:
        """Whether a model that is not found may be found later: the server starts, or ends."""
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            return False
        if model in self._responded:
            return True
        request = service_pb2.ServerReadyRequest()
        try:
            answer = self._stub.ServerReady(
                request, timeout=_LIVENESS_TIMEOUT_S, metadata=self._headers
            )
        except grpc.RpcError as refusal:
            return may_pass(refusal)
        return not answer.ready

    def _send(
        self, method: str, request: Any, deadline: Deadline, more: Headers, place: Place | None
    ) -> Any:
        if self._closing.is_set():
            raise _closed()
        stub = getattr(self._stub, method)

        def call(timeout_s: float) -> Any:
            return stub(request, timeout=timeout_s, metadata=(*self._headers, *more))

        try:
            # A cancelled call may still read its shared memory, so it is never cancelled.
            if method == "ModelInfer" and (place is not None or not self._cancels_safely):
                return self._calls.run(call, deadline, place)
            return call(deadline.left_s)
        except ValueError as error:  # gRPC raises it for a channel that another thread closed
            if self._closing.is_set():
                raise _closed() from error
            raise

    def _explained(
        self, error: grpc.RpcError, model: str, version: str, deadline: Deadline
    ) -> ClientError:
        if self._closing.is_set():
            return _closed()
        found = server_error(
            _as_triton(error),
            self.url,
            where=f"model {model!r}" if model else self.url,
            timeout_s=deadline.timeout_s,
            live=self._live,
            certified=self._certified,
        )
        if isinstance(found, ModelError):
            return self._unknown(model, version)
        return found

    def _unknown(self, model: str, version: str) -> ClientError:
        within = min(self.timeout_s, _LIVENESS_TIMEOUT_S)
        try:
            served = self.served(Deadline.after(within, once=True))
        except UnavailableError as error:  # it is ending, or has ended
            return error
        return models.unknown(self.url, model, version, served)

    def _too_late(self, deadline: Deadline, reason: str) -> ClientError:
        return DeadlineError(
            f"{reason} from {self.url} within {deadline.timeout_s:g} s",
            remedy="The server may be overloaded: send less, or allow a longer timeout.",
        )

    def _live(self) -> bool:
        timeout_s = min(self.timeout_s, _LIVENESS_TIMEOUT_S)
        request = service_pb2.ServerLiveRequest()
        try:
            answer = self._stub.ServerLive(request, timeout=timeout_s, metadata=self._headers)
        except grpc.RpcError as error:
            raise _as_triton(error) from error
        return bool(answer.live)


def _as_triton(error: grpc.RpcError) -> InferenceServerException:
    return InferenceServerException(error.details(), status=str(error.code()))


def _closed() -> ClientError:
    return ClientError("this Classifier is closed")
