"""Our `openvino` backend in the real server: it completes, batches and answers.

One server serves every model that must load.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openvino
import pytest
import tritonclient.grpc as triton
from openvino_repository import SIDE, network, openvino_config
from patience import PATIENCE_S, until
from tiny_repository import FIXED, mean_model, onnx_model, parameter, tensor, write
from tritonclient.utils import InferenceServerException

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.runtimes import openvino as runtime
from resnet_serve.triton import config as configurations
from resnet_serve.triton.config import Serving
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton

PADDED = parameter("ENABLE_BATCH_PADDING", "yes")
# A health check would be counted with the requests, or share a batch with them.
UNASKED = Policy(check_s=0)
WAITING = "dynamic_batching { max_queue_delay_microseconds: 200000 }"
ANY_SIZE = "float[N,3,H,W] x) => (float[N,3] y"
SPLIT = onnx_model(
    "float[N,4] x) => (float[N,2] left, float[N,2] right", "left, right = Split <axis = 1> (x)"
)
SIDES = tensor("left", "FP32", [2]) + "}, {" + tensor("right", "FP32", [2])
SERVED: dict[str, dict[str, str | bytes]] = {
    "padded": {"config.pbtxt": openvino_config(rest=PADDED), "1/model.onnx": mean_model()},
    "unpadded": {"config.pbtxt": openvino_config(), "1/model.onnx": mean_model()},
    "single": {"config.pbtxt": openvino_config(batch=1), "1/model.onnx": mean_model()},
    "fixed": {"config.pbtxt": openvino_config(rest=PADDED), "1/model.onnx": mean_model(FIXED)},
    "bare_fixed": {
        "config.pbtxt": 'backend: "openvino"\ndefault_model_filename: "model.onnx"\n',
        "1/model.onnx": mean_model(FIXED),
    },
    "half": {
        "config.pbtxt": 'backend: "openvino"\ndefault_model_filename: "model.onnx"\n'
        f"input [{{ {tensor('x', 'FP32', [1, 3, 8, 8])} }}]\n",
        "1/model.onnx": mean_model(FIXED),
    },
    "converted": {
        "config.pbtxt": openvino_config(
            inputs=tensor("x", "UINT8", [3, 8, 8]), outputs=tensor("y", "FP16", [3]), rest=PADDED
        ),
        "1/model.onnx": mean_model(),
    },
    "reshaped": {
        "config.pbtxt": openvino_config(
            inputs=tensor("x", "FP32", [3, 5, 5]),
            rest=PADDED + parameter("RESHAPE_IO_LAYERS", "YES"),
        ),
        "1/model.onnx": mean_model(ANY_SIZE),
    },
    "any_size": {
        "config.pbtxt": openvino_config(
            inputs=tensor("x", "FP32", [3, -1, -1]), rest=PADDED + WAITING
        ),
        "1/model.onnx": mean_model(ANY_SIZE),
    },
    "any_batch": {
        "config.pbtxt": openvino_config(
            batch=0,
            inputs=tensor("x", "FP32", [-1, 3, 8, 8]),
            outputs=tensor("y", "FP32", [-1, 3]),
        ),
        "1/model.onnx": mean_model(),
    },
    "split": {
        "config.pbtxt": openvino_config(
            inputs=tensor("x", "FP32", [4]), outputs=SIDES, rest=PADDED
        ),
        "1/model.onnx": SPLIT,
    },
    "subset": {
        "config.pbtxt": openvino_config(
            inputs=tensor("x", "FP32", [4]), outputs=tensor("right", "FP32", [2]), rest=PADDED
        ),
        "1/model.onnx": SPLIT,
    },
    "batching": {
        "config.pbtxt": openvino_config(batch=8, rest=PADDED + WAITING),
        "1/model.onnx": mean_model(),
    },
    "options": {
        "config.pbtxt": openvino_config(
            rest="\n".join(
                [
                    PADDED,
                    parameter("PERFORMANCE_HINT", "throughput"),
                    parameter("NUM_STREAMS", "AUTO"),
                    parameter("INFERENCE_NUM_THREADS", "1"),
                    parameter("SKIP_OV_DYNAMIC_BATCHSIZE", "YES"),
                    parameter("TARGET_DEVICE", "cpu"),
                    parameter("SOMETHING_ELSE", "1"),
                    'model_warmup [ { name: "w" batch_size: 4 inputs { key: "x" value '
                    "{ data_type: TYPE_FP32 dims: [3, 8, 8] zero_data: true } } } ]",
                ]
            )
        ),
        "1/model.onnx": mean_model(),
    },
    "sum_of_two": {
        "config.pbtxt": openvino_config(
            batch=0,
            inputs=tensor("x", "FP32", [3]) + "}, {" + tensor("z", "FP32", [3], "optional: true"),
            outputs=tensor("y", "FP32", [3]),
        ),
        "1/model.onnx": onnx_model("float[3] x, float[3] z) => (float[3] y", "y = Add(x, z)"),
    },
}


CLASSIFIERS = ("fp32", "bf16", "int8")
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def classifier(precision: str) -> dict[str, str | bytes]:
    """A network as the converter deploys it: two instances, batches up to 4, warmed up."""
    built = configurations.classifier(
        precision,
        target=TARGETS["openvino"],
        input_kind="float32",
        preprocessing=Preprocessing(crop=(SIDE, SIDE)),
        classes=5,
        serving=Serving(max_batch_size=4, instances=2, threads=1),
        precision=precision,
    )
    return {
        "config.pbtxt": configurations.to_text(built),
        "labels.txt": configurations.labels_text("abcde"),
        "1/model.onnx": network(int8=precision == "int8"),
    }


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("served")
    for name, files in SERVED.items():
        write(repository / name, files)
    for precision in CLASSIFIERS:
        write(repository / precision, classifier(precision))
    with (
        Server(repository, port=0, drain_s=0, timeout_s=PATIENCE_S, policy=UNASKED) as server,
        triton.InferenceServerClient(server.grpc) as connected,
    ):
        assert set(server.models) == {*SERVED, *CLASSIFIERS}
        yield connected


TYPES = {"float32": "FP32", "uint8": "UINT8"}


def infer(
    client: triton.InferenceServerClient,
    model: str,
    x: np.ndarray,
    *outputs: str,
    name: str = "x",
) -> dict[str, np.ndarray]:
    given = triton.InferInput(name, list(x.shape), TYPES[x.dtype.name])
    given.set_data_from_numpy(x)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
    result = client.infer(model, [given], outputs=wanted, client_timeout=PATIENCE_S)
    return {each.name: result.as_numpy(each.name) for each in result.get_response().outputs}


def images(count: int, seed: int = 0, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)


def model_config(client: triton.InferenceServerClient, model: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get_model_config(model, as_json=True)["config"]
    return found


@pytest.mark.parametrize("precision", CLASSIFIERS)
@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_classifier_answers_as_in_process(
    client: triton.InferenceServerClient, precision: str, count: int
) -> None:
    if precision == "bf16" and not HAS_BF16:
        pytest.skip("this CPU has no BF16 instructions")
    x = images(count, size=SIDE)
    data = network(int8=precision == "int8")
    with runtime.load(data, threads=1, precision=precision) as model:
        expected = model.run(x)
    served = infer(client, precision, x, name="image")["logits"]
    np.testing.assert_allclose(served, expected, rtol=1e-6, atol=1e-6)
    with runtime.load(network(int8=False), threads=1) as exact:
        apart = np.abs(served - exact.run(x)).max()
    assert (apart > 1e-4) == (precision != "fp32")


def test_labels_of_each_image_of_a_batch(client: triton.InferenceServerClient) -> None:
    x = images(3, size=SIDE)
    given = triton.InferInput("image", list(x.shape), "FP32")
    given.set_data_from_numpy(x)
    wanted = [triton.InferRequestedOutput("logits", class_count=1)]
    found = client.infer("fp32", [given], outputs=wanted).as_numpy("logits")
    best = infer(client, "fp32", x, name="image")["logits"].argmax(axis=1)
    assert [row[0].decode().rpartition(":")[2] for row in found] == ["abcde"[i] for i in best]


@pytest.mark.parametrize("model", ["padded", "fixed", "any_size", "options", "any_batch"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_batch(client: triton.InferenceServerClient, model: str, count: int) -> None:
    x = images(count)
    np.testing.assert_allclose(infer(client, model, x)["y"], x.mean((2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", ["single", "half", "bare_fixed"])
def test_one_image_at_a_time(client: triton.InferenceServerClient, model: str) -> None:
    x = images(1)
    np.testing.assert_allclose(infer(client, model, x)["y"], x.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_without_padding_only_the_largest_batch(client: triton.InferenceServerClient) -> None:
    """As natively, where the batch is compiled into the model."""
    x = images(4)
    np.testing.assert_allclose(
        infer(client, "unpadded", x)["y"], x.mean((2, 3)), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(InferenceServerException) as refused:
        infer(client, "unpadded", x[:3])
    assert refused.value.message() == (
        "expected requests with batch size '4', got '3'... this error can be avoided by setting "
        "'ENABLE_BATCH_PADDING' parameter in model configuration to 'YES' at a performance cost."
    )


def test_other_types_are_converted(client: triton.InferenceServerClient) -> None:
    x = np.arange(2 * 192, dtype=np.uint8).reshape(2, 3, 8, 8)
    y = infer(client, "converted", x)["y"]
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, x.mean((2, 3)), rtol=1e-3)


def test_reshaped_inputs(client: triton.InferenceServerClient) -> None:
    x = images(2, size=5)
    np.testing.assert_allclose(
        infer(client, "reshaped", x)["y"], x.mean((2, 3)), rtol=1e-4, atol=1e-6
    )


def test_completes_a_model_without_layouts(client: triton.InferenceServerClient) -> None:
    """ONNX says nothing about layouts, so that OpenVINO does not take it for a batch."""
    found = model_config(client, "bare_fixed")
    assert found.get("max_batch_size", 0) == 0
    assert "dynamic_batching" not in found
    assert found["input"][0]["dims"] == ["1", "3", "8", "8"]
    assert found["output"][0]["data_type"] == "TYPE_FP32"


def test_completes_only_the_missing_side(client: triton.InferenceServerClient) -> None:
    found = model_config(client, "half")
    assert found["input"][0]["dims"] == ["1", "3", "8", "8"]
    assert (found["output"][0]["name"], found["output"][0]["dims"]) == ("y", ["1", "3"])


def test_only_the_requested_outputs(client: triton.InferenceServerClient) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert set(infer(client, "split", x)) == {"left", "right"}
    found = infer(client, "split", x, "right")
    assert set(found) == {"right"}
    np.testing.assert_array_equal(found["right"], x[:, 2:])
    assert set(infer(client, "subset", x)) == {"right"}


def executions(client: triton.InferenceServerClient, model: str) -> tuple[int, int]:
    found = client.get_inference_statistics(model, as_json=True)["model_stats"][0]
    return int(found.get("inference_count", 0)), int(found.get("execution_count", 0))


def test_one_run_for_the_requests_of_a_batch(client: triton.InferenceServerClient) -> None:
    given = [images(1 + seed % 2, seed) for seed in range(4)]

    def merged() -> bool:
        """On a busy host none of them may have come within the 0.2 s for which one waits."""
        inferences, runs = executions(client, "batching")
        with ThreadPoolExecutor(len(given)) as pool:
            answers = list(pool.map(lambda x: infer(client, "batching", x)["y"], given))
        for x, y in zip(given, answers, strict=True):
            np.testing.assert_allclose(y, x.mean((2, 3)), rtol=1e-4, atol=1e-6)
        # The server counts a run shortly after it has answered.
        assert until(lambda: executions(client, "batching")[0] == inferences + 6)
        return executions(client, "batching")[1] < runs + len(given)

    assert until(merged)


def test_requests_of_different_sizes_side_by_side(client: triton.InferenceServerClient) -> None:
    given = [images(1, size=8), images(2, size=5), images(1, seed=1, size=8)]
    with ThreadPoolExecutor(len(given)) as pool:
        answers = list(pool.map(lambda x: infer(client, "any_size", x)["y"], given))
    for x, y in zip(given, answers, strict=True):
        np.testing.assert_allclose(y, x.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_an_input_left_out_is_not_the_one_before(client: triton.InferenceServerClient) -> None:
    both = [triton.InferInput(name, [3], "FP32") for name in "xz"]
    for given in both:
        given.set_data_from_numpy(np.ones(3, np.float32))
    answer = client.infer("sum_of_two", both).as_numpy("y")
    np.testing.assert_array_equal(answer, 2)
    with pytest.raises(InferenceServerException, match="the request lacks the input z"):
        client.infer("sum_of_two", both[:1])
