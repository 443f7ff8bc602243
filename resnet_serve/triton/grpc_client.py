"""tritonclient whose time limits end the wait of this side, and no call.

Triton before 2.57 can crash when a gRPC deadline expires, or a call is cancelled, close to the
moment of its response (triton-inference-server/server #7368). So every call is sent from a thread
of its own with a deadline far behind the caller's, as `resnet_client.transport.calls` does:

    caller  ─ request ─► thread ─ gRPC, deadline + 120 s ─► server
            ◄─ response, or DEADLINE_EXCEEDED while the thread still waits ─
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from functools import partial
from typing import Any

import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from resnet_serve.errors import (
    HostError,
    UnavailableError,
    server_message,
    unreachable,
)
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.config import INPUT
from resnet_serve.triton.http_client import DATATYPES

BEHIND_S = 120.0
_LIMITED = "client_timeout"
_TIMEOUT_S = 60.0
_LIVENESS_TIMEOUT_S = 5.0
_PLAIN = "Check the address; for a server with TLS give --tls, or --tls-ca and its authority"
_ENCRYPTED = "Check the address, --tls-ca, and whether the server asks for --tls-cert and --tls-key"


class GrpcClient(triton.InferenceServerClient):  # type: ignore[misc] # it has no types
    """The client of one Triton (host:port); `client_timeout` is needed in every call.

    With `tls`, the connection is encrypted; raises `InputFileError` for files of it that are none.

    A call that takes longer raises `InferenceServerException` with DEADLINE_EXCEEDED, and its
    response is dropped. `close` leaves the connection to the calls that still wait for one.
    """

    def __init__(self, url: str, tls: ClientTls | None = None) -> None:
        self._address, self._tls = url, tls
        self._lock = threading.Lock()
        self._running = 0
        self._closed = False
        super().__init__(url, creds=None if tls is None else tls.credentials())
        for name, method in inspect.getmembers(self, inspect.ismethod):
            limited = _LIMITED in inspect.signature(method).parameters
            if limited and not name.startswith("async_"):
                setattr(self, name, partial(self._wait, method))

    @property
    def certified(self) -> bool | None:
        """For `errors.unreachable`: whether it shows a certificate, None without TLS."""
        return None if self._tls is None else self._tls.certified

    def ask(
        self,
        model: str,
        data: NDArray[Any],
        outputs: Sequence[str],
        *,
        classes: int = 0,
        version: str = "",
        timeout_s: float,
    ) -> dict[str, NDArray[Any]]:
        """One request; see `http_client.Client`."""
        kind = DATATYPES.get(data.dtype, "BYTES")
        given = triton.InferInput(INPUT, [1, *data.shape], kind)
        given.set_data_from_numpy(data[None])
        wanted = [triton.InferRequestedOutput(name, class_count=classes) for name in outputs]
        try:
            found = self.infer(
                model, [given], model_version=version, outputs=wanted, client_timeout=timeout_s
            )
        except InferenceServerException as error:
            raise self._failure(f"{model} does not answer", error) from error
        return {name: found.as_numpy(name) for name in outputs}

    def configuration(self, model: str) -> Any:
        """The configuration that the server runs a model with; raises `HostError`."""
        try:
            return self.get_model_config(model, client_timeout=_TIMEOUT_S).config
        except InferenceServerException as error:
            raise self._failure(f"{model} is not served", error) from error

    def _failure(self, what: str, error: InferenceServerException) -> HostError:
        """Why a call failed; without a connection the address is the one that was given."""
        if error.status() == "StatusCode.UNAVAILABLE":
            try:
                self.is_server_live(client_timeout=_LIVENESS_TIMEOUT_S)
            except InferenceServerException as refusal:
                found = unreachable(
                    self._address,
                    server_message(refusal),
                    certified=self.certified,
                    absent=_PLAIN if self._tls is None else _ENCRYPTED,
                )
                where = "" if found.where is None else f"{found.where}: "
                return UnavailableError(f"{what}: {where}{found.what}", remedy=found.remedy)
        return HostError(f"{what}: {server_message(error)}")

    def close(self) -> None:
        """Close the connection as soon as no call is running."""
        with self._lock:
            self._closed = True
            if self._running:
                return
        super().close()

    def _wait(
        self, call: Callable[..., Any], *args: Any, client_timeout: float, **more: Any
    ) -> Any:
        outcome: Future[Any] = Future()
        with self._lock:
            self._running += 1
        later = partial(call, *args, client_timeout=client_timeout + BEHIND_S, **more)
        # A daemon: the end of the process does not wait for a server that does not respond.
        threading.Thread(target=self._call, args=(later, outcome), daemon=True).start()
        try:
            return outcome.result(client_timeout)
        except NotDoneError:
            raise InferenceServerException(
                f"no response within {client_timeout:g} s", "StatusCode.DEADLINE_EXCEEDED"
            ) from None

    def _call(self, call: Callable[[], Any], outcome: Future[Any]) -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            outcome.set_exception(error)
        with self._lock:
            self._running -= 1
            last = self._closed and not self._running
        if last:
            super().close()
