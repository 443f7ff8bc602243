"""`resnet-convert remeasure`."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_convert.cli import screen
from resnet_convert.cli.options import JsonOption, option
from resnet_convert.parity.remeasure import remeasure as timed_again
from resnet_convert.report.speed import replaced
from resnet_convert.request import Request
from resnet_convert.request.loading import load_weights
from resnet_convert.request.options import Options
from resnet_serve import console, durable, passport, verify
from resnet_serve.errors import HostError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.versions import REPORT_FILE, Deployed
from resnet_serve.weights import Weights


def remeasure(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A deployed model; its newest version is timed.")],
    repository: Annotated[Path, option("repository")] = Path("model_repository"),
    as_json: JsonOption = False,
) -> None:
    """Time a deployed model against PyTorch again, and write the new speed into its passport and
    report.

    For a model that was converted on a busy host. Everything else of the version stays as it was
    proved. Without the PyTorch weights the model is timed alone, and no speed-up is stated.
    """
    deployed = verify.chosen(Repository(repository).deployed(), name)[-1]
    with screen.progress() as shown:
        shown.stage("latency")
        found = timed_again(deployed, partial(_weights, context, deployed))
        shown.finish(f"{name} version {deployed.version}")
    _write(deployed, found)
    if as_json:
        typer.echo(json.dumps(found.latency.to_json(), indent=2, sort_keys=True))
        return
    for runtime, times in found.latency.times.items():
        console.out.print(f"{runtime}: {times.median_ms:.2f} ms at batch 1")
    ratio, again = found.latency.speedup, found.latency.remeasured
    if ratio is not None:
        console.out.print(f"speed-up: {ratio}")
    elif again is not None:
        console.out.print(f"speed-up: not stated: {again.without_reference}")
    caution = None if ratio is None else ratio.caution(found.precision, found.name)
    if caution is not None:
        console.warn(caution)


def _weights(context: typer.Context, deployed: Deployed) -> Weights:
    """The weights of the command that made a version; raises what loading them raises."""
    root = context.find_root().command
    words = shlex.split(deployed.passport.command)[1:]
    try:
        parsed: dict[str, Any] = root.make_context("resnet-convert", words).params
    except Exception as error:  # click's and typer's own
        raise HostError(f"the command in its passport cannot be read: {error}") from error
    known = {each.name for each in fields(Options)}
    given = {key: value for key, value in parsed.items() if key in known}
    request = Request(**{**given, "batch": tuple(given.get("batch") or ())})
    return load_weights(request, lambda _done, _total: None)


def _write(deployed: Deployed, found: ConvertedPassport) -> None:
    """The report first: the passport is what counts, and each file is replaced as a whole."""
    report, again = deployed.path / REPORT_FILE, found.latency.remeasured
    with durable.explained(deployed.path):
        if again is not None and report.is_file():
            page = report.read_text(encoding="utf-8")
            durable.write(report, replaced(page, found.latency, again))
        durable.write(deployed.path / passport.FILE_NAME, found.to_bytes())
