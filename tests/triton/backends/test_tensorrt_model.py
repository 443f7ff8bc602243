"""What the `tensorrt` backend does with plans and requests, short of a GPU.

TensorRT is the double generated from its bindings, its engine a scripted one; Triton's own module,
which exists only inside its stub, is three small classes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from memory_device import MemoryDevice
from scripted_engine import PLAN, ScriptedEngine, answer
from trt_bindings import VERSIONS, describe
from trt_double import Double, installed

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.tensorrt import model as backend
from resnet_serve.triton.backends.tensorrt.contract import Options

Configuration = dict[str, Any]


@dataclass
class Tensor:
    name: str
    array: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.array


@dataclass
class Response:
    output_tensors: list[Tensor]
    error: str | None = None


@dataclass
class Request:
    array: np.ndarray

    def inputs(self) -> list[Tensor]:
        return [Tensor("image", self.array)]


def configuration(**changes: Any) -> Configuration:
    """As Triton hands it to a backend: complete, with a group's name."""
    return {
        "name": "net",
        "platform": "tensorrt_plan",
        "backend": "tensorrt",
        "max_batch_size": 8,
        "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["4", "4", "3"]}],
        "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [3]}],
        "instance_group": [{"name": "net_0", "kind": "KIND_GPU", "gpus": [0], "profile": []}],
        "default_model_filename": "model.plan",
        **changes,
    }


