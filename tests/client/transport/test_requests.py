"""The messages of inference and of shared memory, field by field."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from resnet_client.transport import requests
from resnet_client.transport.deadlines import Deadline
from resnet_client.transport.shared_memory import Region

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


def test_pixels_and_files_are_in_the_message() -> None:
    deadline = Deadline.after(30)
    made = requests.inference("m", "3", "image", PIXELS, ["logits"], 5, deadline, None)
    assert (made.model_name, made.model_version) == ("m", "3")
    (given,) = made.inputs
    assert (given.name, given.datatype, list(given.shape)) == ("image", "UINT8", [2, 2, 2, 3])
    assert list(made.raw_input_contents) == [PIXELS.tobytes()]
    assert made.outputs[0].parameters["classification"].int64_param == 5
    assert made.parameters["timeout"].int64_param == pytest.approx(30e6, rel=0.1)
    file = np.array([[b"PNG"]], dtype=np.object_)
    made = requests.inference("m", "", "image", file, ["logits"], 0, deadline, None)
    assert list(made.raw_input_contents) == [b"\x03\0\0\0PNG"]
    assert "classification" not in made.outputs[0].parameters


def test_a_request_has_nothing_of_the_one_before() -> None:
    deadline = Deadline.after(30)
    first = requests.inference("m", "3", "image", PIXELS, ["logits"], 5, deadline, None)
    first.id, first.inputs[0].shape[0] = "a", 9
    second = requests.inference("m", "3", "image", PIXELS + 1, ["logits"], 5, deadline, None)
    assert (second.id, list(second.inputs[0].shape)) == ("", [2, 2, 2, 3])
    assert list(second.raw_input_contents) == [(PIXELS + 1).tobytes()]
    fewer = requests.inference("m", "3", "image", PIXELS[:1], ["c5"], 0, deadline, None)
    assert list(fewer.inputs[0].shape) == [1, 2, 2, 3]
    assert [output.name for output in fewer.outputs] == ["c5"]


def test_outputs_are_read_in_their_type_and_shape() -> None:
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="c5", datatype="FP16", shape=[2, 1])
    response.outputs.add(name="logits", datatype="BYTES", shape=[1, 2])
    response.raw_output_contents.append(np.array([1, 2], np.float16).tobytes())
    response.raw_output_contents.append(b"\x01\0\0\0a\x02\0\0\0bc")
    found = requests.outputs_of(response)
    assert (found["c5"].dtype, found["c5"].tolist()) == (np.float16, [[1], [2]])
    assert found["logits"].tolist() == [[b"a", b"bc"]]


def test_a_place_stands_for_the_pixels() -> None:
    region, deadline = Region(4, 12), Deadline.after(30)
    try:
        region.write(PIXELS[:1], deadline)
        place = region.write(PIXELS, deadline)
        made = requests.inference("m", "", "image", PIXELS, [], 0, deadline, place)
        given = made.inputs[0].parameters
        assert not made.raw_input_contents
        assert given["shared_memory_region"].string_param == region.name
        assert given["shared_memory_offset"].int64_param == 12
        assert given["shared_memory_byte_size"].int64_param == 24
        registered = requests.register(region)
        assert (registered.name, registered.key, registered.byte_size) == (
            region.name,
            f"/{region.name}",
            48,
        )
        assert requests.unregister(region).name == region.name
    finally:
        region.remove()
