"""What it is converted to, with which images, and what that may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from resnet_convert.quantization.clipping import METHODS
from resnet_serve.datasets import DATA_SETS
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS

AUTO = "auto"
ADAPTIVE = "adaptive"
AIMS = ("latency", "throughput")
_OTHERS = {name: row for name, row in TARGETS.items() if row.default_precision != "fp32"}
IMAGES = "|".join(("DIR", *DATA_SETS))


@dataclass(frozen=True)
class PrecisionOptions:
    """The fields of this module; see `Options`."""

    precision: Annotated[
        str,
        Option(
            help=f"One of {', '.join(PRECISIONS)}, or auto (measured).",
            show_default=", ".join(
                ("fp32", *(f"{row.default_precision} for {name}" for name, row in _OTHERS.items()))
            ),
        ),
    ] = ""
    target: Annotated[
        str | None,
        Option(
            help=f"The runtime it is converted for: {', '.join(TARGETS)}; auto measures the "
            "runtimes of this host and takes the fastest that keeps parity.",
            show_default="tensorrt where it and a GPU are, else onnxruntime",
        ),
    ] = None
    optimize: Annotated[str, Option(help=f"What auto optimizes: {' or '.join(AIMS)}.")] = "latency"
    calibration: Annotated[
        str | None,
        Option(
            metavar=IMAGES,
            help="Images for the INT8 ranges, like those to be classified; INT8 needs them.",
            show_default=False,
        ),
    ] = None
    validation: Annotated[
        str | None,
        Option(
            metavar=IMAGES,
            help="Images for the parity gate; with one folder per class, or image_labels.json "
            "or .csv in the folder, accuracy is compared too.",
            show_default=False,
        ),
    ] = None
    expect_top1: Annotated[
        float | None,
        Option(min=0, max=100, help="The top-1 of the weights, in percent.", show_default=False),
    ] = None
    calibration_method: Annotated[
        str,
        Option(
            help=f"How ranges are chosen: {', '.join(METHODS)}; auto searches on held-out images; "
            "adaptive is minmax, and auto where a few large values stretch a range."
        ),
    ] = ADAPTIVE
    budget_top1: Annotated[
        float | None,
        Option(
            min=0,
            help="Points of top-1 that may be lost, measured; INT8 keeps layers floating for it.",
            show_default=False,
        ),
    ] = None
    budget_agreement: Annotated[
        float | None,
        Option(
            min=0,
            max=100,
            help="The same for the share of equal decisions, in percent.",
            show_default=False,
        ),
    ] = None
    calibration_images: Annotated[int, Option(min=1, help="At most this many are used.")] = 512
    validation_images: Annotated[
        int | None, Option(min=1, help="At most this many are used.", show_default="all")
    ] = None
