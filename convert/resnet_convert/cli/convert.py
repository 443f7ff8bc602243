"""`resnet-convert`: a trained ResNet in, a proved and deployed model out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from resnet_convert import deployment, dry_run
from resnet_convert.cli import screen, tables
from resnet_convert.cli.build_plan import build_plan
from resnet_convert.cli.ensemble import ensemble, ten_crop
from resnet_convert.cli.options import (
    ENGINES,
    IMAGES,
    ArchOption,
    EmaOption,
    ForceOption,
    HeadOption,
    JsonOption,
    LabelsOption,
    ModuleOption,
    NameOption,
    PreprocessingOption,
    Sha256Option,
    TimingCacheOption,
    TritonOption,
    TrustPickleOption,
    ValidationImagesOption,
    ValidationOption,
    WeightsOption,
    WorkspaceOption,
)
from resnet_convert.pipeline import run as convert
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.request import ACCELERATORS, AIMS, Request
from resnet_convert.tensorrt.builder import settle
from resnet_convert.tensorrt.engine import HARDWARE
from resnet_serve import __version__, console, durable
from resnet_serve.errors import HostError
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS

app = typer.Typer(add_completion=False, rich_markup_mode="rich")
app.command(
    "build-plan", epilog="Example: [bold]resnet-convert build-plan model_repository/resnet50[/]"
)(build_plan)
app.command("ensemble")(ensemble)
app.command("ten-crop")(ten_crop)

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
def command(
    context: typer.Context,
    arch: ArchOption = None,
    module: ModuleOption = None,
    precision: Annotated[
        str, typer.Option(help=f"One of {', '.join(PRECISIONS)}, or auto (measured).")
    ] = "fp32",
    weights: WeightsOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            help=f"What it is made for: {', '.join(TARGETS)}; auto measures what this CPU has "
            "and takes the fastest that keeps parity.",
            show_default="tensorrt where it and a GPU are, else onnxruntime",
        ),
    ] = None,
    optimize: Annotated[
        str, typer.Option(help=f"What auto aims at: {' or '.join(AIMS)}.")
    ] = "latency",
    name: NameOption = None,
    repository: Annotated[
        Path, typer.Option(help="The Triton model repository to deploy to.")
    ] = Path("model_repository"),
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar=IMAGES,
            help="Images for the INT8 ranges, like those to be classified. INT8 refuses without.",
            show_default=False,
        ),
    ] = None,
    validation: ValidationOption = None,
    labels: LabelsOption = None,
    ema: EmaOption = False,
    trust_pickle: TrustPickleOption = False,
    weights_sha256: Sha256Option = None,
    preprocessing: PreprocessingOption = None,
    head: HeadOption = "classifier",
    input: Annotated[
        str,
        typer.Option(
            help="uint8: raw RGB [H,W,3], normalised in the graph. float32: normalised [3,H,W]."
        ),
    ] = "uint8",
    max_batch_size: Annotated[int, typer.Option(min=1, help="Largest batch Triton forms.")] = 8,
    instances: Annotated[
        int, typer.Option(min=1, help="Copies of the model; the cores are shared among them.")
    ] = 1,
    calibration_method: Annotated[
        str,
        typer.Option(
            help=f"How ranges are chosen: {', '.join(METHODS)}; auto tries all of them on held-out "
            "images, with equalisation and bias correction."
        ),
    ] = "minmax",
    budget_top1: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Points of top-1 that INT8 may lose; layers stay floating, fewest first, until "
            "it holds.",
            show_default=False,
        ),
    ] = None,
    budget_agreement: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="The same for the share of equal decisions, in percent.",
            show_default=False,
        ),
    ] = None,
    calibration_images: Annotated[
        int, typer.Option(min=1, help="At most so many calibration images are used.")
    ] = 512,
    validation_images: ValidationImagesOption = None,
    accelerator: Annotated[
        str | None,
        typer.Option(
            help=f"For --target onnxruntime on a GPU: {', '.join(ACCELERATORS)} builds the engine "
            "when the server loads the model.",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MIN:OPT:MAX",
            help="A batch profile; give it again for several.",
            show_default="1:MAX:MAX of --max-batch-size",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    prepare_only: Annotated[
        bool,
        typer.Option(
            "--prepare-only",
            help="Deploy without a plan, on any host; `build-plan` builds it on the GPU host.",
            rich_help_panel=ENGINES,
        ),
    ] = False,
    triton: TritonOption = None,
    workspace: WorkspaceOption = None,
    optimization_level: Annotated[
        int,
        typer.Option(
            min=0,
            max=5,
            help="How long the builder searches for faster kernels.",
            rich_help_panel=ENGINES,
        ),
    ] = 3,
    hardware_compat: Annotated[
        str | None,
        typer.Option(
            help=f"Build for other GPUs too: {', '.join(HARDWARE)} (compute capability).",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="Build for later TensorRT of the same major version too.",
            rich_help_panel=ENGINES,
        ),
    ] = False,
    timing_cache: TimingCacheOption = None,
    force: ForceOption = False,
    dry_run_only: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what it needs; touch nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write the HTML report here.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Trace a trained ResNet to ONNX, fold its BatchNorms, bring it to a precision, prove it equal
    to the PyTorch reference, and deploy it to a Triton model repository.

    Nothing is deployed unless the parity gate holds.
    """
    if context.invoked_subcommand is not None:
        return
    request = Request(
        arch=arch,
        module=module,
        precision=precision,
        weights=weights,
        target=target,
        name=name,
        repository=repository,
        calibration=calibration,
        validation=validation,
        labels=labels,
        ema=ema,
        trust_pickle=trust_pickle,
        weights_sha256=weights_sha256,
        preprocessing=preprocessing,
        head=head,
        input=input,
        max_batch_size=max_batch_size,
        instances=instances,
        calibration_images=calibration_images,
        validation_images=validation_images,
        force=force,
        accelerator=accelerator,
        batch=tuple(batch or ()),
        prepare_only=prepare_only,
        triton=triton,
        workspace=workspace,
        optimization_level=optimization_level,
        hardware_compat=hardware_compat,
        version_compatible=version_compatible,
        timing_cache=timing_cache,
        optimize=optimize,
        calibration_method=calibration_method,
        budget_top1=budget_top1,
        budget_agreement=budget_agreement,
    )
    if dry_run_only:
        request = settle(request)[0]
        request.check()
        steps = dry_run.plan(request)
        if as_json:
            typer.echo(json.dumps([step.to_json() for step in steps], indent=2))
        else:
            console.out.print(screen.plan_table(request, steps))
        return
    with screen.progress() as shown:
        conversion = convert(request, shown)
    if report is not None:
        from resnet_convert.report.report import render

        durable.write(report, render(conversion))
    if as_json:
        typer.echo(json.dumps(deployment.result(conversion), indent=2, sort_keys=True))
    else:
        for table in tables.all_of(conversion):
            console.out.print(table)
        console.out.print(screen.result_table(conversion))
    for warning in conversion.warnings:
        console.warn(warning)
    if not as_json:
        console.out.print(screen.sentence(conversion))
        console.out.print(screen.next_command(conversion), soft_wrap=True)
    if conversion.missing is not None:
        raise HostError(
            f"the plan of {conversion.name} version {conversion.version} is not built, the rest "
            f"is deployed: {conversion.missing.what}",
            remedy=f"On the GPU host: {conversion.build_command} (--prepare-only expects that)",
        )


def main() -> None:
    """The console script."""
    console.run(app)


if __name__ == "__main__":
    main()
