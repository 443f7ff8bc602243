"""Releases of Triton's container: which TensorRT each ships, and whether it loads a plan.

A plan loads only in the TensorRT that built it, to the build number; a version-compatible one also
in later TensorRT of the same major version (TensorRT support matrix, "Version Compatibility").
`pip install tensorrt` installs the newest, which may be in no container yet. The conversion
therefore checks here before it spends minutes on a build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from resnet_serve.errors import HostError, UsageError

Confidence = Literal["image", "release notes", "inferred"]
NEXT_CHECK = "`resnet-serve verify --host` on the serving machine compares the exact versions"
_VERSION_PARTS = 4
_AS = "Write it as 11.3.0.99."


@dataclass(frozen=True)
class Release:
    """One `nvcr.io/nvidia/tritonserver:<tag>-py3`.

    `tensorrt` has as many parts of the image's version as are known. `pypi` is the matching version
    on PyPI, None where it is not known. `confidence` is how the TensorRT version is known: read
    from the image (its TRT_VERSION), from NVIDIA's release notes, or inferred.
    """

    tag: str
    triton: str
    tensorrt: str
    cuda: str
    onnxruntime: str | None
    python: str
    pypi: str | None
    confidence: Confidence
    source: str

    @property
    def image(self) -> str:
        """The name of the image."""
        return f"nvcr.io/nvidia/tritonserver:{self.tag}-py3"

    @property
    def tensorrt_major(self) -> int:
        """The major version of its TensorRT."""
        return _parts(self.tensorrt)[0]

    @property
    def requirement(self) -> str | None:
        """What to `pip install` to build plans that this image loads; None where not known."""
        major = self.cuda.partition(".")[0]
        return None if self.pypi is None else f"tensorrt-cu{major}=={self.pypi}"


_NOTES = "NVIDIA Triton release notes"
_SUPPORT = "triton-inference-server/server, docs/introduction/compatibility.md"
RELEASES: Mapping[str, Release] = MappingProxyType(
    {
        row.tag: row
        for row in (
            Release(
                "24.10", "2.51.0", "10", "12.6", None, "3.10", None, "inferred",
                "the server that nvidia-pytriton 0.7.0 bundles; its image's TensorRT is a 10.x",
            ),
            Release(
                "26.05", "2.69.0", "10.16.1.11", "13.2.1", "1.24.4", "3.12", "10.16.1.11",
                "release notes", f"{_NOTES} rel-26-05; ONNX Runtime: {_SUPPORT}; "
                "Triton counted back from 26.07",
            ),
            Release(
                "26.06", "2.70.0", "11.0", "13.3.0", "1.24.4", "3.12", "11.0.0.114", "inferred",
                f"CUDA: {_NOTES} rel-26-06; TensorRT: third parties; ONNX Runtime: {_SUPPORT}; "
                "Triton counted back from 26.07",
            ),
            Release(
                "26.07", "2.71.0", "11.1.0.106", "13.3.1", "1.27.0", "3.12", "11.1.0.106", "image",
                "triton-inference-server/server README of 2026-08; TRT_VERSION as three parties "
                "read it from the image",
            ),
            Release(
                "26.08", "2.72.0", "11.2.1", "13.4.1", "1.28.0", "3.12", "11.2.1.2",
                "release notes", f"{_NOTES} rel-26-08",
            ),
            Release(
                "26.09", "2.73.0", "11.3", "13.4.1", None, "3.12", "11.3.0.99", "release notes",
                f"{_NOTES} rel-26-09; its ONNX Runtime was not found",
            ),
        )
    }
)  # fmt: skip
CURRENT = RELEASES["26.09"]


def find(tag: str) -> Release:
    """The row of a container tag such as `26.09`; `UsageError` lists the known ones."""
    if tag not in RELEASES:
        raise UsageError(
            f"unknown Triton container {tag!r}", remedy=f"Use one of {', '.join(RELEASES)}."
        )
    return RELEASES[tag]


def loads(built: str, shipped: str, *, version_compatible: bool) -> bool:
    """Whether a plan of TensorRT `built` (four parts) loads in TensorRT `shipped`.

    `shipped` may have fewer parts ("11.3"), which are then compared. Raises `UsageError` for a text
    that is no version.
    """
    plan, runtime = _parts(built), _parts(shipped)
    if len(plan) != _VERSION_PARTS:
        raise UsageError(f"{built!r} is not a TensorRT version", remedy=_AS)
    plan = plan[: len(runtime)]
    if version_compatible:
        return plan[0] == runtime[0] and plan <= runtime
    return plan == runtime


def check_build(release: Release, tensorrt_version: str, *, version_compatible: bool) -> str | None:
    """Check that the image can load what this builder builds; returns a warning, or None.

    `tensorrt_version` is the builder's, such as "11.3.0.99". Raises `HostError` with the commands
    that install the right builder where the image cannot.
    """
    if not loads(tensorrt_version, release.tensorrt, version_compatible=version_compatible):
        forward = loads(tensorrt_version, release.tensorrt, version_compatible=True)
        raise HostError(
            f"a plan built with TensorRT {tensorrt_version} would not load in {release.image}, "
            f"which has TensorRT {release.tensorrt}",
            remedy=_remedy(release, could_go_forward=forward),
        )
    notes = []
    if version_compatible:
        notes.append(
            "Triton loads a version-compatible plan only with "
            "--backend-config=tensorrt,version-compatible=true; it contains code, so load only "
            "plans from a source you trust"
        )
    elif release.pypi is not None and tensorrt_version != release.pypi:
        notes.append(
            f"the image of {release.tag} is known to have TensorRT {release.tensorrt}, of which "
            f"PyPI has {release.pypi}, not the {tensorrt_version} that builds here; {NEXT_CHECK}"
        )
    elif release.confidence != "image":
        how = "is inferred" if release.confidence == "inferred" else "comes from release notes"
        notes.append(
            f"that {release.tag} ships TensorRT {release.tensorrt} {how}, not from the image; "
            f"{NEXT_CHECK}"
        )
    return "; ".join(notes) or None


def _remedy(release: Release, *, could_go_forward: bool) -> str:
    ways = [] if release.requirement is None else [f"pip install {release.requirement}"]
    ways.append(f"build inside {release.image}")
    if could_go_forward:
        ways.append("pass --version-compatible")
    return f"Either {', or '.join(ways)}." if len(ways) > 1 else f"Instead {ways[0]}."


def _parts(version: str) -> tuple[int, ...]:
    if re.fullmatch(r"\d{1,9}(\.\d{1,9}){0,3}", version, re.ASCII) is None:
        raise UsageError(f"{version!r} is not a TensorRT version", remedy=_AS)
    return tuple(map(int, version.split(".")))


def numbers(version: str) -> tuple[int, ...] | None:
    """ "615.61" as numbers; None for a text that is no version."""
    parts = version.split(".")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        return None
    return tuple(map(int, parts))
