"""Elastic: which images run one per core, whose outputs are whose, and both backends do it.

The models of the server say of each image how many were in its run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openvino
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from openvino_repository import openvino_config
from patience import PATIENCE_S
from tiny_repository import config, onnx_model, parameter, tensor, write

from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.elastic import (
    ONE_PER_CORE_BELOW,
    Elastic,
    on_single_cores,
    one_per_core_below,
)
from resnet_serve.triton.backends.onnxruntime.threads import Threads
from resnet_serve.triton.backends.openvino.streams import Streams
from resnet_serve.triton.backends.stub import Arrays
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy

CORES = 2
NAMES = ("y", "n")


class Engines:
    """Engines that double their input and fail at 13; how many images each run had, and where."""

    def __init__(self, cores: int = CORES) -> None:
        self.whole: list[int] = []
        self.single: list[int] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._cores = cores

    def elastic(self, below: int) -> Elastic:
        return Elastic(self._whole, Threads(self._single, self._cores), below=below)

    def _whole(self, names: Sequence[str], feed: Arrays) -> Arrays:
        self.whole.append(len(feed["x"]))
        return self._doubled(names, feed)

    def _single(self, names: Sequence[str], feed: Arrays) -> Arrays:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.single.append(len(feed["x"]))
        try:
            return self._doubled(names, feed)
        finally:
            with self._lock:
                self._now -= 1

    @staticmethod
    def _doubled(names: Sequence[str], feed: Arrays) -> Arrays:
        if (feed["x"] == 13).any():
            raise RuntimeError("thirteen")
        found = {"y": 2 * feed["x"], "n": feed["x"][:, 0]}
        return {name: found[name] for name in names}


def feeds_of(*sizes: int) -> dict[int, Arrays]:
    """Requests of so many images, every number once, under keys in another order."""
    numbers = iter(np.arange(100, 100 + sum(sizes), dtype=np.float32))
    return {
        7 - place: {"x": np.array([[next(numbers)] * 2 for _ in range(size)])}
        for place, size in enumerate(sizes)
    }


@pytest.mark.parametrize(
    ("images", "cores", "below", "expected"),
    [
        (1, 2, 9, 0),
        (2, 2, 9, 2),
        (3, 2, 9, 2),
        (8, 2, 9, 8),
        (3, 2, 3, 0),
        (2, 2, 3, 2),
        (5, 4, 9, 4),
        (3, 4, 9, 0),
        (4, 1, 9, 0),
        (4, 2, 0, 0),
    ],
)
def test_which_images_run_one_per_core(images: int, cores: int, below: int, expected: int) -> None:
    assert on_single_cores(images, cores=cores, below=below) == expected


@pytest.mark.parametrize("below", [0, 3, 9])
@pytest.mark.parametrize(
    "sizes", [(1,), (2,), (1, 1), (1, 1, 1), (3,), (2, 3), (1, 4, 2), (8,), (1, 2, 1, 2, 1)]
)
def test_everyone_gets_its_own_outputs(sizes: tuple[int, ...], below: int) -> None:
    engines, feeds = Engines(), feeds_of(*sizes)
    elastic = engines.elastic(below)
    found = elastic.run(feeds, dict.fromkeys(feeds, NAMES), batched=True)
    elastic.close()
    assert list(found) == list(feeds)
    for key, feed in feeds.items():
        np.testing.assert_array_equal(found[key]["y"], 2 * feed["x"])
        np.testing.assert_array_equal(found[key]["n"], feed["x"][:, 0])
    alone = on_single_cores(sum(sizes), cores=CORES, below=below)
    assert engines.single == [1] * alone
    assert sum(engines.whole) == sum(sizes) - alone
    assert engines.most <= CORES


def test_a_fault_stays_with_its_request() -> None:
    feeds = feeds_of(1, 3, 1, 1)
    feeds[6]["x"][1] = 13
    elastic = Engines().elastic(9)
    for _ in range(2):  # and the threads still work
        found = elastic.run(feeds, dict.fromkeys(feeds, NAMES), batched=True)
        assert str(found[6]) == "thirteen"
        for key in (7, 5, 4):
            np.testing.assert_array_equal(found[key]["y"], 2 * feeds[key]["x"])
    elastic.close()


def test_other_shapes_and_other_outputs() -> None:
    engines = Engines()
    elastic = engines.elastic(9)
    feeds = {**feeds_of(1, 1), 0: {"x": np.ones((1, 5), np.float32)}}
    found = elastic.run(feeds, {7: ("y",), 6: ("n",), 0: ("y",)}, batched=True)
    elastic.close()
    assert engines.single == [1, 1]
    assert engines.whole == [1]
    assert set(found[7]) == {"y", "n"}  # one run for both; Triton drops what was not wanted
    np.testing.assert_array_equal(found[0]["y"], np.full((1, 5), 2))


def test_inputs_without_a_batch_are_not_divided() -> None:
    def engine(_: Sequence[str], feed: Arrays) -> Arrays:
        return {"y": feed["x"] * feed["scale"]}

    elastic = Elastic(engine, Threads(engine, CORES), below=9)
    feeds = {key: {"x": np.ones((1, 2)), "scale": np.array(3.0)} for key in range(4)}
    found = elastic.run(feeds, dict.fromkeys(feeds, ("y",)), batched=True)
    elastic.close()
    assert all((found[key]["y"] == 3).all() for key in feeds)


def test_the_parameter() -> None:
    given: dict[str, Any] = {
        "name": "net",
        "parameters": {ONE_PER_CORE_BELOW: {"string_value": "5"}},
    }
    assert one_per_core_below(given) == 5
    assert one_per_core_below({"name": "net"}) == 0
    for text in ("-1", "many", "", "9" * 12):
        given["parameters"][ONE_PER_CORE_BELOW]["string_value"] = text
        with pytest.raises(
            ContractError, match=f"model 'net': expected the parameter '{ONE_PER_CORE_BELOW}'"
        ):
            one_per_core_below(given)


IN_ITS_RUN = onnx_model(
    "float[N,2] x) => (float[N,2] y",
    "shape = Shape <start = 0, end = 1> (x)  count = Cast <to = 1> (shape)  "
    "table = Constant <value = float[3] {0.0, 0.0, 0.0}> ()  "
    "index = Cast <to = 7> (x)  zero = Gather(table, index)  y0 = Add(zero, count)  "
    "hundreds = Mul(x, x)  hundredfold = Sub(hundreds, hundreds)  y = Add(y0, hundredfold)",
)
WAITING = "dynamic_batching { max_queue_delay_microseconds: 300000 preferred_batch_size: 8 }"


def served(backend: str, below: int) -> dict[str, str | bytes]:
    """A model of two threads that takes up to eight images."""
    made = config if backend == "onnxruntime" else openvino_config
    rest = [
        WAITING,
        parameter(ONE_PER_CORE_BELOW, str(below)),
        parameter("intra_op_thread_count", "2"),
    ]
    rest += [parameter("INFERENCE_NUM_THREADS", "2"), parameter("NUM_STREAMS", "1")]
    rest += [parameter("ENABLE_BATCH_PADDING", "YES")]
    text = made(
        batch=8,
        inputs=tensor("x", "FP32", [2]),
        outputs=tensor("y", "FP32", [2]),
        rest="\n".join(rest),
    )
    return {"config.pbtxt": text, "1/model.onnx": IN_ITS_RUN}


BACKENDS = ("onnxruntime", "openvino")


def test_streams_keep_the_order_and_a_fault_to_itself() -> None:
    core = openvino.Core()
    properties = {"NUM_STREAMS": CORES, "INFERENCE_NUM_THREADS": CORES}
    compiled = core.compile_model(core.read_model(IN_ITS_RUN), "CPU", properties)
    streams = Streams(compiled, CORES)
    for _ in range(20):
        images = [{"x": np.ones((size, 2), np.float32)} for size in (1, 2, 3, 4, 5)]
        images.insert(2, {"x": np.ones((1, 2, 7), np.float32)})
        found = streams.run_each(("y",), images)
        assert isinstance(found.pop(2), RuntimeError)
        assert [each["y"][0, 0] for each in found] == [1, 2, 3, 4, 5]
    streams.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("elastic")
    for backend in BACKENDS:
        for below in (0, 4, 9):
            write(repository / f"{backend}_{below}", served(backend, below))
    with (
        # A health check would share a run with the images that are counted in it.
        Server(repository, port=0, drain_s=0, policy=Policy(check_s=0)) as server,
        triton.InferenceServerClient(server.grpc) as connected,
    ):
        yield connected


def given(count: int) -> triton.InferInput:
    made = triton.InferInput("x", [count, 2], "FP32")
    made.set_data_from_numpy(np.ones((count, 2), np.float32))
    return made


def runs_of(client: triton.InferenceServerClient, model: str, *sizes: int) -> list[NDArray[Any]]:
    """For requests sent together: in a run of how many images each of their images was."""
    with ThreadPoolExecutor(len(sizes)) as pool:
        answers = pool.map(
            lambda size: client.infer(model, [given(size)], client_timeout=PATIENCE_S), sizes
        )
        return [answer.as_numpy("y")[:, 0] for answer in answers]


@pytest.mark.triton
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_backends_run_as_the_parameter_says(
    client: triton.InferenceServerClient, backend: str
) -> None:
    (one,) = runs_of(client, f"{backend}_9", 1)
    np.testing.assert_array_equal(one, [1])
    (seven,) = runs_of(client, f"{backend}_9", 7)
    np.testing.assert_array_equal(seven, [1] * 7)
    for model, expected in ((f"{backend}_0", 3), (f"{backend}_4", 1)):
        (three,) = runs_of(client, model, 3)
        np.testing.assert_array_equal(three, [expected] * 3)
    (five,) = runs_of(client, f"{backend}_4", 5)
    np.testing.assert_array_equal(five, [5] * 5)


@pytest.mark.triton
@pytest.mark.parametrize("backend", BACKENDS)
def test_requests_that_wait_together(client: triton.InferenceServerClient, backend: str) -> None:
    sizes = (1, 2, 1, 1, 3)  # eight images: a full batch
    found = runs_of(client, f"{backend}_9", *sizes)
    assert [len(each) for each in found] == list(sizes)
    assert all((each == 1).all() for each in found)


@pytest.mark.triton
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_request_takes_no_other_with_it(
    client: triton.InferenceServerClient, backend: str
) -> None:
    answers: list[Any] = []
    done = threading.Semaphore(0)

    def answered(result: Any, error: Any) -> None:
        answers.append(result if error is None else error)
        done.release()

    calls = [client.async_infer(f"{backend}_9", [given(1)], answered) for _ in range(5)]
    calls[2].cancel()
    for _ in calls:
        assert done.acquire(timeout=PATIENCE_S)
    arrived = [each for each in answers if isinstance(each, triton.InferResult)]
    assert len(arrived) == 4
    assert all((each.as_numpy("y") == 1).all() for each in arrived)
