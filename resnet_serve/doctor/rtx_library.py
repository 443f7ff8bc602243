"""Whether TensorRT-RTX can build plans here: its two packages, their versions, and that they load.

The libraries are loaded in a process of their own, as a damaged one may end it.
"""

from __future__ import annotations

import subprocess
import sys

from resnet_serve.doctor.diagnosis import Finding
from resnet_serve.errors import HostError
from resnet_serve.runtimes import tensorrt_rtx_library
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

SUBJECT = TENSORRT_RTX.title
_PROBE = """
from resnet_serve.errors import HostError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX
try:
    print(TENSORRT_RTX.version())
except HostError as error:
    raise SystemExit(error.what)
"""
_TIMEOUT_S = 120
_USE = (
    f"builds plans without a GPU, for compute capability {', '.join(TENSORRT_RTX.targets)}; they "
    "run on no Hopper and no data-centre Blackwell GPU"
)


def examine() -> Finding:
    """The packages of this host, loaded once."""
    try:
        installed = tensorrt_rtx_library.find()
    except HostError as error:
        return Finding(SUBJECT, "missing", f"{error.what} (it {_USE})", error.remedy or "")
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        command = f"{tensorrt_rtx_library.INSTALL} --force-reinstall"
        return Finding(SUBJECT, "missing", reason, command)
    return Finding(SUBJECT, "ok", f"{installed.version}: {_USE}")
