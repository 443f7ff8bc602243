"""What a server ran meanwhile: from its counters, and how its configurations are read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve.loadtest import executions
from resnet_serve.loadtest.executions import Count, Served
from resnet_serve.passport.facts import decode, encode


def counts(*intervals: dict[int, list[float]], seconds: float = 0.1) -> list[Count]:
    """The counters after each interval, in which batches of these sizes took these milliseconds."""
    made = [Count(0.0, {}, {})]
    for times in intervals:
        last = made[-1]
        batches, computed_ns = dict(last.batches), dict(last.computed_ns)
        for size, row in times.items():
            batches[size] = batches.get(size, 0) + len(row)
            computed_ns[size] = computed_ns.get(size, 0) + round(1e6 * sum(row))
        made.append(Count(last.moment_s + seconds, batches, computed_ns))
    return made


def test_the_mean_is_over_all_batches() -> None:
    found = executions.executed("net", counts({1: [4.0, 6.0]}, {}, {1: [8.0], 4: [20.0]}))
    one, four = found.batches
    assert (one.batch_size, one.executions, one.mean_ms) == (1, 3, 6.0)
    assert one.deviation_ms == pytest.approx(math.sqrt(2 * 1 + 1 * 4))
    assert (four.batch_size, four.executions, four.mean_ms, four.deviation_ms) == (4, 1, 20.0, None)


@pytest.mark.parametrize("in_an_interval", [1, 3, 20])
def test_the_deviation_is_that_of_single_batches(in_an_interval: int) -> None:
    random = np.random.default_rng(0)
    rows = [{1: [*random.normal(10, 2, in_an_interval)]} for _ in range(400)]
    (found,) = executions.executed("net", counts(*rows)).batches
    assert found.mean_ms == pytest.approx(10, rel=0.03)
    assert found.deviation_ms == pytest.approx(2, rel=0.15)


def test_the_pace_is_without_the_start_and_the_end() -> None:
    busy = {2: [9.0] * 10}  # 90 ms of 100
    found = executions.executed("net", counts({}, {}, {1: [5.0]}, busy, busy, busy, {}))
    assert found.busy == pytest.approx(0.9)
    assert found.cycle_ms == pytest.approx(10.0)
    pauses = executions.executed("net", counts({}, busy, {}, busy, {}, busy, {}))
    assert pauses.busy == pytest.approx(0.54), "a pause between them counts"
    two = executions.executed("net", counts(busy, busy, busy), instances=2)
    assert two.busy == pytest.approx(0.45)
    assert two.cycle_ms == pytest.approx(20.0)
    few = executions.executed("net", counts(busy, busy))
    assert (few.busy, few.cycle_ms) == (None, None)


def test_nothing_ran() -> None:
    assert executions.executed("net", counts({}, {})).batches == ()
    assert executions.executed("net", counts()[:1]).batches == ()


def test_it_reads_back() -> None:
    found = executions.executed("net", counts({1: [4.0]}, {1: [5.0, 6.0]}, {2: [9.0]}))
    assert decode(executions.Executed, encode(found), "executed") == found


def config(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_what_a_configuration_says() -> None:
    made = config(
        """
        name: "net" max_batch_size: 8
        instance_group { count: 2 kind: KIND_CPU }
        dynamic_batching {
          max_queue_delay_microseconds: 1500
          default_queue_policy { max_queue_size: 30 default_timeout_microseconds: 10000000 }
        }
        parameters { key: "intra_op_thread_count" value { string_value: "3" } }
        parameters { key: "one_per_core_below" value { string_value: "6" } }
        """
    )
    assert Served.of(made) == Served(
        model="net",
        instances=2,
        max_batch_size=8,
        delay_ms=1.5,
        queue_requests=30,
        queue_timeout_ms=10_000.0,
        threads=3,
        one_per_core_below=6,
    )
    own = config('parameters { key: "max_queue" value { string_value: "7" } }')
    assert (Served.of(own).queue_requests, Served.of(own).rejects_oldest) == (7, True)
    openvino = config(
        """
        name: "net" max_batch_size: 1
        instance_group { count: 2 }
        parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "4" } }
        """
    )
    found = Served.of(openvino)
    assert (found.threads, found.merges, found.queue_requests) == (2, False, 0)
    strange = config('parameters { key: "intra_op_thread_count" value { string_value: "-1" } }')
    assert (Served.of(strange).threads, Served.of(strange).instances) == (0, 1)


@pytest.mark.parametrize(
    ("steps", "in_turn"),
    [
        ([({"image": "image"}, {"pixels": "p"}), ({"image": "p"}, {"logits": "logits"})], True),
        ([({"image": "image"}, {"logits": "a"}), ({"image": "image"}, {"logits": "b"})], False),
        ([({"image": "image"}, {"logits": "logits"})], True),
    ],
)
def test_models_that_are_passed_in_turn(
    steps: list[tuple[dict[str, str], dict[str, str]]], in_turn: bool
) -> None:
    made = model_config_pb2.ModelConfig()
    for inputs, outputs in steps:
        step = made.ensemble_scheduling.step.add()
        step.input_map.update(inputs)
        step.output_map.update(outputs)
    assert executions._in_turn(made.ensemble_scheduling.step) is in_turn
