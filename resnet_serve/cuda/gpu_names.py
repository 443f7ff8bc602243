"""GPU names: the compute capability of a GPU, from its name in any common spelling.

    capability("rtx-4090") == capability("NVIDIA GeForce RTX 4090 Laptop GPU") == "8.9"
    capability("8.6") == capability("sm_86") == "8.6"

Source of the table: NVIDIA, "CUDA GPU Compute Capability" (developer.nvidia.com/cuda-gpus) and
"Legacy CUDA GPU Compute Capability", as of 2026-11. Of the A10G, which NVIDIA does not list: Amazon
EC2's page of the G5 instances.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from resnet_serve.errors import UsageError

_BY_CAPABILITY = {
    "12.1": "GB10, DGX Spark",
    "12.0": (
        "RTX PRO 6000 Blackwell, RTX PRO 5000 Blackwell, RTX PRO 4500 Blackwell, "
        "RTX PRO 4000 Blackwell, RTX PRO 2000 Blackwell, GeForce RTX 5090, GeForce RTX 5080, "
        "GeForce RTX 5070 Ti, GeForce RTX 5070, GeForce RTX 5060 Ti, GeForce RTX 5060, "
        "GeForce RTX 5050"
    ),
    "11.0": "Jetson T5000, Jetson T4000",
    "10.3": "GB300, B300",
    "10.0": "GB200, B200",
    "9.0": "GH200, H200, H100",
    "8.9": (
        "L4, L40, L40S, RTX 6000 Ada, RTX 5000 Ada, RTX 4500 Ada, RTX 4000 Ada, RTX 2000 Ada, "
        "GeForce RTX 4090, GeForce RTX 4080, GeForce RTX 4070 Ti, GeForce RTX 4070, "
        "GeForce RTX 4060 Ti, GeForce RTX 4060, GeForce RTX 4050"
    ),
    "8.7": "Jetson AGX Orin, Jetson Orin NX, Jetson Orin Nano",
    "8.6": (
        "A40, A10, A10G, A16, A2, RTX A6000, RTX A5000, RTX A4000, RTX A3000, RTX A2000, "
        "GeForce RTX 3090 Ti, GeForce RTX 3090, GeForce RTX 3080 Ti, GeForce RTX 3080, "
        "GeForce RTX 3070 Ti, GeForce RTX 3070, GeForce RTX 3060 Ti, GeForce RTX 3060, "
        "GeForce RTX 3050 Ti, GeForce RTX 3050"
    ),
    "8.0": "A100, A30",
    "7.5": (
        "T4, Quadro RTX 8000, Quadro RTX 6000, Quadro RTX 5000, Quadro RTX 4000, Quadro RTX 3000, "
        "TITAN RTX, GeForce RTX 2080 Ti, GeForce RTX 2080, GeForce RTX 2070, GeForce RTX 2060"
    ),
    "7.0": "V100, Quadro GV100, TITAN V",
}
GPUS: Mapping[str, str] = MappingProxyType(
    {name: capability for capability, names in _BY_CAPABILITY.items() for name in names.split(", ")}
)
_NEAR = 6  # names that an error lists
_CAPABILITY = re.compile(r"(?:sm_?|cc ?)?([0-9]{1,2})\.([0-9])|sm_?([0-9]{1,2})([0-9])", re.I)
# What names of the driver and of vendors add; it does not change the compute capability.
_ADDED = re.compile(
    r"nvidia|geforce|tesla|gpu|laptop|mobile|notebook|generation|workstation|server|edition|"
    r"max|q|maxq|sff|super|sxm[0-9]*|pcie|nvl[0-9]*|hbm[0-9a-z]*|[0-9]+gb|d"
)
_SUFFIX = re.compile(r"(?<=[0-9i])(super|laptop|mobile|d)$")  # written without a space


def capability(text: str) -> str:
    """The compute capability ("8.9") of a GPU's name, or of a compute capability as text.

    Raises `UsageError` for a name that is not in the table, with names like it.
    """
    stated = _CAPABILITY.fullmatch(text.strip())
    if stated is not None:
        major, minor = stated[1] or stated[3], stated[2] or stated[4]
        return f"{major}.{minor}"
    found = _keys().get(_key(text))
    if found is not None:
        return GPUS[found]
    near = ", ".join(_near(text))
    raise UsageError(
        f"no GPU called {text.strip()!r} is known here",
        remedy=f"{f'Like it: {near}. ' if near else ''}Or give its compute capability, as 8.6: "
        "nvidia-smi --query-gpu=name,compute_cap --format=csv",
    )


def _key(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return _SUFFIX.sub("", "".join(word for word in words if not _ADDED.fullmatch(word)))


@cache
def _keys() -> dict[str, str]:
    """The names by what they are reduced to, and by their short forms where these are unique."""
    found = {_key(name): name for name in GPUS}
    short: dict[str, list[str]] = {}
    for key, name in found.items():
        shorter = {key.removeprefix("rtx"), key.removesuffix("blackwell")} - {key, ""}
        for each in shorter:
            short.setdefault(each, []).append(name)
    return {**{key: names[0] for key, names in short.items() if len(names) == 1}, **found}


def _near(text: str) -> list[str]:
    key, keys = _key(text), _keys()
    number = re.search(r"[0-9]{3,}", key)
    alike = difflib.get_close_matches(key, keys, n=_NEAR, cutoff=0.6)
    same = [each for each in keys if number is not None and number[0] in each]
    return list(dict.fromkeys(keys[each] for each in (*same, *alike)))[:_NEAR]
