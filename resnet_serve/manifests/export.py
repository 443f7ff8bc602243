"""Export: a served version as storage: what KServe copies or mounts to /mnt/models, or a volume.

    kserve-pvc       FOLDER/model_repository/NAME/…     for the root of a volume
    s3               FOLDER/NAME/…                      for a prefix: no links, no empty folders
    oci              FOLDER/models/NAME/… Dockerfile    an image with /models (KServe's modelcar)
    kubernetes-pvc   FOLDER/model_repository/NAME/… FOLDER/model_repository.images/NAME_image/…

For KServe only what an unmodified Triton loads is written: the networks, and of a composed model
its members and their average. It starts Triton on one repository, without our `image` backend, and
such a Triton ends where it finds a model of a backend that it has not. The last layout has all
models, for a server that has the backend (`manifests --for kubernetes`). Every file is compared
with the hash that its passport has of it.
Reference: kserve/website, docs/model-serving/storage.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from resnet_serve import composed, durable
from resnet_serve.errors import InputFileError
from resnet_serve.manifests import kserve, workload
from resnet_serve.triton import image_repository
from resnet_serve.triton.layout import LABELS_FILE
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
    KUBERNETES = "kubernetes-pvc"

    @property
    def with_images(self) -> bool:
        """Whether its servers have our backend, so that they take encoded images."""
        return self is Layout.KUBERNETES


_INSIDE = {
    Layout.PVC: "model_repository",
    Layout.S3: "",
    Layout.OCI: "models",
    Layout.KUBERNETES: "model_repository",
}


@dataclass(frozen=True)
class Exported:
    """What was written: the models in `folder`, and the commands that bring it to the cluster.

    `left_out` are those that take encoded images, where the layout has none.
    """

    folder: Path
    models: tuple[str, ...]
    left_out: tuple[str, ...]
    files: int
    size_bytes: int
    commands: tuple[str, ...]


def export(deployed: Deployed, layout: Layout, folder: Path) -> Exported:
    """Write the served version into a folder that does not exist, whole or not at all.

    Raises `UsageError` for a model that the servers of the layout do not load and for a folder that
    is there, `InputFileError` for a file that is not what its passport says, and `HostError` where
    nothing can be written.
    """
    made = workload.of(deployed)
    if layout.with_images:
        _require_images(deployed)
    else:
        kserve.check(made)
    models, left_out, files, size_bytes = list[str](), list[str](), 0, 0
    with durable.new_folder(folder) as part:
        for each in (deployed, *_members(deployed)):
            chosen = _models(each, layout)
            for source, target in _files(each, chosen, part / _INSIDE[layout]):
                _copy(source, target)
                files, size_bytes = files + 1, size_bytes + target.stat().st_size
            models += chosen
            left_out += [model for model in each.models if model not in chosen]
            _compare(each, chosen, part / _INSIDE[layout])
        if layout is Layout.OCI:
            durable.write(part / "Dockerfile", _DOCKERFILE)
        for path in (part, *part.rglob("*")):
            if path.is_dir():
                path.chmod(_READABLE_FOLDER)
    return Exported(
        folder,
        tuple(models),
        tuple(left_out),
        files,
        size_bytes,
        _commands(made.name, deployed, layout, folder),
    )


def _members(deployed: Deployed) -> tuple[Deployed, ...]:
    return composed.pinned(deployed) if composed.members(deployed.passport) else ()


def _require_images(deployed: Deployed) -> None:
    """Raise `InputFileError` where the models that take images are not beside the repository."""
    if missing := deployed.not_copied:
        raise InputFileError(
            f"{' and '.join(missing)} of {deployed} are not there",
            where=str(image_repository.of(deployed.repository)),
            remedy=f"Copy that folder here too, or give --layout {Layout.PVC}.",
        )


def _models(deployed: Deployed, layout: Layout) -> list[str]:
    """Those of a version that the servers of a layout load."""
    return [
        each
        for each in deployed.models
        if layout.with_images or not image_repository.takes_images(each)
    ]


def _place(deployed: Deployed, model: str, root: Path) -> Path:
    """Where a model is written: in the repository beside `root`, if it is in that one here."""
    home = image_repository.directory(deployed.repository, model)
    if home.parent == image_repository.of(deployed.repository):
        return root.with_name(image_repository.of(root).name) / model
    return root / model


def _files(deployed: Deployed, models: Sequence[str], root: Path) -> Iterator[tuple[Path, Path]]:
    """Every file of a version and its copy; what the model's own directory has is the served."""
    for model in models:
        home = image_repository.directory(deployed.repository, model)
        target = _place(deployed, model, root)
        version = home / str(deployed.version)
        for name in (CONFIG_FILE, LABELS_FILE):
            if (home / name).is_file():
                yield home / name, target / name
        for source in sorted(version.rglob("*")):
            if source.is_file():
                inside = source.relative_to(home)
                yield source, target / inside


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(_READABLE_FILE)


def _compare(deployed: Deployed, models: Sequence[str], root: Path) -> None:
    for model, hashes in (deployed.passport.files or {}).items():
        if model not in models:
            continue
        for name, sha256 in hashes.items():
            copied = _place(deployed, model, root) / str(deployed.version) / name
            if not copied.is_file() or durable.sha256(copied) != sha256:
                raise InputFileError(
                    f"{name} of {deployed} is not the file that its passport has the hash of",
                    where=deployed.path,
                    remedy="Deploy it again with resnet-convert.",
                )


def _commands(name: str, deployed: Deployed, layout: Layout, folder: Path) -> tuple[str, ...]:
    image, volume = f"REGISTRY/{name}:{deployed.version}", f"{name}-models"
    if layout.with_images:
        whole = _INSIDE[layout]
        second = image_repository.of(folder / whole).name
        return (
            *(f"kubectl cp {folder}/{each} POD:/VOLUME" for each in (whole, second)),
            f"resnet-serve manifests {deployed.name} --for kubernetes --claim {volume}",
        )
    storage = {
        Layout.PVC: f"pvc://{volume}/{_INSIDE[layout]}",
        # Pods of the version before may still copy theirs.
        Layout.S3: f"s3://BUCKET/{name}/{deployed.version}",
        Layout.OCI: f"oci://{image}",
    }[layout]
    first = {
        Layout.PVC: (f"kubectl cp {folder}/{_INSIDE[layout]} POD:/VOLUME",),
        Layout.S3: (f"aws s3 sync --delete {folder} {storage}",),
        Layout.OCI: (f"docker build --tag {image} {folder}", f"docker push {image}"),
    }[layout]
    manifests = f"resnet-serve manifests {deployed.name} --for kserve --storage {storage}"
    return (*first, manifests)
