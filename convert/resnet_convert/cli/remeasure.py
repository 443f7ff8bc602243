"""`resnet-convert remeasure`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from resnet_convert.cli import screen
from resnet_convert.cli.options import JsonOption, option
from resnet_convert.parity.remeasure import Remeasured
from resnet_convert.parity.remeasure import remeasure as timed_again
from resnet_convert.report.speed import replaced
from resnet_convert.request.loading import load_weights
from resnet_convert.request.recorded import parse
from resnet_serve import console, durable, passport
from resnet_serve.console import completion, remedies
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.repository.versions import REPORT_FILE, Deployed
from resnet_serve.verification import host as verify
from resnet_serve.weights import Weights


def remeasure(
    name: Annotated[
        str,
        typer.Argument(
            help="A deployed model; its newest version is timed.",
            autocompletion=completion.models,
        ),
    ],
    repository: Annotated[Path, option("repository")] = Path("model_repository"),
    as_json: JsonOption = False,
) -> None:
    """Time a deployed model against PyTorch again, and write the new speed into its passport and
    report.

    For a model that was converted on a busy host. Everything else of the version stays as it was
    proved. Without the PyTorch weights the model is timed alone, and no speed-up is stated.
    """
    models = Repository(repository)
    deployed = verify.chosen(models.deployed(), name)[-1]
    models.check_writable()
    with screen.progress() as shown:
        shown.stage("latency")
        timed = timed_again(deployed, partial(_weights, deployed))
        shown.finish(f"{name} version {deployed.version}")
    _write(models, deployed, timed)
    found = timed.passport
    if as_json:
        console.show_json(found.latency.to_json())
        return
    for runtime, times in found.latency.times.items():
        console.out.print(f"{runtime}: {times.median_ms:.2f} ms at batch 1")
    ratio, again = found.latency.speedup, found.latency.remeasured
    if ratio is not None:
        console.out.print(f"speed-up: {ratio}")
    elif again is not None:
        console.out.print(f"speed-up: not stated: {again.without_reference}")
    if ratio is not None and (caution := ratio.caution(found.precision, found.name)) is not None:
        console.warn(remedies.in_repository(caution, repository))


def _weights(deployed: Deployed) -> Weights:
    """The weights of the command that made a version; raises what loading them raises."""
    return load_weights(parse(deployed.passport.command), lambda _done, _total: None)


def _write(repository: Repository, deployed: Deployed, timed: Remeasured) -> None:
    """The passport and the report in one step."""
    found, report = timed.passport, deployed.path / REPORT_FILE
    files = {passport.FILE_NAME: found.to_bytes()}
    again = found.latency.remeasured
    if again is not None and report.is_file():
        with durable.explained(report):
            page = report.read_text(encoding="utf-8")
        files[REPORT_FILE] = replaced(page, found.latency, again, timed.latencies).encode()
    repository.rewrite(deployed.name, deployed.version, files)
