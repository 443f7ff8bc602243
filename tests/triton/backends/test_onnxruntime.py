"""Our `onnxruntime` backend in the real server completes and answers as the native one.

One server serves every model that must load.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from tiny_repository import FIXED, config, mean_model, onnx_model, parameter, tensor, write
from tritonclient.utils import InferenceServerException

import resnet_serve
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton

ANY_SIZE = "float[N,3,H,W] x) => (float[N,3] y"
SPLIT = onnx_model(
    "float[N,4] x) => (float[N,2] left, float[N,2] right", "left, right = Split <axis = 1> (x)"
)
GATHER = onnx_model(
    "int64[N,1] x) => (float[N,1] y",
    "table = Constant <value = float[3] {10.0, 20.0, 30.0}> ()  y = Gather(table, x)",
)
SERVED: dict[str, dict[str, str | bytes]] = {
    "whole": {"config.pbtxt": config(), "1/model.onnx": mean_model()},
    "bare": {"1/model.onnx": mean_model()},
    "bare_fixed": {"1/model.onnx": mean_model(FIXED)},
    "half": {
        "config.pbtxt": f'backend: "onnxruntime"\ninput [{{ {tensor("x", "FP32", [3, 8, 8])} }}]\n',
        "1/model.onnx": mean_model(),
    },
    "narrowed": {"config.pbtxt": config(), "1/model.onnx": mean_model(ANY_SIZE)},
    "any_size": {
        "config.pbtxt": config(
            inputs=tensor("x", "FP32", [3, -1, -1]),
            rest="dynamic_batching { max_queue_delay_microseconds: 100000 }",
        ),
        "1/model.onnx": mean_model(ANY_SIZE),
    },
    "reshaped": {
        "config.pbtxt": config(
            inputs=tensor("x", "FP32", [192], "reshape { shape: [3, 8, 8] }"),
            outputs=tensor("y", "FP32", [3, 1], "reshape { shape: [3] }"),
        ),
        "1/model.onnx": mean_model(),
    },
    "other_file": {
        "config.pbtxt": config(rest='default_model_filename: "other.onnx"'),
        "1/other.onnx": mean_model(),
    },
    "folder": {"config.pbtxt": config(), "1/model.onnx/model.onnx": mean_model()},
    "split": {
        "config.pbtxt": config(
            inputs=tensor("x", "FP32", [4]),
            outputs=tensor("left", "FP32", [2]) + "}, {" + tensor("right", "FP32", [2]),
        ),
        "1/model.onnx": SPLIT,
    },
    "subset": {
        "config.pbtxt": config(
            inputs=tensor("x", "FP32", [4]), outputs=tensor("right", "FP32", [2])
        ),
        "1/model.onnx": SPLIT,
    },
    "gather": {
        "config.pbtxt": config(
            batch=8,
            inputs=tensor("x", "INT64", [1]),
            outputs=tensor("y", "FP32", [1]),
            rest="dynamic_batching { max_queue_delay_microseconds: 200000 }",
        ),
        "1/model.onnx": GATHER,
    },
    "strings": {
        "config.pbtxt": config(
            inputs=tensor("x", "STRING", [2]), outputs=tensor("y", "STRING", [2])
        ),
        "1/model.onnx": onnx_model("string[N,2] x) => (string[N,2] y", "y = Identity(x)"),
    },
    "scalar": {
        "config.pbtxt": config(
            batch=0, inputs=tensor("x", "FP32", [3]), outputs=tensor("y", "FP32", [1])
        ),
        "1/model.onnx": onnx_model(
            "float[3] x) => (float y", "y = ReduceMean <axes = [0], keepdims = 0> (x)"
        ),
    },
    "options": {
        "config.pbtxt": config(
            rest="\n".join(
                [
                    parameter("intra_op_thread_count", "2"),
                    parameter("inter_op_thread_count", "-1"),
                    parameter("execution_mode", "1"),
                    parameter("enable_mem_arena", "True"),
                    parameter("enable_mem_pattern", "off"),
                    parameter("memory.enable_memory_arena_shrinkage", "cpu:0"),
                    parameter("session.intra_op.allow_spinning", "0"),
                    "optimization { graph { level: 1 } execution_accelerators "
                    '{ gpu_execution_accelerator [ { name: "tensorrt" } ] } }',
                    'model_warmup [ { name: "w" batch_size: 4 inputs { key: "x" value '
                    "{ data_type: TYPE_FP32 dims: [3, 8, 8] zero_data: true } } } ]",
                ]
            )
        ),
        "1/model.onnx": mean_model(),
    },
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("served")
    for name, files in SERVED.items():
        write(repository / name, files)
    # A stub must see our packages, wherever they are, and nothing of the working directory.
    elsewhere, library = tmp_path_factory.mktemp("working"), tmp_path_factory.mktemp("ünï")
    for name in ("model.py", "numpy.py", "onnxruntime.py"):
        (elsewhere / name).write_text("raise ImportError('the wrong one')")
    (library / "resnet_serve").symlink_to(Path(resnet_serve.__file__).parent)
    others = [entry for entry in sys.path if not (Path(entry) / "resnet_serve").exists()]
    # A health check would be counted with the requests, or share a batch with them.
    server = Server(repository, port=0, drain_s=0, timeout_s=PATIENCE_S, policy=Policy(check_s=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        patch.setattr(sys, "path", [str(library), *others])
        server.start()
    with server, triton.InferenceServerClient(server.grpc) as connected:
        assert set(server.models) == set(SERVED)
        yield connected


TYPES = {"float32": "FP32", "int64": "INT64", "object": "BYTES"}


def infer(
    client: triton.InferenceServerClient, model: str, x: np.ndarray, *outputs: str
) -> dict[str, np.ndarray]:
    given = triton.InferInput("x", list(x.shape), TYPES[x.dtype.name])
    given.set_data_from_numpy(x)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
    result = client.infer(model, [given], outputs=wanted, client_timeout=PATIENCE_S)
    return {each.name: result.as_numpy(each.name) for each in result.get_response().outputs}


def images(count: int, seed: int = 0, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)


def model_config(client: triton.InferenceServerClient, model: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get_model_config(model, as_json=True)["config"]
    return found


@pytest.mark.parametrize(
    "model", ["whole", "bare", "half", "narrowed", "any_size", "other_file", "folder", "options"]
)
@pytest.mark.parametrize("count", [1, 3])
def test_answers_as_onnx_runtime_in_process(
    client: triton.InferenceServerClient, model: str, count: int
) -> None:
    x = images(count)
    session = onnxruntime.InferenceSession(mean_model())
    np.testing.assert_array_equal(infer(client, model, x)["y"], session.run(None, {"x": x})[0])


def test_completes_a_model_that_can_batch(client: triton.InferenceServerClient) -> None:
    found = model_config(client, "bare")
    assert found["max_batch_size"] == 4
    assert "dynamic_batching" in found
    assert found["platform"] == "onnxruntime_onnx"
    assert found["default_model_filename"] == "model.onnx"
    assert found["input"][0]["dims"] == ["3", "8", "8"]
    assert found["output"][0]["dims"] == ["3"]
    assert [(each["kind"], each["count"]) for each in found["instance_group"]] == [("KIND_CPU", 2)]


def test_completes_a_model_that_cannot_batch(client: triton.InferenceServerClient) -> None:
    found = model_config(client, "bare_fixed")
    assert found.get("max_batch_size", 0) == 0
    assert "dynamic_batching" not in found
    assert found["input"][0]["dims"] == ["1", "3", "8", "8"]
    assert infer(client, "bare_fixed", images(1))["y"].shape == (1, 3)


def test_completes_only_the_missing_side(client: triton.InferenceServerClient) -> None:
    found = model_config(client, "half")
    assert found["max_batch_size"] == 4
    assert found["output"][0]["name"] == "y"


def test_does_not_complete_what_is_whole(client: triton.InferenceServerClient) -> None:
    assert "dynamic_batching" not in model_config(client, "whole")


def test_reshape(client: triton.InferenceServerClient) -> None:
    x = images(2)
    y = infer(client, "reshaped", x.reshape(2, 192))["y"]
    np.testing.assert_array_equal(y, infer(client, "whole", x)["y"].reshape(2, 3, 1))


def test_a_scalar_output_has_the_configured_shape(client: triton.InferenceServerClient) -> None:
    y = infer(client, "scalar", np.array([1, 2, 6], np.float32))["y"]
    np.testing.assert_array_equal(y, np.array([3], np.float32))


def test_only_the_requested_outputs(client: triton.InferenceServerClient) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert set(infer(client, "split", x)) == {"left", "right"}
    found = infer(client, "split", x, "right")
    assert set(found) == {"right"}
    np.testing.assert_array_equal(found["right"], x[:, 2:])


def test_a_subset_of_the_outputs(client: triton.InferenceServerClient) -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    assert set(infer(client, "subset", x)) == {"right"}


def test_strings(client: triton.InferenceServerClient) -> None:
    x = np.array([["ä".encode(), b""], [b"y", b"z"]], dtype=np.object_)
    np.testing.assert_array_equal(infer(client, "strings", x)["y"], x)
    with pytest.raises(InferenceServerException, match="can't decode byte 0xff"):
        infer(client, "strings", np.array([[b"\xff", b""]], dtype=np.object_))


def executions(client: triton.InferenceServerClient, model: str) -> tuple[int, int]:
    found = client.get_inference_statistics(model, as_json=True)["model_stats"][0]
    return int(found.get("inference_count", 0)), int(found.get("execution_count", 0))


def test_one_run_for_the_requests_of_a_batch(client: triton.InferenceServerClient) -> None:
    numbers = [0, 1, 2, 1]

    def merged() -> bool:
        """On a busy host none of them may have come within the 0.2 s for which one waits."""
        inferences, runs = executions(client, "gather")
        with ThreadPoolExecutor(len(numbers)) as pool:
            answers = pool.map(lambda n: infer(client, "gather", np.array([[n]])), numbers)
            assert [answer["y"].item() for answer in answers] == [10, 20, 30, 20]
        # The server counts a run shortly after it has answered.
        assert until(lambda: executions(client, "gather")[0] == inferences + len(numbers))
        return executions(client, "gather")[1] < runs + len(numbers)

    assert until(merged)


def test_a_faulty_request_fails_alone(client: triton.InferenceServerClient) -> None:
    def outcome(number: int) -> float | str:
        try:
            return float(infer(client, "gather", np.array([[number]]))["y"].item())
        except InferenceServerException as error:
            return error.message()

    with ThreadPoolExecutor(3) as pool:
        first, faulty, last = pool.map(outcome, [0, 99, 2])
    assert (first, last) == (10, 30)
    assert "onnx runtime error 2: Non-zero status code returned while running Gather" in str(faulty)


def test_requests_of_different_sizes_side_by_side(client: triton.InferenceServerClient) -> None:
    given = [images(1, size=8), images(2, size=5), images(1, seed=1, size=8)]
    with ThreadPoolExecutor(len(given)) as pool:
        answers = list(pool.map(lambda x: infer(client, "any_size", x)["y"], given))
    for x, y in zip(given, answers, strict=True):
        np.testing.assert_allclose(y, x.mean((2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (images(5), "batch-size must be <= 4"),
        (images(1, size=9), "unexpected shape for input 'x'"),
        (np.zeros((1, 3, 8, 8), np.int64), "inference input 'x' data-type is 'INT64'"),
    ],
)
def test_the_core_refuses_bad_requests(
    client: triton.InferenceServerClient, x: np.ndarray, said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said) as refused:
        infer(client, "whole", x)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
