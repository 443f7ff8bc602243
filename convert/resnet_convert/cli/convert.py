"""`resnet-convert`: a trained ResNet in, a proved and deployed model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_convert import deployment, pipeline
from resnet_convert.cli import plan, refusals, screen
from resnet_convert.cli.archs import archs
from resnet_convert.cli.build_plan import build_plan
from resnet_convert.cli.compare import compare
from resnet_convert.cli.ensemble import ensemble, ten_crop
from resnet_convert.cli.lint import lint
from resnet_convert.cli.options import JsonOption, takes_options
from resnet_convert.cli.remeasure import remeasure
from resnet_convert.conversion import Conversion
from resnet_convert.dry_run import dry_run
from resnet_convert.parity.parity_error import RefusedError
from resnet_convert.refusals.refused import ConversionRefusedError
from resnet_convert.request import Request
from resnet_serve import __version__, console, durable
from resnet_serve.console import remedies
from resnet_serve.errors import HostError

app = typer.Typer(
    cls=console.Commands, rich_markup_mode="rich", context_settings=console.HELP_OPTIONS
)
app.command(
    "build-plan", epilog="Example: [bold]resnet-convert build-plan model_repository/resnet50[/]"
)(build_plan)
app.command(
    "compare",
    epilog="Example: [bold]resnet-convert compare --arch resnet20 --weights digits "
    "--calibration digits --validation digits --report compared.html[/]",
)(compare)
app.command("ensemble")(ensemble)
app.command("ten-crop")(ten_crop)
app.command(
    "lint",
    epilog="Exit codes: 0 no rule is broken, and TensorRT-RTX builds it where it is installed · "
    "4 asked for with --for, and not installed · 5 a rule is broken, TensorRT-RTX refuses the file "
    "or crashes, or it is no ONNX.\n\nExample: [bold]resnet-convert lint model.onnx --for rtx[/]",
)(lint)
app.command("remeasure")(remeasure)
app.command("archs")(archs)

_EPILOG = (
    "Exit codes: 0 done · 1 unexpected · 2 usage · 3 parity not met · 4 something missing on this "
    "host · 5 bad input file.\n\nExample: [bold]resnet-convert --arch resnet20 --weights digits "
    "--precision int8 --calibration digits --validation digits[/]"
)


def _version(asked: bool) -> None:
    if asked:
        console.out.print(f"resnet-convert {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=_EPILOG)
@takes_options()
def command(
    context: typer.Context,
    dry_run_only: plan.DryRunOption = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write the HTML report here.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    **options: Any,
) -> None:
    """Trace a trained ResNet to ONNX, fold its BatchNorms, convert it to a precision, prove it
    equal to the PyTorch reference, and deploy it to a Triton model repository.

    Nothing is deployed unless the parity gate holds.
    """
    if context.invoked_subcommand is not None:
        return
    request = Request(**options)
    if dry_run_only:
        plan.show(dry_run(request), as_json=as_json)
        return
    try:
        with screen.progress() as shown:
            conversion = pipeline.run(request, shown)
    except RefusedError as refusal:
        if isinstance(refusal, ConversionRefusedError):
            _write_report(refusal.conversion, report, refusal.next_command)
        refusals.show(refusal, as_json=as_json)
        raise
    _write_report(conversion, report)
    if as_json:
        console.show_json(deployment.result(conversion))
    else:
        refusals.show_tables(conversion)
    console.warn(
        *conversion.notes,
        *(remedies.in_repository(each, request.repository) for each in conversion.warnings),
    )
    if not as_json:
        screen.conclude(conversion)
        console.out.print(screen.next_command(conversion), soft_wrap=True)
    if conversion.missing is not None:
        raise HostError(
            f"the plan of {conversion.name} version {conversion.version} is not built, the rest "
            f"is deployed: {conversion.missing.what}",
            remedy=f"On the GPU host: {conversion.build_command} (--prepare-only expects that)",
        )


def _write_report(
    conversion: Conversion, path: Path | None, next_command: str | None = None
) -> None:
    if path is not None:
        from resnet_convert.report.report import render

        durable.write(path, render(conversion, next_command=next_command))
