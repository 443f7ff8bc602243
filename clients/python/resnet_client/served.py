"""What every client of one served model is: where it is, what it takes, when that has changed.

What the model takes is read from the server once per served version.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import ClassVar, Self, get_args

from resnet_client.connection import IMAGE_SUFFIX, Connection
from resnet_client.contract import Contract, Decode, read
from resnet_client.errors import ModelError, UsageError

VERSION_CHANGES = 3  # that are followed before it is called an error


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
        """Cancel what is under way and hang up."""
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

    def _restless(self) -> ModelError:
        """The error for a version that changed with every attempt."""
        return ModelError("its version changes all the time", where=f"model {self.model!r}")
