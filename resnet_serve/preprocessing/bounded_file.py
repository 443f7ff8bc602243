"""Bounded file: the bytes of an image, whose reader is stopped when it takes too long.

Decoders ask for their input piece by piece. A read that comes after the time is spent, or after
the same bytes were read many times over, raises: that interrupts a decoder between two pieces.
"""

from __future__ import annotations

import io
import time

from resnet_serve.preprocessing.limits import DamagedError, ImageError, Limits

# A decoder reads a file about twice: metadata, then pixels. A directory whose entries all refer to
# the same bytes reads them thousands of times.
_READS_OF_A_FILE, _SMALL_BYTES = 8, 1 << 20
_BETWEEN_CHECKS_READS, _BETWEEN_CHECKS_BYTES = 64, 4096


class BoundedFile(io.BytesIO):
    """A file in memory that may be read for `limits.max_seconds` of this thread's CPU time."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        super().__init__(data)
        self._limit_s = limits.max_seconds
        self._deadline_s = time.thread_time() + limits.max_seconds
        self._left_bytes = _READS_OF_A_FILE * len(data) + _SMALL_BYTES
        self._unchecked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As `BytesIO.read`; raises `ImageError` when the time or the bytes are spent."""
        found = super().read(size)
        self._left_bytes -= len(found)
        self._unchecked += 1 if len(found) < _BETWEEN_CHECKS_BYTES else _BETWEEN_CHECKS_READS
        if self._unchecked >= _BETWEEN_CHECKS_READS:
            self._unchecked = 0
            self.check_time()
        if self._left_bytes < 0:
            raise DamagedError("damaged image (its parts overlap, and repeat the same bytes)")
        return found

    def check_time(self) -> None:
        """Raise `ImageError` when the time is spent."""
        if time.thread_time() > self._deadline_s:
            self._unchecked = _BETWEEN_CHECKS_READS  # the next read raises too
            raise ImageError(
                f"decoding took more than {self._limit_s:g} s of CPU time",
                remedy="Save it again as a baseline JPEG or PNG, or scale it down.",
            )
