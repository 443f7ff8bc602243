"""`resnet-convert build-plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_convert.build_plan import build as plans
from resnet_convert.cli import refusals, screen
from resnet_convert.cli.options import JsonOption, option
from resnet_serve import console
from resnet_serve.passport import EngineState


def build_plan(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_DIR", help="A model in the repository, or one of its versions."
        ),
    ],
    triton: Annotated[str | None, option("triton")] = None,
    workspace: Annotated[int | None, option("workspace")] = None,
    optimization_level: Annotated[
        int | None, option("optimization_level", show_default="as prepared")
    ] = None,
    timing_cache: Annotated[Path | None, option("timing_cache")] = None,
    gpus: Annotated[str | None, option("gpus", show_default="as prepared")] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write it although the gate refuses; recorded in the passport."
        ),
    ] = False,
    report: refusals.ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the TensorRT plan of a model that was prepared on another host, on this host's GPU.

    The engine is inspected and held to the same parity gate, against PyTorch's outputs, which
    were stored with the model. Needs TensorRT and a GPU, no PyTorch. A plan of TensorRT-RTX
    needs no GPU here: its graph is compared in an emulation.
    """
    with refusals.shown(as_json=as_json, report=report), screen.progress() as shown:
        made = plans.build_plan(
            model,
            shown,
            workspace_mib=workspace,
            level=optimization_level,
            triton=triton,
            timing_cache=timing_cache,
            gpus=gpus,
            force=force,
        )
    refusals.write_page(
        report,
        f"The plan of {made.path}",
        made.verdict,
        made.measurements,
        made.subject,
    )
    if as_json:
        console.show_json(made.to_json())
    else:
        console.show(screen.plan_build_table(made))
        if made.record.state is EngineState.NOT_RUN:
            console.out.print(screen.after_plan_build(made))
    console.warn(*made.warnings)
