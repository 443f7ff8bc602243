"""The options that several commands of `resnet-convert` have, said once."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve.datasets import DIGITS

IMAGES = "|".join(("DIR", *DIGITS))
ValidationOption = Annotated[
    str | None,
    typer.Option(
        metavar=IMAGES,
        help="Images for the parity gate; with one folder per class, accuracy is compared too.",
        show_default=False,
    ),
]
ValidationImagesOption = Annotated[
    int | None,
    typer.Option(min=1, help="At most so many validation images.", show_default="all"),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Deploy although the gate refuses; stamped in the passport.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One machine-readable result on stdout.")]
