"""The bound of a queue: what follows from a latency, and what the real server does with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import numpy as np
import pytest
import tritonclient.grpc as triton
from hostile_images import encoded, photo
from patience import PATIENCE_S, until
from tiny_repository import onnx_model, write
from tritonclient.utils import InferenceServerException

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config
from resnet_serve.triton.backends.queue_limit import METRIC
from resnet_serve.triton.config import Serving, Step
from resnet_serve.triton.queue_bound import UNBOUNDED, QueueBound, bound_of, clear, of_latency
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy

SMALL = Preprocessing(resize=8, crop=(8, 8))
SERVING = Serving(max_batch_size=8, instances=1, threads=1)
TOGETHER = 12


@pytest.mark.parametrize(
    ("latency_ms", "bound"),
    [
        (60, QueueBound(4, 10_000)),
        (1000, QueueBound(4, 40_000)),
        (2, QueueBound(50, 10_000)),
        (1e-9, QueueBound(1 << 16, 10_000)),
    ],
)
def test_a_queue_is_worked_off_in_a_few_latencies(latency_ms: float, bound: QueueBound) -> None:
    assert of_latency(latency_ms, instances=1) == bound


def test_instances_and_batches_shorten_the_wait() -> None:
    assert of_latency(60, instances=3) == QueueBound(12, 10_000)
    assert of_latency(60, instances=1, batch_size=64) == QueueBound(128, 10_000)
    assert of_latency(None, instances=2, batch_size=8) == QueueBound(32)


def test_what_a_user_chose_goes_before_it() -> None:
    derived = of_latency(60, instances=1)
    assert derived.of(requests=None, timeout_ms=None) == derived
    assert derived.of(requests=9, timeout_ms=None) == QueueBound(9, 10_000)
    assert derived.of(requests=0, timeout_ms=0) == UNBOUNDED


@pytest.mark.parametrize(
    ("held", "per_image", "images", "decoded"),
    [
        (80, 1, 8, 40),
        (5, 1, 3, 3),
        (4, 1, 2, 2),
        (1, 1, 1, 1),
        (80, 20, 2, 40),
        (160, 10, 8, 80),
        (19, 20, 1, 10),
        (0, 10, 0, 0),
    ],
)
def test_half_of_what_waits_is_decoded(
    held: int, per_image: int, images: int, decoded: int
) -> None:
    bound = QueueBound(held, 100.0)
    assert bound.of_decoding(2, requests_per_image=per_image) == QueueBound(images, 100.0)
    assert bound.decoded == decoded


@pytest.mark.parametrize("requests", [0, 7])
def test_a_backend_of_ours_bounds_its_queue_itself(requests: int) -> None:
    made = config.preprocess(
        "m",
        input_kind="uint8",
        preprocessing=SMALL,
        serving=SERVING,
        cores=1,
        queue=QueueBound(requests),
    )
    read = config.parse(config.to_text(made))
    assert bound_of(read) == QueueBound(requests)
    assert not read.HasField("dynamic_batching"), "a policy of Triton's stalls its batcher"
    clear(read)
    assert bound_of(read) == UNBOUNDED


@pytest.mark.parametrize("bound", [QueueBound(7, 1.5), QueueBound(0, 2)])
def test_it_is_read_as_it_was_written(bound: QueueBound) -> None:
    made = config.preprocess(
        "m",
        input_kind="uint8",
        preprocessing=SMALL,
        serving=SERVING,
        cores=1,
        queue=bound,
    )
    assert bound_of(config.parse(config.to_text(made))) == bound
    policy = made.dynamic_batching.default_queue_policy
    assert policy.allow_timeout_override
    assert policy.default_timeout_microseconds > 0, "with 0, Triton heeds no request's own"
    assert list(made.dynamic_batching.preferred_batch_size) == [1]
    plain = config.preprocess(
        "m", input_kind="uint8", preprocessing=SMALL, serving=SERVING, cores=1
    )
    assert bound_of(plain) == UNBOUNDED
    assert not plain.HasField("dynamic_batching")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files: dict[str, str | bytes] = {}
    bounds = {
        "two": QueueBound(2),
        "most": QueueBound(2, 60_000),
        "many": QueueBound(50, 60_000),
        "soon": QueueBound(0, 1),
        "any": UNBOUNDED,
    }
    for name, queue in bounds.items():
        made = config.preprocess(
            name, input_kind="uint8", preprocessing=SMALL, serving=SERVING, cores=1, queue=queue
        )
        files[f"{name}/config.pbtxt"] = config.to_text(made)
        files[f"{name}/1/preprocessing.json"] = SMALL.to_json()
    one = config.preprocess(
        "one",
        input_kind="uint8",
        preprocessing=SMALL,
        serving=Serving(max_batch_size=1, instances=1, threads=1),
        cores=1,
        queue=QueueBound(2),
    )
    files |= {"one/config.pbtxt": config.to_text(one), "one/1/preprocessing.json": SMALL.to_json()}
    mean = onnx_model(
        "uint8[N,8,8,3] image) => (float[N,3] logits",
        "f = Cast <to = 1> (image)  logits = ReduceMean <axes = [1, 2], keepdims = 0> (f)",
    )
    around = config.ensemble(
        "around",
        (
            Step("two", -1, {"image": "image"}, {"pixels": "pixels"}),
            Step("mean", -1, {"image": "pixels"}, {"logits": "logits"}),
        ),
        SERVING,
    )
    around.input.add(name="image", data_type="TYPE_STRING", dims=[1])
    around.output.add(name="logits", data_type="TYPE_FP32", dims=[3])
    files["around/config.pbtxt"] = config.to_text(around)
    files["around/1/ensemble.txt"] = "two, then mean\n"
    files["mean/1/model.onnx"] = mean
    files["mean/config.pbtxt"] = """
