"""The command that writes a model's storage for a cluster: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.console import completion
from resnet_serve.manifests import export
from resnet_serve.manifests.export import Layout
from resnet_serve.triton.repository import Repository, changes


def export_model(
    name: Annotated[
        str,
        typer.Argument(help="The model, at its served version.", autocompletion=completion.models),
    ],
    layout: Annotated[
        Layout,
        typer.Option(
            help="The storage that it is for. kubernetes-pvc, for servers with our image, has "
            "NAME_image too; the others are for KServe, whose Triton cannot load it."
        ),
    ],
    output: Annotated[Path, typer.Option(help="A new folder.")],
    repository: RepositoryOption = DEFAULT_REPOSITORY,
) -> None:
    """Write the files of a model as a cluster expects them on a volume, in a bucket or an image."""
    opened = Repository(repository)
    opened.recover()
    made = export.export(changes.find(opened.deployed(), name), layout, output)
    size = f"{made.size_bytes / 2**20:.1f} MiB"
    console.out.print(
        f"{made.folder}: {', '.join(made.models)} ({made.files} files, {size})", soft_wrap=True
    )
    if made.left_out:
        console.out.print(
            f"left out: {', '.join(made.left_out)}, which KServe's Triton cannot load; clients "
            f"prepare the pixels. With them: --layout {Layout.KUBERNETES}",
            soft_wrap=True,
        )
    for each in made.commands:
        console.out.print(f"  {each}", soft_wrap=True, markup=False)
