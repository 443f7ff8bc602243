"""Our `onnxruntime` backend in the real server refuses what the native one refuses.

One server that must not start is given every such model at once; its reasons are read one by one.
"""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest
from tiny_repository import (
    FIXED,
    RELU,
    config,
    mean_model,
    onnx_model,
    parameter,
    refused_by_the_server,
    tensor,
)

from resnet_serve.triton.backends.onnxruntime.options import Options

pytestmark = pytest.mark.triton

# name: (config.pbtxt, ONNX file or None, what the native backend or the core says)
REFUSED: dict[str, tuple[str, bytes | None, str]] = {
    "fixed_first_dimension": (
        config(),
        mean_model(FIXED),
        "model 'fixed_first_dimension', tensor 'x': for the model to support batching the shape "
        "should have at least 1 dimension and the first dimension must be -1; but shape expected "
        "by the model is [1,3,8,8]",
    ),
    "dims_differ": (
        config(inputs=tensor("x", "FP32", [3, 9, 9])),
        mean_model(),
        "model 'dims_differ', tensor 'x': the model expects 4 dimensions (shape [-1,3,8,8]) but "
        "the model configuration specifies 4 dimensions (an initial batch dimension because "
        "max_batch_size > 0 followed by the explicit tensor shape, making complete shape "
        "[-1,3,9,9])",
    ),
    "dims_differ_unbatched": (
        config(
            batch=0,
            inputs=tensor("x", "FP32", [1, 3, 9, 9]),
            outputs=tensor("y", "FP32", [1, 3]),
        ),
        mean_model(FIXED),
        "model 'dims_differ_unbatched', tensor 'x': the model expects 4 dimensions (shape "
        "[1,3,8,8]) but the model configuration specifies 4 dimensions (shape [1,3,9,9])",
    ),
    "rank_differs": (
        config(inputs=tensor("x", "FP32", [3, 64])),
        mean_model(),
        "the model expects 4 dimensions (shape [-1,3,8,8]) but the model configuration specifies "
        "3 dimensions",
    ),
    "reshape_differs": (
        config(inputs=tensor("x", "FP32", [192], "reshape { shape: [3, 4, 16] }")),
        mean_model(),
        "making complete shape [-1,3,4,16])",
    ),
    "input_widened": (
        config(inputs=tensor("x", "FP32", [3, -1, -1])),
        mean_model(),
        "making complete shape [-1,3,-1,-1])",
    ),
    "output_narrowed": (
        config(batch=4, inputs=tensor("x", "FP32", [-1]), outputs=tensor("y", "FP32", [3])),
        onnx_model("float[N,M] x) => (float[N,M] y", RELU),
        "tensor 'y': the model expects 2 dimensions (shape [-1,-1])",
    ),
    "input_type": (
        config(inputs=tensor("x", "FP16", [3, 8, 8])),
        mean_model(),
        "unable to load model 'input_type', configuration expects datatype TYPE_FP16 for input "
        "'x', model provides TYPE_FP32",
    ),
    "output_type": (
        config(outputs=tensor("y", "INT32", [3])),
        mean_model(),
        "unable to load model 'output_type', configuration expects datatype TYPE_INT32 for output "
        "'y', model provides TYPE_FP32",
    ),
    "input_name": (
        config(inputs=tensor("xx", "FP32", [3, 8, 8])),
        mean_model(),
        "unexpected inference input 'xx', allowed inputs are: x",
    ),
    "output_name": (
        config(outputs=tensor("yy", "FP32", [3])),
        mean_model(),
        "unexpected inference output 'yy', allowed outputs are: y",
    ),
    "input_count": (
        config(inputs=tensor("x", "FP32", [3, 8, 8]) + "}, {" + tensor("z", "FP32", [1])),
        mean_model(),
        "unable to load model 'input_count', configuration expects 2 inputs, model provides 1",
    ),
    "input_left_out": (
        config(inputs=tensor("x", "FP32", [3]), outputs=tensor("y", "FP32", [3])),
        onnx_model("float[N,3] x, float[N,3] z) => (float[N,3] y", "y = Add(x, z)"),
        "configuration expects 1 inputs, model provides 2",
    ),
    "optional_input": (
        config(inputs=tensor("x", "FP32", [3, 8, 8], "optional: true")),
        mean_model(),
        "configuration expects 0 inputs, model provides 1",
    ),
    "missing_file": (config(), None, "failed to stat file"),
    "other_missing_file": (
        config(rest='default_model_filename: "other.onnx"'),
        mean_model(),
        "other_missing_file/1/other.onnx",
    ),
    "broken_file": (config(), b"no model", "onnx runtime error 7: Load model from"),
    "accelerator": (
        config(
            rest="optimization { execution_accelerators { cpu_execution_accelerator "
            '[ { name: "nothing" } ] } }'
        ),
        mean_model(),
        "unknown Execution Accelerator 'nothing' is requested",
    ),
    "accelerator_of_the_native_one": (
        config(
            rest="optimization { execution_accelerators { cpu_execution_accelerator "
            '[ { name: "openvino" } ] } }'
        ),
        mean_model(),
        "the Execution Accelerator 'openvino' needs the native onnxruntime backend",
    ),
    "sequence_control": (
        config(
            rest='sequence_batching { control_input [ { name: "START" control [ '
            "{ kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } ] } ] }"
        ),
        mean_model(),
        "configuration specified sequence control 'START', but model does not provide that input",
    ),
    "threads": (
        config(rest=parameter("intra_op_thread_count", "abc")),
        mean_model(),
        "failed to convert 'abc' to integral number",
    ),
    "execution_mode": (
        config(rest=parameter("execution_mode", "2")),
        mean_model(),
        "execution_mode are 0 or 1 but got 2",
    ),
    "memory_arena": (
        config(rest=parameter("enable_mem_arena", "maybe")),
        mean_model(),
        "failed to convert 'maybe' to boolean",
    ),
    "ragged": (
        config(inputs=tensor("x", "FP32", [3, 8, 8], "allow_ragged_batch: true")),
        mean_model(),
        "allow_ragged_batch needs the native onnxruntime backend",
    ),
    "bfloat16": (
        config(inputs=tensor("x", "BF16", [3]), outputs=tensor("y", "BF16", [3])),
        onnx_model("bfloat16[N,3] x) => (bfloat16[N,3] y", "y = Identity(x)"),
        "unsupported datatype TYPE_BF16 for input 'x' for model 'bfloat16'",
    ),
    "completed_unbatched": (
        'backend: "onnxruntime"\nmax_batch_size: 4\n',
        mean_model(FIXED),
        "autofill failed for model 'completed_unbatched': model does not support batching while "
        "non-zero max_batch_size is specified",
    ),
    # These two Triton's core refuses, for every backend.
    "gpu": (
        config().replace("KIND_CPU", "KIND_GPU"),
        mean_model(),
        "has kind KIND_GPU but no GPUs are available",
    ),
    "no_dims": (
        config(inputs='name: "x" data_type: TYPE_FP32'),
        mean_model(),
        "model input 'x' must specify 'dims' for no_dims",
    ),
}


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each refused model was refused, in the server's words."""
    folder = tmp_path_factory.mktemp("refused")
    message, reasons = refused_by_the_server(folder, REFUSED)
    assert f"{folder}/repository/missing_file/1/model.onnx" in message
    return reasons


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_natively(reasons: dict[str, str], name: str) -> None:
    assert REFUSED[name][2] in reasons[name]


