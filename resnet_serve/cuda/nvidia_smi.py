"""The GPUs of this host, as the driver's nvidia-smi lists them; no CUDA package is needed."""

from __future__ import annotations

import shutil
import subprocess

from resnet_serve.cuda.device import Gpu
from resnet_serve.errors import HostError

_QUERY = "--query-gpu=name,driver_version,compute_cap,memory.total"
_TIMEOUT_S = 20


def gpus() -> tuple[Gpu, ...]:
    """Every GPU that nvidia-smi lists; none where there is no nvidia-smi.

    Raises `HostError` when it fails.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        ended = subprocess.run(
            [program, _QUERY, "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(str(error)) from error
    lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    if ended.returncode != 0:
        raise _failed(lines[0] if lines else f"status {ended.returncode}")
    return tuple(_gpu(line) for line in lines)


def _gpu(line: str) -> Gpu:
    try:
        name, driver, capability, memory_mib = (part.strip() for part in line.rsplit(",", 3))
        return Gpu(name, capability, driver, round(float(memory_mib) / 1024, 1))
    except ValueError as error:
        raise _failed(f"it printed {line!r}") from error


def _failed(reason: str) -> HostError:
    return HostError(f"nvidia-smi failed: {reason}", remedy="Check the NVIDIA driver.")
