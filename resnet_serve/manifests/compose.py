"""A version on one host: a Compose service of our Dockerfile's `serve` stage.

The objects have the fields of the Compose specification, under its own names. Prometheus and
Grafana beside it are in deploy/compose.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import Any

from resnet_serve.manifests.kubernetes import PORTS
from resnet_serve.manifests.workload import Workload

_MODELS = "/models"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Device:
    """One GPU."""

    driver: str = "nvidia"
    count: int = 1
    capabilities: tuple[str, ...] = ("gpu",)


@dataclass(frozen=True)
class Reservations:
    """What a service needs for itself."""

    devices: tuple[Device, ...]


@dataclass(frozen=True)
class Resources:
    """Of a service."""

    reservations: Reservations


@dataclass(frozen=True)
class Deploy:
    """How a service is deployed."""

    resources: Resources


@dataclass(frozen=True)
class Service:
    """The server: ports on loopback, a read-only root, and no capabilities."""

    image: str
    environment: dict[str, str]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    cpus: str
    mem_limit: str
    deploy: Deploy | None = None
    shm_size: str = "256m"  # requests pass from Triton to its backends through it
    stop_grace_period: str = "30s"  # 20 for the requests in flight
    restart: str = "unless-stopped"
    read_only: bool = True
    tmpfs: tuple[str, ...] = ("/tmp", "/var/cache/resnet-serve")  # noqa: S108
    cap_drop: tuple[str, ...] = ("ALL",)
    security_opt: tuple[str, ...] = ("no-new-privileges:true",)


@dataclass(frozen=True)
class Compose:
    """The file."""

    name: str
    services: dict[str, Service]


def objects(workload: Workload, *, image: str, repository: PurePath) -> Compose:
    """The file that serves a repository; a relative one is seen from the file's folder.

    `image` is the serve image. The repository of encoded images is the one beside it.
    """
    source = str(repository)
    if not repository.is_absolute() and not source.startswith(".."):
        source = f"./{source}"  # or it would be the name of a volume
    gpu = Deploy(Resources(Reservations((Device(),)))) if workload.gpu else None
    return Compose(
        name=workload.name,
        services={
            "triton": Service(
                image=image,
                environment={
                    "MODEL_REPOSITORY": _MODELS,
                    "RESNET_SERVE_STATUS_PORT": str(PORTS["status"]),
                },
                ports=tuple(f"{_LOOPBACK}:{port}:{port}" for port in PORTS.values()),
                volumes=(f"{source}:{_MODELS}:ro", f"{source}.images:{_MODELS}.images:ro"),
                cpus=str(workload.cores),
                mem_limit=f"{workload.memory_mib}m",
                deploy=gpu,
            )
        },
    )


def plain(made: Any) -> Any:
    """An object as JSON's types, without what is not set."""
    if is_dataclass(made):
        found = {each.name: getattr(made, each.name) for each in fields(made)}
        return {key: plain(value) for key, value in found.items() if value is not None}
    if isinstance(made, dict):
        return {key: plain(value) for key, value in made.items()}
    return [plain(each) for each in made] if isinstance(made, tuple) else made
