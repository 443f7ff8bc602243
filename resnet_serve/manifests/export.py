"""Export: a served version as the storage that KServe copies or mounts to /mnt/models.

    kserve-pvc   FOLDER/model_repository/NAME/…     for the root of a volume
    s3           FOLDER/NAME/…                      for a prefix: no links, no empty folders
    oci          FOLDER/models/NAME/… Dockerfile    an image with /models (KServe's modelcar)

Only what an unmodified Triton loads is written: the networks, and of a composed model its members
and their average. Every file is compared with the hash that its passport has of it.
Reference: kserve/website, docs/model-serving/storage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from resnet_serve import composed, durable
from resnet_serve.errors import InputFileError
from resnet_serve.manifests import kserve, workload
from resnet_serve.triton import image_repository
from resnet_serve.triton.config import LABELS_FILE
from resnet_serve.triton.repository import CONFIG_FILE
from resnet_serve.triton.repository.versions import Deployed

_READABLE_FILE, _READABLE_FOLDER = 0o644, 0o755  # the container is another user
# KServe starts it with ln and sleep. A tag that is not `latest` is pulled once per node.
_DOCKERFILE = """\
FROM busybox:1.37.0
COPY models/ /models/
"""


class Layout(StrEnum):
    """The storage that it is for."""

    PVC = "kserve-pvc"
    S3 = "s3"
    OCI = "oci"


_INSIDE = {Layout.PVC: "model_repository", Layout.S3: "", Layout.OCI: "models"}


@dataclass(frozen=True)
class Exported:
    """What was written: the models in `folder`, and the commands that bring it to the cluster."""

    folder: Path
    models: tuple[str, ...]
    files: int
    size_bytes: int
    commands: tuple[str, ...]


def export(deployed: Deployed, layout: Layout, folder: Path) -> Exported:
    """Write the served version into a folder that does not exist, whole or not at all.

    Raises `UsageError` for a model that an unmodified Triton does not load and for a folder that is
    there, `InputFileError` for a file that is not what its passport says, and `HostError` where
    nothing can be written.
    """
    made = workload.of(deployed)
    kserve.check(made)
    models, files, size_bytes = [], 0, 0
    with durable.new_folder(folder) as part:
        for each in (deployed, *_members(deployed)):
            for source, target in _files(each, part / _INSIDE[layout]):
                _copy(source, target)
                files, size_bytes = files + 1, size_bytes + target.stat().st_size
            models += _models(each)
            _compare(each, part / _INSIDE[layout])
        if layout is Layout.OCI:
            durable.write(part / "Dockerfile", _DOCKERFILE)
        for path in (part, *part.rglob("*")):
            if path.is_dir():
                path.chmod(_READABLE_FOLDER)
    return Exported(
        folder, tuple(models), files, size_bytes, _commands(made.name, deployed, layout, folder)
    )


def _members(deployed: Deployed) -> tuple[Deployed, ...]:
    return composed.pinned(deployed) if composed.members(deployed.passport) else ()


def _models(deployed: Deployed) -> list[str]:
    """Those of a version that take no encoded images."""
    return [each for each in deployed.models if not image_repository.takes_images(each)]


def _files(deployed: Deployed, root: Path) -> Iterator[tuple[Path, Path]]:
    """Every file of a version and its copy; what the model's own directory has is the served."""
    for model in _models(deployed):
        home = image_repository.directory(deployed.repository, model)
        version = home / str(deployed.version)
        for name in (CONFIG_FILE, LABELS_FILE):
            if (home / name).is_file():
                yield home / name, root / model / name
        for source in sorted(version.rglob("*")):
            if source.is_file():
                inside = source.relative_to(home)
                yield source, root / model / inside


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(_READABLE_FILE)


def _compare(deployed: Deployed, root: Path) -> None:
    for model, hashes in (deployed.passport.files or {}).items():
        if model not in _models(deployed):
            continue
        for name, sha256 in hashes.items():
            copied = root / model / str(deployed.version) / name
            if not copied.is_file() or durable.sha256(copied) != sha256:
                raise InputFileError(
                    f"{name} of {deployed} is not the file that its passport has the hash of",
                    where=deployed.path,
                    remedy="Deploy it again with resnet-convert.",
                )


def _commands(name: str, deployed: Deployed, layout: Layout, folder: Path) -> tuple[str, ...]:
    image = f"REGISTRY/{name}:{deployed.version}"
    storage = {
        Layout.PVC: f"pvc://{name}-models/{_INSIDE[layout]}",
        Layout.S3: f"s3://BUCKET/{name}",
        Layout.OCI: f"oci://{image}",
    }[layout]
    first = {
        Layout.PVC: (f"kubectl cp {folder}/{_INSIDE[layout]} POD:/VOLUME",),
        Layout.S3: (f"aws s3 sync --delete {folder} {storage}",),
        Layout.OCI: (f"docker build --tag {image} {folder}", f"docker push {image}"),
    }[layout]
    manifests = f"resnet-serve manifests {deployed.name} --for kserve --storage {storage}"
    return (*first, manifests)