@dataclass
class Served:
    """An initialised backend and what stands for its GPU."""

    backend: backend.TritonPythonModel
    device: MemoryDevice
    trt: Double
    opened: list[int] = field(default_factory=list)

    def ask(self, *batches: np.ndarray) -> list[np.ndarray | str]:
        responses = self.backend.execute([Request(batch) for batch in batches])
        assert len(responses) == len(batches)
        return [response.error or response.output_tensors[0].array for response in responses]

    def runs(self) -> int:
        return len([line for line in self.device.log if line in ("execute", "launch")])


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Initialises the backend on a configuration and a scripted engine, on GPU 3."""
    triton = ModuleType("triton_python_backend_utils")
    triton.Tensor, triton.InferenceResponse, triton.TritonError = Tensor, Response, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    (tmp_path / "net" / "1").mkdir(parents=True)
    (tmp_path / "net" / "1" / "model.plan").write_bytes(PLAN)
    (tmp_path / "net" / "1" / "other.plan").write_bytes(b"another plan")
    with ExitStack() as stack:

        def make(
            config: Configuration | None = None,
            *,
            kind: str = "GPU",
            instance: str = "net_0_0",
            behaviours: dict[str, Any] | None = None,
            **engine: Any,
        ) -> Served:
            device, opened = MemoryDevice(), []
            monkeypatch.setattr(
                backend, "open_device", lambda index: opened.append(index) or device
            )
            script = ScriptedEngine(device, **engine).behaviours() | (behaviours or {})
            trt = Double(describe(VERSIONS[-1]), script)
            stack.enter_context(installed(trt))
            served = Served(backend.TritonPythonModel(), device, trt, opened)
            make.last = served  # type: ignore[attr-defined]
            served.backend.initialize(
                {
                    "model_config": json.dumps(config or configuration()),
                    "model_instance_kind": kind,
                    "model_instance_name": instance,
                    "model_instance_device_id": "3",
                    "model_repository": str(tmp_path / "net"),
                    "model_version": "1",
                    "model_name": "net",
                }
            )
            return served

        yield make


def images(count: int, value: int = 1) -> np.ndarray:
    return np.full((count, 4, 4, 3), value, np.uint8)


def test_one_request(serve: Serve) -> None:
    served = serve()
    (logits,) = served.ask(images(2))
    np.testing.assert_array_equal(logits, answer(images(2)))
    assert served.opened == [3]


def test_requests_share_a_run_and_get_their_own_rows(serve: Serve) -> None:
    served = serve()
    batches = [images(1, 1), images(3, 2), images(2, 3)]
    for batch, logits in zip(batches, served.ask(*batches), strict=True):
        np.testing.assert_array_equal(logits, answer(batch))
    assert served.runs() == 1


def test_no_run_is_larger_than_the_engine_s_largest(serve: Serve) -> None:
    served = serve()  # 1:4:8
    batches = [images(5, 1), images(3, 2), images(1, 3), images(7, 4), images(2, 5)]
    for batch, logits in zip(batches, served.ask(*batches), strict=True):
        np.testing.assert_array_equal(logits, answer(batch))
    assert served.runs() == 3  # 5+3, 1+7, 2


def test_without_batching_every_request_is_a_run(serve: Serve) -> None:
    config = configuration(
        max_batch_size=0,
        input=[{"name": "image", "data_type": "TYPE_UINT8", "dims": [2, 4, 4, 3]}],
        output=[{"name": "logits", "data_type": "TYPE_FP32", "dims": [2, 3]}],
    )
    served = serve(config, batch=2, profiles=("2",))
    batches = [images(2, 1), images(2, 2)]
    for batch, logits in zip(batches, served.ask(*batches), strict=True):
        np.testing.assert_array_equal(logits, answer(batch))
    assert served.runs() == 2


def test_several_outputs_share_a_run_too(serve: Serve) -> None:
    sides = {"c2": (2, 2, 2), "c3": (5,)}

    def maps(batch: np.ndarray) -> dict[str, np.ndarray]:
        first = batch.reshape(len(batch), -1)[:, 0].astype(np.float32)
        return {
            name: np.arange(np.prod(each), dtype=np.float32).reshape(each)
            + first.reshape(-1, *[1] * len(each))
            for name, each in sides.items()
        }

    output = [
        {"name": name, "data_type": "TYPE_FP32", "dims": list(each)} for name, each in sides.items()
    ]
    served = serve(configuration(output=output[::-1]), answer=maps, outputs=sides)
    batches = [images(2, 3), images(1, 9)]
    responses = served.backend.execute([Request(batch) for batch in batches])
    assert served.runs() == 1
    for batch, response in zip(batches, responses, strict=True):
        found = {each.name: each.array for each in response.output_tensors}
        assert set(found) == set(sides)
        for name, values in maps(batch).items():
            np.testing.assert_array_equal(found[name], values)
    with pytest.raises(ContractError, match=r"^expected configuration for output .c3. for net_0_0"):
        serve(configuration(output=output[:1]), answer=maps, outputs=sides)
    with pytest.raises(ContractError, match=r"output 'c4', allowed outputs are: c2, c3$"):
        serve(configuration(output=[*output, {**output[0], "name": "c4"}]), outputs=sides)


def test_an_error_stays_with_its_request(serve: Serve) -> None:
    served = serve()
    good, bad = images(1, 7), np.zeros((1, 5, 5, 3), np.uint8)
    first, wrong, last = served.ask(good, bad, good)
    np.testing.assert_array_equal(first, answer(good))
    np.testing.assert_array_equal(last, answer(good))
    assert wrong == "the engine expects uint8 [N,4,4,3], not uint8 [1,5,5,3]"


def test_a_batch_between_two_profiles_is_run_apart(serve: Serve) -> None:
    config = configuration(instance_group=[{"name": "net_0", "profile": ["0", "1"]}])
    served = serve(config, profiles=("1:1:2", "6:8:8"))
    batches = [images(1, 1), images(1, 2), images(2, 3)]  # 4 together
    for batch, logits in zip(batches, served.ask(*batches), strict=True):
        np.testing.assert_array_equal(logits, answer(batch))
    (refused,) = served.ask(images(4))
    assert "a batch of 4 is outside the engine's profiles (1:1:2, 6:8:8)" in str(refused)


def test_graphs_are_the_configuration_s_choice(serve: Serve) -> None:
    cuda = {"optimization": {"cuda": {"graphs": True}}}
    for config, captured in ((configuration(), 0), (configuration(**cuda), 1)):
        served = serve(config)
        for _ in range(3):
            served.ask(images(2))
        assert len(served.device.graphs) == captured


def test_only_the_first_profile_unless_the_group_lists_others(serve: Serve) -> None:
    both = ("1:1:8", "1:16:32")
    assert [str(p) for p in serve(profiles=both).backend._model.profiles] == ["1:1:8"]
    groups = [{"name": "net_0", "profile": []}, {"name": "net_1", "profile": ["1"]}]
    served = serve(
        configuration(max_batch_size=32, instance_group=groups), instance="net_1_0", profiles=both
    )
    assert [str(p) for p in served.backend._model.profiles] == ["1:16:32"]


@pytest.mark.parametrize(
    ("names", "indices"), [(["1"], (1,)), (["0", " 2"], (0, 2)), (["1x"], (1,)), ([], (0,))]
)
def test_profile_names_are_read_as_natively(names: list[str], indices: tuple[int, ...]) -> None:
    config = {"instance_group": [{"name": "net", "profile": names}]}
    assert Options.of(config, "net_0").profiles == indices


def test_the_plan_s_name(serve: Serve) -> None:
    served = serve(configuration(default_model_filename="other.plan"))
    assert served.trt.named("Runtime.deserialize_cuda_engine")[0].args[0] == b"another plan"


def test_finalize_gives_the_gpu_back(serve: Serve) -> None:
    served = serve()
    served.ask(images(2))
    served.backend.finalize()
    assert not served.device.memory
    assert served.device.closed == 1


def test_nothing_is_completed() -> None:
    config = object()
    assert backend.TritonPythonModel.auto_complete_config(config) is config


def tensors(name: str, data_type: str, dims: list[int], **rest: Any) -> list[dict[str, Any]]:
    return [{"name": name, "data_type": data_type, "dims": dims, **rest}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"input": tensors("pixels", "TYPE_UINT8", [4, 4, 3])},
            "unexpected inference input 'pixels', allowed inputs are: image",
        ),
        (
            {"output": tensors("scores", "TYPE_FP32", [3])},
            "unexpected inference output 'scores', allowed outputs are: logits",
        ),
        (
            {"input": configuration()["input"] * 2},
            "unable to load model 'net', configuration expects 2 inputs, model provides at most 1",
        ),
        (
            {"input": tensors("image", "TYPE_FP32", [4, 4, 3])},
            "unexpected datatype TYPE_UINT8 for inference input 'image', expecting TYPE_FP32 for "
            "net_0_0",
        ),
        (
            {"output": tensors("logits", "TYPE_FP16", [3])},
            "unexpected datatype TYPE_FP32 for inference output 'logits', expecting TYPE_FP16 for "
            "net_0_0",
        ),
        (
            {"input": tensors("image", "TYPE_UINT8", [3, 4, 4])},
            "model 'net', tensor 'image': the model expects 4 dimensions (shape [-1,4,4,3]) but "
            "the model configuration specifies 4 dimensions (an initial batch dimension because "
            "max_batch_size > 0 followed by the explicit tensor shape, making complete shape "
            "[-1,3,4,4])",
        ),
        (
            {"max_batch_size": 0},
            "model 'net', tensor 'image': the model expects 4 dimensions (shape [-1,4,4,3]) but "
            "the model configuration specifies 3 dimensions (shape [4,4,3])",
        ),
        (
            {"max_batch_size": 9},
            "model 'net': configuration specified max-batch 9 but TensorRT engine only supports "
            "max-batch 8",
        ),
        ({"instance_group": [{"name": "net_0", "profile": ["x"]}]}, "unable to parse 'x': stoi"),
        (
            {"default_model_filename": "missing.plan"},
            "failed to stat file {folder}/net/1/missing.plan",
        ),
        (
            {"input": tensors("image", "TYPE_UINT8", [4, 4, 3], allow_ragged_batch=True)},
            "model 'net', tensor 'image': allow_ragged_batch needs the native tensorrt backend",
        ),
        (
            {"sequence_batching": {"max_sequence_idle_microseconds": 1}},
            "model 'net': sequence_batching needs the native tensorrt backend",
        ),
        (
            {"input": []},
            "model 'net': completing a configuration without input or output needs the native "
            "tensorrt backend",
        ),
    ],
)
def test_what_the_plan_does_not_provide(
    changes: Configuration, says: str, serve: Serve, tmp_path: Path
) -> None:
    with pytest.raises(ContractError) as refusal:
        serve(configuration(**changes))
    assert str(refusal.value) == says.replace("{folder}", str(tmp_path))
    served: Served = serve.last  # type: ignore[attr-defined]
    assert not served.device.memory
    assert served.device.closed == len(served.opened)


def test_dims_may_leave_a_size_open(serve: Serve) -> None:
    config = configuration(
        input=tensors("image", "TYPE_UINT8", [48], reshape={"shape": [4, 4, -1]}),
        output=tensors("logits", "TYPE_FP32", [-1]),
    )
    (logits,) = serve(config).ask(images(1))
    np.testing.assert_array_equal(logits, answer(images(1)))


@pytest.mark.parametrize("kind", ["CPU", "MODEL"])
def test_a_plan_needs_a_gpu(kind: str, serve: Serve) -> None:
    with pytest.raises(ContractError) as refusal:
        serve(kind=kind)
    assert str(refusal.value) == (
        "unable to load model 'net', TensorRT backend supports only GPU device"
    )
    assert not serve.last.opened  # type: ignore[attr-defined]


def test_a_profile_that_the_engine_lacks(serve: Serve) -> None:
    with pytest.raises(UsageError, match="profiles 0 to 0, none of index 1"):
        serve(configuration(instance_group=[{"name": "net_0", "profile": ["1"]}]))


def test_a_damaged_plan(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot load this plan") as refusal:
        serve(behaviours={"Runtime.deserialize_cuda_engine": lambda *_: None})
    assert refusal.value.where == str(tmp_path / "net" / "1" / "model.plan")
    assert serve.last.device.closed == 1  # type: ignore[attr-defined]
