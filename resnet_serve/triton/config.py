"""config.pbtxt, built as Triton's ModelConfig message and then printed as text.

Only fields that NVIDIA's container (24.10 and newer) and the wheel's server both know.
Reference: triton-inference-server/common, protobuf/model_config.proto; for GPUs also
tensorrt_backend, src/instance_state.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.activation import Activation
from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import Target
from resnet_serve.triton.backends.elastic import ONE_PER_CORE_BELOW
from resnet_serve.triton.backends.image.room import DECODED_WAIT
from resnet_serve.triton.gpu_serving import GpuServing
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import UNBOUNDED, QueueBound

INPUT, OUTPUT, PIXELS = "image", "logits", "pixels"
ENCODED = model_config_pb2.TYPE_STRING  # of an input: JPEG, PNG or WebP bytes
PREPROCESSING, ACTIVATION = "preprocessing", "activation"
Features: TypeAlias = Mapping[str, Sequence[int]]  # name and dimensions of every output
LARGEST_BATCH = 2**31 - 1  # max_batch_size is an int32
NEWEST = -1  # version of a step


@dataclass(frozen=True)
class Step:
    """One model of an ensemble; `inputs` and `outputs` map its tensors to the ensemble's."""

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Serving:
    """How a model is run: `instances` × `threads` stay within the cores of the host.

    Fewer images than `one_per_core_below` that wait together run one per core, more as a batch.
    """

    max_batch_size: int
    instances: int
    threads: int
    one_per_core_below: int = 0

    @classmethod
    def fitting(cls, *, cores: int, max_batch_size: int, instances: int) -> Serving:
        """Divide the cores among the instances.

        Raises `UsageError` for more instances than cores, or a batch size out of range.
        """
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
    activation: Activation | None = None,
    precision: str = "fp32",
    gpu: GpuServing | None = None,
    queue: QueueBound = UNBOUNDED,
) -> Any:
    """The tensor model: pixels (or normalised planes) in, FP32 logits out, with labels.

    A model without logits has `features` instead of `classes`. Clients read `activation`; the
    logits are served as they are. `precision` is what the backend computes in, where it chooses
    that when it loads the file (OpenVINO's BF16).

    With `gpu` it is served on GPUs. `serving` then describes the models around it, and its
    `max_batch_size` must be that of the profiles; `UsageError` where they do not fit. `queue`
    bounds what waits, unless the model merges no requests on a GPU.
    """
    config = model_config_pb2.ModelConfig(name=name, default_model_filename=target.model_file)
    image = network_input(input_kind, preprocessing)
    config.max_batch_size = serving.max_batch_size
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=image.data_type, dims=image.dims)
    _outputs(config, classes, features)
    if gpu is None or gpu.merges_requests:
        if serving.max_batch_size > 1:
            config.dynamic_batching.SetInParent()
        queue.write(config, by_triton=gpu is not None)
    if gpu is None:
        _on_cpu(config, target, serving, precision)
        batches, count = sorted({1, serving.max_batch_size}), serving.instances
    else:
        _on_gpu(config, target, serving, gpu, image)
        batches, count = list(gpu.warmed_batches), 1
    _parameters(config, {PREPROCESSING: preprocessing.to_json(), **activated(activation)})
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
    name: str,
    *,
    input_kind: str,
    preprocessing: Preprocessing,
    serving: Serving,
    cores: int,
    queue: QueueBound = UNBOUNDED,
    decoded: int = 0,
) -> Any:
    """The `image` model: encoded JPEG, PNG or WebP bytes in, the classifier's input out.

    `queue` bounds what waits; nothing is decoded while `decoded` requests wait for a network.
    """
    config = model_config_pb2.ModelConfig(
        name=name, backend="image", max_batch_size=serving.max_batch_size
    )
    pixels = network_input(input_kind, preprocessing)
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=ENCODED, dims=[1])
    config.output.add(name=PIXELS, data_type=pixels.data_type, dims=pixels.dims)
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=cores)
    queue.write(config)
    if config.HasField("dynamic_batching"):
        # One image after another: those of a batch would be answered together, after the last.
        config.dynamic_batching.preferred_batch_size.append(1)
    _parameters(config, {DECODED_WAIT: str(decoded)} if decoded else {})
    return config


