"""`--dry-run` on the screen: the plan of a conversion or a comparison, and how it would end."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_convert.cli import screen
from resnet_convert.dry_run import DryRun
from resnet_serve import console

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check all that needs no computation, and print the plan; write nothing.",
    ),
]


def show(found: DryRun, *, as_json: bool) -> None:
    """Print the plan and its notices; raises the first error that was found, if any."""
    if as_json:
        console.show_json(
            {
                "command": found.request.command(),
                "steps": [step.to_json() for step in found.steps],
                "notices": list(found.notices),
                "problems": list(map(str, found.problems)),
            }
        )
    else:
        console.show(screen.plan_table(found.request, found.steps))
    console.warn(*found.notices)
    for other in found.problems[1:]:
        console.warn(f"after that, another stage would fail: {other}")
    if found.problems:
        raise found.problems[0]
