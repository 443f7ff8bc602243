"""The network: its architecture, where its weights are, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from resnet_convert.head import CLASSIFIER
from resnet_serve.architectures import ARCHITECTURES
from resnet_serve.console import completion
from resnet_serve.weights.class_names import BUILT_IN

CHECKPOINTS = "Checkpoints"


@dataclass(frozen=True)
class NetworkOptions:
    """The fields of this module; see `Options`."""

    arch: Annotated[
        str | None,
        Option(
            help="The network. auto infers it from a checkpoint's names and shapes, as --weights "
            f"FILE alone does; else one of {len(ARCHITECTURES)}, as resnet50: see resnet-convert "
            "archs.",
            autocompletion=completion.architectures,
            show_default=False,
        ),
    ] = None
    module: Annotated[
        str | None,
        Option(
            metavar="PLACE:FACTORY",
            help="An image classifier of your own instead: package.module:factory or "
            "folder/file.py:factory, called without arguments. RUNS that code.",
            show_default=False,
        ),
    ] = None
    weights: Annotated[
        str | None,
        Option(
            help="imagenet[:v1|:v2], digits, fashion-mnist, random[:seed] (untrained), a file "
            "(.safetensors, .pt, .pth, .ckpt, .bin, …), a hub's folder, hf://owner/name[@revision]"
            "[:file], or an https address with its hash. Default: imagenet, for resnet20 digits.",
            show_default=False,
        ),
    ] = None
    labels: Annotated[
        str | Path | None,
        Option(
            metavar="FILE|" + "|".join(BUILT_IN),
            help="Class names: a file, one per line or a JSON list, or those of a data set.",
            show_default=False,
        ),
    ] = None
    activation: Annotated[
        str | None,
        Option(
            help="How logits are read: softmax, sigmoid (a threshold per label), none (numbers).",
            show_default="what the checkpoint says; several outputs: softmax",
        ),
    ] = None
    threshold: Annotated[
        str | None,
        Option(
            metavar="NUMBER|FILE",
            help="From which probability on a sigmoid's label holds: one number, or a JSON file "
            "with one per label.",
            show_default="0.5",
        ),
    ] = None
    ema: Annotated[
        bool,
        Option(
            "--ema",
            help="Take the averaged copy (EMA) of the network that the checkpoint holds.",
            rich_help_panel=CHECKPOINTS,
        ),
    ] = False
    trust_pickle: Annotated[
        bool,
        Option(
            "--trust-pickle",
            help="RUN the code that a pickled checkpoint holds; recorded in the passport.",
            rich_help_panel=CHECKPOINTS,
        ),
    ] = False
    weights_sha256: Annotated[
        str | None,
        Option(
            metavar="HEX",
            help="What the checkpoint's SHA-256 must be; an address needs it.",
            show_default=False,
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    weights_key: Annotated[
        str | None,
        Option(
            metavar="KEY",
            help="Which network of a checkpoint that holds several: student, or a dot for "
            "the names without a prefix.",
            show_default=False,
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    preprocessing: Annotated[
        Path | str | None,
        Option(
            metavar="FILE",
            help="The preprocessing of the weights, in JSON: our fields, timm's pretrained_cfg or "
            "transformers' preprocessor_config.json. Default: what is stored with the weights.",
            show_default=False,
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    head: Annotated[
        str,
        Option(
            help="What is served: classifier (logits), features (the pooled embedding that fc "
            "takes) or pyramid (the map of every stage, c2 to c5)."
        ),
    ] = CLASSIFIER
