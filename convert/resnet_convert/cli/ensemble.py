"""`resnet-convert ensemble` and `resnet-convert ten-crop`: compose converted models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resnet_convert.cli import refusals, screen
from resnet_convert.cli.options import JsonOption, option
from resnet_convert.ensembles import compose, deployment
from resnet_convert.ensembles.deployment import ComposedModel
from resnet_serve import console
from resnet_serve.cli.models import canaries
from resnet_serve.console import completion, remedies
from resnet_serve.errors import UsageError

RepositoryOption = Annotated[
    Path, typer.Option(help="The Triton model repository with the members.")
]
_REPOSITORY = Path("model_repository")


def ensemble(
    name: Annotated[str, typer.Argument(help="What the ensemble will be called.")],
    members: Annotated[
        list[str],
        typer.Argument(
            metavar="MEMBER",
            help="Models that were converted, two or more.",
            autocompletion=completion.models,
        ),
    ],
    repository: RepositoryOption = _REPOSITORY,
    validation: Annotated[str | None, option("validation")] = None,
    validation_images: Annotated[int | None, option("validation_images")] = None,
    canary: Annotated[str | None, option("canary")] = None,
    force: Annotated[bool, option("force")] = False,
    report: refusals.ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the average of several models' probabilities as one model.

    The members keep serving under their own names. Nothing is deployed unless the average is equal
    to PyTorch's.
    """
    with refusals.shown(as_json=as_json, report=report), screen.progress() as shown:
        made = compose.ensemble(
            name,
            members,
            shown,
            repository=repository,
            validation=validation,
            validation_images=validation_images,
            canary=canary,
            force=force,
        )
    _show(made, repository, report, as_json, canary)


def ten_crop(
    member: Annotated[
        str,
        typer.Argument(help="A model that was converted.", autocompletion=completion.models),
    ],
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,…",
            help="Lengths of the shorter side, in pixels, to resize to: 224,256,384,480,640.",
            show_default="as its weights were tested",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The served name.", show_default="MEMBER_tencrop")
    ] = None,
    repository: RepositoryOption = _REPOSITORY,
    validation: Annotated[str | None, option("validation")] = None,
    validation_images: Annotated[int | None, option("validation_images")] = None,
    canary: Annotated[str | None, option("canary")] = None,
    force: Annotated[bool, option("force")] = False,
    report: refusals.ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a model's average over ten crops of each image, at one scale or several.

    Corners and centre, and those of the mirror image. Nothing is deployed unless the average is
    equal to PyTorch's.
    """
    with refusals.shown(as_json=as_json, report=report), screen.progress() as shown:
        made = compose.ten_crop(
            member,
            shown,
            scales=_scales(scales),
            name=name,
            repository=repository,
            validation=validation,
            validation_images=validation_images,
            canary=canary,
            force=force,
        )
    _show(made, repository, report, as_json, canary)


def _scales(text: str | None) -> tuple[int, ...]:
    try:
        scales = () if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        scales = (0,)
    if any(scale < 1 for scale in scales):
        raise UsageError(f"{text!r} is no list of scales", remedy="Give pixels, as in 224,256,384.")
    return scales


def _show(
    made: ComposedModel, repository: Path, report: Path | None, as_json: bool, canary: str | None
) -> None:
    refusals.write_page(
        report,
        made.composition.name,
        made.verdict,
        made.measurements,
        made.subject,
    )
    if as_json:
        console.show_json(deployment.result(made))
    else:
        console.show(screen.composed_table(made))
    console.warn(*(remedies.in_repository(each, repository) for each in made.warnings))
    if not as_json:
        served = " and ".join(made.composition.served)
        console.out.print(Text(f"Deployed: {served}, version {made.version}"), soft_wrap=True)
        if canary is not None:
            following = canaries.begun(canary, made.composition.served[0])
        elif made.served_at is None:
            following = f"Next: resnet-serve up --repository {repository}"
        else:
            following = f"Served at {made.served_at}."
        console.out.print(following, soft_wrap=True)
