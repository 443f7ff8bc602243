"""The options of `resnet-convert` that say how a checkpoint is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_serve.class_names import BUILT_IN

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
