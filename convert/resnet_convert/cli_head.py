"""The option of `resnet-convert` that says what the network answers."""

from __future__ import annotations

from typing import Annotated

import typer

HeadOption = Annotated[
    str,
    typer.Option(
        help="What is served: classifier (logits), features (the pooled embedding that fc takes) "
        "or pyramid (the map of every stage, c2 to c5)."
    ),
]
