"""A POSIX region that holds the pixels of requests: written here, read by a server on this host.

    image │ image │ image │ …      a batch of n images has n of them, side by side: its place

It is free again when no call can read it any more, also when the caller left at the deadline.
The region is of this user alone, and its pages are reserved when it is made. When the process is
killed, Python's resource tracker removes its name.
Reference: triton-inference-server/server, docs/protocol/extension_shared_memory.md.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_client.errors import DeadlineError, UsageError
from resnet_client.transport.deadlines import Deadline

FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux has its POSIX regions


class RegionLostError(Exception):
    """The server does not know the region: it was restarted."""


class Place:
    """The part of a region that has one batch: where, and how many still need it."""

    def __init__(self, region: Region, first: int, images: int, size: int) -> None:
        self.region = region.name
        self.offset = first * region.image_bytes
        self.size = size
        self.images = range(first, first + images)
        self._region = region
        self._needed_by = 1

    def hold(self) -> None:
        """One more call needs it; each ends with `release`."""
        with self._region.changed:
            self._needed_by += 1

    def release(self) -> None:
        """One call less needs it."""
        with self._region.changed:
            self._needed_by -= 1
            if not self._needed_by:
                self._region.free(self)


class Region:
    """A region with places for `images` of `image_bytes` each; any number of threads may share it.

    Raises `OSError` where this host has no room for it.
    """

    def __init__(self, images: int, image_bytes: int) -> None:
        self.name = f"resnet-client-{secrets.token_hex(8)}"
        self.image_bytes = image_bytes
        self.size = images * image_bytes
        self.changed = threading.Condition()
        self._closed = False
        if not FOLDER.is_dir():
            raise OSError(errno.ENOENT, f"this system has no {FOLDER}")
        room = os.statvfs(FOLDER)
        if self.size > room.f_bavail * room.f_frsize:
            raise OSError(errno.ENOSPC, f"{FOLDER} has no room for {self.size / 1e6:,.0f} MB")
        self._taken = [False] * images
        self._memory = SharedMemory(self.name, create=True, size=self.size)
        try:
            self._reserve()
        except BaseException:
            self._remove()
            raise

    @property
    def key(self) -> str:
        """Its name for shm_open(3)."""
        return f"/{self.name}"

    def fits(self, batch: NDArray[Any]) -> bool:
        """Whether a batch [n,…] is of images of this size, and not more of them than it holds."""
        return (
            batch.dtype != np.object_
            and batch.nbytes == len(batch) * self.image_bytes
            and len(batch) <= len(self._taken)
        )

    def write(self, batch: NDArray[Any], deadline: Deadline) -> Place:
        """Copy a batch that `fits` into a place; waits for a free one until the deadline."""
        with self.changed:
            found = self.changed.wait_for(lambda: self._place(batch), deadline.left_s)
            if self._closed:
                raise _ended()
            if not isinstance(found, Place):
                raise DeadlineError(
                    f"no room in the shared memory within {deadline.timeout_s:g} s",
                    remedy="Share memory for more images, or allow a longer timeout.",
                )
        memory = self._memory.buf
        if memory is None:
            raise _ended()
        memory[found.offset : found.offset + found.size] = np.ascontiguousarray(batch).data.cast(
            "B"
        )
        return found

    def free(self, place: Place) -> None:
        """Nobody needs the place any more; the caller holds `changed`."""
        for image in place.images:
            self._taken[image] = False
        self.changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Take no more batches; whether no call needs the region any more."""
        end = time.monotonic() + timeout_s
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            left_s = max(0.0, end - time.monotonic())
            return self.changed.wait_for(lambda: not any(self._taken), left_s)

    def remove(self) -> None:
        """Remove it from this host; a server that has mapped it still holds its memory."""
        with self.changed:
            self._closed = True
        self._remove()

    def _place(self, batch: NDArray[Any]) -> Place | bool:
        """The first free place for a batch; True where there will be none, False for not yet."""
        if self._closed:
            return True
        run = 0
        for at, taken in enumerate(self._taken):
            run = 0 if taken else run + 1
            if run == len(batch):
                first = at + 1 - run
                self._taken[first : at + 1] = [True] * run
                return Place(self, first, run, batch.nbytes)
        return False

    def _reserve(self) -> None:
        """Otherwise a full /dev/shm would end this process by SIGBUS when pixels are written."""
        descriptor = os.open(FOLDER / self.name, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, self.size)
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        self._memory.close()
        try:
            self._memory.unlink()
        except FileNotFoundError:  # as systemd does at the end of a session
            resource_tracker.unregister(self.key, "shared_memory")


def _ended() -> UsageError:
    return UsageError("shared memory is used after the end of its `with` block")
