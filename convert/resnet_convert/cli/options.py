"""The options of `resnet-convert`'s commands, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_serve.architectures import ARCHITECTURES
from resnet_serve.datasets import DIGITS
from resnet_serve.triton.releases import RELEASES
from resnet_serve.weights.class_names import BUILT_IN

IMAGES = "|".join(("DIR", *DIGITS))
ValidationOption = Annotated[
    str | None,
    typer.Option(
        metavar=IMAGES,
        help="Images for the parity gate; with one folder per class, accuracy is compared too.",
        show_default=False,
    ),
]
ValidationImagesOption = Annotated[
    int | None,
    typer.Option(min=1, help="At most so many validation images.", show_default="all"),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Deploy although the gate refuses; stamped in the passport.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One machine-readable result on stdout.")]
CHECKPOINTS = "Checkpoints"

WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="imagenet[:v1|:v2], digits, random[:seed] (untrained), a file (.safetensors, "
        ".index.json of shards, .pt, .pth, .pth.tar, .ckpt, .bin), a folder of a model hub, or an "
        "https address with --weights-sha256. Default: imagenet, for resnet20 digits.",
        show_default=False,
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|" + "|".join(BUILT_IN),
        help="Class names: a file, one a line or a JSON list, or those of a data set.",
        show_default=False,
    ),
]
EmaOption = Annotated[
    bool,
    typer.Option(
        "--ema",
        help="Take the averaged copy (EMA) of the network that the checkpoint holds.",
        rich_help_panel=CHECKPOINTS,
    ),
]
TrustPickleOption = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="RUN the code that a pickled checkpoint holds; stamped in the passport.",
        rich_help_panel=CHECKPOINTS,
    ),
]
Sha256Option = Annotated[
    str | None,
    typer.Option(
        metavar="HEX",
        help="What the checkpoint's SHA-256 must be; an address needs it.",
        show_default=False,
        rich_help_panel=CHECKPOINTS,
    ),
]
PreprocessingOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="How the weights see images, in JSON: our fields, timm's pretrained_cfg or "
        "transformers' preprocessor_config.json. Default: what is stored with the weights.",
        show_default=False,
        rich_help_panel=CHECKPOINTS,
    ),
]
HeadOption = Annotated[
    str,
    typer.Option(
        help="What is served: classifier (logits), features (the pooled embedding that fc takes) "
        "or pyramid (the map of every stage, c2 to c5)."
    ),
]
ArchOption = Annotated[
    str | None,
    typer.Option(
        help="The network; this or --module is required. auto infers it from a checkpoint's names "
        f"and shapes; else {', '.join(ARCHITECTURES)}.",
        show_default=False,
    ),
]
ModuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE:FACTORY",
        help="An image classifier of your own instead: package.module:factory or "
        "path/to/file.py:factory, called without arguments. RUNS that code.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(help="The served name.", show_default="--arch, or the factory's name"),
]
ENGINES = "TensorRT engines"
WorkspaceOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="GPU memory the builder may use, in MiB.",
        show_default="all",
        rich_help_panel=ENGINES,
    ),
]
TimingCacheOption = Annotated[
    Path | None,
    typer.Option(
        help="Where kernel timings are kept for the next build.",
        show_default="the user's cache",
        rich_help_panel=ENGINES,
    ),
]
TritonOption = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="The container that will serve it; a plan it could not load is refused. "
        f"One of {', '.join(RELEASES)}.",
        show_default=False,
        rich_help_panel=ENGINES,
    ),
]