def image_ensemble(
    name: str,
    *,
    preprocess_name: str,
    classifier_name: str,
    serving: Serving,
    classes: int = 0,
    features: Features | None = None,
    activation: Activation | None = None,
) -> Any:
    """Image in, labels (or features) out: preprocess, then classifier."""
    names = features or (OUTPUT,)
    steps = (
        Step(preprocess_name, NEWEST, {INPUT: INPUT}, {PIXELS: PIXELS}),
        Step(classifier_name, NEWEST, {INPUT: PIXELS}, {each: each for each in names}),
    )
    config = ensemble(name, steps, serving)
    config.input.add(name=INPUT, data_type=ENCODED, dims=[1])
    _outputs(config, classes, features)
    _parameters(config, activated(activation))
    return config


def activated(activation: Activation | None) -> dict[str, str]:
    """The parameter that tells clients how the logits are to be read; none without logits."""
    return {} if activation is None else {ACTIVATION: activation.to_text()}


def ensemble(name: str, steps: Sequence[Step], serving: Serving) -> Any:
    """An ensemble of these steps; the caller adds its inputs and outputs."""
    config = model_config_pb2.ModelConfig(
        name=name, platform="ensemble", max_batch_size=serving.max_batch_size
    )
    config.version_policy.latest.num_versions = 1
    for step in steps:
        added = config.ensemble_scheduling.step.add(model_name=step.model)
        added.model_version = step.version
        added.input_map.update(step.inputs)
        added.output_map.update(step.outputs)
    return config


def to_text(config: Any) -> str:
    """The message as the text of config.pbtxt."""
    return str(text_format.MessageToString(config))


def parse(text: str) -> Any:
    """The inverse of `to_text`, by the real protobuf parser."""
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def labels_text(labels: Sequence[str]) -> str:
    """labels.txt: one class name per line, in the order of the logits."""
    return "".join(f"{' '.join(label.split())}\n" for label in labels)


@dataclass(frozen=True)
class TensorSpec:
    """Data type (of model_config.proto) and dimensions of one input, without the batch."""

    data_type: int
    dims: tuple[int, ...]


def network_input(input_kind: str, preprocessing: Preprocessing) -> TensorSpec:
    """One image as the network takes it: raw pixels ("uint8"), or normalised planes."""
    height, width = preprocessing.crop
    if input_kind == "uint8":
        return TensorSpec(model_config_pb2.TYPE_UINT8, (height, width, preprocessing.channels))
    return TensorSpec(model_config_pb2.TYPE_FP32, (preprocessing.channels, height, width))


def _on_cpu(config: Any, target: Target, serving: Serving, precision: str) -> None:
    if target.gpu:
        raise UsageError(
            f"the target {target.name} serves on GPUs", remedy="Give its batch profiles (--batch)."
        )
    config.backend = target.backend
    config.instance_group.add(
        kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=serving.instances
    )
    parameters = target.cpu_runtime.triton_parameters(
        instances=serving.instances,
        threads=serving.threads,
        max_batch_size=serving.max_batch_size,
        precision=precision,
    )
    if serving.one_per_core_below:
        parameters[ONE_PER_CORE_BELOW] = str(serving.one_per_core_below)
    _parameters(config, parameters)


def _on_gpu(
    config: Any, target: Target, serving: Serving, gpu: GpuServing, image: TensorSpec
) -> None:
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
            name=gpu.accelerator.name,
            parameters=gpu.accelerator.parameters(gpu.profiles, INPUT, image.dims),
        )
        _parameters(config, gpu.accelerator.model_parameters)
        return
    if target.platform:  # Triton derives the backend from it: the native one, else ours
        config.platform = target.platform
    else:
        config.backend = target.backend
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
    if features is None:
        logits = config.output.add(name=OUTPUT, data_type=model_config_pb2.TYPE_FP32)
        logits.dims.append(classes)
        logits.label_filename = LABELS_FILE


def _parameters(config: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        config.parameters[key].string_value = value
