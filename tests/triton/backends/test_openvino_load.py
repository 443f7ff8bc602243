"""Our `openvino` backend in the real server refuses what the native one refuses.

One server that must not start is given every such model at once; its reasons are read one by one.
"""

from __future__ import annotations

from typing import Any

import pytest
from openvino_repository import openvino_config
from tiny_repository import (
    FIXED,
    RELU,
    mean_model,
    onnx_model,
    parameter,
    refused_by_the_server,
    tensor,
)

from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.openvino.options import Options, instances

# name: (config.pbtxt, ONNX file or None, what the native backend or the core says)
REFUSED: dict[str, tuple[str, bytes | None, str]] = {
    "dims_differ": (
        openvino_config(inputs=tensor("x", "FP32", [3, 9, 9])),
        mean_model(),
        "model 'dims_differ', tensor 'x': the model expects 4 dimensions (shape [-1,3,8,8]) but "
        "the model configuration specifies 4 dimensions (an initial batch dimension because "
        "max_batch_size > 0 followed by the explicit tensor shape, making complete shape "
        "[4,3,9,9])",
    ),
    "dims_differ_unbatched": (
        openvino_config(
            batch=0,
            inputs=tensor("x", "FP32", [1, 3, 9, 9]),
            outputs=tensor("y", "FP32", [1, 3]),
        ),
        mean_model(FIXED),
        "the model expects 4 dimensions (shape [1,3,8,8]) but the model configuration specifies "
        "4 dimensions (shape [1,3,9,9])",
    ),
    "open_unbatched": (
        openvino_config(
            batch=0, inputs=tensor("x", "FP32", [1, 3, -1, 8]), outputs=tensor("y", "FP32", [1, 3])
        ),
        mean_model(FIXED),
        "but the model configuration specifies 4 dimensions (shape [1,3,-1,8])",
    ),
    "rank_differs": (
        openvino_config(inputs=tensor("x", "FP32", [3, 64])),
        mean_model(),
        "specifies 3 dimensions",
    ),
    "rank_differs_reshaped": (
        openvino_config(
            inputs=tensor("x", "FP32", [3, 64]), rest=parameter("RESHAPE_IO_LAYERS", "YES")
        ),
        mean_model(),
        "specifies 3 dimensions",
    ),
    "output_left_open": (
        openvino_config(outputs=tensor("y", "FP32", [-1])),
        mean_model(),
        "tensor 'y': the model expects 2 dimensions (shape [-1,3]) but the model configuration "
        "specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed "
        "by the explicit tensor shape, making complete shape [4,-1])",
    ),
    "scalar": (
        openvino_config(batch=1, inputs=tensor("x", "FP32", [1]), outputs=tensor("y", "FP32", [1])),
        onnx_model("float x) => (float y", RELU),
        "model 'scalar', tensor 'x': for the model to support batching the shape should have at "
        "least 1 dimension",
    ),
    "input_name": (
        openvino_config(inputs=tensor("xx", "FP32", [3, 8, 8])),
        mean_model(),
        "unexpected inference input 'xx', allowed inputs are: x",
    ),
    "output_name": (
        openvino_config(outputs=tensor("yy", "FP32", [3])),
        mean_model(),
        "unexpected inference output 'yy', allowed outputs are: y",
    ),
    "input_count": (
        openvino_config(inputs=tensor("x", "FP32", [3, 8, 8]) + "}, {" + tensor("z", "FP32", [1])),
        mean_model(),
        "unable to load model 'input_count', configuration expects 2 inputs, model provides 1",
    ),
    "strings": (
        openvino_config(inputs=tensor("x", "STRING", [3, 8, 8])),
        mean_model(),
        "unsupported datatype TYPE_STRING for input 'x' for model 'strings'",
    ),
    "bfloat16": (
        openvino_config(outputs=tensor("y", "BF16", [3])),
        mean_model(),
        "unsupported datatype TYPE_BF16 for output 'y' for model 'bfloat16'",
    ),
    "missing_file": (openvino_config(), None, "/missing_file/1/model.onnx' for model"),
    "default_file": (
        openvino_config().replace('default_model_filename: "model.onnx"', ""),
        mean_model(),
        "/default_file/1/model.xml' for model 'default_file'",
    ),
    "broken_file": (
        openvino_config(),
        b"no model",
        "openvino error in reading model : Unable to read the model",
    ),
    "unknown_operator": (
        openvino_config(),
        onnx_model("float[N,3] x) => (float[N,3] y", "y = Nonsense(x)"),
        "No conversion rule found for operations: Nonsense-17",
    ),
    "open_by_completion": (
        'backend: "openvino"\ndefault_model_filename: "model.onnx"\n',
        mean_model(),
        "but the model configuration specifies 4 dimensions (shape [-1,-1,-1,-1])",
    ),
    "device": (
        openvino_config(rest=parameter("TARGET_DEVICE", "xpu")),
        mean_model(),
        'openvino error in loading model : Device with "XPU" name is not registered',
    ),
    "compilation_threads": (
        openvino_config(rest=parameter("COMPILATION_NUM_THREADS", "1")),
        mean_model(),
        "Unsupported property COMPILATION_NUM_THREADS by CPU plugin",
    ),
    "hint": (
        openvino_config(rest=parameter("PERFORMANCE_HINT", "Speed")),
        mean_model(),
        "expected the parameter 'PERFORMANCE_HINT' to be "
        "LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT, got speed",
    ),
    "extension": (
        openvino_config(rest=parameter("CPU_EXTENSION_PATH", "/lib/libm.so.6")),
        mean_model(),
        "CPU_EXTENSION_PATH needs the native openvino backend",
    ),
    # This one Triton's core refuses, for every backend.
    "gpu": (
        openvino_config().replace("KIND_CPU", "KIND_GPU"),
        mean_model(),
        "has kind KIND_GPU but no GPUs are available",
    ),
    "model_kind": (
        openvino_config().replace("KIND_CPU", "KIND_MODEL"),
        mean_model(),
        "unable to load model 'model_kind', Triton OpenVINO backend supports only Kind CPU and "
        "AUTO",
    ),
}


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each refused model was refused, in the server's words."""
    folder = tmp_path_factory.mktemp("refused")
    message, reasons = refused_by_the_server(folder, REFUSED)
    assert "\n" not in message
    assert "src/" not in message
    return reasons


