"""The base of every client of one served model: its connection, and its contract.

The contract is read from the server once per served version. It is read again after ten seconds,
and after a failed call, since another server may answer at the same address.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar, Self, get_args

from resnet_client import arguments
from resnet_client.contract import Contract, Decode, read
from resnet_client.errors import DeadlineError, ModelError, UsageError
from resnet_client.transport.channel import Tls, checked_headers
from resnet_client.transport.connection import Connection, Notice
from resnet_client.transport.deadlines import Deadline
from resnet_client.transport.models import IMAGE_SUFFIX

VERSION_CHANGES = 3  # attempts, each with a new contract, before a change of version is an error
_KEPT_S = 10.0


class Served:
    """The model that the Triton at `url` (gRPC, host:port) serves as `model`; see `Classifier`."""

    _classifies: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        decode: Decode,
        timeout_s: float,
        version: str,
        tls: bool | Tls,
        headers: Mapping[str, str] | None,
        keep_alive_s: float | None,
        notice: Notice | None,
    ) -> None:
        if decode not in get_args(Decode):
            raise UsageError(f"decode is 'client' or 'server', not {decode!r}")
        if not isinstance(tls, bool | Tls):
            raise UsageError(f"tls is True, False or a Tls, not {tls!r}")
        self.model = arguments.text("model", model)
        self._served = f"{model}{IMAGE_SUFFIX}" if decode == "server" else model
        self._decode: Decode = decode
        self._version = arguments.version(version)
        self._connection = Connection(
            url,
            timeout_s=timeout_s,
            tls=Tls() if tls is True else tls or None,
            headers=checked_headers(headers),
            keep_alive_s=keep_alive_s,
            notice=notice,
        )
        self._lock = threading.Lock()
        self._known: Contract | None = None
        self._read_at = 0.0
        self._read_after = 0  # failures of the connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End running requests and close the connection.

        They are cancelled, unless this can crash the server: then they may first end, for up to
        five seconds.
        """
        self._connection.close()

    def deadline(self, request_id: str = "") -> Deadline:
        """The deadline of a call that begins now, whose requests carry this id."""
        return self._connection.deadline(request_id)

    def contract(self, deadline: Deadline | None = None) -> Contract:
        """What the served version takes and gives, asked for where it is not known."""
        return self._contract(deadline or self.deadline())

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Return when the server answers and the model is ready; `timeout_s` is the client's own
        where it is None.

        Raises `UnavailableError` where that does not happen in time.
        """
        connection = self._connection
        deadline = connection.deadline() if timeout_s is None else Deadline.within(timeout_s)
        connection.wait_ready(self._served, self._version, deadline)

    def _contract(self, deadline: Deadline) -> Contract:
        if not self._lock.acquire(timeout=deadline.left_s):
            raise DeadlineError(
                f"no response from {self._connection.url} within {deadline.timeout_s:g} s",
                remedy="The server may be overloaded: send less, or allow a longer timeout.",
            )
        try:
            failures = self._connection.failures
            recent = time.monotonic() - self._read_at < _KEPT_S
            if self._known is None or not recent or failures != self._read_after:
                self._known = self._read(deadline, self._known)
                self._read_at = time.monotonic()
                self._read_after = self._connection.failures
            return self._known
        finally:
            self._lock.release()

    def _read(self, deadline: Deadline, known: Contract | None) -> Contract:
        """The contract of the version that is served now; `known` where it has not changed."""
        connection = self._connection
        if known is None or connection.failures != self._read_after:
            connection.learn_server(deadline)
            known = None
        version = self._version or connection.latest(self._served, deadline)
        config = connection.config(self._served, version, deadline)
        found = read(self._served, version, config, self._decode, classifies=self._classifies)
        return known if known is not None and found.same_as(known) else found

    def _forget(self, contract: Contract) -> None:
        with self._lock:
            if self._known is contract:
                self._known = None

    def _changing(self) -> ModelError:
        """The error for a version that changed during every attempt."""
        return ModelError(
            f"its version changed during {VERSION_CHANGES} attempts",
            where=f"model {self.model!r}",
            remedy="Try again when its deployment is done.",
        )
