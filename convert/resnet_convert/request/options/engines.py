"""TensorRT engines: what they are built for, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from resnet_convert.tensorrt.build_options import HARDWARE
from resnet_serve.triton.releases import RELEASES

TENSORRT, CUDA = ACCELERATORS = ("tensorrt", "cuda")
EPCONTEXT = "epcontext"
FORMATS = ("plan", EPCONTEXT)
ENGINES = "TensorRT engines"


@dataclass(frozen=True)
class EngineOptions:
    """The fields of this module; see `Options`."""

    accelerator: Annotated[
        str | None,
        Option(
            help="For --target onnxruntime on a GPU: tensorrt builds the engine when the server "
            "loads the model, cuda runs it without an engine (fp32 and fp16).",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None
    gpus: Annotated[
        str | None,
        Option(
            "--for",
            metavar="GPU,…",
            help="For --target tensorrt-rtx: the GPUs that the engine is for, by name "
            "(rtx-4090,l4) or compute capability (8.6).",
            show_default="8.0, 8.6, 8.9 and 12.0",
            rich_help_panel=ENGINES,
        ),
    ] = None
    format: Annotated[
        str,
        Option(
            help="For --target tensorrt-rtx: epcontext also writes model_ctx.onnx, the engine "
            "inside an ONNX file, for applications with ONNX Runtime.",
            rich_help_panel=ENGINES,
        ),
    ] = FORMATS[0]
    batch: Annotated[
        tuple[str, ...],
        Option(
            metavar="MIN:OPT:MAX",
            help="A batch profile; give it again for several.",
            show_default="1:MAX:MAX of --max-batch-size",
            rich_help_panel=ENGINES,
        ),
    ] = ()
    prepare_only: Annotated[
        bool,
        Option(
            "--prepare-only",
            help="Deploy without a plan, on any host; `build-plan` builds it on the GPU host. "
            "With --accelerator cuda: do not run it on this host's GPU.",
            rich_help_panel=ENGINES,
        ),
    ] = False
    triton: Annotated[
        str | None,
        Option(
            metavar="TAG",
            help="The container that will serve it; a plan it could not load is refused. "
            f"One of {', '.join(RELEASES)}.",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None
    workspace: Annotated[
        int | None,
        Option(
            min=1,
            help="GPU memory the builder may use, in MiB; with --accelerator cuda, the arena.",
            show_default="all",
            rich_help_panel=ENGINES,
        ),
    ] = None
    optimization_level: Annotated[
        int,
        Option(
            min=0,
            max=5,
            help="How long the builder searches for faster kernels.",
            rich_help_panel=ENGINES,
        ),
    ] = 3
    hardware_compat: Annotated[
        str | None,
        Option(
            help=f"Build for other GPUs too: {', '.join(HARDWARE)} (compute capability).",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None
    version_compatible: Annotated[
        bool,
        Option(
            "--version-compatible",
            help="Build for later TensorRT of the same major version too.",
            rich_help_panel=ENGINES,
        ),
    ] = False
    timing_cache: Annotated[
        Path | str | None,
        Option(
            help="Where kernel timings are kept for the next build.",
            show_default="the user's cache",
            rich_help_panel=ENGINES,
        ),
    ] = None