@pytest.mark.triton
@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_natively(reasons: dict[str, str], name: str) -> None:
    assert REFUSED[name][2] in reasons[name]


@pytest.mark.triton
def test_nothing_else_is_refused(reasons: dict[str, str]) -> None:
    assert set(reasons) == set(REFUSED)


def given(count: int = 1, **values: str) -> dict[str, Any]:
    parameters = {key: {"string_value": value} for key, value in values.items()}
    return {"name": "m", "parameters": parameters, "instance_group": [{"count": count}]}


def properties(config: dict[str, Any], cores: int = 8) -> dict[str, Any]:
    return Options.of(config).properties(instances=instances(config), cores=cores)


FREE = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


def test_defaults_are_openvino_s_but_for_fp32_and_free_threads() -> None:
    assert properties(given()) == FREE
    assert properties(given(UNKNOWN="1", HINT_BF16="")) == FREE
    assert properties(given(TARGET_DEVICE="auto")) == {}


def test_parameters() -> None:
    found = properties(
        given(
            PERFORMANCE_HINT="Latency",
            NUM_STREAMS="1",
            INFERENCE_NUM_THREADS="3",
            COMPILATION_NUM_THREADS="2",
            HINT_BF16="yes",
        )
    )
    assert found == {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 3,
        "COMPILATION_NUM_THREADS": 2,
        "INFERENCE_PRECISION_HINT": "bf16",
        "ENABLE_CPU_PINNING": False,
    }


@pytest.mark.parametrize(
    ("count", "values", "streams", "threads"),
    [
        (2, {"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "4"}, 1, 2),
        (2, {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "4"}, 1, 2),
        (1, {"NUM_STREAMS": "4", "INFERENCE_NUM_THREADS": "4"}, 1, 1),
        (4, {"NUM_STREAMS": "4"}, 1, 2),
        (3, {}, None, 2),
        (16, {"NUM_STREAMS": "AUTO"}, "AUTO", 1),
        (1, {"NUM_STREAMS": "numa"}, "NUMA", None),
    ],
)
def test_the_instances_share_streams_and_threads(
    count: int, values: dict[str, str], streams: int | str | None, threads: int | None
) -> None:
    found = properties(given(count, **values), cores=8)
    assert (found.get("NUM_STREAMS"), found.get("INFERENCE_NUM_THREADS")) == (streams, threads)


def test_instances_are_counted_over_all_groups() -> None:
    assert instances({"instance_group": [{"count": 2}, {"count": 3}]}) == 5
    assert instances({}) == 1


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("INFERENCE_NUM_THREADS", "-1", "to be a non-negative number, got -1"),
        ("INFERENCE_NUM_THREADS", "9999999999", "to be a non-negative number"),
        ("COMPILATION_NUM_THREADS", "Two", "to be a non-negative number, got two"),
        ("HINT_BF16", "NO", "to be YES, got no"),
        ("NUM_STREAMS", "many", "to be either AUTO/NUMA/<int_value>, got many"),
        ("PERFORMANCE_HINT", "1", "to be LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT, got 1"),
    ],
)
def test_values_are_refused_in_the_native_words(key: str, text: str, said: str) -> None:
    with pytest.raises(ContractError, match=f"expected the parameter '{key}' {said}"):
        Options.of(given(**{key: text}))


@pytest.mark.parametrize(("text", "padding"), [("YES", True), ("yes", True), ("true", False)])
def test_anything_but_yes_is_no(text: str, padding: bool) -> None:
    assert Options.of(given(ENABLE_BATCH_PADDING=text)).padding is padding
