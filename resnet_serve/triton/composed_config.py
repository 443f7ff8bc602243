"""config.pbtxt of models that are made of others: an average, what feeds it, and the ensemble.

    image ─► member, member, …  ─► logits_1, logits_2, … ─► average ─► probabilities, logits
    image ─► crops ─► pixels_1 … pixels_10 ─► ten steps of one member ─► average ─► …

Members are steps at a fixed version: what was proved with version 3 must not silently answer with
version 4. The average and the crops belong to the ensemble and are swapped with it: their newest.
The crops of an image are as many tensors and as many steps, so that any largest batch of the member
will do, its dynamic batching merges them, and the configuration stays pure data.
Reference: triton-inference-server/server, docs/user_guide/ensemble_models.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc import model_config_pb2

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config
from resnet_serve.triton.config import Serving, Step

PROBABILITIES = "probabilities"
AVERAGE_FILE = "model.onnx"


def logits_name(number: int) -> str:
    """What input `number`, from 1, of an average is called."""
    return f"{config.OUTPUT}_{number}"


def pixels_name(number: int) -> str:
    """What crop `number`, from 1, of an image is called."""
    return f"{config.PIXELS}_{number}"


def average(name: str, *, count: int, classes: int, serving: Serving) -> Any:
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
    _answers(made, classes)
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
) -> Any:
    """The `image` model with `count` outputs, one per crop."""
    made = config.preprocess(
        name, input_kind=input_kind, preprocessing=preprocessing, serving=serving, cores=cores
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
) -> Any:
    """An ensemble that takes what its members take, and tells clients how to prepare it."""
    made = _ensemble(name, steps, classes, serving)
    image = config.network_input(input_kind, preprocessing)
    made.input.add(name=config.INPUT, data_type=image.data_type, dims=image.dims)
    made.parameters[config.PREPROCESSING].string_value = preprocessing.to_json()
    return made


def of_images(name: str, steps: Sequence[Step], *, classes: int, serving: Serving) -> Any:
    """An ensemble that takes encoded images."""
    made = _ensemble(name, steps, classes, serving)
    made.input.add(name=config.INPUT, data_type=model_config_pb2.TYPE_STRING, dims=[1])
    return made


def _ensemble(name: str, steps: Sequence[Step], classes: int, serving: Serving) -> Any:
    made = config.ensemble(name, steps, serving)
    _answers(made, classes, label_filename=config.LABELS_FILE)
    return made


def _answers(made: Any, classes: int, label_filename: str = "") -> None:
    for name in (config.OUTPUT, PROBABILITIES):
        made.output.add(
            name=name,
            data_type=model_config_pb2.TYPE_FP32,
            dims=[classes],
            label_filename=label_filename,
        )
