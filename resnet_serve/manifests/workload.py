"""What a version needs where it runs: container, cores, memory, GPU, and how long requests wait."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resnet_serve import composed
from resnet_serve.errors import UsageError
from resnet_serve.passport import ComposedPassport, ConvertedPassport, EngineState, Passport
from resnet_serve.passport.engine import BuiltEngineFacts
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import releases
from resnet_serve.triton.releases import Release
from resnet_serve.triton.repository.versions import Deployed

_BASE_MIB = 768  # Triton and the processes of its Python-based backends
_PER_COPY = 4  # the file, its prepared weights, and the activations of a batch
LONGEST_LABEL = 63  # RFC 1123
_LONGEST_SUBDOMAIN = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHORTEST_WAIT_MS = 100.0  # as the bound of the queue in `triton/queue_bound`
_WAIT_LATENCIES = 4


@dataclass(frozen=True)
class Workload:
    """One version of one model. `release` is the container that loads its files.

    `targets` are the runtimes of its networks, one or those of the members; `of_images` says that
    NAME itself takes encoded images. `wait_ms` is how long a request waits in a queue that is as
    full as it may be.
    """

    model: str
    version: int
    targets: tuple[str, ...]
    release: Release
    gpu: bool
    cores: int
    memory_mib: int
    wait_ms: float
    of_images: bool = False

    @property
    def name(self) -> str:
        """The name of its objects: the model's, as a DNS label."""
        return label(self.model)


def of(deployed: Deployed) -> Workload:
    """The workload of a version; of a composed model, with its members beside one another.

    Raises `UsageError` for one whose plan is not built, and for a plan that no known container
    loads, and `InputFileError` for a member that is gone.
    """
    document = deployed.passport
    if not isinstance(document, ComposedPassport):
        return _network(deployed)
    pinned = composed.pinned(deployed)
    members = [_network(each) for each in pinned]
    plans = [row for row, each in zip(members, pinned, strict=True) if _has_plan(each.passport)]
    if len({each.release.tag for each in plans}) > 1:
        raise UsageError(
            f"the members of {deployed} are for different containers: "
            + ", ".join(f"{each.model} for {each.release.tag}" for each in plans),
            remedy="Build their plans in one of them: resnet-convert build-plan.",
        )
    return Workload(
        model=deployed.name,
        version=deployed.version,
        targets=tuple(dict.fromkeys(target for each in members for target in each.targets)),
        release=plans[0].release if plans else releases.CURRENT,
        gpu=any(each.gpu for each in members),
        cores=max(each.cores for each in members),  # they were measured on the same ones
        memory_mib=_BASE_MIB + sum(each.memory_mib - _BASE_MIB for each in members),
        wait_ms=max(each.wait_ms for each in members),
        of_images=document.crops is not None,
    )


def _network(deployed: Deployed) -> Workload:
    document = deployed.passport
    if not isinstance(document, ConvertedPassport):
        raise UsageError(f"{deployed} is composed of composed models", remedy="Name a member.")
    if document.engine_state is EngineState.NOT_BUILT:
        raise UsageError(
            f"the plan of {deployed} is not built",
            remedy=f"On the GPU host: resnet-convert build-plan {deployed.path}",
        )
    contract, timed = document.contract, document.latency.times.get(document.target)
    copies = 2 * contract.instances if contract.threads > 1 else contract.instances
    size_mib = document.model.size_bytes / 2**20
    gpu = TARGETS[document.target].gpu or document.cuda is not None or document.engine is not None
    return Workload(
        model=deployed.name,
        version=deployed.version,
        targets=(document.target,),
        release=_release(deployed, document),
        gpu=gpu,
        cores=contract.instances * contract.threads,
        memory_mib=_BASE_MIB + round(_PER_COPY * copies * size_mib),
        wait_ms=max(_SHORTEST_WAIT_MS, _WAIT_LATENCIES * (timed.median_ms if timed else 0.0)),
    )


def label(model: str) -> str:
    """A model's name as a DNS label; raises `UsageError` for one that makes none."""
    made = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if not made or not made[0].isalpha() or len(made) > LONGEST_LABEL:
        raise UsageError(
            f"{model!r} cannot name an object of Kubernetes",
            remedy=f"Give --name a name of up to {LONGEST_LABEL} small letters, digits and '-'.",
        )
    return made


def claim_name(name: str) -> str:
    """That name; raises `UsageError` for one that no PersistentVolumeClaim can have.

    The API server takes any in a pod, which then waits for the claim.
    """
    if len(name) > _LONGEST_SUBDOMAIN or not _SUBDOMAIN.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a PersistentVolumeClaim",
            remedy="Its names have small letters, digits, '-' and '.'.",
        )
    return name


def _has_plan(document: Passport) -> bool:
    """Whether only some containers load it. TensorRT-RTX comes with our own backend."""
    return document.engine is not None and document.engine.targets is None


def _release(deployed: Deployed, document: ConvertedPassport) -> Release:
    """The container that the plan is for; without one, the current."""
    engine = document.engine
    if engine is None or not _has_plan(document):
        return releases.CURRENT
    if engine.triton is not None:
        return releases.find(engine.triton)
    if not isinstance(engine, BuiltEngineFacts):
        return releases.CURRENT
    compatible = engine.version_compatible
    for row in reversed(tuple(releases.RELEASES.values())):
        if releases.loads(engine.tensorrt, row.tensorrt, version_compatible=compatible):
            return row
    raise UsageError(
        f"no known container loads the plan of {deployed}, of TensorRT {engine.tensorrt}",
        remedy=f"Build it in {releases.CURRENT.image}: resnet-convert build-plan {deployed.path}",
    )