def test_nothing_else_is_refused(reasons: dict[str, str]) -> None:
    assert set(reasons) == set(REFUSED)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, "ORT_ENABLE_ALL"),
        (0, "ORT_ENABLE_ALL"),
        (-1, "ORT_ENABLE_BASIC"),
        (1, "ORT_ENABLE_EXTENDED"),
        (2, "ORT_DISABLE_ALL"),
        (7, "ORT_ENABLE_ALL"),
    ],
)
def test_graph_level(level: int | None, expected: str) -> None:
    config = {} if level is None else {"optimization": {"graph": {"level": level}}}
    made = Options.of(config).session_options(onnxruntime)
    assert made.graph_optimization_level.name == expected


def parameters(**values: str) -> dict[str, Any]:
    return {"parameters": {key: {"string_value": value} for key, value in values.items()}}


def test_parameters() -> None:
    config = parameters(
        intra_op_thread_count="3",
        inter_op_thread_count="2",
        execution_mode="1",
        enable_mem_arena="OFF",
        enable_mem_pattern="0",
    )
    made = Options.of(config).session_options(onnxruntime)
    assert (made.intra_op_num_threads, made.inter_op_num_threads) == (3, 2)
    assert made.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert not made.enable_cpu_mem_arena
    assert not made.enable_mem_pattern


@pytest.mark.parametrize("config", [{}, parameters(intra_op_thread_count="-1", other="x")])
def test_defaults_are_onnx_runtime_s(config: dict[str, Any]) -> None:
    made, default = Options.of(config).session_options(onnxruntime), onnxruntime.SessionOptions()
    for name in ("intra_op_num_threads", "inter_op_num_threads", "execution_mode"):
        assert getattr(made, name) == getattr(default, name)
    assert made.enable_cpu_mem_arena
    assert made.enable_mem_pattern


@pytest.mark.parametrize(("text", "number"), [(" 4", 4), ("2x", 2), ("+1", 1), ("0", 0)])
def test_numbers_are_read_as_natively(text: str, number: int) -> None:
    assert Options.of(parameters(intra_op_thread_count=text)).intra_op_threads == number
