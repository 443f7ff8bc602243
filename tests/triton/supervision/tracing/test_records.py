"""Files of Triton's trace as requests: as Triton 2.51 wrote them, and as a client would like to."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_serve.triton.supervision.tracing import records

STEPS = {"net_image": 2, "average": 5, "net": 0, "net_preprocess": 0}
DONE = {
    "QUEUE_START": 5,
    "COMPUTE_START": 267,
    "COMPUTE_INPUT_END": 311,
    "COMPUTE_OUTPUT_START": 1709,
    "COMPUTE_END": 1986,
    "REQUEST_END": 2007,
}
SENT = {"GRPC_WAITREAD_START": -165000, "GRPC_SEND_START": 5000}


def steps(model: str, version: int) -> int | None:
    return STEPS.get(model)


def record(
    number: int, model: str, parent: int | None = None, request_id: str = "", **us: int
) -> str:
    """One model's part in Triton's words; moments in µs after the start of the request."""
    named = f'{{"id":{number},"model_name":"{model}","model_version":1'
    named += f',"request_id":"{request_id}"' if request_id else ""
    named += f',"parent_id":{parent}' if parent else ""
    began = time.monotonic_ns() - 10**9
    moments = {"REQUEST_START": 0, **us}
    return ",".join(
        [
            f"{named}}}",
            *(
                f'{{"id":{number},"timestamps":[{{"name":"{name}","ns":{began + 1000 * after}}}]}}'
                for name, after in moments.items()
            ),
        ]
    )


def read(*parts: str) -> records.Line:
    return records.read(f"[{','.join(parts)}]", steps)


def test_a_tensor_request() -> None:
    line = read(record(1, "net", request_id="mine", **DONE, **SENT))
    assert abs(line.at - (time.time() - 1)) < 60
    assert (line.status, line.model, line.version) == ("computed", "net", 1)
    assert (line.request_id, line.protocol) == ("mine", "grpc")
    assert (line.total_us, line.queue_us, line.compute_us, line.steps) == (5000, 262, 1442, ())


def test_an_image_request_has_two_steps_in_their_order() -> None:
    line = read(
        record(
            3, "net", 1, REQUEST_START=3000, QUEUE_START=3010, COMPUTE_START=3110, COMPUTE_END=4000
        ),
        record(2, "net_preprocess", 1, **DONE),
        record(1, "net_image", HTTP_RECV_START=0, HTTP_SEND_START=4500),
    )
    assert (line.status, line.model, line.protocol) == ("computed", "net_image", "http")
    assert [step.model for step in line.steps] == ["net_preprocess", "net"]
    assert (line.queue_us, line.compute_us) == (262 + 100, 1442 + 890)
    written = json.loads(str(line))
    assert written["time"].endswith("Z")
    assert written["request_id"] is None
    assert written["steps"][1] == {
        "model": "net",
        "version": 1,
        "queue_us": 100,
        "compute_us": 890,
    }


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([record(1, "net", QUEUE_START=1, GRPC_SEND_START=9)], "queue_full"),
        ([record(1, "net", QUEUE_START=1, REQUEST_END=9)], "queue_timeout"),
        (
            [record(1, "net_image", **SENT), record(2, "net_preprocess", 1, QUEUE_START=1)],
            "queue_full",
        ),
        (
            [
                record(1, "net_image", **SENT),
                record(2, "net_preprocess", 1, **DONE),
                record(3, "net", 1, QUEUE_START=3000, REQUEST_END=9000),
            ],
            "queue_timeout",
        ),
        ([record(1, "net_image", **SENT), record(2, "net_preprocess", 1, **DONE)], "failed"),
        ([record(1, "net_image", **SENT)], "failed"),
        (['{"id":3,"timestamps":[{"name":"HTTP_RECV_START","ns":7}]}'], "refused"),
        (
            [
                record(1, "average", **SENT),
                record(2, "net_preprocess", 1, **DONE),
                record(3, "net_image", 1),
                *(record(4 + place, "net", 3, **DONE) for place in range(3)),
            ],
            "computed",
        ),
        (
            [
                record(1, "average", **SENT),
                record(2, "net_preprocess", 1, **DONE),
                record(3, "net_image", 1),
                record(4, "net", 3, **DONE),
            ],
            "failed",
        ),
    ],
)
def test_what_came_of_it(parts: list[str], status: str) -> None:
    assert read(*parts).status == status


FORGED = 'x"},{"id":99,"model_name":"admin","model_version":1,"request_id":"y'
OWN = f'{FORGED}"}},{{"id":99,"timestamps":[{{"name":"REQUEST_START","ns":1}}]}},{{"id":98,"x":"'


@pytest.mark.parametrize(
    "request_id",
    ['a"b', FORGED, OWN, 'x","model_name":"admin', 'x","parent_id":7,"y":"', "\\", '\\"', "]"],
)
def test_a_request_id_writes_no_other_request(request_id: str) -> None:
    """Triton writes it as it is."""
    line = read(record(1, "net", request_id=request_id, **DONE))
    assert line.status == "unreadable" or (line.model, line.request_id) == ("net", request_id)
    assert "\n" not in str(line)
    assert json.loads(str(line))["model"] in ("net", None)


@settings(max_examples=150, deadline=None)
@given(st.text() | st.builds(lambda a, b: a + FORGED + b, st.text(), st.text()))
def test_any_request_id_is_one_line(request_id: str) -> None:
    line = str(read(record(1, "net", request_id=request_id, **DONE)))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["status"] in ("computed", "unreadable")


def test_a_long_request_id_is_cut() -> None:
    assert len(read(record(1, "net", request_id="x" * 9999, **DONE)).request_id or "") == 128


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "[1]", '[{"id":"x"}]', "[" * 99_999])
def test_what_is_no_trace(text: str) -> None:
    assert records.read(text, steps).status == "unreadable"
