"""The plan of a conversion, without doing any of it: stages, and what each still needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from resnet_convert.autoselect import entrants
from resnet_convert.precision import QUANTIZED, typed
from resnet_convert.request import Request
from resnet_serve import host
from resnet_serve.architectures import catalog
from resnet_serve.checkpoints.reading import cached, is_address
from resnet_serve.datasets import DIGITS
from resnet_serve.download import torch_hub_checkpoints

Status = Literal["here", "download", "missing"]


@dataclass(frozen=True)
class Step:
    """A stage, what it does in this conversion, what it needs, and where that is."""

    stage: str
    does: str
    needs: str
    status: Status

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def plan(request: Request) -> list[Step]:
    """The steps of a checked request; reads directories, writes nothing, downloads nothing."""
    architecture = request.architecture
    served = request.name or ("it" if architecture is None else request.model_name)
    count = "its" if architecture is None else architecture.convolutions
    steps = [
        _weights(request),
        _step("trace", f"{count} convolutions to ONNX", "torch", "onnx_ir"),
        _step("fold", "BatchNorm into the convolutions, in float64", "onnx_ir"),
    ]
    if request.input == "uint8":
        steps.append(_step("pixels", "normalisation into the graph", "onnx_ir"))
    if request.autoselects:
        ways = entrants(request, host.cores())
        runtimes = dict.fromkeys(each.target for each in ways)
        steps.append(_step("autoselect", f"{len(ways)} ways, for {request.optimize}", *runtimes))
    tensorrt = request.for_tensorrt
    if request.precision in QUANTIZED:
        steps.append(
            _images("calibrate", f"≤ {request.calibration_images} images", request.calibration)
        )
        numbers = "symmetric" if tensorrt else "u8 activations,"
        does = f"{numbers} {request.precision.upper()} weights per channel"
        if request.budgeted:
            holds = f"the fewest layers floating, for {request.budgets}"
            steps.append(_step("mixed precision", holds, "onnxruntime"))
        steps.append(_step("quantize", does, "onnx_ir"))
    rest = typed(request)
    if request.precision == "fp16":
        steps.append(_step("range", "activations against FP16's 65504", "onnxruntime"))
    if rest is not None:
        steps.append(_step("half", f"{rest.upper()} graph, FP32 logits", "onnx_ir"))
    if tensorrt:
        steps.append(_step("lint", "TensorRT's rules", "onnx_ir"))
    elif request.precision == "int8":
        steps.append(_step("lint", "the rules of u8 × s8", "onnx_ir"))
    if request.row.name == "tensorrt" and not request.prepare_only:
        rows = ", ".join(map(str, request.build_options.profiles))
        steps.append(_step("engine", f"plan for batches {rows}, inspected", "tensorrt"))
    compared = "logits, decisions, accuracy" if request.classifies else "every output"
    steps.append(_images("parity", compared, request.validation))
    if not tensorrt:
        steps.append(_step("latency", "against PyTorch on this host", "onnxruntime"))
    elif request.row.name == "tensorrt" and not request.prepare_only:
        steps.append(_step("latency", "against PyTorch on this GPU", "tensorrt"))
    steps.append(
        Step(
            "deploy",
            f"{served} as the next version",
            str(request.repository),
            "here",
        )
    )
    return steps


def _step(stage: str, does: str, *packages: str) -> Step:
    missing = [name for name in packages if find_spec(name) is None]
    return Step(stage, does, ", ".join(packages), _here(not missing))


def _weights(request: Request) -> Step:
    spec, sha256 = request.weights_spec, request.weights_sha256
    kind, _, option = spec.partition(":")
    if spec == request.module:
        return Step("weights", "as the module returns it", spec, "here")
    if kind == "imagenet" and request.architecture is not None:
        row = catalog.published(request.architecture.name, option or None)
        path = torch_hub_checkpoints() / row.file_name
        if path.is_file():
            return Step("weights", f"ImageNet {row.version}, already here", str(path), "here")
        return Step("weights", f"download {row.size_mib:.0f} MiB", row.url, "download")
    if kind == "random":
        return Step(
            "weights", "untrained, for speed only", "torch", _here(find_spec("torch") is not None)
        )
    if kind == "digits":
        return Step("weights", "trained on handwritten digits", "shipped", "here")
    if sha256 is not None and is_address(spec):
        path = cached(spec, sha256)
        if path.is_file():
            return Step("weights", "a checkpoint, already here", str(path), "here")
        return Step("weights", "download a checkpoint", spec, "download")
    return Step("weights", "a checkpoint", spec, _here(Path(spec).is_file()))


def _images(stage: str, does: str, source: str | None) -> Step:
    if source is None:
        return Step(stage, f"{does} (no images given: numerics only)", "synthetic images", "here")
    if source in DIGITS:
        return Step(stage, does, "scikit-learn", _here(find_spec("sklearn") is not None))
    return Step(stage, does, source, _here(Path(source).is_dir()))


def _here(present: bool) -> Status:
    return "here" if present else "missing"
