"""A plan that was built for compute capabilities, compared with the machine that is to serve it.

Part of `verify --host`. Nothing is loaded: that a plan fits is no proof that it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Literal

from resnet_serve.cuda.device import Gpu
from resnet_serve.passport import BuiltEngineFacts
from resnet_serve.runtimes import Target
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS

Row = tuple[str, Literal["ok", "differs", "damaged", "refused", "unknown"], str, str]


def installed(target: Target) -> str | None:
    """The version of the target's library here; None where it is not installed."""
    for name in target.distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def checks(
    engine: BuiltEngineFacts, target: Target, gpus: Sequence[Gpu], some_gpu: Row
) -> Iterator[Row]:
    """Its library here, and each of the GPUs.

    `some_gpu` says what is wrong where there are no GPUs.
    """
    if some_gpu[1] != "ok":
        yield some_gpu
    version = installed(target)
    install = f"pip install 'resnet-serve[{target.extra}]'"
    build = "build it again: resnet-convert build-plan {path}"
    detail = f"built with {engine.tensorrt}"
    if version is None:
        yield target.title, "unknown", f"{detail}; it is not installed on this machine", install
    else:
        fits = version == engine.tensorrt
        detail = f"{detail}; this machine has {version}"
        yield target.title, "ok" if fits else "differs", detail, f"{build}, or {install}"
    targets = engine.targets or ()
    for gpu in gpus:
        here = gpu.compute_capability
        detail = (
            f"built for compute capability {', '.join(targets)}; this machine has {gpu.name} "
            f"({here})"
        )
        again = f"{build} --for {here}"
        if here not in FLAVOURS[target.name].targets:
            again = f"{target.title} does not support this GPU: convert it with --target tensorrt"
        yield "GPU", "ok" if here in targets else "differs", detail, again
