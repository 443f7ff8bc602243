"""config.pbtxt of composed models: an average, the crops of an image, and the ensemble around them.

    image ─► member, member, …  ─► logits_1, logits_2, … ─► average ─► probabilities, logits
    image ─► crops ─► pixels_1 … pixels_10 ─► ten steps of one member ─► average ─► …

Members are steps at a fixed version: an ensemble that was proved with version 3 must not be served
with version 4. The average and the crops belong to the ensemble and are deployed with it, so they
are steps at the newest version. Each crop of an image is a tensor and a step of its own: that works
with any `max_batch_size` of the member, whose dynamic batching puts them together.
Reference: triton-inference-server/server, docs/user_guide/ensemble_models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc import model_config_pb2

from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config
from resnet_serve.triton.config import Serving, Step
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import UNBOUNDED, QueueBound

PROBABILITIES = "probabilities"
AVERAGE_FILE = "model.onnx"


def outputs(activation: Activation) -> tuple[str, ...]:
    """The outputs of an average; raw scores have no probabilities. What is averaged comes first."""
    return (config.OUTPUT,) if activation.kind is Kind.NONE else (PROBABILITIES, config.OUTPUT)


def logits_name(number: int) -> str:
    """The name of input `number` of an average, counted from 1."""
    return f"{config.OUTPUT}_{number}"


def pixels_name(number: int) -> str:
    """The name of crop `number` of an image, counted from 1."""
    return f"{config.PIXELS}_{number}"


def average(
    name: str, *, count: int, classes: int, serving: Serving, activation: Activation = SOFTMAX
) -> Any:
    """The model that averages `count` logits FP32 [classes]."""
    made = model_config_pb2.ModelConfig(
        name=name,
        backend="onnxruntime",
        default_model_filename=AVERAGE_FILE,
        max_batch_size=serving.max_batch_size,
    )
    made.version_policy.latest.num_versions = 1
    for number in range(1, count + 1):
        made.input.add(
            name=logits_name(number), data_type=model_config_pb2.TYPE_FP32, dims=[classes]
        )
    _outputs(made, classes, activation)
    made.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)
    for key in ("intra_op_thread_count", "inter_op_thread_count"):
        made.parameters[key].string_value = "1"
    return made


def crops(
    name: str,
    *,
    count: int,
    input_kind: str,
    preprocessing: Preprocessing,
    serving: Serving,
    cores: int,
    queue: QueueBound = UNBOUNDED,
    decoded: int = 0,
) -> Any:
    """The `image` model with `count` outputs, one per crop."""
    made = config.preprocess(
        name,
        input_kind=input_kind,
        preprocessing=preprocessing,
        serving=serving,
        cores=cores,
        queue=queue,
        decoded=decoded,
    )
    pixels = made.output.pop()
    for number in range(1, count + 1):
        made.output.add(
            name=pixels_name(number), data_type=pixels.data_type, dims=list(pixels.dims)
        )
    return made


def of_pixels(
    name: str,
    steps: Sequence[Step],
    *,
    input_kind: str,
    preprocessing: Preprocessing,
    classes: int,
    serving: Serving,
    activation: Activation = SOFTMAX,
) -> Any:
    """An ensemble with its members' input; the preprocessing for clients is in its parameters."""
    made = _ensemble(name, steps, classes, serving, activation)
    image = config.network_input(input_kind, preprocessing)
    made.input.add(name=config.INPUT, data_type=image.data_type, dims=image.dims)
    made.parameters[config.PREPROCESSING].string_value = preprocessing.to_json()
    return made


def of_images(
    name: str,
    steps: Sequence[Step],
    *,
    classes: int,
    serving: Serving,
    activation: Activation = SOFTMAX,
) -> Any:
    """An ensemble whose input is encoded images."""
    made = _ensemble(name, steps, classes, serving, activation)
    made.input.add(name=config.INPUT, data_type=config.ENCODED, dims=[1])
    return made


def _ensemble(
    name: str, steps: Sequence[Step], classes: int, serving: Serving, activation: Activation
) -> Any:
    made = config.ensemble(name, steps, serving)
    _outputs(made, classes, activation, label_filename=LABELS_FILE)
    for key, value in config.activated(activation).items():
        made.parameters[key].string_value = value
    return made


def _outputs(made: Any, classes: int, activation: Activation, label_filename: str = "") -> None:
    for name in reversed(outputs(activation)):
        made.output.add(
            name=name,
            data_type=model_config_pb2.TYPE_FP32,
            dims=[classes],
            label_filename=label_filename,
        )
