"""This host: its cores, instruction sets (which decide what precision is fast) and authorities."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

_CPUINFO_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
}
# Of Debian, Fedora and openSUSE, for a Python that was built elsewhere.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


@dataclass(frozen=True)
class Host:
    """The machine of a measurement, as in a passport; memory in GiB."""

    processor: str
    cores: int
    instruction_sets: tuple[str, ...]
    memory_gib: float
    system: str
    python: str

    @property
    def fast_int8(self) -> bool:
        """Whether u8×s8 products accumulate in 32 bits here (VNNI, AMX): no saturation, 4× rate."""
        return any("VNNI" in isa or "AMX" in isa for isa in self.instruction_sets)

    def to_json(self) -> dict[str, object]:
        """Its block in a passport."""
        return {
            "processor": self.processor,
            "cores": self.cores,
            "instruction_sets": list(self.instruction_sets),
            "memory_gib": self.memory_gib,
            "system": self.system,
            "python": self.python,
        }


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may use, at least 1: its affinity, limited by the cgroup's quota."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        available = os.cpu_count() or 1
    quota = _quota(cgroup)
    return available if quota is None else max(1, min(available, math.floor(quota)))


def _quota(cgroup: Path) -> float | None:
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        quota_us = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((cgroup / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def describe(cpuinfo: Path = Path("/proc/cpuinfo")) -> Host:
    """Describe this host as it is now; nothing is cached."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        text = ""
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Host(
        processor=fields.get("model name", platform.processor() or platform.machine()),
        cores=cores(),
        instruction_sets=tuple(name for flag, name in _CPUINFO_FLAGS.items() if flag in flags),
        memory_gib=round(pages * page_bytes / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def authorities() -> bytes | None:
    """The certificate authorities that this host trusts, PEM: gRPC in Python does not ask for them.

    SSL_CERT_FILE names another file of them. None where there is none, or gRPC has one of its own
    (GRPC_DEFAULT_SSL_ROOTS_FILE_PATH): it then trusts that, or the list in its package.
    Reference: gRPC, doc/environment_variables.md; Python, ssl.get_default_verify_paths.
    """
    import ssl

    if os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        return None
    for path in (ssl.get_default_verify_paths().cafile, *_AUTHORITIES):
        if path is not None and Path(path).is_file():
            return Path(path).read_bytes()
    return None
