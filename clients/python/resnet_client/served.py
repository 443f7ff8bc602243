"""The base of every client of one served model: its connection, and its contract.

The contract is read from the server once per served version.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import ClassVar, Self, get_args

from resnet_client.connection import IMAGE_SUFFIX, Connection
from resnet_client.contract import Contract, Decode, read
from resnet_client.errors import ModelError, UsageError

VERSION_CHANGES = 3  # attempts, each with a new contract, before a change of version is an error


class Served:
    """The model that the Triton at `url` (gRPC, host:port) serves as `model`; see `Classifier`."""

    _classifies: ClassVar[bool] = True

    def __init__(
        self, url: str, model: str, *, decode: Decode, timeout_s: float, version: str
    ) -> None:
        if decode not in get_args(Decode):
            raise UsageError(f"decode is 'client' or 'server', not {decode!r}")
        if version and not version.isdecimal():
            raise UsageError(f"a version is a number, not {version!r}")
        self.model = model
        self._served = f"{model}{IMAGE_SUFFIX}" if decode == "server" else model
        self._decode: Decode = decode
        self._version = version
        self._connection = Connection(url, timeout_s=timeout_s)
        self._lock = threading.Lock()
        self._known: Contract | None = None

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
        """Cancel running requests and close the connection."""
        self._connection.close()

    def _contract(self) -> Contract:
        with self._lock:
            if self._known is None:
                version = self._version or self._connection.latest(self._served)
                config = self._connection.config(self._served, version)
                self._known = read(
                    self._served, version, config, self._decode, classifies=self._classifies
                )
            return self._known

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
