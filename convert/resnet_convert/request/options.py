"""Options: everything that decides a conversion, each option declared once.

`resnet-convert` derives its options from these fields (name, type, default, help), `convert()` its
keyword arguments, and the passport the command that makes the same conversion again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from resnet_convert.head import CLASSIFIER
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.tensorrt.build_options import HARDWARE
from resnet_serve.architectures import ARCHITECTURES
from resnet_serve.datasets import DATA_SETS
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton.releases import RELEASES
from resnet_serve.weights.class_names import BUILT_IN

AUTO = "auto"
ADAPTIVE = "adaptive"
INPUTS = ("uint8", "float32")
ACCELERATORS = ("tensorrt",)
AIMS = ("latency", "throughput")
CHECKPOINTS = "Checkpoints"
ENGINES = "TensorRT engines"
IMAGES = "|".join(("DIR", *DATA_SETS))


@dataclass(frozen=True)
class Options:
    """The options of `resnet-convert`, as fields."""

    arch: Annotated[
        str | None,
        Option(
            help="The network. auto infers it from a checkpoint's names and shapes, as --weights "
            f"FILE alone does; else {', '.join(ARCHITECTURES)}.",
            show_default=False,
        ),
    ] = None
    module: Annotated[
        str | None,
        Option(
            metavar="PLACE:FACTORY",
            help="An image classifier of your own instead: package.module:factory or "
            "path/to/file.py:factory, called without arguments. RUNS that code.",
            show_default=False,
        ),
    ] = None
    precision: Annotated[
        str, Option(help=f"One of {', '.join(PRECISIONS)}, or auto (measured).")
    ] = "fp32"
    weights: Annotated[
        str | None,
        Option(
            help="imagenet[:v1|:v2], digits, fashion-mnist, random[:seed] (untrained), a file "
            "(.safetensors, .pt, .pth, .ckpt, .bin, …), a hub's folder, hf://owner/name[@revision]"
            "[:file], or an https address with its hash. Default: imagenet, for resnet20 digits.",
            show_default=False,
        ),
    ] = None
    target: Annotated[
        str | None,
        Option(
            help=f"The runtime it is converted for: {', '.join(TARGETS)}; auto measures the "
            "runtimes of this CPU and takes the fastest that keeps parity.",
            show_default="tensorrt where it and a GPU are, else onnxruntime",
        ),
    ] = None
    optimize: Annotated[str, Option(help=f"What auto optimizes: {' or '.join(AIMS)}.")] = "latency"
    name: Annotated[
        str | None,
        Option(help="The served name.", show_default="--arch, or the factory's name"),
    ] = None
    repository: Annotated[Path | str, Option(help="The Triton model repository to deploy to.")] = (
        Path("model_repository")
    )
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
    input: Annotated[
        str,
        Option(
            help="uint8: raw RGB [H,W,3], normalised in the graph. float32: normalised [3,H,W]."
        ),
    ] = "uint8"
    max_batch_size: Annotated[int, Option(min=1, help="Largest batch Triton forms.")] = 8
    instances: Annotated[
        int, Option(min=1, help="Copies of the model; the cores are shared among them.")
    ] = 1
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
    accelerator: Annotated[
        str | None,
        Option(
            help=f"For --target onnxruntime on a GPU: {', '.join(ACCELERATORS)} builds the engine "
            "when the server loads the model.",
            show_default=False,
            rich_help_panel=ENGINES,
        ),
    ] = None
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
            help="Deploy without a plan, on any host; `build-plan` builds it on the GPU host.",
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
            help="GPU memory the builder may use, in MiB.",
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
    force: Annotated[
        bool,
        Option("--force", help="Deploy although the gate refuses; recorded in the passport."),
    ] = False
