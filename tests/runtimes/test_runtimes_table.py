"""The table of targets, and the verbs that every runtime has."""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import pytest

from resnet_serve import runtimes
from resnet_serve.errors import UsageError
from resnet_serve.runtimes import PRECISIONS, TARGETS, RunnableModel, target

FILES = ("pytorch", "onnxruntime", "openvino", "tensorrt")


@pytest.mark.parametrize("name", TARGETS)
def test_a_row_says_what_triton_needs(name: str) -> None:
    row = TARGETS[name]
    assert row.name == name
    assert row.model_file == ("model.plan" if row.gpu else "model.onnx")
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


def test_unknown_names_are_answered_with_the_known_ones() -> None:
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
