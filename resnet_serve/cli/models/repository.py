"""Commands on what the repository holds: list, manifests."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import __version__, console, durable, listing
from resnet_serve.cli.models import canaries
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.console import completion
from resnet_serve.errors import UsageError
from resnet_serve.manifests import document, kserve, kubernetes, workload
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.server import running
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.verification import files


class Platform(StrEnum):
    """What the manifests are for."""

    KUBERNETES = "kubernetes"
    KSERVE = "kserve"


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
    for line in files.earlier(found):
        console.warn(line)
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
            help="The image of the Dockerfile's serve stage, for Kubernetes.",
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
    replicas: Annotated[int, typer.Option(min=1, help="Pods at least.")] = 2,
    most: Annotated[int, typer.Option("--max-replicas", min=1, help="Pods at most.")] = 6,
    canary: Annotated[
        int | None,
        typer.Option(
            "--canary-percent", min=0, max=100, help="Share of this revision, for KServe."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file.", show_default="the terminal")
    ] = None,
) -> None:
    """Write the objects that run a model in a cluster, from its passport."""
    if most < replicas:
        raise UsageError(
            f"--max-replicas {most} is less than --replicas {replicas}",
            remedy="Give as many or more.",
        )
    unused = {"--canary-percent": canary, "--storage": storage}
    if platform is Platform.KSERVE:
        unused = {"--image": image, "--claim": claim}
    for option, value in unused.items():
        if value is not None:
            raise UsageError(f"{option} is not for {platform}", remedy="Leave it out.")
    made = workload.of(changes.find(Repository(repository).deployed(), name))
    volume = claim or f"{made.name}-models"
    if platform is Platform.KUBERNETES:
        tag = image or f"resnet-serve:{__version__}-triton{made.release.tag}"
        objects = kubernetes.objects(made, image=tag, claim=volume, replicas=replicas, most=most)
    else:
        place = storage or f"pvc://{volume}/model_repository"
        objects = kserve.objects(made, storage=place, replicas=replicas, most=most, canary=canary)
    text = document.text(objects)
    if output is None:
        typer.echo(text, nl=False)
        return
    with durable.explained(output):
        durable.write(output, text)
    console.out.print(f"{output}: {len(objects)} objects", soft_wrap=True)
