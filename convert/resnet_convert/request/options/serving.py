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
    max_queue: Annotated[
        int | None,
        Option(
            min=0,
            help="Requests that wait for the model before others are rejected, 0 for any number.",
            show_default="what is worked off in 4 latencies, at least in 100 ms",
        ),
    ] = None
    queue_timeout: Annotated[
        float | None,
        Option(
            min=0,
            help="Milliseconds that a request waits before it is rejected, 0 for any time.",
            show_default="10 times as long as that, at least 10 s",
        ),
    ] = None
    config_patch: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="Merge this part of a config.pbtxt into the model's: priority levels, queue "
            "policies, rate limiter, GPUs, response cache.",
        ),
    ] = None
    canary: Annotated[
        str | None,
        Option(
            metavar="SHARE",
            help="Do not serve it yet: give it this share of the requests, as in 10%, and compare "
            "it with the served version until it is promoted or withdrawn.",
        ),
    ] = None
    force: Annotated[
        bool,
        Option("--force", help="Deploy although the gate refuses; recorded in the passport."),
    ] = False
