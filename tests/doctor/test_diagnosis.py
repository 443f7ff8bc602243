"""The verdicts, the table and the JSON of a diagnosis."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from resnet_serve import host
from resnet_serve.doctor.diagnosis import FEATURES, Diagnosis, Finding, table
from resnet_serve.errors import HostError, UsageError

TORCH = Finding(
    "torch", "missing", "not installed", "pip install 'resnet-serve[convert]'", ("convert",)
)
ONNX = Finding(
    "onnx", "missing", "not installed", "pip install 'resnet-serve[convert]'", ("convert",)
)
TRITON = Finding(
    "tritonserver", "missing", "none", "pip install 'resnet-serve[server]'", ("serve",)
)
TENSORRT = Finding("tensorrt", "missing", "not installed", "pip install tensorrt")
PORTS = Finding("ports", "warning", "in use: 8000", "resnet-serve up --port 0", ("serve",))


def diagnosis(*findings: Finding) -> Diagnosis:
    return Diagnosis(findings, host.describe())


def test_a_missing_need_fails_its_feature_alone() -> None:
    found = diagnosis(TORCH, ONNX, TENSORRT, PORTS)
    assert found.lacking("convert") == (TORCH, ONNX)
    found.require(["serve", "loadtest", "classify"])
    with pytest.raises(HostError) as caught:
        found.require(["convert"])
    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        "convert cannot work on this host without torch, onnx. pip install 'resnet-serve[convert]'"
    )


def test_several_features_at_once() -> None:
    with pytest.raises(HostError, match="without torch, tritonserver") as caught:
        diagnosis(TORCH, TRITON).require(["convert", "serve"])
    assert "[convert]'; pip install 'resnet-serve[server]'" in str(caught.value)


def test_an_unknown_feature() -> None:
    with pytest.raises(UsageError, match="convert, serve, loadtest, classify"):
        diagnosis().require(["train"])


def test_nothing_asked_is_always_fine() -> None:
    diagnosis(TORCH, TRITON).require([])


def test_the_table_keeps_the_brackets_of_the_extras() -> None:
    file = io.StringIO()
    Console(file=file, width=120).print(table(diagnosis(TORCH, TENSORRT, PORTS)))
    text = file.getvalue()
    assert "pip install 'resnet-serve[convert]'" in text
    assert "convert: something is missing" in text
    assert "serve: works here" in text
    assert next(line for line in text.splitlines() if "tensorrt" in line).split()[1] == "optional"


def test_json() -> None:
    document = json.loads(json.dumps(diagnosis(TORCH).to_json()))
    assert document["features"] == {feature: feature != "convert" for feature in FEATURES}
    assert document["findings"][0]["command"] == "pip install 'resnet-serve[convert]'"
    assert document["host"]["cores"] == host.cores()
