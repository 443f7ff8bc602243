"""The options of `resnet-convert` that name the network."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve.architectures import ARCHITECTURES

ArchOption = Annotated[
    str | None,
    typer.Option(
        help="The network; this or --module is required. auto infers it from a checkpoint's names "
        f"and shapes; else {', '.join(ARCHITECTURES)}.",
        show_default=False,
    ),
]
ModuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE:FACTORY",
        help="An image classifier of your own instead: package.module:factory or "
        "path/to/file.py:factory, called without arguments. RUNS that code.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(help="The served name.", show_default="--arch, or the factory's name"),
]