backend: "onnxruntime" max_batch_size: 8
input [{ name: "image" data_type: TYPE_UINT8 dims: [8, 8, 3] }]
output [{ name: "logits" data_type: TYPE_FP32 dims: [3] }]
"""
    repository = write(tmp_path_factory.mktemp("bounded"), files)
    # A health check would be rejected and counted too.
    with Server(repository, port=0, drain_s=0, policy=Policy(check_s=0)) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc) as connected:
        yield connected


def together(
    client: triton.InferenceServerClient, model: str, timeout_us: int | None = None
) -> Counter[str]:
    """What becomes of requests that arrive together, each of which takes a while."""
    slow = encoded(photo(1200, 900), "JPEG", progressive=True)

    def ask(_: int) -> str:
        given = triton.InferInput("image", [1, 1], "BYTES")
        given.set_data_from_numpy(np.array([[slow]], dtype=np.object_))
        try:
            client.infer(model, [given], client_timeout=PATIENCE_S, timeout=timeout_us)
        except InferenceServerException as error:
            return f"{error.status()} {error.message()}"
        return "answered"

    with ThreadPoolExecutor(TOGETHER) as pool:
        return Counter(pool.map(ask, range(TOGETHER)))


def too_many(
    client: triton.InferenceServerClient, model: str, timeout_us: int | None = None
) -> Counter[str]:
    """The same of more than the queue holds: again where a busy host sent them one by one."""
    found: list[Counter[str]] = []

    def rejected() -> bool:
        found.append(together(client, model, timeout_us))
        return len(found[-1]) > 1

    assert until(rejected)
    return found[-1]


@pytest.mark.triton
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("two", "StatusCode.UNAVAILABLE .*Exceeds maximum queue size"),
        ("most", "StatusCode.UNAVAILABLE .*Exceeds maximum queue size"),
        ("one", "StatusCode.UNAVAILABLE .*Exceeds maximum queue size"),
        ("around", "StatusCode.UNAVAILABLE .*Exceeds maximum queue size"),
        ("soon", "StatusCode.UNAVAILABLE .*Request timeout expired"),
    ],
)
def test_what_the_queue_does_not_hold_is_rejected_as_retryable(
    client: triton.InferenceServerClient, model: str, words: str
) -> None:
    found = too_many(client, model)
    answered = found.pop("answered")
    assert 1 <= answered < TOGETHER
    (message,) = found

    assert re.search(words, message), message


@pytest.mark.triton
def test_a_request_may_state_a_timeout_of_its_own(client: triton.InferenceServerClient) -> None:
    """Triton heeds it where the queue has a timeout itself."""
    assert together(client, "many") == {"answered": TOGETHER}
    found = too_many(client, "many", timeout_us=1000)
    answered = found.pop("answered")
    assert 1 <= answered < TOGETHER
    (message,) = found
    assert "Request timeout expired" in message


@pytest.mark.triton
def test_rejected_requests_and_latencies_are_in_the_metrics(
    server: Server, client: triton.InferenceServerClient
) -> None:
    """Triton 2.51 counts those whose time was up, and our backends what they reject."""
    failures = "nv_inference_request_failure"
    for model, name, labels in (
        ("soon", failures, ('model="soon"', 'reason="REJECTED"')),
        ("two", METRIC, ('model="two"',)),
    ):
        before = metric(server, name, *labels)
        found = TOGETHER - too_many(client, model)["answered"]
        assert until(lambda: metric(server, name, *labels) - before == found)  # noqa: B023
    assert metric(server, "nv_inference_compute_infer_summary_us_sum", 'model="soon"') > 0
    assert metric(server, "nv_inference_queue_summary_us_sum", 'model="soon"') > 0
    assert until(lambda: metric(server, "nv_inference_pending_request_count", 'model="two"') == 0)


def metric(server: Server, name: str, *labels: str) -> float:
    with urlopen(f"http://{server.metrics}/metrics", timeout=PATIENCE_S) as page:
        lines = page.read().decode().splitlines()
    (line,) = (
        each for each in lines if each.startswith(f"{name}{{") and all(x in each for x in labels)
    )
    return float(line.rpartition(" ")[2])


@pytest.mark.triton
def test_without_a_bound_all_are_answered(client: triton.InferenceServerClient) -> None:
    assert together(client, "any") == Counter(answered=TOGETHER)


@pytest.mark.triton
def test_images_are_decoded_one_after_another(client: triton.InferenceServerClient) -> None:
    together(client, "two")
    stats = client.get_inference_statistics("two", as_json=True)["model_stats"][0]
    assert {int(each["batch_size"]) for each in stats["batch_stats"]} == {1}
