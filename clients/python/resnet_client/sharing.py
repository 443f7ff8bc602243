"""Pixels through shared memory, or over gRPC where that is not possible, with a notice.

    with Classifier(…).shared_memory() as fast:    enter: a region is made, and registered
        fast.classify_many(…)                      each batch is written into it
                                                   exit: it is unregistered, and removed

The server must be on this host and let this client register memory. A server that was restarted is
asked again.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from resnet_client.contract import Contract
from resnet_client.errors import ClientError, ServerError, UnavailableError, UsageError
from resnet_client.transport.channel import Headers, checked_headers, is_loopback
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline
from resnet_client.transport.shared_memory import Region, RegionLostError

# With the key of the server, whose name `resnet-serve up` gives to Triton.
KEY_HEADER = "triton-grpc-protocol-resnet-serve-key"
_DRAIN_S = 5.0
_PAUSE_S = 0.01  # between two attempts to unregister what the server still uses
_ATTEMPTS = 2  # to find the region on the server, before gRPC is used

Notice = Callable[[str], None]


class SharedInputs:
    """A connection whose batches go through shared memory, as far as that is possible.

    `notice` is told once when they go over gRPC; without it, it is a `RuntimeWarning`.
    """

    def __init__(self, connection: Connection, key: str | None, notice: Notice | None) -> None:
        self._connection = connection
        self._headers: Headers = () if key is None else checked_headers({KEY_HEADER: key})
        self._notice = notice
        self._region: Region | None = None  # None: batches go over gRPC
        self._registered = False
        self._fell_back = threading.Event()

    @contextmanager
    def opened(self, contract: Contract, images: int, deadline: Deadline) -> Iterator[None]:
        """With a region for so many images of a model, if there can be one."""
        if contract.encoded:
            raise UsageError(
                "shared memory is for pixels, and encoded images are sent",
                where=f"model {contract.model!r}",
                remedy="Decode the images in the client: decode='client', of the classifier.",
            )
        if not is_loopback(self._connection.url):
            # The key must not cross a network, and the server could not map the region.
            self._fall_back(f"{self._connection.url} is not the loopback of this host")
            yield
            return
        try:
            region = Region(max(images, contract.max_batch_size), contract.image_bytes)
        except OSError as error:
            self._fall_back(error.strerror or str(error))
            yield
            return
        try:
            self._register(region, deadline)
            yield
        finally:
            self._close(region)

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
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """As `Connection.infer`."""
        deadline = deadline or self._connection.deadline()
        options: dict[str, Any] = {
            "input_name": input_name,
            "batch": batch,
            "outputs": list(outputs),
            "classes": classes,
            "deadline": deadline,
        }
        region = self._region
        if region is not None and not region.fits(batch):
            self._fall_back("the images of this version have another size")
        elif region is not None:
            place = region.write(batch, deadline)
            try:
                for _ in range(_ATTEMPTS):
                    try:
                        return self._connection.infer(model, version, **options, place=place)
                    except RegionLostError:
                        self._register(region, deadline)
                        if self._region is None:
                            break
            finally:
                place.release()
        return self._connection.infer(model, version, **options)

    def _register(self, region: Region, deadline: Deadline) -> None:
        """Use the region if the server can; raises `UnavailableError` where none responds."""
        try:
            self._connection.register(region, self._headers, deadline)
        except UnavailableError as error:
            if "restricted" not in error.what:
                raise
            self._registered = False
            self._fall_back(
                "the server does not accept this key for shared memory"
                if self._headers
                else "the server restricts it, and no key was given"
            )
        except ServerError as error:
            # Another thread, or an attempt whose response was lost, has registered it.
            self._registered = "already in manager" in error.what
            if not self._registered:
                self._fall_back(
                    "the server cannot open it: it runs on another host, in a container or as"
                    f" another user ({error.what})"
                )
        else:
            self._registered = True
        if self._registered and not self._fell_back.is_set():
            self._region = region

    def _close(self, region: Region) -> None:
        try:
            idle = region.drain(_DRAIN_S)
            if self._registered and not idle:
                # Triton might unmap what it reads.
                self._tell("requests still run: the server keeps the shared memory until it ends")
            elif self._registered:
                self._unregister(region)
        except ClientError as error:
            self._tell(f"the server did not release the shared memory: {error.what}")
        finally:
            region.remove()

    def _unregister(self, region: Region) -> None:
        """Let the server unmap the region.

        Triton responds before it releases the inputs of a request. Up to release 24.11 it refuses
        meanwhile; later ones put it off (server, src/shared_memory_manager.cc, UnregisterHelper).
        """
        deadline = Deadline.after(_DRAIN_S)
        while True:
            try:
                return self._connection.unregister(region, self._headers, deadline)
            except ServerError as error:
                if "currently in use" not in error.what or deadline.left_s < _PAUSE_S:
                    raise
            time.sleep(_PAUSE_S)

    def _fall_back(self, reason: str) -> None:
        first = not self._fell_back.is_set()
        self._fell_back.set()
        self._region = None
        if first:
            self._tell(f"pixels are sent over gRPC, not through shared memory: {reason}")

    def _tell(self, line: str) -> None:
        if self._notice is not None:
            self._notice(line)
        else:
            warnings.warn(line, RuntimeWarning, stacklevel=4)
