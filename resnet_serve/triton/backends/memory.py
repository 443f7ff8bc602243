"""Memory: what a backend process keeps of the heap that it has freed.

An image of 500 × 375 pixels takes 1.4 MB for the time of its decoding. At the defaults of glibc the
heap is given back to the kernel after each image, and 360 pages of zeros are requested for the
next: a quarter of the CPU time of decoding it. glibc raises these limits by itself as larger
blocks are freed; the ones here are the highest that it would go to.
"""

from __future__ import annotations

import ctypes

LARGEST_IN_HEAP_BYTES = 32 << 20  # a larger block is mapped, and given back when it is freed
KEPT_BYTES = 64 << 20
# mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed() -> bool:
    """Keep up to `KEPT_BYTES` of freed heap in this process; False where the C library cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        return False
    limits = (_M_MMAP_THRESHOLD, LARGEST_IN_HEAP_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES)
    return all(mallopt(*limit) == 1 for limit in limits)
