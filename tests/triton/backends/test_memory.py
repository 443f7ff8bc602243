"""Freed heap stays with a process: an image like the last one costs no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resnet_serve.triton.backends import memory

# As decoding does it: a picture, what it is resized to, and both freed.
PROGRAM = """
import ctypes, resource, sys
from resnet_serve.triton.backends import memory

libc, ROUNDS = ctypes.CDLL(None), 5
libc.malloc.restype = ctypes.c_void_p
kept, size = sys.argv[1] == "kept", int(sys.argv[2])
assert not kept or memory.keep_freed()
for number in range(2 + ROUNDS):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(4)]
    for each in map(ctypes.c_void_p, blocks):
        libc.memset(each, 1, ctypes.c_size_t(size))
    for each in map(ctypes.c_void_p, reversed(blocks)):
        libc.free(each)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / ROUNDS)
"""


def pages(kind: str, size_bytes: int) -> float:
    """The pages that the kernel gives for one round, on average."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(size_bytes)], capture_output=True, check=True
    )
    return float(ran.stdout)


@pytest.mark.parametrize("size_bytes", [750_000, 10_000_000])
def test_blocks_like_the_last_ones_need_no_new_pages(size_bytes: int) -> None:
    assert pages("kept", size_bytes) < 0.1 * pages("default", size_bytes)


def test_larger_blocks_are_given_back() -> None:
    size_bytes = memory.LARGEST_IN_HEAP_BYTES + 4096
    assert pages("kept", size_bytes) > 4 * size_bytes / 4096


def test_the_limits_are_those_that_glibc_goes_to_by_itself() -> None:
    # malloc.c: DEFAULT_MMAP_THRESHOLD_MAX of 64-bit systems, and twice as much before it trims.
    assert memory.LARGEST_IN_HEAP_BYTES == 4 * 1024 * 1024 * 8
    assert memory.KEPT_BYTES == 2 * memory.LARGEST_IN_HEAP_BYTES
