"""config.pbtxt, built as Triton's own ModelConfig message and printed as text, never as text first.

Only fields that NVIDIA's container (24.10 and newer) and the wheel's server both know.
Reference: triton-inference-server/common, protobuf/model_config.proto; for GPUs also
tensorrt_backend, src/instance_state.cc; for OpenVINO openvino_backend, src/openvino.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import Target
from resnet_serve.triton.gpu_serving import GpuServing

LABELS_FILE = "labels.txt"
INPUT, OUTPUT, PIXELS = "image", "logits", "pixels"
PREPROCESSING = "preprocessing"
Features: TypeAlias = Mapping[str, Sequence[int]]  # name and dimensions of every output
LARGEST_BATCH = 2**31 - 1  # max_batch_size is an int32
NEWEST = -1  # version of a step


@dataclass(frozen=True)
class Step:
    """One model of an ensemble; `takes` and `gives` map its tensors to the ensemble's."""

    model: str
    version: int
    takes: Mapping[str, str]
    gives: Mapping[str, str]


@dataclass(frozen=True)
class Serving:
    """How the model is run: `instances` × `threads` stay within the cores of the host."""

    max_batch_size: int
    instances: int
    threads: int

    @classmethod
    def fitting(cls, *, cores: int, max_batch_size: int, instances: int) -> Serving:
        """Share the cores among the instances; refuses more instances than cores."""
        if not 1 <= instances <= cores:
            raise UsageError(
                f"{instances} instances do not fit {cores} cores",
                remedy=f"Use --instances 1 to {cores}.",
            )
        if not 1 <= max_batch_size <= LARGEST_BATCH:
            raise UsageError(
                f"the maximum batch size is 1 to {LARGEST_BATCH:,}, not {max_batch_size:,}"
            )
        return cls(max_batch_size, instances, cores // instances)


def classifier(
    name: str,
    *,
    target: Target,
    input_kind: str,
    preprocessing: Preprocessing,
    serving: Serving,
    classes: int = 0,
    features: Features | None = None,
    precision: str = "fp32",
    gpu: GpuServing | None = None,
) -> Any:
    """The tensor model: pixels (or normalised planes) in, FP32 logits out, labels beside it.

    `features` are given instead of `classes` where it answers no logits.

    `precision` is told to a backend that chooses it when it loads the file ("bf16", OpenVINO).

    With `gpu` it is served on GPUs; `serving` is then what the models around it go by, so that
    its `max_batch_size` must be that of the profiles.
    """
    config = model_config_pb2.ModelConfig(name=name, default_model_filename=target.model_file)
    image = network_input(input_kind, preprocessing)
    config.max_batch_size = serving.max_batch_size
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=image.data_type, dims=image.dims)
    _outputs(config, classes, features)
    if serving.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    if gpu is None:
        _on_cpu(config, target, serving, precision)
        batches, count = sorted({1, serving.max_batch_size}), serving.instances
    else:
        _on_gpu(config, target, serving, gpu, image)
        batches, count = list(gpu.tuned_batches), 1
    _parameters(config, {PREPROCESSING: preprocessing.to_json()})
    for batch_size in batches:
        warmup = config.model_warmup.add(
            name=f"batch {batch_size}", batch_size=batch_size, count=count
        )
        sample = warmup.inputs[INPUT]
        sample.data_type = image.data_type
        sample.dims.extend(image.dims)
        sample.random_data = True
    return config


def preprocess(
    name: str, *, input_kind: str, preprocessing: Preprocessing, serving: Serving, cores: int
) -> Any:
    """The `image` model: encoded JPEG, PNG or WebP bytes in, what the classifier takes out."""
    config = model_config_pb2.ModelConfig(
        name=name, backend="image", max_batch_size=serving.max_batch_size
    )
    pixels = network_input(input_kind, preprocessing)
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=model_config_pb2.TYPE_STRING, dims=[1])
    config.output.add(name=PIXELS, data_type=pixels.data_type, dims=pixels.dims)
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=cores)
    return config


def image_ensemble(
    name: str,
    *,
    preprocess_name: str,
    classifier_name: str,
    serving: Serving,
    classes: int = 0,
    features: Features | None = None,
) -> Any:
    """Image in, labels (or features) out: preprocess, then classifier."""
    names = features or (OUTPUT,)
    steps = (
        Step(preprocess_name, NEWEST, {INPUT: INPUT}, {PIXELS: PIXELS}),
        Step(classifier_name, NEWEST, {INPUT: PIXELS}, {each: each for each in names}),
    )
    config = ensemble(name, steps, serving)
    config.input.add(name=INPUT, data_type=model_config_pb2.TYPE_STRING, dims=[1])
    _outputs(config, classes, features)
    return config


