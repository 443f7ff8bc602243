"""Timing cache: what TensorRT measured of its kernels, kept for the next build.

TensorRT accepts a cache only from the same version on the same GPU, so there is a file for each.
Reference: TensorRT developer guide, "Timing Cache".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve import durable
from resnet_serve.cuda import Gpu
from resnet_serve.errors import HostError
from resnet_serve.user_cache import user_cache

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class TimingCache:
    """The file with the kernel times of this TensorRT on one GPU."""

    path: Path

    @classmethod
    def of(cls, gpu: Gpu, tensorrt: str, folder: Path | None) -> TimingCache:
        """The cache of a GPU and a TensorRT, in `folder`, or in the user's cache directory."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{gpu.name} sm{gpu.compute_capability}").strip("-")
        root = folder or user_cache() / "timing"
        return cls(root / f"tensorrt-{tensorrt}-{name}.cache")

    def load_into(self, config: trt.IBuilderConfig) -> tuple[bool, tuple[str, ...]]:
        """Give a build the kept times, or an empty cache.

        Returns whether kept times are used, and a sentence to show where TensorRT refuses them.
        Raises `HostError` where it accepts no cache at all.
        """
        kept = self.path.read_bytes() if self.path.is_file() else b""
        if kept and config.set_timing_cache(config.create_timing_cache(kept), False):
            return True, ()
        if not config.set_timing_cache(config.create_timing_cache(b""), False):
            raise HostError("TensorRT accepts no timing cache", where=self.path)
        refused = f"TensorRT refused the timing cache {self.path}; a new one is made"
        return False, (refused,) if kept else ()

    def save_from(self, config: trt.IBuilderConfig) -> str:
        """Write the times of a finished build to the file; returns its SHA-256.

        Raises `HostError` where TensorRT returns no cache.
        """
        found = config.get_timing_cache()
        if found is None:
            raise HostError("TensorRT returned no timing cache", where=self.path)
        data = bytes(found.serialize())
        durable.write(self.path, data)
        return durable.sha256(data)
