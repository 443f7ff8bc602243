"""What is deployed, where, and how Triton runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

INPUTS = ("uint8", "float32")


@dataclass(frozen=True)
class ServingOptions:
    """The fields of this module; see `Options`."""

    name: Annotated[
        str | None,
        Option(help="The served name.", show_default="--arch, or the factory's name"),
    ] = None
    repository: Annotated[Path | str, Option(help="The Triton model repository to deploy to.")] = (
        Path("model_repository")
    )
    input: Annotated[
        str,
        Option(
            help="uint8: raw RGB [H,W,3], normalised in the graph. float32: normalised [3,H,W]."
        ),
    ] = "uint8"
    max_batch_size: Annotated[int, Option(min=1, help="Largest batch Triton forms.")] = 8
    instances: Annotated[
        int, Option(min=1, help="Copies of the model; the cores are shared among them.")
    ] = 1
    force: Annotated[
        bool,
        Option("--force", help="Deploy although the gate refuses; recorded in the passport."),
    ] = False