def ensemble(name: str, steps: Sequence[Step], serving: Serving) -> Any:
    """A model that only hands tensors from step to step; its inputs and outputs are to be added."""
    config = model_config_pb2.ModelConfig(
        name=name, platform="ensemble", max_batch_size=serving.max_batch_size
    )
    config.version_policy.latest.num_versions = 1
    for step in steps:
        added = config.ensemble_scheduling.step.add(
            model_name=step.model, model_version=step.version
        )
        added.input_map.update(step.takes)
        added.output_map.update(step.gives)
    return config


def to_text(config: Any) -> str:
    """The message as the text that config.pbtxt holds."""
    text: str = text_format.MessageToString(config)
    return text


def parse(text: str) -> Any:
    """The inverse of `to_text`, by the real protobuf parser."""
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def labels_text(labels: Sequence[str]) -> str:
    """labels.txt: one class name a line, in the order of the logits."""
    return "".join(f"{' '.join(label.split())}\n" for label in labels)


@dataclass(frozen=True)
class Tensor:
    """Type and dimensions of one input, without its batch."""

    data_type: int
    dims: tuple[int, ...]


def network_input(input_kind: str, preprocessing: Preprocessing) -> Tensor:
    """One image as the network takes it: raw pixels, or normalised planes."""
    height, width = preprocessing.crop
    if input_kind == "uint8":
        return Tensor(model_config_pb2.TYPE_UINT8, (height, width, preprocessing.channels))
    return Tensor(model_config_pb2.TYPE_FP32, (preprocessing.channels, height, width))


def _on_cpu(config: Any, target: Target, serving: Serving, precision: str) -> None:
    if target.gpu:
        raise UsageError(
            f"the target {target.name} serves on GPUs", remedy="Give its batch profiles (--batch)."
        )
    config.backend = target.backend
    config.instance_group.add(
        kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=serving.instances
    )
    _parameters(config, _CPU_PARAMETERS[target.backend](serving, precision))


def _onnxruntime(serving: Serving, _precision: str) -> dict[str, str]:
    return {"intra_op_thread_count": str(serving.threads), "inter_op_thread_count": "1"}


def _openvino(serving: Serving, precision: str) -> dict[str, str]:
    """The instances share one compiled model natively: as many streams, and all their threads."""
    parameters = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(serving.instances),
        "INFERENCE_NUM_THREADS": str(serving.instances * serving.threads),
    }
    if precision == "bf16":
        parameters["HINT_BF16"] = "YES"
    if serving.max_batch_size > 1:
        # Natively, any batch but the largest is refused otherwise.
        parameters["ENABLE_BATCH_PADDING"] = "YES"
    return parameters


_CPU_PARAMETERS = MappingProxyType({"onnxruntime": _onnxruntime, "openvino": _openvino})


def _on_gpu(config: Any, target: Target, serving: Serving, gpu: GpuServing, image: Tensor) -> None:
    if gpu.max_batch_size != serving.max_batch_size:
        raise UsageError(
            f"the profiles end at batch {gpu.max_batch_size}, the models around the classifier "
            f"at {serving.max_batch_size}"
        )
    if target.gpu != (gpu.accelerator is None):
        raise UsageError(
            f"the target {target.name} {'takes no' if target.gpu else 'needs an'} accelerator "
            "on a GPU"
        )
    group = config.instance_group.add(
        kind=model_config_pb2.ModelInstanceGroup.KIND_GPU, count=gpu.instances
    )
    for memory in ("input_pinned_memory", "output_pinned_memory"):
        getattr(config.optimization, memory).enable = True
    if gpu.accelerator is not None:
        config.backend = target.backend
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(
            name="tensorrt", parameters=gpu.accelerator.parameters(gpu.profiles, INPUT, image.dims)
        )
        return
    # Triton derives the backend `tensorrt` from it: the native one, else ours of that name.
    config.platform = "tensorrt_plan"
    if len(gpu.profiles) > 1:  # unless they are listed, only the first is used
        group.profile.extend(map(str, range(len(gpu.profiles))))
    config.optimization.cuda.graphs = True
    # Beside dynamic_batching, graphs without a spec would be those of batch 1 and the largest.
    for batch_size in gpu.graph_batches:
        spec = config.optimization.cuda.graph_spec.add(batch_size=batch_size)
        spec.input[INPUT].dim.extend(image.dims)


def _outputs(config: Any, classes: int, features: Features | None) -> None:
    for name, dims in (features or {}).items():
        config.output.add(name=name, data_type=model_config_pb2.TYPE_FP32, dims=dims)
    if features is not None:
        return
    config.output.add(
        name=OUTPUT,
        data_type=model_config_pb2.TYPE_FP32,
        dims=[classes],
        label_filename=LABELS_FILE,
    )


def _parameters(config: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        config.parameters[key].string_value = value
