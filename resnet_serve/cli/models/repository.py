"""Commands on what the repository holds: list, manifests."""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Annotated

import typer

from resnet_serve import __version__, composed, console, durable, listing
from resnet_serve.cli.models import canaries
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.console import completion
from resnet_serve.errors import UsageError
from resnet_serve.manifests import compose, document, helm, kserve, kubernetes, workload
from resnet_serve.triton.repository import Repository, changes, versions
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.server import running
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.verification import files


class Platform(StrEnum):
    """What the manifests are for."""

    KUBERNETES = "kubernetes"
    HELM = "helm"
    KSERVE = "kserve"
    COMPOSE = "compose"


# The options that are for some platforms only.
_OPTIONS = {
    Platform.KUBERNETES: {"--image", "--claim", "--replicas", "--max-replicas"},
    Platform.HELM: {"--image", "--claim", "--replicas", "--max-replicas"},
    Platform.KSERVE: {"--storage", "--canary-percent", "--replicas", "--max-replicas"},
    Platform.COMPOSE: {"--image"},
}


def list_models(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Models, versions, precision, parity numbers and age."""
    opened = Repository(repository)
    opened.recover()
    found = opened.deployed()
    if as_json:
        rows = listing.rows(found)
        for row in rows:
            row["canary"] = canaries.facts(repository, found, row["model"], row["version"])
        console.show_json({"models": rows})
        return
    console.show(listing.table(found))
    for tried in canaries.present(found):
        for line in canaries.told(repository, tried):
            console.out.print(line, soft_wrap=True, markup=False)
    console.warn(*files.earlier(found), *files.edited(versions.served(found).values()))
    served = running(repository)
    if served is not None:
        console.out.print(f"Served at {served.grpc} (gRPC).")
    if (status := last_status(repository)) is not None and status.told():
        console.out.print(f"The server was {status.told()}.", soft_wrap=True)


def write_manifests(
    name: Annotated[
        str,
        typer.Argument(help="The model, at its served version.", autocompletion=completion.models),
    ],
    platform: Annotated[Platform, typer.Option("--for", help="What they are for.")],
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    image: Annotated[
        str | None,
        typer.Option(
            help="The image of the Dockerfile's serve stage, for Kubernetes, Helm and Compose.",
            show_default="resnet-serve, tagged with both versions",
        ),
    ] = None,
    claim: Annotated[
        str | None,
        typer.Option(
            help="The PersistentVolumeClaim that holds the repository, and that of image models "
            "beside it.",
            show_default="NAME-models",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where KServe finds the repository: s3://…, gs://…, pvc://CLAIM/PATH.",
            show_default="model_repository in pvc://NAME-models",
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Pods at least.", show_default="2")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--max-replicas", min=1, help="Pods at most.", show_default="6"),
    ] = None,
    canary: Annotated[
        int | None,
        typer.Option(
            "--canary-percent", min=0, max=100, help="Share of this revision, for KServe."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A file; for Helm a new folder, the chart.",
            show_default="the terminal; for Helm NAME-chart",
        ),
    ] = None,
) -> None:
    """Write what runs a model in a cluster, or on a host with Compose, from its passport.

    For Helm it is a chart of the same objects; what the options set is then in its values.yaml.
    """
    given = {
        "--image": image,
        "--claim": claim,
        "--storage": storage,
        "--canary-percent": canary,
        "--replicas": replicas,
        "--max-replicas": most,
    }
    for option, value in given.items():
        if value is not None and option not in _OPTIONS[platform]:
            raise UsageError(f"{option} is not for {platform}", remedy="Leave it out.")
    fewest, limit = replicas or 2, most or max(6, replicas or 2)
    if limit < fewest:
        raise UsageError(
            f"--max-replicas {limit} is less than --replicas {fewest}",
            remedy="Give as many or more.",
        )
    found = Repository(repository).deployed()
    deployed = changes.find(found, name)
    made = workload.of(deployed)
    if platform is not Platform.KSERVE:
        _warn_of_others(found, deployed)
    tag = image or f"resnet-serve:{__version__}-triton{made.release.tag}"
    volume = f"{made.name}-models" if claim is None else workload.claim_name(claim)
    if platform is Platform.HELM:
        folder = output or Path(f"{made.name}-chart")
        chart = helm.files(made, image=tag, claim=volume, replicas=fewest, most=limit)
        helm.write(chart, folder)
        console.out.print(f"{folder}: {len(chart)} files", soft_wrap=True)
        install = shlex.join(["helm", "install", helm.release(made), str(folder)])
        console.out.print(f"  {install}", soft_wrap=True, markup=False)
        return
    if platform is Platform.COMPOSE:
        folder = Path() if output is None else output.parent
        place = _seen_from(folder, repository)
        text, count = document.compose_text(compose.objects(made, image=tag, repository=place)), 1
    else:
        if platform is Platform.KUBERNETES:
            objects = kubernetes.objects(made, image=tag, claim=volume, replicas=fewest, most=limit)
        else:
            where = f"pvc://{volume}/model_repository" if storage is None else storage
            objects = kserve.objects(
                made, storage=where, replicas=fewest, most=limit, canary=canary
            )
        text, count = document.text(objects), len(objects)
    if output is None:
        typer.echo(text, nl=False)
        return
    with durable.explained(output):
        durable.write(output, text)
    counted = f"{count} object{'s' if count > 1 else ''}"
    console.out.print(f"{output}: {counted}", soft_wrap=True)


def _warn_of_others(found: list[Deployed], deployed: Deployed) -> None:
    """A server loads every model of its repository, and the memory is that of one."""
    own = {deployed.name, *(pin.name for pin in composed.members(deployed.passport))}
    if others := sorted(versions.served(found).keys() - own):
        console.warn(
            f"the repository has {', '.join(others)} too, which its server also loads: the memory "
            f"is for {deployed.name}. Give it a repository of its own, or more memory"
        )


def _seen_from(folder: Path, repository: Path) -> PurePath:
    """Compose resolves relative paths from the folder of its file."""
    if repository.is_absolute():
        return PurePath(repository)
    return PurePath(os.path.relpath(repository, folder))
