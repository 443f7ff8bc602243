"""Configurations of composed models, as messages and as text, by the real protobuf parser."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.activation import Activation, Kind
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import composed_config, config
from resnet_serve.triton.config import NEWEST, Serving, Step

SERVING = Serving(max_batch_size=4, instances=1, threads=1)
GEOMETRY = Preprocessing(resize=36, crop=(32, 24))
STEPS = [
    Step("first", 3, {"image": "image"}, {"logits": "logits_1"}),
    Step("second", 1, {"image": "image"}, {"logits": "logits_2"}),
    Step(
        "pair_average",
        NEWEST,
        {"logits_1": "logits_1", "logits_2": "logits_2"},
        {"logits": "logits", "probabilities": "probabilities"},
    ),
]
AVERAGE = """
name: "pair_average" backend: "onnxruntime" default_model_filename: "model.onnx" max_batch_size: 4
version_policy { latest { num_versions: 1 } }
input [{ name: "logits_1" data_type: TYPE_FP32 dims: 10 },
       { name: "logits_2" data_type: TYPE_FP32 dims: 10 }]
output [{ name: "logits" data_type: TYPE_FP32 dims: 10 },
        { name: "probabilities" data_type: TYPE_FP32 dims: 10 }]
instance_group { kind: KIND_CPU count: 1 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
parameters { key: "inter_op_thread_count" value { string_value: "1" } }
"""
ENSEMBLE = """
name: "pair" platform: "ensemble" max_batch_size: 4
version_policy { latest { num_versions: 1 } }
input [{ name: "image" data_type: %(input)s }]
output [{ name: "logits" data_type: TYPE_FP32 dims: 10 label_filename: "labels.txt" },
        { name: "probabilities" data_type: TYPE_FP32 dims: 10 label_filename: "labels.txt" }]
ensemble_scheduling {
  step { model_name: "first" model_version: 3
    input_map { key: "image" value: "image" } output_map { key: "logits" value: "logits_1" } }
  step { model_name: "second" model_version: 1
    input_map { key: "image" value: "image" } output_map { key: "logits" value: "logits_2" } }
  step { model_name: "pair_average" model_version: -1
    input_map { key: "logits_1" value: "logits_1" }
    input_map { key: "logits_2" value: "logits_2" }
    output_map { key: "logits" value: "logits" }
    output_map { key: "probabilities" value: "probabilities" } }
}
parameters { key: "activation" value { string_value: '{"kind": "softmax"}' } }
"""


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_average_is_a_model_of_the_native_backend() -> None:
    made = composed_config.average("pair_average", count=2, classes=10, serving=SERVING)
    assert made == parsed(AVERAGE)
    assert config.parse(config.to_text(made)) == made


def test_an_average_of_raw_scores_has_no_probabilities() -> None:
    made = composed_config.average(
        "pair_average",
        count=2,
        classes=10,
        serving=SERVING,
        activation=Activation(Kind.NONE),
    )
    assert [output.name for output in made.output] == ["logits"]


def test_an_ensemble_pins_its_members() -> None:
    made = composed_config.of_images("pair", STEPS, classes=10, serving=SERVING)
    assert made == parsed(ENSEMBLE % {"input": "TYPE_STRING dims: 1"})
    assert config.parse(config.to_text(made)) == made


def test_an_ensemble_of_pixels_says_how_to_prepare_them() -> None:
    made = composed_config.of_pixels(
        "pair", STEPS, input_kind="uint8", preprocessing=GEOMETRY, classes=10, serving=SERVING
    )
    stored = made.parameters.pop(config.PREPROCESSING).string_value
    assert Preprocessing.from_json(stored) == GEOMETRY
    assert made == parsed(ENSEMBLE % {"input": "TYPE_UINT8 dims: [32, 24, 3]"})


@pytest.mark.parametrize(
    ("kind", "output"),
    [("uint8", "TYPE_UINT8 dims: [32, 24, 3]"), ("float32", "TYPE_FP32 dims: [3, 32, 24]")],
)
def test_there_is_one_tensor_per_crop(kind: str, output: str) -> None:
    made = composed_config.crops(
        "m_preprocess",
        count=20,
        input_kind=kind,
        preprocessing=GEOMETRY,
        serving=SERVING,
        cores=2,
    )
    outputs = "".join(
        f'output {{ name: "pixels_{number}" data_type: {output} }}\n' for number in range(1, 21)
    )
    assert made == parsed(
        'name: "m_preprocess" backend: "image" max_batch_size: 4\n'
        "version_policy { latest { num_versions: 1 } }\n"
        'input { name: "image" data_type: TYPE_STRING dims: 1 }\n'
        f"{outputs} instance_group {{ kind: KIND_CPU count: 2 }}"
    )
