"""config.pbtxt, built as Triton's own ModelConfig message and printed as text, never as text first.

Only fields that NVIDIA's container (24.10 and newer) and the wheel's server both know.
Reference: triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import Target

LABELS_FILE = "labels.txt"
INPUT, OUTPUT, PIXELS = "image", "logits", "pixels"
PREPROCESSING = "preprocessing"
LARGEST_BATCH = 2**31 - 1  # max_batch_size is an int32


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
    classes: int,
    serving: Serving,
) -> Any:
    """The tensor model: pixels (or normalised planes) in, FP32 logits out, labels beside it."""
    height, width = preprocessing.crop
    pixels = input_kind == "uint8"
    config = model_config_pb2.ModelConfig(
        name=name,
        backend=target.backend,
        default_model_filename=target.model_file,
        max_batch_size=serving.max_batch_size,
    )
    config.version_policy.latest.num_versions = 1
    dims = [height, width, 3] if pixels else [3, height, width]
    data_type = model_config_pb2.TYPE_UINT8 if pixels else model_config_pb2.TYPE_FP32
    config.input.add(name=INPUT, data_type=data_type, dims=dims)
    _logits(config, classes)
    config.instance_group.add(
        kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=serving.instances
    )
    if serving.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    _parameters(
        config,
        {
            "intra_op_thread_count": str(serving.threads),
            "inter_op_thread_count": "1",
            PREPROCESSING: preprocessing.to_json(),
        },
    )
    for batch_size in sorted({1, serving.max_batch_size}):
        warmup = config.model_warmup.add(
            name=f"batch {batch_size}", batch_size=batch_size, count=serving.instances
        )
        sample = warmup.inputs[INPUT]
        sample.data_type = data_type
        sample.dims.extend(dims)
        sample.random_data = True
    return config


def preprocess(
    name: str, *, input_kind: str, preprocessing: Preprocessing, serving: Serving, cores: int
) -> Any:
    """The `image` model: encoded JPEG, PNG or WebP bytes in, what the classifier takes out."""
    height, width = preprocessing.crop
    config = model_config_pb2.ModelConfig(
        name=name, backend="image", max_batch_size=serving.max_batch_size
    )
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=model_config_pb2.TYPE_STRING, dims=[1])
    if input_kind == "uint8":
        data_type, dims = model_config_pb2.TYPE_UINT8, [height, width, 3]
    else:
        data_type, dims = model_config_pb2.TYPE_FP32, [3, height, width]
    config.output.add(name=PIXELS, data_type=data_type, dims=dims)
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=cores)
    return config


def image_ensemble(
    name: str, *, preprocess_name: str, classifier_name: str, classes: int, serving: Serving
) -> Any:
    """Image in, labels out: preprocess, then classifier."""
    config = model_config_pb2.ModelConfig(
        name=name, platform="ensemble", max_batch_size=serving.max_batch_size
    )
    config.version_policy.latest.num_versions = 1
    config.input.add(name=INPUT, data_type=model_config_pb2.TYPE_STRING, dims=[1])
    _logits(config, classes)
    for model, taken, given in (
        (preprocess_name, {INPUT: INPUT}, {PIXELS: PIXELS}),
        (classifier_name, {INPUT: PIXELS}, {OUTPUT: OUTPUT}),
    ):
        step = config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
        step.input_map.update(taken)
        step.output_map.update(given)
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


def _logits(config: Any, classes: int) -> None:
    config.output.add(
        name=OUTPUT,
        data_type=model_config_pb2.TYPE_FP32,
        dims=[classes],
        label_filename=LABELS_FILE,
    )


def _parameters(config: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        config.parameters[key].string_value = value
