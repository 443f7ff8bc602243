"""The table of targets, and the verbs that every runtime has."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resnet_serve import runtimes
from resnet_serve.errors import UsageError
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS, CpuRuntime, RunnableModel, target

ROOT = Path(__file__).resolve().parents[2]
FILES = ("pytorch", "onnxruntime", "openvino", "tensorrt")


@pytest.mark.parametrize("name", TARGETS)
def test_a_row_says_what_triton_needs(name: str) -> None:
    row = TARGETS[name]
    assert row.name == name
    assert (row.model_file == "model.onnx") == (not row.gpu)
    assert bool(row.platform) == (name == "tensorrt")  # else Triton would take it for TensorRT's
    assert row.default_precision in row.precisions
    assert row.backend
    assert set(row.precisions) <= set(PRECISIONS)
    assert row.dialect == ("s8s8" if row.gpu else "u8s8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_auto_takes_a_target_that_has_the_precision_on_a_cpu(precision: str) -> None:
    assert target("tensorrt", precision) is TARGETS["tensorrt"]
    on_cpu = [row for row in TARGETS.values() if not row.gpu and precision in row.precisions]
    if not on_cpu:
        with pytest.raises(UsageError, match=f"no target runs {precision} on a CPU.*tensorrt"):
            target("auto", precision)
    else:
        assert target("auto", precision) in on_cpu
    for row in on_cpu:
        assert target(row.name, precision) is row


def test_the_cpu_runs_everything_but_fp8() -> None:
    assert TARGETS["onnxruntime"].precisions == ("fp32", "fp16", "int8")
    assert TARGETS["openvino"].precisions == ("fp32", "fp16", "bf16", "int8")
    assert target("auto", "bf16") is TARGETS["openvino"]


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown precision 'int4'.*fp32, fp16, bf16, int8, fp8"):
        target("auto", "int4")
    with pytest.raises(UsageError, match=r"unknown target 'npu'.*onnxruntime"):
        target("npu", "fp32")


def test_a_target_that_lacks_the_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(TARGETS["onnxruntime"], name="narrow", precisions=("fp32",))
    monkeypatch.setattr(runtimes, "TARGETS", {"narrow": row, **TARGETS})
    assert target("narrow", "fp32") is row
    with pytest.raises(UsageError, match="narrow has no int8"):
        target("narrow", "int8")
    assert target("auto", "int8").name == "onnxruntime"


@pytest.mark.parametrize("name", FILES)
def test_every_runtime_has_the_same_verbs(name: str) -> None:
    module = importlib.import_module(f"resnet_serve.runtimes.{name}")
    model = inspect.signature(module.load).return_annotation
    kind = getattr(module, model)
    for verb in ("run", "describe", "close", "__enter__", "__exit__"):
        wanted = inspect.signature(getattr(RunnableModel, verb))
        assert str(inspect.signature(getattr(kind, verb))) == str(wanted), verb
    assert {"threads", "device"} & set(inspect.signature(module.load).parameters)


@pytest.mark.parametrize("name", [row.name for row in TARGETS.values() if not row.gpu])
def test_every_cpu_runtime_has_the_verbs_of_the_table(name: str) -> None:
    module = TARGETS[name].cpu_runtime
    for verb in ("load", "compiled", "triton_parameters"):
        wanted = inspect.signature(getattr(CpuRuntime, verb)).parameters
        found = inspect.signature(getattr(module, verb)).parameters
        shared = {name: str(found[name]) for name in wanted if name != "self"}
        assert shared == {name: str(wanted[name]) for name in wanted if name != "self"}, verb


@pytest.mark.parametrize("name", TARGETS)
def test_the_packages_and_extras_of_the_rows_exist(name: str) -> None:
    row = TARGETS[name]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["optional-dependencies"][row.extra]
    assert any(each.startswith((row.package, *row.distributions)) for each in requirements)
    names = [row.model_file for row in TARGETS.values() if row.gpu]
    assert len(set(names)) == len(names)
    assert row.installed == (importlib.util.find_spec(row.package) is not None)
    assert row.module == f"resnet_serve.runtimes.{row.name.removesuffix('-rtx')}"


def test_a_gpu_runtime_is_not_opened_on_a_cpu() -> None:
    with pytest.raises(UsageError, match=r"TensorRT does not run on a CPU.*--target onnxruntime"):
        runtimes.open_on_cpu("tensorrt", "fp32", b"", threads=1)
    with pytest.raises(UsageError, match="TensorRT does not run on a CPU"):
        runtimes.compiled("tensorrt", "fp32", b"")


def test_a_note_belongs_to_a_precision() -> None:
    assert "smaller, not faster" in (TARGETS["onnxruntime"].note("fp16") or "")
    assert TARGETS["onnxruntime"].note("fp32") is None
    for row in TARGETS.values():
        assert set(row.notes) <= set(row.precisions)


def test_triton_parameters_of_bf16_and_of_batches() -> None:
    openvino = TARGETS["openvino"].cpu_runtime
    given: dict[str, Any] = {"instances": 2, "threads": 3, "precision": "bf16"}
    found = openvino.triton_parameters(max_batch_size=8, **given)
    assert (found["NUM_STREAMS"], found["INFERENCE_NUM_THREADS"]) == ("2", "6")
    assert (found["HINT_BF16"], found["ENABLE_BATCH_PADDING"]) == ("YES", "YES")
    assert "ENABLE_BATCH_PADDING" not in openvino.triton_parameters(max_batch_size=1, **given)
    found = TARGETS["onnxruntime"].cpu_runtime.triton_parameters(max_batch_size=8, **given)
    assert found == {"intra_op_thread_count": "3", "inter_op_thread_count": "1"}
