"""`resnet-convert compare`: every runtime and precision of this host, in one table and one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_convert import pipeline
from resnet_convert.cli import plan, refusals, screen, tables
from resnet_convert.cli.options import JsonOption, option, takes_options
from resnet_convert.dry_run import dry_run
from resnet_convert.pipeline import Compared
from resnet_convert.report import compared as page
from resnet_convert.request import Request
from resnet_convert.request.options import AUTO
from resnet_convert.request.request import DEFAULTS
from resnet_serve import console, durable
from resnet_serve.errors import ParityError, UsageError

BEST = "best"
# What the comparison itself decides, and what only a TensorRT engine takes.
_LEFT_OUT = (
    *("precision", "target", "force"),
    *(
        "accelerator",
        "gpus",
        "format",
        "batch",
        "prepare_only",
        "triton",
        "workspace",
        "optimization_level",
    ),
    *("hardware_compat", "version_compatible", "timing_cache"),
)


@takes_options(*_LEFT_OUT)
def compare(
    deploy: Annotated[
        str | None,
        typer.Option(
            metavar=BEST,
            help="Deploy the fastest that passes the gate, for --optimize.",
            show_default="nothing is deployed",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write the comparison here, as HTML.", show_default=False),
    ] = None,
    force: Annotated[
        bool,
        option("force", help="Compare although the accuracy of PyTorch itself is refused."),
    ] = False,
    dry_run_only: plan.DryRunOption = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Compare every precision in every runtime of this host with PyTorch, over all validation
    images: accuracy, agreement, latency, throughput, size.

    What cannot run here, and what the gate refuses, are rows with their reason. Exits with 3 where
    no row passes the gate.
    """
    request = Request(**options, force=force)
    _check(request, deploy)
    if dry_run_only:
        whole = replace(request, target=AUTO, precision=AUTO)
        plan.show(dry_run(whole, deploys=deploy is not None), as_json=as_json)
        return
    with refusals.shown(as_json=as_json), screen.progress() as shown:
        found = pipeline.compare(request, shown, deploy_best=deploy is not None)
    if report is not None:
        durable.write(report, page.render(found.comparison, **_subject(found)))
    if as_json:
        console.show_json(_result(found))
    else:
        title = page.title(found.prepared.request.model_name, found.prepared.validation_set)
        console.show(tables.comparison_table(title, found.comparison))
        for line in found.comparison.left_out:
            console.out.print(line, soft_wrap=True)
    console.warn(*found.notes, *found.warnings)
    if not found.comparison.passed:
        raise ParityError(
            f"{found.comparison.summary}"
            + (", nothing was deployed" if deploy is not None else ""),
            where=found.prepared.request.model_name,
            remedy="The reasons are in the table; --report FILE also shows the changed images.",
        )
    if found.conversion is not None and not as_json:
        screen.conclude(found.conversion)
        console.out.print(screen.next_command(found.conversion), soft_wrap=True)


def _check(request: Request, deploy: str | None) -> None:
    if deploy not in (None, BEST):
        raise UsageError(f"unknown --deploy {deploy!r}", remedy=f"Use --deploy {BEST}.")
    if deploy is None and Path(request.repository) != DEFAULTS["repository"]:
        raise UsageError(
            "--repository is where --deploy best writes, and nothing is deployed",
            remedy="Add --deploy best, or leave --repository out.",
        )


def _subject(found: Compared) -> dict[str, Any]:
    """What was compared, for the page."""
    prepared = found.prepared
    return {
        "request": prepared.request,
        "weights": prepared.weights,
        "images": prepared.validation_set,
        "machine": prepared.machine,
        "warnings": found.warnings,
        "notes": found.notes,
        "deployed": found.conversion,
    }


def _result(found: Compared) -> dict[str, object]:
    prepared, conversion = found.prepared, found.conversion
    return {
        "name": prepared.request.model_name,
        "images": prepared.validation_set.name,
        "count": len(prepared.validation_set),
        "warnings": found.warnings,
        "notes": found.notes,
        "deployed": None
        if conversion is None
        else {"version": conversion.version, "path": str(conversion.path)},
        **found.comparison.to_json(),
    }
